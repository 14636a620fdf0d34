"""Stories by seed: no promise is broken, what was broken once stays mended, and a seed is one story everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.campaign import run
from tests.simulation.play import play
from tests.simulation.seeds import story
from tests.simulation.story import Story

ROOT = Path(__file__).parent.parent.parent
CORPUS = Path(__file__).with_name("corpus.jsonl").read_text().splitlines()
SEEDS, SLICES = 400, 4
TWICE = 1000
TRACES = """
from tests.simulation.play import play
from tests.simulation.seeds import story
for seed in range({count}):
    print(play(story(seed), keep=True).trace)
"""


@pytest.mark.parametrize("part", range(SLICES))
def test_no_seed_breaks_a_promise(part: int) -> None:
    count = SEEDS // SLICES
    report = run(part * count, count, stop_at_first=False)
    assert [f"make simulate SEED={o.story.seed}: {v}" for o in report.failures for v in o.violations] == []
    assert report.played == count
    assert report.unresolved == 0


@pytest.mark.parametrize("line", CORPUS, ids=range(1, len(CORPUS) + 1))
def test_what_failed_once_does_not_fail_again(line: str) -> None:
    told = json.loads(line)
    outcome = play(Story.parse(json.dumps(told["story"])))
    assert outcome.violations == ()
    assert (outcome.state, set(outcome.fired)) == (told["ends"], set(outcome.story.strikes)), "it is another story now"


def test_a_story_survives_being_written_down() -> None:
    for seed in range(200):
        told = story(seed)
        assert Story.parse(told.as_json()) == told
        assert len(told.told()) > len(told.strikes)


def test_the_same_seeds_give_the_same_traces_in_every_process() -> None:
    def traces(hash_seed: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TRACES.format(count=TWICE)]
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    first, second = (process.communicate()[0].split() for process in (traces("1"), traces("2")))
    assert len(first) == TWICE
    assert len(set(first)) > TWICE * 0.9  # where nothing comes to strike, stories are alike
    assert first == second


def test_a_trace_is_replayed_from_its_choices() -> None:
    for seed in range(60):
        outcome = play(story(seed), keep=True)
        assert play(replace(outcome.story, choices=outcome.choices), keep=True).trace == outcome.trace
