"""Every effect boundary crossed with every class of fault, before it and after it, for every shape of release.

A cell is a list of strikes that make that fault happen at that boundary, or the reason why it cannot. A fault
*before* strikes the first try of the effect. One *after* strikes what follows the first try: the read-back where the
fault is one that a read suffers, the second try otherwise, for which the first request is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tests.simulation.faults import DAY, LATENESS, PAUSE, Act, Strike
from tests.simulation.shapes import SHAPES, TAP, Shape
from tests.simulation.story import Story

Moment = Literal["before", "after"]
MOMENTS: tuple[Moment, Moment] = ("before", "after")
Where = Callable[[Shape], "str | None"]


@dataclass(frozen=True)
class Boundary:
    """An effect: the port *call* that has it, what its arguments tell of, the read that shows it, its ledger key.

    ``absent`` is why no release of this version has it. ``job`` is whose work it is.
    """

    name: str
    call: str = ""
    about: str = ""
    read: str = ""
    intent: str = ""
    job: Literal["draft", "vote", "publish"] = "publish"
    registry: str = ""
    via: tuple[str, ...] = ()
    absent: str = ""
    extra: bool = False

    def reason(self, shape: Shape) -> str:
        """Why a release of *shape* does not have it, empty when it does."""
        if self.absent:
            return self.absent
        if self.registry and self.registry not in shape.registries:
            return f"a {shape.name} release does not go to {self.registry}"
        if self.via and shape.via not in self.via:
            return f"a {shape.name} release has no tap that is served by {' or '.join(self.via)}"
        return ""


_VIAS = ("commit", "pull-request")
BOUNDARIES: tuple[Boundary, ...] = (
    Boundary("create draft", "forge.create_draft", read="forge.releases", job="draft"),
    Boundary("upload asset", "forge.upload", read="forge.releases", job="draft"),
    Boundary("delete own ghost", "forge.remove", read="forge.releases", job="draft"),
    Boundary("notify", absent="nobody is notified: there is no port for it"),
    Boundary("record approval", "forge.upload", "approval-", read="forge.releases", job="vote"),
    Boundary("mint OIDC", "identity.token", read="", intent=""),
    Boundary("exchange token", "{registry}.authorize", read="", intent=""),
    Boundary("PyPI file", "pypi.publish", read="pypi.observe", intent="pypi/", registry="pypi"),
    Boundary("crate", "crates.io.publish", read="crates.io.observe", intent="crates.io/", registry="crates.io"),
    Boundary("npm publish", "npm.publish", read="npm.observe", intent="npm/", registry="npm"),
    Boundary("npm stage", absent="npm packages are published in one step: staged publishing has no port"),
    Boundary("attest", absent="attestations are made by the build and travel as files: there is no port for it"),
    Boundary("un-draft", "forge.publish", read="forge.releases", intent="release/"),
    Boundary(
        "channel PR",
        f"{TAP}.pull_request",
        read=f"{TAP}.open_pull_request",
        intent="homebrew-cask/",
        via=("pull-request",),
    ),
    Boundary("image push", absent="no container images are published: there is no registry of that kind"),
    Boundary("ledger append", "ledger.extend", read="ledger.read", intent=""),
    Boundary(
        "tap commit",
        f"{TAP}.commit",
        read=f"{TAP}.file",
        intent="homebrew-cask/",
        via=_VIAS,
        extra=True,
    ),
    Boundary("give back a right", "{registry}.discard", extra=True),
    Boundary("claim a release", "ledger.extend", '"kind":"run"', read="ledger.read", extra=True),
)
"""The sixteen of the plan, and three more that this version has."""

FAULTS: Mapping[str, str] = {
    "F1": "crash before the intent",
    "F2": "crash after the intent",
    "F3": "request lost",
    "F4": "applied, reply lost",
    "F5": "applied, answered 5xx",
    "F6": "applied late, after our retry",
    "F7": "429 or 409, for now",
    "F8": "refused for good",
    "F9": "exists, same digest",
    "F10": "exists, other digest",
    "F11": "stale or flapping read",
    "F12": "crash before the outcome is on record",
    "F13": "torn or lost write, fsync error",
    "F14": "no space, I/O error, busy",
    "F15": "the store's reply is lost after it committed",
    "F16": "pause beyond any lease, clock jump of a day",
    "F17": "right expired, or identity token spent",
    "F18": "an adversary's move",
}


@dataclass(frozen=True)
class Cell:
    """One case of the matrix: *strikes*, or the *reason* why there is none."""

    shape: str
    boundary: str
    fault: str
    moment: Moment
    strikes: tuple[Strike, ...] = ()
    reason: str = ""
    job: str = "publish"

    @property
    def id(self) -> str:
        return f"{self.shape}, {self.boundary}, {self.fault} {self.moment}"


def cells(*, extra: bool = False) -> Iterator[Cell]:
    """Every cell: 4 shapes, 16 boundaries, 18 faults, 2 moments; with *extra* those of our own boundaries too."""
    for shape in SHAPES.values():
        for boundary in BOUNDARIES:
            if boundary.extra and not extra:
                continue
            for fault in FAULTS:
                for moment in MOMENTS:
                    yield cell(shape, boundary, fault, moment)


def story_of(cell: Cell, number: int) -> Story:
    """The story of the cell of that *number*; every other one wants a second approval."""
    quorum = 1 + number % 2
    return Story(number, cell.shape, quorum, quorum, strikes=cell.strikes, prepared=cell.job == "publish")


def cell(shape: Shape, boundary: Boundary, fault: str, moment: Moment) -> Cell:
    """One cell."""
    made = boundary.reason(shape) or _COMPILE[fault](_at(boundary, shape), moment)
    if isinstance(made, str):
        return Cell(shape.name, boundary.name, fault, moment, reason=made, job=boundary.job)
    if boundary.name == "delete own ghost":  # there has to be one
        made = (Strike("forge.upload", Act.MOVE, move="leave_ghost"), *made)
    return Cell(shape.name, boundary.name, fault, moment, tuple(made), job=boundary.job)


def _at(boundary: Boundary, shape: Shape) -> Boundary:
    """The boundary with the name of a registry that the shape has."""
    registry = min(shape.registries)
    return replace(boundary, call=boundary.call.format(registry=registry))  # one registry stands for all


# What makes a fault happen

Made = tuple[Strike, ...] | str
_NO_INTENT = "it can be taken back or found by its name, so no intent is recorded; F1 is the same crash"
_APPEND = "the append is what makes an intent durable; F1 and F12 are its crashes"
_LIFE = 960.0  # seconds, by which any right has lapsed
_STORE = "a fault of the ledger's store, and this is no write to it"


def _is_store(b: Boundary) -> bool:
    return b.call == "ledger.extend"


def _try(b: Boundary, moment: Moment, act: Act, value: float = 0.0) -> tuple[Strike, ...]:
    """*act* at the first try, or at the second one when the first request is lost."""
    first = Strike(b.call, act, 1, b.about, value=value)
    if moment == "before":
        return (first,)
    return Strike(b.call, Act.LOST, 1, b.about), Strike(b.call, act, 2, b.about, value=value)


def _read(b: Boundary, act: Act) -> tuple[Strike, ...]:
    """*act* at the read-back: the first read after the effect; the ledger is read again after an unanswered append."""
    back = Strike(b.read, act, 1, since=b.call)
    return (Strike(b.call, Act.UNANSWERED, 1, b.about), back) if _is_store(b) else (back,)


def _crash_before_intent(b: Boundary, moment: Moment) -> Made:
    if b.intent:
        about = f'"effect":"{b.intent}'
        if moment == "before":
            return (Strike("forge.repository", Act.KILL, 2),)
        return (Strike("ledger.extend", Act.KILL, 1, about),)
    return _try(b, moment, Act.KILL)


def _crash_after_intent(b: Boundary, moment: Moment) -> Made:
    if not b.intent:
        return _APPEND if _is_store(b) else _NO_INTENT
    if moment == "before":
        return (Strike("ledger.extend", Act.KILL, 1, f'"effect":"{b.intent}', after=True),)
    return (Strike(b.call, Act.KILL, 1, b.about),)


def _crash_before_outcome(b: Boundary, moment: Moment) -> Made:
    if moment == "before":
        return (Strike(b.call, Act.KILL, 1, b.about, after=True),)
    if not b.intent:
        return Strike(b.call, Act.LOST, 1, b.about), Strike(b.call, Act.KILL, 2, b.about, after=True)
    return (Strike("ledger.extend", Act.KILL, 2, f'"effect":"{b.intent}'),)


def _lost(b: Boundary, moment: Moment) -> Made:
    if moment == "after" and b.read:
        return _read(b, Act.LOST)
    return _try(b, moment, Act.LOST)


def _busy(b: Boundary, moment: Moment) -> Made:
    if moment == "after" and b.read:
        return _read(b, Act.BUSY)
    return _try(b, moment, Act.BUSY)


def _of(act: Act, value: float = 0.0) -> Callable[[Boundary, Moment], Made]:
    return lambda b, moment: _try(b, moment, act, value)


def _refused(b: Boundary, moment: Moment) -> Made:
    if _is_store(b):
        return _try(b, moment, Act.FULL)
    return _try(b, moment, Act.REFUSED)


def _exists(*moves: str) -> Callable[[Boundary, Moment], Made]:
    def made(b: Boundary, moment: Moment) -> Made:
        if not b.registry:
            return "only a registry's file has a digest that somebody else can have put there first"
        move = moves[0] if b.name != "npm publish" else moves[1]
        if moment == "before":
            return (Strike(b.call, Act.MOVE, 1, b.about, move=move),)
        return (Strike(b.call, Act.LOST, 1, b.about), Strike(b.call, Act.MOVE, 1, b.about, after=True, move=move))

    return made


def _stale(b: Boundary, moment: Moment) -> Made:
    if not b.read:
        return "nothing is read back of it: a right is used up or lapses by itself"
    if moment == "before":
        again = (Strike("ledger.extend", Act.KILL, 3, after=True),) if _is_store(b) else ()  # for then it is read again
        return (*again, Strike(b.read, Act.STALE, 2))
    return _read(b, Act.STALE)


def _store(first: Act, second: Act) -> Callable[[Boundary, Moment], Made]:
    def made(b: Boundary, moment: Moment) -> Made:
        if not b.intent and not _is_store(b):
            return _STORE
        act = first if moment == "before" else second
        if not b.intent:
            return _try(b, moment, act, 1.0)
        return (Strike("ledger.extend", act, 1 if moment == "before" else 2, f'"effect":"{b.intent}', value=1.0),)

    return made


def _paused(b: Boundary, moment: Moment) -> Made:
    after = moment == "after"
    return (
        Strike(b.call, Act.STALL, 1, b.about, after=after, value=PAUSE),
        Strike(b.call, Act.JUMP, 1, b.about, after=after, value=-DAY if after else DAY),
    )


def _lapsed(b: Boundary, moment: Moment) -> Made:
    if b.name == "mint OIDC":
        return (Strike(b.call, Act.REPLAYED, 2 if moment == "before" else 1),)
    if b.name in ("exchange token", "give back a right"):
        nth = 2 if b.name == "exchange token" else 1
        return (Strike(b.call, Act.STALL, nth, after=moment == "after", value=_LIFE),)
    if b.registry:
        return _try(b, moment, Act.LAPSED)
    if _is_store(b) or b.call.startswith("forge.") or b.call.startswith(TAP):
        return "no right that is exchanged or lapses within a run is used for it"
    return "no right is used for it"


def _adversary(b: Boundary, moment: Moment) -> Made:
    move = {"draft": "add_asset", "vote": "edit_policy", "publish": "move_tag"}[b.job]
    return (Strike(b.call, Act.MOVE, 1, b.about, after=moment == "after", move=move),)


_COMPILE: Mapping[str, Callable[[Boundary, Moment], Made]] = {
    "F1": _crash_before_intent,
    "F2": _crash_after_intent,
    "F3": _lost,
    "F4": _of(Act.UNANSWERED),
    "F5": _of(Act.ERROR),
    "F6": _of(Act.LATE, LATENESS),
    "F7": _busy,
    "F8": _refused,
    "F9": _exists("publish_same_first", "publish_same"),
    "F10": _exists("publish_other_first", "publish_other"),
    "F11": _stale,
    "F12": _crash_before_outcome,
    "F13": _store(Act.TORN, Act.UNSYNCED),
    "F14": _store(Act.FULL, Act.LOST),
    "F15": _store(Act.UNANSWERED, Act.UNANSWERED),
    "F16": _paused,
    "F17": _lapsed,
    "F18": _adversary,
}
