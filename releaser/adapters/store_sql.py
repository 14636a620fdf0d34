"""Ledgers in a database, of many releases in one table: what SQLite and PostgreSQL have in common here.

A record is a row (release, seq, line). That no two have the same (release, seq), and that the one before is still what
this store knows, makes `extend` a compare-and-swap, also where a backup was restored meanwhile. The database's own
triggers refuse to change or delete a row; whoever owns it can drop them, which the chain of hashes shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol, Self

from releaser.adapters.store_file import unreadable, unwritable
from releaser.errors import ConfigError

VERSION = 1
"""Of the tables, in the file's header or in a row; a database with a newer one is left alone."""
APPLICATION = 0x72656C73
"""What says that a database is ours: "rels"."""
_HEAD = """
    SELECT count(*), max(seq), (SELECT line FROM ledger WHERE release = ? AND seq = ?) FROM ledger WHERE release = ?"""


class Cursor(Protocol):
    """What the cursors of both databases can do (PEP 249)."""

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> object: ...
    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> object: ...
    def fetchall(self) -> list[Any]: ...
    def close(self) -> None: ...


class LostRaceError(Exception):
    """Another run's rows came first."""


class Database(ABC):
    """The table of ledgers, as far as both databases agree. A context manager."""

    name: str
    _mark: str  # stands for a parameter

    def __init__(self, release: str, reading: bool) -> None:
        self._release = release
        self._reading = reading
        self._missing = False  # whether there are no tables, which are not made for reading
        self._known: tuple[int, bytes | None] | None = None  # how many rows were read or added last, and the last one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...

    def read(self) -> Sequence[bytes]:
        with self._transaction() as cursor:
            statement = "SELECT seq, line FROM ledger WHERE release = ? ORDER BY seq"
            rows = [] if self._missing else self._answer(cursor, statement, self._release)
        for number, (seq, line) in enumerate(rows):
            if seq != number or not isinstance(line, bytes):
                raise broken(f"{self.name}:{number + 1}", f"record {seq}", f"record {number}")
        self._known = len(rows), rows[-1][1] if rows else None
        return [line + b"\n" for _, line in rows]

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        if self._reading:
            raise unwritable(self.name, "opened for reading", "open it for writing")
        rows = [(self._release, after + n, line.removesuffix(b"\n")) for n, line in enumerate(lines)]
        try:
            with self._transaction() as cursor:
                ((count, newest, head),) = self._answer(cursor, _HEAD, self._release, after - 1, self._release)
                if (count, newest) != (after, after - 1 if after else None):
                    return False
                if self._known not in (None, (after, head)):  # a backup was restored, and others went on from there
                    return False
                cursor.executemany("INSERT INTO ledger VALUES (?, ?, ?)".replace("?", self._mark), rows)
        except LostRaceError:
            return False
        self._known = after + len(rows), rows[-1][2] if rows else head
        return True

    def _answer(self, cursor: Cursor, query: str, *parameters: Any) -> list[Any]:
        cursor.execute(query.replace("?", self._mark), parameters)
        return cursor.fetchall()

    def _refused(self, found: str, hint: str) -> ConfigError:
        return unreadable(self.name, found, hint) if self._reading else unwritable(self.name, found, hint)

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        with self._asked() as cursor:
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(Exception):  # where it fails as well, the connection's end undoes it
                    cursor.execute("ROLLBACK")
                raise

    @abstractmethod
    def _asked(self) -> AbstractContextManager[Cursor]:
        """A cursor within a transaction; what the database refuses or suffers is turned into our errors."""


def broken(where: str, found: str, wanted: str) -> ConfigError:
    return ConfigError(
        "ledger-broken",
        "the database of the ledger cannot be trusted",
        object=where,
        found=found,
        wanted=wanted,
        hint="keep it as evidence and give --ledger another one; the next run reads the world and starts a new ledger",
    )


def newer(where: str, found: int) -> ConfigError:
    return ConfigError(
        "ledger-newer",
        "the database of the ledger was made by a newer releaser",
        object=where,
        found=f"version {found} of its tables",
        wanted=f"version {VERSION}",
        hint="upgrade releaser, and leave the ledger where it is",
    )
