"""From a seed to a story: shape, people, racers, clocks, lags, and one to eight things that go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import overload

from tests.simulation.faults import DAY, LONG_PAUSE, Act, Strike
from tests.simulation.matrix import Cell, cells
from tests.simulation.shapes import SHAPES
from tests.simulation.story import Crash, Story

_SHAPES = ("wheel",) * 12 + ("parallel",) * 5 + ("python",) * 2 + ("full",)
"""Small ones more often, for that makes more stories in the same time; the matrix plays all of them alike."""
_MOVES = (
    *("move_tag", "delete_tag", "rewrite_branch", "fail_check", "edit_policy", "remove_approver", "hide_approver"),
    *("withdraw", "approve", "reject", "swap_asset", "tamper", "add_asset", "replace_manifest", "publish_other"),
    *("publish_other_first", "publish_same", "publish_same_first", "publish_extra", "freeze", "freeze_for_an_hour"),
    "take_down",
)
_READS = (
    "forge.tag",
    "forge.checks",
    "forge.voter",
    "forge.releases",
    "forge.freeze_of",
    "forge.file",
)
_MOMENTS = (*_READS, "ledger.extend", "forge.publish", "identity.token", "forge.branches_with", "ledger.read")

_AGES = (50 * 3600.0, 71.9 * 3600, 71.999 * 3600, 72 * 3600.0, 80 * 3600.0)
_SENT = (Act.LOST, Act.UNANSWERED, Act.LATE, Act.BUSY, Act.REFUSED, Act.ERROR, Act.DENIED)
_STORED = (Act.LOST, Act.UNANSWERED, Act.LATE, Act.TORN, Act.UNSYNCED, Act.FULL, Act.UNREADABLE)


def story(seed: int) -> Story:
    """The story of *seed*; the same one on every machine."""
    random = Random(seed)  # noqa: S311 - not for secrets
    shape = random.choice(_SHAPES)
    racers = random.choice((2, 2, 3, 4)) if random.random() < 0.25 else 1
    quorum = random.choice((1, 2))
    voters = quorum if random.random() < 0.95 else quorum - 1
    prepared = random.random() < 0.85
    adverse = random.random() < 0.4
    strikes: list[Strike] = []
    crashes: list[Crash] = []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4, 5, 6, 8))):
        chance = random.random()
        if adverse and chance < 0.3:
            strikes.append(_move(random, shape))
        elif chance < 0.6:
            strikes += _from_matrix(random, shape, prepared=prepared, adverse=adverse)
        elif chance < 0.75:
            crashes.append(Crash(random.randint(1, 3), random.randint(1, 90)))
        else:
            strikes.append(_trouble(random, shape))
    return Story(
        seed=seed,
        shape=shape,
        quorum=quorum,
        voters=voters,
        strikes=tuple(dict.fromkeys(strikes)),
        crashes=tuple(crashes),
        racers=racers,
        prepared=prepared,
        drafters=random.choice((1, 1, 2)),
        age=random.choice(_AGES) if random.random() < 0.1 else 0.0,
        restless=random.choice((0.02, 0.1, 0.3)) if racers > 1 or not prepared else 0.0,
        interleaved=random.random() < 0.15,
        record_lag=tuple(random.choice((0.0, 0.0, 0.0, 20.0, 90.0)) for _ in range(racers)),
        index_lag=tuple(random.choice((0.0, 0.0, 0.0, 60.0, 600.0)) for _ in range(racers)),
        skew=tuple(random.choice((0.0,) * 8 + (-300.0, 300.0, DAY, -DAY)) for _ in range(racers)),
        delays=tuple(random.choice((0.0, 0.0, 5.0, 60.0, 130.0)) for _ in range(racers)),
    )


class Stories(Sequence[Story]):
    """The stories of *seeds*, each made up when it is asked for: what is handed to another process is a range."""

    def __init__(self, seeds: range) -> None:
        self._seeds = seeds

    def __len__(self) -> int:
        return len(self._seeds)

    @overload
    def __getitem__(self, place: int) -> Story: ...
    @overload
    def __getitem__(self, place: slice) -> Stories: ...
    def __getitem__(self, place: int | slice) -> Story | Stories:
        return Stories(self._seeds[place]) if isinstance(place, slice) else story(self._seeds[place])


@cache
def _cells(shape: str) -> Sequence[Cell]:
    return [c for c in cells(extra=True) if c.shape == shape and c.strikes]


def _from_matrix(random: Random, shape: str, *, prepared: bool, adverse: bool) -> tuple[Strike, ...]:
    """A cell's strikes, at a later try sometimes."""
    while True:
        cell = random.choice(_cells(shape))
        if (prepared and cell.job != "publish") or (not adverse and cell.fault in ("F10", "F18")):
            continue
        later = random.choice((0, 0, 0, 1, 2))
        return tuple(replace(s, nth=s.nth + later) for s in cell.strikes)


def _move(random: Random, shape: str) -> Strike:
    call = random.choice([*_MOMENTS, *(f"{r}.publish" for r in sorted(SHAPES[shape].registries))])
    return Strike(call, Act.MOVE, random.randint(1, 12), after=random.random() < 0.5, move=random.choice(_MOVES))


def _trouble(random: Random, shape: str) -> Strike:
    """A read that fails or is stale, a pause, a name that was used up, a write to the ledger that goes wrong."""
    registry = random.choice(sorted(SHAPES[shape].registries))
    kind = random.random()
    if kind < 0.3:
        return Strike(random.choice(_READS), random.choice((Act.LOST, Act.BUSY)), random.randint(1, 12))
    if kind < 0.5:
        reads = (f"{registry}.observe", f"{registry}.visible", "forge.releases", "ledger.read", "forge.tag")
        return Strike(random.choice(reads), Act.STALE, random.randint(2, 12))
    if kind < 0.6:
        act, length = Act.STALL, random.choice((60.0, 960.0, 7200.0, LONG_PAUSE))
        return Strike(random.choice(_MOMENTS), act, random.randint(1, 10), after=random.random() < 0.5, value=length)
    if kind < 0.65:
        return Strike(random.choice(_MOMENTS), Act.JUMP, random.randint(1, 10), value=random.choice((DAY, -DAY)))
    if kind < 0.7:
        return Strike(f"{registry}.publish", Act.BURNED)
    if kind < 0.85:
        late = random.choice((60.0, 300.0, 600.0))
        return Strike(f"{registry}.publish", random.choice(_SENT), random.randint(1, 4), value=late)
    return Strike("ledger.extend", random.choice(_STORED), random.randint(1, 9), value=float(random.randint(0, 3)))
