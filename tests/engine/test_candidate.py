"""Reading a release back from the forge: what does not belong together is no candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from releaser.engine.states import State
from releaser.errors import ConfigError, ConflictError, ExternalError, RefusedError, ReleaserError
from releaser.model.artifact import Kind
from releaser.model.manifest import ASSET, CHECKSUMS, PlannedDelivery, RepositoryRef, TagRef
from releaser.model.policy import DEFAULT_PATH, policy_digest
from tests.engine.scene import CLI, CRATE, FIRST, POLICY, STRANGER, Scene, content
from tests.world import sha256


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def forged(scene: Scene, changes: Mapping[str, Any]) -> None:
    """A draft whose manifest somebody wrote by hand."""
    scene.manifest = scene.manifest.model_copy(update=dict(changes))
    scene.files = scene.written(scene.manifest)
    scene.drafted()


def refusal(scene: Scene) -> ReleaserError:
    """Why there is no candidate; looking changes nothing."""
    before = scene.world.snapshot()
    with pytest.raises(ReleaserError) as caught:
        scene.seen()
    assert scene.world.snapshot() == before
    return caught.value


def test_a_complete_draft_is_a_candidate_under_the_policy_of_now(scene: Scene) -> None:
    scene.drafted()
    seen = scene.seen()
    assert (seen.manifest, seen.digest) == (scene.manifest, scene.manifest.digest())
    assert (seen.release.id, seen.policy.approval.quorum) == (scene.release.id, 2)
    assert seen.policy_digest == scene.manifest.policy.digest


def test_without_a_release_there_is_none(scene: Scene) -> None:
    assert refusal(scene).code == "release-missing"


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        pytest.param(ASSET, "no release.json", id="no manifest"),
        pytest.param(CRATE, f"1 missing: {CRATE}", id="an artifact is missing"),
        pytest.param(CHECKSUMS, f"1 missing: {CHECKSUMS}", id="the checksums are missing"),
    ],
)
def test_an_incomplete_one_is_refused(scene: Scene, missing: str, found: str) -> None:
    scene.drafted()
    scene.world.forge.drop(scene.release.id, missing)
    error = refusal(scene)
    assert isinstance(error, RefusedError)
    assert (error.code, error.found) == ("release-incomplete", found)


@pytest.mark.parametrize("name", [ASSET, CLI])
def test_an_unfinished_upload_does_not_count(scene: Scene, name: str) -> None:
    scene.drafted()
    scene.world.forge.drop(scene.release.id, name)
    scene.world.forge.put(scene.release.id, name, b"", STRANGER, complete=False)
    assert refusal(scene).code == "release-incomplete"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"repository": RepositoryRef(name="harbor/other", id=7)}, id="another name"),
        pytest.param({"repository": RepositoryRef(name="harbor/cog", id=8)}, id="the same name, another number"),
        pytest.param({"tag": TagRef(name="v1.1.0", object="b2" * 20, commit="a1" * 20)}, id="another tag"),
    ],
)
def test_a_manifest_of_another_release_is_refused(scene: Scene, changes: Mapping[str, Any]) -> None:
    release = scene.drafted()
    scene.world.forge.held[release.id].assets.clear()
    manifest = scene.manifest.model_copy(update=dict(changes))
    for name, file in scene.written(manifest).items():
        scene.world.forge.put(release.id, name, file.read_bytes(), STRANGER)
    assert refusal(scene).code == "manifest-foreign"


def test_a_repository_without_a_number_is_known_by_its_name(scene: Scene) -> None:
    forged(scene, {"repository": RepositoryRef(name="Harbor/Cog")})
    assert scene.seen().manifest.repository.id == 0


def widened(scene: Scene) -> Mapping[str, Any]:
    first, *rest = scene.manifest.publications
    return {"publications": (first.model_copy(update={"package": "somebody-elses"}), *rest)}


def narrowed(scene: Scene) -> Mapping[str, Any]:
    return {"publications": scene.manifest.publications[1:]}


def unordered(scene: Scene) -> Mapping[str, Any]:
    return {"publications": tuple(p.model_copy(update={"needs": ()}) for p in scene.manifest.publications)}


def delivered(scene: Scene) -> Mapping[str, Any]:
    more = PlannedDelivery(id="more", kind="homebrew-cask", repository="else/where", via="commit", needs=())
    return {"downstream": (*scene.manifest.downstream, more)}


def smuggled(scene: Scene) -> Mapping[str, Any]:
    """The command goes to the Python index, as if the policy named it a wheel of the SDK."""
    forged = {"group": "sdk", "kind": Kind.WHEEL}
    artifacts = [a.model_copy(update=forged) if a.name == CLI else a for a in scene.manifest.artifacts]
    targets = [
        p.model_copy(update={"files": tuple(a.name for a in artifacts if a.group == "sdk")}) if p.id == "sdk" else p
        for p in scene.manifest.publications
    ]
    assert any(CLI in p.files for p in targets)
    return {"artifacts": tuple(artifacts), "publications": tuple(targets)}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(widened, id="another package"),
        pytest.param(narrowed, id="one target fewer"),
        pytest.param(unordered, id="another order"),
        pytest.param(delivered, id="another tap"),
        pytest.param(lambda _: {"version": "1.2.1"}, id="another version than the tag's"),
        pytest.param(lambda _: {"channel": "dev"}, id="another channel"),
        pytest.param(smuggled, id="a file that the policy sends nowhere"),
    ],
)
def test_a_manifest_asks_for_exactly_what_its_policy_schedules(
    scene: Scene, changes: Callable[[Scene], Mapping[str, Any]]
) -> None:
    forged(scene, changes(scene))
    error = refusal(scene)
    assert isinstance(error, RefusedError)
    assert error.code == "manifest-widened"


def test_under_another_policy_it_asks_in_vain(scene: Scene) -> None:
    """A manifest that claims another policy cannot be compared with it; then its approvals do not count."""
    other = scene.manifest.policy.model_copy(update={"digest": "sha256:" + "0" * 64})
    forged(scene, {**widened(scene), "policy": other})
    row = next(r for r in scene.look().rows if r.name == "approval")
    assert (row.status, row.found) == ("fail", policy_digest(POLICY.encode()))


def test_nor_does_a_channel_that_needs_no_approval_help(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tag="v1.2.0-dev.1")
    other = scene.manifest.policy.model_copy(update={"digest": "sha256:" + "0" * 64})
    targets = Scene(tmp_path, tag="v1.2.0-rc.1").manifest.publications
    forged(scene, {"policy": other, "publications": targets, "draft": True})
    with pytest.raises(RefusedError):
        scene.publish()
    assert scene.arrived() == []


def test_a_policy_that_is_gone_is_an_error_and_not_a_default(scene: Scene) -> None:
    scene.drafted()
    del scene.world.forge.tree[DEFAULT_PATH]
    error = refusal(scene)
    assert isinstance(error, ConfigError)
    assert (error.code, error.object) == ("policy-missing", f"main:{DEFAULT_PATH}")


def test_a_policy_that_cannot_be_read_is_an_error(scene: Scene) -> None:
    scene.drafted()
    scene.world.policy("[approval]\nquorum = 0\n")
    assert refusal(scene).code == "policy-invalid"


def test_a_manifest_does_not_choose_its_judge(scene: Scene) -> None:
    weak = POLICY.replace("quorum = 2", "quorum = 1").encode()
    scene.world.forge.tree["docs/example.toml"] = weak
    judge = scene.manifest.policy.model_copy(update={"path": "docs/example.toml", "digest": policy_digest(weak)})
    forged(scene, {"policy": judge})
    error = refusal(scene)
    assert isinstance(error, RefusedError)
    assert (error.code, error.found, error.wanted) == ("policy-elsewhere", "docs/example.toml", DEFAULT_PATH)


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        pytest.param(
            lambda s: s.world.forge.put(s.release.id, "extra", b"", STRANGER),
            ConflictError,
            "asset-extra",
            id="extra file",
        ),
        pytest.param(
            lambda s: (s.world.forge.drop(s.release.id, CLI), s.world.forge.put(s.release.id, CLI, b"x", STRANGER)),
            ConflictError,
            "asset-conflict",
            id="swapped file",
        ),
        pytest.param(
            lambda s: (
                s.world.forge.drop(s.release.id, ASSET),
                s.world.forge.put(s.release.id, ASSET, b"{}", STRANGER),
            ),
            ConfigError,
            "document-invalid",
            id="no manifest",
        ),
        pytest.param(
            lambda s: s.world.forge.tamper(s.release.id, ASSET, s.manifest.canonical() + b"\n"),
            ExternalError,
            "asset-digest",
            id="other bytes than the forge shows",
        ),
        pytest.param(lambda s: setattr(s.world.forge, "down", True), ExternalError, "unreachable", id="forge down"),
        pytest.param(
            lambda s: setattr(s.world.forge, "digests", False), ExternalError, "asset-digest-missing", id="no digests"
        ),
    ],
)
def test_what_cannot_be_trusted_or_read_is_no_candidate(
    scene: Scene, change: Callable[[Scene], object], kind: type[ReleaserError], code: str
) -> None:
    scene.drafted()
    change(scene)
    error = refusal(scene)
    assert isinstance(error, kind)
    assert error.code == code


def lose(scene: Scene, name: str) -> None:
    scene.world.forge.drop(scene.release.id, name)


def swap(scene: Scene, name: str, data: bytes = b"other") -> None:
    lose(scene, name)
    scene.world.forge.put(scene.release.id, name, data, STRANGER)


def break_off(scene: Scene, name: str) -> None:
    lose(scene, name)
    scene.world.forge.put(scene.release.id, name, b"", STRANGER, complete=False)


def add(scene: Scene, name: str) -> None:
    scene.world.forge.put(scene.release.id, name, b"", STRANGER)


UPLOAD, DELETE = "gh release upload v1.2.0", "gh release delete-asset v1.2.0"
DAMAGE = [
    pytest.param(lose, CLI, "asset-lost", "no such file", f"{UPLOAD} {CLI};", id="a file is lost"),
    pytest.param(lose, CHECKSUMS, "asset-lost", "no such file", f"{UPLOAD} {CHECKSUMS};", id="the checksums are"),
    pytest.param(
        break_off, CLI, "asset-lost", "no such file", f"{UPLOAD} {CLI} --clobber;", id="an unfinished one is there"
    ),
    pytest.param(
        swap, CLI, "asset-conflict", "sha256:" + sha256(b"other"), f"{UPLOAD} {CLI} --clobber;", id="other bytes are"
    ),
    pytest.param(add, "x; rm -rf", "asset-extra", "x; rm -rf", f"{DELETE} 'x; rm -rf';", id="a file is added"),
]


@pytest.mark.parametrize(("change", "name", "code", "found", "mend"), DAMAGE)
@pytest.mark.parametrize("finished", [True, False], ids=["released", "nothing sent yet"])
def test_a_public_release_is_shown_with_its_damage_and_nothing_is_sent(
    scene: Scene, change: Callable[[Scene, str], None], name: str, code: str, found: str, mend: str, finished: bool
) -> None:
    scene.approved()
    if finished:
        scene.finish()
    else:
        scene.world.forge.undraft(scene.release.id)
    change(scene, name)
    (error,) = scene.seen().damage
    assert (error.code, error.object, error.found) == (code, name, found)
    assert mend in error.hint
    assert "draft" not in error.hint
    view = scene.look()
    (row,) = (r for r in view.rows if r.status == "fail")
    assert (view.state, row.name, row.object, row.hint) == (State.NEEDS_HUMAN, "world", name, error.hint)
    assert view.plan.verdict == "refused"
    settled = list(scene.world.ledger.lines)
    before = scene.world.snapshot()[:3]
    with pytest.raises(ConflictError) as caught:
        scene.publish()
    assert (caught.value.object, caught.value.found, caught.value.hint) == (name, found, error.hint)
    assert scene.world.snapshot()[:3] == before
    assert "released" not in [r["body"].get("state") for r in scene.world.ledger.records[len(settled) :]]


def test_every_damage_is_named_with_the_digest_that_is_wanted(scene: Scene) -> None:
    scene.drafted()
    scene.world.forge.undraft(scene.release.id)
    lose(scene, CRATE)
    swap(scene, CLI)
    wanted = scene.manifest.assets()
    rows = {r.object: (r.wanted, r.reason) for r in scene.look().rows if r.status == "fail"}
    assert rows == {n: (wanted[n], f"the public release does not hold {n} of {wanted[n]}") for n in (CLI, CRATE)}


def test_damage_that_was_mended_is_no_damage(scene: Scene) -> None:
    scene.approved()
    scene.world.forge.undraft(scene.release.id)
    swap(scene, CLI)
    swap(scene, CLI, content(CLI))
    assert scene.seen().damage == ()
    assert scene.publish().state is State.RELEASED


@pytest.mark.parametrize("call", ["forge.publish", "crates.io.publish", "forge.is_public"])
def test_a_file_that_is_lost_midway_stops_at_the_next_step(scene: Scene, call: str) -> None:
    scene.approved()
    scene.world.after(call, lambda: lose(scene, CLI))
    result = scene.publish()
    assert (result.state, result.problems[0].code) == (State.NEEDS_HUMAN, "asset-lost")
    assert not scene.proposed()


def foreign(scene: Scene) -> None:
    other = scene.manifest.model_copy(update={"repository": RepositoryRef(name="harbor/other", id=7)})
    swap(scene, ASSET, other.canonical())


def elsewhere(scene: Scene) -> None:
    judge = scene.manifest.policy.model_copy(update={"path": "docs/example.toml"})
    swap(scene, ASSET, scene.manifest.model_copy(update={"policy": judge}).canonical())


def wide(scene: Scene) -> None:
    swap(scene, ASSET, scene.manifest.model_copy(update=dict(narrowed(scene))).canonical())


@pytest.mark.parametrize(
    ("change", "found", "clobber"),
    [
        pytest.param(lambda s: lose(s, ASSET), "no release.json", False, id="lost"),
        pytest.param(lambda s: break_off(s, ASSET), "no release.json", True, id="unfinished"),
        pytest.param(lambda s: swap(s, ASSET, b"{}"), "not a manifest document", True, id="unreadable"),
        pytest.param(foreign, "another release (harbor/other (7) v1.2.0)", True, id="another release's"),
        pytest.param(elsewhere, "docs/example.toml", True, id="judged by another file"),
        pytest.param(wide, "does not have the publications", True, id="with fewer targets"),
    ],
)
def test_without_its_manifest_a_public_release_cannot_be_shown_but_mended(
    scene: Scene, change: Callable[[Scene], None], found: str, clobber: bool
) -> None:
    scene.drafted()
    scene.world.forge.undraft(scene.release.id)
    change(scene)
    error = refusal(scene)
    assert isinstance(error, ConflictError)
    assert (error.code, error.object) == ("release-damaged", scene.release.url)
    assert found in error.found
    assert f"{UPLOAD} {ASSET}{' --clobber' if clobber else ''};" in error.hint
    assert "draft" not in error.hint


def test_a_policy_that_is_gone_is_no_damage_of_the_release(scene: Scene) -> None:
    scene.drafted()
    scene.world.forge.undraft(scene.release.id)
    del scene.world.forge.tree[DEFAULT_PATH]
    assert refusal(scene).code == "policy-missing"


def test_the_public_release_counts_even_when_a_draft_is_older(scene: Scene) -> None:
    scene.drafted()
    older = replace(scene.release, id=0, draft=True, assets=())
    scene.world.forge.undraft(scene.release.id)
    scene.world.forge.adopt(older)
    assert scene.seen().release.id != 0


def test_a_vote_is_by_whom_the_forge_says(scene: Scene) -> None:
    scene.drafted()
    scene.vote(FIRST)
    for by in (FIRST, STRANGER):
        asset = next(a for a in scene.release.assets if a.name.startswith("approval-"))
        data = scene.world.forge.bytes_of(asset)
        scene.world.forge.drop(scene.release.id, asset.name)
        scene.world.forge.put(scene.release.id, asset.name, data, by)
        row = next(r for r in scene.look().rows if r.name == "approval")
        assert row.reason.startswith("1/2" if by == FIRST else "0/2")
