"""What only the rehearsal crate registry has: effects without an answer, a journal. Its wire is in tests/contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from releaser.rehearsal.crates import Crates
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.contracts.crate_registries import Crate

CRATE = Crate("widget")


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path / "oidc", Journal(), Faults())
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture
def crates(tmp_path: Path, issuer: Issuer) -> Iterator[Crates]:
    crates = Crates(tmp_path / "crates", Journal(), Faults(), issuer)
    crates.start()
    crates.add_package("widget")
    yield crates
    crates.stop()


def publish(crates: Crates, token: str) -> httpx.Response:
    headers = {"Authorization": token}
    return httpx.put(f"{crates.url}/api/v1/crates/new", content=CRATE.body, headers=headers, trust_env=False)


def test_a_dropped_connection_leaves_the_crate_published(crates: Crates) -> None:
    crates.faults.add(Fault("crates.publish", "drop"))

    with pytest.raises(httpx.RemoteProtocolError):
        publish(crates, crates.user_token)

    assert CRATE.sha256 in httpx.get(f"{crates.url}/index/wi/dg/widget", trust_env=False).text


def test_the_journal_holds_no_token(crates: Crates, issuer: Issuer) -> None:
    crates.trust("widget", "acme/widget", "release.yml")
    identity = {"jwt": issuer.token("crates.io")}
    token = httpx.post(f"{crates.url}/api/v1/trusted_publishing/tokens", json=identity, trust_env=False).json()["token"]

    assert publish(crates, token).status_code == 200

    assert token not in repr(crates.journal.calls())
    assert [c.operation for c in crates.journal.writes()] == ["crates.exchange", "crates.publish"]
