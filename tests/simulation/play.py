"""Plays a story to its end, and has it judged.

Faults first: jobs and people work while everything that is in store strikes, and a patient operator starts what was
interrupted again. Then the faults stop, and the release has to come to its end within bounded work and time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from releaser.engine.states import State
from releaser.errors import ReleaserError
from releaser.model.approval import Decision
from releaser.model.manifest import Person
from tests.simulation.adversary import Moves
from tests.simulation.faults import Storm, Strike
from tests.simulation.oracle import Evidence, judge
from tests.simulation.oracle_ledger import Violation, unfinished
from tests.simulation.scheduler import Choices, Endless, Event, Process, forget
from tests.simulation.shapes import SHAPES
from tests.simulation.stage import BOT, MAINTAINERS, TAG, Stage
from tests.simulation.story import Story, ends, reports
from tests.world import Crash

ENDS = frozenset({"released", "rejected", "expired", "voided", "frozen", "partial", "burned", "needs human"})
SETTLED = ENDS - {"partial"}
STORMY = 4
RUNS = 10
TICKS = 500
HOURS = 24.0
_TRIES = 12
Job = Callable[[Process], Callable[[], object]]
_REST = 700.0
_HELD = frozenset({"awaiting approval", "publishing", "undrafted"})
"""States in which nothing more happens where approvals were taken away or never given."""
_LOOKED_AT = frozenset({"needs human", "burned"})
"""Ends that a run finds out by trying: it claims the release for that, and changes nothing else."""
_WRITES = frozenset({"create_draft", "upload", "remove", "publish", "commit", "pull_request", "extend"})


@dataclass(frozen=True)
class Outcome:
    """How a story ended. ``runs``, ``ticks`` and (virtual) ``seconds`` are what it took after the faults had stopped.

    ``evidence`` and ``said`` are there only where they were to be kept; ``unfinished`` counts effects without an end.
    """

    story: Story
    state: str
    violations: tuple[Violation, ...]
    fired: tuple[Strike, ...]
    runs: int
    ticks: int
    seconds: float
    calls: int
    unfinished: int
    choices: tuple[int, ...]
    evidence: Evidence | None = None
    said: tuple[str, ...] = ()

    @property
    def log(self) -> Sequence[Event]:
        """Every call of the story, where they were kept."""
        return self.evidence.log if self.evidence else ()

    @property
    def trace(self) -> str:
        """The digest of all choices, calls and records, which were kept."""
        assert self.evidence is not None
        digest = hashlib.sha256(repr(self.choices).encode())
        for event in self.log:
            digest.update(f"{event.time:.3f} {event.process} {event.call} {event.done}\n".encode())
        for line in self.evidence.lines:
            digest.update(line)
        digest.update(self.state.encode())
        return digest.hexdigest()


def play(story: Story, *, keep: bool = False) -> Outcome:
    """The story's outcome; with *keep*, the whole log of it too."""
    one = _Play(story)
    try:
        return one.outcome(keep=keep)
    finally:
        one.scheduler.let_go()


class _Play:
    def __init__(self, story: Story) -> None:
        self.story = story
        self.choices = Choices(story.seed, story.restless, story.choices)
        self.stage = Stage(SHAPES[story.shape], story.quorum, self.choices)
        self.scheduler = self.stage.scheduler
        self.scheduler.interleaved = story.interleaved
        self.storm = Storm(story.strikes, Moves(self.stage))
        self.scheduler.weather = self.storm
        self.violations: list[Violation] = []
        self.round = 0
        self.ticks = 0
        self.runs = 0
        self.began = 0.0
        self.said: list[str] = []

    def outcome(self, *, keep: bool) -> Outcome:
        state = "endless"
        try:
            self._begin()
            self._storm()
            state = self._converge()
            self._expected(state)
        except Endless:
            self._broken("I8", "the schedule does not come to an end")
        evidence = self._evidence()
        self.violations += judge(evidence)
        left = unfinished(self.stage.world.ledger.lines)
        if state == "released" and left:
            self._broken("I4", f"{left[0]} was begun and has no end on record")
        return Outcome(
            self.story,
            state,
            tuple(self.violations),
            tuple(self.storm.fired),
            self.runs,
            self.ticks,
            self.scheduler.clock.seconds - self.began,
            len(self.scheduler.log),
            len(left),
            tuple(self.choices.made),
            evidence if keep else None,
            tuple(self.said) if keep else (),
        )

    def _broken(self, invariant: str, what: str) -> None:
        self.violations.append(Violation(invariant, what))

    # Before

    def _begin(self) -> None:
        if self.story.prepared:
            self.stage.prepare(self.story.voters)
            self.scheduler.sleep(self.story.age)
            return
        jobs = [(f"draft-{n}", BOT, self.stage.drafts) for n in range(self.story.drafters)]
        self._until_done(jobs)
        for person in MAINTAINERS[: self.story.voters]:
            self._until_done([(person.login, person, lambda p: self.stage.votes(p, Decision.APPROVE))])
        self.scheduler.sleep(self.story.age)

    def _until_done(self, jobs: Sequence[tuple[str, Person, Job]]) -> None:
        """Let jobs try again until each has come to its end, as people do."""
        for attempt in range(_TRIES):
            processes = [self._start(f"{name}.{attempt}", person, body) for name, person, body in jobs]
            self.scheduler.run()
            self._bugs(processes)
            jobs = [job for job, process in zip(jobs, processes, strict=True) if process.error is not None]
            if not jobs:
                return
            self.scheduler.sleep(60)

    def _start(self, name: str, person: Person, body: Job, k: int = 0, delay: float = 0.0) -> Process:
        story = self.story
        process = Process(
            name,
            person,
            timedelta(seconds=story.skew[k % len(story.skew)]),
            story.record_lag[k % len(story.record_lag)],
            story.index_lag[k % len(story.index_lag)],
        )
        self.scheduler.spawn(process, body(process), delay)
        return process

    # Publishing

    def _storm(self) -> None:
        """Rounds of runs while faults strike."""
        for _ in range(STORMY):
            states = self._publish(self.story.racers)
            if states and all(s in SETTLED for s in states):
                break
            self.scheduler.sleep(60)
        self.storm.calm()
        self.scheduler.sleep(_REST + 3600)

    def _converge(self) -> str:
        """Rounds of one run once the faults have stopped, until one finds the release ended and writes nothing (I9)."""
        self.began, held, state = self.scheduler.clock.seconds, 0, ""
        ended = ""
        while self.runs < RUNS:
            self.runs += 1
            self.ticks += 1
            before = len(self.scheduler.log)
            state = next(iter(self._publish(1, counted=True)), "crashed")
            held = held + 1 if state == "partial" or (state in _HELD and state in self._ends()) else 0
            wrote = self._written(before, state) if state in SETTLED else []
            if held > 2 or (state in SETTLED and not wrote):
                break
            if state == ended and wrote:
                self._broken("I9", f"one more run of a release that is {state} calls {', '.join(wrote)}")
                break
            ended = state
            self.scheduler.sleep(60)
        else:
            self._broken("I8", f"still {state} after {RUNS} runs without a fault")
        if self.ticks > TICKS or self.scheduler.clock.seconds - self.began > HOURS * 3600:
            spent = self.scheduler.clock.seconds - self.began
            self._broken("I8", f"it took {self.ticks} ticks and {spent / 3600:.1f} hours to end {state}")
        return state

    def _written(self, since: int, state: str) -> list[str]:
        """The writes since an event; to look into what only a human can settle, a run may claim the release."""
        calls = (e.call for e in self.scheduler.log[since:] if e.call.rpartition(".")[2] in _WRITES)
        return [c for c in calls if state not in _LOOKED_AT or c != "ledger.extend"]

    def _publish(self, racers: int, *, counted: bool = False) -> list[str]:
        """A round: so many runs at the same time; the states that those which lived to tell say."""
        self.round += 1
        crash = next((c.calls for c in self.story.crashes if c.round == self.round), None)
        self.scheduler.kill_after = crash
        delays = self.story.delays
        processes = [
            self._start(
                f"run-{self.round}.{k}", BOT, self.stage.publishes, k, delays[k % len(delays)] if racers > 1 else 0.0
            )
            for k in range(racers)
        ]
        self.scheduler.run()
        self.scheduler.kill_after = None
        self._bugs(processes)
        if counted:
            self.ticks += sum(p.slept for p in processes)
        for process in processes:
            self._reported(process)
            self.said += [f"{process.name}: {process.result or process.error or 'it saw nothing'!r}"]
            self.said += [f"  {p} ({getattr(p, 'found', '')})" for p in process.problems]
        return [str(p.result) for p in processes if isinstance(p.result, State)]

    def _reported(self, process: Process) -> None:
        """What a run says of the release has a cause as well, even if a later one ends better."""
        if isinstance(process.result, State):
            allowed = reports(self.story, self.storm.fired, self.scheduler.clock.seconds)
            if process.result not in allowed:
                self._broken("I8", f"{process.name} says it is {process.result}, for no cause")

    def _bugs(self, processes: list[Process]) -> None:
        for process in processes:
            error = process.error
            for met in (error, *process.problems):
                forget(met)
            if error is not None and not isinstance(error, (ReleaserError, Crash)):
                self._broken("bug", f"{process.name} raises {error!r}")

    # After

    def _ends(self) -> frozenset[str]:
        return ends(self.story, self.storm.fired, self.scheduler.clock.seconds)

    def _expected(self, state: str) -> None:
        """The end has a cause: without one a release that was approved is out."""
        if state not in (allowed := self._ends()):
            why = ", ".join(sorted(allowed))
            self._broken("I8", f"it ends {state}; what happened to it allows {why}")

    def _evidence(self) -> Evidence:
        world = self.stage.world
        return Evidence(
            log=self.scheduler.log,
            lines=world.ledger.lines,
            arrived={n: r.arrived for n, r in world.registries.items()},
            taken={n: r.taken for n, r in world.registries.items()},
            uploaded=world.forge.uploaded,
            public=sum(not h.release.draft for h in world.forge.held.values()),
            tag=TAG,
            said=repr(world.reporter.said) + "\n".join(self.said),
            interleaved=self.story.interleaved,
            skewed=self.story.skewed,
        )
