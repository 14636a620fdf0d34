"""Runs a real server on loopback for the length of a block. ``make servers`` installs them into ``.servers``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.places import SERVERS as SERVERS

PATIENCE = 300.0  # seconds until a server answers
_KEPT: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 that the system gives to nobody else while this process lives.

    It stays bound, so only who asks for exactly this port, and reuses addresses as servers do, may listen on it.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    _KEPT.append(keeper)
    return int(keeper.getsockname()[1])


@contextmanager
def running(
    *command: str | Path, ready: str, folder: Path, environ: Mapping[str, str] | None = None
) -> Iterator[httpx.Client]:
    """A client for the server that *command* starts in *folder*, once it answers on the address *ready*.

    Its output goes to ``server.log`` there, which a failure to start quotes. It is stopped with all its children.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", **(environ or {})}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(part) for part in command], cwd=folder, env=given, stdout=output, stderr=output, start_new_session=True
        )
        try:
            with httpx.Client(trust_env=False, timeout=30.0) as client:
                _await(server, client, ready, log)
                yield client
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _await(server: subprocess.Popen[bytes], client: httpx.Client, ready: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            client.get(ready)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{ready} does not answer: {log.read_text(errors='replace')[-2000:]}", pytrace=False)
