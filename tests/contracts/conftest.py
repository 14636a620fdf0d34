"""Fixtures of the contract suites, and what the recorder is told of each case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.table import Column, Documented


@pytest.fixture
def documented(request: pytest.FixtureRequest, record_property: Any) -> Iterator[Documented]:
    """What the case's server must do; see `Documented`."""
    column = _column(request.node)
    said = Documented(column.key if column else "")
    yield said
    for difference in said.differences:
        record_property("difference", difference)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    title = getattr(getattr(item, "module", None), "TITLE", None)
    function = getattr(item, "function", None)
    column = _column(item)
    if title and column and function is not None:
        case = (title, (function.__doc__ or "").strip().partition("\n")[0].rstrip("."), column.title)
        item.user_properties.append(("case", case))


def _column(item: pytest.Item) -> Column | None:
    callspec = getattr(item, "callspec", None)
    return next((v for v in callspec.params.values() if isinstance(v, Column)), None) if callspec else None
