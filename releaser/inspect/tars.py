"""TAR archives, plain or compressed, read once from front to back (T16).

Headers are left to `tarfile`; this module feeds it, so that neither a compressed bomb nor a gigantic header gets
into memory, and checks what `tarfile` passes over in silence.
"""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from releaser.inspect.archive import CHUNK, EntryKind, Listing, Stop, chunks, inflate, listed, shown

_MAX_LZMA = 256 << 20
_MAX_HEADER = 64 << 10
_MAX_GLOBALS = 64
_OVERRIDES = {"path", "linkpath", "size"}

COMPRESSIONS: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    "": chunks,
    "gz": lambda file: inflate(chunks(file), zlib.MAX_WBITS | 16),
    "bz2": lambda file: _streams(file, bz2.BZ2Decompressor),
    "xz": lambda file: _streams(file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_LZMA)),
}
"""The bytes of the tar in a file, at most a chunk at a time, by the suffix that names the compression."""


def read_tar(file: BinaryIO, size: int, compression: str) -> Listing:
    """List the archive *file* of *size* bytes; *compression* is a key of `COMPRESSIONS`. Raises nothing."""

    def read(listing: Listing) -> None:
        stream = _Forward(COMPRESSIONS[compression](file), listing.limit)
        with _Passing(fileobj=stream, encoding="utf-8", errors="surrogateescape") as archive:
            while member := archive.next():
                archive.members.clear()
                if len(archive.pax_headers) > _MAX_GLOBALS or _OVERRIDES & archive.pax_headers.keys():
                    raise Stop("it has a global header that renames or resizes entries")
                _read_entry(stream, member, listing)
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise Stop("it does not end where the last entry ends")
        while rest := stream.take(CHUNK):
            if rest.count(0) != len(rest):
                raise Stop("bytes follow its end")

    return listed("tar", size, read)


def _read_entry(stream: _Forward, member: tarfile.TarInfo, listing: Listing) -> None:
    name = shown(member.name)
    if "size" in member.pax_headers:
        header = tarfile.TarInfo.frombuf(stream.last, "utf-8", "surrogateescape")
        if header.size != member.size:
            raise Stop(f"entry {name} states two sizes")
    if member.issparse() or member.size < 0:
        raise Stop(f"entry {name} is sparse or of no size")
    if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = EntryKind.FILE
    elif member.isdir():
        kind = EntryKind.FOLDER
    elif member.issym():
        kind = EntryKind.LINK
    else:
        listing.problem(f"entry {name} is a hard link" if member.islnk() else f"entry {name} is a device")
        return
    entry = listing.add(member.name, member.size, kind, member.linkname if kind is EntryKind.LINK else "")
    if listing.keeps(entry):
        listing.keep(entry, stream.gather(member.size))


def _streams(file: BinaryIO, start: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Iterator[bytes]:
    """Undo bzip2 or xz; several streams after one another are one, as parallel compressors write them."""
    stream, fresh = start(), True
    for chunk in chunks(file):
        data = chunk
        while data or not (stream.eof or stream.needs_input):
            if stream.eof:
                stream = start()
            yield stream.decompress(data, CHUNK)
            data, fresh = stream.unused_data if stream.eof else b"", False
    if fresh or not stream.eof:
        raise Stop("its compressed data is cut short")


class _Passing(tarfile.TarFile):
    """`tarfile.TarFile` keeps every member that it passed in this list, and each its headers; ours is emptied."""

    members: list[tarfile.TarInfo]


class _Forward(io.RawIOBase):
    """A readable that only goes forward and ends in Stop beyond *limit* bytes or before a gigantic header.

    ``last`` is what `tarfile` read last: the header of the entry that it just returned.
    """

    def __init__(self, source: Iterator[bytes], limit: int) -> None:
        self.last = b""
        self._source = source
        self._limit = limit
        self._position = 0
        self._buffer = b""
        self._used = 0

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise Stop("it has an entry of negative size")
        while self._position < offset and self.take(offset - self._position):
            pass
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise Stop(f"it has a header of {size} bytes")
        self.last = self.gather(size)
        return self.last

    def gather(self, size: int) -> bytes:
        """*size* bytes, fewer only at the end."""
        parts = []
        while size and (part := self.take(size)):
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def take(self, most: int) -> bytes:
        """Up to *most* bytes, as many as are at hand; none at the end. Raises Stop beyond the limit."""
        while self._used == len(self._buffer):
            try:
                self._buffer, self._used = next(self._source), 0
            except StopIteration:
                return b""
        part = self._buffer[self._used : self._used + most]
        self._used += len(part)
        self._position += len(part)
        if self._position > self._limit:
            raise Stop(f"it unpacks to more than {self._limit} bytes")
        return part
