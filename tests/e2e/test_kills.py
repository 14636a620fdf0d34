"""A slice of the campaign of ``python -m tests.kills``: processes killed at random, and racing one another."""

from __future__ import annotations

import pytest

from tests.kills import __main__ as kills
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


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--kills 0",
        "--races -1",
        "--kills 1 --races 1",
        "--kills 1 --racers 2",
        "--races 1 --racers 1",
        "--kills 1 --jobs 0",
        "--kills 1 --json /nowhere/figures.json",
    ],
)
def test_a_campaign_that_would_show_nothing_is_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        kills.main(arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
