from __future__ import annotations

from collections.abc import Iterator

import pytest

from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Faults, Journal


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """An identity provider that the registries of one module share; making its key takes a while."""
    service = Issuer(tmp_path_factory.mktemp("issuer"), Journal(), Faults())
    service.start()
    yield service
    service.stop()
