"""A small HTTP/1.1 server on loopback that the services of the rehearsal world are made of.

It exists because the world must control what frameworks hide: the reason phrase (where the Python index puts
its message), connections dropped after the effect, and request bodies that go to disk as they arrive.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK = 1 << 20
SPOOL = 8 << 20
GATEWAY = 502
CUT_OFF = 499  # in the journal only: nginx's number for a client that went away


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``body`` is a file at position 0, in memory up to 8 MiB and on disk beyond."""

    method: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    body: IO[bytes]
    length: int
    hang_up: Callable[[], None] = field(default=lambda: None, repr=False)
    """Closes the connection, so that no answer can be sent any more."""

    def read(self) -> bytes:
        """The whole body; for the small ones."""
        self.body.seek(0)
        return self.body.read()

    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is not."""
        return json.loads(self.read() or b"null")

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. ``body`` may be a file that is streamed; ``reason`` replaces the standard phrase."""

    status: int = 200
    body: bytes | Path = b""
    content_type: str = "application/json"
    reason: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Self:
        return cls(status=status, body=json.dumps(value).encode(), headers=headers)


class Refused(Exception):
    """Raised by a handler, from however deep, to answer *response* at once."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def revalidate(request: Request, response: Response) -> Response:
    """*response* under an ``ETag`` of its bytes, or 304 when the client names that tag (RFC 9110 section 13.1.2)."""
    body = response.body.read_bytes() if isinstance(response.body, Path) else response.body
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    known = [t.strip().removeprefix("W/") for t in request.header("if-none-match").split(",")]
    if tag in known or known == ["*"]:
        return Response(304, headers={**response.headers, "ETag": tag})
    return replace(response, headers={**response.headers, "ETag": tag})


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the world saw it: enough to count effects, nothing secret.

    ``about`` is the file or the reference that it names, empty where it names none; ``status`` is 0 until answered.
    """

    operation: str
    method: str
    path: str
    status: int
    about: str = ""


@dataclass(slots=True)
class Fault:
    """What goes wrong, how often. ``operation`` is the name of a route, as in ``pypi.upload``.

    * ``status``: answer this, with ``headers``, instead of doing it;
    * ``lose``: close the connection instead of doing it;
    * ``drop``: do it, then close the connection without an answer;
    * ``lie``: do it, then answer ``status`` instead of the truth;
    * ``late``: close the connection at once, and do it ``delay`` seconds later;
    * ``slow``: do it as it should be done.

    With any other kind, ``delay`` is how many seconds to wait before it is done. The first ``skip`` requests go
    through. With ``matches``, requests are chosen by it, whatever their operation is.
    """

    operation: str
    kind: str
    status: int = 503
    delay: float = 0.0
    times: int = 1
    skip: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    matches: Callable[[Call], bool] | None = None

    def is_about(self, call: Call) -> bool:
        return self.matches(call) if self.matches else self.operation == call.operation


class Faults:
    """The faults still to happen, shared by all services of a world. ``watch`` is told of each as it happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []
        self.watch: Callable[[Fault, Call], None] = lambda _fault, _call: None

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._pending.append(fault)

    def take(self, call: Call) -> Fault | None:
        """The first fault for *call*, counted down; None when nothing is wrong. All faults count the call."""
        with self._lock:
            meant = [f for f in self._pending if f.times and f.is_about(call)]
            fault = next((f for f in meant if not f.skip), None)
            for other in meant:
                other.skip -= other.skip > 0
            if fault is not None:
                fault.times -= 1
        if fault is not None:
            self.watch(fault, call)
        return fault


class Journal:
    """Everything that was asked of the world, in order.

    ``arriving`` is told of each call before anything is done about it, ``watch`` once its effect is there, before it
    is answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self.arriving: Callable[[Call], None] = lambda _: None
        self.watch: Callable[[Call], None] = lambda _: None

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
        self.watch(call)

    def calls(self, operation: str | None = None) -> list[Call]:
        with self._lock:
            return [c for c in self._calls if operation is None or c.operation == operation]

    def writes(self) -> list[Call]:
        """Accepted changes: everything but reads that was answered with success."""
        return [c for c in self.calls() if c.method not in ("GET", "HEAD") and c.status < 300]


Handler = Callable[[Any, Request], Response]
_NAMES = re.compile(rb'\bfilename="?([^"\r\n;]+)|"ref": ?"([^"]+)"')


def _named(request: Request) -> str:
    """The file or reference that a write names: in its address, in its form or in its JSON."""
    if request.method in ("GET", "HEAD"):
        return ""
    head = request.body.read(CHUNK)
    request.body.seek(0)
    found = _NAMES.search(head)
    return request.query.get("name") or (next(filter(None, found.groups())).decode(errors="replace") if found else "")


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    operation: str
    handler: Handler


def route(method: str, template: str, operation: str) -> Callable[[Handler], Handler]:
    """Serve *method* on *template* (``/simple/{project}/``; ``{path*}`` spans slashes) by this method."""
    expression = re.sub(r"\\{(\w+)\\\*\\}", r"(?P<\1>.*)", re.escape(template))
    expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", expression)
    compiled = re.compile(expression + r"\Z")

    def mark(handler: Handler) -> Handler:
        handler.__dict__.setdefault("routes", []).append((method, compiled, operation))
        return handler

    return mark


class Service:
    """A loopback server whose routes are its own decorated methods.

    Path parameters are matched before percent-decoding, so ``@scope%2fname`` is one segment, and reach the
    handler decoded. A handler's state must be guarded by ``self.lock``; requests run in threads. ``clock`` tells
    seconds since the epoch, dates every answer, and may be replaced.
    """

    name: ClassVar[str] = ""

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        self.clock: Callable[[], float] = time.time
        self.root = root
        self.root.mkdir(parents=True, exist_ok=True)
        self.journal = journal
        self.faults = faults
        self.lock = threading.RLock()
        # Literal paths before parameters: /-/ping is not version "ping" of package "-".
        # Of equals the longer: /commits/{ref*}/status before /commits/{ref*}.
        self._routes = tuple(sorted(self._collect(), key=lambda r: (r.pattern.groups, -len(r.pattern.pattern))))
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._server.serve, daemon=True)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def not_found(self, _request: Request) -> Response:
        """The answer where no route matches."""
        return Response.json({"message": "Not Found"}, status=404)

    def injected(self, status: int) -> Response:
        """The answer of a fault, in the way this service words its own errors."""
        return Response.json({"message": "injected fault"}, status=status)

    def left_behind(self, operation: str, request: Request, status: int) -> None:
        """What *operation* leaves in the world when a ``status`` fault stops it; nothing, as a rule."""

    def cut_off(self, request: Request) -> str:
        """Not handle a request whose sender went away before its body was whole, and say which operation it was."""
        found = self._find(request)
        if found is None:
            return f"{self.name}.unknown"
        self.left_behind(found[0].operation, found[1], GATEWAY)
        return found[0].operation

    def _collect(self) -> Iterator[Route]:
        for attribute in dir(type(self)):
            handler = getattr(type(self), attribute)
            for method, pattern, operation in getattr(handler, "routes", ()):
                yield Route(method, pattern, f"{self.name}.{operation}", handler)

    def answer(self, request: Request) -> tuple[Call, Response | None]:
        """The call as it goes on record, and the answer; None to close the connection without one."""
        found = self._find(request)
        operation = found[0].operation if found else f"{self.name}.unknown"
        call = Call(operation, request.method, request.path, 0, _named(request))
        self.journal.arriving(call)
        truth, told = self._run(*found, call) if found else (self.not_found(request),) * 2
        return replace(call, status=truth.status), told

    def _find(self, request: Request) -> tuple[Route, Request] | None:
        """The route of *request*, and the request with that route's parameters."""
        for candidate in self._routes:
            match = candidate.pattern.match(request.path)
            if match and candidate.method == request.method:
                return candidate, replace(request, params={k: unquote(v) for k, v in match.groupdict().items()})
        return None

    def _run(self, found: Route, request: Request, call: Call) -> tuple[Response, Response | None]:
        """What became of a request, and what its sender is told of that; None where no answer is sent."""
        fault = self.faults.take(call)
        if fault is None:
            return (self._handle(found, request),) * 2
        if fault.kind == "late":
            request.hang_up()
        if fault.delay:
            time.sleep(fault.delay)
        if fault.kind == "lose":
            return Response(CUT_OFF), None
        injected = self.injected(fault.status)
        injected = replace(injected, headers={**injected.headers, **fault.headers})
        if fault.kind == "status":
            self.left_behind(found.operation, request, fault.status)
            return injected, injected
        response = self._handle(found, request)
        return response, {"drop": None, "late": None, "lie": injected}.get(fault.kind, response)

    def _handle(self, found: Route, request: Request) -> Response:
        try:
            return found.handler(self, request)
        except Refused as refused:
            return refused.response


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    over = False

    def serve(self) -> None:
        """Take connections until `shutdown`, which `serve_forever` would poll for."""
        while not self.over:
            try:
                connection, address = self.get_request()
            except OSError:  # gone before it was taken
                continue
            try:
                if not self.over:
                    self.process_request(connection, address)
                    continue
            except RuntimeError:  # no thread for it
                self.handle_error(connection, address)
            self.shutdown_request(connection)

    def shutdown(self) -> None:
        """Take no connection any more: the one that is waited for is ours, or closed like it."""
        self.over = True
        socket.create_connection(("127.0.0.1", self.server_port)).close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet about a client that went away; anything else is a bug of the world."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler_for(service: Service) -> type[BaseHTTPRequestHandler]:
    class Bound(_Handler):
        owner = service

    return Bound


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # few writes per answer
    disable_nagle_algorithm = True  # or else each write behind the first waits for a delayed ACK, 40 ms
    owner: ClassVar[Service]

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the journal is the record."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """What the ``Date`` header says."""
        return super().date_time_string(self.owner.clock() if timestamp is None else timestamp)

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        headers = {k.lower(): v for k, v in self.headers.items()}
        with tempfile.SpooledTemporaryFile(max_size=SPOOL) as body:
            length = self._receive(body, headers)
            whole = body.seek(0, 2) == length
            body.seek(0)
            request = Request(
                method=self.command,
                path=parts.path,
                params={},
                query={k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()},
                headers=headers,
                body=body,
                length=length,
                hang_up=lambda: self.connection.shutdown(socket.SHUT_RDWR),
            )
            if not whole:
                self.owner.journal.add(Call(self.owner.cut_off(request), self.command, parts.path, CUT_OFF))
                self.close_connection = True
                return
            call, response = self.owner.answer(request)
        self.owner.journal.add(call)
        if response is None:
            self.close_connection = True
            return
        self._send(response)

    def _receive(self, body: IO[bytes], headers: dict[str, str]) -> int:
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.flush()
        if "chunked" in headers.get("transfer-encoding", ""):
            total = 0
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body.write(self.rfile.read(size))
                self.rfile.readline()
                total += size
            self.rfile.readline()
        else:
            total = int(headers.get("content-length") or 0)
            left = total
            while left and (chunk := self.rfile.read(min(CHUNK, left))):
                body.write(chunk)
                left -= len(chunk)
        body.seek(0)
        return total

    def _send(self, response: Response) -> None:
        size = response.body.stat().st_size if isinstance(response.body, Path) else len(response.body)
        self.send_response(response.status, response.reason)
        for name, value in response.headers.items():
            self.send_header(name.replace("_", "-"), value)
        if response.status not in (204, 304):
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command != "HEAD" and response.status not in (204, 304):
            if isinstance(response.body, Path):
                with response.body.open("rb") as source:
                    while chunk := source.read(CHUNK):
                        self.wfile.write(chunk)
            else:
                self.wfile.write(response.body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server looks them up
