"""``python -m tests.simulation``: campaigns, and the replay of one story."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.options import positive, writable
from tests.simulation.campaign import Report, as_json, campaign
from tests.simulation.crashes import every
from tests.simulation.matrix import cells, story_of
from tests.simulation.play import Outcome, play
from tests.simulation.scheduler import Event
from tests.simulation.seeds import Stories, story
from tests.simulation.shrink import shrink
from tests.simulation.story import Story

_SHOWN = 5
_say = Console(markup=False, highlight=False, soft_wrap=True).print


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=0, metavar="K", help="the first seed (default: 0)")
    parser.add_argument("--jobs", type=positive, default=1, metavar="J", help="processes (default: 1)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the figures there")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seeds", type=positive, default=1000, metavar="N", help="stories to play (default: 1000)")
    what.add_argument("--seed", type=int, metavar="S", help="replay the story of one seed, call by call")
    what.add_argument("--story", metavar="JSON", help="replay a story that was written down, call by call")
    what.add_argument("--crashes", choices=["singles", "pairs"], help="a process dies at every point, or at two")
    what.add_argument("--matrix", action="store_true", help="every boundary, fault, moment and shape")
    options = parser.parse_args(arguments)
    if options.seed is not None or options.story:
        return _replay(Story.parse(options.story) if options.story else story(options.seed))
    by_seed = not (options.crashes or options.matrix)
    stories: Sequence[Story]
    if options.crashes:
        stories = every(options.crashes)
    elif options.matrix:
        planned = list(enumerate(cells(extra=True)))
        stories = [story_of(cell, number) for number, cell in planned if cell.strikes]
        _say(f"{len(planned)} cells, of which {len(planned) - len(stories)} cannot be: {_reasons()}")
    else:
        stories = Stories(range(options.first, options.first + options.seeds))
    report = _campaign(stories, options.jobs)
    _say(report.text())
    for outcome in report.failures[:_SHOWN]:
        _tell(outcome, by_seed=by_seed)
    if options.json:
        options.json.write_text(as_json(report))
    return 1 if report.violations else 0


def _reasons() -> str:
    """Why cells of the matrix are impossible, the most frequent reason first."""
    reasons = Counter(cell.reason for cell in cells(extra=True) if cell.reason)
    return "".join(f"\n  {count:4} {reason}" for reason, count in reasons.most_common())


def _campaign(stories: Sequence[Story], jobs: int) -> Report:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        bar = progress.add_task("", total=len(stories))

        def tell(report: Report) -> None:
            speed = report.played / report.seconds / report.jobs
            broken = len(report.failures)
            progress.update(
                bar, completed=report.played, description=f"{speed:.0f}/s/job, {broken} broken", refresh=True
            )

        return campaign(stories, jobs, tell)


def _tell(outcome: Outcome, *, by_seed: bool) -> None:
    """A failing story, as short as it goes, with the one command that replays it."""
    short = shrink(outcome)
    _say(f"\n{outcome.violations[0]}")
    for line in short.story.told():
        _say(f"  {line}")
    _say(f"shrunk: {short.story.as_json()}")
    _say(f"replay: make simulate SEED={outcome.story.seed}" if by_seed else f"replay: {_command(outcome.story)}")


def _command(told: Story) -> str:
    return f"python -m tests.simulation --story '{told.as_json()}'"


def _replay(told: Story) -> int:
    outcome = play(told, keep=True)
    for event in outcome.log:
        _say(_line(event))
    _say("\nThe story:", *told.told(), sep="\n  ")
    _say("What its runs said:", *outcome.said, sep="\n  ")
    _say(f"It ends {outcome.state}. trace {outcome.trace}")
    for violation in outcome.violations:
        _say(f"BROKEN {violation}")
    return 1 if outcome.violations else 0


def _line(event: Event) -> str:
    told = repr(event.error) if event.error is not None else str(event.result)
    late = " (late)" if event.late else "" if event.done else " (not done)"
    about = " ".join(str(a)[:48] for a in event.args[:2])
    return f"{event.step:5} {event.time:9.1f} {event.process:<14} {event.call} {about[:70]} -> {told[:90]}{late}"


if __name__ == "__main__":
    sys.exit(main())
