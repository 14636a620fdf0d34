"""Where a release stands: a look in the light of the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from releaser.engine.report import report
from releaser.engine.standing import standing
from releaser.engine.states import State
from releaser.errors import ConflictError, ReleaserError
from releaser.model.manifest import ASSET, CHECKSUMS
from tests.engine.scene import CRATE, MAC, STRANGER, TAP, Scene
from tests.world import Crash, Fault


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A release that is drafted and approved."""
    return Scene(tmp_path).approved()


def stands(scene: Scene) -> tuple[State, Sequence[ReleaserError]]:
    return standing(scene.look(), scene.world.ledger.records, scene.subject.again)


def replace_manifest(scene: Scene, *names: str) -> None:
    """Somebody replaces these files, by default both, by those of another manifest."""
    other = scene.manifest.model_copy(update={"initiator": None})
    data = {ASSET: other.canonical(), CHECKSUMS: other.checksums()}
    for name in names or data:
        scene.world.forge.drop(scene.release.id, name)
        scene.world.forge.put(scene.release.id, name, data[name], STRANGER)


def test_a_refusal_is_named_after_its_run(scene: Scene) -> None:
    scene.world.crates.refused = {"coglet"}
    scene.publish()
    state, problems = stands(scene)
    assert state is State.PARTIAL
    assert [(p.code, p.object, p.found) for p in problems] == [
        ("registry-refused", "coglet 1.2.0 at crates.io", "400 not on this registry")
    ]


def test_a_refusal_that_was_mended_is_not_named_any_more(scene: Scene) -> None:
    scene.world.crates.refused = {"coglet"}
    scene.publish()
    scene.world.crates.refused.clear()
    scene.publish()
    assert stands(scene) == (State.RELEASED, ())


def test_a_name_that_was_used_up_is_named(scene: Scene) -> None:
    scene.world.crates.burned.add(CRATE)
    scene.publish()
    state, problems = stands(scene)
    assert (state, [p.code for p in problems]) == (State.BURNED, ["version-burned"])
    assert CRATE in problems[0].message


def test_a_file_that_is_gone_is_named(scene: Scene) -> None:
    scene.publish()
    scene.world.pypi.take_down(MAC)
    scene.later(hours=1)
    scene.publish()
    state, problems = stands(scene)
    assert (state, [p.code for p in problems]) == (State.NEEDS_HUMAN, ["file-gone"])
    assert MAC in problems[0].message


def test_bytes_of_others_are_named(scene: Scene) -> None:
    scene.world.crates.plant("coglet", "1.2.0", CRATE, b"other bytes")
    state, problems = stands(scene)
    assert (state, [p.code for p in problems]) == (State.NEEDS_HUMAN, ["registry-conflict"])


@pytest.mark.parametrize("names", [(ASSET,), (ASSET, CHECKSUMS)], ids=["alone", "with the checksums"])
def test_a_manifest_that_was_replaced_on_the_way_stays_for_people(scene: Scene, names: tuple[str, ...]) -> None:
    scene.world.after("crates.io.publish", lambda: replace_manifest(scene, *names))
    result = scene.publish()
    assert (result.state, [p.code for p in result.problems]) == (State.NEEDS_HUMAN, ["manifest-swapped"])
    shown = report(scene.look(), *stands(scene))
    assert (shown.next, shown.gates) == ("releaser ledger show v1.2.0", ())
    state, problems = stands(scene)
    assert (state, [p.code for p in problems]) == (State.NEEDS_HUMAN, ["manifest-swapped"])
    before = scene.world.snapshot()
    with pytest.raises(ConflictError) as caught:
        scene.publish()
    assert (caught.value.code, caught.value.wanted) == ("manifest-swapped", scene.manifest.digest())
    assert scene.world.snapshot() == before


def test_a_draft_that_was_made_anew_after_a_crash_is_a_release_of_its_own(scene: Scene) -> None:
    scene.world.after("forge.publish", lambda: scene.world.crash_after(0))
    with pytest.raises(Crash):
        scene.publish()
    replace_manifest(scene)
    assert stands(scene) == (State.DRAFTED, ())


def test_a_forge_that_refused_to_publish_is_named(scene: Scene) -> None:
    scene.world.forge.refuses = True
    scene.publish()
    state, problems = stands(scene)
    assert (state, [(p.code, p.found) for p in problems]) == (
        State.PARTIAL,
        [("release-not-public", "the forge refuses")],
    )


def test_a_draft_that_was_made_anew_before_anything_was_out_is_a_release_of_its_own(scene: Scene) -> None:
    scene.world.forge.refuses = True
    scene.publish()
    scene.world.forge.refuses = False
    replace_manifest(scene)
    assert stands(scene)[0] is State.DRAFTED


def test_nothing_is_said_of_what_will_be_tried_again(scene: Scene) -> None:
    scene.world.crates.faults = [Fault.BUSY]
    scene.publish()
    assert stands(scene) == (State.RELEASED, ())
    assert scene.world.tap(TAP).proposals
