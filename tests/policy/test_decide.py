"""All gates, and the verdict over them."""

from __future__ import annotations

import pytest

from releaser.model.artifact import Inspected
from releaser.model.facts import Objection, Presence, Unobserved, World
from releaser.model.plan import GateRow, Status, Verdict
from releaser.policy.case import Row
from releaser.policy.decide import RULES, settle, verdict
from tests.cases import FULL, case, entry, file, full_files, shelf, source, tag_object

GATES = [
    "tag",
    "branch",
    "lockstep",
    "checks",
    "artifacts",
    "archive",
    "metadata",
    "limits",
    "freeze",
    "approval",
    "world",
]
ROW = Row("any", "thing")
PASS, FAIL, WAIT, SKIP = ROW.passed("yes"), ROW.fail("no"), ROW.wait("soon"), ROW.skip("not asked")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param((), Verdict.REFUSED, id="no gate at all"),
        pytest.param((PASS,), Verdict.READY, id="one pass"),
        pytest.param((SKIP,), Verdict.READY, id="one skip"),
        pytest.param((PASS, SKIP), Verdict.READY, id="pass and skip"),
        pytest.param((PASS, WAIT, SKIP), Verdict.WAITING, id="something is still to come"),
        pytest.param((PASS, WAIT, FAIL), Verdict.REFUSED, id="a failure outranks a wait"),
        pytest.param((FAIL, PASS, PASS), Verdict.REFUSED, id="one failure among passes"),
    ],
)
def test_the_verdict(rows: tuple[GateRow, ...], expected: Verdict) -> None:
    assert verdict(rows) is expected


def test_the_gates_are_the_documented_ones_in_their_order() -> None:
    assert [gate.__name__ for gate in RULES] == GATES


@pytest.mark.parametrize(
    ("tag", "artifacts"),
    [
        pytest.param("v1.2.3", full_files(), id="a release in order"),
        pytest.param("v1.2.3", (), id="an empty folder"),
        pytest.param("v1.2.3", Unobserved("none were given"), id="no folder"),
        pytest.param("v1.2.3-dev.1", (file("demo_mac"),), id="a dev version"),
        pytest.param("v1.2.3$(id)", full_files(), id="a tag outside the grammar"),
        pytest.param("v1.2.3\udcff", (), id="a tag that is no text"),
        pytest.param("nonsense", full_files(), id="a tag without a version"),
    ],
)
@pytest.mark.parametrize("text", [pytest.param(FULL, id="a full policy"), pytest.param("", id="an empty policy")])
def test_every_gate_answers_about_every_release(
    tag: str, artifacts: tuple[Inspected, ...] | Unobserved, text: str
) -> None:
    rows = settle(case(tag, text, artifacts=artifacts))
    assert list(dict.fromkeys(row.name for row in rows)) == GATES
    assert all(row.object.isascii() and row.object.isprintable() for row in rows)


def test_all_failures_show_at_once() -> None:
    moved = tag_object(commit="ff" * 20)
    wrong = full_files("1.2.4", "1.2.4")
    rows = settle(
        case(
            text=FULL,
            source=source(branches=(), versions=(entry("Cargo.toml", "1.2.2"),)),
            artifacts=(*wrong, file("extra.bin", problems=("../x",))),
            objections=(Objection("sdk", "sdk.whl", "too big", "smaller"),),
            world=World(tag=moved, checks={}, shelves={"sdk": shelf(1, files={"a": Presence.DIFFERENT})}),
        )
    )
    failing = dict.fromkeys(row.name for row in rows if row.status is Status.FAIL)
    assert list(failing) == ["tag", "branch", "lockstep", "artifacts", "archive", "metadata", "limits", "world"]
    assert verdict(rows) is Verdict.REFUSED


def test_every_failing_row_says_what_to_do() -> None:
    rows = settle(case(text=FULL, artifacts=(file("extra.bin"),), source=source(branches=())))
    failing = [row for row in rows if row.status is Status.FAIL]
    assert len(failing) > 5
    assert [row for row in failing if not (row.found and row.wanted and row.hint)] == []


def test_equal_cases_give_equal_rows() -> None:
    assert settle(case(text=FULL, artifacts=full_files())) == settle(case(text=FULL, artifacts=full_files()))


def test_the_order_of_the_files_does_not_change_a_verdict() -> None:
    forwards = settle(case(text=FULL, artifacts=full_files()))
    backwards = settle(case(text=FULL, artifacts=full_files()[::-1]))
    assert set(forwards) == set(backwards)
