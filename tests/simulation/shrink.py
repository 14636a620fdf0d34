"""Makes a failing story as short as it goes: whatever can be left out without mending it is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.play import Outcome, play
from tests.simulation.story import Story

BUDGET = 400
"""Stories that are played at most on the way."""


def shrink(outcome: Outcome, *, play: Callable[[Story], Outcome] = play, budget: int = BUDGET) -> Outcome:
    """The shortest outcome found that breaks the same invariant as *outcome* does first, as *play* plays it."""
    broken = outcome.violations[0].invariant
    best = outcome
    left = [budget]

    def fails(story: Story) -> Outcome | None:
        if left[0] <= 0:
            return None
        left[0] -= 1
        played = play(story)
        return played if any(v.invariant == broken for v in played.violations) else None

    while (shorter := _shorter(best.story, fails)) is not None:
        best = shorter
    return _fewer_choices(best, fails)


def _shorter(story: Story, fails: Callable[[Story], Outcome | None]) -> Outcome | None:
    for candidate in _candidates(story):
        if candidate != story and (played := fails(candidate)) is not None:
            return played
    return None


def _candidates(story: Story) -> Iterator[Story]:
    """Stories with one thing less, the greatest first."""
    half = len(story.strikes) // 2
    if half:
        yield replace(story, strikes=story.strikes[half:])
        yield replace(story, strikes=story.strikes[:half])
    for n in range(len(story.strikes)):
        yield replace(story, strikes=story.strikes[:n] + story.strikes[n + 1 :])
    for n in range(len(story.crashes)):
        yield replace(story, crashes=story.crashes[:n] + story.crashes[n + 1 :])
    if story.racers > 1:
        yield replace(story, racers=1)
        yield replace(story, racers=story.racers - 1)
    yield replace(story, prepared=True)
    yield replace(story, drafters=1)
    yield replace(story, interleaved=False)
    yield replace(story, restless=0.0)
    for name in ("skew", "record_lag", "index_lag", "delays"):
        yield replace(story, **{name: (0.0,)})  # type: ignore[arg-type]
    yield replace(story, quorum=1, voters=min(story.voters, 1))
    yield replace(story, shape="wheel")


def _fewer_choices(best: Outcome, fails: Callable[[Story], Outcome | None]) -> Outcome:
    """The same story with only as many of its choices as it needs; every later one is to go on."""
    low, high = 0, len(best.choices)
    while low < high:
        middle = (low + high) // 2
        played = fails(replace(best.story, choices=best.choices[:middle]))
        if played is None:
            low = middle + 1
        else:
            best, high = played, middle
    return best
