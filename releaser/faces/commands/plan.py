"""`releaser plan`: what would happen, exactly; read-only."""

from __future__ import annotations

import argparse
import os

from releaser.errors import Exit
from releaser.faces import options as shared


def configure(parser: argparse.ArgumentParser) -> None:
    shared.tag(parser)
    shared.checkout(parser)
    shared.trial(parser)
    shared.artifacts(parser, required=False)
    parser.add_argument("--offline", action="store_true", help="ask nothing of the network")
    parser.add_argument("--show-policy", action="store_true", help="print the policy in force, defaults included")
    parser.add_argument("--verbose", action="store_true", help="every row of every gate, in text too")
    shared.output(parser, "text", "json", "markdown")


def run(options: argparse.Namespace) -> int:
    """Settle all gates, print the plan, and say by the exit code whether it could be carried out now."""
    from releaser.faces import action, render
    from releaser.faces.judge import Judge

    with Judge(options) as judge:
        if options.show_policy:
            print(judge.policy.model_dump_json(by_alias=True, indent=2))
            return Exit.DONE
        plan = judge.judge(options.artifacts, online=not options.offline).plan
    if options.format == "json":
        print(render.as_json(plan))
    elif options.format == "markdown":
        print(render.plan_markdown(plan))
    else:
        render.plan_text(plan, render.console(), every=options.verbose)
    if action.is_job(os.environ):
        action.summary(os.environ, render.plan_markdown(plan))
        action.outputs(
            os.environ,
            {
                "verdict": plan.verdict,
                "channel": plan.channel or "",
                "version": plan.version.semver if plan.version else "",
                "pep440": (plan.version.pep440 if plan.version else None) or "",
            },
        )
    return exit_code(plan.verdict, [r.name for r in plan.gates if r.status == "fail"])


def exit_code(verdict: str, failed: list[str]) -> int:
    """0 ready, 3 refused, 4 waiting; 6 when all that stands in the way is other bytes at a registry."""
    if verdict == "ready":
        return Exit.DONE
    if verdict == "waiting":
        return Exit.WAITING
    return Exit.CONFLICT if set(failed) == {"world"} else Exit.REFUSED
