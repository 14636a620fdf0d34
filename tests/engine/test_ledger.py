"""The ledger's chain: whatever is done to its lines shows."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releaser.engine.ledger import GENESIS, SCHEMA, line, seal, verify
from releaser.errors import ConfigError
from releaser.model.document import canonical_json

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BODIES = st.dictionaries(st.sampled_from(["effect", "digest", "result", "größe"]), st.text(max_size=8), max_size=3)


def chain(bodies: list[dict[str, str]]) -> list[bytes]:
    """A ledger with one record a body."""
    lines: list[bytes] = []
    record: dict[str, Any] | None = None
    for number, body in enumerate(bodies):
        record = seal(record, "intent", body, NOW + timedelta(seconds=number))
        lines.append(line(record))
    return lines


CHAIN = chain([{"effect": f"pypi/cog/1.2.0/{n}"} for n in range(5)])
LEDGERS = st.lists(BODIES, min_size=1, max_size=6).map(chain)


def assert_broken(lines: list[bytes], at: int | None = None) -> None:
    with pytest.raises(ConfigError) as caught:
        list(verify(lines, "ledger"))
    assert caught.value.code == "ledger-broken"
    if at is not None:
        assert caught.value.object == f"ledger:{at + 1}"


@given(LEDGERS)
def test_what_was_sealed_is_read_back_in_order(lines: list[bytes]) -> None:
    records = list(verify(lines, "ledger"))
    assert [line(r) for r in records] == lines
    assert [r["seq"] for r in records] == list(range(len(lines)))
    assert records[0]["previous"] == GENESIS


def test_an_empty_ledger_is_whole() -> None:
    assert list(verify([], "ledger")) == []


@settings(max_examples=200)
@given(LEDGERS, st.data())
def test_any_changed_byte_is_found(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 1))
    where = data.draw(st.integers(0, len(lines[at]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != lines[at][where]))
    lines[at] = lines[at][:where] + bytes([byte]) + lines[at][where + 1 :]
    assert_broken(lines, at)


@given(LEDGERS, st.data())
def test_any_inserted_byte_is_found(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 1))
    where = data.draw(st.integers(0, len(lines[at]) - 1))
    lines[at] = lines[at][:where] + data.draw(st.sampled_from([b" ", b"0", b"\t", b"{", b"\\"])) + lines[at][where:]
    assert_broken(lines, at)


@given(LEDGERS, st.data())
def test_any_cut_line_is_found(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at]) - 1))]
    assert_broken(lines, at)


@given(st.data())
def test_any_missing_line_but_the_last_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(CHAIN) - 2))
    assert_broken(CHAIN[:at] + CHAIN[at + 1 :], at)


@given(st.data())
def test_any_line_that_stands_twice_is_found(data: st.DataObject) -> None:
    source, at = data.draw(st.integers(0, len(CHAIN) - 1)), data.draw(st.integers(0, len(CHAIN)))
    assert_broken([*CHAIN[:at], CHAIN[source], *CHAIN[at:]])


@given(st.permutations(CHAIN).filter(lambda lines: lines != CHAIN))
def test_any_other_order_is_found(lines: list[bytes]) -> None:
    assert_broken(lines)


def test_lines_missing_at_the_end_leave_a_whole_chain() -> None:
    """Only a head that is kept elsewhere tells; the world is read before anything is sent in any case."""
    assert len(list(verify(CHAIN[:3], "ledger"))) == 3


def resealed(**changes: object) -> bytes:
    """A record with a hash that fits, by somebody who knows how hashes are made."""
    record = json.loads(CHAIN[0]) | changes
    del record["hash"]
    return line(record | {"hash": hashlib.sha256(canonical_json(record)).hexdigest()})


def test_a_resealed_record_does_not_fit_the_next_one() -> None:
    assert_broken([resealed(body={}), *CHAIN[1:]], 1)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(resealed(schema="releaser.ledger/v2"), id="a newer schema"),
        pytest.param(resealed(seq=True), id="a number that is none"),
        pytest.param(resealed(previous="1" * 64), id="another beginning"),
        pytest.param(CHAIN[0].replace(b'"seq":0', b'"seq":0.0'), id="the same value in another spelling"),
        pytest.param(CHAIN[0].replace(b'"seq":0', b'"seq":99999999999999999999'), id="a number without canonical form"),
        pytest.param(CHAIN[0].replace(b'"seq":0', b'"seq":0,"seq":0'), id="a key twice"),
        pytest.param(CHAIN[0].replace(b"\n", b" \n"), id="a space"),
        pytest.param(CHAIN[0].replace(b"\n", b"\r\n"), id="another line end"),
        pytest.param(b"[]\n", id="a list"),
        pytest.param(b"{}\n", id="an empty object"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b"\xff\n", id="no text"),
    ],
)
def test_what_is_no_record_of_ours_is_refused(raw: bytes) -> None:
    assert_broken([raw], 0)


def test_the_refusal_of_a_newer_schema_names_both() -> None:
    with pytest.raises(ConfigError) as caught:
        list(verify([resealed(schema="releaser.ledger/v2")], "ledger"))
    assert (caught.value.found, caught.value.wanted) == ("releaser.ledger/v2", SCHEMA)
    assert caught.value.hint == "run a releaser that knows releaser.ledger/v2"


def test_records_before_the_break_are_handed_out_first() -> None:
    records = verify([*CHAIN[:2], b"{}\n"], "ledger")
    assert [next(records)["seq"], next(records)["seq"]] == [0, 1]
    with pytest.raises(ConfigError):
        next(records)
