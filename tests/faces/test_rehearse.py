"""`releaser rehearse` with things going wrong: what a user types, and what they are told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.faces.operator import story
from releaser.rehearsal.chaos import STEPS, TROUBLES
from tests.faces.stage import Ran, run, succeed


def rehearse(folder: Path, *arguments: str, code: int = Exit.DONE) -> str:
    """What a rehearsal in *folder* says; it has to end with *code*, and to leave nothing behind."""
    room = folder / "tmp"
    room.mkdir()
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)}
    command = [sys.executable, "-m", "releaser", "rehearse", "--lag", "0", *arguments]
    environ["TMPDIR"] = str(room)
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert list(room.iterdir()) == []
    return done.stdout + done.stderr


def alone(*arguments: str) -> Ran:
    """A rehearsal that needs no world."""
    return run("rehearse", *arguments, cwd=Path(__file__).parent, environ={})


def test_a_release_survives_crashes_and_faults(tmp_path: Path) -> None:
    said = rehearse(tmp_path, "--crash-at", "asset:3", "--crash-at", "pypi:4", "--fault", "lost-answer@npm")
    assert "the tag job was killed right after the forge took " in said
    assert re.search(r"the publish job was killed right after the index took tern-0\.9\.0\S+; nobody was told", said)
    assert "lost-answer at npm:1: it is done, and the connection closes before the answer" in said
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
    assert set(re.findall(r"^  run \d+: (.*) \(\w+\)$", said, re.MULTILINE)) <= {"publish job 1", "publish job 2"}


def test_what_did_not_happen_is_said_and_no_success(tmp_path: Path) -> None:
    said = rehearse(tmp_path, "--crash-at", "pypi:50", "--fault", "busy@crate:9", "--fault", "refused@pypi", code=2)
    assert "--- refused at pypi:1 (ternlet-" in said
    told, accepted = said.split("What the servers accepted")
    assert re.search(r"whl: refused for run 1, accepted for run 2; done, as run 2 saw$", told, re.MULTILINE)
    assert "no answer for" not in told
    assert "--- `--crash-at pypi:50` did not happen, because the release made 6 pypi requests\n" in told
    assert "--- `--fault busy@crate:9` did not happen, because the release made 1 crate request\n" in told
    assert "[rehearsal-incomplete]" in accepted
    assert "object --crash-at pypi:50, --fault busy@crate:9\n" in accepted
    assert accepted.endswith("hint: releaser rehearse --crash-at pypi\n")


def test_the_story_of_a_ledger_says_what_was_not_sent_and_counts_runs_once() -> None:
    def run(epoch: int, by: str) -> dict[str, object]:
        return {"kind": "run", "body": {"epoch": epoch, "by": by}}

    def effect(kind: str, name: str, result: str = "") -> dict[str, object]:
        return {"kind": kind, "body": {"effect": name, "result": result}}

    records = [
        run(1, "run 2, attempt 1 (9db91927)"),
        *(effect("intent", name) for name in "abc"),
        effect("answer", "a", "refused"),
        effect("outcome", "b", "unsent"),
        run(2, "process 4711 (b4f74be5)"),
        effect("outcome", "c", "absent"),
        *(effect("intent", name) for name in "abcd"),
        *(effect("answer", name, "accepted") for name in "abcd"),
        *(effect("outcome", name, "done") for name in "abcd"),
    ]
    assert list(story(records)) == [
        "run 1: publish job 2 (9db91927)",
        "run 2: process 4711 (b4f74be5)",
        "a: refused for run 1, accepted for run 2; done, as run 2 saw",
        "b: not sent by run 1, accepted for run 2; done, as run 2 saw",
        "c: no answer for run 1, accepted for run 2; done, as run 2 saw",
        "1 effect more: sent, accepted and seen by one run",
    ]


def test_a_version_without_a_publish_job_cannot_race(tmp_path: Path) -> None:
    said = rehearse(tmp_path, "--version", "0.9.0-dev.1", "--race", "3", code=2)
    assert "--- `--race 3` did not happen, because the release came to no publish job" in said
    assert said.endswith("hint: releaser rehearse --race 3\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--crash-at", "pypy"], "did you mean pypi?"),
        (["--crash-at", "pipy"], "did you mean pypi?"),
        (["--crash-at", "pypi:0"], "with N from 1"),
        (["--crash-at", "pypi", "--crash-at", "pypi"], "--crash-at names the request pypi:1 more than once"),
        (["--crash-at", "pypi:2", "--crash-at", "pypi:2:before"], "--crash-at names the request pypi:2 more than once"),
        (["--fault", "busy@npm", "--fault", "refused@npm:1"], "--fault names the request npm:1 more than once"),
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
