"""One line of a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from releaser.model.document import Document


class Record(Document):
    """What was meant (``intent``), answered (``answer``), came of it (``outcome``), went wrong (``failed``), or the
    ``state`` at the end of a run. ``at`` is a UTC time in ISO 8601; ``previous`` and ``hash`` chain the records.
    """

    schema_: Literal["releaser.ledger/v1"] = Field(default="releaser.ledger/v1", alias="schema")
    seq: int = Field(ge=0)
    at: str
    kind: str
    body: Mapping[str, Any]
    previous: str = Field(pattern=r"^[0-9a-f]{64}$")
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
