"""Many releases, on several processes, and what they showed."""

from __future__ import annotations

import json
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.kills.forker import Forker
from tests.kills.release import Outcome, killed, raced


@dataclass(frozen=True)
class Order:
    """One release to play: killed where *racers* is 1, else raced."""

    seed: str
    ledger: str
    racers: int = 1

    @property
    def replay(self) -> str:
        """The command that plays it again."""
        race = f" --racers {self.racers}" if self.racers > 1 else ""
        return f"python -m tests.kills --replay {self.seed} --ledger {self.ledger}{race}"


@dataclass
class Report:
    """What a campaign showed; ``failures`` are the releases that broke a promise."""

    seed: int
    jobs: int
    releases: int = 0
    races: int = 0
    seconds: float = 0.0
    missed: int = 0
    duplicates: int = 0
    losses: int = 0
    writes: int = 0
    ledgers: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[Order, Sequence[str]]] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """How many processes were killed."""
        return sum(self.kills.values())

    def add(self, order: Order, outcome: Outcome) -> None:
        self.releases += 1
        self.races += order.racers > 1
        self.missed += outcome.missed
        self.duplicates += outcome.duplicates
        self.losses += outcome.losses
        self.writes += outcome.writes
        self.ledgers[order.ledger] += 1
        self.kills += outcome.kills
        self.ends += outcome.ends
        self.accepted += outcome.accepted
        if outcome.violations:
            self.failures.append((order, outcome.violations))

    def as_dict(self) -> dict[str, Any]:
        """The figures, to be kept."""
        return {
            "seed": self.seed,
            "releases": self.releases,
            "races": self.races,
            "processes killed": self.killed,
            "kills whose moment did not come": self.missed,
            "duplicates": self.duplicates,
            "losses": self.losses,
            "writes when run once more": self.writes,
            "releases that broke a promise": len(self.failures),
            "seconds": round(self.seconds, 1),
            "kills a second": round(self.killed / self.seconds, 2) if self.seconds else 0.0,
            "jobs": self.jobs,
            "releases by ledger": dict(sorted(self.ledgers.items())),
            "kills by moment": dict(self.kills.most_common()),
            "ends of racers": dict(self.ends.most_common()),
            "accepted at the servers": dict(sorted(self.accepted.items())),
            "replay": [order.replay for order, _ in self.failures],
        }

    def as_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2) + "\n"

    def text(self) -> str:
        """The figures for people."""
        rows = self.as_dict()
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {_plain(value)}" for name, value in rows.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    if isinstance(value, list):
        return "\n  ".join(["", *map(str, value)]) if value else "none"
    return str(value)


def play(order: Order, forker: Forker) -> Outcome:
    """One release."""
    if order.racers > 1:
        return raced(forker, order.seed, order.ledger, order.racers)
    return killed(forker, order.seed, order.ledger)


@cache
def _forker() -> Forker:
    """What this process of the pool forks commands from; it ends when its orders do."""
    return ExitStack().enter_context(Forker())


def _play(order: Order) -> tuple[Order, Outcome]:
    try:
        return order, play(order, _forker())
    except Exception:
        return order, Outcome(order.seed, order.ledger, violations=[traceback.format_exc()])


def campaign(
    orders: Callable[[int], Order], enough: Callable[[Report], bool], report: Report, tell: Callable[[], object]
) -> None:
    """Play the first, second, … of *orders* on ``report.jobs`` processes until that is *enough*; *tell* after each."""
    began = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(report.jobs, context) as pool:
        given = 0
        running: set[Future[tuple[Order, Outcome]]] = set()
        while True:
            while len(running) < report.jobs and not enough(report):
                running.add(pool.submit(_play, orders(given)))
                given += 1
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                report.add(*future.result())
            report.seconds = time.perf_counter() - began
            tell()
