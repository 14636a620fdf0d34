"""The states of a release, derived from what is there; never stored as truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from releaser.errors import ConflictError, ExternalError, ReleaserError
from releaser.model.facts import Presence, Shelf, Unobserved
from releaser.model.manifest import Manifest
from releaser.model.plan import GateRow, Status


class State(StrEnum):
    """Where a release is in its life; each has a next command in `NEXT`."""

    UNDRAFTED = "undrafted"
    DRAFTED = "awaiting approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOIDED = "voided"
    FROZEN = "frozen"
    PUBLISHING = "publishing"
    RELEASED = "released"
    PARTIAL = "partial"
    BURNED = "burned"
    NEEDS_HUMAN = "needs human"


NEXT: Mapping[State, str] = {
    State.UNDRAFTED: "releaser assemble {tag} --artifacts DIR, then releaser draft {tag} --artifacts DIR",
    State.DRAFTED: "releaser approve {tag} --digest {digest}",
    State.APPROVED: "releaser publish {tag}, in the publish job",
    State.REJECTED: "choose a new version; a rejection is final for these bytes",
    State.EXPIRED: "releaser approve {tag} --digest {digest}, by as many as the policy asks for",
    State.FROZEN: "releaser thaw {tag}, or releaser thaw where every release is frozen; then releaser publish {tag}",
    State.VOIDED: "delete the draft, then assemble, draft and approve again",
    State.PUBLISHING: "releaser publish {tag}, in the publish job",
    State.RELEASED: "nothing: every channel shows the approved bytes",
    State.PARTIAL: "mend what the refusal names, then releaser publish {tag}",
    State.BURNED: "choose a new version: a registry takes no file of this one any more",
    State.NEEDS_HUMAN: "find out whose the other bytes are; choose a new version if a registry has them",
}
_VOIDED_IN_PUBLIC = (
    "mend what the gate names, then releaser publish {tag}; or choose a new version, for this one is public"
)


def next_step(state: State, draft: bool) -> str:
    """What to type or do next, with ``{tag}`` and ``{digest}`` to be filled in. A public release is never redrafted."""
    return _VOIDED_IN_PUBLIC if state is State.VOIDED and not draft else NEXT[state]


def derive(
    manifest: Manifest,
    draft: bool,
    rows: Sequence[GateRow],
    shelves: Mapping[str, Shelf | Unobserved],
    visible: Mapping[str, Shelf | Unobserved],
    delivered: bool,
    *,
    expired: bool = False,
    frozen: bool = False,
) -> State:
    """The state of a drafted release. Pure.

    *rows* are its gates now, *shelves* what the registries hold per publication, *visible* what consumers see,
    *delivered* whether every package manager was served, *expired* whether approvals were enough until they ran out,
    *frozen* whether somebody holds it back. Conflicts and voids outrank progress; only what is seen
    counts as published.
    """
    unread = Unobserved("not read", failed=True)
    failed = {(r.name, r.object) for r in rows if r.status is Status.FAIL}
    if any(is_conflict(s) for s in (*shelves.values(), *visible.values())):
        return State.NEEDS_HUMAN
    if not draft and delivered and all(is_complete(visible.get(p.id, unread)) for p in manifest.publications):
        return State.RELEASED
    if failed - {("approval", manifest.tag.name)}:
        return State.VOIDED
    if failed:
        return State.REJECTED
    if frozen:
        return State.FROZEN
    if has_begun(shelves):
        return State.PUBLISHING
    if any(r.name == "approval" and r.status is Status.WAIT for r in rows):
        return State.EXPIRED if expired else State.DRAFTED
    return State.APPROVED if draft else State.PUBLISHING


def outlook(state: State, ended: Mapping[str, str], problems: Sequence[ReleaserError] = ()) -> State:
    """The *state* that was seen in the light of how effects *ended* and what a run ran into. Pure.

    *ended* has the result of every effect on record that is not open.
    """
    results = set(ended.values())
    if state is State.RELEASED:
        return state
    if "conflict" in results or any(isinstance(p, ConflictError) and p.code != "version-burned" for p in problems):
        return State.NEEDS_HUMAN
    if "burned" in results:
        return State.BURNED
    stuck = "refused" in results or any(isinstance(p, ExternalError) and not p.retryable for p in problems)
    return State.PARTIAL if stuck and state in (State.APPROVED, State.PUBLISHING) else state


def is_complete(shelf: Shelf | Unobserved) -> bool:
    """Whether a registry shows every file of the publication with our digest, and nothing else."""
    return isinstance(shelf, Shelf) and not shelf.foreign and set(shelf.files.values()) == {Presence.SAME}


def is_conflict(shelf: Shelf | Unobserved) -> bool:
    """Whether a registry shows bytes under the publication's version that are not ours."""
    return isinstance(shelf, Shelf) and (bool(shelf.foreign) or Presence.DIFFERENT in shelf.files.values())


def has_begun(shelves: Mapping[str, Shelf | Unobserved]) -> bool:
    """Whether a registry shows a file of ours: from then on the release cannot be taken back."""
    return any(isinstance(s, Shelf) and Presence.SAME in s.files.values() for s in shelves.values())
