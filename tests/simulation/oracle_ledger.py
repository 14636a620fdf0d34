"""The ledger's chain, checked with nothing but `json` and `hashlib`."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Violation(NamedTuple):
    """A broken promise, and where."""

    invariant: str
    what: str
    step: int = -1

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}" + (f" (step {self.step})" if self.step >= 0 else "")


@functools.lru_cache(maxsize=4096)  # stories begin alike, and every line is looked at a few times
def read(line: bytes) -> Mapping[str, Any]:
    """The record on a line."""
    record: Mapping[str, Any] = json.loads(line)
    return record


_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@functools.lru_cache(maxsize=4096)
def _holds(line: bytes) -> bool:
    """Whether a record is in canonical form, and its hash is that of the line without it."""
    record = dict(read(line))
    stated = str(record.pop("hash"))
    rest = line.removesuffix(b"\n").replace(b',"hash":"%b"' % stated.encode(), b"")
    return rest == _PLAIN.encode(record).encode() and hashlib.sha256(rest).hexdigest() == stated


def chain(lines: Sequence[bytes]) -> Iterator[Violation]:
    """Every break of the chain; a last line without its end is a torn write that the next run drops."""
    previous, epoch = "0" * 64, 0
    for number, line in enumerate(lines):
        if not line.endswith(b"\n"):
            if number < len(lines) - 1:
                yield Violation("I10", f"line {number + 1} is cut")
            return
        record = read(line)
        if not _holds(line):
            yield Violation("I10", f"record {number} is in another form, or its hash does not fit")
        if (record["seq"], record["previous"]) != (number, previous):
            yield Violation("I10", f"record {number} does not follow the one before")
        if record["kind"] == "run":
            epoch += 1
            if record["body"]["epoch"] != epoch:
                yield Violation("I11", f"record {number} claims epoch {record['body']['epoch']} after {epoch - 1}")
        elif record["body"].get("epoch", epoch) != epoch:
            yield Violation("I11", f"record {number} is of epoch {record['body']['epoch']}, not {epoch}")
        previous = record["hash"]


def unfinished(lines: Sequence[bytes]) -> list[str]:
    """The effects that were begun and have no end on record."""
    left: dict[str, None] = {}
    for line in lines:
        if line.endswith(b"\n"):
            record = read(line)
            if record["kind"] == "intent":
                left[record["body"]["effect"]] = None
            elif record["kind"] == "outcome":
                left.pop(record["body"]["effect"], None)
    return list(left)
