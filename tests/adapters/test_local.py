"""This machine: time, threads, and a private place for files."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from releaser.adapters.local import SystemClock, TemporaryScratch, ThreadWorkers, private_folder
from releaser.engine.ports import Asset, Fetched, RepositoryFacts, Scratch
from releaser.errors import ExternalError
from releaser.model.manifest import Person
from tests.world import Reporter, World

BOT = Person(id=1, login="pipeline[bot]")
DATA = b"the bytes of an artifact"


@pytest.fixture
def world() -> World:
    return World(RepositoryFacts(7, "harbor/cog", "main"), BOT)


@pytest.fixture
def asset(world: World) -> Asset:
    release = world.forge.create_draft("v1.2.0", "", "v1.2.0", "", False)
    return world.forge.put(release.id, "cog_Linux_x86_64", DATA, BOT)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_copy_is_hashed_and_private(world: World, asset: Asset) -> None:
    with TemporaryScratch(world.forge, Reporter()) as scratch:
        copy = scratch.fetch(asset)
        assert copy.file.read_bytes() == DATA
        assert copy.file.name == asset.name
        assert (copy.size, copy.sha256, copy.sha512) == (
            len(DATA),
            hashlib.sha256(DATA).hexdigest(),
            hashlib.sha512(DATA).hexdigest(),
        )
        assert mode(copy.file.parent) == 0o700
        assert mode(copy.file.parent.parent) == 0o700


def test_the_digest_is_that_of_the_bytes_and_not_that_on_show(world: World, asset: Asset) -> None:
    world.forge.tamper(next(iter(world.forge.held)), asset.name, b"other")
    with TemporaryScratch(world.forge, Reporter()) as scratch:
        assert scratch.fetch(asset).sha256 == hashlib.sha256(b"other").hexdigest()


def test_a_copy_stays_the_one_that_was_hashed(world: World, asset: Asset) -> None:
    with TemporaryScratch(world.forge, Reporter()) as scratch:
        first = scratch.fetch(asset)
        world.forge.tamper(next(iter(world.forge.held)), asset.name, b"other")
        assert scratch.fetch(asset) == first
        assert first.file.read_bytes() == DATA


def test_two_that_want_the_same_copy_at_once_get_one_download(world: World, asset: Asset) -> None:
    """Two packages may share a file; neither may read it while the other still writes it."""
    download, downloads = world.forge.download, []
    seconds: list[Future[Fetched]] = []

    with TemporaryScratch(world.forge, Reporter()) as scratch, ThreadPoolExecutor(1) as pool:

        def interrupted(wanted: Asset, file: Path, progress: Callable[[int], None]) -> None:
            downloads.append(file)
            file.write_bytes(DATA[:5])
            if not seconds:
                seconds.append(pool.submit(scratch.fetch, asset))
                wait(seconds, timeout=0.2)  # as long as it takes to go wrong
            download(wanted, file, progress)

        world.forge.download = interrupted  # type: ignore[method-assign,assignment]  # a second fetch comes between
        first = scratch.fetch(asset)
        assert seconds[0].result() == first
        assert first.sha256 == hashlib.sha256(DATA).hexdigest()
    assert len(downloads) == 1


def test_a_copy_that_failed_can_be_fetched_again(world: World, asset: Asset) -> None:
    (held,) = world.forge.held.values()
    stored = held.assets.pop(asset.id)
    with TemporaryScratch(world.forge, Reporter()) as scratch:
        with pytest.raises(ExternalError):
            scratch.fetch(asset)
        held.assets[asset.id] = stored
        assert scratch.fetch(asset).file.read_bytes() == DATA


@pytest.fixture(params=["in a folder", "in memory"])
def scratch(world: World, request: pytest.FixtureRequest) -> Iterator[Scratch]:
    """The one that runs have, and the one that tests of the engine have: both read alike."""
    if request.param == "in memory":
        yield world.outside().scratch
    else:
        with TemporaryScratch(world.forge, Reporter()) as opened:
            yield opened


def test_a_small_asset_is_read_once_while_it_shows_its_digest(world: World, asset: Asset, scratch: Scratch) -> None:
    assert scratch.read(asset, len(DATA)) == DATA
    before = len(world.power.calls)
    assert scratch.read(asset, len(DATA)) == DATA
    assert len(world.power.calls) == before
    world.forge.tamper(next(iter(world.forge.held)), asset.name, b"other")
    other = replace(asset, digest=f"sha256:{hashlib.sha256(b'other').hexdigest()}")
    assert scratch.read(other, len(DATA)) == b"other"


def test_bytes_of_another_digest_than_is_on_show_are_not_handed_out(
    world: World, asset: Asset, scratch: Scratch
) -> None:
    world.forge.tamper(next(iter(world.forge.held)), asset.name, b"other")
    with pytest.raises(ExternalError) as caught:
        scratch.read(asset, len(DATA))
    error = caught.value
    assert (error.code, error.retryable, error.found, error.wanted) == (
        "asset-digest",
        True,
        f"sha256:{hashlib.sha256(b'other').hexdigest()}",
        asset.digest,
    )
    world.forge.tamper(next(iter(world.forge.held)), asset.name, DATA)
    assert scratch.read(asset, len(DATA)) == DATA


def test_a_small_asset_without_a_digest_is_read_as_it_is_now(world: World, asset: Asset, scratch: Scratch) -> None:
    bare = replace(asset, digest="")
    assert scratch.read(bare, len(DATA)) == DATA
    world.forge.tamper(next(iter(world.forge.held)), asset.name, b"other")
    assert scratch.read(bare, len(DATA)) == b"other"


def test_an_asset_that_is_too_large_is_not_read(world: World, asset: Asset, scratch: Scratch) -> None:
    before = len(world.power.calls)
    with pytest.raises(ExternalError) as caught:
        scratch.read(asset, len(DATA) - 1)
    assert (caught.value.code, caught.value.retryable) == ("asset-too-large", False)
    assert len(world.power.calls) == before


def test_nothing_is_left_when_the_run_ends(world: World, asset: Asset) -> None:
    with TemporaryScratch(world.forge, Reporter()) as scratch:
        file = scratch.fetch(asset).file
        folder = file.parent.parent
        scratch.read(asset, len(DATA))
        assert [path for path in folder.iterdir() if path.is_dir()] == [file.parent]
    assert not folder.exists()


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


HOLD = """
import sys
from releaser.adapters.local import private_folder
with private_folder() as folder:
    (folder / "4711").mkdir()
    (folder / "4711" / "cog.whl").write_bytes(b"private")
    (folder / "out").symlink_to(sys.argv[1])
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(room: Path, target: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a private folder, in which there is a link to *target*; it is killed in the end."""
    environ = {"TMPDIR": str(room), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(target)]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_living_one_holds_is_not(
    room: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mine = tmp_path_factory.mktemp("mine") / "file"
    mine.write_text("kept")
    with holder(room, mine.parent) as (_, living), holder(room, mine) as (killed, left):
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
        assert (left / "4711" / "cog.whl").exists()
        with private_folder("rehearsal-") as own:
            assert sorted(room.iterdir()) == sorted([living, own])
            assert (living / "4711" / "cog.whl").exists()
    assert mine.read_text() == "kept"
    assert sorted(room.iterdir()) == [living]
    with private_folder() as own:
        assert list(room.iterdir()) == [own]


def leftover(folder: Path, mode: int = 0o700) -> Path:
    """What a killed process leaves."""
    folder.mkdir(mode)
    folder.chmod(mode)
    (folder / ".releaser-lock").touch()
    return folder


def test_only_what_is_ours_is_removed(room: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    kept = [
        leftover(room / "other-12345678"),
        leftover(room / "releaser-open", mode=0o755),
        room / "releaser-projects",
        room / "releaser-link",
        room / "releaser-file",
        room / "releaser-linked-lock",
    ]
    kept[2].mkdir(mode=0o700)
    kept[3].symlink_to(leftover(outside / "releaser-elsewhere"))
    kept[4].touch(mode=0o600)
    kept[5].mkdir(mode=0o700)
    (kept[5] / ".releaser-lock").symlink_to(outside / "releaser-elsewhere" / ".releaser-lock")
    gone = leftover(room / "releaser-12345678")
    with private_folder():
        assert not gone.exists()
    assert sorted(room.iterdir()) == sorted(kept)
    assert (outside / "releaser-elsewhere" / ".releaser-lock").exists()


def test_what_another_user_left_is_not_touched(room: Path) -> None:
    if os.geteuid():
        pytest.skip("only the superuser can give a folder away")
    foreign = leftover(room / "releaser-12345678")
    os.chown(foreign, 12345, -1)
    with private_folder():
        assert foreign.exists()


def test_two_that_clean_up_at_once_do_not_take_each_others_place(room: Path) -> None:
    for number in range(20):
        leftover(room / f"releaser-{number:08}")
    gate = threading.Barrier(8, timeout=20)

    def work(_: int) -> bool:
        gate.wait()
        with private_folder() as folder:
            (folder / "file").touch()
            gate.wait()
            return (folder / "file").exists()

    assert all(ThreadWorkers(8).map(work, range(8)))
    assert list(room.iterdir()) == []


def test_two_runs_have_two_places(world: World, asset: Asset) -> None:
    with TemporaryScratch(world.forge, Reporter()) as one, TemporaryScratch(world.forge, Reporter()) as two:
        assert one.fetch(asset).file != two.fetch(asset).file


def test_results_come_in_the_order_of_the_items() -> None:
    gate = threading.Barrier(3, timeout=10)

    def work(number: int) -> int:
        gate.wait()  # only side by side does anybody get past here
        return number * number

    assert ThreadWorkers(3).map(work, [3, 1, 2]) == [9, 1, 4]


@pytest.mark.parametrize("items", [[], [1]], ids=["nothing", "one thing"])
def test_little_work_needs_no_thread(items: list[int]) -> None:
    assert ThreadWorkers().map(lambda _: threading.current_thread(), items) == [threading.current_thread()] * len(items)


def test_one_failure_does_not_stop_the_others() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number < 2:
            raise ExternalError(f"failure-{number}", "it failed")
        done.append(number)

    with pytest.raises(ExternalError) as caught:
        ThreadWorkers(1).map(work, range(5))
    assert caught.value.code == "failure-0"
    assert done == [2, 3, 4]


def test_the_clock_tells_universal_time_and_goes_on() -> None:
    clock = SystemClock()
    before = clock.now()
    clock.sleep(0)
    assert before.tzinfo is UTC
    assert timedelta(0) <= clock.now() - before < timedelta(minutes=1)


@pytest.mark.parametrize("how", ["fetch", "read"])
def test_a_full_disk_is_an_error_of_ours_and_leaves_no_copy_behind(
    world: World, asset: Asset, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def full(_asset: Asset, file: Path, _progress: object) -> None:
        file.write_bytes(DATA[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(world.forge, "download", full)
    with TemporaryScratch(world.forge, Reporter()) as scratch:
        with pytest.raises(ExternalError) as caught:
            scratch.fetch(asset) if how == "fetch" else scratch.read(asset, 1000)
        assert caught.value.code == "scratch-unwritable"
        assert "No space left" in caught.value.found
        monkeypatch.undo()
        assert scratch.fetch(asset).sha256 == hashlib.sha256(DATA).hexdigest()
