"""Ledgers on a server of PostgreSQL."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from releaser.adapters.redact import plain
from releaser.adapters.store_file import ROOM, held, unwritable
from releaser.adapters.store_sql import APPLICATION, VERSION, Cursor, Database, LostRaceError, broken, newer
from releaser.errors import ConfigError, ExternalError

if TYPE_CHECKING:
    import psycopg

_SCHEMA = (
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
_LOGIN = "mend what it says: PGUSER, PGDATABASE and PGPASSFILE name who asks for what; then run this again"
_READ_RIGHTS = "let the database's owner GRANT SELECT ON ledger, ledger_schema, and USAGE on their schema"
_HINTS = {"25006": _PRIMARY, "42501": _RIGHTS, "3F000": _RIGHTS, "53100": ROOM}
_HIDDEN = """
    SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
                   WHERE relname = 'ledger_schema' AND NOT has_schema_privilege(n.oid, 'USAGE'))"""


class PostgresStore(Database):
    """The ledger of *release* in a PostgreSQL database; several runs may have it open. A context manager.

    *conninfo* is a connection string of libpq without a password; what it does not say libpq takes from its own
    environment (``PGHOST``, ``PGSERVICE``, ``PGPASSFILE``: PostgreSQL manual, section 34.15). The tables are made at
    the first use. Raises ExternalError ``ledger-unreachable`` for a server that does not answer within *patience*
    seconds or goes away, also at the end of `extend`; the next call connects again. Raises ConfigError
    ``ledger-unwritable`` for a standby, for missing rights and where the server does not let us in, ``ledger-broken``,
    ``ledger-newer``, ``ledger-address-invalid`` and ``psycopg-missing``, and WaitingError ``ledger-held`` where the
    table is locked.

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
        self._welcome = False  # whether the server has let us in before, so that it is not us when it does not
        with self._transaction():
            pass

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _asked(self) -> Iterator[Cursor]:
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
        from psycopg.conninfo import make_conninfo

        conninfo = make_conninfo(
            self._conninfo,
            client_encoding="UTF8",
            connect_timeout=max(2, int(self._patience)),
            fallback_application_name="releaser",
        )
        try:
            self._connection = psycopg.connect(
                conninfo,
                autocommit=True,  # transactions are begun and ended in so many words
                prepare_threshold=None,  # a pooler may change the session behind the connection
            )
        except psycopg.OperationalError as error:
            if self._welcome or not _answers(conninfo):
                raise
            raise self._refused(plain(str(error)), _LOGIN) from error
        self._welcome = True
        info = self._connection.info
        self.name = f"postgresql:{info.dbname}@{info.host}#{self._release}"
        return self._connection

    def _require_tables(self, cursor: Cursor) -> None:
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

    def _make_tables(self, cursor: Cursor) -> None:
        if self._answer(cursor, "SHOW transaction_read_only") != [("off",)]:
            raise unwritable(self.name, "a server that only reads, as a standby does", _PRIMARY)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (APPLICATION,))  # or two make them at once
        if self._answer(cursor, "SELECT to_regclass('ledger_schema') IS NULL") == [(True,)]:
            for statement in _SCHEMA:
                cursor.execute(statement)

    def _lacks_tables(self, cursor: Cursor) -> bool:
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
            if not isinstance(meaning, LostRaceError):
                self.close()
            raise meaning from error
        except LostRaceError:
            raise
        except BaseException:
            self.close()
            raise

    def _meaning(self, error: psycopg.Error) -> Exception:
        """*error* as one of ours, by its SQLSTATE (PostgreSQL manual, appendix A): none without an answer."""
        state = error.sqlstate or ""
        found = plain(error.diag.message_primary or str(error))
        if state in _RACES:
            return LostRaceError()
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
        hint = _HINTS.get(state, "mend that at the server, then run this again")
        return self._refused(found, _READ_RIGHTS if self._reading and hint == _RIGHTS else hint)


def _answers(conninfo: str) -> bool:
    """Whether the server at *conninfo* takes connections: then it is we whom it does not let in.

    Why it refused one, psycopg knows in the server's own language only.
    """
    from psycopg import pq

    return pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK


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
