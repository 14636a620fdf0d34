"""ZIP archives, read in a way that leaves no second reading (T16, T17).

Layout and field names follow PKWARE's APPNOTE.TXT 6.3.10. Every byte of the file has to belong to exactly one
entry, to the central directory or to the one end record, and what an entry says of itself twice has to agree.
PyPI demands the same (warehouse/utils/zipfiles.py).
"""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from releaser.inspect.archive import MAX_ENTRIES, EntryKind, Listing, Stop, chunks, inflate, listed, shown

_LOCAL = struct.Struct("<4s2xHH4xLLLHH")
_CENTRAL = struct.Struct("<4s2xHHH4xLLLHHH4xLL")
_END = struct.Struct("<4sHHHHLLH")
_END64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR = struct.Struct("<4sLQL")
_MAX_COMMENT = 0xFFFF
_MAX_VERSION = 63
_MAX_DIRECTORY = 64 << 20

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_STREAMED = 0x0008
_UTF8 = 0x0800
_KNOWN = 0x0006 | _STREAMED | _UTF8
_STORED, _DEFLATED = 0, 8
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_16, _32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Member:
    """An entry as the central directory has it; ``packed`` and ``size`` are in bytes, ``offset`` of its header."""

    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    offset: int
    extras: dict[int, bytes]

    @property
    def name(self) -> str:
        return self.raw.decode("utf-8" if self.flags & _UTF8 else "cp437", "surrogateescape")


def read_zip(file: BinaryIO, size: int, *, digests: bool = False) -> Listing:
    """List the archive *file* of *size* bytes, with the SHA-256 of every file if *digests*; raises nothing."""

    def read(listing: Listing) -> None:
        start, members = _directory(file, size)
        total = sum(member.size for member in members)
        if total > listing.limit:
            raise Stop(f"it unpacks to {total} bytes, more than {listing.limit}")
        position = 0
        for member in members:
            position = _read_entry(file, member, position, listing, digests=digests)
        if position != start:
            raise Stop(f"{start - position} bytes before the central directory belong to no entry")

    return listed("zip", size, read)


def _directory(file: BinaryIO, size: int) -> tuple[int, list[_Member]]:
    """The offset of the central directory and its members, in the order of their offsets."""
    reach = min(size, _END.size + _MAX_COMMENT)
    file.seek(size - reach)
    tail = file.read(reach)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _END.size:
        raise Stop("it has no end-of-central-directory record")
    end = size - reach + found
    _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, found)
    if surplus := len(tail) - found - _END.size - comment:
        raise Stop(f"{surplus} bytes follow its end record")
    if disk or first_disk or here != count:
        raise Stop("it is spread over several disks")
    if end >= _LOCATOR.size + _END64.size:
        count, length, start, end = _zip64_end(file, end, count, length, start)
    if count > MAX_ENTRIES or length > _MAX_DIRECTORY:
        raise Stop(f"it has more than {MAX_ENTRIES} entries or too large a central directory")
    if start + length != end:
        file.seek(min(start + length, size))
        second = file.read(4) == b"PK\5\6"
        raise Stop("it has two end records" if second else "bytes lie between its central directory and its end record")
    file.seek(start)
    directory = b"".join(chunks(file, length))
    return start, sorted(_members(directory, count), key=lambda member: member.offset)


def _zip64_end(file: BinaryIO, end: int, count: int, length: int, start: int) -> tuple[int, int, int, int]:
    """The same four numbers after a look at the ZIP64 records, which stand just before the end record if at all."""
    file.seek(end - _LOCATOR.size - _END64.size)
    records = file.read(_LOCATOR.size + _END64.size)
    mark, first_disk, where, disks = _LOCATOR.unpack_from(records, _END64.size)
    if mark != b"PK\6\7":
        return count, length, start, end
    mark, rest, _, _, disk, other_disk, here, count64, length64, start64 = _END64.unpack_from(records)
    end64 = end - _LOCATOR.size - _END64.size
    if mark != b"PK\6\6" or rest != _END64.size - 12 or where != end64:
        raise Stop("its ZIP64 end record is not where it should be")
    if disk or other_disk or first_disk or disks > 1 or here != count64:
        raise Stop("it is spread over several disks")
    for short, long, sentinel in ((count, count64, _16), (length, length64, _32), (start, start64, _32)):
        if short not in (long, sentinel):
            raise Stop("its two end records differ")
    return count64, length64, start64, end64


def _members(directory: bytes, count: int) -> Iterator[_Member]:
    position = 0
    for _ in range(count):
        if len(directory) - position < _CENTRAL.size:
            raise Stop(f"its central directory does not hold {count} entries")
        fields = _CENTRAL.unpack_from(directory, position)
        mark, needs, flags, method, crc, packed, size, named, extra, comment, attributes, offset = fields
        if mark != b"PK\1\2":
            raise Stop("its central directory is damaged")
        if needs & 0xFF > _MAX_VERSION:
            raise Stop(f"an entry needs version {(needs & 0xFF) / 10} of the format")
        body = directory[position + _CENTRAL.size : position + _CENTRAL.size + named + extra]
        position += _CENTRAL.size + named + extra + comment
        extras = _extras(body[named:])
        size, packed, offset = _zip64(extras, size, packed, offset)
        yield _Member(body[:named], flags, method, crc, packed, size, attributes >> 16, offset, extras)
    if position != len(directory):
        raise Stop(f"its central directory holds more than {count} entries")


def _extras(data: bytes) -> dict[int, bytes]:
    """The extra fields by their number; fewer than four bytes at the end are padding, as zipalign leaves it."""
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        number, length = struct.unpack_from("<HH", data)
        if length + 4 > len(data) or (number in found and number in (_ZIP64, _UNICODE_PATH)):
            raise Stop("an extra field is damaged or there twice")
        found[number] = data[4 : 4 + length]
        data = data[4 + length :]
    return found


def _zip64(extras: dict[int, bytes], *numbers: int) -> tuple[int, ...]:
    """*numbers* with those that did not fit in 32 bits taken from the ZIP64 extra field, in this order."""
    long = io.BytesIO(extras.get(_ZIP64, b""))
    return tuple(struct.unpack("<Q", long.read(8))[0] if number == _32 else number for number in numbers)


def _read_entry(file: BinaryIO, member: _Member, position: int, listing: Listing, *, digests: bool) -> int:
    """Check one entry against its own header, unpack it in passing, and return the offset where it ends."""
    name = shown(member.name)
    if member.offset != position:
        raise Stop(
            f"{member.offset - position} bytes before entry {name} belong to no entry"
            if member.offset > position
            else f"entry {name} overlaps another"
        )
    file.seek(position)
    header = file.read(_LOCAL.size)
    mark, flags, method, crc, packed, size, named, extra = _LOCAL.unpack(header)
    raw = file.read(named)
    extras = _extras(b"".join(chunks(file, extra)))
    size, packed = _zip64(extras, size, packed)
    if mark != b"PK\3\4" or raw != member.raw:
        raise Stop(f"entry {name} has another name in its own header")
    if method != member.method or (flags ^ member.flags) & (_ENCRYPTED | _STREAMED | (0 if raw.isascii() else _UTF8)):
        raise Stop(f"entry {name} has another method or other flags in its own header")
    own, wanted = (crc, packed, size), (member.crc, member.packed, member.size)
    streamed = bool(flags & _STREAMED)
    if own != wanted and not (streamed and all(a in (0, b) for a, b in zip(own, wanted, strict=True))):
        raise Stop(f"entry {name} has another size or checksum in its own header")
    for path in (extras.get(_UNICODE_PATH), member.extras.get(_UNICODE_PATH)):
        if path is not None and path[5:] != raw:
            raise Stop(f"entry {name} has a second name")

    if flags & _ENCRYPTED:
        raise Stop(f"entry {name} is encrypted")
    if (flags | member.flags) & ~_KNOWN:
        raise Stop(f"entry {name} uses features that few readers know (flags {flags | member.flags:#06x})")
    if method not in (_STORED, _DEFLATED):
        raise Stop(f"entry {name} uses compression method {method}; only stored and deflated are read everywhere")
    if not raw.isascii() and not flags & _UTF8:
        listing.problem(f"entry {name} has a name that is neither ASCII nor marked as UTF-8")
    if stat.S_IFMT(member.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        listing.problem(f"entry {name} is a link or a device")
    folder = member.name.endswith("/")
    if (stat.S_IFMT(member.mode) == stat.S_IFDIR) != folder and stat.S_IFMT(member.mode):
        listing.problem(f"entry {name} is a folder by its name or by its mode, not both")
    entry = listing.add(member.name, member.size, EntryKind.FOLDER if folder else EntryKind.FILE)
    keep = listing.keeps(entry)

    kept, digest, checksum, length = bytearray(), hashlib.sha256(), 0, 0
    data = chunks(file, member.packed)
    try:
        for chunk in data if method == _STORED or not member.packed else inflate(data, -zlib.MAX_WBITS):
            length += len(chunk)
            if length > member.size:
                break
            checksum = zlib.crc32(chunk, checksum)
            if digests:
                digest.update(chunk)
            if keep:
                kept += chunk
    except (Stop, zlib.error) as error:
        raise Stop(f"entry {name}: {error}") from error
    if length != member.size or checksum != member.crc:
        raise Stop(f"entry {name} does not unpack to the size and checksum that it states")
    if keep:
        listing.keep(entry, bytes(kept))
    if digests and not folder:
        listing.digests[member.name] = digest.digest()
    end = file.tell()
    return end + _descriptor(file.read(24), member) if streamed else end


def _descriptor(data: bytes, member: _Member) -> int:
    """The length of the data descriptor at the start of *data*: with or without signature, sizes of 4 or 8 bytes."""
    for sizes in ("LL", "QQ") if max(member.packed, member.size) <= _32 else ("QQ",):
        plain = struct.pack(f"<L{sizes}", member.crc, member.packed, member.size)
        for record in (b"PK\7\x08" + plain, plain):
            if data.startswith(record):
                return len(record)
    raise Stop(f"entry {shown(member.name)} is followed by a wrong data descriptor")
