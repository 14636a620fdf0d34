"""The table of docs/contracts.md, and the search for facts that no case holds, can themselves be wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.contracts.mutants import mutants
from tests.contracts.table import Cell, Documented, Instead, cases, render


def test_no_two_cases_of_a_suite_have_one_row() -> None:
    found = list(cases())
    assert sorted({pair for pair in found if found.count(pair) > 1}) == []


def test_runs_of_one_case_at_one_server_are_one_cell() -> None:
    cells = [Cell("Suite", "A case", "one", True), Cell("Suite", "A case", "one", True, ("`2` instead of `1`: so",))]
    table = "## Suite\n\n| case | one |\n|---|---|\n| A case | differs (1) |\n\n1. `2` instead of `1`: so\n"
    assert render(cells) == table


@pytest.mark.parametrize(
    "cells",
    [
        [Cell("Suite", "A case", "one", False)],
        [Cell("Suite", "A case", "one", True), Cell("Suite", "A case", "one", False)],
        [Cell("Suite", "A case", "one", True), Cell("Suite", "Another", "two", True)],
    ],
    ids=["red", "red once", "empty"],
)
def test_a_red_or_an_empty_cell_makes_no_table(cells: list[Cell]) -> None:
    with pytest.raises(ValueError, match="no pass at"):
        render(cells)


def test_a_difference_is_noted_for_the_column_that_differs() -> None:
    here, there = Documented("here"), Documented("there")
    assert (here(200, there=Instead(409, "so")), there(200, there=Instead(409, "so"))) == (200, 409)
    assert (here.differences, there.differences) == ([], ["`409` instead of `200`: so"])


def test_what_is_the_same_is_no_difference() -> None:
    there = Documented("there")
    assert (there("taken", there=Instead("taken", "so")), there.differences) == ("taken", [])


def test_a_note_is_one_line_of_markdown() -> None:
    there = Documented("there")
    there("a `b`\n\n c", there=Instead("", "so"))
    assert there.differences == ["`nothing` instead of `a 'b' c`: so"]


def test_every_kind_of_fact_is_broken() -> None:
    changes = {mutant.change for mutant in mutants("pypi")}
    assert {"400 → 418", "Eq → NotEq", "no reason", "without not", "and ↔ or", "blake2s"} <= changes
    assert any(change.startswith("'") for change in changes)


def test_broken_facts_are_noticed() -> None:
    """A sample of what `make wire-mutants` does; where every case passes whatever is broken, this fails."""
    only = ["--service", "npm_", "--sample", "6", "--seed", "1", "--suites", "test_npm*.py", "--least", "0.5"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.contracts.mutants", *only], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "of 6 mutants caught" in ran.stdout
