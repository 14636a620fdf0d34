"""`releaser ledger`: show or verify the record of a release."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from releaser.errors import ConfigError, Exit


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", choices=("show", "verify"), help="print the records, or only check the chain")
    parser.add_argument("file", metavar="FILE", help="the ledger that `releaser publish` wrote")


def run(options: argparse.Namespace) -> int:
    """Check every record's hash and number; a broken chain ends with exit code 2 and the record's line."""
    from releaser.engine.ledger import verify
    from releaser.faces.log import shown

    try:
        lines = Path(options.file).read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(
            "ledger-unreadable",
            "the ledger cannot be read",
            object=options.file,
            found=error.strerror or str(error),
            wanted="a ledger file",
            hint="name the file that `releaser publish --ledger FILE` wrote",
        ) from error
    records = list(verify(lines, options.file))
    if options.do == "show":
        for record in records:
            at, kind = shown(str(record["at"])), shown(str(record["kind"]))
            print(f"{record['seq']:>4}  {at}  {kind:<8}  {json.dumps(record['body'], sort_keys=True)}")
    else:
        print(f"{len(records)} records, unbroken; head {records[-1]['hash'] if records else 'none'}")
    return Exit.DONE
