"""The ledger: what was meant and what came of it, chained so that an edit, a cut or a reorder shows.

A record is canonical JSON (RFC 8785) on one line and holds the hash of the one before. Where lines are kept is the
store's business; that only the newest run adds any is this module's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from releaser.engine.ports import Clock, Store
from releaser.errors import ConfigError, ExternalError, WaitingError
from releaser.model.document import canonical_json, strict_json
from releaser.model.record import BODIES, Record

SCHEMA = "releaser.ledger/v1"
_VERSIONED = re.compile(r"releaser\.ledger/v[1-9][0-9]*")
GENESIS = "0" * 64
_TRIES = 6
_PAUSE = 1.0
_LONGEST = 120.0
"""Seconds that the store may ask us to wait before another attempt."""
Entry = tuple[str, Mapping[str, Any]]
"""A kind of record and its body, as `releaser.model.record` describes them."""


class Ledger:
    """The ledger of one release as one run sees it: read and verified, claimed once, then added to.

    A claim gives the run an *epoch*, one more than any before it. From then on no run with an older one can record
    anything, so it begins nothing more; what it was about to send when it was overtaken it may still send. *clock* is
    one that all runs agree about (`ForgeClock`), *holder* names the run as no other is named, *release* says what it
    is about. Raises what `verify` does, ExternalError ``ledger-unanswered`` when it stays unknown what is there, and
    what the store raises. Not to be shared between threads.
    """

    def __init__(self, store: Store, clock: Clock, holder: str, release: str = "") -> None:
        self.epoch = 0
        self._release = release
        self._store = store
        self._clock = clock
        self._holder = holder
        self._lines: list[bytes] = []
        self._records: list[Mapping[str, Any]] = []
        self._torn = b""
        self._read()

    @property
    def where(self) -> str:
        """Where it is kept."""
        return self._store.name

    @property
    def length(self) -> int:
        """How many records it has."""
        return len(self._records)

    @property
    def head(self) -> str:
        """The hash of the newest record, empty without one: kept elsewhere, it shows when records go missing."""
        return str(self._records[-1]["hash"]) if self._records else ""

    def now(self) -> datetime:
        """The time by the clock that dates the records."""
        return self._clock.now()

    def entries(self) -> Iterator[Mapping[str, Any]]:
        """Every record, oldest first."""
        return iter(self._records)

    def claim(self, manifest: str = "") -> None:
        """Take the release over from whoever worked on it, durably; what they recorded until then has been read.

        *manifest* is the digest of the manifest that the effects of this run will be about.
        Raises WaitingError ``ledger-contended`` when others keep coming first.
        """
        for _ in range(_TRIES):
            epoch = self._newest() + 1
            body: dict[str, Any] = {"epoch": epoch, "by": self._holder}
            if self._release:
                body["release"] = self._release
            if manifest:
                body["manifest"] = manifest
            if self._torn:
                body["dropped"] = self._torn.decode(errors="replace")
            if self._extend([("run", body)]):
                self.epoch = epoch
                return
        raise WaitingError(
            "ledger-contended",
            "other runs keep taking this release over",
            object=self._store.name,
            found=f"{_TRIES} claims that came too late",
            wanted="one run at a time",
            hint="end the other runs, then run this again",
        )

    def append(self, entries: Sequence[Entry]) -> None:
        """Record all of *entries* durably in one go, or raise and record none of them.

        Raises WaitingError ``run-superseded`` once another run has claimed the release.
        """
        for _ in range(_TRIES):
            if not entries or (self._newest() == self.epoch and self._extend(entries)):
                return
        raise WaitingError(
            "run-superseded",
            "another run has taken this release over",
            object=self._store.name,
            found=f"run {self._newest()} of this release",
            wanted=f"run {self.epoch}, which is this one",
            hint="let the other run finish; what this one sent is on record",
        )

    def _newest(self) -> int:
        """The epoch of the newest run on record, 0 without one."""
        return next((int(r["body"]["epoch"]) for r in reversed(self._records) if r["kind"] == "run"), 0)

    def _extend(self, entries: Sequence[Entry]) -> bool:
        """Add *entries* to what was read; False where others came first, whose records are read then."""
        records: list[Mapping[str, Any]] = []
        lines: list[bytes] = []
        last = self._records[-1] if self._records else None
        for kind, body in entries:
            last, raw = seal(last, kind, body, self._clock.now())
            records.append(last)
            lines.append(raw)
        start, end = len(self._lines), len(self._lines) + len(lines)
        problem: ExternalError | None = None
        for attempt in range(_TRIES):
            try:
                if self._store.extend(start, lines):
                    self._lines += lines
                    self._records += records
                    self._torn = b""
                    return True
                self._read()
                if self._lines[start:end] == lines:  # an earlier attempt of ours, whose answer was lost
                    return len(self._lines) == end
                if len(self._lines) > start:
                    return False
            except ExternalError as error:
                if not error.retryable:
                    raise
                problem = error
            if attempt < _TRIES - 1:
                self._clock.sleep(max(_PAUSE * 2**attempt, min(getattr(problem, "wait", 0.0), _LONGEST)))
        raise ExternalError(
            "ledger-unanswered",
            "whether the ledger took a record stays unknown, so nothing more may be sent",
            object=self._store.name,
            found=problem.message if problem else "neither taken nor refused",
            wanted="an answer",
            hint="run this again; what was sent is looked for first",
        ) from problem

    def _read(self) -> None:
        """Read what is there; the records that this run knows must still be, in their place."""
        lines, torn = whole(self._store.read())
        known = len(self._lines)
        if lines[:known] != self._lines:
            if lines == self._lines[: len(lines)]:
                raise ExternalError("ledger-stale", "the ledger shows an older state", object=self._store.name)
            raise _broken(self._store.name, known, "other records than before", "what this run has read")
        self._records = list(verify(lines, self._store.name, self._release))
        self._lines, self._torn = lines, torn


def whole(lines: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """The lines that are whole, and what a torn write may have left behind them. Pure.

    A record that lacks its line end alone is whole, and is given one: somebody may have acted on it.
    """
    *before, last = lines or [b""]
    if not last.endswith(b"\n"):
        try:
            _record(last + b"\n")
        except _NewerRecordError:
            pass
        except _NoRecordError:
            return before, last
        last += b"\n"
    return [*before, last], b""


def seal(
    previous: Mapping[str, Any] | None, kind: str, body: Mapping[str, Any], at: datetime
) -> tuple[dict[str, Any], bytes]:
    """The record that follows *previous*, numbered, timed (UTC) and chained; and its line as it is stored.

    A body that no reader would take is a bug, and is not written: pydantic's ValidationError, KeyError for its kind.
    """
    BODIES[kind].model_validate(dict(body))
    record = {
        "schema": SCHEMA,
        "seq": 0 if previous is None else previous["seq"] + 1,
        "at": at.isoformat(),
        "kind": kind,
        "body": dict(body),
        "previous": GENESIS if previous is None else previous["hash"],
    }
    spelled = canonical_json(record)
    digest = hashlib.sha256(spelled).hexdigest()
    return record | {"hash": digest}, _line(spelled, digest)


def verify(lines: Iterable[bytes], source: str, release: str = "") -> Iterator[Mapping[str, Any]]:
    """The records of a stored ledger, each checked before it is handed out.

    Raises ConfigError at the first line that does not hold, with its number: ``ledger-broken`` where it is cut,
    edited, out of order or by a run that had been superseded, ``ledger-newer`` where a newer version wrote it,
    ``ledger-foreign`` where it is about another *release* (repository and tag, or a tag alone). Lines missing at the
    end do not show: only a head kept elsewhere would tell.
    """
    previous: Mapping[str, Any] | None = None
    epoch = 0
    for number, raw in enumerate(lines):
        try:
            record = _record(raw)
        except _NewerRecordError as error:
            raise _newer(source, number, error.found) from error
        except _NoRecordError as error:
            raise _broken(source, number, error.found, error.wanted) from error
        if record["seq"] != number:
            raise _broken(source, number, f"record {record['seq']}", f"record {number}")
        if record["previous"] != (GENESIS if previous is None else previous["hash"]):
            raise _broken(source, number, "a record whose hash does not fit", "an unbroken chain")
        epoch += record["kind"] == "run"
        if record["body"].get("epoch", epoch) != epoch:
            raise _broken(source, number, f"a record of run {record['body']['epoch']}", f"one of run {epoch}")
        about = record["body"].get("release", "") if record["kind"] == "run" else ""
        if about and release and release not in (about, about.partition(" ")[2]):
            raise _foreign(source, number, about, release)
        yield record
        previous = record


class _NoRecordError(Exception):
    """A line that is no record by itself."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found)
        self.found = found
        self.wanted = wanted


class _NewerRecordError(_NoRecordError):
    """A line that is a record to a newer version."""


@lru_cache(maxsize=4096)  # a ledger is read again by every run, and whenever another run wrote
def _record(raw: bytes) -> Mapping[str, Any]:
    """The record on a line, if its own hash fits. Not to be changed by the caller."""
    if not raw.endswith(b"\n"):
        raise _NoRecordError("a record without its end", "a whole line")
    try:
        record = strict_json(raw, "a record")
        unsealed = canonical_json({k: v for k, v in record.items() if k != "hash"} if isinstance(record, dict) else {})
    except (ConfigError, ValueError) as error:
        raise _NoRecordError("a line that is no record", "a ledger record") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if isinstance(schema, str) and schema != SCHEMA and _VERSIONED.fullmatch(schema):
        raise _NewerRecordError(schema, SCHEMA)
    try:
        Record.model_validate(record)
    except ValidationError as error:
        raise _NoRecordError("a line that is no record", "a ledger record") from error
    if record["hash"] != hashlib.sha256(unsealed).hexdigest():
        raise _NoRecordError("a record whose hash does not fit", "an unbroken chain")
    if _line(unsealed, record["hash"]) != raw:
        raise _NoRecordError("a record in another spelling", "canonical JSON")
    return dict(record)


def _line(unsealed: bytes, digest: str) -> bytes:
    """The line of a record that is spelled *unsealed* without its hash, which sorts right before ``kind``."""
    place = unsealed.rindex(b',"kind":"')  # nothing behind the body has a key of this name
    return b'%b,"hash":"%b"%b\n' % (unsealed[:place], digest.encode(), unsealed[place:])


def _broken(source: str, number: int, found: str, wanted: str) -> ConfigError:
    return ConfigError(
        "ledger-broken",
        f"the ledger cannot be trusted from record {number} on",
        object=f"{source}:{number + 1}",
        found=found,
        wanted=wanted,
        hint="keep it as evidence: move it away, or give --ledger another place; the next run starts a new one there",
    )


def _newer(source: str, number: int, found: str) -> ConfigError:
    return ConfigError(
        "ledger-newer",
        "the ledger was written by a newer releaser",
        object=f"{source}:{number + 1}",
        found=found,
        wanted=SCHEMA,
        hint="upgrade releaser, and leave the ledger where it is",
    )


def _foreign(source: str, number: int, found: str, wanted: str) -> ConfigError:
    return ConfigError(
        "ledger-foreign",
        "the ledger is that of another release",
        object=f"{source}:{number + 1}",
        found=found,
        wanted=wanted,
        hint="leave --ledger out, or name this release's; to look into that one, give its tag and its --repository",
    )
