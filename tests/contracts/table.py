"""The table in docs/contracts.md: who was held to which case, and where a real server differs.

A suite is a module ``tests/contracts/test_*.py`` with `TITLE`; a case is a test function, its docstring's first line
the row; a column is one server, a parameter made by `columns`. What a server is known to do otherwise is said inside
the case by `documented`, so that a difference is asserted as strictly as the rule.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import pytest

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Column:
    """One server. ``needs`` are the files below ``.servers`` that it is run from, ``clients`` the commands."""

    key: str
    title: str
    needs: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()


REHEARSAL = Column("rehearsal", "rehearsal world")


def columns(*servers: Column) -> list[object]:
    """Parameters for a fixture that runs a case once a server."""
    return [
        pytest.param(
            server, id=server.key, marks=[pytest.mark.servers(*server.needs), pytest.mark.clients(*server.clients)]
        )
        for server in servers
    ]


@dataclass(frozen=True, slots=True)
class Instead(Generic[V_co]):
    """What one server does instead of what is documented, and why our adapter is right all the same."""

    value: V_co
    why: str


@dataclass
class Documented:
    """Says what *column* must do in one case, and notes each way in which that differs from the documented one."""

    column: str
    differences: list[str] = field(default_factory=list)

    def __call__(self, value: V, **instead: Instead[V]) -> V:
        """*value*, or what is known of this column under its key."""
        other = instead.get(self.column)
        if other is None or other.value == value:
            return value
        note = f"{shown(other.value)} instead of {shown(value)}: {other.why}"
        if note not in self.differences:
            self.differences.append(note)
        return other.value


def shown(value: object) -> str:
    """*value* as code within one line of Markdown."""
    text = " or ".join(sorted(map(str, value))) if isinstance(value, frozenset | set) else str(value)
    line = " ".join(text.split()).replace("`", "'")
    return f"`{line or 'nothing'}`"


@dataclass(frozen=True, slots=True)
class Cell:
    """How one case went at one server."""

    suite: str
    row: str
    column: str
    passed: bool
    differences: tuple[str, ...] = ()

    def joined(self, other: Cell | None) -> Cell:
        """Both runs as one."""
        if other is None:
            return self
        both = dict.fromkeys((*other.differences, *self.differences))
        return replace(self, passed=self.passed and other.passed, differences=tuple(both))


def render(cells: Iterable[Cell]) -> str:
    """The tables as Markdown, one a suite, in the order given; raises ValueError for a cell that is missing or red.

    Several runs of one case at one server are one cell.
    """
    suites: dict[str, dict[str, dict[str, Cell]]] = {}
    for cell in cells:
        row = suites.setdefault(cell.suite, {}).setdefault(cell.row, {})
        row[cell.column] = cell.joined(row.get(cell.column))
    return "\n".join(_suite(title, rows) for title, rows in suites.items())


def _suite(title: str, rows: Mapping[str, Mapping[str, Cell]]) -> str:
    names = list(dict.fromkeys(column for row in rows.values() for column in row))
    notes: list[str] = []
    lines = [f"## {title}", "", f"| case | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for row, cells in rows.items():
        empty = [name for name in names if name not in cells or not cells[name].passed]
        if empty:
            raise ValueError(f"{title}: {row}: no pass at {', '.join(empty)}")
        lines.append(f"| {row} | {' | '.join(_cell(cells[name], notes) for name in names)} |")
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), *([""] if notes else [])]
    return "\n".join(lines)


def _cell(cell: Cell, notes: list[str]) -> str:
    for note in cell.differences:
        if note not in notes:
            notes.append(note)
    numbers = ", ".join(str(notes.index(note) + 1) for note in cell.differences)
    return f"differs ({numbers})" if numbers else "pass"


def cases() -> Iterator[tuple[str, str]]:
    """Suite and row of every case, read off the sources."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        body = ast.parse(file.read_text()).body
        titles = [n.value for n in body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "TITLE"]
        for function in (n for n in body if titles and isinstance(n, ast.FunctionDef) and n.name.startswith("test_")):
            row = (ast.get_docstring(function) or "").partition("\n")[0].rstrip(".")
            yield ast.literal_eval(titles[0]), row


def rows_of(document: str) -> Sequence[tuple[str, str]]:
    """The suite and the row of every line of a rendered table."""
    found: list[tuple[str, str]] = []
    suite = ""
    for line in document.splitlines():
        if line.startswith("## "):
            suite = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| case |"):
            found.append((suite, line.split(" | ")[0].removeprefix("| ")))
    return found
