"""The rehearsal Python index as a rehearsal: its faults, its form reader, its journal.

What it has in common with the real index is in tests/contracts/test_pypi.py.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from releaser.errors import ConfigError
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.pypi import PyPI
from releaser.rehearsal.pypi_upload import receive
from releaser.rehearsal.server import Fault, Faults, Journal, Request
from tests.contracts.dists import Dist, wheel

WHEEL = wheel("widget")


class World:
    def __init__(self, root: Path, issuer: Issuer) -> None:
        self.journal, self.faults, self.issuer = Journal(), Faults(), issuer
        self.pypi = PyPI(root / "pypi", self.journal, self.faults, issuer)
        self.pypi.start()
        self.http = httpx.Client(base_url=self.pypi.url, timeout=60.0)

    def token(self) -> str:
        answer = self.http.post("/_/oidc/mint-token", json={"token": self.issuer.token("pypi")})
        return str(answer.json()["token"])

    def upload(self, dist: Dist, token: str | None = None) -> httpx.Response:
        file = {"content": (dist.filename, dist.content)}
        auth = ("__token__", self.pypi.user_token if token is None else token)
        return self.http.post("/legacy/", data=dist.form(), files=file, auth=auth)

    def stored(self) -> list[str]:
        return sorted(p.name for p in (self.pypi.root / "files").iterdir() if p.suffix != ".metadata")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path_factory.mktemp("oidc"), Journal(), Faults())
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[World]:
    world = World(tmp_path, issuer)
    yield world
    world.http.close()
    world.pypi.stop()


class Trickle(io.BytesIO):
    """A stream that hands out a few bytes at a time, as a slow connection does."""

    step = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.step)


@pytest.mark.parametrize("step", [1, 2, 5, 64])
def test_a_form_is_read_the_same_wherever_it_is_cut(tmp_path: Path, step: int) -> None:
    content = b"\r\n--edge\r\r\n-\r\n--edg"
    body = Trickle(
        b'preamble\r\n--edge-x\r\nContent-Disposition: form-data; name="name"\r\n\r\nwidget\r\n--edge-x\r\n'
        b'Content-Disposition: form-data; name="content"; filename="a.whl"\r\n\r\n'
        + content
        + b"\r\n--edge-x--\r\nepilogue"
    )
    body.step = step
    headers = {"content-type": 'multipart/form-data; boundary="edge-x"'}

    upload = receive(Request("POST", "/legacy/", {}, {}, headers, body, 0), tmp_path / "content")

    assert (upload.text("name"), upload.filename, upload.size) == ("widget", "a.whl", len(content))
    assert upload.path.read_bytes() == content
    assert upload.digests["sha256"] == hashlib.sha256(content).hexdigest()


def test_one_workflow_is_pending_for_one_project_only(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml", "release")

    with pytest.raises(ConfigError) as refused:
        world.pypi.trust("gadget", "acme/widget", "release.yml", "release")

    assert refused.value.code == "pending-publisher-taken"


def test_a_dropped_connection_leaves_the_file_stored(world: World) -> None:
    world.faults.add(Fault("pypi.upload", "drop"))

    with pytest.raises(httpx.RemoteProtocolError):
        world.upload(WHEEL)

    assert world.stored() == [WHEEL.filename]


def test_an_injected_error_speaks_in_the_reason_phrase(world: World) -> None:
    world.faults.add(Fault("pypi.upload", "status", 503))

    answer = world.upload(WHEEL)

    assert (answer.status_code, answer.reason_phrase) == (503, "injected fault")
    assert world.stored() == []


def test_the_journal_holds_no_token(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml")
    token = world.token()
    world.upload(WHEEL, token)

    assert token not in repr(world.journal.calls())
    assert [c.operation for c in world.journal.writes()] == ["pypi.mint-token", "pypi.upload"]
