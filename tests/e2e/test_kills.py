"""A slice of the campaign of ``python -m tests.kills``: processes killed at random, and racing one another."""

from __future__ import annotations

import pytest

from tests.kills.campaign import Order, play
from tests.kills.forker import Forker

KILLED = [Order(f"1/{number}", ledger) for number, ledger in enumerate(["file", "sqlite", "forge"])]
RACES = [Order("2/0", "sqlite", 2), Order("2/2", "forge", 3)]


@pytest.mark.parametrize("order", [*KILLED, *RACES], ids=lambda order: order.replay.partition("--replay ")[2])
def test_a_release_survives(forker: Forker, order: Order) -> None:
    outcome = play(order, forker)
    assert outcome.violations == []
    assert outcome.writes == 0
    assert sum(outcome.ends.values()) == (order.racers if order.racers > 1 else 0)
