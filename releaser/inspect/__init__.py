"""Untrusted input made safe: repositories, version files, archives."""
