"""The catalogue of planted bugs fits the product as it is, and the simulator sees what is planted."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, hunt, planted

OBVIOUS = ("no intent is recorded", "no settling time", "dependencies are not waited for")


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 30


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_each_fits_its_file_once_and_still_compiles(mutant: Mutant) -> None:
    with planted(mutant) as folder:
        compile((folder / "releaser" / mutant.file).read_text(), mutant.file, "exec")


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in OBVIOUS], ids=lambda m: m.name)
def test_an_obvious_one_is_seen_at_once(mutant: Mutant) -> None:
    assert hunt(mutant, 100).seeds
