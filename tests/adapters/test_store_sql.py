"""Ledgers in databases: what is damaged, foreign, newer, full, locked or gone is refused, and never written to."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from releaser.adapters.store_file import PLACE
from releaser.adapters.store_postgres import PostgresStore
from releaser.adapters.store_sqlite import SqliteStore
from releaser.engine.ports import Store
from releaser.errors import ConfigError, ExternalError, ReleaserError, WaitingError
from tests.adapters.disks import file_size_limit, impossible, small_disk
from tests.contracts.forges import outcome
from tests.contracts.ledgers import Rows, Shelf, Tables, effects_in, record, run
from tests.contracts.postgres import Cluster

__all__ = ["impossible"]
TAG = "v1.2.0"
LINES = [b'{"number":%d,"text":"%s"}\n' % (number, b"x" * 500) for number in range(40)]
MUTATIONS = int(os.environ.get("RELEASER_MUTATIONS", "150"))

postgresql = pytest.mark.servers("postgresql/initdb")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledgers.db"


def lines(path: Path, release: str = TAG) -> list[bytes]:
    """What is there for somebody who opens it."""
    with SqliteStore(path, release) as store:
        return list(store.read())


def taken(store: Store, start: int = 0) -> list[bytes]:
    """The lines that *store* takes, one after the other, from *start* on, until it fails with ConfigError."""
    end = start
    with suppress(ConfigError):
        while end < len(LINES) and store.extend(end, [LINES[end]]):
            end += 1
    return LINES[start:end]


@pytest.fixture
def owner(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else with a database of one line open."""
    with SqliteStore(path, TAG) as store:
        assert store.extend(0, LINES[:1])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=postgresql)])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "sqlite":
        return Rows(tmp_path / "ledgers.db")
    return Tables(request.getfixturevalue("cluster"), request.getfixturevalue("schema"))


def test_what_a_store_has_seen_shorter_it_reads_before_it_adds(shelf: Shelf) -> None:
    """A restored backup that was noticed, as its run does before it tries again, may have grown since then."""
    with shelf.open(TAG) as store:
        assert store.extend(0, LINES[:3])
        shelf.write(TAG, LINES[:1])
        assert store.read() == LINES[:1]
        others = [LINES[0], *LINES[5:7]]
        shelf.write(TAG, others)
        assert not store.extend(3, LINES[3:4])
        assert store.read() == others
        assert store.extend(3, LINES[3:4])
    assert shelf.read(TAG) == [*others, LINES[3]]


# SQLite


def test_it_is_for_its_owner_alone(path: Path) -> None:
    with SqliteStore(path, TAG) as store:
        assert store.extend(0, LINES[:1])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("ledgers.db", "ledgers.db-wal", "ledgers.db-shm"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["ledgers.db"]


def test_where_it_cannot_be_written_nothing_may_be_sent(impossible: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        SqliteStore(impossible, TAG)
    assert (caught.value.code, caught.value.object) == ("ledger-unwritable", f"sqlite:{impossible}#{TAG}")
    assert caught.value.hint.startswith("give --ledger")


@pytest.mark.parametrize("reading", [True, False], ids=["reading", "writing"])
@pytest.mark.parametrize("place", ["", ".", "..", "/"])
def test_a_path_without_a_name_is_no_ledger(place: str, reading: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        SqliteStore(Path(place), TAG, reading=reading)
    assert caught.value.code == ("ledger-unreadable" if reading else "ledger-unwritable")
    assert (caught.value.found, caught.value.hint) == ("not a regular file", PLACE)


def garbage(path: Path, owner: sqlite3.Connection) -> None:
    owner.close()
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 200)


def empty(path: Path, owner: sqlite3.Connection) -> None:
    owner.close()
    path.write_bytes(b"")


def another_program(path: Path, owner: sqlite3.Connection) -> None:
    owner.close()
    path.unlink()
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE ledger (release, seq, line)")
        theirs.execute("PRAGMA user_version = 7")


def in_another_order(path: Path, owner: sqlite3.Connection) -> None:
    """Two rows change places in their page, as its list of cells has them (https://sqlite.org/fileformat.html 1.6)."""
    Rows(path).write(TAG, LINES[:3])
    owner.close()
    cells = 4096 + 8
    data = path.read_bytes()
    path.write_bytes(data[:cells] + data[cells + 2 : cells + 4] + data[cells : cells + 2] + data[cells + 4 :])


def executed(statement: str) -> Callable[[Path, sqlite3.Connection], object]:
    return lambda _, owner: owner.execute(statement)


def with_a_gap(path: Path, owner: sqlite3.Connection) -> None:
    Rows(path).write(TAG, LINES[:3])
    (sql,) = owner.execute("SELECT sql FROM sqlite_schema WHERE name = 'ledger_delete'").fetchone()
    owner.execute("DROP TRIGGER ledger_delete")
    owner.execute("DELETE FROM ledger WHERE seq = 1")
    owner.execute(sql)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (garbage, "ledger-broken"),
        (empty, "ledger-broken"),
        (another_program, "ledger-broken"),
        (in_another_order, "ledger-broken"),
        (executed("DROP TRIGGER ledger_delete"), "ledger-broken"),
        (executed("CREATE TRIGGER ours AFTER INSERT ON ledger BEGIN SELECT 1; END"), "ledger-broken"),
        (executed("PRAGMA user_version = 2"), "ledger-newer"),
    ],
    ids=[
        "garbage",
        "empty",
        "of another program",
        "in another order",
        "without a trigger",
        "with another trigger",
        "a newer version",
    ],
)
def test_a_database_that_is_not_ours_is_refused(
    path: Path, owner: sqlite3.Connection, how: Callable[[Path, sqlite3.Connection], object], code: str
) -> None:
    how(path, owner)
    owner.close()
    before = path.read_bytes()
    assert outcome(lambda: SqliteStore(path, TAG)) == code
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["ledgers.db"]


@pytest.mark.parametrize("release", [TAG, "v1.3.0"], ids=["the release", "another one"])
def test_a_missing_row_is_found_in_its_own_ledger(path: Path, owner: sqlite3.Connection, release: str) -> None:
    with_a_gap(path, owner)
    assert outcome(lambda: lines(path, release)) == ("ledger-broken" if release == TAG else "done")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET line = x'00'",
        "DELETE FROM ledger",
        "REPLACE INTO ledger VALUES ('v1.2.0', 0, x'00')",
        "INSERT INTO ledger VALUES ('v1.2.0', 2, x'00')",
        "INSERT INTO ledger VALUES ('v1.2.0', 1, NULL)",
    ],
)
def test_sqlite_refuses_all_but_a_next_row(path: Path, owner: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        owner.execute(statement)
    assert lines(path) == LINES[:1]


def test_a_locked_database_is_waited_for_and_then_held(path: Path, owner: sqlite3.Connection) -> None:
    with SqliteStore(path, TAG, patience=0.05) as store:
        owner.execute("BEGIN IMMEDIATE")
        with pytest.raises(WaitingError) as caught:
            store.extend(1, LINES[1:2])
        assert caught.value.code == "ledger-held"
        assert outcome(lambda: SqliteStore(path, TAG, patience=0.05)) == "ledger-held"
        owner.execute("ROLLBACK")
        assert store.extend(1, LINES[1:2])
    assert lines(path) == LINES[:2]


def test_nothing_is_added_to_a_database_that_lost_its_place(path: Path, owner: sqlite3.Connection) -> None:
    owner.close()
    with SqliteStore(path, TAG) as store:
        path.rename(path.with_suffix(".old"))
        with SqliteStore(path, TAG) as successor:
            assert outcome(lambda: store.extend(1, LINES[1:2])) == "ledger-unwritable"
            assert successor.read() == []


@pytest.mark.parametrize("room", [100, 5_000, 20_000, 40_000])
def test_what_finds_no_room_leaves_nothing_behind(path: Path, owner: sqlite3.Connection, room: int) -> None:
    owner.close()
    with SqliteStore(path, TAG) as store:
        with file_size_limit(room):
            there = LINES[:1] + taken(store, 1)
        assert len(there) < len(LINES)
        with pytest.raises(ConfigError) as again:
            store.extend(len(there), LINES[:1])
        assert again.value.code == "ledger-unwritable"
    assert lines(path) == there


def test_on_a_full_disk_what_was_taken_stays(tmp_path: Path) -> None:
    """With room for any number of pages: what was acknowledged is there, and nothing else."""
    page = os.sysconf("SC_PAGE_SIZE")
    with small_disk(tmp_path / "disk", page) as disk:
        path = disk.folder / "ledgers.db"
        ends: list[int] = []
        while not ends or ends[-1] < len(LINES):
            disk.resize((len(ends) + 1) * page)
            there: list[bytes] = []
            with suppress(ConfigError), SqliteStore(path, TAG) as store:
                there = taken(store)
            disk.resize(1000 * page)
            assert lines(path) == there
            ends.append(len(there))
            for file in disk.folder.iterdir():
                file.unlink()
    assert ends[0] == 0
    assert ends == sorted(ends)


def test_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk.folder / "ledgers.db"
        assert lines(path) == []
        disk.forbid_writing()
        assert outcome(lambda: SqliteStore(path, TAG)) == "ledger-unwritable"
        assert outcome(lambda: SqliteStore(disk.folder / "new.db", TAG)) == "ledger-unwritable"


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file there, with the time of its last change."""
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """A folder, and afterwards the same one where nobody can write: for the superuser a disk of its own."""
    with ExitStack() as stack:

        def forbidden() -> Path:
            if os.geteuid() == 0:
                disk = stack.enter_context(small_disk(tmp_path / "disk", 1 << 20))
                shutil.copytree(tmp_path / "made", disk.folder, dirs_exist_ok=True)
                disk.forbid_writing()
                return disk.folder
            (tmp_path / "made").chmod(0o500)
            stack.callback((tmp_path / "made").chmod, 0o700)
            return tmp_path / "made"

        yield forbidden


def test_reading_needs_no_right_to_write(tmp_path: Path, read_only: Callable[[], Path]) -> None:
    with SqliteStore(tmp_path / "made" / "ledgers.db", TAG) as store:
        assert store.extend(0, LINES[:2])
    folder = read_only()
    assert outcome(lambda: SqliteStore(folder / "ledgers.db", TAG)) == "ledger-unwritable"
    with SqliteStore(folder / "ledgers.db", TAG, reading=True) as store:
        assert store.read() == LINES[:2]
    with SqliteStore(folder / "ledgers.db", "another release", reading=True) as store:
        assert store.read() == []


def test_reading_changes_nothing(path: Path, owner: sqlite3.Connection) -> None:
    owner.close()
    before = files(path.parent)
    with SqliteStore(path, TAG, reading=True) as store:
        assert store.read() == LINES[:1]
        with pytest.raises(ConfigError) as caught:
            store.extend(1, LINES[1:2])
        assert (caught.value.code, caught.value.found) == ("ledger-unwritable", "opened for reading")
        assert files(path.parent) == before
    assert files(path.parent) == before


def test_where_there_is_no_database_there_are_no_lines(path: Path) -> None:
    with SqliteStore(path, TAG, reading=True) as store:
        assert store.read() == []
        assert not path.parent.exists()


def test_it_can_be_read_while_a_run_adds_to_it(path: Path) -> None:
    with SqliteStore(path, TAG) as store:
        assert store.extend(0, LINES[:2])
        with SqliteStore(path, TAG, reading=True) as reader:
            assert reader.read() == LINES[:2]
            assert store.extend(2, LINES[2:4])
            assert reader.read() == LINES[:4]
        names = {file.name for file in path.parent.iterdir()}
    assert names == {"ledgers.db", "ledgers.db-wal", "ledgers.db-shm"}
    assert lines(path) == LINES[:4]


@pytest.mark.parametrize("there", [True, False], ids=["a settled file", "no file"])
def test_a_run_that_begins_while_it_is_read_is_noticed(path: Path, there: bool) -> None:
    if there:
        assert lines(path) == []
    with SqliteStore(path, TAG, reading=True) as reader:
        with SqliteStore(path, TAG) as store:
            assert store.extend(0, LINES[:1])
            assert outcome(reader.read) == "ledger-held"
        assert outcome(reader.read) == "ledger-held"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (garbage, "ledger-broken"),
        (empty, "ledger-broken"),
        (in_another_order, "ledger-broken"),
        (executed("DROP TRIGGER ledger_delete"), "ledger-broken"),
        (executed("PRAGMA user_version = 2"), "ledger-newer"),
        (lambda path, _: path.rename(path.with_suffix(".old")) and path.mkdir(), "ledger-unreadable"),
    ],
    ids=["garbage", "empty", "in another order", "without a trigger", "a newer version", "a folder"],
)
def test_what_cannot_be_trusted_is_not_read(
    path: Path, owner: sqlite3.Connection, how: Callable[[Path, sqlite3.Connection], object], code: str
) -> None:
    how(path, owner)
    owner.close()
    assert outcome(lambda: SqliteStore(path, TAG, reading=True)) == code


def mutated(data: bytes, random: random.Random) -> bytes:
    """*data* as a bad disk, a bad copy or a bad person leaves it."""
    page = 4096
    at, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    match random.randrange(6):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes(end - at) + data[end:]
        case 2:
            return data[:at] + random.randbytes(min(end - at, 64)) + data[min(end, at + 64) :]
        case 3:
            first, second = (random.randrange(len(data) // page) * page for _ in range(2))
            return data[:first] + data[second : second + page] + data[first + page :]
        case _:
            bytes_ = bytearray(data)
            for _ in range(random.choice([1, 1, 2, 8])):
                bytes_[random.randrange(len(data))] ^= 1 << random.randrange(8)
            return bytes(bytes_)


def test_a_damaged_database_is_refused_or_shows_a_ledger_that_was(tmp_path: Path) -> None:
    """`RELEASER_MUTATIONS` of them: never another chain, never an error that is not one of ours."""
    source = tmp_path / "source.db"
    with SqliteStore(source, TAG) as store, SqliteStore(source, "v1.1.0") as other:
        for ledger in (run(store), run(other)):
            ledger.claim()
            for number in range(12):
                record(ledger, f"effect {number} of many", "and another")
        whole = store.read()
        files = {end: source.with_name(f"source.db{end}").read_bytes() for end in ("", "-wal")}
    settled = source.read_bytes()
    seen = set()
    for seed in range(MUTATIONS):
        choice = random.Random(seed)  # noqa: S311 - the same ones on every run
        path = tmp_path / f"{seed}.db"
        log = path.with_name(f"{seed}.db-wal")
        if choice.randrange(4):
            path.write_bytes(mutated(settled, choice))
        elif choice.randrange(2):
            path.write_bytes(files[""])
            log.write_bytes(mutated(files["-wal"], choice))
        else:
            path.write_bytes(mutated(files[""], choice))
            log.write_bytes(files["-wal"])
        try:
            with SqliteStore(path, TAG) as store:
                ledger = run(store)
                found = list(store.read())
                assert found == whole[: len(found)], seed
                before = effects_in(ledger)
                ledger.claim()
                record(ledger, "new")
            with SqliteStore(path, TAG) as store:
                assert effects_in(run(store)) == [*before, "new"], seed
            seen.add("whole" if found == whole else "a part")
        except ReleaserError as error:
            seen.add(error.code)
    assert seen >= {"whole", "ledger-broken"}
    assert seen <= {"whole", "a part", "ledger-broken", "ledger-newer", "ledger-unwritable"}


# PostgreSQL


@postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET line = ''",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "INSERT INTO ledger VALUES ('v1.2.0', 0, '') ON CONFLICT (release, seq) DO UPDATE SET line = ''",
        "SET session_replication_role = replica; DELETE FROM ledger",
    ],
)
def test_postgresql_refuses_all_but_new_rows(cluster: Cluster, schema: str, statement: str) -> None:
    import psycopg

    with PostgresStore("", TAG) as store:
        assert store.extend(0, LINES[:2])
        with cluster.owner(schema) as owner, pytest.raises(psycopg.errors.RaiseException):
            owner.execute(statement.encode())
        assert store.read() == LINES[:2]


@postgresql
@pytest.mark.usefixtures("schema")
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("PGUSER", "nobody", 'authentication failed for user "nobody"'),
        ("PGDATABASE", "none", 'database "none" does not exist'),
        ("PGPASSFILE", "/nonexistent", "no password supplied"),
        ("PGPASSWORD", "hunter2", 'authentication failed for user "owner"'),
    ],
    ids=["another role", "another database", "no password", "another password"],
)
def test_whom_a_server_does_not_let_in_is_told_what_it_says(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    PostgresStore("", TAG).close()
    monkeypatch.setenv(setting, value)
    for reading in (True, False):
        with pytest.raises(ConfigError) as caught:
            PostgresStore("", TAG, reading=reading)
        assert caught.value.code == ("ledger-unreadable" if reading else "ledger-unwritable")
        assert said in caught.value.found
        assert setting.replace("WORD", "FILE") in caught.value.hint
        assert "hunter2" not in f"{vars(caught.value)}"


@postgresql
@pytest.mark.usefixtures("schema")
def test_who_was_let_in_before_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is full, or a pooler that begins, refuses for a while."""
    with PostgresStore("", TAG) as store:
        store.close()
        with monkeypatch.context() as refused:
            refused.setenv("PGDATABASE", "none")
            with pytest.raises(ExternalError) as caught:
                store.read()
            assert (caught.value.code, caught.value.retryable) == ("ledger-unreachable", True)
        assert store.extend(0, LINES[:1])


@postgresql
@pytest.mark.usefixtures("schema")
def test_a_server_may_be_restarted_between_two_appends(cluster: Cluster) -> None:
    with PostgresStore("", TAG) as store:
        ledger = run(store)
        ledger.claim()
        record(ledger, "a")
        cluster.stop()
        with pytest.raises(ExternalError) as caught:
            store.read()
        assert (caught.value.code, caught.value.retryable) == ("ledger-unreachable", True)
        assert outcome(lambda: PostgresStore("", TAG)) == "ledger-unreachable"
        cluster.start()
        record(ledger, "b")
        cluster.stop()
        cluster.start()
        record(ledger, "c")
        assert effects_in(run(store)) == ["a", "b", "c"]


def backend(cluster: Cluster, schema: str) -> int:
    """The process of the server that works for the one store."""
    with cluster.owner(schema) as owner:
        owner.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'releaser'")
        ((pid,),) = owner.fetchall()
    return int(pid)


@postgresql
def test_a_connection_that_was_ended_is_made_again(cluster: Cluster, schema: str) -> None:
    with PostgresStore("", TAG) as store:
        with cluster.owner(schema) as owner:
            owner.execute("SELECT pg_terminate_backend(%s, 10000)", (backend(cluster, schema),))
        assert outcome(lambda: store.extend(0, LINES[:1])) == "ledger-unreachable"
        assert store.extend(0, LINES[:1])


@postgresql
def test_a_server_that_falls_silent_is_not_waited_for(cluster: Cluster, schema: str) -> None:
    with PostgresStore("", TAG, patience=4) as store:
        silent = backend(cluster, schema)
        os.kill(silent, signal.SIGSTOP)
        try:
            assert outcome(lambda: store.extend(0, LINES[:1])) == "ledger-unreachable"
        finally:
            os.kill(silent, signal.SIGCONT)
        assert store.extend(0, LINES[:1]) or store.read() == LINES[:1]


@postgresql
def test_a_locked_table_is_waited_for_and_then_held(cluster: Cluster, schema: str) -> None:
    with PostgresStore("", TAG, patience=4) as store, cluster.owner(schema) as owner:
        owner.execute("BEGIN")
        owner.execute("LOCK TABLE ledger")
        assert outcome(lambda: store.extend(0, LINES[:1])) == "ledger-held"
        owner.execute("ROLLBACK")
        assert store.extend(0, LINES[:1])


@postgresql
@pytest.mark.parametrize(
    ("prepared", "options", "code", "hint"),
    [
        ("", "-c default_transaction_read_only=on", "ledger-unwritable", "let PGHOST name the primary"),
        ("CREATE TABLE ledger (n int)", "", "ledger-broken", "keep it as evidence"),
        ("CREATE TABLE ledger_schema (version int)", "", "ledger-broken", "keep it as evidence"),
        ("INSERT INTO ledger_schema VALUES (2)", "", "ledger-newer", "upgrade releaser"),
        ("DELETE FROM ledger_schema", "", "ledger-broken", "keep it as evidence"),
        ("DROP TABLE ledger", "", "ledger-broken", "keep it as evidence"),
        ("", "-c role=pg_monitor", "ledger-unwritable", "let the database's owner"),
        ("GRANT USAGE ON SCHEMA {0} TO pg_monitor", "-c role=pg_monitor", "ledger-unwritable", "let the database's"),
        (
            "GRANT USAGE ON SCHEMA {0} TO pg_monitor; GRANT SELECT ON ledger, ledger_schema TO pg_monitor",
            "-c role=pg_monitor",
            "ledger-unwritable",
            "let the database's owner",
        ),
    ],
    ids=[
        *(
            "a server that only reads",
            "a foreign table",
            "a foreign version",
            "a newer version",
            "no version",
            "no table",
        ),
        *("no schema", "no right to read", "no right to add"),
    ],
)
def test_what_cannot_be_used_is_refused(
    cluster: Cluster, schema: str, monkeypatch: pytest.MonkeyPatch, prepared: str, options: str, code: str, hint: str
) -> None:
    if not prepared.startswith("CREATE"):
        PostgresStore("", "another release").close()
    with cluster.owner(schema) as owner:
        owner.execute(prepared.format(schema).encode())
    monkeypatch.setenv("PGOPTIONS", f"{os.environ['PGOPTIONS']} {options}")
    with pytest.raises(ConfigError) as caught:
        PostgresStore("", TAG)
    assert caught.value.code == code
    assert caught.value.hint.startswith(hint)


@postgresql
def test_the_rights_that_the_hint_names_are_enough(
    cluster: Cluster, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    PostgresStore("", TAG).close()
    with cluster.owner(schema) as owner:
        owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO pg_monitor".encode())
        owner.execute("GRANT SELECT, INSERT ON ledger TO pg_monitor; GRANT SELECT ON ledger_schema TO pg_monitor")
    monkeypatch.setenv("PGOPTIONS", f"{os.environ['PGOPTIONS']} -c role=pg_monitor")
    with PostgresStore("", TAG) as store:
        assert store.extend(0, LINES[:1])
        assert store.read() == LINES[:1]


@pytest.fixture
def auditor(cluster: Cluster, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows is asked by somebody who may read a ledger of two lines, and nothing else."""
    with PostgresStore("", TAG) as store:
        assert store.extend(0, LINES[:2])
    with cluster.owner(schema) as owner:
        owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO pg_monitor".encode())
        owner.execute("GRANT SELECT ON ledger, ledger_schema TO pg_monitor")
    monkeypatch.setenv("PGOPTIONS", f"{os.environ['PGOPTIONS']} -c role=pg_monitor")


@postgresql
@pytest.mark.usefixtures("auditor")
@pytest.mark.parametrize(
    "options", ["", "-c default_transaction_read_only=on"], ids=["a server", "one that only reads"]
)
def test_the_right_to_read_is_enough_for_reading(monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    monkeypatch.setenv("PGOPTIONS", f"{os.environ['PGOPTIONS']} {options}")
    assert outcome(lambda: PostgresStore("", TAG)) == "ledger-unwritable"
    with PostgresStore("", TAG, reading=True) as store:
        assert store.read() == LINES[:2]
        with pytest.raises(ConfigError) as caught:
            store.extend(2, LINES[2:3])
        assert (caught.value.code, caught.value.found) == ("ledger-unwritable", "opened for reading")
        assert store.read() == LINES[:2]


@postgresql
@pytest.mark.usefixtures("auditor")
@pytest.mark.parametrize("right", ["SELECT ON ledger", "SELECT ON ledger_schema", "USAGE ON SCHEMA {0}"])
def test_what_may_not_be_read_is_not_taken_for_nothing(cluster: Cluster, schema: str, right: str) -> None:
    with cluster.owner(schema) as owner:
        owner.execute(f"REVOKE {right.format(schema)} FROM pg_monitor".encode())

    def read() -> None:
        with PostgresStore("", TAG, reading=True) as store:
            store.read()

    with pytest.raises(ConfigError) as caught:
        read()
    assert caught.value.code == "ledger-unreadable"
    assert "GRANT SELECT ON ledger, ledger_schema" in caught.value.hint


@postgresql
def test_reading_makes_no_tables(cluster: Cluster, schema: str) -> None:
    with PostgresStore("", TAG, reading=True) as reader, cluster.owner(schema) as owner:
        assert reader.read() == []
        owner.execute("SELECT count(*) FROM pg_class WHERE relnamespace = %s::regnamespace", (schema,))
        assert owner.fetchall() == [(0,)]
        with PostgresStore("", TAG) as store:
            assert store.extend(0, LINES[:1])
        assert reader.read() == LINES[:1]


@postgresql
@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DROP TABLE ledger", "ledger-broken"),
        ("DROP TABLE ledger_schema", "ledger-broken"),
        ("DELETE FROM ledger_schema", "ledger-broken"),
        ("INSERT INTO ledger_schema VALUES (2)", "ledger-newer"),
    ],
)
def test_tables_that_are_not_ours_are_not_read(cluster: Cluster, schema: str, statement: str, code: str) -> None:
    PostgresStore("", TAG).close()
    with cluster.owner(schema) as owner:
        owner.execute(statement.encode())

    def read() -> None:
        with PostgresStore("", TAG, reading=True) as store:
            store.read()

    assert outcome(read) == code


@postgresql
def test_a_row_that_is_missing_or_changed_in_kind_is_found(cluster: Cluster, schema: str) -> None:
    with PostgresStore("", TAG) as store:
        assert store.extend(0, LINES[:3])
        with cluster.owner(schema) as owner:
            owner.execute("ALTER TABLE ledger DISABLE TRIGGER ALL")
            owner.execute("DELETE FROM ledger WHERE seq = 1")
        assert outcome(store.read) == "ledger-broken"
        assert not store.extend(3, LINES[3:4])
        with cluster.owner(schema) as owner:
            owner.execute("DROP TABLE ledger")
        assert outcome(store.read) == "ledger-broken"


@postgresql
@pytest.mark.parametrize("setting", ["off", "local", "remote_write", "on", "remote_apply"])
def test_what_was_taken_is_on_the_disk_of_the_server(
    cluster: Cluster, schema: str, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Whatever the database's default is; a stricter one is kept."""
    with PostgresStore("", TAG), cluster.owner(schema) as owner:
        owner.execute("CREATE TABLE seen AS SELECT ''::text AS setting")
        owner.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN UPDATE seen SET setting = current_setting('synchronous_commit'); RETURN NEW; END $$"
        )
        owner.execute("CREATE TRIGGER note BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION note()")
    monkeypatch.setenv("PGOPTIONS", f"{os.environ['PGOPTIONS']} -c synchronous_commit={setting}")
    with PostgresStore("", TAG) as store, cluster.owner(schema) as owner:
        assert store.extend(0, LINES[:1])
        owner.execute("SELECT setting FROM seen")
        assert owner.fetchall() == [("remote_apply" if setting == "remote_apply" else "on",)]


@pytest.mark.parametrize(
    "conninfo",
    [
        "host=db.example.invalid password=hunter2",
        "postgresql://ana:hunter2@db.example.invalid/ledgers",
        "postgresql://ana:hun@ter2@db.example.invalid/ledgers",
        "postgresql://db.example.invalid/ledgers?passw%6Frd=hunter2",
        "sslpassword=hunter2",
        "password = hunter2 hunter2",
        "hunter2",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(conninfo: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresStore(conninfo, TAG)
    assert caught.value.code == "ledger-address-invalid"
    assert caught.value.__cause__ is None
    error: BaseException | None = caught.value
    while error is not None:
        assert "ter2" not in f"{error} {vars(error)}"
        error = error.__context__


def test_without_psycopg_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("psycopg", "psycopg.conninfo"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        PostgresStore("", TAG)
    assert (caught.value.code, caught.value.hint) == ("psycopg-missing", "pip install 'releaser-gates[postgresql]'")
