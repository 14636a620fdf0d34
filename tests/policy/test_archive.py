"""Gate ``archive``: no artifact is an archive that two programs would unpack differently."""

from __future__ import annotations

import pytest

from releaser.model.artifact import Kind
from releaser.model.facts import Unobserved
from releaser.model.plan import Status
from releaser.policy.archive import archive
from tests.cases import DEMO_WHEEL, case, file, one


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        pytest.param(Kind.WHEEL, "3 entries, safe to unpack", id="a wheel"),
        pytest.param(Kind.FILE, "a plain file", id="a program"),
    ],
)
def test_a_sound_file_passes(kind: Kind, reason: str) -> None:
    row = one(tuple(archive(case(artifacts=(file("demo.whl", kind),)))))
    assert (row.object, row.status, row.reason) == ("demo.whl", Status.PASS, reason)


def test_every_problem_of_every_file_is_shown() -> None:
    bad = file("bad.whl", Kind.WHEEL, problems=("../x leaves the folder", "two entries named a"))
    rows = tuple(archive(case(artifacts=(bad, DEMO_WHEEL))))
    assert [(r.object, r.status, r.found) for r in rows] == [
        ("bad.whl", Status.FAIL, "../x leaves the folder"),
        ("bad.whl", Status.FAIL, "two entries named a"),
        (DEMO_WHEEL.artifact.name, Status.PASS, ""),
    ]
    assert all(r.hint and r.wanted for r in rows[:2])


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        pytest.param(Unobserved("no --artifacts"), Status.SKIP, id="none were given"),
        pytest.param(Unobserved("unreadable", failed=True), Status.WAIT, id="they could not be read"),
    ],
)
def test_unseen_artifacts_never_pass(fact: Unobserved, status: Status) -> None:
    assert one(tuple(archive(case(artifacts=fact)))).status is status
