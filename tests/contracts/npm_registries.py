"""The npm registries that suites ask, all behind one description, and packages to publish there."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import itertools
import json
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from releaser.adapters.http import Client
from releaser.adapters.npm import Npm
from releaser.adapters.oidc import ActionsIdentity
from releaser.engine.ports import Credential, Receipt
from releaser.model.artifact import Artifact, Kind
from releaser.model.facts import Listing
from releaser.model.manifest import PlannedPublication
from releaser.rehearsal import npm as rehearsal
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.adapters.wires import Clock, at, unheard
from tests.contracts.servers import free_port, running
from tests.contracts.table import REHEARSAL, Column, Documented, Instead, columns
from tests.places import SERVERS

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z, when the rehearsal world begins
FULL, SHORT = "application/json", "application/vnd.npm.install-v1+json"
OWN_WORDS = "it refuses as well, in other words"
DOCUMENT_LIMIT = 1 << 20  # bytes that both servers are set to take
VERDACCIO = Column("verdaccio", "verdaccio 6.8.0", ("node_modules/.bin/verdaccio",), ("node",))

_CONFIGURATION = """\
storage: ./storage
auth: {htpasswd: {file: ./htpasswd, algorithm: bcrypt, rounds: 4}}
uplinks: {}
packages: {'**': {access: $all, publish: owner, unpublish: owner}}
max_body_size: 1mb
log: {type: stdout, level: warn}
"""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Pack:
    """A package as ``npm pack`` leaves it; equal ones have equal bytes. *note* tells apart those of one version."""

    name: str
    version: str = "1.0.0"
    note: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def content(self) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path, text in {"package.json": json.dumps(self._package_json), "index.js": self._script}.items():
                entry = tarfile.TarInfo(f"package/{path}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        return gzip.compress(packed.getvalue(), mtime=0)

    @property
    def _package_json(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "main": "index.js", **self.manifest}

    @property
    def _script(self) -> str:
        return f"module.exports = {json.dumps(self.note or self.version)};\n"

    @property
    def base(self) -> str:
        """The file name that registries serve it under."""
        return f"{self.name.rpartition('/')[2]}-{self.version}.tgz"

    @property
    def integrity(self) -> str:
        return f"sha512-{base64.b64encode(hashlib.sha512(self.content).digest()).decode()}"

    @property
    def shasum(self) -> str:
        return hashlib.sha1(self.content, usedforsecurity=False).hexdigest()

    @property
    def artifact(self) -> Artifact:
        return Artifact(
            name=self.base,
            kind=Kind.NPM,
            group="sdk",
            size=len(self.content),
            sha256=hashlib.sha256(self.content).hexdigest(),
            sha512=hashlib.sha512(self.content).hexdigest(),
        )

    def document(self, tag: str = "latest", **more: Any) -> dict[str, Any]:
        """What npm sends to publish it, after npm/cli workspaces/libnpmpublish/lib/publish.js."""
        filename = f"{self.name}-{self.version}.tgz"
        dist = {
            "integrity": self.integrity,
            "shasum": self.shasum,
            "tarball": f"http://example.invalid/{self.name}/-/{filename}",
        }
        attached = {
            "content_type": "application/octet-stream",
            "data": base64.b64encode(self.content).decode(),
            "length": len(self.content),
        }
        return {
            "_id": self.name,
            "name": self.name,
            "access": None,
            "dist-tags": {tag: self.version},
            "versions": {self.version: {**self._package_json, "dist": dist}},
            "_attachments": {filename: attached},
            **more,
        }


class Setting(Protocol):
    """What only a rehearsal has: time, lag, trusted publishers. A real server takes no notice."""

    clock: float

    def now(self) -> float:
        """The registry's time, POSIX."""

    def trust(self, package: str, **publisher: Any) -> None: ...

    def lag(self, seconds: float) -> None: ...

    def race(self) -> None:
        """Let the next publication meet another writer of the same document."""


class Real:
    """The `Setting` of a server that nobody here wrote."""

    clock = float(NOW)

    def now(self) -> float:
        return time.time()

    def trust(self, package: str, **publisher: Any) -> None: ...

    def lag(self, seconds: float) -> None: ...

    def race(self) -> None: ...


class Rehearsed:
    """The `Setting` of the rehearsal world's registry."""

    def __init__(self, npm: rehearsal.Npm, faults: Faults) -> None:
        self._npm, self._faults = npm, faults
        self.clock = float(NOW)
        npm.now = self.now

    def now(self) -> float:
        return self.clock

    def trust(self, package: str, **publisher: Any) -> None:
        given = {"repository": "acme/widget", "workflow": "release.yml", "environment": "release", **publisher}
        self._npm.trust(package, **given)

    def lag(self, seconds: float) -> None:
        self._npm.index_lag = seconds

    def race(self) -> None:
        self._faults.add(Fault("npm.publish", "status", 409))


@dataclass(frozen=True)
class Served:
    """One registry at both ends of the wire: ``adapter`` is ours, ``http`` is bare.

    ``token`` is of the person who owns every package and whose one-time password is ``otp``; ``stranger`` is a good
    token without a right to any package here.
    """

    url: str
    token: str
    stranger: str
    otp: str
    http: httpx.Client
    client: Client
    issuer: Issuer
    setting: Setting
    folder: Path

    @property
    def adapter(self) -> Npm:
        return Npm(at(self.url), self.client)

    @property
    def identity(self) -> ActionsIdentity:
        return ActionsIdentity(self.client, self.issuer.request_url, self.issuer.request_token)

    def new(self, version: str = "1.0.0", scope: str = "", **more: Any) -> Pack:
        """A package under a name that nobody has used."""
        return Pack(f"{scope}widget-{next(_numbers)}", version, **more)

    def put(self, pack: Pack, tag: str = "latest", token: str | None = None, **more: Any) -> httpx.Response:
        return self.send(pack.document(tag, **more), pack.name, token)

    def send(self, document: object, name: str, token: str | None = None) -> httpx.Response:
        return self.http.put(f"{self.url}/{escaped(name)}", json=document, headers=self.bearing(token))

    def bearing(self, token: str | None = None) -> dict[str, str]:
        """The header with *token*, by default the owner's; none for an empty one."""
        token = self.token if token is None else token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(f"{self.url}{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def packument(self, name: str, accept: str = FULL) -> dict[str, Any]:
        document: dict[str, Any] = self.get(f"/{escaped(name)}", accept=accept).json()
        return document

    def publish(self, pack: Pack, credential: Credential | None = None) -> Receipt:
        """What our adapter makes of publishing *pack*."""
        file = self.folder / pack.base
        file.write_bytes(pack.content)
        planned = PlannedPublication(
            id="sdk", registry="npm", package=pack.name, version=pack.version, files=(pack.base,), wave=0
        )
        right = credential or Credential(self.token, float("inf"))
        return self.adapter.publish(planned, pack.artifact, file, right, unheard)

    def seen(self, pack: Pack) -> str:
        """What our adapter sees of *pack*, for itself and as an installer.

        That is "ours" with its digest, "other bytes", "no version" of a package that is known, or "no package".
        """

        def word(listing: Listing) -> str:
            if listing == Listing(package=True, files={pack.base: f"sha512:{pack.artifact.sha512}"}):
                return "ours"
            return "other bytes" if listing.files else "no version" if listing.package else "no package"

        both = self.adapter.observe(pack.name, pack.version), self.adapter.visible(pack.name, pack.version)
        return " / ".join(dict.fromkeys(map(word, both)))

    def keep(self, name: str, version: str, revision: str | None = None) -> httpx.Response:
        """Unpublish all versions but *version*, as npm/cli workspaces/libnpmpublish/lib/unpublish.js does."""
        document = self.http.get(f"{self.url}/{escaped(name)}?write=true", headers=self.bearing()).json()
        tags = {tag: v for tag, v in document["dist-tags"].items() if v == version}
        kept = {"versions": {version: document["versions"][version]}, "dist-tags": {"latest": version, **tags}}
        path = f"{self.url}/{escaped(name)}/-rev/{revision or document['_rev']}"
        return self.http.put(path, json={**document, **kept}, headers=self.bearing())

    def exchange(self, name: str, jwt: str | None = None, **claims: str) -> httpx.Response:
        """The answer to an identity of the job, as it is but for *claims*."""
        identity = self.issuer.token("npm:127.0.0.1", **claims) if jwt is None else jwt
        path = f"/-/npm/v1/oidc/token/exchange/package/{escaped(name)}"
        return self.http.post(f"{self.url}{path}", headers=self.bearing(identity))

    def mint(self, name: str) -> str:
        """A token for *name* alone; one that is worth nothing where there is no trusted publishing."""
        answer = self.exchange(name)
        return str(answer.json()["token"]) if answer.status_code == 201 else "npm_unminted"


@contextmanager
def served(column: Column, folder: Path) -> Iterator[Served]:
    """The registry of *column*, up for the length of the block."""
    with ExitStack() as stack:
        issuer = Issuer(folder / "oidc", Journal(), Faults())
        issuer.clock = lambda: NOW
        issuer.start()
        stack.callback(issuer.stop)
        client = Client(clock=Clock())
        stack.callback(client.close)
        start = _rehearsal if column is REHEARSAL else _verdaccio
        yield stack.enter_context(start(folder, issuer, client))


@contextmanager
def _rehearsal(folder: Path, issuer: Issuer, client: Client) -> Iterator[Served]:
    faults = Faults()
    npm = rehearsal.Npm(folder / "npm", Journal(), faults, issuer)
    npm.document_limit = DOCUMENT_LIMIT
    npm.start()
    npm.add_package("elsewhere")
    setting = Rehearsed(npm, faults)
    setting.trust("elsewhere")
    with httpx.Client(timeout=60.0, trust_env=False) as http:
        made = Served(npm.url, npm.user_token, "", npm.otp, http, client, issuer, setting, folder)
        yield Served(npm.url, npm.user_token, made.mint("elsewhere"), npm.otp, http, client, issuer, setting, folder)
    npm.stop()


@contextmanager
def _verdaccio(folder: Path, issuer: Issuer, client: Client) -> Iterator[Served]:
    home = folder / "verdaccio"
    home.mkdir()
    (home / "config.yaml").write_text(_CONFIGURATION)
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}"
    command = (SERVERS / "node_modules/.bin/verdaccio", "--config", "config.yaml", "--listen", address)
    with running(*command, ready=f"{url}/-/ping", folder=home) as http:

        def token(user: str) -> str:
            about = {"name": user, "password": "correct horse battery staple"}
            return str(http.put(f"{url}/-/user/org.couchdb.user:{user}", json=about).json()["token"])

        yield Served(url, token("owner"), token("stranger"), "000000", http, client, issuer, Real(), folder)


def fixtures(*servers: Column) -> tuple[Any, Any]:
    """The fixtures ``server`` and ``npm`` of a suite.

    Both are the registry of each of *servers*; ``npm`` puts back time and lag after each case.
    """

    @pytest.fixture(scope="module", params=columns(*servers))
    def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
        with served(request.param, tmp_path_factory.mktemp(request.param.key)) as registry:
            yield registry

    @pytest.fixture
    def npm(server: Served) -> Iterator[Served]:
        yield server
        server.setting.clock = NOW
        server.setting.lag(0)

    return server, npm


def attached(document: dict[str, Any]) -> dict[str, Any]:
    """The tarball in a publish document."""
    tarball: dict[str, Any] = next(iter(document["_attachments"].values()))
    return tarball


def escaped(name: str) -> str:
    """*name* as npm writes it into an address."""
    return name.replace("/", "%2f")


def said(answer: httpx.Response) -> str:
    """Status and words of a refusal, as in ``404 Not found``; the status alone where it has no words."""
    body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    return f"{answer.status_code} {body.get('error', '')}".strip()


def refused(documented: Documented, words: str, verdaccio: str) -> str:
    """What `said` must give to a wrong document: *words*, or verdaccio's, and why that is no harm."""
    match verdaccio[:3]:
        case "201":
            why = "it does not check this; the adapter reads the digest back"
        case "404":
            why = "it stores the version and fails at its tag; the adapter reads the digest back"
        case "500":
            why = "it fails, and stores no version"
        case status:
            why = OWN_WORDS if status == words[:3] else "it refuses as well, with another status"
    return documented(words, verdaccio=Instead(verdaccio, why))
