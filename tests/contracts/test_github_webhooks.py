"""Events that start a job: as GitHub's published examples have them, and as its description does now."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from releaser.engine.candidate import Published
from releaser.errors import ConfigError
from releaser.faces import action
from releaser.faces.event import Event, read
from releaser.model.manifest import Person
from tests.contracts.github.make_subset import WEBHOOKS
from tests.contracts.github.make_webhooks import EVENTS, EXAMPLES
from tests.contracts.github.openapi import Description
from tests.contracts.table import Column, columns

TITLE = "GitHub: events"

EXAMPLE: dict[str, list[dict[str, Any]]] = json.loads(EXAMPLES.read_text())["events"]
CODERTOCAT, OCTOCAT = Person(id=21031067, login="Codertocat"), Person(id=25328754, login="octocat")
PUBLISHED_AT = datetime(2019, 5, 15, 15, 20, 53, tzinfo=UTC)
HELLO, CALLER = 186853002, 17273051


@pytest.fixture(autouse=True, params=columns(Column("examples", "GitHub's examples and description")))
def judge() -> None:
    """Who says whether a case passes."""


def given(name: str, payload: object) -> Event:
    return read(name, json.dumps(payload).encode())


def facts(event: Event) -> tuple[object, ...]:
    return event.tag, event.sender, event.repository, event.release, event.published_at


# The published examples


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("create", [("simple-tag", CODERTOCAT, HELLO, None, None)], id="create"),
        pytest.param(
            "push",
            [("simple-tag", CODERTOCAT, HELLO, None, None), (None, CODERTOCAT, HELLO, None, None)],
            id="push: a tag that was made, tags that were deleted, a branch",
        ),
        pytest.param("release", [("0.0.1", CODERTOCAT, HELLO, 17372790, PUBLISHED_AT)], id="release"),
        pytest.param("repository_dispatch", [(None, CODERTOCAT, CALLER, None, None)], id="repository_dispatch"),
        pytest.param(
            "workflow_dispatch",
            [(None, OCTOCAT, 6811672, None, None), (None, CODERTOCAT, CALLER, None, None)],
            id="workflow_dispatch: on branches",
        ),
    ],
)
def test_every_published_example_is_understood(name: str, expected: list[tuple[object, ...]]) -> None:
    """Tag, sender, repository and release are read from every published example."""
    assert list(dict.fromkeys(facts(given(name, example)) for example in EXAMPLE[name])) == expected


def test_all_events_that_carry_a_payload_have_examples() -> None:
    """There are examples of every event under which a job may write, but for those without a payload."""
    assert {*EVENTS, "schedule"} == action.EVENTS
    assert all(EXAMPLE[name] for name in EVENTS)


@pytest.mark.parametrize(
    ("payload", "tag"),
    [
        pytest.param({"ref": "refs/tags/v1"}, "v1", id="a tag that was pushed"),
        pytest.param({"ref": "refs/tags/v1", "deleted": True}, None, id="a tag that was deleted"),
        pytest.param({"ref": "refs/tags/rel/v1"}, "rel/v1", id="a tag with a slash"),
        pytest.param({"ref": "refs/heads/refs/tags/v1"}, None, id="a branch that looks like a tag"),
        pytest.param({"ref": "v1", "ref_type": "tag"}, "v1", id="a tag that was made"),
        pytest.param({"ref": "refs/tags/v1", "ref_type": "branch"}, None, id="a branch of a tag's name that was made"),
        pytest.param({"ref": "v1", "ref_type": "branch"}, None, id="a branch that was made"),
        pytest.param({"schedule": "0 4 * * *"}, None, id="a schedule"),
    ],
)
def test_a_tag_is_told_from_what_is_none(payload: object, tag: str | None) -> None:
    """A tag that is there is told from one that was deleted, and from a branch."""
    assert given("push", payload).tag == tag


@pytest.mark.parametrize("example", EXAMPLE["release"], ids=lambda e: e["action"])
def test_only_a_publication_says_who_published(tmp_path: Path, example: dict[str, Any]) -> None:
    """Only the publication of a release says who published, and when."""
    file = tmp_path / "event.json"
    file.write_text(json.dumps(example))
    found = action.published({"GITHUB_EVENT_NAME": "release", "GITHUB_EVENT_PATH": str(file)})
    published = Published(by=CODERTOCAT, at=PUBLISHED_AT, release=17372790)
    assert found == (published if example["action"] == "published" else None)


# What is newer than the examples


@pytest.mark.parametrize("webhook", sorted(WEBHOOKS))
def test_payloads_as_the_description_has_them_now_are_understood(webhook: str) -> None:
    """Payloads as the description has them now are understood."""
    description = Description.load()
    payload = description.payload(webhook)
    assert list(description.event(webhook, payload)) == []

    found = given(webhook.partition("-")[0], payload)
    assert (found.repository, found.sender) == (1, Person(id=1, login="text"))
    if "release" in payload:
        assert payload["release"]["immutable"] is False
        assert (found.action, found.release, found.tag) == (webhook.partition("-")[2], 1, "text")


@pytest.mark.parametrize(
    ("field", "value", "drift"),
    [
        ("release", {}, "payload /release: 'assets' is a required property"),
        ("action", "vanished", "payload /action: 'vanished' is not one of ['published']"),
        ("party", True, "payload /party: not documented"),
    ],
    ids=["missing field", "unknown word", "unknown field"],
)
def test_a_payload_that_drifts_is_named(field: str, value: object, drift: str) -> None:
    """A payload that differs from the description in one fact is refused, and the fact named."""
    description = Description.load()
    payload = description.payload("release-published") | {field: value}
    (found,) = map(str, description.event("release-published", payload))
    assert found == f"release-published: {drift}"


# Hostile payloads


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"sender": "ana"}, id="sender: text"),
        pytest.param({"sender": {"id": "7", "login": "ana"}}, id="sender: a number as text"),
        pytest.param({"sender": {"id": -7, "login": "ana"}}, id="sender: below zero"),
        pytest.param({"sender": {"id": 7.5, "login": "ana"}}, id="sender: half a number"),
        pytest.param({"repository": {"id": True}}, id="repository: a truth"),
        pytest.param({"repository": []}, id="repository: a list"),
        pytest.param({"release": {"id": 1, "tag_name": None}}, id="release: no tag"),
        pytest.param({"ref": {"refs/tags/v1": 1}}, id="ref: an object"),
        pytest.param({"deleted": "false"}, id="deleted: text"),
        pytest.param({"action": ["published"]}, id="action: a list"),
    ],
)
def test_a_hostile_payload_is_an_error(name: str, changed: dict[str, Any]) -> None:
    """An example with one field of another type is an error, and the field named."""
    with pytest.raises(ConfigError) as refused:
        given(name, EXAMPLE[name][0] | changed)
    assert refused.value.code == "event-unreadable"
    assert refused.value.found.startswith(next(iter(changed)))
