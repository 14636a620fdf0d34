"""Every ledger: what was recorded is there for the next run, whole and in order, or nothing may be sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from releaser.adapters.local import ThreadWorkers
from releaser.adapters.store import FileLedger
from releaser.engine.intents import Intents
from releaser.engine.ports import Ledger, Receipt, Sent
from releaser.errors import ConfigError
from tests.contracts.table import Column, columns
from tests.world import EPOCH, Clock, Power
from tests.world import Ledger as SimulatedLedger

TITLE = "Store: ledgers"

FILE, SIMULATED = Column("file", "file"), Column("simulated", "simulated world")


@dataclass
class Shelf:
    """Where one ledger is kept: a run opens it, and its lines can be read and tampered with."""

    clock: Clock
    open: Callable[[], AbstractContextManager[Ledger]]
    read: Callable[[], list[bytes]]
    write: Callable[[list[bytes]], object]

    def record(self, *effects: str) -> None:
        with self.open() as ledger:
            for effect in effects:
                ledger.append("intent", {"effect": effect})

    def effects(self) -> list[Any]:
        with self.open() as ledger:
            return [record["body"]["effect"] for record in ledger.entries()]


@dataclass
class _Memory:
    """The simulator's disk: its lines outlive the run that wrote them."""

    clock: Clock
    lines: list[bytes] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[Ledger]:
        ledger = SimulatedLedger(Power(), self.clock)
        ledger.restore(self.lines)
        yield ledger
        self.lines = ledger.lines

    def write(self, lines: list[bytes]) -> None:
        self.lines = lines


@pytest.fixture(params=columns(FILE, SIMULATED))
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    clock = Clock(Power())
    if request.param is SIMULATED:
        memory = _Memory(clock)
        return Shelf(clock, memory.open, lambda: list(memory.lines), memory.write)
    path = tmp_path / "v1.2.0.jsonl"
    return Shelf(
        clock,
        lambda: FileLedger(path, clock),
        lambda: path.read_bytes().splitlines(keepends=True),
        lambda lines: path.write_bytes(b"".join(lines)),
    )


def test_what_one_run_recorded_the_next_one_reads(shelf: Shelf) -> None:
    """What one run recorded, the next one reads, in order."""
    shelf.record("a", "b")
    shelf.record("c")
    assert shelf.effects() == ["a", "b", "c"]


def test_records_are_numbered_without_a_gap_and_dated(shelf: Shelf) -> None:
    """Records are numbered from 0 without a gap and carry the time in UTC."""
    shelf.record("a", "b", "c")
    with shelf.open() as ledger:
        found = list(ledger.entries())
    assert [record["seq"] for record in found] == [0, 1, 2]
    assert {record["at"] for record in found} == {EPOCH.isoformat()}


def test_each_record_carries_the_digest_of_the_one_before(shelf: Shelf) -> None:
    """Each record carries the digest of the one before it."""
    shelf.record("a", "b", "c")
    first, second, third = (json.loads(line) for line in shelf.read())
    assert (second["previous"], third["previous"]) == (first["hash"], second["hash"])
    assert len({first["hash"], second["hash"], third["hash"]}) == 3


def test_side_by_side_nothing_is_lost(shelf: Shelf) -> None:
    """Forty threads at once lose and repeat nothing."""
    with shelf.open() as ledger:
        ThreadWorkers(8).map(lambda n: ledger.append("intent", {"effect": n}), range(40))
    assert sorted(shelf.effects()) == list(range(40))


def _edited(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"b"', b'"x"'), *lines[2:]]


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "an edited record": _edited,
    "a record missing from the middle": lambda lines: [lines[0], *lines[2:]],
    "a missing first record": lambda lines: lines[1:],
    "two records in the other order": lambda lines: [lines[0], lines[2], lines[1]],
    "a repeated record": lambda lines: [*lines, lines[-1]],
    "a record cut short": lambda lines: [*lines[:-1], lines[-1][:20]],
    "a line of another kind": lambda lines: [*lines, b"{}\n"],
}


@pytest.mark.parametrize("how", TAMPERED.values(), ids=list(TAMPERED))
def test_what_was_tampered_with_is_refused_and_left(shelf: Shelf, how: Callable[[list[bytes]], list[bytes]]) -> None:
    """A ledger that was edited, cut, reordered or added to by hand is refused, and left as it is."""
    shelf.record("a", "b", "c")
    shelf.write(how(shelf.read()))
    tampered = shelf.read()
    with pytest.raises(ConfigError) as caught:
        shelf.record("d")
    assert caught.value.code == "ledger-broken"
    assert shelf.read() == tampered


def test_an_intent_outlives_the_run(shelf: Shelf) -> None:
    """An effect that was begun and not answered is not begun again before its time, by whichever run."""
    with shelf.open() as ledger:
        Intents(ledger, shelf.clock, lambda _: 120.0).begin("pypi/demo/1.2.0/demo.whl", "sha256:00")
    with shelf.open() as ledger:
        again = Intents(ledger, shelf.clock, lambda _: 120.0)
        assert not again.may_send("pypi/demo/1.2.0/demo.whl")
        shelf.clock.pass_by(120)
        assert again.may_send("pypi/demo/1.2.0/demo.whl")


def test_what_was_accepted_is_never_sent_again(shelf: Shelf) -> None:
    """An effect that was answered with yes is never sent again, however long it stays unseen."""
    with shelf.open() as ledger:
        intents = Intents(ledger, shelf.clock, lambda _: 120.0)
        intents.begin("npm/demo/1.2.0/demo.tgz", "sha256:00")
        intents.answered("npm/demo/1.2.0/demo.tgz", Receipt(Sent.ACCEPTED))
    shelf.clock.pass_by(10**7)
    with shelf.open() as ledger:
        assert not Intents(ledger, shelf.clock, lambda _: 120.0).may_send("npm/demo/1.2.0/demo.tgz")
