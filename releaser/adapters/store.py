"""Where ledgers are kept: one file a release, appended to and flushed to disk before anything is sent."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from releaser.engine.ledger import line, seal, verify
from releaser.engine.ports import Clock
from releaser.errors import ConfigError, WaitingError


class FileLedger:
    """A ledger in a file, held by one process at a time. A context manager.

    Opening verifies the whole chain and raises ConfigError ``ledger-broken`` for a file that was cut or edited,
    WaitingError ``ledger-held`` while another process has it, and ConfigError ``ledger-unwritable`` where it
    cannot be written or is no regular file. A record is on disk (``fsync``) when `append` returns; once one could
    not be brought there, no other is taken, for what the disk still holds is not known.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: OSError | None = None
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.close(self._descriptor)
            raise self._unwritable(OSError(errno.EINVAL, "not a regular file"))
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise WaitingError(
                "ledger-held",
                "another run is working on this release",
                object=str(path),
                found="a lock held by another process",
                wanted="one run at a time",
                hint="wait for it to end, then run this again",
            ) from error
        try:
            with os.fdopen(self._descriptor, "rb", closefd=False) as stored:
                self._records = list(verify(stored, str(path)))
        except OSError as error:
            os.close(self._descriptor)
            raise self._unwritable(error) from error
        except ConfigError:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        with self._lock:
            if self._failed is not None:
                raise self._unwritable(self._failed)
            record = seal(self._records[-1] if self._records else None, kind, body, self._clock.now())
            end = os.fstat(self._descriptor).st_size
            try:
                _write_all(self._descriptor, line(record))
                os.fsync(self._descriptor)
            except OSError as error:
                self._failed = error
                with suppress(OSError):
                    os.ftruncate(self._descriptor, end)
                raise self._unwritable(error) from error
            self._records.append(record)

    def entries(self) -> Iterator[Mapping[str, Any]]:
        yield from list(self._records)

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(
            "ledger-unwritable",
            "the ledger cannot be written, so nothing may be sent",
            object=str(self._path),
            found=error.strerror or str(error),
            wanted="room and permission to append",
            hint="give --ledger a path on a disk with room",
        )


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class NoLedger:
    """For commands that only read: remembers nothing, refuses to record."""

    def append(self, kind: str, body: Mapping[str, Any]) -> None:
        raise ConfigError(
            "ledger-missing", f"a read-only command tried to record {kind}", found=str(sorted(body)), wanted="no effect"
        )

    def entries(self) -> Iterator[Mapping[str, Any]]:
        return iter(())
