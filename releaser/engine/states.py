"""The states of a release, derived from what is there; never stored as truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from releaser.errors import ConflictError, ExternalError, ReleaserError
from releaser.model.facts import Presence, Shelf, Unobserved
from releaser.model.manifest import Manifest
from releaser.model.plan import GateRow, Status


class State(StrEnum):
    """Where a release is in its life; each has a next step in `NEXT`."""

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


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: a *command* to type, empty where there is none, and a *remark* about it."""

    command: str
    remark: str = ""


NEXT: Mapping[State, Step] = {
    State.UNDRAFTED: Step(
        "releaser assemble {tag} --artifacts DIR && releaser draft {tag} --artifacts DIR", "DIR has the built files"
    ),
    State.DRAFTED: Step("releaser approve {tag} --digest {digest}"),
    State.APPROVED: Step("releaser publish {tag}{ledger}", "in the publish job"),
    State.REJECTED: Step("releaser plan NEW-TAG", "of a new version: a rejection is final for these bytes"),
    State.EXPIRED: Step("releaser approve {tag} --digest {digest}", "by as many as the policy asks for"),
    State.FROZEN: Step("releaser thaw {tag}", "then publish it"),
    State.VOIDED: Step("gh release delete {tag} --yes", "this draft is void: then assemble, draft and approve again"),
    State.PUBLISHING: Step("releaser publish {tag}{ledger}", "in the publish job"),
    State.RELEASED: Step("", "nothing: every channel shows the approved bytes"),
    State.PARTIAL: Step("releaser publish {tag}{ledger}", "once what the refusal names is mended"),
    State.BURNED: Step("releaser plan NEW-TAG", "of a new version: a registry takes no file of this one any more"),
    State.NEEDS_HUMAN: Step(
        "releaser ledger show {tag}{ledger}",
        "find out what happened first; where other bytes are public, choose a new version",
    ),
}
_VOIDED_IN_PUBLIC = Step(
    "releaser publish {tag}{ledger}",
    "once what the gate names is mended; or choose a new version, for this one is public",
)
_ALL_FROZEN = Step("releaser thaw", "it lets every release go on; then publish this one")
_DAMAGED = Step("releaser publish {tag}{ledger}", "once the files of the release that are named are put back")
_PROPOSED = Step("", "merge what is proposed; every other channel shows the approved bytes")


def next_step(
    state: State, *, draft: bool = True, all_frozen: bool = False, proposed: bool = False, damaged: bool = False
) -> Step:
    """What to do about a release in *state*, with ``{tag}``, ``{digest}`` and ``{ledger}`` to be filled in.

    A public release, which is no *draft*, is never drafted again; *all_frozen* is where every release is held back,
    *proposed* where a package manager was sent a proposal, *damaged* where a public release lacks files.
    """
    if state is State.VOIDED and not draft:
        return _VOIDED_IN_PUBLIC
    if state is State.FROZEN and all_frozen:
        return _ALL_FROZEN
    if state is State.NEEDS_HUMAN and damaged:
        return _DAMAGED
    return _PROPOSED if state is State.RELEASED and proposed else NEXT[state]


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
    if any(r.name == "approval" and r.status is Status.WAIT for r in rows):
        return State.EXPIRED if expired else State.DRAFTED
    return State.APPROVED if draft and not has_begun(shelves) else State.PUBLISHING


def outlook(state: State, ended: Mapping[str, str], problems: Sequence[ReleaserError] = ()) -> State:
    """The *state* that was seen in the light of how effects *ended* and what a run ran into. Pure.

    *ended* has the result of every effect on record that is not open.
    """
    results = set(ended.values())
    if state is State.RELEASED:
        return state
    conflicts = (p for p in problems if isinstance(p, ConflictError) and p.code != "version-burned")
    if results & {"conflict", "gone"} or any(conflicts):
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
