"""Somebody publishes our file between our look and our write: whatever the registry answers, its digest decides."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.rehearsal.server import Call
from tests.faces.stage import Ran, Stage, recompressed, rewheel

WHEEL = "ternlet-0.9.0-py3-none-macosx_11_0_arm64.whl"  # the first of its package to leave
FILES = {
    "pypi": ("pypi.mint-token", "pypi.upload", "ternlet", WHEEL),
    "crates.io": ("crates.exchange", "crates.publish", "ternlet", "ternlet-0.9.0.crate"),
    "npm": ("npm.exchange", "npm.publish", "@harbor/tern", "harbor-tern-0.9.0.tgz"),
}
"""The exchange that comes right before our write, the write, and what it sends."""
PACKAGES = {"pypi": 2, "crates.io": 1, "npm": 1}
"""How many packages, and so how many exchanges, are tried before the first of them is written."""


@pytest.fixture
def approved(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage.draft().approve()


def raced(stage: Stage, registry: str, other: Callable[[Path], bytes]) -> Ran:
    """Publish, while somebody sends *other* than our file after we looked for it and before we send it."""
    exchange, _, package, name = FILES[registry]
    exchanges = itertools.count()

    def watch(call: Call) -> None:
        if call.operation == exchange and next(exchanges) == PACKAGES[registry]:
            stage.seed(registry, package, name, other(stage.dist / name))

    stage.world.journal.watch = watch
    return stage.publish()


def answers(stage: Stage, registry: str) -> set[int]:
    """The statuses of all writes to *registry*."""
    return {call.status for call in stage.world.journal.calls(FILES[registry][1])}


def changed(file: Path) -> bytes:
    """Other bytes that the registry takes under the file's name."""
    return rewheel(file, extra={"ternlet/more.py": ""}) if file.suffix == ".whl" else recompressed(file)


@pytest.mark.parametrize(("registry", "status"), [("pypi", 200), ("crates.io", 400), ("npm", 403)])
def test_the_same_bytes_are_ours_even_where_they_are_refused(approved: Stage, registry: str, status: int) -> None:
    ran = raced(approved, registry, Path.read_bytes)
    assert ran.code == Exit.DONE, ran.said
    assert status in answers(approved, registry)


@pytest.mark.parametrize(("registry", "status"), [("pypi", 400), ("crates.io", 400), ("npm", 403)])
def test_other_bytes_are_a_conflict_and_are_left_alone(approved: Stage, registry: str, status: int) -> None:
    ran = raced(approved, registry, changed)
    assert ran.code == Exit.CONFLICT, ran.said
    assert "registry-conflict" in ran.err
    assert status in answers(approved, registry)
