"""One seeded scheduler: processes whose every port call is a point where another may go on, or they may die.

Tasks are greenlets of one thread, so exactly one moves at a time and a seed gives one order. Time is virtual: when
nobody can move, the earliest sleeper wakes. A process that has died stays dead: what its ``finally`` blocks call does
not reach the world.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple, Protocol, TypeVar

from greenlet import getcurrent, greenlet

from releaser.model.manifest import Person
from tests.world import EPOCH, Crash, Power, Powered

A = TypeVar("A")
B = TypeVar("B")
LIMIT = 60_000
"""Port calls after which a schedule is taken for endless."""


class Endless(BaseException):
    """A schedule does not come to an end."""


class Event(NamedTuple):
    """A port call as the world saw it: who called, when (seconds of the world), what they were told, what was true.

    ``task`` is the caller's task within the process, behind those that started it. ``error`` is what the caller was
    told instead of ``result``. ``done`` is whether the world did it, ``truth`` what came of that; what it did *late* is
    an event of its own, without a caller that waits for it.
    """

    step: int
    time: float
    process: str
    task: tuple[int, ...]
    call: str
    args: tuple[Any, ...]
    result: Any
    error: Exception | None
    done: bool
    truth: Any
    late: bool = False


_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)
"""An `Event` of all its fields, in half the time: there are hundreds in a story."""


def forget(error: BaseException | None) -> None:
    """Drop the frames that *error* went through, which hold whatever a process had in hand."""
    while error is not None:
        error.__traceback__, error = None, error.__context__


class Choices:
    """Every choice of a schedule, in order: those given, and drawn from the seed after them.

    With *restless* between 0 and 1 a moving task is interrupted that often.
    """

    def __init__(self, seed: int, restless: float = 0.0, given: Sequence[int] | None = None) -> None:
        self.made: list[int] = []
        self._random = Random(seed)  # noqa: S311 - not for secrets
        self._restless = restless
        self._given = given

    def pick(self, count: int) -> int:
        """One of *count*."""
        choice = self._random.randrange(count) if self._given is None else self._next(self._given, count)
        self.made.append(choice)
        return choice

    def other(self, count: int) -> int:
        """0 to let the moving task go on, or one of *count* others, from 1."""
        if self._given is not None:
            choice = self._next(self._given, count + 1)
        else:
            choice = 1 + self._random.randrange(count) if self._random.random() < self._restless else 0
        self.made.append(choice)
        return choice

    def _next(self, given: Sequence[int], count: int) -> int:
        return given[len(self.made)] % count if len(self.made) < len(given) else 0


@dataclass(eq=False)
class Process:
    """A process on a machine: who it acts as, how its clock is off, and what becomes of it."""

    name: str
    person: Person
    skew: timedelta = timedelta()
    record_lag: float = 0.0
    index_lag: float = 0.0
    result: Any = None
    error: BaseException | None = None
    dead: bool = False
    broken: Exception | None = None  # what its disk answers from now on
    stalled: datetime = EPOCH
    secrets: list[str] = field(default_factory=list)
    slept: int = 0
    problems: list[Exception] = field(default_factory=list)


@dataclass(eq=False)
class Task:
    """Something that moves by itself within a process. *awaits* counts the tasks that it has to wait for."""

    process: Process
    thread: greenlet
    line: tuple[int, ...]
    wakes: datetime = EPOCH
    awaits: int = 0

    def ready(self, now: datetime) -> bool:
        """Whether it can go on: nothing is awaited, no sleep is left, or its process is gone."""
        return self.process.dead or (not self.awaits and self.wakes <= now and self.process.stalled <= now)


class Weather(Protocol):
    """What strikes a port call."""

    concerned: set[str]
    """The calls about which `suffer` has to be asked, as about every call of a process that is broken."""

    def suffer(self, process: Process, part: Powered, call: str, args: tuple[Any, ...], perform: Callable[[], A]) -> A:
        """Let the call happen as it happens now: well, badly, or to a process that dies of it."""


class Time(Protocol):
    """The world's time, and the same in seconds since every story began."""

    time: datetime
    seconds: float

    def pass_by(self, seconds: float) -> None: ...


class Scheduler(Power):
    """Runs processes over a world whose *power* it is. ``log`` is everything that was called, in order.

    ``weather`` decides how each call goes; ``enter`` is told which process moves now, so that the world can show
    itself as that one sees it. ``kill_after`` ends the moving process right after so many more calls.
    """

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.choices = choices
        self.log: list[Event] = []
        self._errors: list[Exception] = []
        self.clock: Time
        self.weather: Weather | None = None
        self.enter: Callable[[Process], object] = lambda _: None
        self.kill_after: int | None = None
        self.interleaved = False
        self._tasks: list[Task] = []
        self._count = 0
        self._moving: Task | None = None
        self._hub: greenlet | None = None
        self._entered: Process | None = None

    # The port calls

    def through(self, part: Powered, name: str, args: tuple[Any, ...], perform: Callable[[], A]) -> A:
        task = self._moving
        if task is None:
            return perform()  # somebody looks from outside
        process, call, alone = task.process, f"{part.label}.{name}", len(self._tasks) == 1
        if process.dead or not alone:
            self._point(task)
        if len(self.log) >= LIMIT:
            raise Endless
        weather = self.weather
        if weather is not None and (call in weather.concerned or process.broken is not None):
            told = self._under(weather, task, part, call, args, perform)
        else:
            try:
                told = perform()
            except BaseException as problem:
                error = problem if isinstance(problem, Exception) else None
                self._errors += [error] if error else []
                self._log(task, call, args, None, error, done=False)
                raise
            self._log(task, call, args, told, None, done=True)
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after <= 0:
                self.kill_after = None
                self.kill(process)
        if process.dead or not alone:
            self._point(task)
        return told

    def _under(
        self, weather: Weather, task: Task, part: Powered, call: str, args: tuple[Any, ...], perform: Callable[[], A]
    ) -> A:
        """A call as *weather* lets it happen, which may be late; on the log is what was done and what was told."""
        place = -1

        def tracked() -> A:
            nonlocal place
            value = perform()
            late, place = place < -1, len(self.log)
            self._log(task, call, args, value, None, done=True, late=late)
            return value

        told: Any = None
        error: Exception | None = None
        try:
            told = weather.suffer(task.process, part, call, args, tracked)
        except Exception as problem:
            error = problem
            self._errors.append(problem)
            raise
        finally:
            if place < 0:
                self._log(task, call, args, told, error, done=False)
                place = -2
            elif error is not None or told is not self.log[place].truth:
                self.log[place] = self.log[place]._replace(result=told, error=error)
        return told  # type: ignore[no-any-return]

    def note(self, who: str, what: str, *args: object) -> None:
        """Put on the log what somebody did without a port."""
        self.log.append(Event(len(self.log), self.clock.seconds, who, (), what, args, None, None, True, None))

    def _log(
        self,
        task: Task,
        call: str,
        args: tuple[Any, ...],
        value: Any,
        error: Exception | None,
        *,
        done: bool,
        late: bool = False,
    ) -> None:
        log, seconds, who, truth = self.log, self.clock.seconds, task.process.name, value if done else None
        log.append(_event((len(log), seconds, who, task.line, call, args, value, error, done, truth, late)))

    # Processes

    def spawn(self, process: Process, body: Callable[[], Any], delay: float = 0.0) -> None:
        """Let *body* run as *process*, *delay* seconds from now."""

        def run() -> None:
            try:
                process.result = body()
            except Crash as error:
                process.error = error
            except Endless:
                raise
            except Exception as error:
                process.error = error

        self._add(process, run, delay)

    def run(self) -> None:
        """Let every process run to its end."""
        self._hub = getcurrent()
        while self._tasks:
            task = self._next()
            if task is None:
                continue
            self._move(task)
            task.thread.switch()
            self._moving = None
            if task.thread.dead:
                self._tasks.remove(task)
        self._entered = None

    def let_go(self) -> None:
        """Drop what leads from here back to the world, so that both go away without the collector's help."""
        for error in self._errors:
            forget(error)
        self.log, self._errors, self._tasks, self._moving = [], [], [], None
        del self.clock, self.enter
        self.weather = None

    def kill(self, process: Process) -> None:
        """End *process*; the caller's own is gone at once."""
        process.dead = True
        if self._moving is not None and self._moving.process is process:
            raise Crash

    def stall(self, process: Process, seconds: float) -> None:
        """Stop *process*, which is the moving one, for *seconds*; it does not notice."""
        process.stalled = self.clock.time + timedelta(seconds=seconds)
        if self._moving is not None:
            self._wait(self._moving)

    def sleep(self, seconds: float) -> None:
        """Let the moving task wait."""
        task = self._moving
        if task is None:
            self.clock.pass_by(seconds)
            return
        task.process.slept += 1
        task.wakes = self.clock.time + timedelta(seconds=seconds)
        self._wait(task)

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """*work* on all *items*: side by side where tasks are interleaved, else one by one in any order."""
        todo, parent = list(items), self._moving
        if len(todo) < 2:
            return [work(item) for item in todo]
        results: dict[int, B] = {}
        errors: dict[int, Exception] = {}

        def do(number: int) -> None:
            try:
                results[number] = work(todo[number])
            except Exception as error:
                errors[number] = error

        if parent is None:
            for number in range(len(todo)):
                do(number)
        elif not self.interleaved:
            left = list(range(len(todo)))
            while left:
                do(left.pop(self.choices.pick(len(left)) if len(left) > 1 else 0))
        else:
            self._side_by_side(parent, [lambda n=n: do(n) for n in range(len(todo))])  # type: ignore[misc]
        if errors:
            raise errors[min(errors)]
        return [results[number] for number in range(len(todo))]

    def _side_by_side(self, parent: Task, jobs: Sequence[Callable[[], None]]) -> None:
        def run(job: Callable[[], None]) -> None:
            try:
                job()
            except Crash:
                return
            parent.awaits -= 1

        parent.awaits = len(jobs)
        for job in jobs:
            self._add(parent.process, lambda job=job: run(job), 0.0)  # type: ignore[misc]
        self._wait(parent)

    def _add(self, process: Process, run: Callable[[], None], delay: float) -> None:
        self._count += 1
        line = (*self._moving.line, self._count) if self._moving else (self._count,)
        task = Task(process, greenlet(run, self._hub or getcurrent()), line)
        task.wakes = self.clock.time + timedelta(seconds=delay)
        self._tasks.append(task)

    # Whose turn it is

    def _point(self, task: Task) -> None:
        """A point where another task may go on instead of this one, or this one finds its process gone."""
        if task.process.dead:
            raise Crash
        now, others = self.clock.time, 0
        for other in self._tasks:
            if other is not task and other.ready(now):
                others += 1
        if others and self.choices.other(others):
            self._yield()
            if task.process.dead:
                raise Crash

    def _yield(self) -> None:
        assert self._hub is not None
        self._hub.switch()

    def _wait(self, task: Task) -> None:
        """Let others go on until *task* can; straight on where there are none."""
        if len(self._tasks) == 1 and not task.awaits:
            self._pass(max(task.wakes, task.process.stalled))
        else:
            self._yield()
        if task.process.dead:
            raise Crash

    def _next(self) -> Task | None:
        """The task that moves now; None when time had to go by first, or a dead one was cleared away."""
        for task in self._tasks:
            if task.process.dead:
                self._clear(task)
                return None
        now = self.clock.time
        ready = [t for t in self._tasks if t.ready(now)]
        if ready:
            return ready[self.choices.pick(len(ready)) if len(ready) > 1 else 0]
        self._pass(min(max(t.wakes, t.process.stalled) for t in self._tasks if not t.awaits))
        return None

    def _clear(self, task: Task) -> None:
        self._tasks.remove(task)
        task.process.error = task.process.error or Crash()
        if task.thread:
            self._moving = task
            task.thread.throw(Crash)
            self._moving = None

    def _pass(self, until: datetime) -> None:
        left = (until - self.clock.time).total_seconds()
        if left > 0:
            self.clock.pass_by(left)

    def _move(self, task: Task) -> None:
        self._moving = task
        if task.process is not self._entered:
            self._entered = task.process
            self.enter(task.process)
