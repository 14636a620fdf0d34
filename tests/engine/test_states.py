"""The state of a release, from what is seen of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from releaser.engine.states import NEXT, State, derive, has_begun, is_complete, is_conflict
from releaser.model.facts import Presence, Shelf, Unobserved
from releaser.model.manifest import Manifest
from releaser.model.plan import GateRow, Status
from tests.engine.scene import Scene

ABSENT, SAME, DIFFERENT, UNKNOWN = Presence.ABSENT, Presence.SAME, Presence.DIFFERENT, Presence.UNKNOWN
UNREAD = Unobserved("no answer", failed=True)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Scene(tmp_path).manifest


def shelf(*presences: Presence, foreign: tuple[str, ...] = ()) -> Shelf:
    """A shelf with one file for each of *presences*."""
    files = {f"file-{n}": p for n, p in enumerate(presences)}
    return Shelf(package=True, listed=len(presences), files=files, foreign=foreign)


EMPTY, HALF, FULL = shelf(ABSENT, ABSENT), shelf(SAME, ABSENT), shelf(SAME, SAME)
CONFLICT, FOREIGN = shelf(SAME, DIFFERENT), shelf(SAME, foreign=("not-ours",))


def row(name: str, status: Status, about: str = "v1.2.0") -> GateRow:
    return GateRow(name=name, object=about, status=status, reason="because")


APPROVED, OPEN, REJECTED = (row("approval", s) for s in (Status.PASS, Status.WAIT, Status.FAIL))
MOVED, EDITED = row("tag", Status.FAIL), row("approval", Status.FAIL, ".github/releaser.toml")


@pytest.mark.parametrize(
    ("draft", "rows", "held", "shown", "delivered", "state"),
    [
        pytest.param(True, [OPEN], EMPTY, None, False, State.DRAFTED, id="nobody approved yet"),
        pytest.param(True, [APPROVED], EMPTY, None, False, State.APPROVED, id="approved, nothing begun"),
        pytest.param(True, [REJECTED], EMPTY, None, False, State.REJECTED, id="rejected"),
        pytest.param(True, [MOVED, OPEN], EMPTY, None, False, State.VOIDED, id="tag moved"),
        pytest.param(True, [EDITED], EMPTY, None, False, State.VOIDED, id="policy edited"),
        pytest.param(True, [MOVED, REJECTED], EMPTY, None, False, State.VOIDED, id="moved and rejected"),
        pytest.param(False, [APPROVED], EMPTY, None, False, State.PUBLISHING, id="public, nothing at registries"),
        pytest.param(False, [OPEN], EMPTY, None, False, State.DRAFTED, id="made public by somebody without approval"),
        pytest.param(False, [APPROVED], HALF, None, False, State.PUBLISHING, id="half of it is there"),
        pytest.param(False, [OPEN], HALF, None, False, State.DRAFTED, id="half of it, an approver has left"),
        pytest.param(False, [MOVED], HALF, None, False, State.VOIDED, id="half of it, the tag was moved"),
        pytest.param(False, [APPROVED], FULL, EMPTY, True, State.PUBLISHING, id="the index lags"),
        pytest.param(False, [APPROVED], FULL, UNREAD, True, State.PUBLISHING, id="the index cannot be read"),
        pytest.param(False, [APPROVED], FULL, shelf(SAME, UNKNOWN), True, State.PUBLISHING, id="a digest is missing"),
        pytest.param(False, [APPROVED], FULL, FULL, False, State.PUBLISHING, id="a tap is still to come"),
        pytest.param(True, [APPROVED], FULL, FULL, True, State.PUBLISHING, id="everything, but still a draft"),
        pytest.param(False, [APPROVED], FULL, FULL, True, State.RELEASED, id="everything"),
        pytest.param(False, [MOVED, REJECTED], FULL, FULL, True, State.RELEASED, id="everything, voided since"),
        pytest.param(True, [APPROVED], CONFLICT, None, False, State.NEEDS_HUMAN, id="other bytes at the registry"),
        pytest.param(True, [MOVED], FOREIGN, None, False, State.NEEDS_HUMAN, id="a file that is not ours"),
        pytest.param(False, [APPROVED], FULL, CONFLICT, True, State.NEEDS_HUMAN, id="other bytes in the index"),
        pytest.param(False, [APPROVED], UNREAD, None, False, State.PUBLISHING, id="a registry cannot be read"),
    ],
)
def test_state(
    manifest: Manifest,
    draft: bool,
    rows: list[GateRow],
    held: Shelf | Unobserved,
    shown: Shelf | Unobserved | None,
    delivered: bool,
    state: State,
) -> None:
    shelves = {p.id: held for p in manifest.publications}
    visible = {p.id: shown for p in manifest.publications} if shown is not None else {}
    assert derive(manifest, draft, rows, shelves, visible, delivered) is state


def test_one_target_that_is_not_visible_is_enough_not_to_be_released(manifest: Manifest) -> None:
    ids = [p.id for p in manifest.publications]
    for missing in ids:
        visible = {i: FULL for i in ids if i != missing}
        shelves = dict.fromkeys(ids, FULL)
        assert derive(manifest, False, [APPROVED], shelves, visible, True) is State.PUBLISHING


def test_a_release_that_goes_nowhere_is_released_when_it_is_public(manifest: Manifest) -> None:
    nowhere = manifest.model_copy(update={"publications": (), "downstream": ()})
    assert derive(nowhere, False, [], {}, {}, True) is State.RELEASED
    assert derive(nowhere, True, [OPEN], {}, {}, True) is State.DRAFTED


@pytest.mark.parametrize(
    ("seen", "complete", "conflict", "begun"),
    [
        pytest.param(UNREAD, False, False, False, id="unread"),
        pytest.param(EMPTY, False, False, False, id="empty"),
        pytest.param(shelf(), False, False, False, id="of no files"),
        pytest.param(HALF, False, False, True, id="half"),
        pytest.param(FULL, True, False, True, id="full"),
        pytest.param(shelf(UNKNOWN), False, False, False, id="without a digest"),
        pytest.param(CONFLICT, False, True, True, id="other bytes"),
        pytest.param(FOREIGN, False, True, True, id="full, and more"),
    ],
)
def test_one_shelf(seen: Shelf | Unobserved, complete: bool, conflict: bool, begun: bool) -> None:
    assert (is_complete(seen), is_conflict(seen), has_begun({"a": EMPTY, "b": seen})) == (complete, conflict, begun)


def test_every_state_says_what_comes_next() -> None:
    assert set(NEXT) == set(State)
