"""Python package indexes under test: the rehearsal world's, pypiserver and devpi-server.

An `Index` has both ends of the contract: our adapter in front of it, and its bare wire.
"""

from __future__ import annotations

import base64
import itertools
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

from releaser.adapters.endpoints import PyPIEndpoints
from releaser.adapters.http import Client, tls
from releaser.adapters.oidc import ActionsIdentity
from releaser.adapters.pypi import PyPI
from releaser.engine.ports import Credential, Registry, Sent
from releaser.engine.survey import shelf
from releaser.errors import ExternalError
from releaser.inspect.files import inspect
from releaser.model.facts import Listing, Presence
from releaser.rehearsal import pypi as rehearsal
from releaser.rehearsal.issuer import CLAIMS, Issuer
from releaser.rehearsal.server import Faults, Journal
from tests.adapters.wires import Clock, at, unheard
from tests.contracts.dists import NOTHING, Dist, stem
from tests.contracts.servers import SERVERS, free_port, running
from tests.contracts.table import REHEARSAL, Column, Instead, columns

PYPISERVER = Column("pypiserver", "pypiserver", needs=("venv/bin/pypi-server",))
DEVPI = Column("devpi", "devpi-server", needs=("venv/bin/devpi-server", "venv/bin/devpi-init"))

JSON = "application/vnd.pypi.simple.v1+json"
ABSENT = "404 Not Found"
UNAUTHENTIC = "403 Invalid or non-existent authentication information."
NOW = 1_800_000_000.0
USER, PASSWORD = "__token__", "a password that is no token"


V = TypeVar("V")


def elsewhere(value: V, why: str) -> dict[str, Instead[V]]:
    """What both real servers do instead."""
    return {column.key: Instead(value, why) for column in (PYPISERVER, DEVPI)}


class Gateway(httpx.HTTPTransport):
    """What a reverse proxy in front of a real server would do, so that it looks like the documented index.

    pypiserver only has HTML pages, which are put into the JSON form of PEP 691; devpi-server has its simple pages
    below ``+simple``. Digests pass untouched.
    """

    def __init__(self, simple: str) -> None:
        super().__init__(verify=tls())
        self._simple = f"/{simple}/".encode()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(raw_path=request.url.raw_path.replace(b"/simple/", self._simple))
        response = super().handle_request(request)
        if request.headers["Accept"] == JSON and response.status_code == 200 and is_html(response):
            response.request = request
            response.read()
            return pep691(response)
        return response


@dataclass
class Index:
    """One server, to which *token* may upload anything; *world* is the server itself where it is the rehearsal's."""

    upload: str
    root: str
    simple: str
    token: str
    client: Client
    http: httpx.Client
    issuer: Issuer
    folder: Path
    world: rehearsal.PyPI | None = None
    clock: float = NOW

    @property
    def registry(self) -> Registry:
        return PyPI(replace(at(self.root), pypi=PyPIEndpoints(self.upload, self.root)), self.client)

    # uploading

    def send(
        self,
        dist: Dist,
        *,
        token: str | None = None,
        user: str = USER,
        content_type: str = "application/octet-stream",
        fields: Mapping[str, str | None] = NOTHING,
    ) -> str:
        """The answer to *dist* in its form, in which *fields* are different (None: left out)."""
        form = {name: value for name, value in {**dist.form(), **fields}.items() if value is not None}
        file = {"content": (dist.filename, dist.content, content_type)}
        auth = (user.encode(), (self.token if token is None else token).encode())
        return said(self.http.post(self.upload, data=form, files=file, auth=auth))

    def post(self, content: bytes, content_type: str = "multipart/form-data; boundary=edge") -> str:
        """The answer to a body that need not be a form."""
        headers = {"Content-Type": content_type}
        return said(self.http.post(self.upload, content=content, headers=headers, auth=(USER, self.token)))

    def publish(self, dist: Dist, *, token: str | None = None, instead: bytes | None = None) -> str:
        """What our adapter says became of *dist*, in the form of `said`; *instead* are the file's bytes in truth."""
        credential = Credential(self.token if token is None else token, self.clock + 900)
        file = dist.write(self.folder)
        if instead is not None:
            file.write_bytes(instead)
        receipt = self.registry.publish(dist.publication, dist.artifact, file, credential, unheard)
        if receipt.sent is Sent.ACCEPTED:
            return "200"
        taken = "has since been deleted" in receipt.detail or "older than 14 days" in receipt.detail
        denied = receipt.detail.startswith(("401", "403"))
        refusal = Sent.TAKEN if taken else Sent.DENIED if denied else Sent.REFUSED
        assert receipt.sent is (refusal if receipt.detail.startswith("4") else Sent.UNKNOWN)
        return receipt.detail

    def objections(self, dist: Dist) -> list[str]:
        """What our own look at *dist* finds, before anything is sent."""
        inspected = inspect(dist.write(self.folder))
        found = [objection.found for objection in self.registry.objections("sdk", dist.project, inspected)]
        return found + list(inspected.contents.problems)

    def remove(self, dist: Dist) -> str:
        """Delete a file in the way of each server: what a maintainer does on the web site of the documented one."""
        if self.world is not None:
            self.world.delete_file(dist.filename)
            return "200"
        form = {":action": "remove_pkg", "name": stem(dist.project), "version": dist.version}
        answer = self.http.post(self.upload, files={"unused": b""}, data=form, auth=(USER, self.token))
        return said(answer)

    # reading

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(self.root + path, headers=_headers(headers))

    def page(self, project: str, accept: str = JSON, **headers: str) -> httpx.Response:
        """The simple page of *project*."""
        return self.http.get(f"{self.simple}{project}/", headers={"Accept": accept, **_headers(headers)})

    def document(self, project: str) -> dict[str, Any]:
        """The simple page as PEP 691 has it, empty where there is none."""
        page = self.page(project)
        document: dict[str, Any] = {} if page.status_code == 404 else pep691(page).json()
        return document

    def files(self, project: str) -> dict[str, str]:
        """File names and SHA-256 on the simple page."""
        return {file["filename"]: file["hashes"]["sha256"] for file in self.document(project).get("files", ())}

    def projects(self) -> dict[str, dict[str, str]]:
        """The names on the list of projects, with the attributes of their links."""
        return anchors(self.http.get(self.simple, headers={"Accept": "text/html"}).text)

    def listed(self, dist: Dist) -> Listing:
        """What is there of the project and version of *dist*: both views of the adapter, and the wire, agree."""
        listing = self.registry.observe(dist.project, dist.version)
        assert self.registry.visible(dist.project, dist.version) == listing
        assert listing.package is bool(self.document(dist.project))
        shown = {name: f"sha256:{digest}" for name, digest in self.files(dist.project).items()}
        assert listing.files.items() <= shown.items()
        return listing

    def presence(self, dist: Dist) -> Presence:
        """What the engine makes of *dist* and what is listed."""
        return shelf(self.registry, dist.publication, [dist.artifact], self.listed(dist)).files[dist.filename]

    # trusted publishing

    def job(self, **claims: str) -> None:
        """Let this be a job with *claims*, else that of a release in acme/widget."""
        self.issuer.claims = {**CLAIMS, **claims}

    def trust(self, project: str, repository: str = "acme/widget", environment: str | None = "release") -> None:
        """Register a trusted publisher, where there is such a thing."""
        if self.world is not None:
            self.world.trust(project, repository, "release.yml", environment)

    def exchange(self, body: object) -> httpx.Response:
        return self.http.post(f"{self.root}/_/oidc/mint-token", json=body)

    def mint(self) -> str:
        """The answer to an exchange of a fresh identity of the job, in the form of `minted`."""
        return minted(self.exchange({"token": self.issuer.token("pypi")}))

    def authorize(self, project: str) -> Credential | str:
        """The credential that our adapter is given, or what it says that the index said."""
        identity = ActionsIdentity(self.client, self.issuer.request_url, self.issuer.request_token)
        try:
            return self.registry.authorize(project, identity)
        except ExternalError as error:
            return str(error.found).partition("; presented ")[0]

    def job_token(self, project: str) -> str:
        """The token that the job is given for *project*; that of a person where a job is given none."""
        credential = self.authorize(project)
        return credential.secret if isinstance(credential, Credential) else self.token

    # the state of the world

    @property
    def file_limit(self) -> int:
        """How many bytes a file of a new project may have; 0 without a limit."""
        return self.world.file_limit if self.world is not None else 0

    def later(self, seconds: float) -> None:
        """Let time pass, for an index whose clock can be set."""
        self.clock += seconds

    def configure(self, **settings: object) -> None:
        """What those who run the documented index can set; other servers have no such setting."""
        for name, value in settings.items():
            if self.world is not None:
                setattr(self.world, name, value)

    def add_project(self, name: str) -> None:
        """Let *name* exist without files, where a project can."""
        if self.world is not None:
            self.world.add_package(name)


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


def said(answer: httpx.Response) -> str:
    """Status and reason phrase, which is where an index puts its message; of a plain success the status alone."""
    phrase: bytes = answer.extensions["reason_phrase"]  # httpx's own property drops what is not ASCII
    text = f"{answer.status_code} {phrase.decode('latin-1')}"
    return "200" if text == "200 OK" else text


def minted(answer: httpx.Response) -> str:
    """The answer to an exchange: code and description of a documented refusal, else what `said` says."""
    if answer.status_code != 422:
        return said(answer)
    document = answer.json()
    (error,) = document["errors"]
    assert document == {"message": "Token request failed", "errors": [error]}
    assert error.keys() == {"code", "description"}
    return f"422 {error['code']}: {error['description']}"


def is_html(page: httpx.Response) -> bool:
    return str(page.headers.get("Content-Type")).startswith("text/html")


def pep691(page: httpx.Response) -> httpx.Response:
    """A simple page in JSON, made from the HTML form where that is all there is."""
    if not is_html(page):
        return page
    name = page.request.url.path.rstrip("/").rpartition("/")[2]
    links = {file: urlsplit(attributes["href"]).fragment for file, attributes in anchors(page.text).items()}
    files = [{"filename": f, "hashes": dict([fragment.split("=")])} for f, fragment in links.items()]
    return httpx.Response(200, json={"name": name, "files": files}, headers={"Content-Type": JSON})


def anchors(page: str) -> dict[str, dict[str, str]]:
    """Every link's text and attributes."""
    found: dict[str, dict[str, str]] = {}

    class Reader(HTMLParser):
        link: Mapping[str, str] = NOTHING

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.link = {name: value or "" for name, value in attrs} if tag == "a" else NOTHING

        def handle_data(self, data: str) -> None:
            if self.link:
                found[data] = dict(self.link)

        def handle_endtag(self, tag: str) -> None:
            self.link = NOTHING

    Reader().feed(page)
    return found


@dataclass(frozen=True, slots=True)
class Server:
    """A real server: where its upload form is, what its pages hang below, and what its simple index is called."""

    http: httpx.Client
    token: str
    upload: str
    root: str
    simple: str = "simple"


@contextmanager
def pypiserver(folder: Path) -> Iterator[Server]:
    """A pypiserver to which `USER` may upload."""
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    packages = folder / "packages"
    packages.mkdir(parents=True)
    (folder / "htpasswd").write_text(f"{USER}:{PASSWORD}\n")
    options = ("-i", "127.0.0.1", "-p", str(port), "-P", "htpasswd", "-a", "update", "--disable-fallback")
    with running(SERVERS / "venv/bin/pypi-server", "run", *options, packages, ready=f"{root}/", folder=folder) as http:
        yield Server(http, PASSWORD, f"{root}/", root)


@contextmanager
def devpi(folder: Path) -> Iterator[Server]:
    """A devpi-server with one non-volatile index of `USER`."""
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    init = (SERVERS / "venv/bin/devpi-init", "--serverdir", folder / "data", "--no-root-pypi")
    subprocess.run(init, check=True, capture_output=True)
    options = ("--serverdir", "data", "--host", "127.0.0.1", "--port", str(port), "--offline-mode")
    with running(SERVERS / "venv/bin/devpi-server", *options, ready=f"{root}/", folder=folder) as http:
        http.put(f"{root}/{USER}", json={"password": PASSWORD}).raise_for_status()
        login = http.post(f"{root}/+login", json={"user": USER, "password": PASSWORD}).raise_for_status().json()
        token = str(login["result"]["password"])  # of a session: the password itself takes long to check
        session = base64.b64encode(f"{USER}:{token}".encode()).decode()
        index = f"{root}/{USER}/index"
        settings = {"bases": [], "volatile": False}
        http.put(index, json=settings, headers={"X-Devpi-Auth": session}).raise_for_status()
        yield Server(http, token, f"{index}/", index, "+simple")


def fixtures(*servers: Column) -> tuple[Any, Any, Any]:
    """The fixtures ``at``, ``index`` and ``project`` of a module: an index at each of *servers*, and a new name."""
    numbers = itertools.count(1)

    @pytest.fixture(scope="module")
    def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
        with _indexes(tmp_path_factory.mktemp("indexes")) as at:
            yield at

    @pytest.fixture(params=columns(*servers))
    def index(request: pytest.FixtureRequest, at: Opener, tmp_path: Path) -> Iterator[Index]:
        with at(request.param, tmp_path) as index:
            yield index

    @pytest.fixture
    def project() -> str:
        """A name that nobody has used yet, and whose spelling is not the one in file names."""
        return f"widget-{next(numbers)}"

    return at, index, project


Opener = Callable[[Column, Path], AbstractContextManager[Index]]


@contextmanager
def _indexes(folder: Path) -> Iterator[Opener]:
    """What opens an `Index` at a column with room in a folder; a real server is started when it is first asked for."""
    with ExitStack() as stack:
        issuer = Issuer(folder / "oidc", Journal(), Faults())
        issuer.start()
        stack.callback(issuer.stop)
        http = stack.enter_context(
            httpx.Client(timeout=60.0, trust_env=False)
        )  # one for all: making it takes longer than a case

        @cache
        def server(key: str) -> Server:
            return stack.enter_context({PYPISERVER.key: pypiserver, DEVPI.key: devpi}[key](folder / key))

        def at(column: Column, room: Path) -> AbstractContextManager[Index]:
            issuer.claims = dict(CLAIMS)
            if column.key == REHEARSAL.key:
                return _rehearsed(room, issuer, http)
            return _real(server(column.key), room, issuer)

        yield at


@contextmanager
def _rehearsed(room: Path, issuer: Issuer, http: httpx.Client) -> Iterator[Index]:
    """A rehearsal index of its own, whose clock begins at `NOW`."""
    world = rehearsal.PyPI(room / "index", Journal(), Faults(), issuer)
    world.start()
    with closing(Client(clock=Clock())) as client:
        simple = f"{world.url}/simple/"
        index = Index(f"{world.url}/legacy/", world.url, simple, world.user_token, client, http, issuer, room, world)
        world.now = issuer.clock = lambda: index.clock
        yield index
    world.stop()


@contextmanager
def _real(server: Server, room: Path, issuer: Issuer) -> Iterator[Index]:
    """A real server that cases share; each uses projects of its own."""
    simple = f"{server.root}/{server.simple}/"
    issuer.clock = lambda: NOW
    with closing(Client(transport=Gateway(server.simple), clock=Clock())) as client:
        yield Index(server.upload, server.root, simple, server.token, client, server.http, issuer, room)
