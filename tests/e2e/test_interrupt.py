"""Commands killed (SIGKILL) at any moment, and run again: one release, every effect once, and a ledger that holds.

`RELEASER_KILL_POINTS=all` kills at every request of a whole run instead of at the chosen ones.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from releaser.engine.ledger import verify
from releaser.model.manifest import ASSET, CHECKSUMS, Manifest
from releaser.model.version import Version
from releaser.rehearsal import sample
from releaser.rehearsal.server import CUT_OFF, Call
from releaser.rehearsal.world import World
from tests.e2e.commands import approve, at_once, environment, run, start

# Small, and sound here: in this world nothing is under way once its sender is dead and its request was answered, and
# what was accepted shows after at most LAG, so a write of unknown outcome that does not show after SETTLE is not there.
LAG, SETTLE = 0.8, "2"
FAST = ("--poll", "0.1", "--settle", SETTLE)

ONCE = {
    "pypi.upload": 5,
    "crates.publish": 1,
    "npm.publish": 1,
    "github.update-release": 1,
    "github.update-ref": 2,
    "chocolatey.push": 1,
}
"""How often each irreversible write is accepted in a release of the sample project."""

EVERYWHERE = os.environ.get("RELEASER_KILL_POINTS") == "all"
PARTS = 8


@dataclass(frozen=True)
class Moment:
    """Right after the *nth* request of *operation* had its effect, before it is answered."""

    operation: str
    nth: int
    lag: float = 0.0

    def __str__(self) -> str:
        return f"{self.operation} {self.nth}" + (" with lag" if self.lag else "")


MOMENTS = (
    Moment("npm.exchange", 1),  # the preflight: nothing was sent yet
    Moment("github.update-release", 1),
    Moment("pypi.upload", 1),
    Moment("pypi.upload", 1, LAG),
    Moment("pypi.upload", 3),
    Moment("crates.publish", 1),
    Moment("npm.publish", 1, LAG),
    Moment("crates.revoke", 2),
    Moment("pypi.upload", 4, LAG),
    Moment("pypi.upload", 5),
    Moment("chocolatey.push", 1),
    Moment("github.create-commit", 1),
    Moment("github.update-ref", 1),
)


class Reaper:
    """Kills the process that it started at a moment of its run: the request's answer finds nobody."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._seen = 0
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> None:
        with self._lock:
            self._seen += call.operation == self._moment.operation
            if self._seen == self._moment.nth:
                self._seen += 1
                self._child.kill()
                self._child.wait()

    def watch(self, world: World, project: sample.Sample, *arguments: str) -> int:
        """The exit code of the command, killed when the moment came."""
        with self._lock:
            world.journal.watch = self
            self._child = start(project, project.job, *arguments)
        try:
            return self._child.wait(60)
        finally:
            world.journal.watch = lambda _: None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def settled(world: World) -> sample.Sample:
    return sample.settle(world, Version.parse("0.9.0"))


def publish(project: sample.Sample) -> tuple[str, ...]:
    return ("publish", project.tag, "--ledger", str(project.checkout.parent / "ledger.jsonl"), *FAST)


def accepted(world: World) -> Counter[str]:
    return Counter(call.operation for call in world.journal.writes())


def check_released(world: World, project: sample.Sample, before: Counter[str]) -> None:
    """Everything is out, exactly once, on record; and one more run has nothing to do.

    Counts say "once" for each file: as many uploads as files were accepted, and every file is there.
    """
    effects = accepted(world) - before
    assert {operation: effects[operation] for operation in ONCE} == ONCE
    status = json.loads(at_once(project, project.job, "status", project.tag, "--format", "json"))
    assert status["state"] == "released"
    assert {row["shown"] for row in (*status["publications"], *status["downstream"])} == {"visible"}
    given = environment(world.root / "home", {"GIT_DIR": str(world.github.root / "git" / f"{sample.TAP}.git")})
    assert run("git", "rev-list", "--count", "main", folder=world.root, given=given) == "2\n"

    writes = world.journal.writes()
    at_once(project, project.job, *publish(project))
    assert world.journal.writes() == writes
    check_ledger(world.root / "ledger.jsonl")


def check_ledger(file: Path) -> None:
    """An unbroken chain in which everything that was meant came to an end, and was done once."""
    records = list(verify(file.read_bytes().splitlines(keepends=True), str(file)))
    meant = {r["body"]["effect"] for r in records if r["kind"] == "intent"}
    done = Counter(r["body"]["effect"] for r in records if r["kind"] == "outcome" and r["body"]["result"] == "done")
    assert done == Counter(meant)


def kill_and_resume(world: World, moment: Moment) -> int:
    """How the first run ended. Raises AssertionError when the second does not put everything right."""
    world.lag(moment.lag)
    project = settled(world)
    approve(project, at_once)
    before = accepted(world)
    code = Reaper(moment).watch(world, project, *publish(project))
    at_once(project, project.job, *publish(project))
    check_released(world, project, before)
    return code


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_killed_publication_is_finished_by_the_next(world: World, moment: Moment) -> None:
    assert kill_and_resume(world, moment) == -signal.SIGKILL


@pytest.mark.skipif(not EVERYWHERE, reason="RELEASER_KILL_POINTS=all kills at every request")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_publication_killed_anywhere_is_finished_by_the_next(tmp_path: Path, part: int) -> None:
    with World(tmp_path / "golden") as world:
        project = settled(world)
        approve(project, at_once)
        before = len(world.journal.calls())
        at_once(project, project.job, *publish(project))
        golden = Counter(call.operation for call in world.journal.calls()[before:])
    moments = [Moment(name, nth) for name, count in sorted(golden.items()) for nth in range(1, count + 1)]
    for moment in moments[part::PARTS]:
        with World(tmp_path / str(moment)) as world:
            kill_and_resume(world, moment)  # the number of looks varies, so the last of a kind may not come


@pytest.mark.parametrize(
    "moment",
    [
        Moment("github.create-release", 1),
        Moment("github.upload-asset", 1),
        Moment("github.upload-asset", 7),
        Moment("github.upload-asset", 14),
    ],
    ids=str,
)
def test_a_killed_draft_is_finished_by_the_next(world: World, moment: Moment) -> None:
    project = settled(world)
    dist = str(project.artifacts)
    at_once(project, project.job, "assemble", project.tag, "--artifacts", dist)
    before = accepted(world)
    draft = ("draft", project.tag, "--artifacts", dist)
    assert Reaper(moment).watch(world, project, *draft) == -signal.SIGKILL
    at_once(project, project.job, *draft)
    check_drafted(world, project)
    effects = accepted(world) - before
    assert (effects["github.create-release"], effects["github.upload-asset"]) == (1, 14)

    writes = world.journal.writes()
    at_once(project, project.job, *draft)
    assert world.journal.writes() == writes


def test_a_draft_replaces_what_an_upload_that_was_cut_off_left(world: World) -> None:
    project = settled(world)
    dist = str(project.artifacts)
    at_once(project, project.job, "assemble", project.tag, "--artifacts", dist)
    Reaper(Moment("github.create-release", 1)).watch(world, project, "draft", project.tag, "--artifacts", dist)
    cut_off(world, project, "tern_Linux_x86_64")
    assert {a["name"]: a["state"] for a in drafts(world, project)[0]["assets"]} == {"tern_Linux_x86_64": "starter"}

    at_once(project, project.job, "draft", project.tag, "--artifacts", dist)
    check_drafted(world, project)


def cut_off(world: World, project: sample.Sample, name: str) -> None:
    """Send the first bytes of a file for the draft, and be gone; returns when the forge has noticed."""
    noticed = threading.Event()
    world.journal.watch = lambda call: noticed.set() if call.status == CUT_OFF else None
    address = f"/uploads/repos/{sample.REPOSITORY}/releases/{drafts(world, project)[0]['id']}/assets?name={name}"
    connection = http.client.HTTPConnection(urlsplit(world.github.url).netloc)
    connection.putrequest("POST", address)
    connection.putheader("Authorization", f"Bearer {project.job['GITHUB_TOKEN']}")
    connection.putheader("User-Agent", "test")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"#!/bin/sh")
    connection.close()
    assert noticed.wait(10)
    world.journal.watch = lambda _: None


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def drafts(world: World, project: sample.Sample) -> list[dict[str, Any]]:
    """The releases that the publish job sees."""
    answer = httpx.get(
        f"{world.github.url}/repos/{sample.REPOSITORY}/releases",
        headers={"Authorization": f"Bearer {project.job['GITHUB_TOKEN']}"},
        trust_env=False,
    )
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    return found


def check_drafted(world: World, project: sample.Sample) -> None:
    """One draft, which holds every file of the manifest as it was built and nothing else."""
    manifest = Manifest.parse((project.artifacts / ASSET).read_bytes(), ASSET)
    (release,) = drafts(world, project)
    shown = {asset["name"]: (asset["state"], asset["digest"]) for asset in release["assets"]}
    names = [ASSET, CHECKSUMS, *(artifact.name for artifact in manifest.artifacts)]
    assert shown == {name: ("uploaded", f"sha256:{sha256(project.artifacts / name)}") for name in names}
    assert release["draft"]
