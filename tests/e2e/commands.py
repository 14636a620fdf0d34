"""The commands of a release, run as the people and jobs of a world do: each a process with its own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.model.document import sha256
from releaser.rehearsal.sample import Sample
from tests.places import DOWNLOADS

ROOT = Path(__file__).parents[2]


def environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the machine but its PATH: no proxy, no index, no token, no configuration of the user."""
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "TMPDIR": str(home), **more}


def releaser(project: Sample, who: Mapping[str, str], *arguments: str) -> str:
    """What a command prints; fails the test with its last words unless it is done."""
    given = environment(project.checkout.parent / "home", {"PYTHONPATH": str(ROOT), **who})
    return run(sys.executable, "-m", "releaser", *arguments, folder=project.checkout, given=given)


def approve(project: Sample) -> None:
    """From artifacts to a draft that both reviewers approved."""
    dist = str(project.artifacts)
    releaser(project, project.job, "assemble", project.tag, "--artifacts", dist)
    releaser(project, project.job, "draft", project.tag, "--artifacts", dist)
    digest = sha256((project.artifacts / "release.json").read_bytes())
    for reviewer in project.reviewers.values():
        releaser(project, reviewer, "approve", project.tag, "--digest", digest)


def release(project: Sample) -> None:
    """The whole way, up to RELEASED."""
    approve(project)
    ledger = str(project.checkout.parent / f"{project.tag}.jsonl")
    releaser(project, project.job, "publish", project.tag, "--ledger", ledger, "--poll", "0.1")


def run(*command: str, folder: Path, given: Mapping[str, str]) -> str:
    """What a program prints; fails the test when it is not installed, or with its last words when it fails."""
    done = _ran(command, folder, given)
    if done.returncode != Exit.DONE:
        pytest.fail(f"`{' '.join(command)}` ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def failing(*command: str, folder: Path, given: Mapping[str, str]) -> str:
    """What a program complains of; fails the test when it is not installed or succeeds."""
    done = _ran(command, folder, given)
    if done.returncode == Exit.DONE:
        pytest.fail(f"`{' '.join(command)}` succeeded\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stderr


def _ran(command: Sequence[str], folder: Path, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0], path=given["PATH"]) is None:
        pytest.fail(f"{command[0]} is not installed; `-m 'not clients'` leaves out the tests that need it")
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=300, check=False)


def download(pattern: str) -> Path:
    """The real package of that name; fails the test when it was not fetched."""
    found = sorted(DOWNLOADS.glob(pattern))
    if len(found) != 1:
        pytest.fail(f"{len(found)} files {pattern} in {DOWNLOADS}: run `make downloads`")
    return found[0]
