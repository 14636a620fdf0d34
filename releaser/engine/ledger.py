"""The ledger's chain: each record holds the hash of the one before, so an edit, a cut or a reorder shows.

Pure: where records are kept is the store's business. A record is canonical JSON (RFC 8785) on one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from releaser.errors import ConfigError
from releaser.model.document import canonical_json, strict_json
from releaser.model.record import Record

SCHEMA = "releaser.ledger/v1"
GENESIS = "0" * 64


def seal(previous: Mapping[str, Any] | None, kind: str, body: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The record that follows *previous*: numbered, timed (UTC), chained."""
    record = {
        "schema": SCHEMA,
        "seq": 0 if previous is None else previous["seq"] + 1,
        "at": at.isoformat(),
        "kind": kind,
        "body": dict(body),
        "previous": GENESIS if previous is None else previous["hash"],
    }
    return record | {"hash": _hash(record)}


def line(record: Mapping[str, Any]) -> bytes:
    """A record as it is stored."""
    return canonical_json(record) + b"\n"


def verify(lines: Iterable[bytes], source: str) -> Iterator[dict[str, Any]]:
    """The records of a stored ledger, each checked before it is handed out.

    Raises ConfigError ``ledger-broken`` at the first line that is cut, edited, out of order or from a newer
    version, with its number. Whole lines missing at the end do not show: only a head kept elsewhere would tell.
    """
    previous: dict[str, Any] | None = None
    for number, raw in enumerate(lines):
        record = _record(raw, number, source)
        expected = GENESIS if previous is None else previous["hash"]
        unsealed = {k: v for k, v in record.items() if k != "hash"}
        if record["seq"] != number:
            raise _broken(source, number, f"record {record['seq']}", f"record {number}")
        if record["previous"] != expected or record["hash"] != _hash(unsealed):
            raise _broken(source, number, "a record whose hash does not fit", "an unbroken chain")
        yield record
        previous = record


def _record(raw: bytes, number: int, source: str) -> dict[str, Any]:
    if not raw.endswith(b"\n"):
        raise _broken(source, number, "a record without its end", "a whole line")
    try:
        record = strict_json(raw, f"{source}:{number + 1}")
        spelled = line(record)
    except (ConfigError, ValueError) as error:
        raise _broken(source, number, "a line that is no record", "a ledger record") from error
    if spelled != raw:
        raise _broken(source, number, "a record in another spelling", "canonical JSON")
    schema = record.get("schema") if isinstance(record, dict) else None
    if isinstance(schema, str) and schema != SCHEMA:
        raise _broken(source, number, schema, SCHEMA, f"run a releaser that knows {schema}")
    try:
        Record.model_validate(record)
    except ValidationError as error:
        raise _broken(source, number, "a line that is no record", "a ledger record") from error
    return dict(record)


def _hash(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(record)).hexdigest()


def _broken(source: str, number: int, found: str, wanted: str, hint: str = "") -> ConfigError:
    return ConfigError(
        "ledger-broken",
        f"the ledger cannot be trusted from record {number} on",
        object=f"{source}:{number + 1}",
        found=found,
        wanted=wanted,
        hint=hint or "keep the file as evidence and move it away; the next run reads the world and starts a new ledger",
    )
