"""The layers hold: decisions do no I/O, and imports go downwards only."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = sorted(path for layer in ("model", "policy", "engine") for path in (ROOT / "releaser" / layer).rglob("*.py"))
# fmt: off
OUTSIDE = {
    "asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "io", "logging", "multiprocessing", "os", "queue",
    "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "tempfile", "threading", "time", "urllib", "uuid",
    "githubkit", "hishel", "httpx", "jwt", "requests", "rich", "sigstore", "structlog", "twine",
}
# fmt: on
"""Modules that reach the machine, its clock or its luck, and the packages that do so for us."""
ABOVE = {
    "model": {"policy", "engine", "adapters", "inspect", "rehearsal", "faces"},
    "policy": {"engine", "adapters", "inspect", "rehearsal", "faces"},
    "engine": {"adapters", "inspect", "rehearsal", "faces"},
}


def imported(source: str) -> set[str]:
    """Every module that *source* imports anywhere, functions included, by full name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole way"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def called(source: str) -> set[str]:
    """The dotted names that *source* calls: ``datetime.now``, ``open``."""
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}


def test_there_is_something_to_look_at() -> None:
    assert {path.parent.name for path in PURE} == {"model", "policy", "engine"}
    assert len(PURE) > 25
    assert {"http", "os", "socket"} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_decisions_do_no_io(path: Path) -> None:
    source = path.read_text()
    assert {name for name in imported(source) if name.split(".")[0] in OUTSIDE} == set()
    clocks = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "open", "input", "print", "__import__"}
    assert called(source) & clocks == set()


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_imports_go_downwards(path: Path) -> None:
    layers = {name.split(".")[1] for name in imported(path.read_text()) if name.startswith("releaser.")}
    assert layers & ABOVE[path.parent.name] == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os.path", "os.path"),
        ("from os import path", "os.path"),
        ("def f():\n    import socket", "socket"),
        ("if TYPE_CHECKING:\n    from httpx import Client", "httpx.Client"),
    ],
)
def test_no_import_hides(source: str, found: str) -> None:
    assert imported(source) == {found}


def test_the_contracts_of_the_project_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("importlinter")
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    monkeypatch.chdir(ROOT)
    status = lint_imports(no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out
