"""The stage keeps apart what processes and their tasks have in hand."""

from __future__ import annotations

from tests.simulation.scheduler import Choices, Process
from tests.simulation.shapes import FULL
from tests.simulation.stage import BOT, TAG, Stage


def test_reads_that_go_side_by_side_give_each_its_own_bytes() -> None:
    stage = Stage(FULL, 2, Choices(1, restless=0.5))
    stage.prepare(2)
    stage.scheduler.interleaved = True
    process = Process("run", BOT)
    outside = stage.outside(process)
    (release,) = outside.forge.releases(TAG)
    stage.scheduler.spawn(
        process, lambda: outside.workers.map(lambda asset: outside.scratch.read(asset, 1 << 20), release.assets)
    )
    stage.scheduler.run()
    assert process.result == [stage.world.forge.uploaded[asset.id] for asset in release.assets]
