"""Many stories on several processes, and what they showed."""

from __future__ import annotations

import gc
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.play import Outcome, play
from tests.simulation.seeds import Stories
from tests.simulation.story import Story

CHUNK = 100


@dataclass
class Report:
    """What a campaign showed. ``failures`` are the first outcomes that broke a promise, by number of story."""

    played: int = 0
    seconds: float = 0.0
    jobs: int = 1
    states: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    runs: Counter[int] = field(default_factory=Counter)
    ticks: list[int] = field(default_factory=list)
    virtual: list[float] = field(default_factory=list)
    calls: int = 0
    unresolved: int = 0

    def add(self, outcome: Outcome) -> None:
        self.played += 1
        self.states[outcome.state] += 1
        self.fired.update(str(s.move or s.act) for s in outcome.fired)
        self.fired.update(["the process dies at a given call"] * len(outcome.story.crashes))
        self.violations.update(v.invariant for v in outcome.violations)
        if outcome.violations:
            self.failures.append(outcome)
        self.runs[outcome.runs] += 1
        self.ticks.append(outcome.ticks)
        self.virtual.append(outcome.seconds)
        self.calls += outcome.calls
        self.unresolved += outcome.unfinished if outcome.state == "released" else 0

    def merge(self, other: Report) -> None:
        """Add what another report counts, but for its time."""
        self.played += other.played
        self.states += other.states
        self.fired += other.fired
        self.violations += other.violations
        self.failures += other.failures
        self.runs += other.runs
        self.ticks += other.ticks
        self.virtual += other.virtual
        self.calls += other.calls
        self.unresolved += other.unresolved

    def as_dict(self) -> dict[str, Any]:
        """The figures, to be kept."""
        broken = [v for o in self.failures for v in o.violations]
        return {
            "stories": self.played,
            "seconds": round(self.seconds, 1),
            "jobs": self.jobs,
            "per second and job": round(self.played / self.seconds / self.jobs, 1) if self.seconds else 0.0,
            "violations": sum(self.violations.values()),
            "violations by invariant": dict(sorted(self.violations.items())),
            "failing": [o.story.seed for o in self.failures],
            "states": dict(self.states.most_common()),
            "fired": dict(self.fired.most_common()),
            "port calls": self.calls,
            "runs to converge": {str(n): c for n, c in sorted(self.runs.items())},
            "ticks to converge": _spread(self.ticks),
            "virtual seconds to converge": _spread(self.virtual),
            "unresolved effects of released": self.unresolved,
            "needs human without a cause": sum("ends needs human" in v.what for v in broken),
        }

    def text(self) -> str:
        """The figures for people."""
        rows = self.as_dict()
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {_plain(value)}" for name, value in rows.items())


def _spread(numbers: Sequence[float]) -> dict[str, float]:
    ordered = sorted(numbers)
    if not ordered:
        return {"mean": 0.0, "p99": 0.0, "max": 0.0}
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"mean": round(sum(ordered) / len(ordered), 1), "p99": float(p99), "max": float(ordered[-1])}


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value)


def run(first: int, count: int, *, stop_at_first: bool = True) -> Report:
    """The stories of *count* seeds from *first* on, in this process."""
    return collect(Stories(range(first, first + count)), stop_at_first=stop_at_first)


def collect(stories: Iterable[Story], *, stop_at_first: bool = False) -> Report:
    """What *stories* show, played one after the other."""
    report, began = Report(), time.perf_counter()
    for one in stories:
        report.add(play(one))
        if stop_at_first and report.failures:
            break
    report.seconds = time.perf_counter() - began
    return report


def campaign(stories: Sequence[Story], jobs: int, tell: Callable[[Report], object]) -> Report:
    """*stories* on so many processes; *tell* is shown the report again and again while it grows."""
    report, began = Report(jobs=jobs), time.perf_counter()
    for part in _parts(stories, jobs):
        report.merge(part)
        report.seconds = time.perf_counter() - began
        tell(report)
    return report


def _parts(stories: Sequence[Story], jobs: int) -> Iterator[Report]:
    chunks = [stories[n : n + CHUNK] for n in range(0, len(stories), CHUNK)]
    if jobs == 1:
        before = gc.get_threshold()
        _spare_the_collector()
        try:
            yield from map(collect, chunks)
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()
    else:
        with multiprocessing.get_context("fork").Pool(jobs, _spare_the_collector) as pool:
            yield from pool.imap(collect, chunks)


def _spare_the_collector() -> None:
    """Let it come seldom, for stories leave little to it, and leave out what is there already."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000)


def as_json(report: Report) -> str:
    return json.dumps(report.as_dict(), indent=2) + "\n"
