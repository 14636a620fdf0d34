"""A job of the forge's CI: its events, its identity, its outputs; and what strangers' words cannot do there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from releaser.errors import ConfigError, RefusedError
from releaser.faces import action
from releaser.faces.event import read
from releaser.model.manifest import Person

EVENT: dict[str, Any] = {
    "action": "published",
    "sender": {"id": 7, "login": "ada", "type": "User"},
    "release": {"id": 40, "tag_name": "v1", "published_at": "2030-01-02T03:04:05Z"},
}


def released(**changed: Any) -> dict[str, Any]:
    """The event with another release; a None takes the field out."""
    release = {**EVENT["release"], **changed}
    return EVENT | {"release": {k: v for k, v in release.items() if v is not None}}


def job(tmp_path: Path, event: Any, name: str = "release") -> dict[str, str]:
    file = tmp_path / "event.json"
    file.write_text(event if isinstance(event, str) else json.dumps(event))
    return {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(file)}


def test_the_sender_of_a_publication_is_who_published(tmp_path: Path) -> None:
    found = action.published(job(tmp_path, EVENT))
    assert found is not None
    assert (found.by, found.release) == (Person(id=7, login="ada"), 40)
    assert found.at == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        pytest.param(EVENT, "push", id="another event"),
        pytest.param(EVENT | {"action": "edited"}, "release", id="another action"),
        pytest.param(EVENT | {"action": "released"}, "release", id="a pre-release made stable"),
    ],
)
def test_other_events_approve_nothing(tmp_path: Path, event: Any, name: str) -> None:
    assert action.published(job(tmp_path, event, name)) is None


@pytest.mark.parametrize(
    "event",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"action": "published", "action": "published"}', id="a key twice"),
        pytest.param("[" * 100_000, id="depth"),
        pytest.param(EVENT | {"sender": None}, id="no sender"),
        pytest.param(EVENT | {"sender": {"id": "7", "login": "ada", "type": "User"}}, id="an id that is no number"),
        pytest.param(EVENT | {"sender": {"id": True, "login": "ada", "type": "User"}}, id="an id that is a truth"),
        pytest.param(EVENT | {"sender": {"id": 0, "login": "ada"}}, id="an id that nobody has"),
        pytest.param(EVENT | {"sender": {"id": 7, "login": ""}}, id="a login that is empty"),
        pytest.param(EVENT | {"release": None}, id="no release"),
        pytest.param(released(published_at=None), id="no time"),
        pytest.param(released(published_at="soon"), id="no readable time"),
        pytest.param(released(published_at="2030-01-02T03:04:05"), id="a time without a zone"),
        pytest.param(released(published_at="9999-12-31T23:59:59-12:00"), id="a time beyond all times"),
        pytest.param(released(id=None), id="a release without a number"),
        pytest.param(released(id=1 << 60), id="a number beyond JSON's"),
        pytest.param(released(tag_name=["v1"]), id="a tag that is a list"),
    ],
)
def test_a_broken_event_file_is_an_error_and_no_approval(tmp_path: Path, event: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        action.published(job(tmp_path, event))
    assert refused.value.code in ("event-unreadable", "json-invalid")
    assert refused.value.found


def test_the_way_on_from_an_unreadable_event_is_open_to_every_event() -> None:
    with pytest.raises(ConfigError) as refused:
        read("push", b'{"ref": 1}')
    assert (refused.value.object, refused.value.found.partition(":")[0]) == ("the event's payload", "ref")
    assert "release: published" not in refused.value.hint


def test_a_job_without_its_event_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="event"):
        action.published({"GITHUB_EVENT_NAME": "release", "GITHUB_EVENT_PATH": str(tmp_path / "none")})
    with pytest.raises(ConfigError, match="event"):
        action.published({"GITHUB_EVENT_NAME": "release"})


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"GITHUB_ACTOR": "ada", "GITHUB_ACTOR_ID": "7"}, Person(id=7, login="ada")),
        ({"GITHUB_ACTOR": "ada"}, None),
        ({"GITHUB_ACTOR": "ada", "GITHUB_ACTOR_ID": "-7"}, None),
        ({"GITHUB_ACTOR_ID": "7"}, None),
        ({}, None),
    ],
)
def test_who_started_the_run_is_known_by_number_or_not_at_all(environ: dict[str, str], found: Person | None) -> None:
    assert action.initiator(environ) == found


@pytest.mark.parametrize("name", sorted(action.EVENTS))
def test_events_that_no_fork_can_cause_may_write(name: str) -> None:
    action.require_safe_job({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": name})


@pytest.mark.parametrize(
    "name",
    ["pull_request", "pull_request_target", "workflow_run", "issue_comment", "issues", "fork", "Push", "push ", ""],
)
def test_events_that_strangers_can_cause_may_not(name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        action.require_safe_job({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": name})
    assert refused.value.code == "event-refused"


@pytest.mark.parametrize("name", action.LONG_LIVED)
def test_a_long_lived_secret_stops_jobs_and_people_alike_and_is_not_shown(name: str) -> None:
    for job in ({}, {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"}):
        with pytest.raises(RefusedError) as refused:
            action.require_safe_job({**job, name: "hunter2hunter2"})
        assert refused.value.code == "secret-present"
        assert name in refused.value.found
        assert "hunter2" not in str(vars(refused.value))


def test_an_empty_variable_and_a_placeholder_are_no_secrets() -> None:
    action.require_safe_job({"TWINE_PASSWORD": "", "NODE_AUTH_TOKEN": "XXXXX-XXXXX-XXXXX-XXXXX"})


HOSTILE = "v1\n::add-mask::x\r\n%0a::error::y\nverdict=ready\nEOF\nname<<EOF\n"


def test_a_value_cannot_set_another_output(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    action.outputs({"GITHUB_OUTPUT": str(file)}, {"one": HOSTILE, "two": "2"})
    lines = file.read_text().split("\n")
    name, _, mark = lines[0].partition("<<")
    assert (name, len(mark)) == ("one", 32)
    end = lines.index(mark)
    assert "\n".join(lines[1:end]) == HOSTILE.replace("\r\n", "\n")
    second = lines[end + 1].partition("<<")[2]
    assert lines[end + 1 :] == [f"two<<{second}", "2", second, ""]
    assert second != mark


def test_outside_of_a_job_nothing_is_written(tmp_path: Path) -> None:
    action.outputs({}, {"one": "1"})
    action.summary({}, "text")
    assert not list(tmp_path.iterdir())
    assert not action.is_job({"GITHUB_ACTIONS": "false"})


def test_summaries_of_several_steps_follow_one_another(tmp_path: Path) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path / "page.md")}
    action.summary(environ, "one")
    action.summary(environ, "two")
    assert (tmp_path / "page.md").read_text() == "one\ntwo\n"


def test_an_annotation_is_one_command_whatever_it_is_about() -> None:
    error = RefusedError("a,b:c\n", HOSTILE, object="50%", found="x::y", hint="\rz")
    text = action.annotation(error)
    assert text.isprintable()
    head, _, data = text.removeprefix("::error ").partition("::")
    assert head == "title=a%2Cb%3Ac%0A"
    undone = data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    assert undone == "\n".join((HOSTILE, "50%", "x::y", "\rz"))


@pytest.mark.parametrize(
    ("variable", "write"),
    [
        ("GITHUB_OUTPUT", lambda environ: action.outputs(environ, {"digest": "x"})),
        ("GITHUB_STEP_SUMMARY", lambda environ: action.summary(environ, "text")),
    ],
    ids=["outputs", "summary"],
)
def test_a_job_file_that_cannot_be_written_is_named(
    tmp_path: Path, variable: str, write: Callable[[Mapping[str, str]], None]
) -> None:
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        write({variable: str(tmp_path / "no" / "such")})
    assert (caught.value.code, caught.value.object) == ("job-file-unwritable", variable)
