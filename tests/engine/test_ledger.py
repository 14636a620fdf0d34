"""The ledger's chain: whatever is done to its lines shows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from releaser.engine.ledger import GENESIS, SCHEMA, Entry, Ledger, seal, verify, whole
from releaser.errors import ConfigError, ExternalError, WaitingError
from releaser.model.document import canonical_json
from tests.world import Clock, Disk, Power

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BODIES = st.builds(lambda effect, evidence: outcome(effect) | {"evidence": evidence}, st.text(max_size=8), st.text())


def outcome(effect: str) -> dict[str, str]:
    return {"effect": effect, "result": "done", "evidence": "größe"}


def chain(bodies: list[dict[str, str]]) -> list[bytes]:
    """A ledger with one record a body."""
    lines: list[bytes] = []
    record: Mapping[str, Any] | None = None
    for number, body in enumerate(bodies):
        record, raw = seal(record, "outcome", body, NOW + timedelta(seconds=number))
        lines.append(raw)
    return lines


CHAIN = chain([outcome(f"pypi/cog/1.2.0/{n}") for n in range(5)])
LEDGERS = st.lists(BODIES, min_size=1, max_size=6).map(chain)


def assert_refused(code: str, lines: list[bytes], at: int | None = None, release: str = "") -> None:
    with pytest.raises(ConfigError) as caught:
        list(verify(lines, "ledger", release))
    assert caught.value.code == code
    if at is not None:
        assert caught.value.object == f"ledger:{at + 1}"


def assert_broken(lines: list[bytes], at: int | None = None) -> None:
    assert_refused("ledger-broken", lines, at)


@given(LEDGERS)
def test_what_was_sealed_is_read_back_in_order(lines: list[bytes]) -> None:
    records = list(verify(lines, "ledger"))
    assert [canonical_json(r) + b"\n" for r in records] == lines
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
    newer = re.search(
        rb'"schema":"releaser.ledger/v[2-9]"', lines[at]
    )  # the one change that makes it another version's
    assert_refused("ledger-newer" if newer else "ledger-broken", lines, at)


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
    return canonical_json(record | {"hash": hashlib.sha256(canonical_json(record)).hexdigest()}) + b"\n"


def test_a_resealed_record_does_not_fit_the_next_one() -> None:
    assert_broken([resealed(body=outcome("another")), *CHAIN[1:]], 1)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(resealed(schema="releaser.ledger/v02"), id="a schema of no version"),
        pytest.param(resealed(schema="acme.ledger/v2"), id="the schema of somebody else"),
        pytest.param(resealed(seq=True), id="a number that is none"),
        pytest.param(resealed(kind="run", body={"epoch": 2, "by": "somebody"}), id="a second run that is the first"),
        pytest.param(
            resealed(kind="intent", body={"effect": "a", "digest": "b", "epoch": 1}), id="an intent without a run"
        ),
        pytest.param(resealed(kind="intent", body=outcome("a")), id="the body of another kind"),
        pytest.param(resealed(kind="rumour"), id="a kind that is none"),
        pytest.param(resealed(body=outcome("a") | {"more": ""}), id="more than its kind says"),
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


@pytest.mark.parametrize("end", [b"\n", b""], ids=["whole", "without its line end"])
@pytest.mark.parametrize("schema", ["releaser.ledger/v2", "releaser.ledger/v10"])
def test_a_newer_schema_is_none_that_was_tampered_with(schema: str, end: bytes) -> None:
    """Its records are neither broken nor torn: they belong to a newer releaser, which goes on with them."""
    newer = canonical_json({"schema": schema, "anything": "else"}) + end
    lines, torn = whole([*CHAIN, newer])
    with pytest.raises(ConfigError) as caught:
        list(verify(lines, "ledger"))
    error = caught.value
    assert (error.code, error.found, error.wanted, torn) == ("ledger-newer", schema, SCHEMA, b"")
    assert (error.object, error.hint) == ("ledger:6", "upgrade releaser, and leave the ledger where it is")


def test_a_part_of_a_record_is_torn() -> None:
    for left in range(1, len(CHAIN[-1]) - 1):
        assert whole([*CHAIN[:-1], CHAIN[-1][:left]]) == (CHAIN[:-1], CHAIN[-1][:left])


def test_a_record_that_lacks_its_line_end_alone_is_whole() -> None:
    assert whole([*CHAIN[:-1], CHAIN[-1].removesuffix(b"\n")]) == (CHAIN, b"")
    assert whole(CHAIN) == (CHAIN, b"")
    assert whole([]) == ([], b"")


def test_a_record_without_its_line_end_that_does_not_follow_is_no_crash() -> None:
    """A write that a crash tore has the right beginning; so this one was put there."""
    assert_broken(whole([*CHAIN[:3], CHAIN[4].removesuffix(b"\n")])[0], 3)


def test_records_before_the_break_are_handed_out_first() -> None:
    records = verify([*CHAIN[:2], b"{}\n"], "ledger")
    assert [next(records)["seq"], next(records)["seq"]] == [0, 1]
    with pytest.raises(ConfigError):
        next(records)


# A run's own ledger


class Flaky(Disk):
    """Loses answers and requests as it is told to, one for each `extend`; ``stale`` reads show less than there is."""

    def __init__(self, *moods: str, stale: int = 0) -> None:
        super().__init__(Power())
        self.moods = list(moods)
        self.stale = stale

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        mood = self.moods.pop(0) if self.moods else "well"
        if mood == "request lost":
            raise ExternalError("unreachable", "no answer")
        took = super().extend(after, lines)
        if mood == "answer lost":
            raise ExternalError("unreachable", "no answer")
        return took

    def read(self) -> Sequence[bytes]:
        lines = super().read()
        if self.stale:
            self.stale -= 1
            return lines[:-1]
        return lines


def opened(disk: Disk, holder: str = "run 1") -> Ledger:
    return Ledger(disk, Clock(Power()), holder)


def claimed(disk: Disk, holder: str = "run 1") -> Ledger:
    found = opened(disk, holder)
    found.claim()
    return found


def effects(disk: Disk) -> list[str]:
    return [r["body"]["effect"] for r in disk.records if r["kind"] == "outcome"]


def test_every_claim_is_an_epoch_of_its_own() -> None:
    disk = Disk(Power())
    assert [claimed(disk, name).epoch for name in ("a", "b", "c")] == [1, 2, 3]
    assert [r["body"]["by"] for r in disk.records] == ["a", "b", "c"]


def test_a_claim_takes_in_what_was_recorded_since_the_ledger_was_read() -> None:
    disk = Disk(Power())
    late = opened(disk, "late")
    claimed(disk, "early").append([("outcome", outcome("a"))])
    late.claim()
    assert late.epoch == 2
    assert [r["kind"] for r in late.entries()] == ["run", "outcome", "run"]


def test_a_run_that_was_superseded_records_nothing_more() -> None:
    disk = Disk(Power())
    first = claimed(disk, "first")
    second = claimed(disk, "second")
    for _ in range(2):
        with pytest.raises(WaitingError) as caught:
            first.append([("outcome", outcome("of the first"))])
        assert (caught.value.code, caught.value.found) == ("run-superseded", "run 2 of this release")
    second.append([("outcome", outcome("of the second"))])
    assert effects(disk) == ["of the second"]


def test_a_batch_is_recorded_whole_and_in_order() -> None:
    disk = Disk(Power())
    ledger = claimed(disk)
    ledger.append([("outcome", outcome(name)) for name in "abc"])
    ledger.append([])
    assert effects(disk) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "entry",
    [
        ("answer", {"effect": "a", "result": "denied", "detail": "", "wait": 0}),
        ("outcome", {**outcome("a"), "more": ""}),
        ("gossip", outcome("a")),
    ],
    ids=["a word that no reader knows", "a key too many", "another kind"],
)
def test_what_no_reader_would_take_is_not_written(entry: Entry) -> None:
    disk = Disk(Power())
    ledger = claimed(disk)
    with pytest.raises((ValidationError, KeyError)):
        ledger.append([("outcome", outcome("before")), entry])
    assert [r["kind"] for r in disk.records] == ["run"]


@pytest.mark.parametrize("mood", ["request lost", "answer lost"])
def test_what_is_lost_on_the_way_is_settled_by_reading(mood: str) -> None:
    disk = Flaky("well", mood, mood, mood)
    ledger = claimed(disk)
    ledger.append([("outcome", outcome("a")), ("outcome", outcome("b"))])
    ledger.append([("outcome", outcome("c"))])
    assert effects(disk) == ["a", "b", "c"]


def test_a_lost_claim_is_not_taken_for_anothers() -> None:
    disk = Flaky("answer lost")
    assert claimed(disk).epoch == 1
    assert len(disk.lines) == 1


def test_a_lost_answer_behind_which_another_run_came_is_superseded() -> None:
    disk = Flaky("well", "answer lost")
    first = claimed(disk, "first")
    read = disk.read
    disk.read = lambda: (claimed(Shared(disk), "second"), read())[1]  # type: ignore[method-assign]  # it comes between
    with pytest.raises(WaitingError):
        first.append([("outcome", outcome("a"))])
    assert effects(disk) == ["a"]


class Shared(Disk):
    """Another process's hold of the same lines."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(Power())
        self.lines = disk.lines
        self._disk = disk

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        took = super().extend(after, lines)
        self._disk.lines = self.lines
        return took


def test_a_store_that_never_answers_stops_the_run() -> None:
    disk = Flaky(*["request lost"] * 20)
    with pytest.raises(ExternalError) as caught:
        claimed(disk)
    assert (caught.value.code, disk.lines) == ("ledger-unanswered", [])


def test_a_stale_read_is_asked_again() -> None:
    disk = Flaky("well", "answer lost", stale=0)
    ledger = claimed(disk)
    disk.stale = 2
    ledger.append([("outcome", outcome("a"))])
    assert effects(disk) == ["a"]


def test_a_torn_line_is_dropped_and_the_next_run_says_so() -> None:
    disk = Disk(Power())
    claimed(disk).append([("outcome", outcome("a"))])
    disk.lines.append(b'{"half a rec')
    with pytest.raises(ConfigError):
        assert disk.records
    second = claimed(disk, "second")
    assert [r["kind"] for r in disk.records] == ["run", "outcome", "run"]
    assert disk.records[-1]["body"] == {"epoch": 2, "by": "second", "dropped": '{"half a rec'}
    second.append([("outcome", outcome("b"))])
    assert effects(disk) == ["a", "b"]


def test_a_record_that_lost_its_line_end_is_remembered() -> None:
    """It may be an intent, sent since: forgotten, it would be sent again."""
    disk = Disk(Power())
    claimed(disk).append([("outcome", outcome("a"))])
    disk.lines[-1] = disk.lines[-1].removesuffix(b"\n")
    second = claimed(disk, "second")
    assert [r["kind"] for r in disk.records] == ["run", "outcome", "run"]
    assert disk.records[-1]["body"] == {"epoch": 2, "by": "second"}
    second.append([("outcome", outcome("b"))])
    assert effects(disk) == ["a", "b"]


def test_records_that_change_under_a_run_stop_it() -> None:
    disk = Disk(Power())
    ledger = claimed(disk)
    disk.lines = chain([outcome("forged"), outcome("too")])
    with pytest.raises(ConfigError) as caught:
        ledger.append([("outcome", outcome("a"))])
    assert caught.value.code == "ledger-broken"


def test_the_ledger_of_another_release_is_refused() -> None:
    disk = Disk(Power())
    Ledger(disk, Clock(Power()), "run 1", "harbor/cog v1.0.0").claim()
    assert disk.records[0]["body"]["release"] == "harbor/cog v1.0.0"
    Ledger(disk, Clock(Power()), "run 2", "harbor/cog v1.0.0").claim()
    with pytest.raises(ConfigError) as caught:
        Ledger(disk, Clock(Power()), "run 3", "harbor/cog v2.0.0")
    assert (caught.value.code, caught.value.found) == ("ledger-foreign", "harbor/cog v1.0.0")
    assert len(disk.lines) == 2


def test_whoever_reads_is_told_whose_ledger_it_is() -> None:
    disk = Disk(Power())
    Ledger(disk, Clock(Power()), "run 1", "harbor/cog v1.0.0").claim()
    for release in ("harbor/cog v1.0.0", "v1.0.0", ""):
        assert len(list(verify(disk.lines, "ledger", release))) == 1
    for release in ("arbor/cog v1.0.0", "other/cog v1.0.0", "harbor/cog v1.0", "v2.0.0", "cog v1.0.0"):
        assert_refused("ledger-foreign", disk.lines, 0, release)


@pytest.mark.parametrize("at", ["yesterday", "2026-01-05T12:00:00", ""])
def test_a_record_without_a_moment_is_refused(at: str) -> None:
    assert_broken([resealed(at=at)], 0)


class Limited(Disk):
    """Asks to be left alone for a minute, once."""

    def __init__(self) -> None:
        super().__init__(Power())
        self.limits = 1

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        if self.limits:
            self.limits -= 1
            error = ExternalError("forge-limited", "slow down")
            error.wait = 60.0  # type: ignore[attr-defined]  # as the forge's adapter says it
            raise error
        return super().extend(after, lines)


def test_a_store_that_asks_for_time_is_given_it() -> None:
    clock = Clock(Power())
    Ledger(Limited(), clock, "run 1").claim()
    assert clock.elapsed() == 60.0


def test_a_record_whose_answer_was_lost_for_long_is_no_other_runs() -> None:
    disk = Flaky("well", *["answer lost"] * 6)
    ledger = claimed(disk)
    with pytest.raises(ExternalError) as caught:
        ledger.append([("outcome", outcome("a"))])
    assert caught.value.code == "ledger-unanswered"
    ledger.append([("outcome", outcome("b"))])
    assert effects(disk) == ["a", "b"]
