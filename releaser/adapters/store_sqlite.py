"""Ledgers in a file of SQLite, checked as a file that may have been tampered with."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from releaser.adapters.redact import plain
from releaser.adapters.store_file import (
    PERMISSION,
    PLACE,
    ROOM,
    held,
    hint_of,
    made,
    require_regular,
    require_same,
    settle,
    unwritable,
)
from releaser.adapters.store_sql import APPLICATION, VERSION, Cursor, Database, LostRaceError, broken, newer

_SCHEMA = (
    "CREATE TABLE ledger (release TEXT NOT NULL, seq INTEGER NOT NULL, line BLOB NOT NULL, PRIMARY KEY (release, seq))"
    " STRICT, WITHOUT ROWID",
    "CREATE TRIGGER ledger_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END",
    # A REPLACE deletes without asking the trigger for that.
    "CREATE TRIGGER ledger_insert BEFORE INSERT ON ledger"
    " WHEN NEW.seq <> (SELECT count(*) FROM ledger WHERE release = NEW.release)"
    " BEGIN SELECT RAISE(ABORT, 'a ledger has no gap'); END",
    "CREATE TRIGGER ledger_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END",
)
_HINTS = {sqlite3.SQLITE_FULL: ROOM, sqlite3.SQLITE_IOERR: PLACE}
_Seen = tuple[int, int, int]  # number, size and time of a file: what changes when somebody writes


class SqliteStore(Database):
    """The ledger of *release* in the SQLite database *path*; several runs may have it open. A context manager.

    Opening checks the whole file. Raises ConfigError ``ledger-broken`` for one that is damaged or another program's,
    ``ledger-newer`` for one of a newer releaser, ``ledger-unwritable``, and WaitingError ``ledger-held`` where
    another process keeps it locked for *patience* seconds. Rows are on the disk when `extend` returns (WAL with
    ``synchronous=FULL``); once some could not be brought there, no others are taken.

    *reading* needs no right to write: nothing is made or changed, a missing file is a ledger without lines, and
    ConfigError ``ledger-unreadable`` stands for ``ledger-unwritable``. ``ledger-held`` then says that a run began
    meanwhile.
    """

    _mark = "?"

    def __init__(self, path: Path, release: str, patience: float = 10.0, *, reading: bool = False) -> None:
        super().__init__(release, reading)
        self.name = f"sqlite:{path}#{release}"
        self._path = path
        self._failed: sqlite3.Error | None = None
        self._settled: list[_Seen | None] | None = None
        with self._understood():
            if not reading and not os.path.lexists(path):
                _create(path)
            uri = self._uri()
            self._connection = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)
        try:
            if not self._missing:
                with self._understood():
                    self._check()
            with self._transaction():  # shows whether it can be written at all
                pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def _uri(self) -> str:
        """What to open. A file that no run has open is taken for one that stays as it is.

        SQLite itself would make the files of a write-ahead log beside it, or fail where it may not
        (https://sqlite.org/wal.html, section 5).
        """
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        if self._reading:
            file, log = state = _state(self._path)
            uri = uri.replace("mode=rw", "mode=ro")
            if file is None:
                self._missing, self._settled = True, state
                return "file::memory:"
            if log is None or log[1] == 0:
                self._settled = state
                uri += "&immutable=1"
        self._file = self._path.lstat()
        require_regular(self._file)
        return uri

    def _check(self) -> None:
        """Raise ConfigError unless this is a whole database of ours; nothing is changed in one that is not.

        What SQLite advises for files that may have been tampered with: section 2 of its "Defense Against The Dark
        Arts".
        """
        self._connection.text_factory = bytes
        self._pragma("trusted_schema = OFF")
        self._pragma("cell_size_check = ON")
        if self._pragma("application_id") != [(APPLICATION,)]:
            raise broken(self.name, "a database of another program", "a ledger")
        ((version,),) = self._pragma("user_version")
        if version > VERSION:
            raise newer(self.name, version)
        schema = self._connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
        if schema != [(statement.encode(),) for statement in _SCHEMA]:
            raise broken(self.name, "other tables or triggers", f"those of version {VERSION}")
        if (problems := self._pragma("integrity_check(1)")) != [(b"ok",)]:
            raise broken(self.name, plain(problems[0][0].decode(errors="replace")), "a whole database")
        if self._reading:
            return
        self._pragma("synchronous = FULL")
        if self._pragma("journal_mode = WAL") != [(b"wal",)]:
            raise unwritable(self.name, "no write-ahead log", PLACE)

    def _pragma(self, what: str) -> list[Any]:
        return self._connection.execute(f"PRAGMA {what}").fetchall()

    @contextmanager
    def _asked(self) -> Iterator[Cursor]:
        with self._understood(), closing(self._connection.cursor()) as cursor:
            if self._failed is not None:
                raise self._failed
            if not self._missing:
                require_same(self._file, self._path)
            cursor.execute("BEGIN" if self._reading else "BEGIN IMMEDIATE")
            yield cursor

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._meaning(error) from error
        except UnicodeDecodeError as error:  # of an error that quotes a damaged name
            raise broken(self.name, "a name that is no text", "a whole database") from error
        except OSError as error:
            raise self._refused(error.strerror or str(error), hint_of(error)) from error
        finally:
            if self._settled is not None and _state(self._path) != self._settled:
                raise held(self.name)

    def _meaning(self, error: sqlite3.Error) -> Exception:
        """*error* as one of ours, by its primary code: https://sqlite.org/rescode.html."""
        found = plain(str(error))
        match error.sqlite_errorcode & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
                return held(self.name)
            case sqlite3.SQLITE_CONSTRAINT:
                return LostRaceError()
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
                return broken(self.name, found, "a whole database")
            case code:
                self._failed = error
                return self._refused(found, _HINTS.get(code, PERMISSION))


def _state(path: Path) -> list[_Seen | None]:
    """The database at *path*, and the write-ahead log that a run has beside it; None where there is none."""
    seen: list[_Seen | None] = []
    for file in (path, Path(f"{path}-wal")):
        try:
            status = file.lstat()
        except FileNotFoundError:
            seen.append(None)
        else:
            seen.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return seen


def _create(path: Path) -> None:
    """Put an empty ledger at *path*, whole or not at all, for this user alone.

    It is made elsewhere and linked there, so that nobody sees half of it, and so that this process never closes it
    by other means than SQLite's, which would give away locks that it has (https://sqlite.org/howtocorrupt.html 2.2).
    """
    new = [path, *made(path.parent)]
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".ledger-") as folder:
        file = Path(folder, "new")
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            pragmas = (f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {VERSION}")
            # WAL comes last: in it, what fails at the end of the connection would be missing in the file, and unsaid.
            for statement in ("BEGIN", *pragmas, *_SCHEMA, "COMMIT", "PRAGMA journal_mode = WAL"):
                connection.execute(statement)
        file.chmod(0o600)
        with suppress(FileExistsError):
            path.hardlink_to(file)
    settle(new)
