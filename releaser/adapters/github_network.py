"""The network under githubkit: one pool of connections for all threads, limits on every phase, bounded answers.

Imported with the first request, for httpx is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, closing

import httpx

from releaser.adapters.deadline import bind, within
from releaser.adapters.github_rest import BYTES
from releaser.adapters.http import MAX_ANSWER, Limits, decoded, tls


class Network(httpx.BaseTransport):
    """A transport that outlives its clients: githubkit closes one after each request. *transport* replaces the network.

    Answers have at most `MAX_ANSWER` bytes, except for files that were asked for by their media type: who reads them
    knows their size. Raises ExternalError ``answer-too-large``, and ``answer-unreadable`` for a broken encoding.
    """

    def __init__(self, limits: Limits, transport: httpx.BaseTransport | None) -> None:
        self._limits = limits
        self.timeout = httpx.Timeout(connect=limits.connect, read=limits.read, write=limits.write, pool=limits.pool)
        pool = httpx.Limits(max_connections=limits.connections)
        self._pool = transport or httpx.HTTPTransport(verify=tls(), trust_env=False, limits=pool)
        bind(self._pool)
        self._closed = False

    def exchange(self, size: int) -> AbstractContextManager[None]:
        """The time that one exchange with *size* bytes in it may take; within it, this thread is held to that."""
        return within(self._limits.total + size / self._limits.slowest)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        wants_file = request.headers.get("accept") == BYTES
        request.headers["Accept-Encoding"] = "identity" if wants_file else "gzip"
        if self._closed:
            raise httpx.ConnectError("the connections are closed", request=request)
        response = self._pool.handle_request(request)
        if wants_file and (response.status_code == 200 or response.is_redirect):
            response.headers.pop("content-encoding", None)  # nobody asked for one, so none is undone
            return response
        with closing(response):
            body = decoded(response, str(request.url.copy_with(query=None)), MAX_ANSWER)
        headers = response.headers.copy()
        for name in ("content-encoding", "content-length"):
            headers.pop(name, None)
        return httpx.Response(response.status_code, headers=headers, content=body)

    def disconnect(self) -> None:
        """Close the connections; nothing can be sent any more."""
        self._closed = True
        self._pool.close()
