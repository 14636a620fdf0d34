"""The world, fresh for each test, and as far on as the test wants it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The sample project, tagged and built."""
    with Stage(tmp_path) as found:
        yield found


@pytest.fixture
def drafted(stage: Stage) -> Stage:
    return stage.draft()


@pytest.fixture
def approved(drafted: Stage) -> Stage:
    return drafted.approve()
