"""``python -m tests.kills``: releases whose processes are killed, or race one another; and the replay of one."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.kills.campaign import Order, Report, campaign, play
from tests.kills.forker import Forker
from tests.options import positive, writable

LEDGERS = ("file", "sqlite", "forge")
_say = Console(markup=False, highlight=False, soft_wrap=True).print


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--kills", type=positive, default=0, metavar="N", help="kill until N processes were killed")
    what.add_argument("--races", type=positive, default=0, metavar="N", help="release N times by racing publish jobs")
    what.add_argument("--replay", metavar="SEED/N", help="play one release again")
    parser.add_argument("--racers", type=int, choices=(2, 3, 4), metavar="N", help="jobs in a race (default: 2)")
    parser.add_argument("--ledger", metavar="KIND,…", help="file, sqlite, forge (default: all; races: no file)")
    parser.add_argument("--jobs", type=positive, default=2, metavar="J", help="releases at a time (default: 2)")
    parser.add_argument("--seed", type=int, help="draw the same again (default: another one each time)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if options.kills and options.racers:
        parser.error("--racers is about --races; with --kills, one job publishes")
    racers = options.racers or (2 if options.races else 1)
    ledgers = options.ledger.split(",") if options.ledger else LEDGERS[racers > 1 :]
    if set(ledgers) - set(LEDGERS):
        parser.error(f"--ledger is one or more of {', '.join(LEDGERS)}")
    if options.replay:
        return _replay(Order(options.replay, ledgers[0], racers))
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    _say(f"seed {seed}")
    report = _campaign(Report(seed, options.jobs), options.kills, options.races, racers, ledgers)
    for order, violations in report.failures:
        _say(f"\n{order.replay}", *violations, sep="\n  ")
    _say(report.text())
    if options.json:
        options.json.write_text(report.as_json())
    if report.races < options.races or report.killed < options.kills:
        _say(f"stopped before there were {options.kills or options.races} of them")
        return 1
    return 1 if report.failures else 0


def _campaign(report: Report, kills: int, races: int, racers: int, ledgers: Sequence[str]) -> Report:
    def order(number: int) -> Order:
        return Order(f"{report.seed}/{number}", ledgers[number % len(ledgers)], racers)

    def enough(report: Report) -> bool:
        return report.races >= races if races else report.killed >= kills

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=races or kills)

        def tell() -> None:
            done = report.races if races else report.killed
            speed = f"{done / report.seconds:.1f}/s, {len(report.failures)} broken"
            progress.update(bar, completed=done, description=speed)

        with suppress(KeyboardInterrupt):  # what was played until then counts
            campaign(order, enough, report, tell)
    return report


def _replay(order: Order) -> int:
    with Forker() as forker:
        outcome = play(order, forker)
    _say(outcome)
    for violation in outcome.violations:
        _say(f"BROKEN {violation}")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
