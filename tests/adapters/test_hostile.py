"""The client and the registries against peers on loopback that stall, drip, lie, redirect and hang up."""

from __future__ import annotations

import gzip
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from releaser.adapters.body import Body
from releaser.adapters.crates import Crates
from releaser.adapters.endpoints import Endpoints
from releaser.adapters.http import RETRIES, Client, Limits, tls
from releaser.adapters.npm import Npm
from releaser.adapters.pypi import PyPI
from releaser.adapters.reply import Reply
from releaser.engine.ports import Receipt, Registry, Sent
from releaser.errors import ExternalError
from tests.adapters.peer import ANSWER, PATIENCE, Line, answer, answering, peer, saying
from tests.adapters.wires import Clock, at

SHORT = Limits(connect=0.3, read=0.3, write=0.3, pool=0.3, total=PATIENCE)
DRIP = Limits(total=1.0)
LARGE = 64 << 20  # bytes; more than loopback holds on its way


def stall(line: Line) -> None:
    line.over.wait(PATIENCE)


def hear_and_stall(line: Line) -> None:
    if line.hear():
        stall(line)


def accepted(reply: Reply) -> Sent | None:
    return Sent.ACCEPTED if reply.status == 200 else None


def write(client: Client, url: str, content: bytes | Body = b"x", **headers: str) -> Receipt:
    with closing(client):
        return client.write("POST", url, headers=headers, content=content, means=accepted)


def refused(client: Client, method: str, url: str, limit: int = 1 << 20) -> ExternalError:
    with closing(client), pytest.raises(ExternalError) as caught:
        client.request(method, url, limit=limit)
    return caught.value


@pytest.fixture
def large(tmp_path: Path) -> Body:
    """A body that no peer takes in at once; the file is sparse."""
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(LARGE)
    return Body((file,))


# Every phase ends


@pytest.fixture
def unanswering() -> Iterator[str]:
    """Where connections are neither taken nor turned away: the queue of a listener that accepts nobody is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        queued = [socket.socket() for _ in range(4)]
        for one in queued:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}/"
        for one in queued:
            one.close()


def test_a_connection_that_is_not_taken_ends(unanswering: str) -> None:
    receipt = write(Client(limits=SHORT), unanswering)
    assert (receipt.sent, "ConnectTimeout" in receipt.detail) == (Sent.LATER, True)


def test_a_handshake_that_is_not_answered_ends() -> None:
    with peer(stall) as silent:
        receipt = write(Client(limits=SHORT), silent.url.replace("http:", "https:"))
    assert (receipt.sent, "ConnectTimeout" in receipt.detail) == (Sent.LATER, True)


def test_an_answer_that_does_not_begin_ends() -> None:
    with peer(hear_and_stall) as silent:
        receipt = write(Client(limits=SHORT), silent.url)
        assert (receipt.sent, "ReadTimeout" in receipt.detail) == (Sent.UNKNOWN, True)
        assert len(silent.heard) == 1


def test_a_body_that_nobody_reads_ends(large: Body) -> None:
    with peer(stall) as deaf:
        receipt = write(Client(limits=SHORT), deaf.url, large)
    assert (receipt.sent, "WriteTimeout" in receipt.detail) == (Sent.UNKNOWN, True)


def test_the_wait_for_a_free_connection_ends() -> None:
    heard = threading.Event()

    def hold(line: Line) -> None:
        if line.hear():
            heard.set()
            stall(line)

    client = Client(limits=Limits(pool=0.2, read=1.0, connections=1))
    with peer(hold) as busy, ThreadPoolExecutor(1) as pool, closing(client):
        first = pool.submit(client.write, "POST", busy.url, headers={}, content=b"", means=accepted)
        assert heard.wait(PATIENCE)
        second = client.write("POST", busy.url, headers={}, content=b"", means=accepted)
        assert (second.sent, "PoolTimeout" in second.detail) == (Sent.LATER, True)
        assert "ReadTimeout" in first.result().detail
        assert len(busy.heard) == 1


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"H", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n.", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", id="length of a chunk"),
    ],
)
def test_an_answer_that_drips_ends(begun: bytes) -> None:
    def talk(line: Line) -> None:
        if line.hear():
            line.drip(begun)

    with peer(talk) as slow:
        receipt = write(Client(limits=DRIP), slow.url)
    assert (receipt.sent, "ReadTimeout" in receipt.detail or "Protocol" in receipt.detail) == (Sent.UNKNOWN, True)


def test_a_body_that_is_read_in_drips_ends(large: Body) -> None:
    def talk(line: Line) -> None:
        while not line.over.wait(0.01):
            line.wire.recv(1 << 10)

    with peer(talk) as slow:
        receipt = write(Client(limits=Limits(total=1.0, slowest=1 << 40)), slow.url, large)
    assert (receipt.sent, "WriteTimeout" in receipt.detail) == (Sent.UNKNOWN, True)


def test_a_large_body_has_the_time_that_a_slow_line_takes(large: Body) -> None:
    with peer(answering(ANSWER)) as other:
        receipt = write(Client(limits=Limits(total=0.0, slowest=LARGE / PATIENCE)), other.url, large)
    assert receipt.sent is Sent.ACCEPTED


# What was not answered is not known, and what cannot be said is not tried


@pytest.mark.parametrize("crash", [False, True], ids=["hangs up", "resets"])
def test_a_write_that_is_not_answered_is_unknown_and_sent_once(crash: bool) -> None:
    def talk(line: Line) -> None:
        if line.hear() and crash:
            line.reset()

    with peer(talk) as gone:
        assert write(Client(), gone.url).sent is Sent.UNKNOWN
        assert len(gone.heard) == 1


def test_a_refusal_before_the_whole_body_was_read_is_heard(large: Body) -> None:
    def talk(line: Line) -> None:
        line.wire.recv(1 << 16)
        line.say(answer("413 Too Large"))
        line.wire.shutdown(socket.SHUT_WR)
        while line.wire.recv(1 << 20):
            pass

    with peer(talk) as strict:
        receipt = write(Client(), strict.url, large)
    assert (receipt.sent, receipt.detail) == (Sent.REFUSED, "413 Too Large")


def test_nothing_is_sent_behind_a_refusal_on_a_line_that_may_be_hung_up() -> None:
    def talk(line: Line) -> None:
        line.hear()
        line.say(answer("403 Forbidden", Connection="keep-alive"))
        line.hear()

    with peer(talk) as strict, closing(Client()) as client:
        receipts = [client.write("POST", strict.url, headers={}, content=b"x", means=accepted) for _ in range(2)]
    assert [receipt.sent for receipt in receipts] == [Sent.DENIED] * 2


def test_progress_is_told_while_bytes_leave(tmp_path: Path) -> None:
    file, moved, told = tmp_path / "file", threading.Event(), []
    file.write_bytes(bytes(LARGE))

    def progress(count: int) -> None:
        told.append(count)
        moved.set()

    def talk(line: Line) -> None:
        if moved.wait(PATIENCE) and line.hear():  # not a byte is read before the first was told
            line.say(ANSWER)

    with peer(talk) as other:
        assert write(Client(), other.url, Body((b"head", file, b"tail"), progress)).sent is Sent.ACCEPTED
    assert sum(told) == LARGE
    assert len(told) > 100


@pytest.mark.parametrize("value", ["opaque\nX: y", "opaqu\u00e9", "opaque\0", " opaque", "opaque\r"], ids=repr)
def test_a_request_that_cannot_be_put_on_the_wire_fails_at_once(value: str) -> None:
    clock = Clock()
    begun = clock.now()
    with peer(answering(ANSWER)) as other, closing(Client(clock=clock)) as client:
        with pytest.raises(ExternalError) as caught:
            client.request("GET", other.url, headers={"Authorization": value})
        receipt = client.write("PUT", other.url, headers={"Authorization": value}, content=b"", means=accepted)
        assert other.heard == []
    assert (caught.value.code, caught.value.retryable) == ("request-unsendable", False)
    assert (receipt.sent, clock.now()) == (Sent.REFUSED, begun)
    assert "opaqu" not in f"{vars(caught.value)} {receipt}"


# Waiting as told


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [
        ("503 Slow", "7", 7.0),
        ("429 Slow", "7", 7.0),
        ("503 Slow", "Sun, 01 Mar 2026 00:00:30 GMT", 30.0),
        ("503 Slow", "-5", 0.5),
        ("503 Slow", "864000", 60.0),
        ("503 Slow", "soon", 0.5),
    ],
    ids=["seconds", "429", "a date", "negative", "ten days", "a word"],
)
def test_a_read_waits_as_it_is_told_within_bounds(status: str, value: str, seconds: float) -> None:
    clock = Clock()
    begun = clock.now()
    with peer(answering(answer(status, Retry_After=value), ANSWER)) as busy:
        with closing(Client(clock=clock, random=lambda: 1.0)) as client:
            assert client.request("GET", busy.url).body == b"{}"
        assert len(busy.heard) == 2
    assert clock.now() - begun == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("status", "value", "sent", "seconds"),
    [
        ("429 Slow", "600", Sent.LATER, 600.0),
        ("429 Slow", "Sun, 01 Mar 2026 00:10:00 GMT", Sent.LATER, 600.0),
        ("429 Slow", "864000", Sent.LATER, 600.0),
        ("429 Slow", "-5", Sent.LATER, 0.0),
        ("503 Slow", "120", Sent.UNKNOWN, 120.0),
        ("502 Gateway", "864000", Sent.UNKNOWN, 600.0),
    ],
    ids=["seconds", "a date", "ten days", "negative", "503 may come after the effect", "502 likewise"],
)
def test_a_write_is_not_repeated_and_says_how_long_to_wait(status: str, value: str, sent: Sent, seconds: float) -> None:
    with peer(answering(answer(status, Retry_After=value))) as busy:
        with closing(Client(clock=Clock())) as client:
            receipt = client.write("POST", busy.url, headers={}, content=b"x", means=accepted)
        assert (receipt.sent, receipt.wait) == (sent, seconds)
        assert len(busy.heard) == 1


# Nothing goes elsewhere


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["port", "host", "downgrade"])
def test_a_redirect_is_not_followed(status: int, where: str) -> None:
    with peer(answering(ANSWER)) as other:
        place = {"port": other.url, "host": f"http://localhost:{other.port}", "downgrade": f"//localhost:{other.port}"}
        with (
            peer(answering(answer(f"{status} Elsewhere", Location=f"{place[where]}/"))) as first,
            closing(Client()) as client,
        ):
            reply = client.request("GET", first.url, headers={"Authorization": "Bearer opaque"})
            receipt = client.write("PUT", first.url, headers={"Authorization": "opaque"}, content=b"", means=accepted)
        assert (reply.status, receipt.sent) == (status, Sent.UNKNOWN)
        assert other.heard == []


def test_a_host_that_is_none_of_the_endpoints_is_not_spoken_to() -> None:
    with peer(answering(ANSWER)) as other, closing(Client(at(other.url).hosts)) as client:
        assert client.request("GET", other.url).status == 200
        with pytest.raises(ExternalError) as caught:
            client.request("GET", f"http://localhost:{other.port}/")
        assert caught.value.code == "host-not-allowed"
        assert len(other.heard) == 1


def test_the_hosts_of_a_world_are_all_of_its_addresses() -> None:
    assert at("https://example.invalid:8443/x").hosts() == {"example.invalid"}


# Certificates


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that signed itself, and a server's context with it."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


@pytest.fixture
def trusting(certified: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine trusts the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certified[0]))
    tls.cache_clear()
    yield
    tls.cache_clear()


@pytest.mark.usefixtures("trusting")
def test_a_peer_is_believed_by_its_certificate(certified: tuple[Path, ssl.SSLContext]) -> None:
    with peer(answering(ANSWER), certified[1]) as other:
        assert write(Client(), other.url).sent is Sent.ACCEPTED
        error = refused(Client(clock=Clock()), "POST", f"https://localhost:{other.port}/")
        assert "CERTIFICATE_VERIFY_FAILED" in error.found
        assert len(other.heard) == 1


def test_a_certificate_that_nobody_trusts_ends_the_request(certified: tuple[Path, ssl.SSLContext]) -> None:
    with peer(answering(ANSWER), certified[1]) as other:
        assert "CERTIFICATE_VERIFY_FAILED" in refused(Client(), "POST", other.url).found
        assert other.heard == []


# Answers that are none


def endless(line: Line) -> None:
    """An answer that says it has a gigabyte, and goes on until somebody hangs up."""
    if line.hear():
        line.say(answer("200 OK", Content_Length=str(1 << 30), Content_Type="application/json"))
        while not line.over.is_set():
            line.say(bytes(1 << 16))


GZIP = {"Content_Type": "application/json", "Content_Encoding": "gzip"}
HOSTILE = {
    "a gigabyte": (endless, "answer-too-large"),
    "a gzip bomb": (saying(answer(body=gzip.compress(bytes(80 << 20)), **GZIP)), "answer-too-large"),
    "broken gzip": (saying(answer(body=b"\x1f\x8bnot gzip", **GZIP)), "answer-unreadable"),
    "gzip cut short": (saying(answer(body=gzip.compress(b"{}" * 500)[:-4], **GZIP)), "answer-unreadable"),
    "gzip that is none": (saying(answer(body=b"{}", **GZIP)), "answer-unreadable"),
    "another encoding": (saying(answer(body=b"?", Content_Encoding="br")), "answer-unreadable"),
    "a web page": (
        saying(answer(body=b"<!doctype html><title>Sign in", Content_Type="text/html")),
        "answer-unreadable",
    ),
    "nothing": (saying(answer()), "answer-unreadable"),
    "another schema": (saying(answer(body=b'{"widgets": []}', Content_Type="application/json")), "answer-unreadable"),
    "nested without end": (saying(answer(body=b"[" * 200_000, Content_Type="application/json")), "answer-unreadable"),
    "not UTF-8": (saying(answer(body=b'{"name": "\xff"}', Content_Type="application/json")), "answer-unreadable"),
    "cut short": (saying(answer(body=b"{", Content_Length="100")), "outside-unreachable"),
    "a broken chunk": (saying(answer(Transfer_Encoding="chunked", body=b"zz\r\n")), "outside-unreachable"),
    "a head without end": (saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000), "outside-unreachable"),
    "another protocol": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "outside-unreachable"),
    "two lengths": (saying(answer(Content_Length="5", content_length="6")), "outside-unreachable"),
}
READS: dict[str, Callable[[Endpoints, Client], Registry]] = {"pypi": PyPI, "crates": Crates, "npm": Npm}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("registry", READS)
def test_a_hostile_answer_is_an_error_and_never_an_absence(registry: str, case: str) -> None:
    talk, code = HOSTILE[case]
    with peer(talk) as hostile, closing(Client(clock=Clock())) as client:
        with pytest.raises(ExternalError) as caught:
            READS[registry](at(hostile.url), client).observe("widget", "1.0.0")
        assert caught.value.code == code
        assert len(hostile.heard) == (RETRIES + 1 if code == "outside-unreachable" else 1)


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8", "application/jsonp", ""])
def test_the_right_document_under_the_wrong_name_is_not_believed(kind: str) -> None:
    page = b'{"urls": []}'
    with (
        peer(answering(answer(body=page, Content_Type=kind))) as odd,
        closing(Client()) as client,
        pytest.raises(ExternalError, match="answer-unreadable"),
    ):
        PyPI(at(odd.url), client).observe("widget", "1.0.0")


# Who asks, and what is answered


@pytest.mark.parametrize(
    ("contact", "shown"),
    [
        ("https://example.invalid/acme/widget", b" (+https://example.invalid/acme/widget)"),
        ("", b""),
        ("é\n", b" (+%C3%A9%0A)"),
    ],
    ids=["a repository", "nobody", "odd"],
)
def test_every_request_names_the_product_its_version_and_whom_to_ask(contact: str, shown: bytes) -> None:
    with peer(answering(ANSWER)) as other:
        write(Client(contact=contact), other.url)
        ((head, _),) = other.heard
    # The version is that of the installed distribution; a checkout on the path has none.
    assert re.search(rb"\r\nUser-Agent: releaser(/[0-9][^ ]*)?" + re.escape(shown) + rb"\r\n", head)


def test_a_reason_phrase_is_shown_in_full_whatever_the_body_renders() -> None:
    reason = "Ungültige Größe: " + "the file is described at length " * 20 + "and that is all."
    page = answer(f"400 {reason}", b"<html><h1>Bad Request</h1></html>", Content_Type="text/html")
    with peer(answering(page)) as index, closing(Client()) as client:
        receipt = client.write("POST", index.url, headers={}, content=b"", means=accepted)
    assert (receipt.sent, receipt.detail) == (Sent.REFUSED, f"400 {reason}")
