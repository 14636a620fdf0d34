"""What only a rehearsal has: faults, a journal, packages that exist from the start. The rest is held to contracts."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.npm import Npm
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.contracts.npm_registries import Pack

PACK = Pack("widget")


class World:
    def __init__(self, root: Path) -> None:
        self.journal, self.faults = Journal(), Faults()
        self.issuer = Issuer(root / "oidc", self.journal, self.faults)
        self.npm = Npm(root / "npm", self.journal, self.faults, self.issuer)
        self.http = httpx.Client(base_url=self.npm.url, timeout=60.0, trust_env=False)

    def put(self, token: str) -> httpx.Response:
        return self.http.put(f"/{PACK.name}", json=PACK.document(), headers={"Authorization": f"Bearer {token}"})

    def exchange(self) -> httpx.Response:
        identity = self.issuer.token("npm:127.0.0.1")
        path = f"/-/npm/v1/oidc/token/exchange/package/{PACK.name}"
        return self.http.post(path, headers={"Authorization": f"Bearer {identity}"})

    def versions(self) -> list[str]:
        return list(self.http.get(f"/{PACK.name}").json()["versions"])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    services = world.issuer, world.npm
    for service in services:
        service.start()
    world.npm.add_package(PACK.name)
    yield world
    world.http.close()
    for service in services:
        service.stop()


def test_a_package_can_exist_from_the_start(world: World) -> None:
    (described,) = world.http.get(f"/{PACK.name}").json()["versions"].values()
    with tarfile.open(fileobj=io.BytesIO(httpx.get(described["dist"]["tarball"]).content)) as archive:
        (member,) = archive.getmembers()
        packed = archive.extractfile(member)
        assert packed is not None
        assert (member.name, json.loads(packed.read())["version"]) == ("package/package.json", "0.0.1")


def test_a_package_has_one_trusted_publisher(world: World) -> None:
    world.npm.trust(PACK.name, "acme/widget", "release.yml")
    world.npm.trust(PACK.name, "acme/widget", "other.yml")

    assert world.exchange().status_code == 404


def test_a_dropped_connection_leaves_the_version_published(world: World) -> None:
    world.faults.add(Fault("npm.publish", "drop"))

    with pytest.raises(httpx.RemoteProtocolError):
        world.put(world.npm.user_token)

    assert world.versions() == ["0.0.1", "1.0.0"]


def test_an_injected_fault_changes_nothing_and_speaks_as_npm_does(world: World) -> None:
    world.faults.add(Fault("npm.publish", "status", 409))

    answer = world.put(world.npm.user_token)

    assert (answer.status_code, answer.json()) == (409, {"error": "injected fault"})
    assert world.versions() == ["0.0.1"]


def test_the_journal_holds_no_token(world: World) -> None:
    world.npm.trust(PACK.name, "acme/widget", "release.yml")
    token = world.exchange().json()["token"]
    world.put(token)

    assert token not in repr(world.journal.calls())
    assert [c.operation for c in world.journal.writes()] == ["npm.exchange", "npm.publish"]
