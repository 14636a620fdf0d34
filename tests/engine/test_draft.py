"""The draft release: complete, or completed, and never overwritten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from releaser.engine.draft import compare, release_of
from releaser.engine.ports import Release
from releaser.errors import ConflictError, ExternalError, RefusedError, ReleaserError
from releaser.model.manifest import ASSET, CHECKSUMS
from tests.engine.scene import BOT, CLI, CRATE, FIRST, POLICY, STRANGER, Scene, content
from tests.world import Crash, World


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A release whose artifacts are on disk, and nothing of it on the forge."""
    return Scene(tmp_path)


def names(release: Release) -> list[str]:
    """The complete assets in the order of their upload."""
    return [a.name for a in release.assets if a.complete]


def assert_complete(scene: Scene) -> None:
    shown = {a.name: a.digest for a in scene.release.assets}
    assert shown == scene.manifest.assets()
    assert scene.release.draft


def test_the_draft_holds_every_file_and_the_manifest_came_last(scene: Scene) -> None:
    release = scene.drafted()
    assert_complete(scene)
    assert names(release)[-1] == ASSET
    assert (release.name, release.body, release.prerelease) == ("v1.2.0", "notes", False)


def test_a_prerelease_is_marked_as_one(tmp_path: Path) -> None:
    assert Scene(tmp_path, tag="v1.2.0-rc.1").drafted().prerelease


def test_drafting_again_changes_nothing(scene: Scene) -> None:
    scene.drafted()
    before = scene.world.snapshot()
    scene.drafted()
    assert scene.world.snapshot() == before


def test_approvals_on_the_draft_are_no_extra_files(scene: Scene) -> None:
    scene.drafted()
    scene.vote(FIRST)
    before = scene.world.snapshot()
    scene.drafted()
    assert scene.world.snapshot() == before


def test_killed_after_any_port_call_the_next_run_completes_the_draft(tmp_path: Path) -> None:
    golden = Scene(tmp_path)
    golden.drafted()
    for number, call in enumerate(golden.world.power.calls, 1):
        scene = Scene(tmp_path)
        with pytest.raises(Crash):
            scene.drafted(crash=number)
        for left in (names(h.shown(digests=True)) for h in scene.world.forge.held.values()):
            assert ASSET not in left or len(left) == len(scene.files), call
        scene.drafted()
        assert_complete(scene)
        assert len(scene.world.forge.held) == 1, f"one draft, killed after {call}"


@pytest.mark.parametrize("name", [CRATE, CHECKSUMS, ASSET])
def test_an_upload_that_broke_off_is_removed_and_sent_again(scene: Scene, name: str) -> None:
    scene.world.forge.ghosts.add(name)
    with pytest.raises(ExternalError):
        scene.drafted()
    assert [a.name for a in scene.release.assets if not a.complete] == [name]
    scene.drafted()
    assert_complete(scene)


def test_a_failed_upload_keeps_the_manifest_back(scene: Scene) -> None:
    scene.world.forge.ghosts.add(CRATE)
    with pytest.raises(ExternalError):
        scene.drafted()
    assert ASSET not in names(scene.release)


@pytest.mark.parametrize(
    ("change", "code", "about"),
    [
        pytest.param(
            lambda s: s.world.forge.put(s.release.id, "extra.txt", b"", STRANGER),
            "asset-extra",
            "extra.txt",
            id="extra",
        ),
        pytest.param(
            lambda s: s.world.forge.put(s.release.id, "extra.txt", b"", STRANGER, complete=False),
            "asset-extra",
            "extra.txt",
            id="extra and unfinished",
        ),
        pytest.param(
            lambda s: (
                s.world.forge.drop(s.release.id, CRATE),
                s.world.forge.put(s.release.id, CRATE, bytes(reversed(content(CRATE))), BOT),
            ),
            "asset-conflict",
            CRATE,
            id="other bytes under our name",
        ),
    ],
)
def test_what_is_not_ours_stops_the_drafting(
    scene: Scene, change: Callable[[Scene], object], code: str, about: str
) -> None:
    scene.drafted()
    scene.world.forge.drop(scene.release.id, ASSET)
    change(scene)
    before = scene.world.snapshot()
    with pytest.raises(ConflictError) as caught:
        scene.drafted()
    assert (caught.value.code, caught.value.object) == (code, about)
    assert scene.world.snapshot() == before


def test_an_asset_without_a_digest_is_not_taken_for_ours(scene: Scene) -> None:
    scene.drafted()
    scene.world.forge.digests = False
    before = scene.world.snapshot()
    with pytest.raises(ExternalError) as caught:
        scene.drafted()
    assert (caught.value.code, caught.value.retryable) == ("asset-digest-missing", True)
    assert scene.world.snapshot() == before


def test_of_two_drafts_the_older_one_is_completed(scene: Scene) -> None:
    forge = scene.world.forge
    older = forge.create_draft(scene.tag, "", scene.tag, "", False)
    newer = forge.create_draft(scene.tag, "", scene.tag, "", False)
    assert scene.drafted().id == older.id
    assert_complete(scene)
    assert forge.held[newer.id].assets == {}


def test_of_two_runs_that_create_at_once_one_is_told_to_run_again(scene: Scene) -> None:
    older = replace(draft_release(0, draft=True), tag=scene.tag)
    scene.world.after("forge.create_draft", lambda: scene.world.forge.adopt(older))
    with pytest.raises(ExternalError) as caught:
        scene.drafted()
    assert (caught.value.code, caught.value.retryable) == ("draft-incomplete", True)
    assert scene.drafted().id == 0


def lose(scene: Scene, name: str) -> None:
    scene.world.forge.drop(scene.release.id, name)


def swap(scene: Scene, name: str) -> None:
    lose(scene, name)
    scene.world.forge.put(scene.release.id, name, b"other", STRANGER)


def add(scene: Scene, name: str) -> None:
    scene.world.forge.put(scene.release.id, name, b"", STRANGER)


def rebuild(scene: Scene, _: str) -> None:
    """Other bytes than those that are public are given to `draft`."""
    scene.manifest = scene.manifest.model_copy(update={"initiator": None})
    scene.files = scene.written(scene.manifest)


@pytest.mark.parametrize(
    ("change", "name", "found"),
    [
        pytest.param(lose, CLI, f"1 differ: {CLI}, no such file", id="without a file"),
        pytest.param(lose, ASSET, f"1 differ: {ASSET}, no such file", id="without the manifest"),
        pytest.param(swap, CLI, f"1 differ: {CLI}, sha256:", id="with other bytes"),
        pytest.param(add, "extra", "1 differ: extra", id="with a file more"),
        pytest.param(rebuild, "", "2 differ: ", id="of another build"),
    ],
)
def test_a_public_release_is_never_changed(
    scene: Scene, change: Callable[[Scene, str], None], name: str, found: str
) -> None:
    scene.drafted()
    scene.world.forge.undraft(scene.release.id)
    change(scene, name)
    before = scene.world.snapshot()
    with pytest.raises(RefusedError) as caught:
        scene.drafted()
    assert caught.value.code == "release-public"
    assert caught.value.found.startswith(found)
    assert caught.value.hint.startswith("releaser status v1.2.0 says")
    assert "draft" not in caught.value.hint
    assert scene.world.snapshot() == before


def test_a_public_release_that_is_whole_is_left_alone(scene: Scene) -> None:
    scene.drafted()
    scene.world.forge.undraft(scene.release.id)
    before = scene.world.snapshot()
    assert not scene.drafted().draft
    assert scene.world.snapshot() == before


def test_a_draft_made_by_somebody_else_keeps_its_text(scene: Scene) -> None:
    scene.world.forge.create_draft(scene.tag, "", "A name", "What changed, in words", False)
    release = scene.drafted()
    assert (release.name, release.body) == ("A name", "What changed, in words")
    assert_complete(scene)


@pytest.mark.parametrize(
    ("tag", "change", "code"),
    [
        pytest.param("v1.2.0", lambda _: None, "manifest-widened", id="its channel waits"),
        pytest.param(
            "v1.2.0-dev.1",
            lambda w: w.policy(POLICY.replace("draft = false", "")),
            "manifest-widened",
            id="its channel waits since",
        ),
        pytest.param("v1.2.0-dev.1", lambda w: w.forge.tree.clear(), "policy-missing", id="there is no policy to ask"),
    ],
)
def test_a_manifest_does_not_say_itself_that_nobody_need_approve_it(
    tmp_path: Path, tag: str, change: Callable[[World], object], code: str
) -> None:
    scene = Scene(tmp_path, tag=tag)
    scene.manifest = scene.manifest.model_copy(update={"draft": False, "publications": (), "downstream": ()})
    scene.files = scene.written(scene.manifest)
    change(scene.world)
    before = scene.world.snapshot()
    with pytest.raises(ReleaserError) as caught:
        scene.drafted()
    assert caught.value.code == code
    assert scene.world.snapshot() == before


def draft_release(number: int, *, draft: bool) -> Release:
    return Release(number, "v1", "v1", draft, prerelease=False, assets=(), url="")


@pytest.mark.parametrize(
    ("releases", "counts"),
    [
        pytest.param([], None, id="none"),
        pytest.param([(5, True), (3, True)], 3, id="the oldest draft"),
        pytest.param([(3, True), (5, False)], 5, id="the public one, though a draft is older"),
    ],
)
def test_everybody_picks_the_same_release(releases: list[tuple[int, bool]], counts: int | None) -> None:
    found = release_of([draft_release(number, draft=draft) for number, draft in releases])
    assert (found.id if found else None) == counts


def test_compare_names_what_is_missing_and_what_stands_in_its_place(scene: Scene) -> None:
    scene.drafted()
    scene.world.forge.drop(scene.release.id, CLI)
    scene.world.forge.drop(scene.release.id, CRATE)
    scene.world.forge.put(scene.release.id, CRATE, b"", BOT, complete=False)
    missing, ghosts = compare(scene.release, scene.manifest)
    assert sorted(missing) == sorted([CLI, CRATE])
    assert [g.name for g in ghosts] == [CRATE]
