"""Core metadata of Python packages (packaging.python.org, "Core metadata specifications"), judged as the index does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata

_BEFORE_LICENSE_FILES = {"1.0", "1.1", "1.2", "2.1", "2.2", "2.3"}


def read(data: bytes) -> tuple[RawMetadata, list[str]]:
    """The fields of a ``METADATA`` or ``PKG-INFO`` file, and why the Python index would refuse them. Pure.

    The index looks at the fields that it knows and passes over the others (warehouse forklift/metadata.py), so those
    are no fault. ``License-File`` before metadata 2.4 is left out: setuptools wrote it before it was standard. Raises
    what the standard library's e-mail parser raises.
    """
    from packaging.metadata import InvalidMetadata, Metadata, parse_email

    raw, unparsed = parse_email(data)
    if raw.get("metadata_version") in _BEFORE_LICENSE_FILES:
        raw.pop("license_files", None)
        unparsed.pop("license-file", None)
    malformed = {name for name in unparsed if not parse_email(f"{name}: x")[1]}
    faults = {f"{name!r} is given twice, or not in UTF-8" for name in malformed}
    try:
        Metadata.from_raw(raw)
    except ExceptionGroup as group:
        faults |= {str(e) for e in group.exceptions if not (isinstance(e, InvalidMetadata) and e.field in malformed)}
    return raw, sorted(faults)
