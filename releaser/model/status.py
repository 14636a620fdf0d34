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
    """The state of one release, ``next`` as the command to type (empty where there is none) and a ``remark`` about it.

    ``ledger`` is where its record is kept, of so many ``records``; empty where none was read.
    """

    schema_: Literal["releaser.status/v1"] = Field(default="releaser.status/v1", alias="schema")
    repository: str
    tag: str
    version: str
    state: str
    next: str
    remark: str = ""
    ledger: str = ""
    records: int = 0
    manifest: str
    release: str
    draft: bool
    assembled_by: str
    gates: tuple[GateRow, ...]
    publications: tuple[ChannelRow, ...]
    downstream: tuple[ChannelRow, ...]
    problems: tuple[ProblemRow, ...] = ()
