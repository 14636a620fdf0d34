"""The documentation says what the code does: every code, gate, command and link in it is held against the real thing."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from releaser.errors import ReleaserError
from releaser.faces.cli import _parser
from releaser.faces.log import LineReporter
from releaser.faces.wire import Wiring
from releaser.policy.decide import RULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SECONDS = 30.0


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def headings(page: Path) -> list[str]:
    """The texts of all headings below the title."""
    return [text.strip("`") for text in re.findall(r"^##+ (.+?)\s*$", prose(page), re.MULTILINE)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Every fenced block: its language and its text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


# Errors


def raised() -> dict[str, set[int]]:
    """Every error code in the code base with the exit codes it comes with; those of a gate's refusal have none here."""
    found: dict[str, set[int]] = {f"gate-{gate.__name__}": set() for gate in RULES}
    for module in sorted((ROOT / "releaser").rglob("*.py")):
        for code, exit_code in codes(ast.parse(module.read_text(encoding="utf-8")), module.name):
            found.setdefault(code, set()).add(exit_code)
    return found


def error_classes() -> Mapping[str, int]:
    """The exit code of each class of errors, by name."""
    todo, found = [ReleaserError], dict[str, int]()
    while todo:
        kind = todo.pop()
        found[kind.__name__] = int(kind.exit)
        todo += [sub for sub in kind.__subclasses__() if sub.__module__ == ReleaserError.__module__]
    return found


def codes(tree: ast.Module, where: str) -> Iterator[tuple[str, int]]:
    """The codes that *tree* raises: written in place, or handed through a function's parameter.

    A subclass gives its code to ``super().__init__``. Anything else fails the test: it could not be documented.
    """
    classes = error_classes()
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)):
        names = {f"{b.id}.__init__" for b in getattr(function, "bases", ()) if isinstance(b, ast.Name)}
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call) and n.args):
            name = ast.unparse(call.func)
            if name == "super().__init__" and isinstance(function, ast.ClassDef):
                name = next((n.partition(".")[0] for n in names if n.partition(".")[0] in classes), "")
            elif isinstance(function, ast.ClassDef):
                continue
            if name not in classes or (where == "errors.py"):
                continue
            match call.args[0]:
                case ast.Constant(str(code)):
                    yield code, classes[name]
                case ast.Name(parameter) if isinstance(function, ast.FunctionDef):
                    for code in handed_in(tree, function, parameter):
                        yield code, classes[name]
                case other:
                    pytest.fail(f"{where}:{call.lineno}: {ast.unparse(other)} is no code that can be documented")


def handed_in(tree: ast.Module, function: ast.FunctionDef, parameter: str) -> Iterator[str]:
    """What *function* is called with for *parameter* anywhere in *tree*, and the parameter's default."""
    named = [a.arg for a in function.args.args if a.arg != "self"]
    defaults = [d for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if a.arg == parameter]
    values: list[ast.expr | None] = [*defaults]
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        if ast.unparse(call.func).rpartition(".")[2] == function.name:
            values += [k.value for k in call.keywords if k.arg == parameter]
            values += [call.args[named.index(parameter)]] if parameter in named else []
    yield from (v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))


if __name__ == "__main__":
    for code, exits in sorted(raised().items()):
        print(code, sorted(exits))
