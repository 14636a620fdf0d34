"""The event that started a job or woke a service, read strictly from GitHub's payload.

Fields: docs.github.com/webhooks/webhook-events-and-payloads. What else a payload holds does not matter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from releaser.errors import ConfigError
from releaser.model.document import strict_json
from releaser.model.manifest import Person

_TAGS = "refs/tags/"
_Number = Annotated[int, Field(gt=0, lt=1 << 53)]


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. ``tag`` is the one that it is about, None where there is none, or none any more."""

    name: str
    action: str
    tag: str | None
    sender: Person | None
    repository: int | None
    release: int | None
    published_at: datetime | None


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Account(_Part):
    id: _Number
    login: Annotated[str, Field(min_length=1)]


class _Repository(_Part):
    id: _Number


class _Release(_Part):
    id: _Number
    tag_name: Annotated[str, Field(min_length=1)]
    published_at: AwareDatetime | None = None


class _Payload(_Part):
    action: str | None = None
    ref: str | None = None
    ref_type: str | None = None
    deleted: bool = False
    sender: _Account | None = None
    repository: _Repository | None = None
    release: _Release | None = None

    @property
    def tag(self) -> str | None:
        """From a release, from the bare name that ``create`` has, or from a full reference."""
        if self.release:
            return self.release.tag_name
        if self.ref is None or self.deleted:
            return None
        if self.ref_type is not None:
            return self.ref if self.ref_type == "tag" else None
        return self.ref.removeprefix(_TAGS) if self.ref.startswith(_TAGS) else None


def read(name: str, payload: bytes) -> Event:
    """The event *name* with this *payload*; raises ConfigError ``event-unreadable`` or ``json-invalid``."""
    try:
        found = _Payload.model_validate_json(json.dumps(strict_json(payload, "the event file")))
        release, sender = found.release, found.sender
        published_at = release.published_at.astimezone(UTC) if release and release.published_at else None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise unreadable(": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))) from error
    except OverflowError as error:  # an instant whose UTC lies beyond the last year
        raise unreadable(str(error)) from error
    return Event(
        name=name,
        action=found.action or "",
        tag=found.tag,
        sender=Person(id=sender.id, login=sender.login) if sender else None,
        repository=found.repository.id if found.repository else None,
        release=release.id if release else None,
        published_at=published_at,
    )


def unreadable(found: str) -> ConfigError:
    """The error for a payload that is not what the forge sends."""
    return ConfigError(
        "event-unreadable",
        "the event's payload is not what the forge writes",
        object="the event's payload",
        found=found,
        wanted="the payload of a GitHub event",
        hint="cause the event again; in a workflow, leave GITHUB_EVENT_PATH as the runner set it",
    )
