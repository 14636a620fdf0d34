"""One line of a ledger, and what each kind of it says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from releaser.model.document import Document


class Run(Document):
    """A run took the release over; what follows was recorded by it. ``epoch`` counts them from 1.

    ``by`` names the run and is like no other's, ``release`` what it publishes (repository and tag, empty where that was
    not said), ``manifest`` the digest of its manifest; ``dropped`` is the torn line that it found at the end.
    """

    epoch: int = Field(ge=1)
    by: str
    release: str = ""
    manifest: str = ""
    dropped: str = ""


class Intent(Document):
    """``effect`` is about to be sent with content of ``digest``, by the run of ``epoch``."""

    effect: str
    digest: str
    epoch: int = Field(ge=1)


class Answer(Document):
    """What was answered, in the remote's words; ``wait`` is in whole seconds."""

    effect: str
    result: Literal["accepted", "refused", "taken", "later", "unknown"]
    detail: str
    wait: int


class Outcome(Document):
    """The end of an effect; for ``done``, ``evidence`` is what was read back. ``gone`` was done and is not there."""

    effect: str
    result: Literal["done", "conflict", "gone", "absent", "unsent", "refused", "burned", "later", "unknown"]
    evidence: str


class Failed(Document):
    """A publication that this run gave up."""

    publication: str
    code: str
    found: str


class Ended(Document):
    """The state of the release at the end of a run, with the manifest's digest."""

    state: str
    manifest: str


BODIES: Mapping[str, type[Document]] = {
    "run": Run,
    "intent": Intent,
    "answer": Answer,
    "outcome": Outcome,
    "failed": Failed,
    "state": Ended,
}


class Record(Document):
    """A ``kind`` of `BODIES` with its ``body``.

    ``at`` is a UTC time in ISO 8601, ``seq`` counts from 0; ``previous`` and ``hash`` (SHA-256) chain the records.
    """

    schema_: Literal["releaser.ledger/v1"] = Field(default="releaser.ledger/v1", alias="schema")
    seq: int = Field(ge=0)
    at: str
    kind: Literal["run", "intent", "answer", "outcome", "failed", "state"]
    body: Mapping[str, Any]
    previous: str = Field(pattern=r"^[0-9a-f]{64}$")
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("at")
    @classmethod
    def _a_moment(cls, at: str) -> str:
        if datetime.fromisoformat(at).tzinfo is None:
            raise ValueError("a time without a zone")
        return at

    @model_validator(mode="after")
    def _of_its_kind(self) -> Record:
        BODIES[self.kind].model_validate(dict(self.body))
        return self
