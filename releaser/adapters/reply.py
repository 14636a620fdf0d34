"""An answer over HTTP, and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from releaser.adapters.redact import plain
from releaser.errors import ExternalError

Shape = TypeVar("Shape", bound=BaseModel)

SAID = 1000  # characters of what a remote says; the index explains itself at length
READ_WAIT = 60.0  # seconds: the longest that a read waits because it was told to
WRITE_WAIT = 600.0  # seconds: crates.io asks for up to ten minutes between new crates (its src/rate_limiter.rs)


def retry_after(headers: Mapping[str, str], now: datetime, cap: float = READ_WAIT) -> float | None:
    """The seconds that ``Retry-After`` asks for, between 0 and *cap*; None without a readable one.

    Both forms of RFC 9110 section 10.2.3: a number of seconds, or a date. *headers* have lower-case names.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"-?[0-9]{1,12}", value):
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), cap)


class Unreachable(ExternalError):
    """``outside-unreachable``. ``unsent`` says that no byte of the request left this machine."""

    def __init__(self, address: str, found: str, *, unsent: bool = False) -> None:
        super().__init__(
            "outside-unreachable",
            "a service does not answer",
            object=address,
            found=plain(found),
            wanted="an answer",
            hint="run the same command again; repeating is safe",
        )
        self.unsent = unsent


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end. Header names are in lower case; ``url`` has no query."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; raises ExternalError ``answer-unreadable`` when it is none, or is not called so."""
        import json

        self._require_json()
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            raise self.unreadable(f"not JSON: {self.body[:80].decode(errors='replace')}") from exc

    def read(self, shape: type[Shape]) -> Shape:
        """The body as a *shape*, unknown keys ignored; raises ExternalError ``answer-unreadable`` otherwise."""
        self._require_json()
        try:
            return shape.model_validate_json(self.body)
        except ValidationError as exc:
            first = exc.errors()[0]
            raise self.unreadable(f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()) from exc

    @property
    def said(self) -> str:
        """The remote's own words, redacted, on one line.

        From the JSON errors of crates.io (``errors[].detail``), PyPI (``errors[].description``), npm (``error``)
        and GitHub (``message``); else the reason phrase, which is where PyPI puts its message.
        """
        import json

        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        found: list[Any] = []
        if isinstance(value, dict):
            errors = value.get("errors")
            for item in errors if isinstance(errors, list) else ():
                if isinstance(item, dict):
                    found += [item.get("detail") or item.get("description")]
            found += [] if any(found) else [value.get("error"), value.get("message")]
        words = "; ".join(dict.fromkeys(w for w in found if isinstance(w, str) and w))
        return plain(words or self.reason, SAID) or f"status {self.status}"

    def _require_json(self) -> None:
        """``application/json`` or a type built upon it (RFC 6839 section 3.1)."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.endswith(("/json", "+json")):
            raise self.unreadable(f"content-type {kind or 'missing'}: {self.body[:80].decode(errors='replace')}")

    def unreadable(self, found: str) -> ExternalError:
        """This answer is not one of those that its kind of question has."""
        return ExternalError(
            "answer-unreadable",
            "an answer could not be understood, so nothing is known",
            object=self.url,
            found=plain(found),
            wanted="the documented answer",
            hint="run the same command again; if it stays, compare the address and look at the service's status page",
        )

    def unexpected(self) -> ExternalError:
        """This status is not one of those that its kind of question has."""
        if self.status == 429 or self.status >= 500:
            return Unreachable(self.url, f"{self.status} {self.said}")
        return self.unreadable(f"{self.status} {self.said}")
