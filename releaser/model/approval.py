"""Approvals: who agreed to which bytes, under which policy, until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from releaser.model.document import Document, Sha256


class Decision(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


class Approval(Document):
    """What an approver writes. Who wrote it is never read from here but from the forge (`Vote.by`)."""

    schema_: Literal["releaser.approval/v1"] = Field(default="releaser.approval/v1", alias="schema")
    repository: str
    tag: str
    manifest: Sha256
    policy: Sha256
    decision: Decision
    note: str = Field(default="", max_length=2000)


@dataclass(frozen=True, slots=True)
class Voter:
    """A person as the forge knows them now. ``roles`` are the policy words they answer to, looked up live.

    ``emails`` are the addresses that tie them to commits and tags. ``human`` is False for apps and bots.
    """

    id: int
    login: str
    human: bool
    roles: frozenset[str] | None  # None: could not be looked up
    emails: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Vote:
    """One approval or rejection as the forge holds it. ``via`` says how it was given: a record or the publication."""

    by: Voter
    at: datetime
    decision: Decision
    manifest: str
    policy: str
    tag: str
    repository: str
    via: str
    note: str = ""
