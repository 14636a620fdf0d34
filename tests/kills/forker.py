"""Commands in processes of their own that are forked from one which has everything imported: a start costs no second.

`Forker` starts that one and talks to it, one JSON document a line; ``python -m tests.kills.forker`` is it.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Forked:
    """A command on its way. What it prints goes to ``output``."""

    def __init__(self, output: Path, kill: Callable[[], None]) -> None:
        self.output = output
        self.kill = kill
        """Ends it by SIGKILL, if it has not ended."""
        self.ended = threading.Event()
        self.code = 0

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal; raises TimeoutError after *timeout* seconds."""
        if not self.ended.wait(timeout):
            raise TimeoutError
        return self.code

    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""


class Forker:
    """Starts commands of `releaser`. A context manager."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.kills.forker"]
        given = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}
        self._server = subprocess.Popen(
            command, cwd=ROOT, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._children: dict[int, Forked] = {}
        self._numbers = count()
        self._lock = threading.Lock()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(10)
        self._listener.join()
        self._server.stdout.close()

    def start(self, folder: Path, environment: Mapping[str, str], arguments: Sequence[str], output: Path) -> Forked:
        """``releaser ARGUMENTS`` in *folder*, with *environment* alone."""
        with self._lock:
            number = next(self._numbers)
            child = self._children[number] = Forked(output, lambda: self._order(number=number))
        self._order(
            number=number, folder=str(folder), environment=dict(environment), output=str(output), arguments=arguments
        )
        return child

    def _order(self, **order: Any) -> None:
        assert self._server.stdin is not None
        with self._lock:
            print(json.dumps(order), file=self._server.stdin, flush=True)

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            told = json.loads(line)
            child = self._children.pop(told["number"])
            child.code = told["code"]
            child.ended.set()


# The process that forks


def serve() -> None:
    """Fork a command for each order on stdin, or kill it where the order is no more than its number, and say on stdout
    how each ended, until stdin is closed."""
    _warm()
    running: dict[int, tuple[int, int]] = {}
    orders = sys.stdin.fileno()
    left = b""
    while True:
        ready, _, _ = select.select([orders, *running], [], [])
        for descriptor in ready:
            if descriptor != orders:
                number, pid = running.pop(descriptor)
                os.close(descriptor)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                sys.stdout.write(json.dumps({"number": number, "code": code}) + "\n")
                sys.stdout.flush()
        if orders in ready:
            chunk = os.read(orders, 1 << 16)
            if not chunk:
                return
            *lines, left = (left + chunk).split(b"\n")
            for order in map(json.loads, lines):
                if "arguments" not in order:
                    for pid in (pid for number, pid in running.values() if number == order["number"]):
                        os.kill(pid, signal.SIGKILL)
                elif pid := os.fork():
                    running[os.pidfd_open(pid)] = order["number"], pid
                else:
                    _become(order)


def _become(order: Mapping[str, Any]) -> None:
    """Run the command in this process, and end it."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        tempfile.tempdir = None
        random.seed()
        code = import_module("releaser.faces.cli").main(order["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _warm() -> None:
    """Import what a whole release imports, and build the models it builds late: learnt from a child's release."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _rehearse(writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        modules, models = json.load(told)
    os.waitpid(pid, 0)
    for name in modules:
        import_module(name)
    for module, name in models:
        getattr(import_module(module), name).model_rebuild()
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()


def _rehearse(writing: int) -> None:
    """Release in this process, tell what that has loaded, and end it."""
    from releaser.faces.cli import main
    from releaser.model.version import Version
    from releaser.rehearsal import sample
    from releaser.rehearsal.world import World

    before = set(sys.modules)
    try:
        with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
            project = sample.settle(world, Version.parse("0.9.0"))
            os.chdir(project.checkout)
            os.dup2(2, 1)
            dist, quiet = str(project.artifacts), os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            places = ("forge", f"sqlite:{folder}/ledger.db", f"{folder}/ledger.jsonl")
            steps = [
                (project.job, ["assemble", project.tag, "--artifacts", dist]),
                (project.job, ["draft", project.tag, "--artifacts", dist]),
                *((who, ["approve", project.tag, "--digest", ""]) for who in project.reviewers.values()),
                *((project.job, ["publish", project.tag, "--poll", "0.05", "--ledger", place]) for place in places),
            ]
            for who, arguments in steps:
                if arguments[0] == "approve":
                    arguments[-1] = "sha256:" + hashlib.sha256(Path(dist, "release.json").read_bytes()).hexdigest()
                os.environ.update(who, HOME=folder)
                assert main(arguments) == 0, arguments
            os.chdir("/")
        models = [
            (kind.__module__, kind.__qualname__)
            for name in sorted(sys.modules)
            if name.startswith("githubkit")
            for kind in list(vars(sys.modules[name]).values())
            if isinstance(kind, type) and kind.__dict__.get("__pydantic_complete__") and "[" not in kind.__qualname__
        ]
        loaded = [n for n in sorted(set(sys.modules) - before) if getattr(sys.modules[n], "__spec__", None)]
        with os.fdopen(writing, "w") as out:
            json.dump((loaded, sorted(set(models))), out)
    finally:
        os._exit(0)


if __name__ == "__main__":
    serve()
