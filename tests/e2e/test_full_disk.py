"""`releaser publish` whose ledger's disk fills up on the way: it stops in time, and goes on when there is room."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.rehearsal.server import Call
from releaser.rehearsal.world import World
from tests.kills.forker import Forker
from tests.kills.release import Outcome, Release

PAGE = 4096
DISK = 64 * PAGE
INTENTS = {
    "github.update-release": "release/",
    "crates.publish": "crates.io/",
    "npm.publish": "npm/",
    "chocolatey.push": "chocolatey/",
}
"""How the key of the intent begins that each irreversible write must have."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of `DISK` bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={DISK},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk of our own needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, left: int) -> None:
    """Leave *left* pages of room."""
    taken = os.statvfs(disk).f_bavail - left
    (disk / "filler").write_bytes(bytes(taken * PAGE))


def unmeant(calls: list[Call], lines: list[bytes]) -> list[str]:
    """What was accepted although the ledger holds no intent of it."""
    records = [json.loads(line) for line in lines]
    meant = [r["body"]["effect"] for r in records if r["kind"] == "intent"]
    ends = [call.about for call in calls if call.operation == "pypi.upload"]
    starts = [INTENTS[call.operation] for call in calls if call.operation in INTENTS]
    starts += [call.path.split("/")[3] for call in calls if call.operation == "github.update-ref"]
    lost = [end for end in ends if not any(key.endswith(f"/{end}") for key in meant)]
    return lost + [start for start in starts if not any(start in key for key in meant)]


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("ledger.jsonl", 0),
        ("ledger.jsonl", 3),
        ("ledger.db", 0),
        ("ledger.db", 12),
    ],
)
def test_a_full_disk_stops_a_publication_until_there_is_room(
    tmp_path: Path, disk: Path, forker: Forker, name: str, left: int
) -> None:
    with World(tmp_path / "world") as world:
        release = Release(world, forker, "file", Outcome("", "file"))
        for command in release.commands():
            if command.name != "publish":
                release.finish(command)
        release.ledger = ("sqlite:" if name.endswith(".db") else "") + str(disk / name)
        fill(disk, left)
        before = len(world.journal.writes())
        child = release.start(release.publication)
        code = release.ended(child, release.publication, fine=(Exit.USAGE, Exit.OUTSIDE))
        writes = world.journal.writes()[before:]
        assert (code, "[ledger-unwritable]" in child.said()) == (Exit.USAGE, True), child.said()

        (disk / "filler").unlink()
        lines = list(release.records()) if (disk / name).exists() else []
        assert unmeant(writes, [line for line in lines if line.endswith(b"\n")]) == []
        release.finish(release.publication)
        release.check()
        assert release.outcome.violations == []
