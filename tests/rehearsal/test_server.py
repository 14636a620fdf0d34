"""The small server that the rehearsal's services are made of: it ends at once, and only when it is told to."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from releaser.rehearsal.server import Faults, Journal, Request, Response, Service, route


class Bell(Service):
    name: ClassVar[str] = "bell"

    def __init__(self, root: Path) -> None:
        super().__init__(root, Journal(), Faults())

    @route("GET", "/ring", "ring")
    def ring(self, _: Request) -> Response:
        return Response.json("ding")


def ring(bell: Bell) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(bell.url).netloc, timeout=20)
    try:
        connection.request("GET", "/ring")
        return connection.getresponse().read()
    finally:
        connection.close()


def place(bell: Bell) -> tuple[str, int]:
    parts = urlsplit(bell.url)
    return str(parts.hostname), int(parts.port or 0)


def test_a_stopped_server_answers_nobody_and_may_be_stopped_again(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    bell.start()
    assert ring(bell) == b'"ding"'
    bell.stop()
    bell.stop()
    with pytest.raises(ConnectionRefusedError):
        ring(bell)


def test_a_server_that_was_never_started_can_be_stopped(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    bell.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place(bell))


def test_clients_that_say_nothing_do_not_keep_a_server(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    bell.start()
    with socket.create_connection(place(bell)), socket.create_connection(place(bell)):
        bell.stop()
    with pytest.raises(ConnectionRefusedError):
        ring(bell)


def test_a_connection_for_which_there_is_no_thread_is_closed_and_the_next_one_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bell = Bell(tmp_path)
    bell.start()
    serve = bell._server.process_request

    def exhausted(*_: object) -> None:
        monkeypatch.setattr(bell._server, "process_request", serve)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(bell._server, "process_request", exhausted)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ring(bell)
    assert ring(bell) == b'"ding"'
    bell.stop()
    assert "can't start new thread" in capsys.readouterr().err
