"""Every effect boundary, every class of fault, before and after, in every shape: 2,304 cells and those of our own."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.faults import Act
from tests.simulation.matrix import BOUNDARIES, FAULTS, MOMENTS, cells, story_of
from tests.simulation.play import play
from tests.simulation.shapes import SHAPES

CELLS = tuple(enumerate(cells(extra=True)))


def test_every_cell_runs_or_says_why_it_cannot() -> None:
    planned = list(cells())
    assert len(planned) == 2304 == len(SHAPES) * 16 * len(FAULTS) * len(MOMENTS)
    assert len({c.id for c in planned}) == len(planned)
    assert all(bool(c.strikes) != bool(c.reason) for c in planned)
    assert sum(bool(c.strikes) for c in planned) > 1000


def test_no_boundary_and_no_fault_is_left_out_altogether() -> None:
    ran = Counter(name for c in cells() if c.strikes for name in (c.boundary, c.fault))
    absent = {b.name for b in BOUNDARIES if b.absent}
    assert absent == {"notify", "npm stage", "attest", "image push"}
    assert {b.name for b in BOUNDARIES if not b.extra} - set(ran) == absent
    assert set(FAULTS) <= set(ran)


@pytest.mark.parametrize("boundary", [b.name for b in BOUNDARIES if not b.absent])
def test_a_fault_at_a_boundary_breaks_no_promise(boundary: str) -> None:
    broken: list[str] = []
    for number, cell in CELLS:
        if cell.boundary != boundary or cell.reason:
            continue
        outcome = play(story_of(cell, number))
        missed = [s for s in cell.strikes if s not in outcome.fired and s.act is not Act.STALE]
        broken += [f"{cell.id}: {v}" for v in outcome.violations]
        broken += [f"{cell.id}: never came to {s}" for s in missed]
    assert broken == []
