"""Disks that are full, small or read-only, and places that are no files: where a ledger cannot be kept."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size* bytes: a disk that is full for whoever writes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class SmallDisk:
    """A file system of its own at *folder*, which only the superuser can make."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir()
        if not self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
            pytest.skip("no file system can be mounted here")

    def resize(self, size: int) -> None:
        assert self._mount("-o", f"remount,rw,size={size}", str(self.folder))

    def forbid_writing(self) -> None:
        assert self._mount("-o", "remount,ro", str(self.folder))

    def _mount(self, *arguments: str) -> bool:
        command = ["mount", *arguments]
        return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """A disk with room for *size* bytes, in pages of the machine, for the length of a block."""
    disk = SmallDisk(folder, size)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def under_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "ledger"


def a_folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def a_link(tmp_path: Path) -> Path:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    return tmp_path / "link"


def a_link_to_nothing(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    return tmp_path / "link"


def in_a_read_only_folder(tmp_path: Path) -> Path:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    (tmp_path / "folder").mkdir(mode=0o500)
    return tmp_path / "folder" / "ledger"


def a_device(tmp_path: Path) -> Path:  # noqa: ARG001 - one for everybody
    return Path(os.devnull)


def a_pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


_PLACES: tuple[Callable[[Path], Path], ...] = (
    under_a_file,
    a_folder,
    a_link,
    a_link_to_nothing,
    in_a_read_only_folder,
    a_device,
    a_pipe,
)


@pytest.fixture(params=_PLACES, ids=lambda place: place.__name__)
def impossible(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A path at which no ledger can be kept; what a link leads to stays as it was."""
    place: Path = request.param(tmp_path)
    target = tmp_path / "target"
    before = target.exists()
    yield place
    assert target.exists() is before
    assert not before or target.read_bytes() == b""
