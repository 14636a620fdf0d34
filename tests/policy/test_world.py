"""Gate ``world``: names are free, or taken by exactly our bytes; only what is absent permits a write."""

from __future__ import annotations

import pytest

from releaser.model.facts import Damage, Presence, Shelf, Unobserved, World
from releaser.model.plan import Action, Status
from releaser.policy.world import action_for, world
from tests.cases import FULL, SIMPLE, case, full_files, one, shelf, statuses

ABSENT, SAME, DIFFERENT, UNKNOWN = Presence.ABSENT, Presence.SAME, Presence.DIFFERENT, Presence.UNKNOWN
PUBLICATION = case().publications[0]


@pytest.mark.parametrize(
    ("seen", "action", "reason"),
    [
        pytest.param(shelf(package=False), Action.PUBLISH, "demo is a new package", id="a new package"),
        pytest.param(shelf(), Action.PUBLISH, "demo 1.2.3 is free", id="a free version"),
        pytest.param(shelf(files={"a": ABSENT}), Action.PUBLISH, "demo 1.2.3 is free", id="our file is absent"),
        pytest.param(
            shelf(files={"a": ABSENT}, package=False), Action.PUBLISH, "demo is a new package", id="first release"
        ),
        pytest.param(shelf(1, files={"a": SAME}), Action.SKIP, "with the same digest", id="there already"),
        pytest.param(shelf(1, files={"a": SAME, "b": ABSENT}), Action.PUBLISH, "1 of 2 files", id="half there"),
        pytest.param(shelf(1, files={"a": DIFFERENT}), Action.CONFLICT, "other bytes", id="other bytes"),
        pytest.param(
            shelf(2, files={"a": SAME, "b": DIFFERENT, "c": ABSENT}), Action.CONFLICT, "other bytes", id="one of three"
        ),
        pytest.param(
            shelf(1, files={"a": ABSENT}, foreign=("x.whl",)),
            Action.CONFLICT,
            "not in this release",
            id="a foreign file",
        ),
        pytest.param(
            shelf(2, files={"a": SAME}, foreign=("x.whl",)),
            Action.CONFLICT,
            "not in this release",
            id="ours and foreign",
        ),
        pytest.param(shelf(1, files={"a": UNKNOWN}), Action.WAIT, "without a digest", id="no digest to compare"),
        pytest.param(
            shelf(1, files={"a": UNKNOWN, "b": ABSENT}),
            Action.WAIT,
            "without a digest",
            id="no digest, the rest absent",
        ),
        pytest.param(
            shelf(2, files={"a": UNKNOWN, "b": DIFFERENT}), Action.CONFLICT, "other bytes", id="no digest, other bytes"
        ),
        pytest.param(shelf(3), Action.WAIT, "give --artifacts", id="taken, and nothing of ours to compare"),
    ],
)
def test_what_is_to_be_done(seen: Shelf, action: Action, reason: str) -> None:
    found, words = action_for(PUBLICATION, seen)
    assert found is action
    assert reason in words


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        pytest.param(shelf(), Status.PASS, id="free"),
        pytest.param(shelf(1, files={"a": SAME}), Status.PASS, id="there already"),
        pytest.param(shelf(1, files={"a": DIFFERENT}), Status.FAIL, id="other bytes"),
        pytest.param(shelf(1, files={"a": UNKNOWN}), Status.WAIT, id="no digest"),
        pytest.param(Unobserved("--offline"), Status.SKIP, id="not asked"),
        pytest.param(Unobserved("503", failed=True), Status.WAIT, id="asked in vain"),
    ],
)
def test_one_registry(seen: Shelf | Unobserved, status: Status) -> None:
    row = one(tuple(world(case(world=World(shelves={"demo": seen})))))
    assert (row.object, row.status) == ("demo", status)
    assert status in (Status.PASS, Status.SKIP) or row.hint


def test_a_conflict_names_the_files_and_the_way_out() -> None:
    seen = shelf(3, files={"ours.whl": DIFFERENT, "fine.whl": SAME}, foreign=("theirs.whl",))
    row = one(tuple(world(case(world=World(shelves={"demo": seen})))))
    assert row.found == "ours.whl, theirs.whl"
    assert row.wanted == "only our bytes under demo 1.2.3 at pypi"
    assert "new version" in row.hint


def test_what_damaged_the_public_release_is_refused_beside_what_registries_have() -> None:
    lost = Damage("a.whl", "a.whl is gone", "no such file", "sha256:1", "put it back")
    rows = tuple(world(case(world=World(shelves={"demo": shelf()}, damage=(lost,)))))
    assert statuses(rows) == [("a.whl", Status.FAIL), ("demo", Status.PASS)]
    assert (rows[0].reason, rows[0].found, rows[0].wanted, rows[0].hint) == (
        lost.reason,
        lost.found,
        lost.wanted,
        lost.hint,
    )


def test_every_target_is_judged_before_any_is_written() -> None:
    seen: dict[str, Shelf | Unobserved] = {
        "core-pypi": shelf(1, files={"a": DIFFERENT}),
        "core-crate": Unobserved("timeout", failed=True),
    }
    rows = statuses(tuple(world(case(text=FULL, artifacts=full_files(), world=World(shelves=seen)))))
    assert rows == [("core-crate", Status.WAIT), ("core-pypi", Status.FAIL), ("sdk", Status.SKIP)]


@pytest.mark.parametrize(("tag", "text"), [("v1.2.3-dev.1", FULL), ("v1.2.3", "")])
def test_a_release_without_a_registry_has_nothing_to_contradict(tag: str, text: str) -> None:
    row = one(tuple(world(case(tag, text, artifacts=()))))
    assert (row.status, row.reason) == (Status.SKIP, "this release goes to no registry")


def test_the_package_of_a_version_that_is_free_is_named_as_the_registry_spells_it() -> None:
    given = case("v1.2.3-rc.1", SIMPLE, world=World(shelves={"demo": shelf()}))
    assert one(tuple(world(given))).reason == "demo 1.2.3rc1 is free"
