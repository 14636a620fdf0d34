"""What starts the commands of a release quickly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kills.forker import Forker


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """Starts commands as processes of their own, which have everything imported."""
    with Forker() as found:
        yield found
