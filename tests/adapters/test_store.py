"""Ledgers in files: durable, held by one process, and refused when they were touched."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from releaser.adapters.local import ThreadWorkers
from releaser.adapters.store import FileLedger, NoLedger
from releaser.errors import ConfigError, Exit, WaitingError
from tests.world import Clock, Power

CHILD = """
import sys
from pathlib import Path
from releaser.adapters.local import SystemClock
from releaser.adapters.store import FileLedger

with FileLedger(Path(sys.argv[1]), SystemClock()) as ledger:
    ledger.append("intent", {"effect": "by the child"})
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "v1.2.0.jsonl"


def opened(path: Path) -> FileLedger:
    return FileLedger(path, Clock(Power()))


def effects(path: Path) -> list[str]:
    """What the ledger at *path* holds, to somebody who opens it."""
    with opened(path) as ledger:
        return [record["body"]["effect"] for record in ledger.entries()]


@contextmanager
def child(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the ledger open and has appended to it."""
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_was_appended_is_there_for_the_next_one(path: Path) -> None:
    with opened(path) as ledger:
        ledger.append("intent", {"effect": "a"})
        ledger.append("outcome", {"effect": "b"})
        assert [r["kind"] for r in ledger.entries()] == ["intent", "outcome"]
    with opened(path) as ledger:
        ledger.append("intent", {"effect": "c"})
    assert effects(path) == ["a", "b", "c"]


def test_it_is_for_its_owner_alone(path: Path) -> None:
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_threads_append_one_after_the_other(path: Path) -> None:
    with opened(path) as ledger:
        ThreadWorkers(8).map(lambda n: ledger.append("intent", {"effect": str(n)}), range(40))
    assert sorted(map(int, effects(path))) == list(range(40))


def test_a_second_process_waits_its_turn(path: Path) -> None:
    with child(path):
        with pytest.raises(WaitingError) as caught:
            opened(path)
        assert (caught.value.code, caught.value.exit) == ("ledger-held", Exit.WAITING)


def test_a_killed_process_leaves_its_records_and_no_lock(path: Path) -> None:
    with child(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert effects(path) == ["by the child"]


def test_a_record_that_finds_no_room_leaves_nothing_behind(path: Path) -> None:
    with opened(path) as ledger:
        ledger.append("intent", {"effect": "a"})
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        try:
            with pytest.raises(ConfigError) as caught:
                ledger.append("intent", {"effect": "b"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        with pytest.raises(ConfigError) as again:
            ledger.append("intent", {"effect": "c"})
        assert (caught.value.code, again.value.code) == ("ledger-unwritable", "ledger-unwritable")
        assert path.read_bytes() == before
        assert [r["body"]["effect"] for r in ledger.entries()] == ["a"]
    assert effects(path) == ["a"]


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


@pytest.mark.parametrize(
    "place",
    [under_a_file, a_folder, a_link, in_a_read_only_folder, a_device, a_pipe],
    ids=lambda f: f.__name__,
)
def test_where_it_cannot_be_written_nothing_may_be_sent(tmp_path: Path, place: object) -> None:
    assert callable(place)
    where = place(tmp_path)
    with pytest.raises(ConfigError) as caught:
        opened(where)
    assert (caught.value.code, caught.value.object) == ("ledger-unwritable", str(where))
    assert not (tmp_path / "target").exists() or (tmp_path / "target").read_bytes() == b""


@pytest.mark.parametrize("left", [1, 20, -1], ids=["one byte of it", "a part", "all but the line end"])
def test_a_truncated_record_is_refused(path: Path, left: int) -> None:
    with opened(path) as ledger:
        ledger.append("intent", {"effect": "a"})
        whole = len(path.read_bytes())
        ledger.append("intent", {"effect": "b"})
    data = path.read_bytes()
    path.write_bytes(data[: whole + left] if left > 0 else data[:left])
    broken = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        opened(path)
    assert (caught.value.code, caught.value.object) == ("ledger-broken", f"{path}:2")
    assert path.read_bytes() == broken, "it stays as evidence"


def test_a_refused_ledger_is_not_held(path: Path) -> None:
    with opened(path) as ledger:
        ledger.append("intent", {"effect": "a"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ConfigError):
        opened(path)
    path.write_bytes(whole)
    assert effects(path) == ["a"]


def test_a_command_that_only_reads_records_nothing() -> None:
    assert list(NoLedger().entries()) == []
    with pytest.raises(ConfigError) as caught:
        NoLedger().append("intent", {"effect": "a"})
    assert caught.value.code == "ledger-missing"
