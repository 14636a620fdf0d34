"""The crate registries that suites ask, all behind one description, and crates to publish there."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from releaser.adapters.crates import Crates, index_path
from releaser.adapters.endpoints import CratesEndpoints, Endpoints
from releaser.adapters.http import Client, tls
from releaser.adapters.oidc import ActionsIdentity
from releaser.engine.ports import Credential, Receipt
from releaser.model.artifact import Artifact, Kind
from releaser.model.facts import Listing
from releaser.model.manifest import PlannedPublication
from releaser.rehearsal import crates as rehearsal
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.adapters.wires import Clock, at, unheard
from tests.contracts.servers import free_port, running
from tests.contracts.table import REHEARSAL, Column, Documented, Instead, columns
from tests.places import SERVERS

KELLNR = Column("kellnr", "kellnr 6.6.0", ("bin/kellnr",))
ABOUT = 'description = "A widget"\nlicense = "MIT"\n'
UNMINTED = "cio_tp_" + "A" * 31 + "D"  # well formed: its last character checks the others
NO_PAGES = "it has no pages of crates, only an index; what is read instead is not believed"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Crate:
    """A ``.crate`` with its Cargo.toml: *package* are lines of ``[package]``, *tables* what follows it.

    *files* are further members by path, *folder* is the archive's one folder if not the announced one, *note* tells
    apart the bytes of one version. *said* is what the JSON beside it says instead of the truth. *packed* is the whole
    archive where somebody else made it.
    """

    name: str
    version: str = "1.0.0"
    package: str = ABOUT
    tables: str = ""
    note: str = ""
    folder: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    packed: bytes = field(default=b"", repr=False)

    @cached_property
    def content(self) -> bytes:
        if self.packed:
            return self.packed
        manifest = f'[package]\nname = "{self.name}"\nversion = "{self.version}"\n{self.package}{self.tables}'
        folder = self.folder or f"{self.said.get('name', self.name)}-{self.said.get('vers', self.version)}"
        return archive(folder, {"Cargo.toml": manifest, "src/lib.rs": f"// {self.note}\n", **self.files})

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def base(self) -> str:
        return f"{self.stem}.crate"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def artifact(self) -> Artifact:
        return Artifact(name=self.base, kind=Kind.CRATE, group="sdk", size=len(self.content), sha256=self.sha256)

    @property
    def document(self) -> bytes:
        about = {"name": self.name, "vers": self.version, "deps": [], "features": {}, "authors": [], "keywords": []}
        return json.dumps({**about, "categories": [], "badges": {}, **self.said}).encode()

    @property
    def body(self) -> bytes:
        """What cargo sends to publish it (cargo's book, reference/registry-web-api.md)."""
        return framed(self.document, self.content)


def framed(document: bytes, content: bytes) -> bytes:
    return struct.pack("<I", len(document)) + document + struct.pack("<I", len(content)) + content


def archive(folder: str, members: Mapping[str, str | tarfile.TarInfo]) -> bytes:
    """A compressed tar of *members* by path below *folder*: texts, or entries of other types."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, text in members.items():
            entry = tarfile.TarInfo() if isinstance(text, str) else text
            content = text.encode() if isinstance(text, str) else b""
            entry.name, entry.size = f"{folder}/{path}", len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


class Setting(Protocol):
    """What only a rehearsal has: time, lag, trusted publishers, faults. A real server takes no notice."""

    def wait(self, seconds: float) -> None: ...

    def lag(self, seconds: float) -> None: ...

    def seed(self, package: str) -> None:
        """Let *package* be there from the start."""

    def trust(self, package: str, **publisher: Any) -> None: ...

    def close(self, package: str) -> None:
        """Let *package* be published by trusted publishing alone."""

    def fail(self, operation: str, status: int) -> None: ...


class Real:
    """The `Setting` of a server that nobody here wrote."""

    def wait(self, seconds: float) -> None: ...

    def lag(self, seconds: float) -> None: ...

    def seed(self, package: str) -> None: ...

    def trust(self, package: str, **publisher: Any) -> None: ...

    def close(self, package: str) -> None: ...

    def fail(self, operation: str, status: int) -> None: ...


class Rehearsed:
    """The `Setting` of the rehearsal world's registry, on the clock of *client*."""

    def __init__(self, crates: rehearsal.Crates, faults: Faults, clock: Clock) -> None:
        self._crates, self._faults, self._clock = crates, faults, clock
        crates.now = lambda: clock.now().timestamp()

    def wait(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def lag(self, seconds: float) -> None:
        self._crates.index_lag = seconds

    def seed(self, package: str) -> None:
        self._crates.add_package(package)

    def trust(self, package: str, **publisher: Any) -> None:
        self._crates.trust(package, **{"repository": "acme/widget", "workflow": "release.yml", **publisher})

    def close(self, package: str) -> None:
        self._crates.trustpub_only.add(package)

    def fail(self, operation: str, status: int) -> None:
        self._faults.add(Fault(f"crates.{operation}", "status", status))


@dataclass(frozen=True)
class Served:
    """One registry at both ends of the wire: ``adapter`` is ours, ``http`` is bare.

    ``index`` is the root of its sparse index, ``token`` that of a person who owns every crate.
    """

    url: str
    index: str
    token: str
    http: httpx.Client
    client: Client
    clock: Clock
    issuer: Issuer
    setting: Setting
    folder: Path

    @property
    def adapter(self) -> Crates:
        return Crates(self.endpoints(self.index), self.client)

    def endpoints(self, index: str) -> Endpoints:
        return replace(at(self.url), crates=CratesEndpoints(self.url, index))

    @property
    def identity(self) -> ActionsIdentity:
        return ActionsIdentity(self.client, self.issuer.request_url, self.issuer.request_token)

    @property
    def person(self) -> Credential:
        return Credential(self.token, float("inf"))

    def new(self, version: str = "1.0.0", **more: Any) -> Crate:
        """A crate under a name that nobody has used."""
        return Crate(f"widget-{next(_numbers)}", version, **more)

    def old(self, version: str = "0.1.0") -> Crate:
        """A crate that is there already."""
        crate = self.new(version)
        self.put(crate).raise_for_status()
        return crate

    def put(self, crate: Crate, token: str | None = None, **headers: str) -> httpx.Response:
        return self.send(crate.body, token, **headers)

    def send(self, body: bytes, token: str | None = None, **headers: str) -> httpx.Response:
        return self.http.put(
            f"{self.url}/api/v1/crates/new", content=body, headers=self.bearing(token) | _named(headers)
        )

    def bearing(self, token: str | None = None) -> dict[str, str]:
        """The header with *token*, by default the person's; none for an empty one."""
        token = self.token if token is None else token
        return {"Authorization": token} if token else {}

    def get(self, path: str, **headers: str) -> httpx.Response:
        """A page of the API."""
        return self.http.get(f"{self.url}/api/v1/crates/{path}", headers=_named(headers))

    def entry(self, path: str, **headers: str) -> httpx.Response:
        """A file of the index."""
        return self.http.get(f"{self.index}/{path}", headers=_named(headers))

    def lines(self, name: str) -> list[dict[str, Any]]:
        """What the index says of *name*, oldest version first."""
        answer = self.entry(index_path(name))
        return [json.loads(line) for line in answer.text.splitlines()] if answer.status_code == 200 else []

    def versions(self, name: str) -> list[str]:
        return [line["vers"] for line in self.lines(name)]

    def archive(self, crate: Crate) -> httpx.Response:
        """The archive from where the index's configuration says it is."""
        template = self.entry("config.json").json()["dl"]
        marked = template if "{" in template else f"{template}/{{crate}}/{{version}}/download"
        return self.http.get(marked.format(crate=crate.name, version=crate.version))

    def publish(self, crate: Crate, credential: Credential | None = None, index: str = "") -> Receipt:
        """What our adapter makes of publishing *crate*, by default as the person."""
        file = self.folder / crate.base
        file.write_bytes(crate.content)
        planned = PlannedPublication(
            id="sdk", registry="crates.io", package=crate.name, version=crate.version, files=(crate.base,), wave=0
        )
        adapter = Crates(self.endpoints(index or self.index), self.client)
        return adapter.publish(planned, crate.artifact, file, credential or self.person, unheard)

    def yank(self, crate: Crate, token: str | None = None, back: bool = False, **headers: str) -> httpx.Response:
        path = f"{self.url}/api/v1/crates/{crate.name}/{crate.version}/{'unyank' if back else 'yank'}"
        given = self.bearing(token) | _named(headers)
        return self.http.request("PUT" if back else "DELETE", path, headers=given)

    def exchange(self, jwt: str | None = None, **claims: str) -> httpx.Response:
        """The answer to an identity of the job, as it is but for *claims*."""
        return self.present({"jwt": self.issuer.token("crates.io", **claims) if jwt is None else jwt})

    def present(self, said: object, **headers: str) -> httpx.Response:
        return self.http.post(f"{self.url}/api/v1/trusted_publishing/tokens", json=said, headers=_named(headers))

    def mint(self, **claims: str) -> str:
        """A minted token; a well-formed one that is worth nothing where there is no trusted publishing."""
        answer = self.exchange(**claims)
        return str(answer.json()["token"]) if answer.status_code == 200 else UNMINTED

    def revoke(self, **headers: str) -> httpx.Response:
        return self.http.delete(f"{self.url}/api/v1/trusted_publishing/tokens", headers=_named(headers))


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def served(column: Column, folder: Path, issuer: Issuer) -> Iterator[Served]:
    """The registry of *column*, empty, up for the length of the block."""
    with ExitStack() as stack:
        clock = Clock()
        client = Client(clock=clock)
        stack.callback(client.close)
        start = _rehearsal if column is REHEARSAL else _kellnr
        yield stack.enter_context(start(folder, issuer, client, clock))


@contextmanager
def _rehearsal(folder: Path, issuer: Issuer, client: Client, clock: Clock) -> Iterator[Served]:
    faults = Faults()
    crates = rehearsal.Crates(folder / "crates", Journal(), faults, issuer)
    crates.start()
    setting = Rehearsed(crates, faults, clock)
    index = crates.index.removeprefix("sparse+").removesuffix("/")
    with httpx.Client(timeout=60.0, trust_env=False, verify=tls(), headers={"User-Agent": "contracts"}) as http:
        yield Served(crates.url, index, crates.user_token, http, client, clock, issuer, setting, folder)
    crates.stop()


@contextmanager
def _kellnr(folder: Path, issuer: Issuer, client: Client, clock: Clock) -> Iterator[Served]:
    port, token = str(free_port()), "ownerownerownerownerownerownerow"
    environ = {
        "KELLNR_REGISTRY__DATA_DIR": str(folder / "kellnr"),
        "KELLNR_LOCAL__IP": "127.0.0.1",
        "KELLNR_LOCAL__PORT": port,
        "KELLNR_ORIGIN__HOSTNAME": "127.0.0.1",
        "KELLNR_ORIGIN__PORT": port,
        "KELLNR_SETUP__ADMIN_TOKEN": token,
        "KELLNR_REGISTRY__MAX_CRATE_SIZE": "11",  # million bytes of a whole request; 10 MiB is more than 10
    }
    url = f"http://127.0.0.1:{port}"
    index = f"{url}/api/v1/crates"
    with (
        running(SERVERS / "bin/kellnr", "start", ready=f"{index}/config.json", folder=folder, environ=environ),
        # It hangs up on a body that it has not read, so no connection is used twice.
        httpx.Client(
            timeout=60.0, trust_env=False, verify=tls(), limits=httpx.Limits(max_keepalive_connections=0)
        ) as http,
    ):
        yield Served(url, index, token, http, client, clock, issuer, Real(), folder)


def fixtures(*servers: Column) -> tuple[Any, Any, Any]:
    """The fixtures ``issuer``, ``server`` and ``registry`` of a suite: its identity provider, and each of *servers*.

    A rehearsal registry is made anew for each case, which may limit or lag; a real server is one for all of them.
    """

    @pytest.fixture(scope="module")
    def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
        issuer = Issuer(tmp_path_factory.mktemp("oidc"), Journal(), Faults())
        issuer.start()
        yield issuer
        issuer.stop()

    @pytest.fixture(scope="module", params=columns(*servers))
    def server(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, issuer: Issuer
    ) -> Iterator[Callable[[], AbstractContextManager[Served]]]:
        column: Column = request.param
        if column is REHEARSAL:
            yield lambda: served(column, tmp_path_factory.mktemp(column.key), issuer)
        else:
            with served(column, tmp_path_factory.mktemp(column.key), issuer) as only:
                yield lambda: nullcontext(only)

    @pytest.fixture
    def registry(server: Callable[[], AbstractContextManager[Served]]) -> Iterator[Served]:
        with server() as registry:
            yield registry

    return issuer, server, registry


def listing(crate: Crate) -> Listing:
    """What a registry shows that has *crate*."""
    return Listing(True, {crate.base: f"sha256:{crate.sha256}"})


def said(answer: httpx.Response, crate: Crate | None = None) -> str:
    """Status and words of a refusal, as in ``404 crate `x` does not exist``; *crate* goes by the name ``widget``."""
    body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    words = ", ".join(error["detail"] for error in body.get("errors", ())) if body else answer.text.partition("\n")[0]
    return f"{answer.status_code} {words.replace(crate.name, 'widget') if crate else words}".strip()


def worded(documented: Documented, words: str, kellnr: Instead[str]) -> str:
    """What `said` must give: *words*, or kellnr's; the table tells statuses apart, and no more than that of words."""
    if kellnr.value[:3] == words[:3]:
        own = documented("the documented words", kellnr=Instead("its own words", kellnr.why)) != "the documented words"
    else:
        own = documented(words[:3], kellnr=replace(kellnr, value=kellnr.value[:3])) != words[:3]
    return kellnr.value if own else words


def state(seen: Listing, crate: Crate) -> str:
    """What a registry shows, in a word."""
    return {
        listing(crate).files.get(crate.base): "ours",
        None: "no such version" if seen.package else "no such crate",
    }.get(seen.files.get(crate.base), "other bytes")
