"""The command line: parse, dispatch, and turn errors into text and exit codes.

Only `argparse` is imported here; a command's module is imported when that command runs.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from releaser.errors import ConfigError, Exit, ExternalError, ReleaserError

COMMANDS = {
    "plan": "what would happen, exactly; read-only",
    "assemble": "artifacts to release.json and SHA256SUMS",
    "draft": "the draft release, complete",
    "approve": "approve a draft by its digest",
    "reject": "reject a draft by its digest, for good",
    "publish": "make the world agree with the approved release; safe to repeat",
    "status": "what the world shows now, per channel",
    "freeze": "hold a release, or every release, back",
    "thaw": "let go what was frozen",
    "ledger": "show or verify the record of a release",
    "rehearse": "a whole release against servers on this machine",
    "version": "one version in every ecosystem's spelling",
    "schema": "the JSON Schemas of policy and documents",
}
EXITS = """\
exit codes:
  0  done
  1  a bug of releaser
  2  the command line, the policy file or the repository cannot be used
  3  refused by a rule; nothing was changed
  4  waiting: for an approval, an index or a person
  5  something outside failed; running the same command again is safe
  6  conflict: other bytes are out there under our name
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code is in `releaser.errors.Exit`, or 128 and the signal that ended it."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by whoever started us
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: no terminal is too old for a check mark
    options = argparse.Namespace(log_format="text")
    try:
        _, unknown = _parser(given).parse_known_args(given, options)
        if unknown:
            options.refuse(f"unrecognized arguments: {' '.join(unknown)}")
        code = int(import_module(f"releaser.faces.commands.{options.module}").run(options))
        print(end="", flush=True)
    except ReleaserError as error:
        _report(error, options.log_format)
        return int(error.exit)
    except BrokenPipeError:  # whoever read our output went away, and nothing is known to be done
        _silence()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _silence()
        _report(_full(error), options.log_format)
        return Exit.OUTSIDE
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    return code


def _silence() -> None:
    """Let what is still in the buffer of stdout go nowhere, so that the end of the process does not trip over it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _full(error: OSError) -> ExternalError:
    return ExternalError(
        "disk-full",
        "there is no room left to write to",
        object=str(error.filename or "the output"),
        found=error.strerror or str(error),
        wanted="room",
        hint="make room, then run the same command again",
    )


def _report(error: ReleaserError, log_format: str) -> None:
    """Say on stderr what went wrong, once for people (and the job's page) or once for programs."""
    from releaser.faces import action, render
    from releaser.faces.log import JsonReporter

    if log_format == "json":
        JsonReporter().fail(error)
        return
    print(render.error_text(error), file=sys.stderr)
    if action.is_job(os.environ):
        print(action.annotation(error), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Words its errors as every other refusal is worded."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            "usage",
            "the command line cannot be used",
            object=self.prog,
            found=message,
            wanted=" ".join(self.format_usage().split()).removeprefix("usage: "),
            hint=f"{self.prog} --help",
        )


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """The whole parser, with the arguments of only the command that was *given*, so that `--help` stays quick."""
    parser = _Parser(
        prog="releaser",
        description="Release orchestration with approval gates: one version, every registry, the approved bytes.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the installed version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        module = {"reject": "approve", "thaw": "freeze"}.get(name, name)
        command.set_defaults(command=name, module=module, refuse=command.error)
        if name in given:
            import_module(f"releaser.faces.commands.{module}").configure(command)
    return parser


class _Version(argparse.Action):
    """Looks the installed version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"releaser {version('releaser-gates')}")
        except PackageNotFoundError:
            print("releaser from a source tree")
        parser.exit()
