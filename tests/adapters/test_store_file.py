"""Ledgers in files: durable, held by one process, and left alone where they cannot be written."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from releaser.adapters.store_file import PLACE, FileStore, read_file
from releaser.errors import ConfigError, Exit, WaitingError
from tests.adapters.disks import file_size_limit, impossible, small_disk

__all__ = ["impossible"]
FIRST, SECOND, THIRD = (b'{"number":%d,"text":"%s"}\n' % (number, b"x" * 50) for number in range(3))
CHILD = """
import sys
from pathlib import Path
from releaser.adapters.store_file import FileStore

with FileStore(Path(sys.argv[1])) as store:
    print(store.extend(0, [b"by the child\\n"]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "acme" / "v1.2.0.jsonl"


def lines(path: Path) -> list[bytes]:
    """What is there for somebody who opens it."""
    with FileStore(path) as store:
        return list(store.read())


def begun(path: Path) -> bytes:
    """The content of a ledger with one line, which is made at *path*."""
    with FileStore(path) as store:
        assert store.extend(0, [FIRST])
    return path.read_bytes()


@contextmanager
def child(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the ledger open and has added to it."""
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        try:
            yield process
        finally:
            process.kill()


def test_it_is_for_its_owner_alone(path: Path) -> None:
    with FileStore(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_process_waits_its_turn(path: Path) -> None:
    with child(path):
        with pytest.raises(WaitingError) as caught:
            FileStore(path)
        assert (caught.value.code, caught.value.exit) == ("ledger-held", Exit.WAITING)


def test_a_killed_process_leaves_its_lines_and_no_lock(path: Path) -> None:
    with child(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lines(path) == [b"by the child\n"]


def test_what_finds_no_room_leaves_nothing_behind(path: Path) -> None:
    """Wherever in three lines the disk is full."""
    before = begun(path)
    for room in range(len(SECOND + THIRD)):
        with FileStore(path) as store:
            with file_size_limit(len(before) + room), pytest.raises(ConfigError) as caught:
                store.extend(1, [SECOND, THIRD])
            with pytest.raises(ConfigError) as again:
                store.extend(1, [SECOND])
            assert (caught.value.code, again.value.code) == ("ledger-unwritable", "ledger-unwritable")
            assert caught.value.hint.startswith("make room")
        assert path.read_bytes() == before
    with FileStore(path) as store:
        assert store.extend(1, [SECOND, THIRD])
    assert lines(path) == [FIRST, SECOND, THIRD]


def test_on_a_full_disk_what_was_taken_stays(tmp_path: Path) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    line = b"x" * 999 + b"\n"
    with small_disk(tmp_path / "disk", 4 * page) as disk:
        path = disk.folder / "ledger"
        with FileStore(path) as store, pytest.raises(ConfigError) as caught:
            all(store.extend(number, [line]) for number in itertools.count())
        assert (caught.value.code, caught.value.found) == ("ledger-unwritable", "No space left on device")
        taken = lines(path)
        assert taken == [line] * (4 * page // len(line))
        disk.resize(8 * page)
        with FileStore(path) as store:
            assert store.extend(len(taken), [SECOND])
        disk.forbid_writing()
        with pytest.raises(ConfigError) as caught:
            FileStore(path)
        assert (caught.value.code, caught.value.found) == ("ledger-unwritable", "Read-only file system")


def test_where_it_cannot_be_written_nothing_may_be_sent(impossible: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        FileStore(impossible)
    assert (caught.value.code, caught.value.object) == ("ledger-unwritable", str(impossible))
    assert caught.value.hint.startswith("give --ledger")


TORN = pytest.mark.parametrize(
    "torn", [THIRD[:1], THIRD[:20], THIRD[:-1]], ids=["one byte of it", "a part", "all but the line end"]
)


def torn_at(path: Path, torn: bytes) -> None:
    """Put two lines and a part of a third there."""
    path.parent.mkdir(parents=True)
    path.write_bytes(FIRST + SECOND + torn)


@TORN
def test_a_torn_line_is_shown_and_cut_off_where_it_is_not_counted(path: Path, torn: bytes) -> None:
    torn_at(path, torn)
    with FileStore(path) as store:
        assert store.read() == [FIRST, SECOND, torn]
        for elsewhere in (0, 1, 4):
            assert not store.extend(elsewhere, [THIRD])
        assert path.read_bytes() == FIRST + SECOND + torn
        assert store.extend(2, [THIRD])
        assert store.extend(3, [FIRST])
    assert path.read_bytes() == FIRST + SECOND + THIRD + FIRST


@TORN
def test_a_line_without_its_end_is_given_one_where_it_is_counted(path: Path, torn: bytes) -> None:
    torn_at(path, torn)
    with FileStore(path) as store:
        assert store.extend(3, [FIRST])
        assert store.extend(4, [SECOND])
        assert store.read() == [FIRST, SECOND, torn + b"\n", FIRST, SECOND]
    assert path.read_bytes() == FIRST + SECOND + torn + b"\n" + FIRST + SECOND


def test_a_crash_leaves_a_line_that_is_given_its_end(path: Path) -> None:
    """Wherever in the write the disk is full, and wherever the process dies: it is never less than it was."""
    torn_at(path, THIRD[:-1])
    before = path.read_bytes()
    for room in range(1 + len(FIRST)):
        with FileStore(path) as store, file_size_limit(len(before) + room), pytest.raises(ConfigError):
            store.extend(3, [FIRST])
        assert path.read_bytes() == before
    for written in range(1 + len(FIRST)):
        path.write_bytes(before + (b"\n" + FIRST)[:written])
        with FileStore(path) as store:
            found = store.read()
            assert b"".join(found[:3]) in (before, before + b"\n")
            assert store.extend(3, [SECOND])
        assert path.read_bytes() == before + b"\n" + SECOND


def test_a_line_without_its_end_that_was_changed_shows(path: Path) -> None:
    torn_at(path, THIRD[:-1])
    with FileStore(path) as store:
        before = path.stat()
        edited(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        changed = path.read_bytes()
        assert not store.extend(3, [FIRST])
        assert path.read_bytes() == changed


def test_reading_takes_what_is_there_and_makes_nothing(path: Path) -> None:
    assert read_file(path) == ()
    assert not path.parent.exists()
    torn_at(path, THIRD[:7])
    with FileStore(path):
        assert read_file(path) == [FIRST, SECOND, THIRD[:7]]


def test_what_is_no_regular_file_is_not_read_nor_waited_for(impossible: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_file(impossible)
    assert (caught.value.code, caught.value.object) == ("ledger-unreadable", str(impossible))
    assert caught.value.hint == PLACE


def test_lines_end_where_lines_of_a_ledger_end(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a\rb\r\nc\x0bd\x0c\x85e\n\n")
    assert lines(path) == [b"a\rb\r\n", b"c\x0bd\x0c\x85e\n", b"\n"]


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"x", b"y"))


def cut(path: Path) -> None:
    os.truncate(path, 0)


def added_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(THIRD)


@pytest.mark.parametrize("how", [edited, cut, added_to], ids=lambda how: how.__name__)
def test_nothing_is_added_to_what_was_changed_behind_the_lock(path: Path, how: Callable[[Path], None]) -> None:
    begun(path)
    with FileStore(path) as store:
        os.utime(path, ns=(0, 0))
        assert not store.extend(1, [SECOND]), "its time changed, and so may have its lines"
        assert store.read() == [FIRST]
        how(path)
        changed = path.read_bytes()
        assert not store.extend(1, [SECOND])
        assert path.read_bytes() == changed
        found = store.read()
        assert b"".join(found) == changed
        assert store.extend(len(found), [SECOND])


def test_what_was_replaced_shows_even_where_its_size_and_time_do_not(path: Path) -> None:
    begun(path)
    with FileStore(path) as store:
        before = path.stat()
        edited(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        changed = path.read_bytes()
        assert len(changed) == before.st_size
        assert not store.extend(1, [SECOND])
        assert path.read_bytes() == changed != FIRST


@pytest.mark.parametrize("successor", [None, b"", FIRST], ids=["nothing", "an empty file", "a copy"])
def test_nothing_is_added_to_a_file_that_lost_its_place(path: Path, successor: bytes | None) -> None:
    """What is added there, the next run would never see."""
    begun(path)
    with FileStore(path) as store:
        away = path.rename(path.with_suffix(".old"))
        if successor is not None:
            path.write_bytes(successor)
        with pytest.raises(ConfigError) as caught:
            store.extend(1, [SECOND])
        assert caught.value.code == "ledger-unwritable"
        assert away.read_bytes() == FIRST


def test_a_refused_ledger_is_not_held(path: Path) -> None:
    begun(path)
    away = path.rename(path.with_suffix(".old"))
    path.mkdir()
    with pytest.raises(ConfigError):
        FileStore(path)
    path.rmdir()
    away.rename(path)
    assert lines(path) == [FIRST]
