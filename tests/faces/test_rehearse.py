"""`releaser rehearse` with things going wrong: what a user types, and what they are told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.rehearsal.chaos import STEPS, TROUBLES
from tests.faces.stage import Ran, run, succeed


def rehearse(folder: Path, *arguments: str) -> str:
    """What a rehearsal in *folder* says; it has to end well."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)}
    command = [sys.executable, "-m", "releaser", "rehearse", "--lag", "0", *arguments]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    return done.stdout


def alone(*arguments: str) -> Ran:
    """A rehearsal that needs no world."""
    return run("rehearse", *arguments, cwd=Path(__file__).parent, environ={})


def test_a_release_survives_crashes_and_faults(tmp_path: Path) -> None:
    said = rehearse(tmp_path, "--crash-at", "asset:3", "--crash-at", "pypi:4", "--fault", "lost-answer@npm")
    assert "the tag job was killed right after the forge took " in said
    assert re.search(r"the publish job was killed right after the index took tern-0\.9\.0\S+; nobody was told", said)
    assert "lost-answer at npm: it is done, and the connection closes before the answer" in said
    assert said.count("[publish job] $ releaser publish v0.9.0 --ledger forge") == 2
    ledger, accepted = said.split("What the ledger says: ")[1].split("What the servers accepted")
    assert re.match(
        r"\d+ records at harbor/tern refs/releaser/ledger/v0\.9\.0, unbroken\n  run 1: .*\n  run 2: ", ledger
    )
    assert "tgz: unknown for run 1; done, as run 1 saw" in ledger
    assert "✗" not in accepted
    assert len(re.findall(r"^  ✓  pypi +once ", accepted, re.MULTILINE)) == 5
    assert "✓  publish once more: exit 0, 0 writes" in accepted


def test_one_of_two_publish_jobs_gives_way(tmp_path: Path) -> None:
    said = rehearse(tmp_path, "--race", "2")
    assert "[2 publish jobs at once] $ releaser publish v0.9.0 --ledger forge" in said
    ends = re.findall(r"^--- publish job \d ended with (\d)", said, re.MULTILINE)
    assert len(ends) == 2
    assert set(ends) <= {"0", "4"}
    assert ("4" in ends) == ("another run has taken the release over" in said)
    assert "✗" not in said.split("What the servers accepted")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--crash-at", "pypy"], "did you mean pypi?"),
        (["--fault", "bussy@pypi"], "did you mean busy?"),
        (["--fault", "busy"], "NAME@STEP"),
        (["--race", "9"], "argument --race"),
        (["--prepare", "--race", "2"], "--prepare runs no command"),
    ],
)
def test_what_cannot_go_wrong_is_refused(arguments: list[str], said: str) -> None:
    ran = alone(*arguments)
    assert ran.code == Exit.USAGE
    assert said in ran.err


def test_every_step_and_fault_is_listed() -> None:
    words = succeed(alone("--list-steps")).out.split()
    assert set(words) >= {*STEPS, *TROUBLES}
