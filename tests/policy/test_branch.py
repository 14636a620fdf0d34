"""Gate ``branch``: a channel's releases come from that channel's branches."""

from __future__ import annotations

import pytest

from releaser.model.facts import Unobserved
from releaser.model.plan import Status
from releaser.policy.branch import branch
from releaser.policy.case import path_match
from tests.cases import COMMIT, FULL, SIMPLE, case, one, source


@pytest.mark.parametrize(
    ("tag", "branches", "status", "reason"),
    [
        pytest.param("v1.2.3", ("main",), Status.PASS, "stable: main contains", id="stable on main"),
        pytest.param("v1.2.3", ("x", "main"), Status.PASS, "stable: main contains", id="stable on main among others"),
        pytest.param("v1.2.3", ("prerelease/1.2.3",), Status.FAIL, "no branch", id="stable on a prerelease branch"),
        pytest.param("v1.2.3", ("maintenance",), Status.FAIL, "no branch", id="a name that begins like main"),
        pytest.param("v1.2.3", ("feature/main",), Status.FAIL, "no branch", id="a folder before main"),
        pytest.param("v1.2.3", (), Status.FAIL, "no branch", id="stable on no branch"),
        pytest.param("v1.2.3-rc.1", ("prerelease/1.2.3",), Status.PASS, "prerelease", id="prerelease on its branch"),
        pytest.param("v1.2.3-rc.1", ("prerelease/x",), Status.PASS, "prerelease", id="prerelease on any such branch"),
        pytest.param("v1.2.3-rc.1", ("main",), Status.FAIL, "no branch", id="prerelease on main"),
        pytest.param("v1.2.3-rc.1", ("prerelease/a/b",), Status.FAIL, "no branch", id="prerelease one folder too deep"),
        pytest.param("v1.2.3-nightly.1", ("main",), Status.FAIL, "no branch", id="an unknown phase is a prerelease"),
        pytest.param("v1.2.3-dev.1", (), Status.PASS, "any commit", id="dev from anywhere"),
    ],
)
def test_where_versions_may_come_from(tag: str, branches: tuple[str, ...], status: Status, reason: str) -> None:
    row = one(tuple(branch(case(tag, FULL, source=source(tag, branches=branches)))))
    assert (row.object, row.status) == (tag, status)
    assert reason in row.reason


def test_a_prerelease_on_main_is_told_which_branch_is_missing() -> None:
    row = one(tuple(branch(case("v1.2.3-rc.1", FULL))))
    assert row.found == f"{COMMIT[:12]} is on main"
    assert row.wanted == "a branch matching prerelease/*, such as prerelease/1.2.3"
    assert row.hint == f"git push origin {COMMIT[:12]}:refs/heads/prerelease/1.2.3"


def test_the_branches_that_the_policy_knows_are_named_first() -> None:
    row = one(tuple(branch(case("v1.2.3-rc.1", FULL, source=source(branches=("a", "b", "c", "main", "z"))))))
    assert row.found == f"{COMMIT[:12]} is on main, a, b and 2 more"


def test_a_stable_version_elsewhere_is_told_to_merge() -> None:
    row = one(tuple(branch(case(source=source(branches=("a", "b", "c", "d", "e"))))))
    assert row.found == f"{COMMIT[:12]} is on a, b, c and 2 more"
    assert row.hint == "merge the commit into main, then tag it there"


def test_a_pattern_over_several_folders_still_suggests_one_branch() -> None:
    text = SIMPLE + '[channels.stable]\nbranches = "release/**"\n'
    given = case(text=text, source=source(branches=()))
    assert one(tuple(branch(given))).wanted.endswith(", such as release/1.2.3")


def test_a_channel_that_the_policy_lacks_is_refused() -> None:
    row = one(tuple(branch(case("v1.2.3-dev.1", SIMPLE))))
    assert row.status is Status.FAIL
    assert row.wanted == "one of stable, prerelease"
    assert "[channels.dev]" in row.hint


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        pytest.param(Unobserved("verified before"), Status.SKIP, id="not asked"),
        pytest.param(Unobserved("git failed", failed=True), Status.WAIT, id="asked in vain"),
    ],
)
def test_unknown_branches_never_pass(fact: Unobserved, status: Status) -> None:
    row = one(tuple(branch(case(source=source(branches=fact)))))
    assert (row.status, row.reason) == (status, fact.reason)


@pytest.mark.parametrize("tag", ["v1.2.3", "nothing"])
def test_without_a_tag_there_is_nothing_to_judge(tag: str) -> None:
    assert one(tuple(branch(case(tag, source=None)))).status is Status.SKIP


@pytest.mark.parametrize(
    ("name", "pattern", "matches"),
    [
        ("main", "main", True),
        ("Main", "main", False),
        ("release/1.0", "release/*", True),
        ("release/1/0", "release/*", False),
        ("release/1/0", "release/**", True),
        ("release", "release/**", False),
        ("a/b/c", "**", True),
        ("a/b", "*", False),
        ("a/x/b/c", "a/*/b/**", True),
        ("a/x/y/b/c", "a/*/b/**", False),
        ("a/x/y/b", "a/**/b", True),
        ("release-1", "release-[0-9]", True),
        ("release-x", "release-[0-9]", False),
    ],
)
def test_one_star_stays_in_its_folder_and_two_do_not(name: str, pattern: str, matches: bool) -> None:
    assert path_match(name, pattern) is matches
