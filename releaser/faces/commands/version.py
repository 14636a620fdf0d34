"""`releaser version`: one version in every ecosystem's spelling."""

from __future__ import annotations

import argparse
import json

from releaser.errors import Exit, ReleaserError


def configure(parser: argparse.ArgumentParser) -> None:
    from releaser.model.spelling import Ecosystem

    parser.add_argument("version", metavar="VERSION", help="a SemVer version, such as 0.17.0-alpha3")
    parser.add_argument("--to", choices=[e.value for e in Ecosystem], help="print only this spelling")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(options: argparse.Namespace) -> int:
    """Print the spellings; a spelling that would lose identity or order is refused with the reason."""
    from releaser.model.spelling import Ecosystem, spell
    from releaser.model.version import Version

    version = Version.parse(options.version)
    if options.to:
        print(spell(version, Ecosystem(options.to)))
        return Exit.DONE
    spelled: dict[str, str | None] = {}
    reasons: dict[str, str] = {}
    for ecosystem in Ecosystem:
        try:
            spelled[ecosystem] = spell(version, ecosystem)
        except ReleaserError as error:
            spelled[ecosystem] = None
            reasons[ecosystem] = f"{error.message}; {error.hint}" if error.hint else error.message
    if options.format == "json":
        document = {"schema": "releaser.version/v1", "version": str(version), "spellings": spelled, "refused": reasons}
        print(json.dumps(document, indent=2, sort_keys=True))
    else:
        for name, text in spelled.items():
            print(f"{name:<12}{text if text is not None else 'refused: ' + reasons[name]}")
    return Exit.DONE
