"""Decisions and the one loop that acts on them, over ports."""
