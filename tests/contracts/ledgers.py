"""Where ledgers are kept, each with both ends: what a run opens, and its lines as somebody with all rights has them."""

from __future__ import annotations

import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

from releaser.adapters.store_file import FileStore
from releaser.adapters.store_forge import ForgeStore
from releaser.adapters.store_postgres import PostgresStore
from releaser.adapters.store_sqlite import SqliteStore
from releaser.engine.ledger import Ledger
from releaser.engine.ports import Store
from releaser.errors import ExternalError, WaitingError
from tests.contracts.forges import OWNER, TOOL, Home
from tests.contracts.postgres import POSTGRESQL as POSTGRESQL
from tests.contracts.postgres import Cluster, Fate, relayed
from tests.contracts.table import Column
from tests.world import Clock, Disk, Power

FILE, SQLITE = Column("file", "file"), Column("sqlite", "SQLite")
FORGE, SIMULATED = Column("forge", "forge (rehearsal world)"), Column("simulated", "simulated world")


class Shelf(ABC):
    """Keeps ledgers by the name of their release."""

    rounds = 25  # of a race

    @abstractmethod
    def open(self, release: str) -> AbstractContextManager[Store]:
        """The store, as one more run opens it."""

    @abstractmethod
    def read(self, release: str) -> list[bytes]:
        """The lines that are there, by other means than the store."""

    @abstractmethod
    def write(self, release: str, lines: Sequence[bytes]) -> None:
        """Put other lines there, as nobody is meant to."""

    @contextmanager
    def failing(self, release: str, fate: Fate) -> Iterator[Store]:
        """The store, whose first `extend` fails as *fate* says."""
        with self.open(release) as store:
            yield _Failing(store, fate)


class _Failing:
    def __init__(self, store: Store, fate: Fate) -> None:
        self.name = store.name
        self.read = store.read
        self._store = store
        self._fate: Fate | None = fate
        self._late: Callable[[], object] = bool

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        fate, self._fate = self._fate, None
        self._late()
        if fate is None:
            return self._store.extend(after, lines)
        if fate is Fate.LATE:
            self._late = lambda: self._store.extend(after, lines)
        if fate is Fate.ANSWER_LOST:
            self._store.extend(after, lines)
        raise ExternalError("ledger-unreachable", "no answer")


class Files(Shelf):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, release: str) -> AbstractContextManager[Store]:
        return FileStore(self._path(release))

    def read(self, release: str) -> list[bytes]:
        with self._path(release).open("rb") as lines:
            return list(lines)

    def write(self, release: str, lines: Sequence[bytes]) -> None:
        self._path(release).write_bytes(b"".join(lines))

    def _path(self, release: str) -> Path:
        return self._folder / f"{release}.jsonl"


class Rows(Shelf):
    """A file of SQLite."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def open(self, release: str) -> AbstractContextManager[Store]:
        return SqliteStore(self._file, release)

    def read(self, release: str) -> list[bytes]:
        with closing(sqlite3.connect(self._file)) as owner:
            rows = owner.execute("SELECT line FROM ledger WHERE release = ? ORDER BY seq", (release,)).fetchall()
        return [line + b"\n" for (line,) in rows]

    def write(self, release: str, lines: Sequence[bytes]) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as owner:
            triggers = owner.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                owner.execute(f"DROP TRIGGER {name}")
            owner.execute("DELETE FROM ledger WHERE release = ?", (release,))
            owner.executemany("INSERT INTO ledger VALUES (?, ?, ?)", rows_of(release, lines))
            for _, statement in triggers:
                owner.execute(statement)


class Tables(Shelf):
    """A schema of PostgreSQL."""

    def __init__(self, cluster: Cluster, schema: str) -> None:
        self._cluster = cluster
        self._schema = schema

    def open(self, release: str) -> AbstractContextManager[Store]:
        return PostgresStore("", release)

    def read(self, release: str) -> list[bytes]:
        with self._cluster.owner(self._schema) as owner:
            owner.execute("SELECT line FROM ledger WHERE release = %s ORDER BY seq", (release,))
            return [line + b"\n" for (line,) in owner.fetchall()]

    def write(self, release: str, lines: Sequence[bytes]) -> None:
        with self._cluster.owner(self._schema) as owner:
            owner.execute("ALTER TABLE ledger DISABLE TRIGGER ALL")
            owner.execute("DELETE FROM ledger WHERE release = %s", (release,))
            owner.executemany("INSERT INTO ledger VALUES (%s, %s, %s)", rows_of(release, lines))
            owner.execute("ALTER TABLE ledger ENABLE ALWAYS TRIGGER ledger_only_grows")

    @contextmanager
    def failing(self, release: str, fate: Fate) -> Iterator[Store]:
        with relayed(self._cluster.port) as relay, PostgresStore(f"port={relay.port}", release) as store:
            relay.fate = fate
            yield store


class Commits(Shelf):
    """A repository of the rehearsal's forge."""

    rounds = 3  # every one asks for all of the chain again

    def __init__(self, home: Home) -> None:
        self._home = home
        self._prefix = home.fresh()

    def open(self, release: str) -> AbstractContextManager[Store]:
        token, tag = self._home.tokens[OWNER], self._prefix + release
        return closing(ForgeStore(TOOL, token, self._home.url, tag, sleep=lambda _: None))

    def read(self, release: str) -> list[bytes]:
        sha = self._home.call("GET", self._ref(release)).json()["object"]["sha"]
        messages: list[str] = []
        while sha:
            commit = self._home.call("GET", f"git/commits/{sha}").json()
            messages.insert(0, commit["message"])
            sha = next((parent["sha"] for parent in commit["parents"]), "")
        return [f"{line}\n".encode() for message in messages for line in message.split("\n\n")[1].split("\n")]

    def write(self, release: str, lines: Sequence[bytes]) -> None:
        tree = self._home.call("GET", f"git/commits/{self._home.head}").json()["tree"]["sha"]
        parents: list[str] = []
        for line in lines:
            sent = {"message": f"tampered\n\n{line.decode()}".rstrip("\n"), "tree": tree, "parents": parents}
            parents = [self._home.call("POST", "git/commits", json=sent).json()["sha"]]
        moved = self._home.call("PATCH", self._ref(release, "refs"), json={"sha": parents[0], "force": True})
        assert moved.status_code == 200, moved.text

    def _ref(self, release: str, kind: str = "ref") -> str:
        return f"git/{kind}/releaser/ledger/{self._prefix}{release}"


class Disks(Shelf):
    """The simulated world's, where one call is done before the next one begins."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._disks: dict[str, Disk] = defaultdict(lambda: Disk(Power()))

    @contextmanager
    def open(self, release: str) -> Iterator[Store]:
        yield _InTurn(self._disks[release], self._turn)

    def read(self, release: str) -> list[bytes]:
        return list(self._disks[release].lines)

    def write(self, release: str, lines: Sequence[bytes]) -> None:
        self._disks[release].lines = list(lines)


class _InTurn:
    """One run's hold of a disk: it adds to the lines that it knows, and to no others."""

    def __init__(self, disk: Disk, turn: threading.Lock) -> None:
        self.name = disk.name
        self._disk = disk
        self._turn = turn
        self._known: list[bytes] | None = None

    def read(self) -> Sequence[bytes]:
        with self._turn:
            self._known = self._whole()
            return self._disk.read()

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        with self._turn:
            took = self._known in (None, self._whole()) and self._disk.extend(after, lines)
            if took:
                self._known = self._whole()
            return took

    def _whole(self) -> list[bytes]:
        return [line for line in self._disk.lines if line.endswith(b"\n")]


def rows_of(release: str, lines: Sequence[bytes]) -> list[tuple[str, int, bytes]]:
    """*lines* as the tables have them."""
    return [(release, number, line.removesuffix(b"\n")) for number, line in enumerate(lines)]


def run(store: Store, holder: str = "a run") -> Ledger:
    """What a run has of the ledger in *store*, before it claims it."""
    return Ledger(store, Clock(Power()), holder)


def record(ledger: Ledger, *effects: str) -> None:
    """Record that each of *effects* is about to be sent."""
    body = {"digest": "sha256:00", "epoch": ledger.epoch}
    ledger.append([("intent", {"effect": effect, **body}) for effect in effects])


def effects_in(ledger: Ledger) -> list[str]:
    """What was recorded by `record`."""
    return [entry["body"]["effect"] for entry in ledger.entries() if entry["kind"] == "intent"]


@contextmanager
def waiting(shelf: Shelf, release: str) -> Iterator[Store]:
    """The store of *release*, as soon as no other run holds it."""
    while True:
        with suppress(WaitingError):
            opened = shelf.open(release)
            break
        os.sched_yield()
    with opened as store:
        yield store
