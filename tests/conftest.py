"""What tests of real clients, real servers and real packages need.

``@pytest.mark.clients("npm>=11.5.1", "cargo")`` names the commands a test drives, ``@pytest.mark.servers("bin/x")``
what it runs of those that ``make servers`` installed, ``@pytest.mark.downloads`` that it reads files of
``make downloads``. On a person's machine such a test is skipped where they are missing; where ``CI`` is set a missing
one is a failure, so that a green run ran everything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.places import DOWNLOADS, SERVERS

pytest_plugins = ["tests.contracts.github.plugin", "tests.contracts.postgres", "tests.contracts.recorder"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = [client for mark in item.iter_markers("clients") for client in mark.args]
    missing = [client for client in wanted if not has(client)]
    servers = [name for mark in item.iter_markers("servers") for name in mark.args]
    missing += [f"{name} (`make servers`)" for name in servers if not (SERVERS / name).exists()]
    if item.get_closest_marker("downloads") and not (DOWNLOADS / "SHA256SUMS").exists():
        missing.append("`make downloads`")
    if missing and os.environ.get("CI"):
        pytest.fail(f"missing: {', '.join(missing)}", pytrace=False)
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}")


@cache
def has(client: str) -> bool:
    """Whether a command is there, and new enough where ``name>=version`` asks for that."""
    name, _, least = client.partition(">=")
    if shutil.which(name) is None:
        return False
    if not least:
        return True
    said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found is not None and _numbers(found[0]) >= _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@pytest.fixture(scope="session")
def downloads() -> Path:
    """The folder that ``make downloads`` fills."""
    return DOWNLOADS
