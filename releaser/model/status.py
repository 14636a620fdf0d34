"""What the world shows of a release now, per channel: `releaser status` and the end of `releaser publish`."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from releaser.model.document import Document
from releaser.model.plan import GateRow


class Shown(StrEnum):
    """How far one channel is.

    ``recorded``: the registry has it, the consumer's index does not show it yet. ``submitted``: its moderators have
    it, and let nobody install it yet.
    """

    ABSENT = "absent"
    PARTIAL = "partial"
    RECORDED = "recorded"
    SUBMITTED = "submitted"
    VISIBLE = "visible"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class ChannelRow(Document):
    """One publication or package manager."""

    id: str
    target: str
    item: str
    shown: Shown
    detail: str = ""


class ProblemRow(Document):
    """One thing that stands in the way, in the words of an error."""

    code: str
    message: str
    object: str = ""
    found: str = ""
    wanted: str = ""
    hint: str = ""


class StatusReport(Document):
    """The state of one release and the next command to type."""

    schema_: Literal["releaser.status/v1"] = Field(default="releaser.status/v1", alias="schema")
    repository: str
    tag: str
    version: str
    state: str
    next: str
    manifest: str
    release: str
    draft: bool
    assembled_by: str
    gates: tuple[GateRow, ...]
    publications: tuple[ChannelRow, ...]
    downstream: tuple[ChannelRow, ...]
    problems: tuple[ProblemRow, ...] = ()
