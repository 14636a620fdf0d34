"""Gate ``freeze``: somebody holds a release back, nobody does, or nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from releaser.model.facts import Freeze, Unobserved, World
from releaser.model.plan import Status
from releaser.policy.freeze import freeze
from tests.cases import case, one

AT = datetime(2026, 3, 1, 12, 30, 59, tzinfo=UTC)
THIS, ALL = Freeze("v1.2.3", "a token\n leaked ", "ana", AT), Freeze("", "a fire", "ana", AT)


@pytest.mark.parametrize(
    ("seen", "status", "reason", "hint"),
    [
        pytest.param(None, Status.PASS, "nobody holds it back", "", id="not frozen"),
        pytest.param(
            THIS,
            Status.WAIT,
            "held back by ana since 2026-03-01 12:30 UTC: a token leaked",
            "releaser thaw v1.2.3",
            id="this release",
        ),
        pytest.param(
            ALL, Status.WAIT, "held back by ana since 2026-03-01 12:30 UTC: a fire", "releaser thaw", id="every release"
        ),
        pytest.param(Unobserved("rate limited", failed=True), Status.WAIT, "rate limited", "", id="asked in vain"),
        pytest.param(Unobserved("not asked for"), Status.SKIP, "not asked for", "", id="not asked"),
    ],
)
def test_a_release_goes_on_only_when_it_is_known_not_to_be_frozen(
    seen: Freeze | Unobserved | None, status: Status, reason: str, hint: str
) -> None:
    row = one(tuple(freeze(case("v1.2.3", world=World(freeze=seen)))))
    assert (row.object, row.status, row.reason, row.hint) == ("v1.2.3", status, reason, hint)


@pytest.mark.parametrize(("seen", "found"), [(THIS, "a freeze of this release"), (ALL, "a freeze of every release")])
def test_a_freeze_of_all_is_not_taken_for_one_of_this_release(seen: Freeze, found: str) -> None:
    row = one(tuple(freeze(case("v1.2.3", world=World(freeze=seen)))))
    assert (row.found, row.wanted) == (found, "none")
