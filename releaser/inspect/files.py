"""The files of a release: opened once, hashed once, told apart by name and content, never unpacked.

Looking into a file never fails because of what is in it: whatever is wrong with an archive is in
``Contents.problems``. Errors are for files that are none, that change under our hands, or that no asset of a
release can be called.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

from releaser.errors import ConfigError
from releaser.inspect.archive import Listing, chunks
from releaser.inspect.crate import crate
from releaser.inspect.npm import MANIFEST, npm
from releaser.inspect.python import sdist, wheel
from releaser.inspect.tars import read_tar
from releaser.inspect.zips import read_zip
from releaser.model.artifact import Artifact, Contents, Inspected, Kind
from releaser.model.manifest import ASSET, CHECKSUMS

Progress = Callable[[int], None]
"""Told the number of bytes just hashed; called from several threads."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
"""What GitHub leaves unchanged in the name of a release asset, and no shell or log takes for something else (T20)."""

_LEFT_BEHIND = re.compile(rf"\.(?:{re.escape(ASSET)}|{CHECKSUMS})\.[a-z0-9_]{{8}}")
"""What a process that was killed while it wrote one of our documents leaves of it, by the names of `tempfile`."""

_TARS = {
    ".tar": "",
    ".tar.gz": "gz",
    ".tgz": "gz",
    ".tar.bz2": "bz2",
    ".tbz2": "bz2",
    ".tar.xz": "xz",
    ".txz": "xz",
}


def inspect_folder(folder: Path, progress: Progress | None = None) -> tuple[Inspected, ...]:
    """Every file in *folder* but our own documents, sorted by name; several at a time.

    Raises ConfigError as `inspect` does (a folder inside *folder* is no artifact either), ``artifact-name`` for
    two names that differ in case alone, and ``artifact-unreadable`` if *folder* cannot be listed.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not _is_ours(entry))
    except OSError as error:
        raise _unreadable(folder, error) from error
    seen: dict[str, str] = {}
    for name in names:
        _check_name(name)
        if (twin := seen.setdefault(name.lower(), name)) != name:
            raise ConfigError(
                "artifact-name",
                f"{twin} and {name} are one file on systems that fold case",
                object=name,
                found=twin,
                hint="rename one of them",
            )
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(partial(inspect, progress=progress), (folder / name for name in names)))


def _is_ours(entry: os.DirEntry[str]) -> bool:
    if entry.name in (ASSET, CHECKSUMS):
        return True
    return _LEFT_BEHIND.fullmatch(entry.name) is not None and entry.is_file(follow_symlinks=False)


def total_size(folder: Path) -> int:
    """The bytes that `inspect_folder` would hash, for a progress bar; 0 for a folder that cannot be listed."""
    try:
        return sum(e.stat(follow_symlinks=False).st_size for e in os.scandir(folder) if not _is_ours(e))
    except OSError:
        return 0


def inspect(path: Path, progress: Progress | None = None) -> Inspected:
    """Hash the file at *path* and look into it.

    Raises ConfigError ``artifact-name`` for a name that is not safe everywhere, ``artifact-not-regular`` for
    symbolic links, folders, pipes and devices, ``artifact-changed`` if it does not hold still, and
    ``artifact-unreadable``.
    """
    _check_name(path.name)
    try:
        with _open(path) as file:
            before = os.fstat(file.fileno())
            sha256, sha512 = _hash(file, path, before.st_size, progress)
            file.seek(0)
            kind, contents = _look(file, path.name, before.st_size)
            _check_unchanged(path, before, os.fstat(file.fileno()), os.lstat(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    artifact = Artifact(
        name=path.name,
        kind=kind,
        group="",
        size=before.st_size,
        sha256=sha256,
        sha512=sha512 if kind is Kind.NPM else None,
    )
    return Inspected(artifact, contents)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "artifact-name",
            f"{name!a} cannot be the name of a release asset",
            object=ascii(name),
            found=ascii(name),
            wanted="1 to 200 of A-Z a-z 0-9 . _ -, not beginning with a dot or a dash",
            hint="rename the file in the step that builds it",
        )


def _open(path: Path) -> BinaryIO:
    """Open without following a link or waiting for a pipe's other end; what was opened is what is looked at (T21)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_regular(path, os.lstat(path).st_mode) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise _not_regular(path, mode)


def _hash(file: BinaryIO, path: Path, size: int, progress: Progress | None) -> tuple[str, str]:
    """SHA-256, and SHA-512 of what may turn out to be an npm package, in one pass. Raises ``artifact-changed``."""
    sha256 = hashlib.sha256()
    sha512 = hashlib.sha512() if path.name.endswith(".tgz") else None
    length = 0
    for chunk in chunks(file):
        length += len(chunk)
        if length > size:  # it may grow for ever
            break
        sha256.update(chunk)
        if sha512:
            sha512.update(chunk)
        if progress:
            progress(len(chunk))
    if length != size:
        raise _changed(path, f"{'at least ' if length > size else ''}{length} bytes", f"{size} bytes")
    return sha256.hexdigest(), sha512.hexdigest() if sha512 else ""


def _look(file: BinaryIO, name: str, size: int) -> tuple[Kind, Contents]:
    if not size:
        return _kind_by_name(name), Contents(problems=("empty",))
    if name.endswith(".whl"):
        return Kind.WHEEL, wheel(name, read_zip(file, size, digests=True))
    if name.endswith(".crate"):
        return Kind.CRATE, crate(name, read_tar(file, size, "gz"))
    if name.lower().endswith(".zip"):
        return Kind.ARCHIVE, read_zip(file, size).contents()
    compression = _compression(name)
    if compression is None:
        return Kind.FILE, Contents()
    listing = read_tar(file, size, compression)
    if name.endswith(".tgz") and MANIFEST in listing.manifests:
        return Kind.NPM, npm(listing)
    if name.endswith(".tar.gz") and (top := _sdist_folder(name, listing)):
        return Kind.SDIST, sdist(name, top, listing)
    return Kind.ARCHIVE, listing.contents()


def _kind_by_name(name: str) -> Kind:
    if name.endswith(".whl"):
        return Kind.WHEEL
    if name.endswith(".crate"):
        return Kind.CRATE
    return Kind.FILE if _compression(name) is None and not name.lower().endswith(".zip") else Kind.ARCHIVE


def _compression(name: str) -> str | None:
    return next((how for suffix, how in _TARS.items() if name.lower().endswith(suffix)), None)


def _sdist_folder(name: str, listing: Listing) -> str:
    """The ``NAME-VERSION`` folder with a PKG-INFO that makes an archive a source distribution; empty if there is none.

    It is the only folder, or the one that the file is named after.
    """
    folders = listing.folders
    for top in sorted(folders):
        alone = len(folders) == 1 and "-" in top
        if f"{top}/PKG-INFO" in listing.manifests and (alone or f"{top}.tar.gz" == name):
            return top
    return ""


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result, there: os.stat_result) -> None:
    """Raise ``artifact-changed`` unless the file we read is still the same, and still what *path* names."""

    def traits(found: os.stat_result) -> str:
        return (
            f"inode {found.st_ino} on {found.st_dev}, {found.st_size} bytes, "
            f"modified {found.st_mtime_ns}, changed {found.st_ctime_ns}"
        )

    for now in (after, there):
        if traits(now) != traits(before):
            raise _changed(path, traits(now), traits(before))


def _changed(path: Path, found: str, wanted: str) -> ConfigError:
    return ConfigError(
        "artifact-changed",
        f"{path.name} changed while it was read",
        object=path.name,
        found=found,
        wanted=wanted,
        hint="wait for the build to end, then run the same command again",
    )


def _not_regular(path: Path, mode: int) -> ConfigError:
    return ConfigError(
        "artifact-not-regular",
        f"{path.name} is not a regular file",
        object=path.name,
        found=stat.filemode(mode),
        wanted="a regular file, not a folder, link, pipe or device",
        hint="put the files themselves side by side into one folder",
    )


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "artifact-unreadable",
        f"{path.name!a} cannot be read",
        object=ascii(str(path))[1:-1],
        found=error.strerror or str(error),
        wanted="something to read",
        hint="check that it exists and that this user may read it",
    )
