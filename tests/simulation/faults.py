"""What can strike a port call: a process that dies or stalls, a network that loses, a registry that refuses, a disk
that fails, and other people who do something at that very moment.

A `Strike` is data, so that a story can be written down, shortened and told in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar, cast

from releaser.engine.ports import Credential
from releaser.errors import ConfigError, ExternalError
from tests.simulation.adversary import MOVES, Moves
from tests.simulation.scheduler import Process
from tests.world import Crash, Disk, Fault, Issuer, Powered, Registry, unreachable

A = TypeVar("A")
LATENESS = 600.0
PAUSE = 3 * 3600.0
LONG_PAUSE = 80 * 3600.0
DAY = 86_400.0


class Act(StrEnum):
    """What strikes. The first group happens before the call or after it, as the strike says; the others to it."""

    KILL = "the process is killed"
    STALL = "the process stands still"
    JUMP = "the machine's time of day jumps"
    MOVE = "somebody else acts"

    LOST = "the request is lost"
    UNANSWERED = "it is done and the answer is lost"
    ERROR = "it is done and answered with 500"
    LATE = "it is done long after it went unanswered"
    BUSY = "429 is answered"
    REFUSED = "it is refused for good"
    BURNED = "the name was used up"
    STALE = "an older state is shown"
    REPLAYED = "the identity token is one that was used"
    LAPSED = "the right has lapsed"
    DENIED = "every right is denied from then on"
    TORN = "the process dies while it writes half of it"
    UNSYNCED = "it is written and fsync fails"
    FULL = "there is no space left"
    UNREADABLE = "the disk reports an I/O error"


DEEDS = frozenset({Act.KILL, Act.STALL, Act.JUMP, Act.MOVE})
_AS_WRITTEN = {
    Act.LOST: Fault.REQUEST_LOST,
    Act.UNANSWERED: Fault.ANSWER_LOST,
    Act.ERROR: Fault.ERROR_AFTER,
    Act.LATE: Fault.LATE,
    Act.BUSY: Fault.BUSY,
    Act.REFUSED: Fault.REFUSED,
}


@dataclass(frozen=True)
class Strike:
    """*act* strikes the *nth* call of that name whose arguments tell of *about*, once the call *since* was made.

    ``value`` is seconds of a pause, a jump or a delay; ``move`` is a name of `adversary.MOVES`; ``after`` is when a
    deed happens.
    """

    call: str
    act: Act
    nth: int = 1
    about: str = ""
    after: bool = False
    value: float = 0.0
    move: str = ""
    since: str = ""

    def __str__(self) -> str:
        where = f"{'after' if self.after else 'before'} call" if self.act in DEEDS else "call"
        about = f" about {self.about!r}" if self.about else ""
        about += f" since {self.since}" if self.since else ""
        what = MOVES[self.move].__doc__ or self.move if self.move else str(self.act)
        length = f" ({self.value:g} s)" if self.value else ""
        return f"{where} {self.nth} of {self.call}{about}: {what.rstrip('.')}{length}"


class Storm:
    """The strikes of one story over the parts of its world; ``fired`` are those that happened.

    ``concerned`` are the calls that may be struck, or must be known of.
    """

    def __init__(self, strikes: Iterable[Strike], moves: Moves) -> None:
        self.fired: list[Strike] = []
        self._moves = moves
        self._waiting: dict[str, list[Strike]] = {}
        for strike in strikes:
            self._waiting.setdefault(strike.call, []).append(strike)
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._telling = {s.since for s in strikes if s.since}
        self._made: set[str] = {""}
        self._remembered = {s.call for s in strikes if s.act is Act.STALE}
        self.concerned = {*self._waiting, *self._telling, *self._remembered}
        self._answers: dict[object, list[Any]] = {}

    def calm(self) -> None:
        """From now on everything goes well."""
        self._waiting.clear()
        self.concerned.clear()
        for registry in self._moves.stage.world.registries.values():
            registry.denying = False

    def suffer(self, process: Process, part: Powered, call: str, args: tuple[Any, ...], perform: Callable[[], A]) -> A:
        """Let a call happen, and whatever strikes it."""
        if process.broken is not None and call == "ledger.extend":
            raise process.broken
        if call in self._telling:
            self._made.add(call)
        due = self._due(call, args) if call in self._waiting else ()
        if not due:
            return self._performed(call, args, perform)
        self.fired += due
        for strike in due:
            if strike.act in DEEDS and not strike.after:
                self._do(strike, process)
        inner = partial(self._performed, call, args, perform)
        struck = next((s for s in due if s.act not in DEEDS), None)
        try:
            return inner() if struck is None else self._struck(struck, process, part, args, inner)
        finally:
            for strike in due:
                if strike.act in DEEDS and strike.after:
                    self._do(strike, process)

    def _due(self, call: str, args: tuple[Any, ...]) -> list[Strike]:
        waiting = self._waiting[call]
        told = _told(args) if any(s.about for s in waiting) else ""
        matching = {_what(s): None for s in waiting if s.about in told and s.since in self._made}
        for what in matching:
            self._seen[what] += 1
        due = [s for s in waiting if _what(s) in matching and self._seen[_what(s)] == s.nth]
        for strike in due:
            waiting.remove(strike)
        return due

    def _do(self, strike: Strike, process: Process) -> None:
        scheduler = self._moves.stage.scheduler
        match strike.act:
            case Act.KILL:
                scheduler.kill(process)
            case Act.STALL:
                scheduler.stall(process, strike.value)
            case Act.JUMP:
                process.skew += timedelta(seconds=strike.value)
            case _:
                scheduler.note("somebody", strike.move)
                MOVES[strike.move](self._moves)

    def _performed(self, call: str, args: tuple[Any, ...], perform: Callable[[], A]) -> A:
        result = perform()
        if call in self._remembered:
            answers = self._answers.setdefault((call, _told(args)), [])
            if not answers or answers[-1] != result:
                answers.append(result)
        return result

    def _struck(
        self, strike: Strike, process: Process, part: Powered, args: tuple[Any, ...], perform: Callable[[], A]
    ) -> A:
        call = strike.call
        if strike.act is Act.STALE:
            answers = self._answers.get((call, _told(args)), [])
            now = perform()
            older = [a for a in answers if a != now]
            return cast(A, older[-1]) if older else now
        if isinstance(part, Registry) and call.endswith(".publish"):
            return self._sent(strike, part, args, perform)
        if isinstance(part, Disk):
            return self._stored(strike, process, part, args, perform)
        if call.endswith(".discard"):  # never raises
            return perform() if strike.act in (Act.UNANSWERED, Act.ERROR) else cast(A, None)
        if isinstance(part, Issuer) and strike.act is Act.REPLAYED:
            part.issued -= min(part.issued, 1)
            return perform()
        return self._answered(strike, part, perform)

    def _sent(self, strike: Strike, registry: Registry, args: tuple[Any, ...], perform: Callable[[], A]) -> A:
        """A write to a registry, which says in a receipt what became of it."""
        publication, artifact, _, credential = args[:4]
        match strike.act:
            case Act.BURNED:
                registry.burned.add(registry.file_name(publication.package, publication.version, artifact))
            case Act.LAPSED:
                registry.discard(cast(Credential, credential))
            case Act.DENIED:
                registry.denying = True
            case _:
                registry.faults = [_AS_WRITTEN.get(strike.act)]
                registry.lateness = strike.value or LATENESS
        return perform()

    def _stored(
        self, strike: Strike, process: Process, disk: Disk, args: tuple[Any, ...], perform: Callable[[], A]
    ) -> A:
        """A call of the ledger's store."""
        match strike.act:
            case Act.TORN:
                after, lines = args
                whole = [line for line in disk.lines if line.endswith(b"\n")]
                if len(whole) == after:
                    kept = int(strike.value) % len(lines)
                    disk.lines = [*whole, *lines[:kept], lines[kept][: len(lines[kept]) // 2]]
                self._moves.stage.scheduler.kill(process)
                raise Crash
            case Act.UNSYNCED | Act.FULL | Act.UNREADABLE:
                if strike.act is Act.UNSYNCED and strike.value:
                    perform()
                process.broken = ConfigError("ledger-unwritable", "the ledger cannot be written", found=str(strike.act))
                raise process.broken
            case _:
                return self._answered(strike, disk, perform)

    def _answered(self, strike: Strike, part: Powered, perform: Callable[[], A]) -> A:
        """A call that says with an error that it failed, or that nobody knows."""
        match strike.act:
            case Act.BUSY:
                raise ExternalError("rate-limited", f"{part.label} is busy", object=part.label, found="429")
            case Act.REFUSED | Act.LAPSED | Act.REPLAYED:
                raise ExternalError("refused", f"{part.label} refuses", object=part.label, found="403", retryable=False)
            case Act.LATE:
                self._moves.stage.world.clock.later(strike.value or LATENESS, partial(_quietly, perform))
            case Act.UNANSWERED | Act.ERROR:
                perform()
            case _:
                pass
        raise unreachable(part.label)


def _quietly(perform: Callable[[], object]) -> None:
    try:
        perform()
    except (ExternalError, ConfigError, KeyError):
        return
    except Exception as error:
        if type(error).__name__ != "ConflictError":
            raise


def _what(strike: Strike) -> tuple[str, str, str]:
    return strike.call, strike.about, strike.since


def _told(args: tuple[Any, ...]) -> str:
    """What the arguments of a call are about."""
    return " ".join(_word(a) for a in args)


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return " ".join(_word(v) for v in value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    named = (getattr(value, name, None) for name in ("id", "name", "tag", "login"))
    return " ".join(str(v) for v in named if v is not None)
