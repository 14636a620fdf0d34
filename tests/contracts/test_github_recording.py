"""What is recorded of GitHub's own description: all that is used of it, nothing else, and the shapes of its links."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contracts.github.links import shape
from tests.contracts.github.make_subset import bare, found
from tests.contracts.github.openapi import SUBSET


def test_the_recorded_description_is_closed_and_without_prose() -> None:
    document: dict[str, Any] = json.loads(SUBSET.read_text())
    components = {(kind, name) for kind, named in document["components"].items() for name in named}
    referred = {tuple(ref.split("/")[2:]) for ref in found(document, "$ref")}
    assert referred == components
    assert bare(document["paths"], named=True) == document["paths"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({"type": "string", "description": "words", "x-note": 1}, {"type": "string"}, id="prose"),
        pytest.param({"properties": {"description": {"title": "t"}}}, {"properties": {"description": {}}}, id="names"),
        pytest.param({"required": ["title"]}, {"required": ["title"]}, id="values"),
        pytest.param({"x-multi-segment": True}, {"x-multi-segment": True}, id="a flag"),
    ],
)
def test_only_prose_is_left_out(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert bare(given) == kept


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://api.github.com/users/ana/gists{/gist_id}", "/users/*/gists{/gist_id}"),
        ("http://127.0.0.1:8080/repos/acme/tool/{archive_format}{/ref}", "/repos/*/*/{archive_format}{/ref}"),
        ("https://api.github.com/repos/acme/tool/releases/assets/5", "/repos/*/*/releases/assets/#"),
        ("https://uploads.github.com/repos/a/b/releases/3/assets{?name}", "/repos/*/*/releases/#/assets{?name}"),
        ("http://127.0.0.1:8080/uploads/repos/a/b/releases/3/assets{?name}", "/repos/*/*/releases/#/assets{?name}"),
        (f"https://github.com/acme/tool/commit/{'0' * 40}", "/*/*/commit/@"),
        ("https://github.com/acme/tool/releases/download/v1/tool.zip", "/*/*/releases/download/…"),
        ("https://api.github.com/repos/acme/tool/contents/docs/guide.md?ref=main", "/repos/*/*/contents/…"),
        ("https://github.com/acme", "/*"),
        ("https://example.invalid/acme/tool", None),
        ("words", None),
    ],
)
def test_the_shape_of_an_address_is_what_is_no_name(address: str, expected: str | None) -> None:
    assert shape(address) == expected
