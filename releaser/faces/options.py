"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import shlex


def tag(parser: argparse.ArgumentParser, *, optional: str = "") -> None:
    """The tag; *optional* says what the command is about without one."""
    default = f" (default: {optional})" if optional else ""
    parser.add_argument(
        "tag",
        metavar="TAG",
        type=_printable if optional else _some,
        nargs="?" if optional else None,
        help=f"the release tag, such as v1.4.0-rc.1{default}",
    )


def _some(text: str) -> str:
    """An unset variable of a script is no tag."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _printable(text: str) -> str:
    """Nor is what cannot be shown; commands that judge the tag say that better."""
    if not text.isprintable():  # a byte that is no UTF-8 is a lone half of a character here
        raise argparse.ArgumentTypeError(f"{text!a} is no name of a tag")
    return _some(text)


def output(parser: argparse.ArgumentParser, *formats: str) -> None:
    parser.add_argument("--format", choices=formats, default="text", help="what stdout gets (default: text)")
    logs(parser)


def logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="what stderr gets")


def forge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repository", metavar="OWNER/NAME", help="the repository on the forge (default: from the job or from origin)"
    )


def ledger(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ledger",
        metavar="WHERE",
        help="where the record is kept: FILE, sqlite:FILE, postgresql:ADDRESS, or forge for a ref of the repository "
        "(default: forge in a job, else a file below XDG_STATE_HOME)",
    )


def again(options: argparse.Namespace) -> str:
    """The option that names the ledger, as it was given, for the next command; empty where it was not."""
    return f" --ledger {shlex.quote(options.ledger)}" if options.ledger else ""


def checkout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", metavar="DIR", default=".", help="the repository on this machine (default: .)")
    forge(parser)


def trial(parser: argparse.ArgumentParser) -> None:
    """What only a dry run may vary: a release is judged by the protected policy, at its tag."""
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="judge by this file instead of .github/releaser.toml on the default branch",
    )
    parser.add_argument(
        "--at", metavar="REV", help="judge a tag that does not exist yet, as if it stood at this commit"
    )


def artifacts(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--artifacts", metavar="DIR", required=required, help="the folder with everything the build made"
    )


def seconds(text: str) -> float:
    """A number of seconds from 0 to a day."""
    value = float(text)
    if not 0 <= value <= 86400:
        raise ValueError(text)
    return value
