"""`releaser publish`: make the world agree with the approved release; safe to repeat."""

from __future__ import annotations

import argparse
import os

from releaser.errors import Exit
from releaser.faces import options as shared


def configure(parser: argparse.ArgumentParser) -> None:
    shared.tag(parser)
    shared.forge(parser)
    shared.ledger(parser)
    parser.add_argument(
        "--poll", type=shared.seconds, default=2.0, metavar="SECONDS", help="between two looks (default: 2)"
    )
    parser.add_argument(
        "--settle",
        type=shared.seconds,
        default=120.0,
        metavar="SECONDS",
        help="for a write of unknown outcome (default: 120)",
    )
    parser.add_argument(
        "--wait",
        type=shared.seconds,
        default=1800.0,
        metavar="SECONDS",
        help="for an index to catch up (default: 1800)",
    )
    shared.output(parser, "text", "json")


def run(options: argparse.Namespace) -> int:
    """Print the plan, converge, print what the world shows then; the exit code is the worst problem's."""
    from releaser.engine.reconcile import publish
    from releaser.engine.report import Records, report
    from releaser.engine.run import Patience
    from releaser.engine.view import look
    from releaser.faces import action, render
    from releaser.faces.log import reporter
    from releaser.faces.where import repository
    from releaser.faces.wire import Wiring

    action.require_safe_job(os.environ)
    wiring = Wiring(reporter(options.log_format), repository(options))
    subject = wiring.subject(options.tag, shared.again(options))
    patience = Patience(poll=options.poll, refused=3 * options.poll, settle=options.settle, visible=options.wait)
    with wiring.ledger(options.ledger, options.tag) as ledger, wiring.outside() as outside:
        before = look(outside, subject)
        if options.format == "text":
            render.plan_text(before.plan, render.console())
        result = publish(outside, ledger, subject, patience, before)
        records = Records(ledger.where, ledger.length, subject.ledger)
        done = report(result.view, result.state, result.problems, records)
    if options.format == "json":
        print(render.as_json(done))
    else:
        print()
        render.status_text(done, render.console())
    if action.is_job(os.environ):
        action.summary(os.environ, render.status_markdown(done))
        action.outputs(os.environ, {"state": done.state, "digest": done.manifest, "ledger": ledger.head})
    if result.problems:
        raise result.problems[0]
    return Exit.DONE if done.state == "released" else Exit.WAITING
