"""GitHub's REST API as one account sees one repository: requests, pages and retries.

A read is repeated a few times; a write is sent once, and when its outcome is unknown that is what is said. The
token goes to the API's own origin and its upload host, nowhere else, and no proxy of the environment is used.
Media types, pages and redirects: docs.github.com/rest/using-the-rest-api.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from releaser.adapters.github_errors import MINUTE, Failures, RateLimited, failures, is_limit, mapping, unreadable
from releaser.adapters.http import LOOPBACK, Limits
from releaser.adapters.local import stopwatch
from releaser.errors import ConfigError, ExternalError

if TYPE_CHECKING:
    import httpx
    from githubkit import GitHub as Client
    from githubkit import TokenAuthStrategy, UnauthAuthStrategy

    from releaser.adapters.github_network import Network

VERSION = "2022-11-28"
AGENT = "releaser"
JSON = "application/vnd.github+json"
RAW = "application/vnd.github.raw+json"
BYTES = "application/octet-stream"
PAUSES = (1.0, 2.0, 4.0)
"""Seconds before the second, third and fourth attempt of a read."""
LONGEST = 60.0
"""Seconds that a read waits for a rate limit; longer waits are for the caller."""
PAGES = 200
HOPS = 3
_COARSE = timedelta(seconds=2)
"""How far a ``Date``, which is in whole seconds, may be behind a clock that agrees with it."""
LIMITS = Limits(read=120.0, pool=30.0)
"""GitHub answers an upload only once the file is stored."""

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Shape(BaseModel):
    """The part of an answer that we use; what else GitHub sends does not matter."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def shaped(model: type[M], value: Any) -> M:
    """A piece of an answer as *model*; raises ExternalError ``forge-answer-unreadable``."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise unreadable(f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from error


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status and bytes, and whether another page follows."""

    status: int
    body: bytes
    content_type: str = ""
    more: bool = False

    def json(self) -> Any:
        """The body as JSON; raises ExternalError ``forge-answer-unreadable``."""
        try:
            return json.loads(self.body or b"null")
        except (ValueError, RecursionError) as error:
            raise unreadable(str(error)) from error

    def read(self, model: type[M]) -> M:
        """The body as *model*; raises ExternalError ``forge-answer-unreadable``."""
        return shaped(model, self.json())

    def codes(self) -> frozenset[str]:
        """The codes in the ``errors`` of a 422."""
        errors = mapping(self.json()).get("errors")
        return frozenset(str(mapping(e).get("code", "")) for e in errors) if isinstance(errors, list) else frozenset()


class Rest:
    """One repository of the GitHub at *api_url*. ``sleep`` takes seconds; ``transport`` replaces the network.

    Paths are relative to the API; `repo` makes those of the repository. ``needs`` names the permission that a
    request wants. Every failure is an ExternalError ``forge-…``; construction raises ConfigError.
    """

    def __init__(
        self,
        repository: str,
        token: str,
        api_url: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        limits: Limits = LIMITS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        api = urlsplit(api_url)
        if api.scheme != "https" and not (api.scheme == "http" and api.hostname in LOOPBACK):
            raise ConfigError(
                "api-url-insecure",
                "the token would be sent in the clear",
                object=api_url,
                wanted="https://…",
                hint="give the https address of the GitHub API",
            )
        if not re.fullmatch(r"[A-Za-z0-9_-]+/(?!\.{1,2}$)[A-Za-z0-9._-]+", repository):
            raise ConfigError(
                "repository-invalid",
                "this is not the name of a repository",
                object=repository,
                wanted="OWNER/NAME",
                hint="name the repository as GitHub's address bar does, without the host",
            )
        if not re.fullmatch(r"[!-~]*", token):  # the error of a request would quote it
            raise ConfigError(
                "token-invalid",
                "the token cannot be sent",
                object="GITHUB_TOKEN",
                found="a space, a line end or a character outside of ASCII",
                wanted="the token alone",
                hint="store the secret again, without a line end",
            )
        self.repository = repository
        self.failures = Failures(repository, token)
        self._date: datetime | None = None
        self._dated = 0.0
        self._token = token
        self._api = api_url.rstrip("/") + "/"
        self._sleep = sleep
        self._limits = limits
        self._transport = transport
        self._lock = threading.Lock()
        self._opened: tuple[Client[TokenAuthStrategy | UnauthAuthStrategy], Network] | None = None
        self._visible = False

    def repo(self, path: str = "") -> str:
        """The address of *path* within the repository; of the repository itself without one."""
        return f"repos/{self.repository}" + (f"/{path}" if path else "")

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        with self._lock:
            if self._opened is not None:
                self._opened[1].disconnect()
                self._opened = None

    # Reading

    def read(
        self,
        path: str,
        needs: str,
        *,
        params: Mapping[str, str] | None = None,
        accept: str = JSON,
        absent: tuple[int, ...] = (404,),
    ) -> Answer:
        """GET *path*. A status of *absent* is an answer too, but 404 in a repository that we cannot see is an error."""
        answer = self.repeat(lambda: self._once("GET", path, params=params, accept=accept, known=absent), needs)
        if path.startswith(self.repo()):
            if answer.status == 404 and not self._visible:
                self.read(self.repo(), needs, absent=())
            self._visible |= answer.status == 200
        return answer

    def contents(self, path: str, ref: str) -> bytes | tuple[str, ...] | None:
        """A file's bytes, or the names in a folder, at *ref*; None when either is not there."""
        wanted = self.repo(f"contents/{quote(path)}")
        answer = self.read(wanted, "contents: read", params={"ref": ref}, accept=RAW, absent=(404, 409))
        if answer.status != 200:
            return None
        if not answer.content_type.startswith("application/json"):
            return answer.body
        entries = answer.json()
        return tuple(str(mapping(e).get("name", "")) for e in entries) if isinstance(entries, list) else answer.body

    def pages(self, path: str, needs: str, key: str = "", params: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Every item of a list, page by page; *key* names the list inside an object."""
        for page in count(1):
            numbered = {**(params or {}), "per_page": "100", "page": str(page)}
            answer = self.read(path, needs, params=numbered, absent=())
            value = mapping(answer.json()).get(key) if key else answer.json()
            if not isinstance(value, list):
                raise unreadable(f"{path}: no list")
            yield from value
            if not answer.more:
                return
            if page == PAGES:
                raise unreadable(f"{path}: more than {PAGES} pages")

    @contextmanager
    def download(self, path: str, size: int) -> Iterator[Iterator[bytes]]:
        """The bytes behind *path*, some *size* of them, through redirects; to be used inside `repeat`.

        The token stays at the API's origin. Raises ExternalError ``download-url-foreign`` for an address that is
        neither https nor, on loopback, the API's own host, and ``asset-missing`` where the API answers 404.
        """
        url = path
        for _ in range(HOPS + 1):
            with self._open()[1].exchange(size), self._stream(url) as response:
                if response.status_code == 200:
                    yield response.iter_bytes()
                    return
                if not response.has_redirect_location:
                    raise unreadable(f"HTTP {response.status_code} for a download")
                url = str(response.url.join(response.headers["location"]))
            self._require_safe(url)
        raise unreadable(f"more than {HOPS} redirects for a download")

    def anonymous_status(self, url: str) -> int:
        """What anybody without an account is answered at *url*; redirects are not followed, no body is read."""
        self._require_safe(url)

        def ask() -> int:
            with self._open()[1].exchange(0), self._anonymously(url) as response:
                if response.status_code == 429 or response.status_code >= 500:
                    response.raise_for_status()
                return response.status_code

        return self.repeat(ask, "public access")

    def repeat(self, work: Callable[[], T], needs: str) -> T:
        """Do *work*, which changes nothing at GitHub, again after failures that may pass; raises the last one."""
        pauses = iter(PAUSES)
        while True:
            try:
                return work()
            except failures() as error:
                failure = self.failures.translated(error, needs, write=False)
                wait = failure.wait if isinstance(failure, RateLimited) else 0.0
                pause = next(pauses, None)
                if pause is None or not failure.retryable or wait > LONGEST:
                    raise failure from error
                self._sleep(max(pause, wait))

    # Writing

    def write(self, method: str, path: str, needs: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send one change once. 409 and 422 are answers, and so is 404 to a DELETE.

        Raises ExternalError ``forge-write-unknown`` when it may or may not have happened.
        """
        known = (404, 409, 422) if method == "DELETE" else (409, 422)
        try:
            return self._once(method, path, body=body, known=known)
        except failures() as error:
            raise self.failures.translated(error, needs, write=True) from error

    def send(self, url: str, needs: str, content: Iterator[bytes], size: int) -> Answer:
        """POST *size* bytes to an address of which `may_upload` holds, once; otherwise as `write`."""
        try:
            return self._once("POST", url, content=content, size=size, known=(409, 422))
        except failures() as error:
            raise self.failures.translated(error, needs, write=True) from error

    def refused(self, what: str, answer: Answer, hint: str = "") -> ExternalError:
        """The error for a change that GitHub declines for good, in its own words."""
        return self.failures.refused(what, self.failures.words(answer.status, answer.body), hint)

    def may_upload(self, url: str) -> bool:
        """Whether *url* may be sent the token: by https the API's host or its ``uploads.`` sibling.

        On loopback it is the API's own host, on any port.
        """
        parts, api = urlsplit(url), urlsplit(self._api)
        if parts.username is not None or not parts.hostname or not api.hostname:
            return False
        if api.hostname in LOOPBACK:
            return parts.scheme in ("http", "https") and parts.hostname == api.hostname
        sibling = f"uploads.{api.hostname.removeprefix('api.')}"
        return parts.scheme == "https" and parts.hostname in (api.hostname, sibling)

    # One request

    def _once(
        self,
        method: str,
        path: str,
        *,
        known: tuple[int, ...],
        params: Mapping[str, str] | None = None,
        accept: str = JSON,
        body: Mapping[str, Any] | None = None,
        content: Iterator[bytes] | None = None,
        size: int = 0,
    ) -> Answer:
        from githubkit.exception import RateLimitExceeded, RequestFailed

        sent = {"Accept": accept, "X-GitHub-Api-Version": VERSION}
        if content is not None:
            sent |= {"Content-Type": BYTES, "Content-Length": str(size)}
        try:
            with self._open()[1].exchange(size):
                response = self._request(method, path, params=params, json=body, content=content, headers=sent)
        except RateLimitExceeded:
            raise
        except RequestFailed as error:
            response = error.response.raw_response
            if response.status_code not in known or is_limit(response):
                raise
        if response.is_redirect:
            raise self.failures.moved(response.status_code)
        date = _moment(response.headers.get("date", ""))
        shown = self.date
        if date and not (shown and timedelta() <= shown - date < _COARSE):
            self._date, self._dated = date, stopwatch()
        more = 'rel="next"' in response.headers.get("link", "")
        return Answer(response.status_code, response.content, response.headers.get("content-type", ""), more)

    @property
    def date(self) -> datetime | None:
        """What GitHub's own clock shows by now, going by its latest answer to us; None before the first."""
        return self._date and self._date + timedelta(seconds=stopwatch() - self._dated)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        client = self._open()[0]
        try:
            return client.request(method, path, **arguments).raw_response
        except (ValueError, OverflowError) as error:
            # githubkit reads the Retry-After of a limit as a number of any size; RFC 9110 allows a date.
            raise RateLimited(self.repository, MINUTE) from error

    @contextmanager
    def _stream(self, url: str) -> Iterator[httpx.Response]:
        parts, api = urlsplit(url), urlsplit(self._api)
        if parts.netloc and (parts.scheme, parts.netloc) != (api.scheme, api.netloc):
            with self._anonymously(url) as response:
                yield response if response.is_redirect else response.raise_for_status()
            return
        from githubkit.exception import RequestFailed

        headers = {"Accept": BYTES, "X-GitHub-Api-Version": VERSION}
        try:
            response = self._request("GET", url, headers=headers, stream=True)
        except RequestFailed as error:
            if error.response.status_code == 404:
                raise _missing(url) from error
            raise
        try:
            yield response
        finally:
            response.close()

    def _anonymously(self, url: str) -> AbstractContextManager[httpx.Response]:
        import httpx

        network, headers = self._open()[1], {"User-Agent": AGENT, "Accept": BYTES}
        client = httpx.Client(transport=network, trust_env=False, timeout=network.timeout, headers=headers)
        return client.stream("GET", url)

    def _open(self) -> tuple[Client[TokenAuthStrategy | UnauthAuthStrategy], Network]:
        """The client, which any thread may use, and the network under it."""
        from githubkit import GitHub as Client
        from githubkit import TokenAuthStrategy, UnauthAuthStrategy

        from releaser.adapters.github_network import Network

        with self._lock:
            if self._opened is None:
                network = Network(self._limits, self._transport)
                client = Client(
                    TokenAuthStrategy(self._token) if self._token else UnauthAuthStrategy(),
                    base_url=self._api,
                    user_agent=AGENT,
                    auto_retry=False,
                    http_cache=False,
                    follow_redirects=False,
                    trust_env=False,
                    timeout=network.timeout,
                    transport=network,
                )
                self._opened = client, network
            return self._opened

    def _require_safe(self, url: str) -> None:
        parts, api = urlsplit(url), urlsplit(self._api)
        loopback = api.hostname in LOOPBACK and parts.scheme == "http" and parts.hostname == api.hostname
        if parts.scheme != "https" and not loopback:
            raise ExternalError(
                "download-url-foreign",
                "GitHub pointed to an address that is not safe to read from",
                retryable=False,
                object=self.repository,
                found=f"{parts.scheme}://{parts.hostname}",
                wanted="https://…",
                hint="do not use this release; look at it in a browser first",
            )


def _missing(path: str) -> ExternalError:
    return ExternalError(
        "asset-missing",
        "a file of the release is there no more, or may not be read",
        object=path,
        found="HTTP 404",
        wanted="the file that the release listed a moment ago",
        hint="run the same command again: it looks at the release anew",
    )


def _moment(text: str) -> datetime | None:
    """An HTTP date (RFC 9110 section 5.6.7) in UTC; None for anything else."""
    try:
        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
