"""Bad input, and the world left as it was: every refusal through the command line, with its words and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.model.document import canonical_json
from releaser.rehearsal.gitrepo import Person
from releaser.rehearsal.sample import POLICY, REPOSITORY
from tests.faces.stage import QUICK, Ran, Stage, recompressed, rewheel

WHEEL = "ternlet-0.9.0-py3-none-manylinux_2_17_x86_64.whl"
SDK = "tern-0.9.0-py3-none-any.whl"
CRATE = "ternlet-0.9.0.crate"
NPM = "harbor-tern-0.9.0.tgz"
BINARY = "tern_Linux_x86_64"
POLICY_FILE = ".github/releaser.toml"
EVIDENCE = ("error: ", "  object ", "  found  ", "  wanted ", "hint: ")
Given = Callable[[Stage], object]


def nothing(_: Stage) -> None:
    """The world as it is."""


def parts(ran: Ran) -> Mapping[str, str]:
    """The error at the end of stderr, by the label of each line."""
    lines = ran.err[ran.err.rindex("error: ") :].splitlines()
    return {label: line.removeprefix(label) for line in lines for label in EVIDENCE if line.startswith(label)}


# -- what no gate lets through ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blocked:
    """A repository or a build that one gate must refuse: which row, what it found and wanted."""

    id: str
    given: Given
    gate: str
    object: str
    found: str
    wanted: str
    exit: Exit = Exit.REFUSED


def edited(path: str, old: str, new: str) -> Given:
    def given(stage: Stage) -> None:
        text = stage.text(path)
        assert old in text
        stage.commit({path: text.replace(old, new)})
        stage.retag()

    return given


def built(name: str, old: str = "", new: str = "", extra: Mapping[str, str] | None = None) -> Given:
    def given(stage: Stage) -> None:
        path = stage.dist / name
        path.write_bytes(rewheel(path, old, new, extra))

    return given


def taken(registry: str, package: str, name: str) -> Given:
    """Somebody else published other bytes under one of our names."""

    def given(stage: Stage) -> None:
        path = stage.dist / name
        data = rewheel(path, extra={"ternlet/more.py": ""}) if name.endswith(".whl") else recompressed(path)
        stage.seed(registry, package, name, data)

    return given


def on_a_topic_branch(stage: Stage) -> None:
    stage.git("checkout", "--quiet", "-b", "topic")
    stage.commit({}, branch="topic")
    stage.retag()


def foreign_wheel(stage: Stage) -> None:
    stage.seed("pypi", "ternlet", "ternlet-0.9.0-py3-none-win_amd64.whl", rewheel(stage.dist / WHEEL))


def check_failed(stage: Stage) -> None:
    stage.world.github.set_check(REPOSITORY, stage.git("rev-parse", "HEAD"), "ci-complete", "failure")


def moved_at_the_forge(stage: Stage) -> None:
    stage.commit({})
    git = stage.world.github.repository(REPOSITORY).git
    assert git.move(f"refs/tags/{stage.tag}", stage.git("rev-parse", "HEAD"), None)


def next_lockfile(stage: Stage) -> None:
    edited("crates/Cargo.lock", 'version = "0.9.0"', 'version = "0.9.1"')(stage)


BLOCKED = [
    Blocked("a tag on a branch of no channel", on_a_topic_branch, "branch", "v0.9.0", "topic", "main"),
    Blocked("a tag moved at the forge", moved_at_the_forge, "tag", "v0.9.0", "at the forge", "on"),
    Blocked("a red check", check_failed, "checks", "ci-complete", "failure", "success or skipped"),
    Blocked(
        "another version in the source of truth",
        edited("crates/Cargo.toml", '"0.9.0"', '"0.9.1"'),
        "lockstep",
        "crates/Cargo.toml [workspace.package]",
        "0.9.1",
        "0.9.0",
    ),
    Blocked(
        "another version in Cargo.lock", next_lockfile, "lockstep", "crates/Cargo.lock ternlet", "0.9.1", "0.9.0"
    ),
    Blocked(
        "another version in pyproject.toml",
        edited("pyproject.toml", 'version = "0.9.0"', 'version = "0.9.0.post1"'),
        "lockstep",
        "pyproject.toml [project]",
        "0.9.0.post1",
        "0.9.0",
    ),
    Blocked(
        "another version in package.json",
        edited("package.json", '"0.9.0"', '"0.9"'),
        "lockstep",
        "package.json",
        "0.9",
        "0.9.0",
    ),
    Blocked(
        "another version in VERSION.txt", edited("VERSION.txt", "0.9.0", "0.8.0"), "lockstep", "VERSION.txt", "0.8.0",
        "0.9.0",
    ),
    Blocked(
        "a manifest that is gone",
        lambda s: (s.commit({"pyproject.toml": None}), s.retag()),
        "lockstep",
        "pyproject.toml",
        "does not exist",
        "0.9.0",
    ),
    Blocked(
        "a missing artifact",
        lambda s: (s.dist / WHEEL).unlink(),
        "artifacts",
        "ternlet-wheels: manylinux*_x86_64",
        "macosx",
        "manylinux*_x86_64",
    ),
    Blocked(
        "an extra artifact",
        lambda s: (s.dist / "install.sh").write_text("curl | sh\n"),
        "artifacts",
        "install.sh",
        "install.sh",
        "no such file",
    ),
    Blocked(
        "an empty artifact",
        lambda s: (s.dist / BINARY).write_text(""),
        "archive",
        BINARY,
        "empty",
        "a plain archive",
    ),
    Blocked(
        "a wheel with another version inside",
        built(WHEEL, "Version: 0.9.0", "Version: 0.9.1"),
        "metadata",
        WHEEL,
        "ternlet 0.9.1",
        "0.9.0",
    ),
    Blocked(
        "a wheel of another package",
        built(WHEEL, "Name: ternlet", "Name: ternlets"),
        "metadata",
        WHEEL,
        "ternlets",
        "ternlet",
    ),
    Blocked(
        "a wheel that requires more than the release's constraint",
        built(SDK, "ternlet>=0.9.0,<1.0", "ternlet>=0.9.0,<2.0"),
        "metadata",
        SDK,
        "<2.0",
        "ternlet<1.0,>=0.9.0",
    ),
    Blocked(
        "a wheel without the constraint",
        built(SDK, "Requires-Dist: ternlet>=0.9.0,<1.0\n", ""),
        "metadata",
        SDK,
        "no requirement on ternlet",
        "ternlet<1.0,>=0.9.0",
    ),
    Blocked(
        "a wheel with a way out of its folder",
        built(WHEEL, extra={"../../evil.pth": "import os\n"}),
        "archive",
        WHEEL,
        "../../evil.pth",
        "a plain archive",
    ),
    Blocked(
        "other bytes on the Python index", taken("pypi", "ternlet", WHEEL), "world", "ternlet-pypi", WHEEL,
        "only our bytes", Exit.CONFLICT,
    ),
    Blocked(
        "other bytes on the crate registry", taken("crates.io", "ternlet", CRATE), "world", "ternlet-crate", CRATE,
        "only our bytes", Exit.CONFLICT,
    ),
    Blocked(
        "other bytes on the npm registry", taken("npm", "@harbor/tern", NPM), "world", "client", NPM,
        "only our bytes", Exit.CONFLICT,
    ),
    Blocked(
        "a file on the Python index that nobody built", foreign_wheel, "world", "ternlet-pypi", "win_amd64",
        "only our bytes", Exit.CONFLICT,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", BLOCKED, ids=lambda row: row.id)
def test_a_gate_refuses_and_nothing_is_written(stage: Stage, row: Blocked) -> None:
    row.given(stage)
    before = stage.effects(), stage.kept()
    planned = stage.plan("--format", "json")
    assert planned.code == row.exit, planned.said
    (refused,) = (r for r in planned.json()["gates"] if (r["name"], r["object"], r["status"]) == (row.gate, row.object, "fail"))
    assert row.found in refused["found"]
    assert row.wanted in refused["wanted"]
    assert refused["reason"]
    assert refused["hint"]
    shown = stage.plan()
    assert shown.code == row.exit
    assert "REFUSED" in shown.out
    assert all(refused[part] in shown.out for part in ("reason", "found", "wanted", "hint"))
    assembled = stage.assemble()
    if row.gate != "world":  # a conflict may be over by the time of publication; it is for `publish` to refuse
        assert assembled.code == Exit.REFUSED
        assert "by gate" in assembled.err
        assert set(parts(assembled)) == set(EVIDENCE)
        assert (stage.effects(), stage.kept()) == before
    assert stage.effects() == before[0]


@pytest.mark.parametrize("row", [b for b in BLOCKED if b.gate == "world"], ids=lambda row: row.id)
def test_a_conflict_stops_an_approved_release_before_the_first_effect(approved: Stage, row: Blocked) -> None:
    row.given(approved)
    before = approved.effects(), approved.kept()
    ran = approved.publish()
    assert ran.code == Exit.CONFLICT, ran.said
    assert row.found in parts(ran)["  found  "]
    assert set(parts(ran)) == set(EVIDENCE)
    assert (approved.effects(), approved.kept()) == before
    assert approved.status()["state"] == "needs human"


# -- names of tags ------------------------------------------------------------------------------------------------

NAMES = {
    "unknown": "v9.9.9",
    "command substitution": "v1.0.0$(id)",
    "semicolon": "v1.0.0;id",
    "backticks": "v1.0.0`id`",
    "pipe and quotes": "v1.0.0|\"'id'",
    "workflow expression": "v1.0.0${{x}}",
    "fullwidth digits": "v\uff11.0.0",
    "bidirectional override": "v1.0.0\u202egpj",
    "newline and a workflow command": "v1.0.0\n::error::x",
    "escape sequence": "v1.0.0\x1b[31m",
    "old workflow command": "v1.0.0##[error]x",
    "bytes that are no text": "v1.0.0\udcff",
    "a branch's full name": "refs/heads/main",
    "65 characters": "v1.0.0-" + "a" * 58,
    "leading zero": "v01.0.0",
    "no version": "nightly",
    "nothing": "",
}
NO_TAG = [n for n in NAMES if n in ("newline and a workflow command", "escape sequence", "bytes that are no text")]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("command", ["plan", "assemble", "status", "draft", "approve", "reject", "publish"])
def test_a_strange_tag_is_refused_by_every_command_and_shown_escaped(
    strange: Stage, command: str, name: str
) -> None:
    options = {
        "plan": ("--artifacts", str(strange.dist)),
        "assemble": ("--artifacts", str(strange.dist)),
        "draft": ("--artifacts", str(strange.dist)),
        "approve": ("--digest", strange.digest),
        "reject": ("--digest", strange.digest),
        "publish": ("--ledger", str(strange.ledger)),
        "status": (),
    }
    before = strange.effects(), strange.kept()
    ran = strange.run(command, *options[command], "--", name)
    assert ran.code == (Exit.USAGE if command == "draft" else Exit.REFUSED), ran.said
    assert all(line.isprintable() for line in ran.said.splitlines())
    assert not [line for line in ran.said.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in ran.said
    if command != "plan":
        assert set(parts(ran)) == set(EVIDENCE)
    assert (strange.effects(), strange.kept()) == before


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A drafted release beside tags with every strange name that git accepts."""
    with Stage(tmp_path_factory.mktemp("strange")) as stage:
        stage.draft()
        head = stage.git("rev-parse", "HEAD")
        for name in NAMES.values():
            ref = os.fsencode(f"refs/tags/{name}")
            if name != NAMES["unknown"]:
                subprocess.run(["git", "update-ref", ref, head], cwd=stage.checkout, capture_output=True, check=False)
        made = stage.git("for-each-ref", "--format=%(refname)", "refs/tags").splitlines()
        assert f"refs/tags/{NAMES['command substitution']}" in made
        yield stage


def test_a_tag_that_looks_like_an_option_is_no_option(strange: Stage) -> None:
    before = strange.effects(), strange.kept()
    bare = strange.run("plan", "-v1.0.0")
    assert bare.code == Exit.USAGE
    assert set(parts(bare)) == set(EVIDENCE)
    assert strange.run("plan", "--", "-v1.0.0").code == Exit.REFUSED
    assert (strange.effects(), strange.kept()) == before
