"""This machine: its clock, its threads, and private room for files."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from releaser.engine.ports import Asset, Fetched, Forge, Reporter
from releaser.errors import ExternalError

if sys.platform != "win32":
    import fcntl

A = TypeVar("A")
B = TypeVar("B")
_CHUNK = 1 << 20
_PREFIX = "releaser-"
_LOCK = ".releaser-lock"


def stopwatch() -> float:
    """Seconds by a clock that nobody sets, and which on Linux runs on while the machine is suspended.

    CLOCK_MONOTONIC stands still then (man 2 clock_gettime).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SystemClock:
    """The wall clock in UTC, and a stopwatch that nobody sets."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return stopwatch()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ThreadWorkers:
    """Side by side in up to *width* threads; network waits and hashing release the interpreter."""

    def __init__(self, width: int = 16) -> None:
        self._width = width

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        todo = list(items)
        if len(todo) < 2:
            return [work(item) for item in todo]
        with ThreadPoolExecutor(min(self._width, len(todo))) as pool:
            futures = [pool.submit(work, item) for item in todo]
        return [future.result() for future in futures]


class TemporaryScratch:
    """A folder that only this user can enter and that is gone when the run ends. A context manager.

    Fetching the same asset again, or side by side, gives the copy that was hashed before; what was read once is not
    read again for as long as the forge shows its digest.
    """

    def __init__(self, forge: Forge, reporter: Reporter) -> None:
        self._forge = forge
        self._reporter = reporter
        self._opened = ExitStack()
        self._fetched: dict[int, Fetched] = {}
        self._known: dict[str, bytes] = {}  # by digest
        self._lock = threading.Lock()
        self._under_way: dict[int, threading.Lock] = {}

    def __enter__(self) -> Self:
        self._folder = self._opened.enter_context(private_folder())
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def fetch(self, asset: Asset) -> Fetched:
        """Download *asset* once, hashing the bytes that ended up in the file."""
        with self._lock:
            under_way = self._under_way.setdefault(asset.id, threading.Lock())
        with under_way:
            if asset.id not in self._fetched:
                file = self._folder / str(asset.id) / asset.name
                with _room(file):
                    file.parent.mkdir(mode=0o700, exist_ok=True)  # a download that failed has left it
                    with self._reporter.transfer(f"{asset.name} ← draft", asset.size) as progress:
                        self._forge.download(asset, file, progress)
                    self._fetched[asset.id] = _hashed(file)
            return self._fetched[asset.id]

    def read(self, asset: Asset, limit: int) -> bytes:
        """The bytes of a small asset; raises ExternalError ``asset-too-large`` and ``asset-digest``.

        The latter is for bytes of another digest than the forge shows, if it shows one.
        """
        if asset.size > limit:
            raise ExternalError(
                "asset-too-large",
                f"{asset.name} is too large for what it should be",
                object=asset.name,
                found=f"{asset.size} bytes",
                wanted=f"at most {limit} bytes",
                retryable=False,
            )
        if asset.digest in self._known:
            return self._known[asset.digest]
        with _room(Path(asset.name)), tempfile.TemporaryDirectory(dir=self._folder) as folder:
            file = Path(folder, "asset")
            self._forge.download(asset, file, lambda _: None)
            data = file.read_bytes()
        if asset.digest:
            if (found := f"sha256:{hashlib.sha256(data).hexdigest()}") != asset.digest:
                raise ExternalError(
                    "asset-digest",
                    "the asset's bytes are not those that the forge shows a digest of",
                    object=asset.name,
                    found=found,
                    wanted=asset.digest,
                    hint="run the same command again; if it stays, the file is damaged there: upload it anew",
                )
            self._known[asset.digest] = data
        return data


@contextmanager
def private_folder(kind: str = "") -> Iterator[Path]:
    """A folder among the temporary files that only this user can enter, gone at the end of the block.

    What killed processes of this user have left of theirs goes first. A lock, which the system drops with the process
    that holds it, tells which folders are in use; Windows has none, and there nothing is looked for.
    """
    _sweep(Path(tempfile.gettempdir()))
    with ExitStack() as held:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX + kind))
        while not _lock(folder, held):
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX + kind))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path, held: ExitStack) -> bool:
    """Say that *folder*, which is new, is in use for as long as *held* is open; whether it is still there."""
    if sys.platform == "win32":
        return True
    lock = held.enter_context(_descriptor(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:  # no locks on this file system
        Path(folder, _LOCK).unlink()  # without it, nobody takes the folder for a leftover
        return True
    return Path(folder, _LOCK).exists()  # else it was swept between the file and the lock


def _sweep(room: Path) -> None:
    """Remove the folders of `private_folder` in *room* that are this user's and not in use; links are not followed."""
    if sys.platform == "win32":
        return
    for path in room.glob(f"{_PREFIX}*"):
        with suppress(OSError), ExitStack() as opened:
            folder = opened.enter_context(_descriptor(path, os.O_RDONLY | os.O_DIRECTORY))
            status = os.fstat(folder)
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                continue
            lock = opened.enter_context(_descriptor(_LOCK, os.O_RDWR, folder))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name == _LOCK):  # the lock last
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.name, dir_fd=folder)
                else:
                    os.unlink(entry.name, dir_fd=folder)
            path.rmdir()


@contextmanager
def _descriptor(path: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    """The file or folder at *path*, which is no link, open; *path* is seen from the open *folder*."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _room(file: Path) -> Iterator[None]:
    """Turn a full or failing disk into ExternalError ``scratch-unwritable``."""
    try:
        yield
    except OSError as error:
        raise ExternalError(
            "scratch-unwritable",
            "there is no room for a private copy of the release's files",
            object=file.name,
            found=error.strerror or str(error),
            wanted="room in the folder for temporary files",
            hint="free some, or set TMPDIR to a folder on a larger disk, and run this again",
        ) from error


def _hashed(file: Path) -> Fetched:
    sha256, sha512 = hashlib.sha256(), hashlib.sha512()
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            sha256.update(chunk)
            sha512.update(chunk)
        size = os.fstat(source.fileno()).st_size
    return Fetched(file, size, sha256.hexdigest(), sha512.hexdigest())
