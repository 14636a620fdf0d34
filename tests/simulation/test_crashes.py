"""A process that dies at every point of a run, and again while the next one recovers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.simulation.campaign import collect
from tests.simulation.crashes import calls, pairs, singles
from tests.simulation.shapes import SHAPES
from tests.simulation.story import Story

EVERY = 13
"""Here both die at every so many-th call; at all of them they do in ``make simulate CRASHES=pairs``."""


def assert_released(stories: Iterable[Story], least: int) -> None:
    report = collect(stories)
    assert [f"{o.story.crashes}: {v}" for o in report.failures for v in o.violations] == []
    assert set(report.states) == {"released"}
    assert report.played >= least


@pytest.mark.parametrize("shape", SHAPES)
def test_wherever_a_process_dies_the_release_comes_out(shape: str) -> None:
    assert_released(singles(shape), calls(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_wherever_the_recovery_dies_too_the_release_comes_out(shape: str) -> None:
    assert_released(pairs(shape, EVERY), 10)
