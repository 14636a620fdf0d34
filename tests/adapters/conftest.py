from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Faults, Journal
from tests.adapters.taps import Taps, up


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """An identity provider that the registries of one module share; making its key takes a while."""
    service = Issuer(tmp_path_factory.mktemp("issuer"), Journal(), Faults())
    service.start()
    yield service
    service.stop()


@pytest.fixture
def taps(tmp_path: Path) -> Iterator[Taps]:
    """A rehearsal with one repository that package managers read."""
    with up(tmp_path) as found:
        yield found
