"""What a request carries: byte strings and files, of known length, in constant memory."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from releaser.errors import ExternalError

CHUNK = 3 << 16  # bytes; a multiple of three, so that Base64 needs no padding in between


@dataclass(frozen=True, slots=True)
class Base64:
    """A file that is sent in Base64 (RFC 4648 section 4)."""

    file: Path


@dataclass(frozen=True, slots=True)
class Body:
    """A request body of known length made of byte strings and files, read while it is sent in constant memory.

    *progress* is told the bytes of the files once they have left. Measuring and reading raise ExternalError
    ``scratch-unreadable``.
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
        for piece in _pieces(file):
            yield encode(piece)
            self.progress(len(piece))


def _length(part: bytes | Path | Base64) -> int:
    match part:
        case bytes():
            return len(part)
        case Path():
            return _size(part)
        case Base64(file):
            return (_size(file) + 2) // 3 * 4


def _size(file: Path) -> int:
    with _readable(file):
        return file.stat().st_size


def _pieces(file: Path) -> Iterator[bytes]:
    with _readable(file), file.open("rb") as source:
        while piece := source.read(CHUNK):
            yield piece


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn a file that is gone or cannot be read into ExternalError ``scratch-unreadable``."""
    try:
        yield
    except OSError as error:
        raise ExternalError(
            "scratch-unreadable",
            "the private copy of a file cannot be read any more",
            object=file.name,
            found=error.strerror or str(error),
            wanted="a file that stays as it is until it has been sent",
            hint="leave the folder for temporary files alone, and run this again",
        ) from error
