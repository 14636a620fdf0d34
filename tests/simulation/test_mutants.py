"""The catalogue of planted bugs fits the product as it is, and the simulator sees what is planted and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.simulation import __main__ as simulation
from tests.simulation import mutants
from tests.simulation.mutants import (
    MUTANTS,
    ROOT,
    Caught,
    Mutant,
    Unsound,
    control,
    copied,
    first_broken,
    hunt,
    planted,
)

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


def test_without_a_bug_nothing_is_seen() -> None:
    with copied() as folder:
        assert first_broken(folder, range(50)) is None


@pytest.mark.parametrize(
    ("new", "said"),
    [
        pytest.param("_ATTEMPTS = (\n", "SyntaxError", id="a file that does not parse"),
        pytest.param("_ATTEMPTS = 3\nraise SystemExit\n", "without a word", id="an exit that says all is well"),
        pytest.param("_ATTEMPTS = None\n", "TypeError", id="a crash"),
    ],
)
def test_what_only_breaks_the_program_is_no_evidence(new: str, said: str) -> None:
    with pytest.raises(Unsound, match=said):
        hunt(Mutant("broken", "engine/intents.py", "_ATTEMPTS = 3\n", new), 100)


def test_a_bug_that_fits_nowhere_is_no_evidence() -> None:
    with pytest.raises(Unsound, match="lost: 0 places"):
        hunt(Mutant("lost", "engine/intents.py", "no such text", ""), 1)


def test_a_story_that_breaks_a_promise_anyway_is_no_evidence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with planted(next(mutant for mutant in MUTANTS if mutant.name == OBVIOUS[0])) as folder:
        shutil.copytree(folder / "releaser", tmp_path / "releaser")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__", "golden"))
    with pytest.raises(Unsound, match="without a planted bug"):
        control([Caught("other", 1, "I1: seen")])


@pytest.mark.parametrize(
    "arguments",
    [
        "--seeds 0",
        "--seeds -5",
        "--jobs 0",
        "--only nosuch",
        "--json /nowhere/table.json",
    ],
)
def test_a_hunt_for_nothing_is_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        mutants.main(arguments.split())
    assert ended.value.code == 2
    assert arguments.split()[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "--seeds 0",
        "--seeds -5",
        "--jobs 0",
        "--json /nowhere/figures.json",
        "--matrix --crashes pairs",
        "--seed 1 --matrix",
    ],
)
def test_a_campaign_of_nothing_is_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        simulation.main(arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
