"""Commands killed (SIGKILL) at any moment, and run again: one release, every effect once, and a ledger that holds.

`RELEASER_KILL_POINTS=all` kills at every request of a whole run instead of at the chosen ones.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from releaser.inspect.files import inspect_folder
from releaser.model.manifest import ASSET, CHECKSUMS, Manifest
from releaser.rehearsal import sample
from releaser.rehearsal.chaos import Moment, Reaper, Step
from releaser.rehearsal.server import CUT_OFF
from releaser.rehearsal.world import World
from tests.kills.forker import Forker
from tests.kills.release import LAG, Command, Outcome, Release

EVERYWHERE = os.environ.get("RELEASER_KILL_POINTS") == "all"
PARTS = 8


def after(operation: str, nth: int) -> Moment:
    """Right after the *nth* request of *operation* had its effect, before it is answered."""
    return Moment(Step(operation, (operation,), "", ""), nth)


MOMENTS = (
    (after("npm.exchange", 1), 0.0),  # the preflight: nothing was sent yet
    (after("github.update-release", 1), 0.0),
    (after("pypi.upload", 1), LAG),
    (after("npm.publish", 1), LAG),
    (after("pypi.upload", 5), 0.0),
    (after("chocolatey.push", 1), 0.0),
    (after("github.update-ref", 1), 0.0),
)
"""Moments, and how many seconds late the indexes are."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def release_in(world: World, forker: Forker) -> Release:
    return Release(world, forker, "file", Outcome("", "file"))


def finish(release: Release, *names: str) -> Command:
    """Run the commands of these names; the next one, which is still to be run."""
    for command in release.commands():
        if command.name not in names:
            return command
        release.finish(command)
    raise AssertionError(names)


def kill(release: Release, command: Command, moment: Moment) -> int:
    """How the command ended, killed when the moment came."""
    with Reaper(release.world.journal, [moment]) as reaper:
        return reaper.wait(reaper.start(lambda: release.start(command)))


def kill_and_resume(world: World, forker: Forker, moment: Moment, lag: float) -> int:
    """How the first run ended. Raises AssertionError when the second does not put everything right."""
    world.lag(lag)
    release = release_in(world, forker)
    publication = finish(release, "assemble", "draft", "approve")
    code = kill(release, publication, moment)
    release.finish(publication)
    release.check()
    assert release.outcome.violations == []
    return code


@pytest.mark.parametrize(("moment", "lag"), MOMENTS, ids=[f"{m}{' with lag' if lag else ''}" for m, lag in MOMENTS])
def test_a_killed_publication_is_finished_by_the_next(world: World, forker: Forker, moment: Moment, lag: float) -> None:
    assert kill_and_resume(world, forker, moment, lag) == -signal.SIGKILL


@pytest.mark.skipif(not EVERYWHERE, reason="RELEASER_KILL_POINTS=all kills at every request")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_publication_killed_anywhere_is_finished_by_the_next(tmp_path: Path, forker: Forker, part: int) -> None:
    with World(tmp_path / "golden") as world:
        release = release_in(world, forker)
        publication = finish(release, "assemble", "draft", "approve")
        before = len(world.journal.calls())
        release.finish(publication)
        golden = Counter(call.operation for call in world.journal.calls()[before:])
    moments = [after(name, nth) for name, count in sorted(golden.items()) for nth in range(1, count + 1)]
    for moment in moments[part::PARTS]:
        with World(tmp_path / str(moment)) as world:
            kill_and_resume(world, forker, moment, 0.0)  # the number of looks varies: the last may not come


@pytest.mark.parametrize(
    "moment",
    [
        after("github.create-release", 1),
        after("github.upload-asset", 1),
        after("github.upload-asset", 7),
        after("github.upload-asset", 14),
    ],
    ids=str,
)
def test_a_killed_draft_is_finished_by_the_next(world: World, forker: Forker, moment: Moment) -> None:
    release = release_in(world, forker)
    draft = finish(release, "assemble")
    before = accepted(world)
    assert kill(release, draft, moment) == -signal.SIGKILL
    release.finish(draft)
    check_drafted(world, release.project)
    effects = accepted(world) - before
    assert (effects["github.create-release"], effects["github.upload-asset"]) == (1, 14)

    writes = world.journal.writes()
    release.finish(draft)
    assert world.journal.writes() == writes


def test_a_draft_replaces_what_an_upload_that_was_cut_off_left(world: World, forker: Forker) -> None:
    release = release_in(world, forker)
    draft = finish(release, "assemble")
    kill(release, draft, after("github.create-release", 1))
    cut_off(world, release.project, "tern_Linux_x86_64")
    (left,) = drafts(world, release.project)
    assert {a["name"]: a["state"] for a in left["assets"]} == {"tern_Linux_x86_64": "starter"}

    release.finish(draft)
    check_drafted(world, release.project)


def accepted(world: World) -> Counter[str]:
    return Counter(call.operation for call in world.journal.writes())


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


WRITE = "import sys; from pathlib import Path; from releaser.faces.commands.assemble import write_whole as write\n"
WRITE += "write(Path(sys.argv[1]), b'{}')"


@pytest.mark.clients("strace")
@pytest.mark.parametrize("name", [ASSET, CHECKSUMS])
def test_what_a_killed_writer_leaves_behind_is_no_artifact(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "dist"
    log = tmp_path / "strace"
    command = (sys.executable, "-c", WRITE, str(folder / name))
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    killing = ("strace", "-f", "-o", str(log), "--inject=fsync:signal=SIGKILL")
    killed = subprocess.run([*killing, *command], env=env, stderr=subprocess.PIPE, check=False, text=True)
    if "PTRACE" in killed.stderr:
        pytest.skip("no process may be traced here")
    assert killed.returncode == -signal.SIGKILL
    assert [file.name.startswith(f".{name}.") for file in folder.iterdir()] == [True]
    assert inspect_folder(folder) == ()
    subprocess.run(command, env=env, check=True)
    assert (folder / name).read_bytes() == b"{}"
    assert inspect_folder(folder) == ()
