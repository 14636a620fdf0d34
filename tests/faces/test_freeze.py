"""`releaser freeze` and `releaser thaw`, and what a frozen release is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from releaser.rehearsal.server import Fault
from tests.faces.stage import Ran, Stage, succeed


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A tagged and built release; every case thaws what it froze."""
    with Stage(tmp_path_factory.mktemp("ready")) as stage:
        yield stage


def timeless(ran: Ran) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", succeed(ran).out)


def gate(stage: Stage) -> dict[str, str]:
    """The plan's row of the gate."""
    (row,) = [row for row in stage.plan("--format", "json").json()["gates"] if row["name"] == "freeze"]
    return {key: re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", row[key]) for key in ("status", "reason", "hint")}


def test_a_release_is_held_back_until_it_is_thawed(ready: Stage) -> None:
    assert gate(ready)["status"] == "pass"
    frozen = ready.run("freeze", ready.tag, "--reason", "wheels crash", by="reviewer-one")
    assert timeless(frozen) == "v0.9.0 is held back by reviewer-one since TIME: wheels crash\n"
    held = {
        "status": "wait",
        "reason": "held back by reviewer-one since TIME: wheels crash",
        "hint": "releaser thaw v0.9.0",
    }
    assert gate(ready) == held
    assert ready.plan().code == 4
    assert timeless(ready.run("thaw", ready.tag, by="reviewer-two")) == "v0.9.0 is no longer held back\n"
    assert gate(ready)["status"] == "pass"
    assert ready.plan().code == 0


def test_every_release_is_held_back_beside_one(ready: Stage) -> None:
    frozen = ready.run("freeze", "--reason", "a token leaked", by="reviewer-one")
    assert timeless(frozen) == "every release is held back by reviewer-one since TIME: a token leaked\n"
    assert gate(ready)["hint"] == "releaser thaw"
    succeed(ready.run("freeze", ready.tag, "--reason", "wheels crash"))
    assert gate(ready)["reason"] == "held back by github-actions[bot] since TIME: wheels crash"
    assert timeless(ready.run("thaw", ready.tag)) == (
        "v0.9.0 is no longer held back\n"
        "but every release is held back by reviewer-one since TIME: a token leaked; next: releaser thaw\n"
    )
    assert timeless(ready.run("thaw")) == "every release is no longer held back\n"
    assert gate(ready)["status"] == "pass"


def test_a_second_freeze_replaces_nothing_and_says_who_was_first(ready: Stage) -> None:
    first = timeless(ready.run("freeze", ready.tag, "--reason", "one", by="reviewer-one"))
    before = ready.effects()
    assert timeless(ready.run("freeze", ready.tag, "--reason", "one")) == first
    assert timeless(ready.run("freeze", ready.tag, "--reason", "two")) == (
        f"{first}it was frozen before, and stays so for that reason\n"
    )
    assert ready.effects() == before
    succeed(ready.run("thaw", ready.tag))


def test_thawing_what_is_not_frozen_changes_nothing(ready: Stage) -> None:
    before = ready.effects()
    assert timeless(ready.run("thaw")) == "every release is not held back, so nothing was changed\n"
    assert timeless(ready.run("thaw", "v9")) == "v9 is not held back, so nothing was changed\n"
    assert ready.effects() == before


def test_a_reason_of_several_lines_is_shown_on_one(ready: Stage) -> None:
    said = timeless(ready.run("freeze", "--reason", " one\n\ntwo\x1b[31m ", by="reviewer-one"))
    assert said == "every release is held back by reviewer-one since TIME: one two\\x1b[31m\n"
    succeed(ready.run("thaw"))


def test_git_alone_freezes_and_thaws(ready: Stage) -> None:
    commit = ready.git("commit-tree", "-m", "freeze", "-m", "a leaked token", "HEAD^{tree}")
    ready.git("push", "--quiet", "origin", f"{commit}:refs/releaser/freeze/all")
    assert gate(ready)["reason"] == "held back by tagger since TIME: a leaked token"
    ready.git("push", "--quiet", "origin", "--delete", "refs/releaser/freeze/all")
    assert gate(ready)["status"] == "pass"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        pytest.param(("freeze", "v1"), 2, "usage", id="no reason"),
        pytest.param(("freeze", "--reason", " \n"), 2, "usage", id="an empty reason"),
        pytest.param(("freeze", "--reason", "x" * 2001), 2, "usage", id="a book"),
        pytest.param(("freeze", "", "--reason", "x"), 2, "usage", id="an unset variable is not every release"),
        pytest.param(("thaw", ""), 2, "usage", id="nor is it when thawing"),
        pytest.param(("freeze", "v1 ..", "--reason", "x"), 2, "ref-invalid", id="no name of a tag"),
    ],
)
def test_what_cannot_be_frozen(ready: Stage, arguments: tuple[str, ...], code: int, error: str) -> None:
    before = ready.effects()
    ran = ready.run(*arguments)
    assert (ran.code, error in ran.err) == (code, True), ran.said
    assert ready.effects() == before


def test_a_stranger_can_neither_freeze_nor_thaw(ready: Stage) -> None:
    ready.person("stranger", 77, role="read", member=False)
    ran = ready.run("freeze", "--reason", "x", by="stranger")
    assert (ran.code, "forge-forbidden" in ran.err, "contents: write" in ran.err) == (5, True, True)
    succeed(ready.run("freeze", "--reason", "x"))
    assert ready.run("thaw", by="stranger").code == 5
    assert gate(ready)["status"] == "wait"
    succeed(ready.run("thaw"))


def test_a_freeze_that_cannot_be_looked_up_holds_back(ready: Stage) -> None:
    ready.world.faults.add(Fault("github.list-refs", "status", 404))
    assert gate(ready)["status"] == "wait"


def test_an_approved_release_that_is_frozen_goes_nowhere_until_it_is_thawed(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.draft().approve()
        succeed(stage.run("freeze", "--reason", "a token leaked", by="reviewer-one"))
        before = stage.effects()
        held = stage.publish()
        assert (held.code, "[gate-freeze]" in held.err, "hint: releaser thaw\n" in held.err) == (4, True, True), (
            held.said
        )
        assert stage.effects() == before
        succeed(stage.run("thaw", by="reviewer-two"))
        succeed(stage.publish())
        assert stage.status()["state"] == "released"
