"""Gate ``lockstep``: every file that states the version states this one."""

from __future__ import annotations

import pytest

from releaser.model.facts import Unobserved, VersionEntry
from releaser.model.plan import Status
from releaser.model.spelling import Ecosystem
from releaser.policy.lockstep import lockstep
from tests.cases import FULL, case, entry, one, source

TAG = "v1.2.3-alpha.3"


@pytest.mark.parametrize(
    ("stated", "status", "wanted"),
    [
        pytest.param(entry("VERSION", "1.2.3-alpha.3"), Status.PASS, "", id="plain file with the version"),
        pytest.param(entry("VERSION", "1.2.3-alpha3"), Status.FAIL, "1.2.3-alpha.3", id="the dot is part of it"),
        pytest.param(entry("VERSION", "1.2.3"), Status.FAIL, "1.2.3-alpha.3", id="the release instead"),
        pytest.param(entry("VERSION", "v1.2.3-alpha.3"), Status.FAIL, "1.2.3-alpha.3", id="the tag instead"),
        pytest.param(
            entry("Cargo.lock core", "1.2.3-alpha.2", Ecosystem.CARGO),
            Status.FAIL,
            "1.2.3-alpha.3",
            id="a lockfile self-entry left behind",
        ),
        pytest.param(entry("pyproject", "1.2.3a3", Ecosystem.PEP440), Status.PASS, "", id="PEP 440 spelling"),
        pytest.param(
            entry("pyproject", "1.2.3-alpha.3", Ecosystem.PEP440), Status.PASS, "", id="PEP 440 before normalising"
        ),
        pytest.param(entry("pyproject", "1.2.3a4", Ecosystem.PEP440), Status.FAIL, "1.2.3a3", id="the next alpha"),
        pytest.param(
            entry("pyproject", "1!1.2.3a3", Ecosystem.PEP440), Status.FAIL, "1.2.3a3", id="an epoch makes another"
        ),
        pytest.param(entry("pyproject", "latest", Ecosystem.PEP440), Status.FAIL, "1.2.3a3", id="no version at all"),
        pytest.param(
            entry("pyproject", None, Ecosystem.PEP440, dynamic="hatch-vcs"), Status.PASS, "", id="computed at build"
        ),
        pytest.param(
            entry("Cargo.toml", None, Ecosystem.CARGO, problem="no such file"),
            Status.FAIL,
            "1.2.3-alpha.3",
            id="a file that is missing",
        ),
    ],
)
def test_each_place_is_held_to_the_tag(stated: VersionEntry, status: Status, wanted: str) -> None:
    row = one(tuple(lockstep(case(TAG, source=source(TAG, versions=(stated,))))))
    assert (row.object, row.status, row.wanted) == (stated.object, status, wanted)


def test_two_numbers_are_not_three() -> None:
    row = one(tuple(lockstep(case("v1.0.0", source=source(versions=(entry("p", "1.0", Ecosystem.PEP440),))))))
    assert (row.status, row.found, row.wanted) == (Status.FAIL, "1.0", "1.0.0")


def test_the_hint_says_what_to_write_where() -> None:
    row = one(tuple(lockstep(case("v1.2.3", source=source(versions=(entry("VERSION", "1.2.2"),))))))
    assert row.hint == "write 1.2.3 in VERSION"


def test_every_place_is_shown_at_once() -> None:
    places = (entry("a", "1.0.0"), entry("b", "1.2.3"), entry("c", "2.0.0"))
    rows = lockstep(case("v1.2.3", source=source(versions=places)))
    assert [(r.object, r.status) for r in rows] == [("a", Status.FAIL), ("b", Status.PASS), ("c", Status.FAIL)]


def test_a_version_that_a_file_cannot_state_is_refused() -> None:
    stated = entry("pyproject", "1.2.3.post1", Ecosystem.PEP440)
    row = one(tuple(lockstep(case("v1.2.3-1", source=source("v1.2.3-1", versions=(stated,))))))
    assert row.status is Status.FAIL
    assert "post-release" in row.reason
    assert row.hint


@pytest.mark.parametrize(
    ("versions", "status"),
    [
        pytest.param((), Status.SKIP, id="the policy names no file"),
        pytest.param(Unobserved("verified before"), Status.SKIP, id="not asked"),
        pytest.param(Unobserved("unreadable", failed=True), Status.WAIT, id="asked in vain"),
    ],
)
def test_nothing_known_never_passes(versions: tuple[VersionEntry, ...] | Unobserved, status: Status) -> None:
    assert one(tuple(lockstep(case(source=source(versions=versions))))).status is status


def test_a_source_that_states_nothing_is_refused() -> None:
    row = one(tuple(lockstep(case("v1.2.3", FULL, source=source()))))
    assert (row.object, row.status, row.wanted) == ("Cargo.toml", Status.FAIL, "1.2.3")


def test_the_tag_comes_first() -> None:
    assert one(tuple(lockstep(case(source=None)))).status is Status.SKIP
    assert one(tuple(lockstep(case("nonsense")))).status is Status.SKIP
