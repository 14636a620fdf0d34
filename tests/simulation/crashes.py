"""Every point at which a process can die: after each port call of a run that goes well, and again while it recovers."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.play import play
from tests.simulation.shapes import SHAPES
from tests.simulation.story import Crash, Story


def calls(shape: str, *crashes: Crash) -> int:
    """How many port calls the run makes that follows *crashes*, when nothing else goes wrong."""
    following = f"run-{len(crashes) + 1}.0"
    log = play(Story(0, shape, crashes=crashes), keep=True).log
    return sum(event.process == following for event in log)


def singles(shape: str) -> Iterator[Story]:
    """A story for every call after which the first run can die."""
    for n in range(1, calls(shape) + 1):
        yield Story(0, shape, crashes=(Crash(1, n),))


def pairs(shape: str, step: int = 1) -> Iterator[Story]:
    """A story for every pair of calls after which the first run and the one that recovers can die.

    With a *step*, both die at every *step*-th call alone.
    """
    for first in range(1, calls(shape) + 1, step):
        for second in range(1, calls(shape, Crash(1, first)) + 1, step):
            yield Story(0, shape, crashes=(Crash(1, first), Crash(2, second)))


def every(which: str) -> list[Story]:
    """The stories of all shapes: ``singles`` or ``pairs``."""
    make = {"singles": singles, "pairs": pairs}[which]
    return [one for shape in SHAPES for one in make(shape)]
