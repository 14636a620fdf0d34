"""Recording a decision: exactly one digest, by somebody whose decision counts, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from releaser.engine.states import State
from releaser.engine.vote import asset_name, record_for
from releaser.errors import ConflictError, Exit, ExternalError, RefusedError
from releaser.model.approval import Approval, Decision
from releaser.model.document import sha256
from releaser.model.manifest import ASSET, CHECKSUMS, Person
from tests.engine.scene import BOT, CLI, FIRST, POLICY, SECOND, STRANGER, TAGGER, THIRD, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A complete draft that nobody decided about."""
    scene = Scene(tmp_path)
    scene.drafted()
    return scene


def records(scene: Scene) -> list[str]:
    return [a.name for a in scene.release.assets if a.name.startswith("approval-")]


def test_a_record_says_what_was_decided_and_the_forge_says_by_whom(scene: Scene) -> None:
    assert scene.vote(FIRST)
    asset = next(a for a in scene.release.assets if a.name in records(scene))
    assert asset.by == FIRST
    data = scene.world.forge.bytes_of(asset)
    assert Approval.parse(data, asset.name) == Approval(
        repository="harbor/cog",
        tag="v1.2.0",
        manifest=scene.manifest.digest(),
        policy=scene.manifest.policy.digest,
        decision=Decision.APPROVE,
    )
    assert FIRST.login.encode() not in data


def test_deciding_twice_changes_nothing(scene: Scene) -> None:
    assert scene.vote(FIRST)
    before = scene.world.snapshot()
    assert not scene.vote(FIRST)
    assert scene.world.snapshot() == before


def test_an_approval_that_expired_can_be_given_again(scene: Scene) -> None:
    scene.vote(FIRST)
    scene.later(hours=72)
    scene.vote(SECOND)
    assert scene.look().state is State.EXPIRED
    assert scene.vote(FIRST)
    assert len(records(scene)) == 2
    assert scene.publish().state is State.RELEASED


def test_a_rejection_does_not_expire_and_is_not_written_again(scene: Scene) -> None:
    scene.vote(FIRST, Decision.REJECT)
    scene.later(hours=73)
    before = scene.world.snapshot()
    assert not scene.vote(FIRST, Decision.REJECT)
    assert scene.world.snapshot() == before
    assert scene.look().state is State.REJECTED


def test_every_person_decision_and_digest_has_a_name_of_its_own(scene: Scene) -> None:
    seen = scene.seen()
    votes = [record_for(seen, decision, seen.digest, "") for decision in Decision]
    other = votes[0].model_copy(update={"manifest": sha256(b"other")})
    named = {asset_name(record, person) for record in (*votes, other) for person in (FIRST, SECOND)}
    assert len(named) == 6
    assert all(name.isascii() and name.startswith("approval-") and name.endswith(".json") for name in named)


@pytest.mark.parametrize("decision", Decision)
def test_a_digest_that_the_draft_does_not_hold_is_refused(scene: Scene, decision: Decision) -> None:
    before = scene.world.snapshot()
    with pytest.raises(RefusedError) as caught:
        scene.vote(FIRST, decision, digest=sha256(b"what I looked at yesterday"))
    assert (caught.value.code, caught.value.found) == ("approval-stale", scene.manifest.digest())
    assert scene.world.snapshot() == before


def test_under_another_policy_nothing_can_be_approved_but_everything_rejected(scene: Scene) -> None:
    scene.world.policy(POLICY + "# edited\n")
    with pytest.raises(RefusedError) as caught:
        scene.vote(FIRST)
    assert caught.value.code == "approval-policy-changed"
    assert records(scene) == []
    assert scene.vote(FIRST, Decision.REJECT)


def test_of_a_public_release_nothing_is_drafted_again(scene: Scene) -> None:
    scene.world.policy(POLICY + "# edited\n")
    with pytest.raises(RefusedError) as caught:
        scene.vote(FIRST)
    assert caught.value.hint.startswith("delete the draft")
    scene.world.forge.undraft(scene.release.id)
    with pytest.raises(RefusedError) as caught:
        scene.vote(FIRST)
    assert (caught.value.code, "draft" in caught.value.hint) == ("approval-policy-changed", False)


def test_of_a_damaged_release_nothing_can_be_approved_but_everything_rejected(scene: Scene) -> None:
    scene.world.forge.undraft(scene.release.id)
    scene.world.forge.drop(scene.release.id, CLI)
    with pytest.raises(ConflictError) as caught:
        scene.vote(FIRST)
    assert (caught.value.code, caught.value.object) == ("asset-lost", CLI)
    assert records(scene) == []
    assert scene.vote(FIRST, Decision.REJECT)


@pytest.mark.parametrize(
    ("person", "because"),
    [
        pytest.param(STRANGER, "stranger is not an approver", id="not in the team"),
        pytest.param(TAGGER, "tagger tagged this release", id="made the tag"),
        pytest.param(BOT, "pipeline[bot] is not a person", id="a bot"),
        pytest.param(Person(id=999, login="nobody"), "nobody is not a person", id="not known to the forge"),
    ],
)
def test_a_vote_that_would_not_count_is_refused_and_says_why(scene: Scene, person: Person, because: str) -> None:
    before = scene.world.snapshot()
    with pytest.raises(RefusedError) as caught:
        scene.vote(person)
    assert (caught.value.code, caught.value.found) == ("approval-refused", because)
    assert scene.world.snapshot() == before


def test_the_initiator_may_not_approve_even_as_an_approver(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.manifest = scene.manifest.model_copy(update={"initiator": FIRST})
    scene.files = scene.written(scene.manifest)
    scene.drafted()
    with pytest.raises(RefusedError) as caught:
        scene.vote(FIRST)
    assert caught.value.found == "maintainer-0 started this release"


def test_who_made_the_release_may_still_reject_it(scene: Scene) -> None:
    assert scene.vote(TAGGER, Decision.REJECT)


def test_rights_that_cannot_be_looked_up_are_a_reason_to_try_again(scene: Scene) -> None:
    scene.world.forge.accounts[FIRST.id].roles = None
    before = scene.world.snapshot()
    with pytest.raises(ExternalError) as caught:
        scene.vote(FIRST)
    assert (caught.value.code, caught.value.exit) == ("approver-unknown", Exit.OUTSIDE)
    assert scene.world.snapshot() == before


def test_after_a_rejection_nobody_can_approve(scene: Scene) -> None:
    scene.vote(FIRST, Decision.REJECT)
    for person in (FIRST, SECOND):
        with pytest.raises(RefusedError) as caught:
            scene.vote(person)
        assert (caught.value.code, "build again" in caught.value.hint) == ("release-rejected", True)
    scene.world.forge.undraft(scene.release.id)
    with pytest.raises(RefusedError) as caught:
        scene.vote(SECOND)
    assert caught.value.hint == "a rejection is final: choose a new version"


def test_an_approver_may_still_change_their_mind_to_no(scene: Scene) -> None:
    scene.vote(FIRST)
    scene.vote(SECOND)
    assert scene.vote(FIRST, Decision.REJECT)
    with pytest.raises(RefusedError, match="rejected by maintainer-0"):
        scene.publish()


def test_an_upload_of_ours_that_broke_off_is_sent_again(scene: Scene) -> None:
    seen = scene.seen()
    scene.world.forge.ghosts.add(asset_name(record_for(seen, Decision.APPROVE, seen.digest, ""), FIRST))
    with pytest.raises(ExternalError):
        scene.vote(FIRST)
    assert scene.vote(FIRST)
    assert [a.complete for a in scene.release.assets if a.name in records(scene)] == [True]


@pytest.mark.parametrize("complete", [True, False], ids=["a file", "an unfinished one"])
def test_what_somebody_else_put_under_our_name_is_left_alone(scene: Scene, complete: bool) -> None:
    seen = scene.seen()
    name = asset_name(record_for(seen, Decision.APPROVE, seen.digest, ""), FIRST)
    scene.world.forge.put(scene.release.id, name, b"{}", STRANGER, complete=complete)
    before = scene.world.snapshot()
    with pytest.raises(ConflictError) as caught:
        scene.vote(FIRST)
    assert caught.value.code == "asset-exists"
    assert scene.world.snapshot() == before


def redraft(scene: Scene) -> None:
    for name in (ASSET, CHECKSUMS):
        scene.world.forge.drop(scene.release.id, name)
    scene.manifest = scene.manifest.model_copy(update={"initiator": None})
    scene.files = scene.written(scene.manifest)
    scene.drafted()


def crowd(scene: Scene) -> None:
    """A record that cannot be read, one that is too large to be one, and one that is not finished."""
    for name, data, complete in (("a", b"{", True), ("b", b" " * (1 << 17), True), ("c", b"", False)):
        scene.world.forge.put(scene.release.id, f"approval-{name}.json", data, THIRD, complete=complete)


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        pytest.param(lambda _: None, True, id="two approvers"),
        pytest.param(crowd, True, id="beside records that are none"),
        pytest.param(redraft, False, id="of other bytes"),
    ],
)
def test_what_was_recorded_is_what_counts(scene: Scene, change: Callable[[Scene], None], passes: bool) -> None:
    scene.vote(FIRST)
    scene.vote(SECOND)
    change(scene)
    row = next(r for r in scene.look().rows if r.name == "approval")
    assert (row.status == "pass") is passes
    assert row.reason.startswith("2/2" if passes else "0/2")
