"""Writes the reference pages that follow from the code: ``policy.md`` from the model, ``cli.md`` from the parser.

``python docs/generate.py`` writes them; with ``--check`` it writes nothing and ends with 1 when one is not current.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from releaser.faces.cli import COMMANDS, _parser
from releaser.faces.commands.schema import schema

HERE = Path(__file__).parent
NOTICE = "<!-- Written by docs/generate.py. Edit the code, then run it again. -->\n"
Schema = Mapping[str, Any]

POLICY = """\
# Policy file

`.github/releaser.toml` says what a release of this repository is: which tags, from which branches, with which files,
to which registries, approved by whom. It is TOML. Unknown keys are errors, and every default is stated below.

`releaser` reads it from the **default branch**, at the commit that is there now. The tagged commit has no say. Its
digest is part of every approval: after any edit of the file, comments included, a waiting draft has to be assembled
and approved again.

A project with one package needs four lines:

```toml
artifacts.dist.files = ["example-*.whl", "example-*.tar.gz"]
publish.example.registry = "pypi"
publish.example.files = "dist"
approval.approvers = "team:example/maintainers"
```

A file that uses most of the keys is explained in [Cog's policy](howto/cog.md). To try a file before it is on the
default branch, and to see it with all defaults filled in:

```sh
releaser plan v1.4.0 --at HEAD --policy .github/releaser.toml --offline
releaser plan v1.4.0 --show-policy
```

The same reference for editors and programs, as JSON Schema: `releaser schema policy`.

How versions and channels belong together is fixed: `1.2.3` is `stable`, `1.2.3-dev…` is `dev`, and every other
pre-release is `prerelease`. Patterns are shell patterns. In `branches`, `*` stops at a `/` and `**` does not.
Wherever a list of strings is wanted, one string will do. `NAME` is a name of your own: lower-case letters, digits and
`-`.
"""

CLI = """\
# Command line

Results go to stdout, everything else to stderr. What the exit codes mean, and what to do about each, is in
[Recover](howto/recover.md#exit-codes).

| variable | read for |
|---|---|
| `GITHUB_TOKEN`, `GH_TOKEN` | the token for the repository of the release; there is no option for it |
| `RELEASER_TAP_TOKEN` | the token for taps and buckets, where the first one may not write there |
| `CHOCOLATEY_API_KEY` | the key for Chocolatey feeds |
| `GITHUB_REPOSITORY` | the repository, unless `--repository` names it |
| `XDG_STATE_HOME` | where ledgers are kept unless `--ledger` says so; `~/.local/state` by default |
| `RELEASER_WORLD` | a rehearsal world: every service is the one on loopback that this file names |
"""


def policy() -> str:
    """The policy reference as Markdown."""
    whole = schema("policy")
    return NOTICE + "\n".join((POLICY, *_tables(whole), ""))


def _tables(whole: Schema) -> Iterator[str]:
    parts: Schema = whole["$defs"]
    keys: Schema = whole["properties"]
    yield "## At the top\n"
    yield from _keys({"properties": {k: v for k, v in keys.items() if "type" in v and v["type"] != "object"}})
    for table, key in keys.items():
        named = "additionalProperties" in key
        reference = key["additionalProperties"]["$ref"] if named else key.get("$ref")
        if reference is None:
            continue
        part = parts[reference.rpartition("/")[2]]
        yield f"\n## `[{table}{'.NAME' if named else ''}]`\n"
        names = key.get("propertyNames", {}).get("enum")
        yield " ".join(filter(None, (part["description"], key.get("description"), _names(names)))) + "\n"
        yield from _keys(part)
        for rule in part.get("allOf", ()):
            kind = rule["if"]["properties"]["kind"]["const"]
            yield f'\n### `kind = "{kind}"`\n'
            yield from _keys(rule["then"])


def _names(names: list[str] | None) -> str:
    return "`NAME` is one of " + ", ".join(f"`{n}`" for n in names) + "." if names else ""


def _keys(part: Schema) -> Iterator[str]:
    """One item for each key: name, type, default, meaning."""
    for name, key in part["properties"].items():
        if name in part.get("required", ()):
            default = "required"
        elif key.get("default") is None:
            default = "not set by default"
        else:
            default = f"default `{_toml(key['default'])}`"
        yield f"- **`{name}`** ({_type(key)}; {default})  \n  {key['description']}"


def _type(key: Schema) -> str:
    """A key's type in TOML's words."""
    if "enum" in key:
        return " or ".join(f'`"{value}"`' for value in key["enum"])
    choices = [_type(choice) for choice in key.get("anyOf", ()) if choice.get("type") != "null"]
    match key:
        case {"anyOf": _}:
            return " or ".join(choices)
        case {"type": "array", "items": {"enum": _} as items}:
            return f"list of {_type(items)}"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}s"
        case {"type": "object", "propertyNames": names, "additionalProperties": values}:
            return f"table of {_type(values)}s, keys {_type(names)}"
        case {"type": "integer", "minimum": least}:
            return f"integer, at least {least}"
        case {"type": str(name)}:
            return name
        case _:
            raise LookupError(f"no words for {key}")


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def cli() -> str:
    """The reference of the command line as Markdown."""
    root = _parser(list(COMMANDS))
    commands = next(a for a in root._actions if isinstance(a, argparse._SubParsersAction)).choices
    return NOTICE + "\n".join((CLI, *(line for name in COMMANDS for line in _command(name, commands[name]))))


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    arguments = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    options = [a for a in arguments if a.option_strings]
    given = [_shown(a) if a.required else f"[{_shown(a)}]" for a in arguments if a.required or not a.option_strings]
    yield f"## `releaser {name}`\n"
    yield f"{parser.description}\n"
    yield "```text"
    yield " ".join(["releaser", name, *given, *(["[OPTION…]"] if any(not a.required for a in options) else [])])
    yield "```\n"
    for argument in arguments:
        help_ = f": {argument.help}" if argument.help else ""
        yield f"- `{_shown(argument)}`{help_}{'; required' if argument.required and argument.option_strings else ''}"
    yield ""


def _shown(argument: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, argument.choices)) + "}" if argument.choices else ""
    metavar = argument.metavar if isinstance(argument.metavar, str) else choices or argument.dest.upper()
    if not argument.option_strings:
        return metavar
    return argument.option_strings[-1] + ("" if argument.nargs == 0 else f" {metavar}")


PAGES = {"policy.md": policy, "cli.md": cli}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the pages are current")
    check = parser.parse_args().check
    stale = []
    for name, page in PAGES.items():
        text, file = page(), HERE / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                file.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stderr.write(f"docs/{name} {'is not current: run python docs/generate.py' if check else 'written'}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
