"""Every store, with the ledger on top: what was recorded is there for the next run, or nothing may be sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releaser.adapters.local import ThreadWorkers
from releaser.engine.ledger import verify
from releaser.errors import WaitingError
from tests.contracts.forges import Home, outcome, served
from tests.contracts.ledgers import (
    FILE,
    FORGE,
    POSTGRESQL,
    SIMULATED,
    SQLITE,
    Commits,
    Disks,
    Files,
    Rows,
    Shelf,
    Tables,
    effects_in,
    record,
    run,
    waiting,
)
from tests.contracts.postgres import Fate
from tests.contracts.table import REHEARSAL, Column, Documented, Instead, columns
from tests.world import EPOCH

TITLE = "Store: ledgers"
TAG = "v1.2.0"
WHOLE = "what it takes is there whole or not at all, so that a part was put there by hand"
RACERS = 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with served(REHEARSAL, tmp_path_factory.mktemp("forge")) as home:
        yield home


@pytest.fixture(params=columns(FILE, SQLITE, POSTGRESQL, FORGE, SIMULATED))
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    made: dict[Column, Callable[[], Shelf]] = {
        FILE: lambda: Files(tmp_path),
        SQLITE: lambda: Rows(tmp_path / "ledgers.db"),
        POSTGRESQL: lambda: Tables(request.getfixturevalue("cluster"), request.getfixturevalue("schema")),
        FORGE: lambda: Commits(request.getfixturevalue("home")),
        SIMULATED: Disks,
    }
    return made[request.param]()


def recorded(shelf: Shelf, *effects: str, tag: str = TAG) -> None:
    """Let a run claim the release and record *effects*, one after the other."""
    with shelf.open(tag) as store:
        ledger = run(store)
        ledger.claim()
        for effect in effects:
            record(ledger, effect)


def effects(shelf: Shelf, tag: str = TAG) -> list[str]:
    """What the next run reads."""
    with shelf.open(tag) as store:
        return effects_in(run(store))


def test_what_one_run_recorded_the_next_one_reads(shelf: Shelf) -> None:
    """What one run recorded, the next one reads, in order."""
    recorded(shelf, "a", "b")
    recorded(shelf, "c")
    assert effects(shelf) == ["a", "b", "c"]


def test_records_are_numbered_without_a_gap_and_dated(shelf: Shelf) -> None:
    """Records are numbered from 0 without a gap, carry the time in UTC, and the digest of the one before."""
    recorded(shelf, "a", "b")
    found = [json.loads(line) for line in shelf.read(TAG)]
    assert [record["seq"] for record in found] == [0, 1, 2]
    assert {record["at"] for record in found} == {EPOCH.isoformat()}
    assert [record["previous"] for record in found[1:]] == [record["hash"] for record in found[:-1]]


def test_lines_come_back_byte_for_byte(shelf: Shelf) -> None:
    """Lines come back byte for byte, whatever is in them and however long they are."""
    lines = [b'{"a":"\xc3\xa4 \\u0000 \xe2\x80\xa8 \x7f # \\r"}\n', b'{"b":"%s"}\n' % (b"x" * 40_000), b'{"c":""}\n']
    with shelf.open(TAG) as store:
        assert store.extend(0, lines[:2])
        assert store.extend(2, lines[2:])
        assert store.read() == lines
    with shelf.open(TAG) as store:
        assert store.read() == lines
    assert shelf.read(TAG) == lines


@pytest.mark.parametrize("after", [0, 1, 3], ids=["at the start", "too early", "too late"])
def test_lines_go_behind_the_last_one_only(shelf: Shelf, after: int) -> None:
    """Lines are added behind the last one or not at all, of several not even one."""
    lines = [b'{"n":%d}\n' % number for number in range(5)]
    with shelf.open(TAG) as store:
        assert store.extend(0, lines[:2])
        assert not store.extend(after, lines[2:])
        assert store.read() == lines[:2]
        assert store.extend(2, lines[2:])
        assert store.read() == lines


def test_the_newest_run_alone_records(shelf: Shelf, documented: Documented) -> None:
    """Once a second run has claimed the release, the first one is told so and records nothing any more."""
    lock = "its lock keeps the second run out until the first one ends"
    with shelf.open(TAG) as ours:
        first = run(ours, "the first")
        first.claim()
        record(first, "a")
        second = outcome(lambda: recorded(shelf, "b"))
        assert second == documented("done", file=Instead("ledger-held", lock))
        late = outcome(lambda: record(first, "c", "d"))
        assert late == documented("run-superseded", file=Instead("done", lock))
        assert outcome(lambda: record(first)) == "done", "nothing to record"
    assert effects(shelf) == (["a", "b"] if late == "run-superseded" else ["a", "c", "d"])


@pytest.mark.parametrize("known", ["read", "added"])
def test_lines_that_took_the_place_of_others_are_left(shelf: Shelf, known: str) -> None:
    """Where as many others took the place of the lines that a store has read or added, it adds nothing."""
    lines, others = ([b'{"%s":%d}\n' % (whose, number) for number in range(4)] for whose in (b"a", b"b"))
    with shelf.open(TAG) as store:
        assert store.extend(0, lines[:3])
    with shelf.open(TAG) as store:
        if known == "added":
            assert store.extend(3, lines[3:])
        lines = list(store.read() if known == "read" else lines)
        shelf.write(TAG, others[: len(lines)])
        assert not store.extend(len(lines), [b'{"c":0}\n'])
        assert shelf.read(TAG) == others[: len(lines)]


def test_a_run_that_was_rolled_back_records_nothing_more(shelf: Shelf) -> None:
    """Once records of a run were lost to a backup and another run recorded as many, it records nothing more."""
    elsewhere = "v1.2.0-restored"
    with shelf.open(TAG) as ours:
        first = run(ours, "the first")
        first.claim()
        record(first, "a")
        record(first, "b")
        recorded(shelf, tag=elsewhere)
        shelf.write(elsewhere, shelf.read(TAG)[:-2])
        recorded(shelf, "c", tag=elsewhere)
        others = shelf.read(elsewhere)
        assert len(others) == first.length
        shelf.write(TAG, others)
        assert outcome(lambda: record(first, "d")) == "ledger-broken"
        assert shelf.read(TAG) == others
    recorded(shelf, "e")
    assert effects(shelf) == ["c", "e"]


def test_releases_do_not_mix(shelf: Shelf) -> None:
    """The ledgers of two releases that are open at the same time do not mix."""
    with shelf.open("v1.2.0") as one, shelf.open("v1.2.0-rc.1") as other:
        ledgers = run(one), run(other)
        for ledger in ledgers:
            ledger.claim()
        for effect in ("a", "b"):
            for ledger in ledgers:
                record(ledger, f"{effect}{ledgers.index(ledger)}")
    assert (effects(shelf, "v1.2.0"), effects(shelf, "v1.2.0-rc.1")) == (["a0", "b0"], ["a1", "b1"])


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "an edited record": lambda lines: [*lines[:2], lines[2].replace(b'"b"', b'"x"'), *lines[3:]],
    "a record missing from the middle": lambda lines: [*lines[:2], *lines[3:]],
    "a missing first record": lambda lines: lines[1:],
    "two records in the other order": lambda lines: [*lines[:2], lines[3], lines[2]],
    "a repeated record": lambda lines: [*lines, lines[-1]],
    "a line of another kind": lambda lines: [*lines, b"{}\n"],
    "a record cut short, and a line end": lambda lines: [*lines[:-1], lines[-1][:20] + b"\n"],
}


@pytest.mark.parametrize("how", TAMPERED.values(), ids=list(TAMPERED))
def test_what_was_tampered_with_is_refused_and_left(shelf: Shelf, how: Callable[[list[bytes]], list[bytes]]) -> None:
    """A ledger that was edited, cut, reordered or added to by hand is refused, and left as it is."""
    recorded(shelf, "a", "b", "c")
    tampered = how(shelf.read(TAG))
    shelf.write(TAG, tampered)
    assert shelf.read(TAG) == tampered
    assert outcome(lambda: recorded(shelf, "d")) == "ledger-broken"
    assert shelf.read(TAG) == tampered


def test_a_torn_line_is_dropped(shelf: Shelf, documented: Documented) -> None:
    """A last line that a crash tore is no record: the next claim drops it and says so."""
    recorded(shelf, "a")
    torn = shelf.read(TAG)[-1][:50]
    shelf.write(TAG, [*shelf.read(TAG), torn])
    before = shelf.read(TAG)
    refused = Instead("ledger-broken", WHOLE)
    found = outcome(lambda: recorded(shelf, "b"))
    assert found == documented("done", sqlite=refused, postgresql=refused, forge=refused)
    if found == "done":
        claim = json.loads(shelf.read(TAG)[2])
        assert (claim["kind"], claim["body"]["dropped"]) == ("run", torn.decode())
        assert effects(shelf) == ["a", "b"]
    else:
        assert shelf.read(TAG) == before


def test_a_record_that_lacks_its_line_end_is_kept(shelf: Shelf) -> None:
    """A last record that lacks its line end alone is kept, and the next one goes behind it."""
    recorded(shelf, "a", "b")
    lines = shelf.read(TAG)
    shelf.write(TAG, [*lines[:-1], lines[-1].removesuffix(b"\n")])
    recorded(shelf, "c")
    assert effects(shelf) == ["a", "b", "c"]
    assert shelf.read(TAG)[: len(lines)] == lines


@pytest.mark.parametrize("fate", Fate)
def test_an_unknown_end_is_settled_by_reading(shelf: Shelf, fate: Fate) -> None:
    """A record whose answer was lost, or that never arrived, or arrived late, is there once, and the run goes on."""
    recorded(shelf)
    with shelf.failing(TAG, fate) as store:
        ledger = run(store)
        ledger.claim()
        record(ledger, "a", "b")
        record(ledger, "c")
        assert effects_in(ledger) == ["a", "b", "c"]
    assert effects(shelf) == ["a", "b", "c"]
    assert len(shelf.read(TAG)) == 5


def test_racing_runs_lose_nothing(shelf: Shelf) -> None:
    """Eight runs that keep taking the release from one another lose and repeat nothing that they recorded."""

    def race(racer: int) -> list[str]:
        done = []
        with waiting(shelf, TAG) as store:
            ledger = run(store, f"run {racer}")
            for number in range(shelf.rounds):
                effect = f"{racer}/{number}"
                try:
                    ledger.claim()
                    record(ledger, effect, f"{effect} too")
                except WaitingError:
                    continue
                done += [effect, f"{effect} too"]
        return done

    done = [effect for effects in ThreadWorkers(RACERS).map(race, range(RACERS)) for effect in effects]
    records = list(verify(shelf.read(TAG), "all of it"))
    assert done
    assert sorted(r["body"]["effect"] for r in records if r["kind"] == "intent") == sorted(done)
