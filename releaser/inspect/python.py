"""What Python packages say of themselves: wheels (PEP 427) and source distributions (PEP 517, PEP 625)."""

from __future__ import annotations

import base64
import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from packaging.metadata import RawMetadata
from packaging.requirements import Requirement as Dependency
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from releaser.inspect.archive import UNREADABLE, EntryKind, Listing, shown
from releaser.model import core_metadata
from releaser.model.artifact import Contents, Requirement

_REPOSITORY_LABELS = {"repository", "source", "sourcecode", "github"}
"""Labels of a project's source, normalised (packaging.python.org, "Well-known Project URLs in Metadata")."""


_MAX_FIELDS = 5000
"""The time to parse core metadata grows with the square of this."""


@dataclass(slots=True)
class _Metadata:
    """Core metadata as far as it is of use; ``version`` is the text as it stands there."""

    name: str = ""
    version: str = ""
    requirements: list[Requirement] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


def wheel(file_name: str, listing: Listing) -> Contents:
    """What the wheel *file_name* declares, with every way in which name, metadata, RECORD and content disagree."""
    if not listing.complete:
        return listing.contents()
    try:
        name, version, _, tags = parse_wheel_filename(file_name)
    except InvalidWheelFilename as error:
        listing.problem(f"not the name of a wheel: {shown(str(error))}")
        return listing.contents()

    info = "-".join(file_name.split("-")[:2]) + ".dist-info"
    if others := sorted(f for f in listing.folders - {info} if f.endswith(".dist-info")):
        listing.problem(f"has {shown(others[0])} where only {shown(info)} may be")
    for wanted in ("METADATA", "WHEEL", "RECORD"):
        if f"{info}/{wanted}" not in listing.manifests:
            listing.problem(f"has no {info}/{wanted}")
    _check_record(info, listing)

    metadata = _core_metadata(f"{info}/METADATA", listing)
    _compare(file_name, name, version, metadata, listing)
    return replace(
        listing.contents(),
        name=metadata.name,
        version=metadata.version,
        requirements=tuple(metadata.requirements),
        platforms=tuple(sorted({tag.platform for tag in tags})),
        metadata=metadata.fields,
    )


def sdist(file_name: str, top: str, listing: Listing) -> Contents:
    """What the source distribution *file_name* with the folder *top* declares, and where the names disagree."""
    listing.within(top)
    metadata = _core_metadata(f"{top}/PKG-INFO", listing)
    stem = file_name.removesuffix(".tar.gz")
    if top != stem:
        listing.problem(f"its folder is {shown(top)}, its name says {shown(stem)}")
    if (parsed := _version(metadata.version)) is not None:
        wanted = f"{canonicalize_name(metadata.name).replace('-', '_')}-{parsed}"
        if stem != wanted:
            listing.problem(f"PKG-INFO is of {shown(wanted)}, the file name of {shown(stem)}")
    return replace(
        listing.contents(),
        name=metadata.name,
        version=metadata.version,
        requirements=tuple(metadata.requirements),
        metadata=metadata.fields,
    )


def _compare(file_name: str, name: str, version: Version, metadata: _Metadata, listing: Listing) -> None:
    if metadata.name and canonicalize_name(metadata.name) != name:
        listing.problem(f"METADATA is of {shown(metadata.name)}, the file name of {shown(file_name.split('-')[0])}")
    if metadata.version and _version(metadata.version) != version:
        listing.problem(f"METADATA has version {shown(metadata.version)}, the file name {shown(str(version))}")


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except ValueError:
        return None


def _core_metadata(path: str, listing: Listing) -> _Metadata:
    """The core metadata at *path*; what cannot be understood becomes a problem, what is missing stays empty."""
    found = _Metadata()
    if path not in listing.manifests:
        return found
    lines = itertools.takewhile(bool, listing.manifests[path].splitlines())
    if sum(line[:1] not in (b" ", b"\t") for line in lines) > _MAX_FIELDS:
        listing.problem(f"{path} has more than {_MAX_FIELDS} fields")
        return found
    try:
        raw, faults = core_metadata.read(listing.manifests[path])
    except UNREADABLE as error:
        listing.problem(f"{path} is not core metadata: {shown(str(error))}")
        return found
    for fault in faults:
        listing.problem(f"{path} is not what the index takes: {shown(fault)}")
    found.name, found.version = raw.get("name", ""), raw.get("version", "")
    for text in raw.get("requires_dist", []):
        try:
            dependency = Dependency(text)
        except UNREADABLE:  # one of the faults
            continue
        specifier = f"@ {dependency.url}" if dependency.url else str(dependency.specifier)
        found.requirements.append(Requirement(dependency.name, specifier))
    found.fields = _fields(raw)
    return found


def _fields(raw: RawMetadata) -> dict[str, str]:
    urls = {"".join(c for c in label.lower() if c.isalnum()): url for label, url in raw.get("project_urls", {}).items()}
    fields = {
        "summary": raw.get("summary", ""),
        "description": raw.get("description", ""),
        "license": raw.get("license_expression", "") or raw.get("license", ""),
        "requires_python": raw.get("requires_python", ""),
        "keywords": ",".join(raw.get("keywords", [])),
        "repository": next((url for label, url in urls.items() if label in _REPOSITORY_LABELS), ""),
    }
    return {key: value for key, value in fields.items() if value}


def _check_record(info: str, listing: Listing) -> None:
    """Demand that RECORD lists every file with its SHA-256; its own line and signatures of it carry none."""
    record = f"{info}/RECORD"
    if record not in listing.manifests:
        return
    exempt = {record, f"{record}.jws", f"{record}.p7s"}
    sizes = {entry.name: entry.size for entry in listing.entries if entry.kind is EntryKind.FILE}
    listed: set[str] = set()
    try:
        for name, digest, size in _rows(listing.manifests[record]):
            if name in listed:
                listing.problem(f"RECORD lists {shown(name)} twice")
            elif name not in sizes:
                listing.problem(f"RECORD lists {shown(name)}, which is not in the wheel")
            elif name in exempt:
                listed.add(name)
            else:
                listed.add(name)
                if digest.rstrip("=") != f"sha256={_urlsafe(listing.digests[name])}":
                    listing.problem(f"RECORD has not the SHA-256 of {shown(name)}")
                if size not in ("", str(sizes[name])):
                    listing.problem(f"RECORD has not the size of {shown(name)}")
    except UNREADABLE as error:
        listing.problem(f"{record} is not a table: {shown(str(error))}")
    for name in sorted(sizes.keys() - listed - exempt):
        listing.problem(f"RECORD does not list {shown(name)}")


def _rows(record: bytes) -> Iterator[tuple[str, str, str]]:
    """Path, digest and size; what a line lacks is empty."""
    for row in csv.reader(io.StringIO(record.decode(), newline="")):
        if row:
            name, digest, size, *_ = (*row, "", "")
            yield name, digest, size


def _urlsafe(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
