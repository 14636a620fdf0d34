"""GitHub's own OpenAPI description: it covers what we use, and each way to drift from it is found and named.

The exchanges of the whole test suite are held to it by tests/contracts/github/plugin.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.adapters.github_rest import AGENT, VERSION
from releaser.rehearsal.github import GitHub
from releaser.rehearsal.github_accounts import User
from releaser.rehearsal.server import Faults, Journal
from tests.contracts.github.make_subset import OPERATIONS
from tests.contracts.github.openapi import SUBSET, UNLISTED, WORDS, Answered, Description, Sent
from tests.contracts.github.plugin import OUTSIDE, drifts
from tests.contracts.table import Column, columns

TITLE = "GitHub: the REST API"

DOCUMENT: dict[str, Any] = json.loads(SUBSET.read_text())
JSON = {"content-type": "application/json; charset=utf-8"}
OURS = {"accept": "application/vnd.github+json", "x-github-api-version": VERSION, "content-type": "application/json"}
RELEASES = "/repos/acme/tool/releases"
DRAFT = Sent("POST", RELEASES, {}, OURS, json.dumps({"tag_name": "v1", "draft": True}).encode())
LIST = Sent("GET", RELEASES, {"per_page": "100", "page": "1"}, OURS, b"")
FILE = Sent("GET", "/repos/acme/tool/contents/a/b.txt", {"ref": "main"}, OURS, b"")
UPLOAD = Sent(
    "POST",
    "/uploads/repos/acme/tool/releases/3/assets",
    {"name": "tool"},
    {**OURS, "content-type": "application/octet-stream"},
    b"bytes",
)
ERROR = {"message": "no", "documentation_url": "https://docs.github.com/rest"}
NODE = {"node_id": "x", "url": "https://api.example.invalid/x"}
REF = {
    "ref": "refs/tags/v1",
    **NODE,
    "object": {"type": "commit", "sha": "0" * 40, "url": "https://api.example.invalid/y"},
}
GET_REF = Sent("GET", "/repos/acme/tool/git/ref/tags/a/v1", {}, OURS, b"")


@pytest.fixture(autouse=True, params=columns(Column("description", "GitHub's own description")))
def judge() -> None:
    """Who says whether a case passes."""


@pytest.fixture(scope="module")
def description() -> Description:
    return Description.load()


# What it is of


def test_the_recorded_description_is_of_the_version_that_we_pin() -> None:
    """The description is of the version that every request of ours names."""
    assert DOCUMENT["info"]["x-api-version"] == VERSION
    assert DOCUMENT["info"]["license"]["name"] == "MIT"
    assert any("Copyright" in line for line in DOCUMENT["info"]["license"]["x-text"])


def test_everything_that_the_rehearsal_serves_is_described_or_outside_of_the_rest_api(
    description: Description, tmp_path: Path
) -> None:
    """Everything that the rehearsal world serves is described, or outside of the REST API."""
    github = GitHub(tmp_path, Journal(), Faults())
    github.start()
    github.stop()
    names = set()
    for served in github._routes:
        operation = description.operation(served.method, example(served.pattern.pattern))
        assert (operation is None) == (served.operation in OUTSIDE), served.operation
        names |= {operation.name} if operation else set()
    assert names == OPERATIONS


def example(pattern: str) -> str:
    """A path that the *pattern* of a route matches."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"\(\?P<\w+>[^)]*\)", "1", pattern).removesuffix(r"\Z"))


def test_what_only_prose_documents_is_not_in_the_description_by_now(description: Description) -> None:
    """Statuses and words that only prose documents are not in the description by now."""
    operations = {o.name: o for o in description.operations}
    for name, status in UNLISTED:
        assert str(status) not in described(operations[name].pointer)["responses"]
    for pointer, word in WORDS.items():
        assert word not in described(pointer)


def described(pointer: str) -> Any:
    value: Any = DOCUMENT
    for part in pointer.split("/")[1:]:
        value = value[part.replace("~1", "/")]
    return value


# Requests


@pytest.mark.parametrize("sent", [DRAFT, LIST, FILE, UPLOAD], ids=["create", "list", "file", "upload"])
def test_requests_as_documented(description: Description, sent: Sent) -> None:
    """Requests as they are described are in order."""
    assert list(description.request(sent)) == []


def body(**fields: Any) -> Sent:
    return replace(DRAFT, body=json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("sent", "drift"),
    [
        pytest.param(body(tag_name=5), "request body /tag_name: 5 is not of type 'string'", id="type"),
        pytest.param(body(draft=True), "request body /: 'tag_name' is a required property", id="missing field"),
        pytest.param(body(tag_name="v1", tag="v1"), "request body /tag: not documented", id="unknown field"),
        pytest.param(
            body(tag_name="v1", make_latest="yes"),
            "request body /make_latest: 'yes' is not one of ['true', 'false', 'legacy']",
            id="unknown word",
        ),
        pytest.param(replace(DRAFT, body=b""), "request body: required, and missing", id="no body"),
        pytest.param(replace(DRAFT, body=b"{"), "request body: not JSON", id="no JSON"),
        pytest.param(
            replace(DRAFT, headers={**OURS, "content-type": "text/plain"}),
            "request body: text/plain is not documented",
            id="media type",
        ),
        pytest.param(replace(LIST, query={"size": "1"}), "request query size: not documented", id="unknown parameter"),
        pytest.param(
            replace(LIST, query={"page": "one"}), "request query page /: 'one' is not of type 'integer'", id="no number"
        ),
        pytest.param(
            replace(LIST, headers={**OURS, "x-github-api-version": ""}),
            "request header x-github-api-version: nothing is not documented",
            id="no version",
        ),
        pytest.param(
            replace(LIST, headers={**OURS, "accept": "application/octet-stream"}),
            "request header accept: application/octet-stream is not documented",
            id="accept",
        ),
        pytest.param(
            replace(UPLOAD, query={"label": "x"}), "request query name: required, and missing", id="missing parameter"
        ),
        pytest.param(
            replace(LIST, path=RELEASES.replace("/repos", "/repositories")),
            "request: GitHub's description has no such operation",
            id="unknown path",
        ),
        pytest.param(
            replace(LIST, method="PUT"), "request: GitHub's description has no such operation", id="unknown method"
        ),
    ],
)
def test_a_request_that_drifts_is_named(description: Description, sent: Sent, drift: str) -> None:
    """A request that differs in one fact is refused, and the fact named."""
    (found,) = map(str, description.request(sent))
    operation = description.operation(sent.method, sent.path)
    assert found.startswith(f"{operation.name if operation else f'{sent.method} {sent.path}'}: {drift}")


# Answers


def says(status: int, value: Any = None, **headers: str) -> Answered:
    return Answered(status, {**JSON, **headers}, b"" if value is None else json.dumps(value).encode())


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        pytest.param(GET_REF, says(200, REF), id="documented"),
        pytest.param(GET_REF, says(404, ERROR | {"status": "404"}), id="documented error"),
        pytest.param(GET_REF, says(401, ERROR), id="error of any operation"),
        pytest.param(
            replace(FILE, headers={**OURS, "accept": "application/vnd.github.raw+json"}),
            Answered(200, {"content-type": "application/vnd.github.raw+json; charset=utf-8"}, b"\xff"),
            id="raw bytes",
        ),
    ],
)
def test_answers_as_documented(description: Description, sent: Sent, answered: Answered) -> None:
    """Answers as they are described are in order."""
    assert list(description.answer(sent, answered)) == []


@pytest.mark.parametrize(
    ("sent", "answered", "drift"),
    [
        pytest.param(GET_REF, says(200, REF | {"ref": None}), "answer 200 /ref: None is not of type", id="null"),
        pytest.param(GET_REF, says(200, REF | {"name": "v1"}), "answer 200 /name: not documented", id="unknown field"),
        pytest.param(
            GET_REF,
            says(200, {"ref": "x"} | NODE),
            "answer 200 /: 'object' is a required",
            id="gap",
        ),
        pytest.param(GET_REF, says(200, REF | {"url": "x"}), "answer 200 /url: 'x' is not a 'uri'", id="format"),
        pytest.param(
            GET_REF,
            says(200, REF | {"object": {"type": "commit", "sha": "0" * 39, "url": "https://x"}}),
            f"answer 200 /object/sha: '{'0' * 39}' is too short",
            id="length",
        ),
        pytest.param(
            GET_REF,
            says(200, REF | {"url": "https://api.github.com/repos/a/b/git/reefs/x"}),
            "answer 200 /url: /repos/*/*/git/reefs/x is nowhere in GitHub's examples",
            id="link",
        ),
        pytest.param(GET_REF, says(202, REF), "answer 202: not documented", id="status"),
        pytest.param(GET_REF, says(422, ERROR), "answer 422: not documented", id="an error of other operations"),
        pytest.param(GET_REF, Answered(200, JSON, b"<html>"), "answer 200: not JSON", id="no JSON"),
        pytest.param(
            GET_REF, says(200, REF, **{"content-type": "text/html"}), "answer 200: text/html is not", id="media type"
        ),
        pytest.param(DRAFT, says(422, {"errors": []}), "answer 422 /: 'message' is a required property", id="error"),
        pytest.param(
            replace(DRAFT, path="/repos/acme/tool/git/refs"),
            says(201, REF),
            "answer 201 header Location: missing",
            id="header",
        ),
        pytest.param(
            Sent("DELETE", f"{RELEASES}/3", {}, OURS, b""), says(204, {}), "answer 204: a body is not", id="body"
        ),
    ],
)
def test_an_answer_that_drifts_is_named(description: Description, sent: Sent, answered: Answered, drift: str) -> None:
    """An answer that differs in one fact is refused, and the fact named."""
    operation = description.operation(sent.method, sent.path)
    assert operation is not None
    (found,) = map(str, description.answer(sent, answered))
    assert found.startswith(f"{operation.name}: {drift}")


# The whole suite


class Drifted(GitHub):
    """A rehearsal that says more of people than GitHub does."""

    def user_json(self, user: User) -> dict[str, Any]:
        return {**super().user_json(user), "nickname": user.login}


@pytest.fixture
def drifted(tmp_path: Path) -> Iterator[str]:
    github = Drifted(tmp_path, Journal(), Faults())
    github.add_repository("acme/tool", 7, 70)
    github.start()
    yield github.url
    github.stop()


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        pytest.param("anybody", ["repos/get: answer 200 /owner/nickname: not documented"], id="a test"),
        pytest.param(
            AGENT,
            [
                "repos/get: request query x: not documented",
                "repos/get: answer 200 /owner/nickname: not documented",
            ],
            id="ours",
        ),
    ],
)
def test_the_suite_sees_every_drift(drifted: str, agent: str, expected: list[str]) -> None:
    """An exchange in any test of ours that differs from the description is a failure."""
    httpx.get(f"{drifted}/repos/acme/tool", params={"x": "1"}, headers={**OURS, "User-Agent": agent})
    assert drifts() == expected
