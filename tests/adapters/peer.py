"""A peer on loopback that speaks bytes, not HTTP: what no server framework would send, a test writes down."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE = 10.0  # seconds, for what would otherwise hang


class Line:
    """One connection. ``over`` is set when the test is."""

    def __init__(self, wire: socket.socket, over: threading.Event, heard: list[tuple[bytes, bytes]]) -> None:
        self.wire = wire
        self.over = over
        self._heard = heard

    def say(self, data: bytes) -> None:
        self.wire.sendall(data)

    def hear(self) -> bool:
        """Read one request to its end; False at the end of the line."""
        data = bytearray()
        while b"\r\n\r\n" not in data:
            if not (piece := self.wire.recv(1 << 16)):
                return False
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
        left = int(length[1]) - len(body) if length else 0
        while left > 0 and (piece := self.wire.recv(min(left, 1 << 16))):
            body += piece
            left -= len(piece)
        self._heard.append((bytes(head), bytes(body)))
        return True

    def drip(self, data: bytes) -> None:
        """Say *data*, and its last byte again and again, a hundred bytes a second, until the test is over."""
        self.say(data)
        while not self.over.wait(0.01):
            self.say(data[-1:])

    def reset(self) -> None:
        """End the line as a crash does."""
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Peer:
    """``url`` is where it listens, ``heard`` the requests that reached it whole: head and body."""

    def __init__(self, talk: Callable[[Line], None], tls: ssl.SSLContext | None) -> None:
        self.heard: list[tuple[bytes, bytes]] = []
        self._talk = talk
        self._tls = tls
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def accept(self) -> None:
        """Talk with whoever comes, each in a thread, until `close`."""
        with suppress(OSError):
            while True:
                wire, _ = self._listener.accept()
                threading.Thread(target=self._converse, args=(wire,), daemon=True).start()

    def close(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _converse(self, wire: socket.socket) -> None:
        wire.settimeout(PATIENCE)
        with suppress(OSError), self._tls.wrap_socket(wire, server_side=True) if self._tls else wire as spoken:
            self._talk(Line(spoken, self._over, self.heard))


@contextmanager
def peer(talk: Callable[[Line], None], tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """A peer for the length of a block."""
    made = Peer(talk, tls)
    thread = threading.Thread(target=made.accept, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(PATIENCE)


def answering(*answers: bytes) -> Callable[[Line], None]:
    """Give *answers* in turn, the last one for ever, to all requests on all lines."""
    left = list(answers)

    def talk(line: Line) -> None:
        while line.hear():
            line.say(left.pop(0) if len(left) > 1 else left[0])

    return talk


def saying(data: bytes) -> Callable[[Line], None]:
    """Hear a request, say *data*, and hang up."""

    def talk(line: Line) -> None:
        if line.hear():
            line.say(data)

    return talk


def answer(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """An answer as it goes over the wire, from a *status* in ISO-8859-1."""
    fields = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
    return "\r\n".join(lines).encode("iso-8859-1") + body
