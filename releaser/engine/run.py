"""What the parts of one `publish` share: the release, the ledger's intents, the guard, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from releaser.engine.candidate import swapped
from releaser.engine.intents import Intents
from releaser.engine.ports import Clock, Outside, Receipt, Sent
from releaser.engine.states import has_begun
from releaser.engine.view import Subject, View, glance
from releaser.errors import ConflictError, RefusedError, ReleaserError, WaitingError
from releaser.model.artifact import Artifact
from releaser.model.plan import GateRow, Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds.

    ``poll`` between two looks; ``refused`` for a refused write to turn out to be there after all; ``settle`` for
    one of unknown outcome; ``visible`` for an index to show what its registry accepted.
    """

    poll: float = 2.0
    refused: float = 6.0
    settle: float = 120.0
    visible: float = 1800.0

    def after(self, receipt: Receipt) -> float:
        """How long to look before a write that was answered so may be repeated, or given up."""
        match receipt.sent:
            case Sent.ACCEPTED:
                return 0.0
            case Sent.REFUSED | Sent.DENIED:
                return self.refused
            case Sent.LATER:
                return max(receipt.wait, self.poll)
            case Sent.TAKEN | Sent.UNKNOWN:
                return max(receipt.wait, self.settle)


class Run:
    """One call of `publish`."""

    def __init__(self, outside: Outside, subject: Subject, patience: Patience, view: View, intents: Intents) -> None:
        self.outside = outside
        self.subject = subject
        self.patience = patience
        self.view = view
        self.manifest = view.manifest
        self.artifacts: Mapping[str, Artifact] = {a.name: a for a in view.manifest.artifacts}
        self.intents = intents
        self.begun = has_begun(view.world.shelves)
        self.problems: list[ReleaserError] = []

    @property
    def again(self) -> str:
        """The command that goes on with this release."""
        return self.subject.again

    def say(self, event: str, **facts: object) -> None:
        self.outside.reporter.say(event, **facts)

    def guard(self) -> View:
        """Read again whatever voids an approval, right before an irreversible step (T4, T7, T18, T29)."""
        view = glance(self.outside, self.subject, self.view.candidate, begun=self.begun)
        self.require_same(view)
        require(view.rows, self.subject.tag)
        return view

    def require_same(self, view: View) -> None:
        """Raise ConflictError ``manifest-swapped`` when the release is not the one that this run began with."""
        if view.manifest.digest() != self.manifest.digest():
            raise swapped(self.subject.tag, view.manifest.digest(), self.manifest.digest())

    def problem(self, error: ReleaserError) -> None:
        """Keep what stands in the way, once."""
        if (error.code, error.object) not in ((p.code, p.object) for p in self.problems):
            self.problems.append(error)

    def until(self, seconds: float, look: Callable[[], T | None]) -> T | None:
        """What *look* finds, looking again and again; None when the time is over."""
        return until(self.outside.clock, self.patience.poll, seconds, look)


def until(clock: Clock, poll: float, seconds: float, look: Callable[[], T | None]) -> T | None:
    """What *look* finds, looking every *poll* seconds; None when *seconds* are over."""
    deadline = clock.elapsed() + seconds
    while True:
        found = look()
        if found is not None or clock.elapsed() >= deadline:
            return found
        clock.sleep(poll)


def require(rows: Sequence[GateRow], tag: str) -> None:
    """Raise for the first gate that does not let a release go on; a conflict outranks a refusal, that a wait."""
    refused = [r for r in rows if r.status is Status.FAIL]
    blocked = sorted(refused, key=lambda r: r.name != "world") or [r for r in rows if r.status is Status.WAIT]
    if not blocked:
        return
    first = blocked[0]
    conflict = first.name == "world"
    kind: type[ReleaserError] = (ConflictError if conflict else RefusedError) if refused else WaitingError
    raise kind(
        f"gate-{first.name}",
        f"{tag} is {'refused' if refused else 'held back'} by gate {first.name}: {first.reason}",
        object=first.object,
        found=first.found,
        wanted=first.wanted,
        hint=first.hint,
    )
