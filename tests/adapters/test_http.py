"""The HTTP client: what it refuses to send, what it repeats, how much it reads, and what it lets slip: nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from pydantic import BaseModel

from releaser.adapters.body import CHUNK, Base64, Body
from releaser.adapters.http import RETRIES, Client, Limits, tls
from releaser.adapters.local import ThreadWorkers
from releaser.adapters.redact import plain, redact
from releaser.adapters.reply import Reply, retry_after
from releaser.engine.ports import Sent
from releaser.errors import ConfigError, ExternalError
from releaser.rehearsal.server import Faults, Journal, Request, Response, Service, route

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
URL = "https://example.invalid/path"
JSON = {"content-type": "application/vnd.example.v1+json; charset=utf-8"}
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
SECRET = "pypi-" + "AgEIcHlwaS5vcmcCJDQ4" * 3


class Clock:
    def __init__(self) -> None:
        self.time = NOW
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def elapsed(self) -> float:
        return (self.time - NOW).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


class Wire:
    """Answers one after the other, the last one for ever; remembers what reached it."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.received: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.received.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_for(
    handler: Callable[[httpx.Request], httpx.Response],
    clock: Clock | None = None,
    hosts: Callable[[], set[str]] | None = None,
) -> Client:
    return Client(hosts, "", httpx.MockTransport(handler), clock or Clock(), random=lambda: 1.0)


class Raw(httpx.SyncByteStream):
    """A body as it comes over the wire, piece by piece."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("0", 0.0, id="at once"),
        pytest.param("-5", 0.0, id="negative"),
        pytest.param("864000", 60.0, id="ten days"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 GMT", 30.0, id="a date"),
        pytest.param("Sun, 01 Mar 2026 11:00:00 GMT", 0.0, id="a date in the past"),
        pytest.param("Wed, 01 Mar 2028 12:00:00 GMT", 60.0, id="a date far away"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 -0000", 30.0, id="a date without a zone"),
        pytest.param("soon", None, id="a word"),
        pytest.param("1e3", None, id="not a plain number"),
        pytest.param("9" * 400, None, id="too many digits"),
        pytest.param("Sun, 01 Mar 99999 12:00:00 GMT", None, id="an impossible year"),
        pytest.param("", None, id="empty"),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        "cio_tp_" + "x1Y2" * 8,
        "cio" + "a1b2" * 8,
        "npm_" + "a1B2" * 9,
        "ghs_" + "a1B2" * 9,
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "11A_bc" * 9,
        "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJweXBpIn0.c2lnbmF0dXJl",
        base64.b64encode(f"__token__:{SECRET}".encode()).decode(),
    ],
    ids=["pypi", "crates by OIDC", "crates", "npm", "ghs", "ghp", "fine-grained", "jwt", "basic"],
)
@pytest.mark.parametrize("around", ["{}", "token {} is wrong", "x?token={}&y", "Bearer%20{}", "<b>{}</b>"])
def test_credentials_are_redacted_wherever_they_stand(secret: str, around: str) -> None:
    shown = redact(around.format(secret))
    assert secret[:24] not in shown
    assert secret[-12:] not in shown
    assert "[redacted]" in shown


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer opaque",
        "authorization:opaque",
        "Authorization=Basic b3BhcXVl",
        "Bearer opaqueopaqueopaqueopaque",
    ],
)
def test_authorization_is_redacted_whatever_the_credential_looks_like(text: str) -> None:
    assert "opaque" not in redact(text)
    assert "b3BhcXVl" not in redact(text)


@pytest.mark.parametrize(
    "text", ["suspicion of precious things", "basic authentication", "pypi-simple 1.8.0", "npm_config"]
)
def test_plain_words_are_left_alone(text: str) -> None:
    assert redact(text) == text


def test_what_strangers_say_becomes_one_short_printable_line() -> None:
    assert plain("a\r\n::error::b\x1b[31m \u202ec") == "a ::error::b [31m c"
    assert plain("x" * 400) == "x" * 299 + "…"
    assert SECRET[:20] not in plain("y" * 290 + SECRET)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.invalid/",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1.example.invalid/",
        "http://localhost@example.invalid/",
        "ftp://example.invalid/",
        "file:///etc/passwd",
        "example.invalid/x",
        "https://example.invalid:port/",
        "https://xn--/",
        "https://\u00e9.invalid/\udc80",
        "https:///path",
    ],
)
def test_nothing_is_sent_in_plain_text_off_this_machine(url: str) -> None:
    wire = Wire(httpx.Response(200))
    with pytest.raises(ExternalError) as caught:
        client_for(wire).request("GET", url)
    assert (caught.value.code, caught.value.retryable) == ("transport-insecure", False)
    assert wire.received == []


def test_only_allowed_hosts_are_spoken_to_and_a_user_in_the_address_is_not_shown() -> None:
    wire = Wire(httpx.Response(200))
    client = client_for(wire, hosts=lambda: {"example.invalid"})
    assert client.request("GET", URL).status == 200
    with pytest.raises(ExternalError) as caught:
        client.request("GET", "https://user:opaque@other.invalid/x?token=opaque")
    assert caught.value.code == "host-not-allowed"
    assert "opaque" not in repr(vars(caught.value))
    assert [r.url.host for r in wire.received] == ["example.invalid"]


@pytest.mark.parametrize("trouble", [httpx.Response(503), httpx.Response(429), httpx.ReadTimeout("slow")])
def test_a_read_is_repeated_until_it_succeeds(trouble: httpx.Response | Exception) -> None:
    wire, clock = Wire(*[trouble] * RETRIES, httpx.Response(200, content=b"ok")), Clock()
    assert client_for(wire, clock).request("GET", URL).body == b"ok"
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]


def test_a_read_waits_as_long_as_it_is_told_but_not_for_ever() -> None:
    told = (httpx.Response(503, headers={"Retry-After": s}) for s in ("3", "-1", "864000"))
    clock = Clock()
    client_for(Wire(*told, httpx.Response(200)), clock).request("GET", URL)
    assert clock.slept == [3.0, 1.0, 60.0]


@pytest.mark.parametrize("trouble", [httpx.Response(502), httpx.ConnectError("refused")])
def test_a_read_gives_up_after_its_retries(trouble: httpx.Response | Exception) -> None:
    wire = Wire(trouble)
    with pytest.raises(ExternalError) as caught:
        client_for(wire).request("GET", URL)
    assert (caught.value.code, caught.value.retryable) == ("outside-unreachable", True)
    assert len(wire.received) == RETRIES + 1


@pytest.mark.parametrize("status", [200, 301, 304, 400, 403, 404])
def test_other_answers_are_not_repeated(status: int) -> None:
    wire = Wire(httpx.Response(status, headers={"Location": "https://other.invalid/"}))
    assert client_for(wire).request("GET", URL, headers={"Authorization": "Bearer x"}).status == status
    assert len(wire.received) == 1


@pytest.mark.parametrize(
    ("answer", "sent", "wait"),
    [
        (httpx.Response(200), Sent.ACCEPTED, 0.0),
        (httpx.Response(201), Sent.UNKNOWN, 0.0),
        (httpx.Response(307, headers={"Location": "https://other.invalid/"}), Sent.UNKNOWN, 0.0),
        *((httpx.Response(status), Sent.REFUSED, 0.0) for status in (400, 404, 409, 413, 422)),
        *((httpx.Response(status, headers={"Retry-After": "30"}), Sent.DENIED, 0.0) for status in (401, 403)),
        (httpx.Response(418), Sent.UNKNOWN, 0.0),
        (httpx.Response(429, headers={"Retry-After": "600"}), Sent.LATER, 600.0),
        (httpx.Response(429), Sent.LATER, 0.0),
        (httpx.Response(503, headers={"Retry-After": "864000"}), Sent.UNKNOWN, 600.0),
        (httpx.Response(503), Sent.UNKNOWN, 0.0),
        (httpx.Response(500), Sent.UNKNOWN, 0.0),
        (httpx.Response(502), Sent.UNKNOWN, 0.0),
        *((gone("nobody there"), Sent.LATER, 0.0) for gone in UNSENT),
        (httpx.ReadTimeout("slow"), Sent.UNKNOWN, 0.0),
        (httpx.WriteError("broken pipe"), Sent.UNKNOWN, 0.0),
        (httpx.ProxyError("refused"), Sent.UNKNOWN, 0.0),
        (httpx.RemoteProtocolError("dropped"), Sent.UNKNOWN, 0.0),
        (httpx.Response(200, headers={"Content-Encoding": "br"}, stream=Raw([b"?"])), Sent.UNKNOWN, 0.0),
    ],
)
def test_a_write_is_sent_once_and_its_answer_is_classified(
    answer: httpx.Response | Exception, sent: Sent, wait: float
) -> None:
    wire = Wire(answer)
    receipt = client_for(wire).write(
        "POST", URL, headers={}, content=b"x", means=lambda reply: Sent.ACCEPTED if reply.status == 200 else None
    )
    assert (receipt.sent, receipt.wait) == (sent, wait)
    assert len(wire.received) == 1


@pytest.mark.parametrize("trouble", UNSENT)
def test_a_read_that_reaches_nobody_is_repeated_as_well(trouble: type[httpx.TransportError]) -> None:
    wire = Wire(trouble("nobody there"), httpx.Response(200, content=b"ok"))
    assert client_for(wire).request("GET", URL).body == b"ok"


def test_workers_within_workers_never_wait_for_a_connection() -> None:
    width = signature(ThreadWorkers).parameters["width"].default
    assert Limits().connections >= width**2


def test_a_write_to_a_forbidden_address_is_an_error_and_no_receipt() -> None:
    with pytest.raises(ExternalError, match="transport-insecure"):
        client_for(Wire(httpx.Response(200))).write(
            "POST", "http://example.invalid/", headers={}, content=b"", means=lambda _: Sent.ACCEPTED
        )


@pytest.mark.parametrize(
    ("pieces", "encoding", "code"),
    [
        pytest.param((b"x" * 600, b"x" * 600), "", "answer-too-large", id="plain"),
        pytest.param((gzip.compress(bytes(50 << 20)),), "gzip", "answer-too-large", id="gzip bomb"),
        pytest.param((b"\x1f\x8bnot gzip",), "gzip", "answer-unreadable", id="broken gzip"),
        pytest.param((gzip.compress(b"x" * 500)[:-4],), "gzip", "answer-unreadable", id="gzip cut short"),
        pytest.param((gzip.compress(b"x"), b"rubbish"), "gzip", "answer-unreadable", id="rubbish behind the gzip"),
        pytest.param((gzip.compress(b"x") + b"rubbish",), "gzip", "answer-unreadable", id="rubbish in one piece"),
        pytest.param((gzip.compress(b"x") * 2,), "gzip", "answer-unreadable", id="a second gzip behind the first"),
        pytest.param((gzip.compress(b"")[:12],), "gzip", "answer-unreadable", id="the head of a gzip alone"),
        pytest.param((b"x",), "zstd", "answer-unreadable", id="an encoding that was not asked for"),
    ],
)
def test_a_hostile_body_ends_the_request(pieces: tuple[bytes, ...], encoding: str, code: str) -> None:
    wire = Wire(httpx.Response(200, headers={"Content-Encoding": encoding}, stream=Raw(pieces)))
    with pytest.raises(ExternalError) as caught:
        client_for(wire).request("GET", URL, limit=1000)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("begun", "code"),
    [
        pytest.param(gzip.compress(b"x"), "answer-unreadable", id="behind the gzip"),
        pytest.param(b"\x1f\x8b\x08\x08" + bytes(6), "answer-too-large", id="in a file name without end"),
    ],
)
def test_what_a_gzip_does_not_decode_to_is_not_read_without_end(begun: bytes, code: str) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        for piece in (begun, *[b"x" * 1000] * 10_000):
            read += len(piece)
            yield piece

    wire = Wire(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Raw(endless())))
    with pytest.raises(ExternalError) as caught:
        client_for(wire).request("GET", URL, limit=1000)
    assert caught.value.code == code
    assert read < 100_000


@pytest.mark.parametrize("level", [0, 9])
def test_a_gzip_may_be_larger_than_what_is_in_it(level: int) -> None:
    data = hashlib.shake_256().digest(1 << 20)
    wire = Wire(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Raw([gzip.compress(data, level)])))
    assert client_for(wire).request("GET", URL, limit=len(data)).body == data


def test_a_gzip_body_is_decoded() -> None:
    packed = gzip.compress(b"x" * 1000)
    wire = Wire(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Raw([packed[:9], packed[9:]])))
    assert client_for(wire).request("GET", URL, limit=1000).body == b"x" * 1000


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        (b'{"errors":[{"detail":"first"},{"detail":"second"}]}', b"Bad Request", "first; second"),
        (b'{"message":"Token request failed","errors":[{"code":"c","description":"why"}]}', b"", "why"),
        (b'{"error":"You cannot publish over"}', b"Forbidden", "You cannot publish over"),
        (b'{"message":"Bad credentials"}', b"", "Bad credentials"),
        (b"<html>rendered</html>", b"File already exists", "File already exists"),
        (b"[" * 100_000, b"Deep", "Deep"),
        (b'{"errors":[7,{"detail":null}]}', b"Odd", "Odd"),
        (b'{"error":"bad token ' + SECRET.encode() + b'"}', b"", "bad token [redacted]"),
        (b"", "é\u00a0è".encode("iso-8859-1"), "é è"),
        (b"", b"", "status 400"),
    ],
)
def test_a_reply_speaks_in_the_remotes_own_words(body: bytes, reason: bytes, said: str) -> None:
    wire = Wire(httpx.Response(400, content=body, extensions={"reason_phrase": reason}))
    assert client_for(wire).request("GET", URL).said == said


class Shape(BaseModel):
    name: str


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"name": 3}', b"{}", b"[" * 100_000, b'{"name": "\xff"}'])
def test_an_answer_of_another_shape_is_unreadable(body: bytes) -> None:
    with pytest.raises(ExternalError) as caught:
        Reply(URL, 200, "OK", JSON, body).read(Shape)
    assert caught.value.code == "answer-unreadable"


def test_an_answer_of_the_right_shape_may_say_more() -> None:
    reply = Reply(URL, 200, "OK", JSON, b'{"name": "x", "new": 1}')
    assert reply.read(Shape) == Shape(name="x")
    assert reply.json() == {"name": "x", "new": 1}


@pytest.mark.parametrize("size", [0, 1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 2])
def test_a_body_has_the_length_it_says_and_comes_in_small_pieces(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    told: list[int] = []
    body = Body((b"head", file, Base64(file), b"tail"), told.append)
    pieces = list(body)
    assert b"".join(pieces) == b"head" + file.read_bytes() + base64.b64encode(file.read_bytes()) + b"tail"
    assert body.length == sum(map(len, pieces))
    assert max(map(len, pieces)) <= CHUNK * 4 // 3
    assert sum(told) == 2 * size


@pytest.mark.parametrize("part", [Path, Base64])
def test_a_file_that_is_gone_before_the_upload_is_an_error_of_ours(
    tmp_path: Path, part: Callable[[Path], Path | Base64]
) -> None:
    wire = Wire(httpx.Response(200))
    with pytest.raises(ExternalError) as caught:
        client_for(wire).request("PUT", URL, content=Body((b"head", part(tmp_path / "gone"))))
    assert (caught.value.code, caught.value.retryable, caught.value.object) == ("scratch-unreadable", True, "gone")
    assert wire.received == []


class Echo(Service):
    name: ClassVar[str] = "echo"

    @route("PUT", "/echo", "echo")
    def echo(self, request: Request) -> Response:
        return Response(body=request.read(), headers={"X-Length": request.header("content-length")})

    @route("GET", "/cookie", "cookie")
    def cookie(self, request: Request) -> Response:
        return Response(body=request.header("cookie").encode(), headers={"Set-Cookie": "session=1"})


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    service = Echo(tmp_path / "echo", Journal(), Faults())
    service.start()
    yield service
    service.stop()


def test_a_body_arrives_whole_with_its_length_announced(echo: Echo, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789" * 200_000)
    client = Client()
    reply = client.request("PUT", f"{echo.url}/echo", content=Body((b"<", tmp_path / "file", b">")))
    client.close()
    assert reply.body == b"<" + b"0123456789" * 200_000 + b">"
    assert reply.headers["x-length"] == "2000002"


def test_what_became_of_an_upload_whose_file_goes_meanwhile_is_unknown(echo: Echo, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    client = Client()
    body = Body((first, second), lambda _: second.unlink())
    receipt = client.write("PUT", f"{echo.url}/echo", headers={}, content=body, means=lambda _: Sent.ACCEPTED)
    client.close()
    assert receipt.sent is Sent.UNKNOWN
    assert "cannot be read" in receipt.detail


def test_no_cookie_is_kept(echo: Echo) -> None:
    client = Client()
    bodies = [client.request("GET", f"{echo.url}/cookie").body for _ in range(2)]
    client.close()
    assert bodies == [b"", b""]


def test_a_proxy_never_sees_what_goes_to_loopback(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    client = Client()
    status = client.request("PUT", f"{echo.url}/echo", content=b"x").status
    client.close()
    assert status == 200


def test_many_threads_share_one_client(echo: Echo) -> None:
    client = Client()

    def send(number: int) -> bytes:
        return client.request("PUT", f"{echo.url}/echo", content=str(number).encode()).body

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(send, range(40))) == [str(n).encode() for n in range(40)]
    client.close()


def test_certificates_that_cannot_be_read_are_an_error_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    tls.cache_clear()
    try:
        with pytest.raises(ConfigError) as caught:
            Client().request("GET", "https://example.invalid/")
    finally:
        tls.cache_clear()
    assert (caught.value.code, caught.value.object) == ("certificates-unreadable", "SSL_CERT_FILE")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "ftp://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigError) as caught:
        Client().request("GET", "https://index.example.invalid/")
    assert caught.value.code == "proxy-unusable"
