"""A PostgreSQL server of the suite's own on loopback, from the programs that ``make servers`` found."""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import select
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contracts.servers import PATIENCE, SERVERS, free_port
from tests.contracts.table import Column

if TYPE_CHECKING:
    import psycopg

POSTGRESQL = Column("postgresql", "PostgreSQL", needs=("postgresql/initdb",))
OWNER = "owner"


class Cluster:
    """A server below *folder*; it does not run as the superuser, and asks everybody for a password.

    What it acknowledges is on the disk: nothing of its durability is turned off.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.passwords = folder / "passwords"
        self._folder = folder
        self._names = itertools.count(1)
        self._user = _user()
        if self._user is not None:
            os.chown(folder, self._user, -1)
        password = secrets.token_hex()
        given = folder / "password"
        given.write_text(password)
        self.passwords.write_text(f"*:*:*:*:{password}\n")
        self.passwords.chmod(0o600)
        settings = (
            "--auth=scram-sha-256",
            f"--pwfile={given}",
            f"--username={OWNER}",
            "--no-locale",
            "--encoding=UTF8",
        )
        self._run("initdb", "--no-sync", *settings)
        self.start()

    def start(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": self.port}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._run("pg_ctl", "start", f"--log={self._folder / 'server.log'}", f"--options={options}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--mode=fast")

    @contextmanager
    def owner(self, schema: str) -> Iterator[psycopg.Cursor[Any]]:
        """A cursor in *schema* of the one who owns everything, outside transactions."""
        import psycopg

        address = f"host=127.0.0.1 port={self.port} dbname=postgres user={OWNER} passfile={self.passwords}"
        with closing(psycopg.connect(address, autocommit=True, options=f"-csearch_path={schema}")) as connection:
            yield connection.cursor()

    def create(self) -> str:
        """The name of a new, empty schema."""
        name = f"ledgers{next(self._names)}"
        with self.owner("public") as cursor:
            cursor.execute(f"CREATE SCHEMA {name}".encode())
        return name

    def _run(self, program: str, *arguments: str) -> None:
        command: list[str | Path] = [SERVERS / "postgresql" / program, f"--pgdata={self._folder / 'data'}", *arguments]
        said = self._folder / f"{program}.log"
        with said.open("wb") as output:
            environ = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGCTLTIMEOUT": f"{PATIENCE:.0f}"}
            ran = subprocess.run(
                command, cwd=self._folder, env=environ, stdout=output, stderr=output, user=self._user, check=False
            )
        if ran.returncode:
            logs = "".join(log.read_text(errors="replace") for log in self._folder.glob("*.log"))
            pytest.fail(f"{program} failed: {logs[-2000:]}", pytrace=False)


def _user() -> int | None:
    """Whose processes the server's are: nobody's where we are the superuser, as whom it refuses to run."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One server for a worker of the suite; each test makes its own database."""
    with tempfile.TemporaryDirectory(prefix="releaser-postgresql-") as folder:
        server = Cluster(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def schema(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty schema of the server, to which libpq's environment leads."""
    name = cluster.create()
    found = {"HOST": "127.0.0.1", "PORT": cluster.port, "USER": OWNER, "DATABASE": "postgres"}
    found |= {"PASSFILE": cluster.passwords, "OPTIONS": f"-csearch_path={name}"}
    for key, value in found.items():
        monkeypatch.setenv(f"PG{key}", str(value))
    return name


class Fate(StrEnum):
    """What becomes of a COMMIT on its way."""

    REQUEST_LOST = "it never arrives"
    ANSWER_LOST = "it is done, and nothing is answered"
    LATE = "nothing is answered, and it is done when the next rows arrive"


class Relay(socketserver.ThreadingTCPServer):
    """Between clients and the server on *port*. ``fate`` is that of the next COMMIT of rows, which is their last."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Line)
        self.port = int(self.server_address[1])
        self.behind = ("127.0.0.1", port)
        self.fate: Fate | None = None
        self.late: list[tuple[socket.socket, bytes]] = []


class _Line(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        relay, client = self.server, self.request
        with socket.create_connection(relay.behind) as behind, suppress(ConnectionError):
            wrote = last_words = False
            while True:
                for end in select.select([client, behind], [], [])[0]:
                    data = end.recv(1 << 16)
                    if not data or (last_words and end is behind):
                        return
                    if relay.fate and wrote and end is client and b"COMMIT" in data:
                        fate, relay.fate = relay.fate, None
                        if fate is Fate.LATE:
                            relay.late.append((behind.dup(), data))
                        if fate is not Fate.ANSWER_LOST:
                            return
                        last_words = True
                    (behind if end is client else client).sendall(data)
                    if b"INSERT INTO" in data:
                        wrote = True
                        for other, commit in relay.late:
                            other.sendall(commit)


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """A relay to the server on *port* for the length of a block, in which all of its clients end as well."""
    with Relay(port) as relay:
        thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
            for other, _ in relay.late:
                other.close()
