"""`releaser status`: what the world shows now, per channel."""

from __future__ import annotations

import argparse

from releaser.errors import Exit
from releaser.faces import options as shared


def configure(parser: argparse.ArgumentParser) -> None:
    shared.tag(parser)
    shared.forge(parser)
    shared.ledger(parser)
    shared.output(parser, "text", "json", "markdown")


def run(options: argparse.Namespace) -> int:
    """Read everything, change nothing; exit 0 when released, 4 while on the way, 3 or 6 when stopped."""
    from releaser.engine.report import Records, report
    from releaser.engine.standing import standing
    from releaser.engine.states import State
    from releaser.engine.view import look
    from releaser.faces import render
    from releaser.faces.log import reporter
    from releaser.faces.where import repository
    from releaser.faces.wire import Wiring

    wiring = Wiring(reporter(options.log_format), repository(options))
    subject = wiring.subject(options.tag, shared.again(options))
    where, records, _ = wiring.records(options.ledger, options.tag)
    with wiring.outside() as outside:
        view = look(outside, subject)
    state, problems = standing(view, records, subject.again)
    shown = report(view, state, problems, Records(where, len(records), subject.ledger))
    if options.format == "json":
        print(render.as_json(shown))
    elif options.format == "markdown":
        print(render.status_markdown(shown))
    else:
        render.status_text(shown, render.console())
    codes = {State.RELEASED: Exit.DONE, State.REJECTED: Exit.REFUSED, State.VOIDED: Exit.REFUSED}
    return codes.get(state, Exit.CONFLICT if state in (State.NEEDS_HUMAN, State.BURNED) else Exit.WAITING)
