"""Gate ``approval``: enough of the right people agreed to exactly these bytes, and nobody said no."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from releaser.model.approval import Decision, Vote
from releaser.model.facts import Ballot, Unobserved, World
from releaser.model.manifest import Manifest, Person, PlannedDelivery
from releaser.model.plan import GateRow, Status
from releaser.model.policy import ApprovalRule
from releaser.policy.approval import approval, approval_row, tally
from tests.cases import FULL, SIMPLE, ballot, case, full_files, manifest, one, policy_ref, vote, voter

ONE = ApprovalRule()
TWO = ApprovalRule(quorum=2)
RELEASE = manifest(initiator=Person(id=sum(b"ada"), login="ada"), tagger="tess@example.invalid")
OTHER = "sha256:" + "0" * 64
HOUR = timedelta(hours=1)
GRACE, LIN, TESS = voter("grace"), voter("lin"), voter("tess", emails=("Tess@Example.invalid",))
BOT = voter("bot", human=False)
OUTSIDER = voter("eve", roles=frozenset())
UNKNOWN = voter("ned", roles=None, human=False)
NO = Decision.REJECT


def cast(by: object = GRACE, decision: Decision = Decision.APPROVE, age: timedelta = timedelta(), **other: str) -> Vote:
    return replace(vote(by, RELEASE, decision, age=age), **other)  # type: ignore[arg-type]


def judge(*votes: Vote, rule: ApprovalRule = ONE, begun: bool = False, release: Manifest = RELEASE) -> GateRow:
    return approval_row(rule, ballot(release, *votes, begun=begun), release)


@pytest.mark.parametrize(
    ("votes", "rule", "status", "says"),
    [
        pytest.param((), ONE, Status.WAIT, "0/1", id="nobody voted"),
        pytest.param((cast(),), ONE, Status.PASS, "grace", id="one approver is enough for one"),
        pytest.param((cast(),), TWO, Status.WAIT, "1/2", id="one of two"),
        pytest.param((cast(), cast(LIN)), TWO, Status.PASS, "grace, lin", id="two of two"),
        pytest.param((cast(), cast()), TWO, Status.WAIT, "1/2", id="one person twice"),
        pytest.param((cast(), cast(voter("grace2", id=GRACE.id))), TWO, Status.WAIT, "1/2", id="one person renamed"),
        pytest.param((cast(manifest=OTHER),), ONE, Status.WAIT, "about other bytes", id="approval of other bytes"),
        pytest.param((cast(manifest=""),), ONE, Status.WAIT, "about other bytes", id="approval of no bytes"),
        pytest.param((cast(tag="v1.2.4"),), ONE, Status.WAIT, "about acme/demo v1.2.4", id="approval of another tag"),
        pytest.param(
            (cast(repository="acme/other"),), ONE, Status.WAIT, "about acme/other", id="approval in another repository"
        ),
        pytest.param((cast(policy=OTHER),), ONE, Status.WAIT, "another policy", id="approval under another policy"),
        pytest.param((cast(OUTSIDER),), ONE, Status.WAIT, "eve is not an approver", id="approval by an outsider"),
        pytest.param((cast(BOT),), ONE, Status.WAIT, "bot is not a person", id="approval by a bot with the role"),
        pytest.param((cast(TESS),), ONE, Status.WAIT, "tess tagged", id="approver tagged the release"),
        pytest.param((cast(voter("ada")),), ONE, Status.WAIT, "ada started", id="approver started the release"),
        pytest.param(
            (cast(voter("renamed", id=sum(b"ada"))),), ONE, Status.WAIT, "started", id="initiator under a new login"
        ),
        pytest.param((cast(voter("ada", id=99)),), ONE, Status.PASS, "ada", id="initiator's old login, other person"),
        pytest.param((cast(UNKNOWN),), ONE, Status.WAIT, "looked up: ned", id="rights could not be looked up"),
        pytest.param((cast(), cast(UNKNOWN)), ONE, Status.PASS, "grace", id="enough without the unknown one"),
        pytest.param((cast(decision=NO),), ONE, Status.FAIL, "rejected by grace", id="rejected"),
        pytest.param((cast(), cast(LIN, NO)), ONE, Status.FAIL, "lin", id="reject after approve"),
        pytest.param((cast(LIN, NO), cast()), ONE, Status.FAIL, "lin", id="approve after reject"),
        pytest.param((cast(decision=NO), cast()), ONE, Status.FAIL, "grace", id="one person changed their mind"),
        pytest.param((cast(OUTSIDER, NO), cast()), ONE, Status.PASS, "grace", id="an outsider cannot reject"),
        pytest.param((cast(BOT, NO), cast()), ONE, Status.PASS, "grace", id="a bot cannot reject"),
        pytest.param((cast(TESS, NO), cast()), ONE, Status.FAIL, "tess", id="the tagger may reject"),
        pytest.param((cast(LIN, NO, manifest=OTHER), cast()), ONE, Status.PASS, "grace", id="rejection of other bytes"),
        pytest.param(
            (cast(LIN, NO, policy=OTHER), cast()), ONE, Status.FAIL, "lin", id="rejection under another policy"
        ),
        pytest.param((cast(LIN, NO, age=999 * HOUR), cast()), ONE, Status.FAIL, "lin", id="rejections do not expire"),
        pytest.param((cast(UNKNOWN, NO), cast()), ONE, Status.WAIT, "ned said no", id="a rejection of unknown weight"),
    ],
)
def test_who_counts(votes: tuple[Vote, ...], rule: ApprovalRule, status: Status, says: str) -> None:
    row = judge(*votes, rule=rule)
    assert row.status is status
    assert says in f"{row.reason}; {row.found}"
    assert status is Status.PASS or (row.wanted and row.hint)


@pytest.mark.parametrize(
    ("age", "begun", "status"),
    [
        pytest.param(72 * HOUR - timedelta(seconds=1), False, Status.PASS, id="one second before its end"),
        pytest.param(72 * HOUR, False, Status.WAIT, id="at its end"),
        pytest.param(72 * HOUR + timedelta(seconds=1), False, Status.WAIT, id="one second past its end"),
        pytest.param(8 * 24 * HOUR, False, Status.WAIT, id="resumed after eight days with nothing sent"),
        pytest.param(8 * 24 * HOUR, True, Status.PASS, id="resumed after eight days with something sent"),
    ],
)
def test_how_long_an_approval_holds(age: timedelta, begun: bool, status: Status) -> None:
    row = judge(cast(age=age), begun=begun)
    assert row.status is status
    assert ("expired after 72h" in row.found) is (status is Status.WAIT)


def test_begun_forgives_nothing_but_the_age() -> None:
    assert judge(cast(manifest=OTHER), cast(OUTSIDER), cast(TESS), begun=True).status is Status.WAIT
    assert judge(cast(), cast(LIN, NO), begun=True).status is Status.FAIL


@pytest.mark.parametrize(
    ("approvers", "roles", "status"),
    [
        pytest.param(("team:acme/maintainers",), {"team:acme/maintainers"}, Status.PASS, id="in the team"),
        pytest.param(("team:acme/maintainers",), {"role:admin"}, Status.WAIT, id="an admin outside the team"),
        pytest.param(("user:grace", "role:admin"), {"role:admin"}, Status.PASS, id="one of several ways"),
        pytest.param(("role:maintain",), set(), Status.WAIT, id="removed between click and publishing"),
    ],
)
def test_rights_are_those_of_the_moment(approvers: tuple[str, ...], roles: set[str], status: Status) -> None:
    row = judge(cast(voter("grace", roles=frozenset(roles))), rule=ApprovalRule(approvers=approvers))
    assert row.status is status


@pytest.mark.parametrize(
    ("exclude", "by", "status"),
    [
        pytest.param((), TESS, Status.PASS, id="a policy may let the tagger approve"),
        pytest.param(("initiator",), TESS, Status.PASS, id="only the initiator is left out"),
        pytest.param(("tagger",), voter("ada"), Status.PASS, id="only the tagger is left out"),
        pytest.param(("tagger",), TESS, Status.WAIT, id="the tagger is left out"),
    ],
)
def test_whom_the_policy_leaves_out(exclude: tuple[str, ...], by: object, status: Status) -> None:
    assert judge(cast(by), rule=ApprovalRule(exclude=exclude)).status is status


def test_a_lightweight_tag_has_no_tagger_to_leave_out() -> None:
    release = manifest()
    nobody = voter("grace", emails=("",))
    assert approval_row(ONE, ballot(release, vote(nobody, release)), release).status is Status.PASS


def test_a_policy_edited_after_assembling_voids_every_approval() -> None:
    edited = replace(ballot(RELEASE, cast(policy=OTHER)), policy=OTHER)
    row = approval_row(ONE, edited, RELEASE)
    assert (row.status, row.object) == (Status.FAIL, RELEASE.policy.path)
    assert (row.found, row.wanted) == (OTHER, RELEASE.policy.digest)


def test_the_verdict_explains_itself() -> None:
    row = judge(cast(), cast(OUTSIDER), cast(BOT), cast(UNKNOWN), rule=ApprovalRule(quorum=3, expires="2d"))
    digest = RELEASE.digest()
    assert row.found == (
        f"1/3 approvals of {digest[:19]}; left out: eve is not an approver; bot is not a person; "
        "rights could not be looked up: ned"
    )
    assert row.wanted == "3 of role:admin within 2d"
    assert row.hint == f"releaser approve v1.2.3 --digest {digest}"


def test_the_count_names_everybody_once() -> None:
    votes = (cast(), cast(), cast(LIN, NO), cast(OUTSIDER), cast(UNKNOWN, NO), cast(UNKNOWN))
    count = tally(ONE, ballot(RELEASE, *votes), RELEASE)
    assert (count.approved, count.rejected) == (("grace",), ("lin",))
    assert (count.unknown, count.doubtful) == (("ned",), ("ned",))
    assert count.ignored == (("eve", "is not an approver"),)


def test_before_the_draft_it_says_what_will_be_needed() -> None:
    row = one(tuple(approval(case(text=FULL, artifacts=full_files()))))
    assert (row.status, row.reason) == (Status.SKIP, "2 of team:acme/maintainers once the draft is complete")


def test_a_channel_without_a_draft_needs_nobody() -> None:
    row = one(tuple(approval(case("v1.2.3-dev.1", FULL))))
    assert (row.status, row.reason) == (Status.SKIP, "dev releases are public at once and go to no registry")


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        pytest.param(Unobserved("not asked"), Status.SKIP, id="not asked"),
        pytest.param(Unobserved("the forge is down", failed=True), Status.WAIT, id="asked in vain"),
        pytest.param(ballot(RELEASE), Status.WAIT, id="no vote"),
        pytest.param(ballot(RELEASE, cast()), Status.PASS, id="one vote"),
    ],
)
def test_a_drafted_release_is_judged_by_its_votes(fact: Ballot | Unobserved, status: Status) -> None:
    assert one(tuple(approval(case(world=World(ballot=fact), manifest=RELEASE)))).status is status


def test_votes_without_a_manifest_are_votes_on_nothing() -> None:
    row = one(tuple(approval(case(world=World(ballot=ballot(RELEASE, cast()))))))
    assert row.status is Status.SKIP


TAP = (PlannedDelivery(id="brew", kind="homebrew-cask", repository="acme/homebrew-tap", via="commit", needs=()),)
_UNAPPROVED = SIMPLE + '[channels.stable]\nbranches = "main"\ndraft = false\npublish = []\n'


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="to registries"),
        pytest.param({"draft": False}, id="with a manifest that claims to be no draft"),
        pytest.param({"publications": (), "downstream": TAP}, id="to a package manager alone"),
    ],
)
def test_a_policy_that_drops_approval_later_does_not_free_what_was_drafted(change: dict[str, object]) -> None:
    release = RELEASE.model_copy(update=change)
    now = replace(ballot(release), policy=policy_ref(_UNAPPROVED).digest)
    row = one(tuple(approval(case(text=_UNAPPROVED, world=World(ballot=now), manifest=release))))
    assert row.status is Status.FAIL
    assert row.reason == "the policy was changed after this release was assembled"


@pytest.mark.parametrize(
    ("author", "rule", "status"),
    [
        pytest.param(GRACE.id, ONE, Status.WAIT, id="the approver put the manifest there by hand"),
        pytest.param(LIN.id, ONE, Status.PASS, id="somebody else did"),
        pytest.param(0, ONE, Status.PASS, id="a job did"),
        pytest.param(GRACE.id, ApprovalRule(exclude=("tagger",)), Status.PASS, id="the policy lets initiators approve"),
    ],
)
def test_who_drafts_by_hand_does_not_approve(author: int, rule: ApprovalRule, status: Status) -> None:
    """Otherwise a hand-made manifest that names no initiator would free its maker from the exclusion."""
    nameless = manifest()
    votes = replace(ballot(nameless, vote(GRACE, nameless)), author=author)
    row = approval_row(rule, votes, nameless)
    assert row.status is status
    assert ("by hand" in row.found) == (status is Status.WAIT)
