"""What every archive has in common: a listing made without unpacking to disk, and what a name in it may be.

Archives come from strangers. Two programs that read the same archive differently are an attack of their own, so
whatever leaves room for a second reading is a problem, not something to guess about.
"""

from __future__ import annotations

import csv
import lzma
import re
import struct
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO

from releaser.model.artifact import Contents

CHUNK = 1 << 20
"""Bytes read at a time; what is held in memory does not grow with the archive."""

MAX_ENTRIES = 100_000
MAX_UNPACKED = 2 << 30
MAX_MANIFEST = 1 << 20
"""Largest package manifest (``METADATA``, ``package.json`` …) that is read, in bytes."""

MAX_RECORD = 16 << 20
"""Largest ``RECORD`` that is read, and most that is read of all manifests together, in bytes."""

RATIO = 50
RATIO_FROM = 64 << 20
"""PyPI refuses what unpacks to more than 50 times its size, once that is over 64 MiB (warehouse forklift/legacy.py)."""

MAX_NAME = 1024
MAX_PROBLEMS = 20

UNREADABLE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    csv.Error,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zlib.error,
)
"""What the standard library's parsers raise for malformed input."""

_MANIFEST = re.compile(
    r"[^/]+\.dist-info/(METADATA|RECORD|WHEEL)|[^/]+/(PKG-INFO|Cargo\.toml|package\.json)", re.DOTALL
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")


class Stop(Exception):
    """Reading an archive ends here; the text is the problem to report."""


class EntryKind(StrEnum):
    """What an entry becomes when it is unpacked; hard links and devices become nothing, they are problems."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in an archive. ``size`` is in bytes, unpacked; ``target`` is where a symbolic link points to."""

    name: str
    size: int
    kind: EntryKind
    target: str = ""


@dataclass(slots=True)
class Listing:
    """An archive as it was read once, from front to back.

    ``size`` is the archive's own, in bytes. ``manifests`` holds the small files that describe a package, by their
    name without ``./``; ``digests`` the SHA-256 of every file, if asked for. Not ``complete`` means that reading
    had to stop: what is missing from the listing may still be in the archive.
    """

    size: int
    entries: list[Entry] = field(default_factory=list)
    manifests: dict[str, bytes] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)
    complete: bool = False
    _problems: list[str] = field(default_factory=list)
    _unsaid: int = 0
    _kept: int = 0
    _seen: dict[str, Entry] = field(default_factory=dict)

    @property
    def limit(self) -> int:
        """How many bytes this archive may unpack to."""
        return min(MAX_UNPACKED, max(RATIO_FROM, RATIO * self.size))

    @property
    def unpacked(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def folders(self) -> set[str]:
        """The first component of every name, and of everything that a link points to."""
        places = (place for entry in self.entries for place in (entry.name, entry.target) if place)
        return {_parts(place)[0] for place in places if _parts(place)}

    def problem(self, sentence: str) -> None:
        """Note a reason not to trust the archive; beyond the first few only their number is kept."""
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(sentence)
        else:
            self._unsaid += 1

    def add(self, name: str, size: int, kind: EntryKind, link: str = "") -> Entry:
        """Judge a name and take it into the listing. *link* is the text of a symbolic link. Raises Stop."""
        if len(self.entries) == MAX_ENTRIES:
            raise Stop(f"it has more than {MAX_ENTRIES} entries")
        target = ""
        if fault := _fault(name, kind):
            self.problem(f"entry {shown(name)} {fault}")
        elif kind is EntryKind.LINK:
            target, fault = _resolved(name, link)
            if fault:
                self.problem(f"link {shown(name)} {fault}")
        if size and kind is not EntryKind.FILE:
            self.problem(f"entry {shown(name)} is a {kind} and has content")
        entry = Entry(name, size, kind, target)
        self.entries.append(entry)
        key = _key(name)
        if twin := self._seen.get(key):
            same = "/".join(_parts(twin.name)) == "/".join(_parts(name))
            self.problem(
                f"entry {shown(name)} is there twice"
                if same
                else f"entries {shown(twin.name)} and {shown(name)} are one file on some systems"
            )
        self._seen.setdefault(key, entry)
        return entry

    def keeps(self, entry: Entry) -> bool:
        """Whether the bytes of *entry* belong into ``manifests``. Raises Stop if that would be too many."""
        if entry.kind is not EntryKind.FILE or not _MANIFEST.fullmatch("/".join(_parts(entry.name))):
            return False
        self._kept += entry.size
        most = MAX_RECORD if entry.name.endswith("/RECORD") else MAX_MANIFEST
        if entry.size > most or self._kept > MAX_RECORD:
            raise Stop(f"entry {shown(entry.name)} is too large for a manifest ({entry.size} bytes)")
        return True

    def keep(self, entry: Entry, data: bytes) -> None:
        self.manifests["/".join(_parts(entry.name))] = data

    def finish(self) -> None:
        """The archive was read to its end: look at what no single entry shows."""
        above = None
        for key in sorted(self._seen, key=lambda key: key.replace("/", "\0")):
            entry = self._seen[key]
            if above is not None and key.startswith(f"{above}/"):
                parent = shown(self._seen[above].name)
                self.problem(f"entry {shown(entry.name)} lies below {parent}, which is no folder")
            elif entry.kind is not EntryKind.FOLDER:
                above = key
        if not self.entries:
            self.problem("the archive holds nothing")
        self.complete = True

    def within(self, folder: str) -> None:
        """Demand that everything lies in one top *folder*."""
        if others := self.folders - {folder}:
            self.problem(f"entries outside {shown(folder + '/')}: {', '.join(shown(o) for o in sorted(others)[:5])}")

    def without_links(self) -> None:
        """Demand that there are no symbolic links: a registry that refuses them is the destination."""
        for entry in self.entries:
            if entry.kind is EntryKind.LINK:
                self.problem(f"entry {shown(entry.name)} is a symbolic link")

    def contents(self) -> Contents:
        """What is known of any archive; the formats fill in name, version and metadata."""
        unsaid = (f"and {self._unsaid} more problems",) if self._unsaid else ()
        return Contents(entries=len(self.entries), unpacked=self.unpacked, problems=(*self._problems, *unsaid))


def listed(what: str, size: int, read: Callable[[Listing], None]) -> Listing:
    """What *read* enters for an archive of *size* bytes; whatever makes it stop becomes a problem."""
    listing = Listing(size)
    try:
        read(listing)
        listing.finish()
    except Stop as stop:
        listing.problem(f"not a readable {what}: {stop}")
    except UNREADABLE as error:
        listing.problem(f"not a readable {what}: {shown(str(error) or type(error).__name__)}")
    return listing


def shown(text: str) -> str:
    """Text from strangers, quoted, on one line, in ASCII and not too long."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 160 else f"{quoted[:157]}..."


def chunks(file: BinaryIO, size: int = -1) -> Iterator[bytes]:
    """The next *size* bytes of *file* (-1: all), a chunk at a time. Raises Stop if there are fewer."""
    while size and (chunk := file.read(CHUNK if size < 0 else min(CHUNK, size))):
        size -= len(chunk) if size > 0 else 0
        yield chunk
    if size > 0:
        raise Stop(f"it is cut short by {size} bytes")


def inflate(packed: Iterator[bytes], wbits: int) -> Iterator[bytes]:
    """Undo deflate (zlib's *wbits*: -15 raw, 31 gzip), at most a chunk at a time.

    Raises Stop unless *packed* is exactly one stream: some programs read a second one, others do not.
    """
    stream = zlib.decompressobj(wbits)
    for chunk in packed:
        data = chunk
        while data and not stream.eof:
            yield stream.decompress(data, CHUNK)
            data = stream.unconsumed_tail
        if stream.eof and (stream.unused_data or data):
            raise Stop("bytes follow the end of its compressed data")
    yield stream.flush()
    if not stream.eof:
        raise Stop("its compressed data is cut short")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _key(name: str) -> str:
    """Equal for names that are one file on a system that folds case or Unicode forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", "/".join(_parts(name))).casefold())


def _fault(name: str, kind: EntryKind) -> str:
    """What is wrong with the name of an entry, as the rest of a sentence; empty if nothing is."""
    if not name or (kind is not EntryKind.FOLDER and name.split("/")[-1] in ("", ".")):
        return "has no name"
    if len(name) > MAX_NAME:
        return f"has a name of more than {MAX_NAME} characters"
    if _UNPRINTABLE.search(name):
        return "has control characters in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or _DRIVE.match(name):
        return "has an absolute name"
    return "leaves the archive" if ".." in name.split("/") else ""


def _resolved(name: str, link: str) -> tuple[str, str]:
    """Where the symbolic link *name* with text *link* points to within the archive, and what is wrong with it.

    ``..`` may only stand in front: behind a folder, which may itself be a link, it leads anywhere.
    """
    if not link or _UNPRINTABLE.search(link) or "\\" in link or link.startswith("/") or _DRIVE.match(link):
        return "", f"points to {shown(link)}, which is no relative path"
    there, down = _parts(name)[:-1], _parts(link)
    while down and down[0] == "..":
        if not there:
            return "", f"points to {shown(link)}, which leaves the archive"
        there, down = there[:-1], down[1:]
    if ".." in down:
        return "", f"points to {shown(link)}, which may leave the archive"
    return "/".join([*there, *down]), ""
