"""The one HTTP client: limits on every phase, bounded answers, no redirects, no plain text off this machine.

Reads are repeated when the outside stumbles, writes never are: what became of a write is for a read to say.
Nothing of httpx, and no secret, leaves this module.
"""

from __future__ import annotations

import os
import random as _random
import re
import threading
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from releaser.adapters.body import Body
from releaser.adapters.local import SystemClock
from releaser.adapters.redact import plain, redact
from releaser.adapters.reply import WRITE_WAIT, Reply, Unreachable, retry_after
from releaser.engine.ports import Clock, Receipt, Sent
from releaser.errors import ConfigError, ExternalError

if TYPE_CHECKING:
    import ssl

    import httpx

MAX_ANSWER = 16 << 20  # bytes, decoded
RETRIES = 4  # of a read
_GZIP = 64 << 10  # bytes that gzip may add to what does not get smaller: its head, and 5 bytes in each 16 KiB
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_READS = frozenset({"GET", "HEAD"})
_DENIALS = frozenset({401, 403})
_REFUSALS = frozenset({400, 404, 409, 413, 422})
_FIELD = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")  # a field's value, RFC 9110 section 5.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one request may take, in seconds: each phase of it without a byte, and all of it, however it drips.

    ``connect`` is for TLS as well, ``pool`` for the wait for one of ``connections``, of which there are enough for
    sixteen files of sixteen packages at once. A body adds to ``total`` what it takes at ``slowest`` bytes a second.
    """

    connect: float = 10.0
    read: float = 60.0
    write: float = 60.0
    pool: float = 60.0
    total: float = 300.0
    slowest: float = 32 << 10
    connections: int = 256


class Client:
    """One lazily made connection pool, safe to use from many threads.

    *hosts* gives those that are spoken to, asked anew for each request; None means any host over https. Plain http
    is for loopback alone. *contact* is where those who run the services find the people behind the requests.
    *random* gives numbers from 0 to 1 for the jitter between two reads. Proxies of the environment are used, never
    for loopback.
    """

    def __init__(
        self,
        hosts: Callable[[], Collection[str]] | None = None,
        contact: str = "",
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = _random.random,
        limits: Limits = Limits(),
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self._hosts = hosts
        self._contact = contact
        self._transport = transport
        self._random = random
        self._limits = limits
        self._lock = threading.Lock()
        self._pool: httpx.Client | None = None

    def close(self) -> None:
        """Close every connection; the next request opens new ones."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Body | None = None,
        limit: int = MAX_ANSWER,
    ) -> Reply:
        """The answer to one request, whatever its status; redirects are answers.

        A read that fails in transport or is answered 429 or 5xx is repeated up to `RETRIES` times. Raises
        ExternalError ``transport-insecure``, ``host-not-allowed`` and ``request-unsendable`` before anything is
        sent, `Unreachable` for no answer (and for a read's last 429 or 5xx), ``scratch-unreadable`` for *content* that
        is gone, ``answer-too-large`` above *limit* bytes and ``answer-unreadable`` for an encoding that was not asked
        for.
        """
        self._check(url)
        self._check_headers(url, headers or {})
        left = RETRIES if method in _READS else 0
        while True:
            try:
                reply = self._exchange(method, url, dict(headers or {}), content, limit)
            except ExternalError as error:
                if not left or not isinstance(error, Unreachable):
                    raise
                wait = 0.0
            else:
                if method not in _READS or not (reply.status == 429 or reply.status >= 500):
                    return reply
                if not left:
                    raise reply.unexpected()
                wait = retry_after(reply.headers, self.clock.now()) or 0.0
            backoff = 2.0 ** (RETRIES - left - 1) * (0.5 + self._random() / 2)
            self.clock.sleep(max(backoff, wait))
            left -= 1

    def write(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | Body,
        means: Callable[[Reply], Sent | None],
        notes: Mapping[int, str] = MappingProxyType({}),
    ) -> Receipt:
        """Send once and say what the answer says; *means* knows the documented answers, None for others.

        Of those 429 is "later", as is a service that was not reached at all, 401 and 403 deny the right that was shown,
        the clean refusals of HTTP are refusals, and everything else is unknown: silence, and any 5xx, which may come
        from a gateway when the effect is there already, however politely it asks to wait. *notes* explains statuses
        that do not say what they mean. Raises ExternalError only when nothing may be sent to *url* at all.
        """
        self._check(url)
        try:
            reply = self.request(method, url, headers=headers, content=content)
        except ExternalError as error:
            return Receipt(_by_failure(error), f"{error.message}: {error.found}")
        sent = means(reply) or _by_status(reply.status)
        if sent is Sent.ACCEPTED:
            return Receipt(sent)
        note = f" ({notes[reply.status]})" if reply.status in notes else ""
        final = sent in (Sent.REFUSED, Sent.DENIED)
        wait = None if final else retry_after(reply.headers, self.clock.now(), WRITE_WAIT)
        return Receipt(sent, f"{reply.status} {reply.said}{note}", wait or 0.0)

    def _check(self, url: str) -> None:
        import httpx

        try:
            parsed = httpx.URL(url)  # the parser that will connect
            scheme, host = parsed.scheme, parsed.host
        except (httpx.InvalidURL, ValueError) as exc:  # the latter for hosts that are no IDNA
            raise _forbidden("transport-insecure", url, str(exc), "an https URL") from exc
        if not host or (scheme != "https" and not (scheme == "http" and host in LOOPBACK)):
            raise _forbidden("transport-insecure", url, f"{scheme}://{host}", "https")
        if self._hosts is not None and host not in (hosts := self._hosts()):
            raise _forbidden("host-not-allowed", url, host, ", ".join(sorted(hosts)))

    def _check_headers(self, url: str, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            if not _FIELD.fullmatch(value):  # the value may be a secret, so it is not shown
                raise ExternalError(
                    "request-unsendable",
                    "a request cannot be put on the wire, so nothing was sent",
                    retryable=False,
                    object=_address(url),
                    found=f"{name} with a character that no header may have",
                    wanted="printable ASCII",
                    hint="set the token again, without the line break or the blank that was copied with it",
                )

    def _client(self) -> httpx.Client:
        import httpx

        from releaser.adapters.deadline import bind

        limits = self._limits
        with self._lock:
            if self._pool is None:
                try:
                    opened = httpx.Client(
                        transport=self._transport,
                        verify=tls(),
                        timeout=httpx.Timeout(
                            connect=limits.connect, read=limits.read, write=limits.write, pool=limits.pool
                        ),
                        limits=httpx.Limits(max_connections=limits.connections),
                        follow_redirects=False,
                        headers={"User-Agent": _user_agent(self._contact), "Accept-Encoding": "gzip"},
                        cookies=_no_cookies(),
                        mounts={f"all://{'[::1]' if host == '::1' else host}": None for host in LOOPBACK},
                    )
                except (ImportError, ValueError, httpx.InvalidURL) as exc:
                    raise _unusable_proxy() from exc
                bind(opened._transport, *opened._mounts.values())  # those to proxies too
                self._pool = opened
            return self._pool

    def _exchange(
        self, method: str, url: str, headers: dict[str, str], content: bytes | Body | None, limit: int
    ) -> Reply:
        import httpx

        from releaser.adapters.deadline import within

        address = _address(url)
        length = 0
        if isinstance(content, Body):
            length = content.length
            headers["Content-Length"] = str(length)
        client = self._client()
        try:
            with within(self._limits.total + length / self._limits.slowest):
                response = client.send(client.build_request(method, url, headers=headers, content=content), stream=True)
                try:
                    return Reply(
                        url=address,
                        status=response.status_code,
                        reason=_reason(response),
                        headers={name.lower(): value for name, value in response.headers.items()},
                        body=decoded(response, address, limit),
                    )
                finally:
                    if content is not None and response.status_code >= 400:
                        _hang_up(response)
                    response.close()
        except httpx.TransportError as exc:
            raise Unreachable(address, f"{type(exc).__name__} {exc}", unsent=is_unsent(exc)) from exc


def _hang_up(response: httpx.Response) -> None:
    """Use the connection of *response* no more.

    Who refuses a request may leave its body unread and hang up without a word (hyper, which crates.io is made with,
    and kellnr do), and the next request would be lost in between.
    """
    if stream := response.extensions.get("network_stream"):
        stream.close()


@cache
def tls() -> ssl.SSLContext:
    """The certificates this machine trusts, shared: reading them takes longer than several requests.

    Raises ConfigError ``certificates-unreadable``.
    """
    import httpx

    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            "certificates-unreadable",
            "the certificates to trust cannot be read",
            object="SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR",
            found=error.strerror or str(error),
            wanted="a readable file of certificates",
            hint="unset SSL_CERT_FILE and SSL_CERT_DIR, or name files that exist",
        ) from error


def is_unsent(error: BaseException) -> bool:
    """Whether httpx raised *error* before it had a connection, so that nothing of the request was sent."""
    import httpx

    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _by_failure(error: ExternalError) -> Sent:
    if isinstance(error, Unreachable) and error.unsent:
        return Sent.LATER
    return Sent.REFUSED if error.code == "request-unsendable" else Sent.UNKNOWN


def _by_status(status: int) -> Sent:
    if status == 429:
        return Sent.LATER
    if status in _DENIALS:
        return Sent.DENIED
    return Sent.REFUSED if status in _REFUSALS else Sent.UNKNOWN


def decoded(response: httpx.Response, address: str, limit: int) -> bytes:
    """The body, decoded here because only so does a bomb stop at *limit*, and so does what is no part of the gzip.

    A gzip is one member (RFC 1952 section 2.2) and nothing behind it, at most `_GZIP` larger than what is in it.
    """
    import httpx

    encoding = response.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if encoding not in ("identity", "gzip") or not isinstance(response.stream, httpx.SyncByteStream):
        raise _undecodable(address, f"content-encoding {encoding}")
    unpack = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    received = 0
    try:
        for piece in response.stream:
            received += len(piece)
            body += unpack.decompress(piece, limit + 1 - len(body)) if unpack else piece
            if unpack and unpack.unused_data:
                raise _undecodable(address, "more behind the end of the gzip")
            if len(body) > limit or received > limit + _GZIP:
                raise ExternalError(
                    "answer-too-large",
                    f"an answer is larger than {limit} bytes",
                    object=address,
                    found=f"more than {limit} bytes",
                    wanted=f"at most {limit} bytes",
                    hint="look at the address with a browser; this is not what the service documents",
                )
    except zlib.error as exc:
        raise _undecodable(address, f"broken gzip: {exc}") from exc
    if unpack and received and not unpack.eof:
        raise _undecodable(address, "gzip that ends too early")
    return bytes(body)


def _reason(response: httpx.Response) -> str:
    """The whole reason phrase: httpx's own property drops what is not ASCII, and PyPI sends ISO-8859-1."""
    phrase = response.extensions.get("reason_phrase")
    return phrase.decode("iso-8859-1") if isinstance(phrase, bytes) else response.reason_phrase


def _address(url: str) -> str:
    """*url* without query, fragment and user."""
    import httpx

    return redact(str(httpx.URL(url).copy_with(query=None, fragment=None, userinfo=b"")))


def _user_agent(contact: str) -> str:
    """Name, version and contact, as crates.io demands (crates.io/data-access) and PyPI asks for."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        product = f"releaser/{version('releaser-gates')}"
    except PackageNotFoundError:
        product = "releaser"
    return f"{product} (+{quote(contact, safe=':/')})" if contact else product


def _no_cookies() -> Any:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _undecodable(address: str, found: str) -> ExternalError:
    return Reply(address, 0, "", {}, b"").unreadable(found)


def _unusable_proxy() -> ConfigError:
    return ConfigError(
        "proxy-unusable",
        "the proxy that the environment names cannot be used",
        object="HTTP_PROXY, HTTPS_PROXY or ALL_PROXY",
        found="an address that is none, or of a kind other than http and https",
        wanted="http://HOST:PORT",
        hint="set it to an http proxy, or unset it",
    )


def _forbidden(code: str, url: str, found: str, wanted: str) -> ExternalError:
    address = re.split(r"[?#]", url, maxsplit=1)[0]
    return ExternalError(
        code,
        "nothing is sent to this address",
        retryable=False,
        object=plain(redact(re.sub(r"//[^/]*@", "//", address))),
        found=plain(found),
        wanted=wanted,
        hint="correct the address; credentials only travel over https to the services that releaser knows",
    )
