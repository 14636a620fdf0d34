"""A ledger in a file of its own, one record a line: on the disk before anything is sent, held by one process."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from releaser.errors import ConfigError, WaitingError

ROOM = "make room on that disk, then run this again; what was sent is on record"
PERMISSION = "give --ledger a path where this user may write"
PLACE = "give --ledger the path of a regular file on a disk of this machine"
_READ_PERMISSION = "let this user read it, or name the place that `releaser publish --ledger` was given"
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HINTS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), PERMISSION),
}


class FileStore:
    """The lines of one ledger in the file *path*, which nobody else can open meanwhile. A context manager.

    Opening raises WaitingError ``ledger-held`` while another process has the file, and ConfigError
    ``ledger-unwritable`` where it cannot be written or is no regular file. Lines are on the disk (``fsync``) when
    `extend` returns; once some could not be brought there, no others are taken, for what the disk still holds is not
    known. Of lines that a crash cuts off, the first ones may be there, and a part of the next.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._failed: OSError | None = None
        with self._understood():
            new = [path, *made(path.parent)]
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _OPEN, 0o600)
        try:
            with self._understood():
                self._hold()
                if not self.read():
                    settle(new)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self) -> Sequence[bytes]:
        with self._understood(), os.fdopen(self._descriptor, "rb", closefd=False) as stored:
            stored.seek(0)
            self._lines = stored.readlines()
            self._seen = self._state()
        return list(self._lines)

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        with self._understood():
            if self._failed is not None:
                raise self._failed
            require_same(os.fstat(self._descriptor), self._path)
            kept, torn = self._lines[:after], b"".join(self._lines[after:])
            if len(kept) < after or b"\n" in torn or self._changed():
                return False
            size = sum(map(len, kept))
            ended = not kept or kept[-1].endswith(b"\n")
            try:
                os.ftruncate(self._descriptor, size)  # cuts off a torn line
                _write_all(self._descriptor, b"".join(lines if ended else [b"\n", *lines]))
                os.fsync(self._descriptor)
            except OSError as error:
                self._failed = error
                with suppress(OSError):
                    os.ftruncate(self._descriptor, size)
                raise
            if not ended:
                kept[-1] += b"\n"
            self._lines = [*kept, *lines]
            self._seen = self._state()
        return True

    def _hold(self) -> None:
        require_regular(os.fstat(self._descriptor))
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise held(self.name) from error
        require_same(os.fstat(self._descriptor), self._path)

    def _changed(self) -> bool:
        """Whether somebody edited it behind the lock; two edits may be too close for the time to tell them apart."""
        last = b"".join(self._lines[-1:])
        there = os.pread(self._descriptor, len(last), max(0, self._seen[0] - len(last)))
        return self._seen != self._state() or there != last

    def _state(self) -> tuple[int, int]:
        """What changes when somebody writes to the file."""
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Turn what the system refuses into what a person can do about it."""
        try:
            yield
        except OSError as error:
            raise unwritable(self.name, error.strerror or str(error), hint_of(error)) from error


def read_file(path: Path) -> Sequence[bytes]:
    """The lines of the ledger in the file *path*, none where there is none; nothing is made, nor waited for.

    Raises ConfigError ``ledger-unreadable``, also where it is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
        try:
            require_regular(os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as stored:
                return stored.readlines()
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return ()
    except OSError as error:
        hint = _READ_PERMISSION if error.errno in (errno.EACCES, errno.EPERM) else PLACE
        raise unreadable(str(path), error.strerror or str(error), hint) from error


def made(folder: Path) -> list[Path]:
    """Make *folder*, for this user alone; the folders that were not there before, to be given to `settle`."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return missing


def settle(new: Iterable[Path]) -> None:
    """Bring the names of *new* files and folders to the disk: each is an entry of the folder around it."""
    for folder in {path.parent for path in new}:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def require_regular(file: os.stat_result) -> None:
    """Raise OSError when *file* is a folder, a pipe, a device or a link."""
    if not stat.S_ISREG(file.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def require_same(file: os.stat_result, path: Path) -> None:
    """Raise OSError when *file*, which is open, is not the one that the next run would find at *path*."""
    if not os.path.samestat(file, path.lstat()):
        raise OSError(errno.ESTALE, "another file has taken its place")


def held(where: str) -> WaitingError:
    return WaitingError(
        "ledger-held",
        "another run is working on this release",
        object=where,
        found="a lock held by another process",
        wanted="one run at a time",
        hint="wait for it to end, then run this again",
    )


def unwritable(where: str, found: str, hint: str) -> ConfigError:
    return ConfigError(
        "ledger-unwritable",
        "the ledger cannot be written, so nothing may be sent",
        object=where,
        found=found,
        wanted="room and permission to append",
        hint=hint,
    )


def unreadable(where: str, found: str, hint: str) -> ConfigError:
    return ConfigError(
        "ledger-unreadable",
        "the ledger cannot be read",
        object=where,
        found=found,
        wanted="a ledger that may be read",
        hint=hint,
    )


def hint_of(error: OSError) -> str:
    """What a person can do about *error*."""
    return _HINTS.get(error.errno or 0, PLACE)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
