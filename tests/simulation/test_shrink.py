"""A failing story is shortened to what it takes to fail, and told in words."""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.faults import Act, Strike
from tests.simulation.oracle_ledger import Violation
from tests.simulation.play import Outcome, play
from tests.simulation.shrink import shrink
from tests.simulation.story import Crash, Story

CAUSE = Strike("pypi.publish", Act.MOVE, move="publish_other_first")
LONG = Story(
    7,
    "python",
    strikes=(
        Strike("pypi.observe", Act.LOST, 3),
        Strike("forge.tag", Act.BUSY, 5),
        CAUSE,
        Strike("ledger.extend", Act.UNANSWERED, 2),
        Strike("pypi.publish", Act.UNANSWERED, 3),
    ),
    crashes=(Crash(1, 20), Crash(2, 11)),
    racers=3,
    restless=0.3,
    prepared=False,
    interleaved=True,
    index_lag=(60.0, 0.0, 20.0),
    skew=(300.0,),
)


def strict(story: Story) -> Outcome:
    """A story by the standard that nobody ever publishes other bytes: a promise that the cause breaks."""
    outcome = play(story)
    broken = (Violation("I8", "it ends needs human"),) if outcome.state == "needs human" else ()
    return replace(outcome, violations=broken)


def test_only_the_cause_is_left() -> None:
    failed = strict(LONG)
    assert failed.violations
    short = shrink(failed, play=strict).story
    assert short == Story(7, "wheel", quorum=1, voters=1, strikes=(CAUSE,))
    assert short.told() == [
        "a release of shape wheel, 1 approvals wanted and 1 given, one run",
        "before call 1 of pypi.publish: somebody publishes other bytes under the first of the names",
    ]


def test_a_budget_is_kept() -> None:
    played: list[Story] = []

    def counted(story: Story) -> Outcome:
        played.append(story)
        return strict(story)

    assert shrink(strict(LONG), play=counted, budget=5).violations
    assert len(played) == 5


def test_what_shrinks_to_nothing_else_stays() -> None:
    failed = strict(Story(7, quorum=1, voters=1, strikes=(CAUSE,)))
    assert shrink(failed, play=strict).story.strikes == (CAUSE,)
