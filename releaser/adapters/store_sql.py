"""Ledgers in a database, of many releases in one table: a file of SQLite, or a server of PostgreSQL.

A record is a row (release, seq, line). That no two have the same (release, seq), and that the one before is still what
this store knows, makes `extend` a compare-and-swap, also where a backup was restored meanwhile. The database's own
triggers refuse to change or delete a row; whoever owns it can drop them, which the chain of hashes shows.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from releaser.adapters.http import plain
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
from releaser.errors import ConfigError, ExternalError

if TYPE_CHECKING:
    import psycopg

VERSION = 1
"""Of the tables, in the file's header or in a row; a database with a newer one is left alone."""
_APPLICATION = 0x72656C73  # "rels", in the header of the file

_SQLITE_SCHEMA = (
    "CREATE TABLE ledger (release TEXT NOT NULL, seq INTEGER NOT NULL, line BLOB NOT NULL, PRIMARY KEY (release, seq))"
    " STRICT, WITHOUT ROWID",
    "CREATE TRIGGER ledger_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END",
    # A REPLACE deletes without asking the trigger for that.
    "CREATE TRIGGER ledger_insert BEFORE INSERT ON ledger"
    " WHEN NEW.seq <> (SELECT count(*) FROM ledger WHERE release = NEW.release)"
    " BEGIN SELECT RAISE(ABORT, 'a ledger has no gap'); END",
    "CREATE TRIGGER ledger_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END",
)
_POSTGRES_SCHEMA = (
    "CREATE TABLE ledger (release text, seq bigint, line bytea NOT NULL, PRIMARY KEY (release, seq))",
    "CREATE TABLE ledger_schema (version integer PRIMARY KEY)",
    "INSERT INTO ledger_schema VALUES (1)",
    "CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'a ledger only grows'; END $$",
    "CREATE TRIGGER ledger_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger"
    " EXECUTE FUNCTION ledger_only_grows()",
    "ALTER TABLE ledger ENABLE ALWAYS TRIGGER ledger_only_grows",
)

_SETTINGS = """
    SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                      WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
           set_config('lock_timeout', %s, true), set_config('idle_in_transaction_session_timeout', %s, true)"""
_RACES = {"23505", "40001", "40P01"}  # unique_violation, serialization_failure, deadlock_detected
_DAMAGES = {"42703", "42804", "42P01", "42P07", "XX001", "XX002"}  # no such table, or another one; corrupted
_OUTAGES = {"", "08", "57"}  # connection exceptions, operator intervention
_PRIMARY = "let PGHOST name the primary; where it names several, set PGTARGETSESSIONATTRS=read-write"
_RIGHTS = "let the database's owner run this once, then GRANT SELECT, INSERT ON ledger and SELECT ON ledger_schema"
_Seen = tuple[int, int, int]  # number, size and time of a file: what changes when somebody writes
_READ_RIGHTS = "let the database's owner GRANT SELECT ON ledger, ledger_schema, and USAGE on their schema"
_CODE_HINTS = {sqlite3.SQLITE_FULL: ROOM, sqlite3.SQLITE_IOERR: PLACE}
_STATE_HINTS = {"25006": _PRIMARY, "42501": _RIGHTS, "3F000": _RIGHTS, "53100": ROOM}
_HEAD = """
    SELECT count(*), max(seq), (SELECT line FROM ledger WHERE release = ? AND seq = ?) FROM ledger WHERE release = ?"""
_HIDDEN = """
    SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
                   WHERE relname = 'ledger_schema' AND NOT has_schema_privilege(n.oid, 'USAGE'))"""


class _Cursor(Protocol):
    """What the cursors of both databases can do (PEP 249)."""

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> object: ...
    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> object: ...
    def fetchall(self) -> list[Any]: ...
    def close(self) -> None: ...


class _LostRaceError(Exception):
    """Another run's rows came first."""


class _Database(ABC):
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
        except _LostRaceError:
            return False
        self._known = after + len(rows), rows[-1][2] if rows else head
        return True

    def _answer(self, cursor: _Cursor, query: str, *parameters: Any) -> list[Any]:
        cursor.execute(query.replace("?", self._mark), parameters)
        return cursor.fetchall()

    def _refused(self, found: str, hint: str) -> ConfigError:
        return unreadable(self.name, found, hint) if self._reading else unwritable(self.name, found, hint)

    @contextmanager
    def _transaction(self) -> Iterator[_Cursor]:
        with self._asked() as cursor:
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(Exception):  # where it fails as well, the connection's end undoes it
                    cursor.execute("ROLLBACK")
                raise

    @abstractmethod
    def _asked(self) -> AbstractContextManager[_Cursor]:
        """A cursor within a transaction; what the database refuses or suffers is turned into our errors."""


class SqliteStore(_Database):
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
        if self._pragma("application_id") != [(_APPLICATION,)]:
            raise broken(self.name, "a database of another program", "a ledger")
        ((version,),) = self._pragma("user_version")
        if version > VERSION:
            raise newer(self.name, version)
        schema = self._connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
        if schema != [(statement.encode(),) for statement in _SQLITE_SCHEMA]:
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
    def _asked(self) -> Iterator[_Cursor]:
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
                return _LostRaceError()
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
                return broken(self.name, found, "a whole database")
            case code:
                self._failed = error
                return self._refused(found, _CODE_HINTS.get(code, PERMISSION))


def _state(path: Path) -> list[_Seen | None]:
    """The database at *path*, and the write-ahead log that a run has beside it; None where there is none."""
    seen: list[_Seen | None] = []
    for file in (path, path.with_name(f"{path.name}-wal")):
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
            pragmas = (f"PRAGMA application_id = {_APPLICATION}", f"PRAGMA user_version = {VERSION}")
            # WAL comes last: in it, what fails at the end of the connection would be missing in the file, and unsaid.
            for statement in ("BEGIN", *pragmas, *_SQLITE_SCHEMA, "COMMIT", "PRAGMA journal_mode = WAL"):
                connection.execute(statement)
        file.chmod(0o600)
        with suppress(FileExistsError):
            path.hardlink_to(file)
    settle(new)


class PostgresStore(_Database):
    """The ledger of *release* in a PostgreSQL database; several runs may have it open. A context manager.

    *conninfo* is a connection string of libpq without a password; what it does not say libpq takes from its own
    environment (``PGHOST``, ``PGSERVICE``, ``PGPASSFILE``: PostgreSQL manual, section 34.15). The tables are made at
    the first use. Raises ExternalError ``ledger-unreachable`` for a server that does not answer within *patience*
    seconds or goes away, also at the end of `extend`; the next call connects again. Raises ConfigError
    ``ledger-unwritable`` for a standby and for missing rights, ``ledger-broken``, ``ledger-newer``,
    ``ledger-address-invalid`` and ``psycopg-missing``, and WaitingError ``ledger-held`` where the table is locked.

    *reading* needs the right to SELECT alone, also at a standby: nothing is made, missing tables are a ledger without
    lines, and ConfigError ``ledger-unreadable`` stands for ``ledger-unwritable``.
    """

    _mark = "%s"

    def __init__(self, conninfo: str, release: str, patience: float = 30.0, *, reading: bool = False) -> None:
        super().__init__(release, reading)
        self.name = f"postgresql#{release}"
        self._conninfo = _address(conninfo)
        self._patience = patience
        self._connection: psycopg.Connection[Any] | None = None
        with self._transaction():
            pass

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _asked(self) -> Iterator[_Cursor]:
        with self._understood():
            fresh = self._connection is None
            connection = self._connection or self._connect()
            with _cut_after(self._patience, connection.fileno()), closing(connection.cursor()) as cursor:
                cursor.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED{' READ ONLY' if self._reading else ''}")
                cursor.execute(_SETTINGS, (f"{self._patience / 2 * 1000:.0f}ms",) * 2)
                if fresh or self._missing:
                    self._require_tables(cursor)
                yield cursor

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg

        self._connection = psycopg.connect(
            self._conninfo,
            autocommit=True,  # transactions are begun and ended in so many words
            prepare_threshold=None,  # a pooler may change the session behind the connection
            client_encoding="UTF8",
            connect_timeout=max(2, int(self._patience)),
            fallback_application_name="releaser",
        )
        info = self._connection.info
        self.name = f"postgresql:{info.dbname}@{info.host}#{self._release}"
        return self._connection

    def _require_tables(self, cursor: _Cursor) -> None:
        """Make the tables where they are missing, except for reading; raise ConfigError where they cannot be used."""
        if self._reading:
            self._missing = self._lacks_tables(cursor)
            if self._missing:
                return
        else:
            self._make_tables(cursor)
        versions = [version for (version,) in self._answer(cursor, "SELECT version FROM ledger_schema")]
        if max(versions, default=0) > VERSION:
            raise newer(self.name, max(versions))
        if versions != [VERSION]:
            raise broken(self.name, "tables without a version", f"those of version {VERSION}")
        rights = "SELECT bool_and(has_table_privilege('ledger', r)) FROM unnest('{SELECT,INSERT}'::text[]) AS r"
        if not self._reading and self._answer(cursor, rights) != [(True,)]:
            raise unwritable(self.name, "no right to add to the table", _RIGHTS)

    def _make_tables(self, cursor: _Cursor) -> None:
        if self._answer(cursor, "SHOW transaction_read_only") != [("off",)]:
            raise unwritable(self.name, "a server that only reads, as a standby does", _PRIMARY)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_APPLICATION,))  # or two make them at once
        if self._answer(cursor, "SELECT to_regclass('ledger_schema') IS NULL") == [(True,)]:
            for statement in _POSTGRES_SCHEMA:
                cursor.execute(statement)

    def _lacks_tables(self, cursor: _Cursor) -> bool:
        """Whether there are none, for certain: of a schema that it may not use, PostgreSQL shows a user nothing."""
        names = "SELECT to_regclass('ledger_schema') IS NULL AND to_regclass('ledger') IS NULL"
        lacking = self._answer(cursor, names) == [(True,)]
        if lacking and self._answer(cursor, _HIDDEN) != [(False,)]:
            raise self._refused("no right to use the schema of a ledger", _READ_RIGHTS)
        return lacking

    @contextmanager
    def _understood(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            meaning = self._meaning(error)
            if not isinstance(meaning, _LostRaceError):
                self.close()
            raise meaning from error
        except _LostRaceError:
            raise
        except BaseException:
            self.close()
            raise

    def _meaning(self, error: psycopg.Error) -> Exception:
        """*error* as one of ours, by its SQLSTATE (PostgreSQL manual, appendix A): none without an answer."""
        state = error.sqlstate or ""
        found = plain(error.diag.message_primary or str(error))
        if state in _RACES:
            return _LostRaceError()
        if state == "55P03":  # lock_not_available
            return held(self.name)
        if state in _DAMAGES:
            return broken(self.name, found, "the tables of a ledger")
        if state[:2] in _OUTAGES:
            return ExternalError(
                "ledger-unreachable",
                "the ledger's database does not answer",
                object=self.name,
                found=found,
                wanted="an answer",
                hint="see that it runs and that PGHOST or PGSERVICE names it, then run this again",
            )
        hint = _STATE_HINTS.get(state, "mend that at the server, then run this again")
        return self._refused(found, _READ_RIGHTS if self._reading and hint == _RIGHTS else hint)


def _address(conninfo: str) -> str:
    """*conninfo*, if it is one and has no password; an error shows nothing of it."""
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise ConfigError(
            "psycopg-missing",
            "a ledger in PostgreSQL needs the package psycopg",
            object="psycopg",
            found="not installed",
            wanted="psycopg 3.2 or newer",
            hint="pip install 'releaser-gates[postgresql]'",
        ) from error
    try:
        if not any("password" in name for name in conninfo_to_dict(conninfo)):
            return conninfo
        found = "a password in it"
    except ProgrammingError:
        found = "nothing that libpq can read"
    raise ConfigError(
        "ledger-address-invalid",
        "the address of the ledger's database cannot be used",
        object="postgresql:",
        found=found,
        wanted="a connection string of libpq without a password",
        hint="leave it empty, and set PGSERVICE, or PGHOST, PGDATABASE and PGPASSFILE",
    )


@contextmanager
def _cut_after(seconds: float, descriptor: int) -> Iterator[None]:
    """Shut the connection behind *descriptor* down when the block takes longer: libpq waits without end."""
    with socket.socket(fileno=os.dup(descriptor)) as wire:

        def cut() -> None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

        guard = threading.Timer(seconds, cut)
        guard.daemon = True
        guard.start()
        try:
            yield
        finally:
            guard.cancel()
            guard.join()


def unreadable(where: str, found: str, hint: str) -> ConfigError:
    return ConfigError(
        "ledger-unreadable",
        "the ledger cannot be read",
        object=where,
        found=found,
        wanted="the right to read it",
        hint=hint,
    )


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
        hint="run that releaser, or a newer one",
    )
