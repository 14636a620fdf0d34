"""`releaser approve` and `releaser reject`: a decision about exactly one digest."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from releaser.errors import ConfigError, Exit
from releaser.faces import options as shared


def configure(parser: argparse.ArgumentParser) -> None:
    shared.tag(parser)
    shared.forge(parser)
    parser.add_argument(
        "--digest", metavar="sha256:…", required=True, help="the manifest you looked at; `releaser status` shows it"
    )
    parser.add_argument("--note", metavar="TEXT", default="", help="why, for the record")
    shared.logs(parser)


def run(options: argparse.Namespace) -> int:
    """Record the decision on the draft, unless it would not count; then say who is still missing."""
    from releaser.engine.candidate import ballot, candidate
    from releaser.engine.states import NEXT, State
    from releaser.engine.vote import asset_name, cast, check, record_for
    from releaser.faces.judge import digest_option
    from releaser.faces.log import reporter
    from releaser.faces.render import next_text
    from releaser.faces.where import repository
    from releaser.faces.wire import Wiring
    from releaser.model.approval import Decision
    from releaser.policy.approval import approval_row

    digest = digest_option(options.digest)
    decision = Decision(options.command)
    if len(options.note) > 2000:
        raise ConfigError(
            "note-too-long",
            "the note is too long",
            object="--note",
            found=f"{len(options.note)} characters",
            wanted="at most 2000",
            hint="shorten it, or link to the long text",
        )
    wiring = Wiring(reporter(options.log_format), repository(options))
    with wiring.outside() as outside:
        seen = candidate(outside, options.tag, wiring.read_policy, wiring.known)
        person = outside.forge.whoami()
        record = record_for(seen, decision, digest, options.note)
        check(outside, seen, record, person)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, asset_name(record, person))
            file.write_bytes(record.canonical())
            new = cast(outside, seen, record, person, file)
        after = candidate(outside, options.tag, wiring.read_policy, wiring.known)
        row = approval_row(after.policy.approval, ballot(outside, after, None, begun=False), after.manifest)
    verb = {"approve": "approved", "reject": "rejected"}[decision]
    print(f"{person.login} {verb} {options.tag} {digest}" + ("" if new else " (already recorded)"))
    print(row.reason)
    if row.status == "pass":
        step = NEXT[State.APPROVED]
        print(*next_text(step.command.format(tag=options.tag, ledger=""), step.remark), sep="\n")
    if decision is Decision.REJECT and not seen.release.draft:
        print("the release is public already: what is out stays out, nothing more is published")
    return Exit.DONE
