"""What a request carries: byte strings and files, of known length, in constant memory."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = 3 << 16  # bytes; a multiple of three, so that Base64 needs no padding in between


@dataclass(frozen=True, slots=True)
class Base64:
    """A file that is sent in Base64 (RFC 4648 section 4)."""

    file: Path


@dataclass(frozen=True, slots=True)
class Body:
    """A request body of known length made of byte strings and files, read while it is sent in constant memory.

    *progress* is told the bytes of the files once they have left.
    """

    parts: tuple[bytes | Path | Base64, ...]
    progress: Callable[[int], None] = lambda _: None

    @property
    def length(self) -> int:
        """In bytes."""
        return sum(_length(part) for part in self.parts)

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            match part:
                case bytes():
                    yield part
                case Path():
                    yield from self._read(part, bytes)
                case Base64(file):
                    yield from self._read(file, base64.b64encode)

    def _read(self, file: Path, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
        with file.open("rb") as source:
            while piece := source.read(CHUNK):
                yield encode(piece)
                self.progress(len(piece))


def _length(part: bytes | Path | Base64) -> int:
    match part:
        case bytes():
            return len(part)
        case Path():
            return part.stat().st_size
        case Base64(file):
            return (file.stat().st_size + 2) // 3 * 4
