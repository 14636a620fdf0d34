"""`releaser freeze` and `releaser thaw`: hold releases back, and let them go."""

from __future__ import annotations

import argparse
from contextlib import closing

from releaser.errors import Exit
from releaser.faces import options as shared

_LONGEST = 2000  # characters


def configure(parser: argparse.ArgumentParser) -> None:
    shared.tag(parser, optional="every release")
    if parser.get_default("command") == "freeze":
        parser.add_argument("--reason", metavar="TEXT", type=_reason, required=True, help="why, for everybody to read")
    shared.forge(parser)
    shared.logs(parser)


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    if len(text) > _LONGEST:
        raise argparse.ArgumentTypeError(f"it has {len(text)} characters, and may have {_LONGEST}")
    return text.strip()


def run(options: argparse.Namespace) -> int:
    """Do it and say what holds now; doing it twice changes nothing."""
    from releaser.faces.log import reporter, shown
    from releaser.faces.where import repository
    from releaser.faces.wire import Wiring
    from releaser.policy.freeze import held_back

    what = f"{shown(options.tag)} is" if options.tag else "every release is"
    with closing(Wiring(reporter(options.log_format), repository(options))) as wiring:
        forge = wiring.forge
        if options.command == "freeze":
            frozen = forge.freeze(options.tag, options.reason)
            print(f"{what} {shown(held_back(frozen))}")
            if frozen.reason != options.reason:
                print("it was frozen before, and stays so for that reason")
            return Exit.DONE
        thawed = forge.thaw(options.tag)
        print(f"{what} {'no longer' if thawed else 'not'} held back{'' if thawed else ', so nothing was changed'}")
        if options.tag and (frozen_too := forge.freeze_of(options.tag)):
            print(f"but every release is {shown(held_back(frozen_too))}; next: releaser thaw")
    return Exit.DONE
