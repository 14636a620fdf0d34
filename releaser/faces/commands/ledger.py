"""`releaser ledger`: show or verify the record of a release."""

from __future__ import annotations

import argparse
import json
import re

from releaser.errors import ConfigError, Exit
from releaser.faces import options as shared


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", choices=("show", "verify"), help="print the records, or only check the chain")
    shared.tag(parser)
    shared.forge(parser)
    shared.ledger(parser)
    parser.add_argument(
        "--head",
        metavar="HASH",
        type=_hash,
        help="the hash that an earlier run printed, or its first 16 digits: its record must still be there",
    )
    shared.logs(parser)


def _hash(text: str) -> str:
    """Enough of a hash to tell records apart."""
    if not re.fullmatch("[0-9a-f]{16,64}", text):
        raise argparse.ArgumentTypeError("it is not 16 to 64 hexadecimal digits")
    return text


def run(options: argparse.Namespace) -> int:
    """Check every record's hash and number; a broken chain ends with exit code 2 and the record's line."""
    from releaser.faces.log import reporter, shown
    from releaser.faces.where import repository
    from releaser.faces.wire import Wiring

    try:
        about = repository(options)
    except ConfigError:
        about = ""  # a file that somebody was sent belongs to no repository here
    wiring = Wiring(reporter(options.log_format), about)
    where, records, torn = wiring.records(options.ledger, options.tag)
    if not records:
        raise ConfigError(
            "ledger-missing",
            f"nothing is on record of {options.tag} there",
            object=where,
            found="no record",
            wanted="what a run of `releaser publish` has recorded",
            hint="give --ledger (and --repository) as that run was given it; a run prints where its ledger is",
        )
    if options.head and not any(r["hash"].startswith(options.head) for r in records):
        raise ConfigError(
            "ledger-cut",
            "records are missing at the end of the ledger, or it was written anew",
            object=where,
            found=f"{len(records)} records, none with this hash",
            wanted=options.head,
            hint="find out who changed it; what is out is shown by: releaser status " + options.tag,
        )
    if options.do == "show":
        for record in records:
            at, kind = shown(str(record["at"])), shown(str(record["kind"]))
            print(f"{record['seq']:>4}  {at}  {kind:<8}  {json.dumps(record['body'], sort_keys=True)}")
    else:
        print(f"{len(records)} records, unbroken; head {records[-1]['hash']}")
        if not options.head:
            print("records missing behind it show only against the hash that a run printed: --head HASH")
    if torn:
        print(
            f"behind them, {len(torn)} bytes of a record without its end, as a crash leaves it: the next run drops them"
        )
    return Exit.DONE
