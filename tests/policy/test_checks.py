"""Gate ``checks``: the required checks are green on exactly the tagged commit."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from releaser.model.facts import CheckState, Unobserved, World
from releaser.model.plan import Status
from releaser.policy.checks import checks
from tests.cases import COMMIT, SIMPLE, case, one

REQUIRED = SIMPLE + '[checks]\nrequired = "ci-complete"\n'


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        pytest.param({"ci-complete": CheckState.SUCCESS}, Status.PASS, id="green"),
        pytest.param({"ci-complete": CheckState.SKIPPED}, Status.PASS, id="skipped counts as passing"),
        pytest.param({"ci-complete": CheckState.FAILURE}, Status.FAIL, id="red"),
        pytest.param({"ci-complete": CheckState.PENDING}, Status.WAIT, id="still running"),
        pytest.param({}, Status.WAIT, id="missing does not count as passing"),
        pytest.param({"CI-complete": CheckState.SUCCESS}, Status.WAIT, id="another name's success"),
        pytest.param(Unobserved("not asked: --offline"), Status.SKIP, id="not asked"),
        pytest.param(Unobserved("rate limited", failed=True), Status.WAIT, id="asked in vain"),
    ],
)
def test_one_required_check(seen: Mapping[str, CheckState] | Unobserved, status: Status) -> None:
    row = one(tuple(checks(case(text=REQUIRED, world=World(checks=seen)))))
    assert (row.object, row.status) == ("ci-complete", status)


def test_the_hint_looks_at_the_tagged_commit() -> None:
    row = one(tuple(checks(case(text=REQUIRED, world=World(checks={})))))
    assert row.hint == f"gh run list --commit {COMMIT[:12]}"
    assert (row.found, row.wanted) == ("nothing", "success or skipped")


def test_each_required_check_is_shown() -> None:
    text = SIMPLE + '[checks]\nrequired = ["a", "b", "c"]\n'
    seen = {"a": CheckState.SUCCESS, "b": CheckState.FAILURE, "other": CheckState.FAILURE}
    rows = checks(case(text=text, world=World(checks=seen)))
    assert [(r.object, r.status) for r in rows] == [("a", Status.PASS), ("b", Status.FAIL), ("c", Status.WAIT)]


def test_none_required_is_a_skip_and_not_a_pass() -> None:
    assert one(tuple(checks(case(world=World(checks={"a": CheckState.FAILURE}))))).status is Status.SKIP


def test_without_a_commit_there_is_nothing_to_look_at() -> None:
    assert one(tuple(checks(case(text=REQUIRED, source=None)))).status is Status.SKIP
