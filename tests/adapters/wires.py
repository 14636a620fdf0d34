"""Both ends of an adapter's wire: a clock that only moves when told to, and a client with its answers written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx

from releaser.adapters.endpoints import Endpoints, served_at
from releaser.adapters.http import Client


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def elapsed(self) -> float:
        return (self.time - datetime(2026, 3, 1, tzinfo=UTC)).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def at(url: str) -> Endpoints:
    """Every registry at one address."""
    return served_at(pypi=url, crates=url, npm=url, github=url, chocolatey=url)


def scripted(*answers: httpx.Response) -> Client:
    """A client that is given *answers* in turn, whatever it asks."""
    left = iter(answers)
    return Client(transport=httpx.MockTransport(lambda _: next(left)), clock=Clock())


def unheard(_: int) -> None:
    """Progress that nobody follows."""
