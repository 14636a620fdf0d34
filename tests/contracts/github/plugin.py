"""Holds every request that we send to the rehearsal's GitHub, and every answer of it, to GitHub's own description.

Loaded for the whole suite. A test during which the two drift apart fails, with the operation named. Requests by other
clients are arranged by tests, some of them to be refused; their answers are held to the description like all others,
but for tests that are marked ``hostile``.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from releaser.adapters.github_rest import AGENT
from releaser.rehearsal.github import GitHub
from releaser.rehearsal.server import Call, Request, Response
from tests.contracts.github.openapi import Answered, Description, Drift, Sent

OUTSIDE = {
    "github.git-refs": "git's own protocol, spoken to by git",
    "github.git-fetch": "git's own protocol, spoken to by git",
    "github.git-push": "git's own protocol, spoken to by git",
    "github.download": "a page of the web site, where anybody downloads the files of a release",
    "github.object": "the storage behind the downloads",
}
"""What the rehearsal's GitHub serves beside the REST API, of which the description says nothing."""

_description = Description.load()
_lock = threading.Lock()
_drifts: list[Drift] = []


def check(operation: str, request: Request, response: Response) -> list[Drift]:
    """Every drift of one exchange with the rehearsal."""
    if operation in OUTSIDE:
        return []
    upload = request.header("content-type") == "application/octet-stream"
    sent = Sent(request.method, request.path, request.query, request.headers, b"..." if upload else request.read())
    body = response.body.read_bytes() if isinstance(response.body, Path) else response.body
    headers = {name.lower(): value for name, value in response.headers.items()}
    answered = Answered(response.status, {"content-type": response.content_type, **headers}, body)
    ours = request.header("user-agent") == AGENT
    return [*(_description.request(sent) if ours else ()), *_description.answer(sent, answered)]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hostile(why): lets the rehearsal's GitHub answer what GitHub never would")
    answer = GitHub.answer

    def witnessed(self: GitHub, request: Request) -> tuple[Call, Response | None]:
        call, response = answer(self, request)
        found = check(call.operation, request, response) if response else []
        with _lock:
            _drifts.extend(found)
        return call, response

    patch = pytest.MonkeyPatch()
    patch.setattr(GitHub, "answer", witnessed)
    config.add_cleanup(patch.undo)


def drifts() -> list[str]:
    """What was found since this was last asked."""
    with _lock:
        found = list(dict.fromkeys(map(str, _drifts)))
        _drifts.clear()
    return found


def _fail_on_drift(item: pytest.Item) -> None:
    found = drifts()
    if found and not item.get_closest_marker("hostile"):
        pytest.fail("GitHub's description differs:\n" + "\n".join(found), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    _fail_on_drift(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    yield
    _fail_on_drift(item)
