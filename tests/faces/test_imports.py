"""Quick answers stay quick: what each command imports, seen in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.stage import Stage

HEAVY = {
    *("githubkit", "httpx", "hishel", "twine", "sigstore", "requests", "structlog", "jwt", "cryptography"),
    *("starlette", "uvicorn", "rich"),
}
LIGHT = HEAVY | {"pydantic", "asyncio", "ssl"}
PROBE = """\
import sys
from releaser.faces.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("imports")) as stage:
        yield stage


def imported(folder: Path, *arguments: str) -> set[str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)}
    command = [sys.executable, "-c", PROBE, *arguments]
    ran = subprocess.run(command, env=environ, cwd=folder, check=True, capture_output=True, text=True)
    assert ran.stdout
    return set(ran.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        pytest.param(("--help",), LIGHT, id="help"),
        pytest.param(("publish", "--help"), LIGHT, id="help of a command"),
        pytest.param(("version", "1.0.0"), LIGHT, id="version"),
        pytest.param(("plan", "v0.9.0", "--offline", "--format", "json"), HEAVY, id="plan as a document"),
        pytest.param(("plan", "v0.9.0", "--offline", "--format", "markdown"), HEAVY, id="plan for a page"),
        pytest.param(("plan", "v0.9.0", "--offline"), HEAVY - {"rich"}, id="plan as text"),
        pytest.param(("plan", "v0.9.0", "--show-policy"), HEAVY, id="the policy"),
        pytest.param(("schema", "policy"), HEAVY, id="schema"),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_need(
    ready: Stage, arguments: tuple[str, ...], unwanted: set[str]
) -> None:
    found = imported(ready.checkout, *arguments)
    assert "releaser" in found
    assert not found & unwanted
