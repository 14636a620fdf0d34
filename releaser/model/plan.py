"""The plan: every gate's answer, and every write that would follow, in order."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from releaser.model.document import Document
from releaser.model.policy import ChannelName


class Status(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    WAIT = "wait"
    SKIP = "skip"


class Verdict(StrEnum):
    READY = "ready"
    REFUSED = "refused"
    WAITING = "waiting"


class GateRow(Document):
    """One gate's answer about one object. A row that is not ``pass`` says what was found, wanted, and what to type."""

    name: str
    object: str
    status: Status
    reason: str
    found: str = ""
    wanted: str = ""
    hint: str = ""


class Action(StrEnum):
    """What would be done. ``skip``: it is there with our digest. ``conflict``: other bytes are there."""

    PUBLISH = "publish"
    SKIP = "skip"
    CONFLICT = "conflict"
    WAIT = "wait"


class FileRow(Document):
    """One file of a publication. ``sha256`` is 64 hexadecimal digits, ``size`` in bytes."""

    name: str
    size: int
    sha256: str
    action: Action


class PublicationRow(Document):
    """One package at one registry. Files are empty until artifacts are known."""

    id: str
    registry: str
    package: str
    version: str
    needs: tuple[str, ...]
    wave: int
    action: Action
    reason: str
    environment: str | None = None
    files: tuple[FileRow, ...] = ()


class PaceRow(Document):
    """A registry whose rate limit stretches this release. ``least`` is in seconds, from first to last version."""

    registry: str
    versions: int
    least: int
    reason: str


class DeliveryRow(Document):
    """One package manager to update after everything in ``needs`` is visible."""

    id: str
    kind: str
    repository: str
    action: Action
    reason: str


class VersionRow(Document):
    """The version and its spelling per ecosystem that this release goes to."""

    semver: str
    pep440: str | None = None
    cargo: str | None = None
    npm: str | None = None


class Plan(Document):
    """`releaser plan`: what would happen, what blocks it, and how to mend that."""

    schema_: Literal["releaser.plan/v1"] = Field(default="releaser.plan/v1", alias="schema")
    repository: str
    tag: str
    commit: str | None
    channel: ChannelName | None
    version: VersionRow | None
    policy: str
    manifest: str | None = None
    verdict: Verdict
    gates: tuple[GateRow, ...]
    publications: tuple[PublicationRow, ...] = ()
    paces: tuple[PaceRow, ...] = ()
    downstream: tuple[DeliveryRow, ...] = ()
