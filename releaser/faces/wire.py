"""The only place that builds adapters. A new registry or package manager is one row here."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from releaser.adapters.chocolatey import API_KEY, Chocolatey
from releaser.adapters.crates import Crates
from releaser.adapters.endpoints import Endpoints, World, from_world, production
from releaser.adapters.homebrew import HomebrewCask, HomebrewFormula
from releaser.adapters.http import Client
from releaser.adapters.local import SystemClock, TemporaryScratch, ThreadWorkers
from releaser.adapters.npm import Npm
from releaser.adapters.oidc import REQUEST_URL, ActionsIdentity, ambient
from releaser.adapters.pypi import PyPI
from releaser.adapters.scoop import Scoop
from releaser.adapters.store_file import FileStore, read_file
from releaser.adapters.tap_item import TapItem
from releaser.engine.clock import ForgeClock
from releaser.engine.ledger import Ledger, verify, whole
from releaser.engine.ports import Dispatcher, Forge, Identity, Outside, Registry, Reporter, Store, Tap
from releaser.errors import ConfigError
from releaser.model.policy import KindSettings, Policy
from releaser.model.terms import Registries

if TYPE_CHECKING:
    from releaser.adapters.github import GitHub
    from releaser.engine.view import Subject

WORLD = "RELEASER_WORLD"
"""The environment variable that points every adapter at a rehearsal world instead of the public services."""


def _registries(endpoints: Endpoints, client: Client) -> dict[str, Registry]:
    return {
        "pypi": PyPI(endpoints, client),
        "crates.io": Crates(endpoints, client),
        "npm": Npm(endpoints, client),
    }


_PLACES = {"forge": "forge", "sqlite": "sqlite:FILE", "postgresql": "postgresql:", "postgres": "postgresql:"}
"""How the places of ledgers that are no plain files are written, by the word that names them."""
_TAP_ITEMS: tuple[type[TapItem[Any]], ...] = (HomebrewFormula, HomebrewCask, Scoop)


def settings() -> Mapping[str, type[KindSettings]]:
    """The policy keys of every kind of package manager."""
    kinds: dict[str, type[KindSettings]] = {item.kind: item.Settings for item in _TAP_ITEMS}
    return {**kinds, Chocolatey.kind: Chocolatey.Settings}


@dataclass(frozen=True)
class Wiring:
    """Everything one process needs of the outside, built when it is first used, closed by `close`.

    ``repository`` is ``OWNER/NAME``; tokens come from *environ* only, never from the command line.
    """

    reporter: Reporter
    repository: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _opened: ExitStack = field(default_factory=ExitStack, repr=False)

    def close(self) -> None:
        """Close every connection."""
        self._opened.close()

    @cached_property
    def world(self) -> World | None:
        """The rehearsal world, when the environment names one."""
        name = self.environ.get(WORLD)
        return from_world(Path(name)) if name else None

    @cached_property
    def endpoints(self) -> Endpoints:
        return self.world.endpoints if self.world else production(self.environ)

    @cached_property
    def client(self) -> Client:
        issuer = _host(self.environ.get(REQUEST_URL, ""))
        contact = f"{self.endpoints.github.server}/{self.repository}" if self.repository else ""
        client = Client(lambda: self.endpoints.hosts() | {issuer}, contact)
        self._opened.callback(client.close)
        return client

    @cached_property
    def workers(self) -> ThreadWorkers:
        return ThreadWorkers()

    @cached_property
    def registries(self) -> Mapping[str, Registry]:
        return _registries(self.endpoints, self.client)

    @cached_property
    def known(self) -> Registries:
        """The terms of each registry."""
        return {name: r.terms for name, r in self.registries.items()}

    def read_policy(self, text: str, source: str) -> Policy:
        """Parse a policy file against the registries and package managers that exist here."""
        return Policy.parse(text, source, registries=self.registries, dispatchers=settings())

    def subject(self, tag: str, ledger: str = "") -> Subject:
        """The release of *tag* as this process looks at it; *ledger* is the option that names its ledger again."""
        from releaser.engine.view import Subject
        from releaser.faces import action

        return Subject(tag, self.read_policy, self.known, action.published(self.environ), ledger=ledger)

    @cached_property
    def token(self) -> str:
        """The forge token: ``GITHUB_TOKEN`` or ``GH_TOKEN``; empty for anonymous reading."""
        return self.environ.get("GITHUB_TOKEN") or self.environ.get("GH_TOKEN") or ""

    @cached_property
    def forge(self) -> GitHub:
        from releaser.adapters.github import GitHub

        self._require_repository()
        forge = GitHub(self.repository, self.token, self.endpoints.github.api)
        self._opened.callback(forge.close)
        return forge

    def _require_repository(self) -> None:
        if not self.repository:
            raise ConfigError(
                "repository-unknown",
                "the repository on the forge is not known",
                object="origin",
                found="no --repository, no GITHUB_REPOSITORY, no origin of the form OWNER/NAME",
                wanted="OWNER/NAME",
                hint="add --repository OWNER/NAME",
            )

    @cached_property
    def dispatchers(self) -> Mapping[str, Dispatcher]:
        server = self.endpoints.github.server
        found: list[Dispatcher] = [item(self._tap, server) for item in _TAP_ITEMS]
        feeds = Client()  # to whatever address the approved manifest names
        self._opened.callback(feeds.close)
        found.append(Chocolatey(self.endpoints.chocolatey, feeds, self.environ.get(API_KEY, ""), server))
        return {dispatcher.kind: dispatcher for dispatcher in found}

    def _tap(self, repository: str) -> Tap:
        from releaser.adapters.github_tap import GitHubTap

        token = self.environ.get("RELEASER_TAP_TOKEN") or self.token
        tap = GitHubTap(repository, token, self.endpoints.github.api)
        self._opened.callback(tap.close)
        return tap

    @cached_property
    def identity(self) -> Identity:
        """The job's identity. Raises ConfigError ``identity-missing`` outside a job that has one."""
        return _LateIdentity(self.environ, self.client)

    @contextmanager
    def outside(self) -> Iterator[Outside]:
        """All ports, for the length of a block."""
        clock = SystemClock()
        forge: Forge = self.forge
        with closing(self), TemporaryScratch(forge, self.reporter) as scratch:
            yield Outside(
                forge=forge,
                registries=self.registries,
                dispatchers=self.dispatchers,
                identity=self.identity,
                scratch=scratch,
                clock=clock,
                workers=self.workers,
                reporter=self.reporter,
            )

    @contextmanager
    def ledger(self, where: str | None, tag: str) -> Iterator[Ledger]:
        """The ledger of the release of *tag* for a run of this process, at *where* or at its usual place."""
        with self._store(where, tag) as store:
            clock = ForgeClock(self.forge, SystemClock())
            ledger = Ledger(store, clock, self._holder, self._release(tag))
            try:
                yield ledger
            finally:
                if ledger.length:
                    self.reporter.say("ledger", where=ledger.where, records=ledger.length, head=ledger.head)

    def records(self, where: str | None, tag: str) -> tuple[str, Sequence[Mapping[str, Any]], bytes]:
        """Where the ledger of *tag* is, its records, and what is torn behind them; nothing is made where there is none.

        Raises ConfigError, as `verify` does, for a ledger that does not hold or is that of another release.
        """
        kind, place = self._place(where, tag)
        if kind == "file":
            name, lines = place, read_file(Path(place))
        else:
            with self._store(where, tag, reading=True) as store:
                name, lines = store.name, store.read()
        kept, torn = whole(lines)
        return name, list(verify(kept, name, self._release(tag))), torn

    def _release(self, tag: str) -> str:
        """What a ledger is about: repository and tag, or the tag alone where the repository is not known."""
        return f"{self.repository.lower()} {tag}" if self.repository else tag

    @contextmanager
    def _store(self, where: str | None, tag: str, *, reading: bool = False) -> Iterator[Store]:
        kind, place = self._place(where, tag)
        release = self._release(tag)
        if kind != "file":
            self._require_repository()
            if not tag.isprintable():  # a byte that is no UTF-8 is a lone half of a character here
                raise ConfigError(
                    "tag-unprintable",
                    "the tag has characters that no ledger takes",
                    object=ascii(tag),
                    found="a control character, or bytes that are no text",
                    wanted="a name that can be printed",
                    hint="tag again with a plain name, such as v1.4.0",
                )
        if kind == "forge":
            from releaser.adapters.store_forge import ForgeStore

            with closing(ForgeStore(self.repository, self.token, self.endpoints.github.api, tag)) as forge:
                yield forge
        elif kind == "sqlite":
            from releaser.adapters.store_sqlite import SqliteStore

            with SqliteStore(Path(place), release, reading=reading) as database:
                yield database
        elif kind == "postgresql":
            from releaser.adapters.store_postgres import PostgresStore

            with PostgresStore(place, release, reading=reading) as database:
                yield database
        else:
            with FileStore(Path(place)) as file:
                yield file

    def _place(self, where: str | None, tag: str) -> tuple[str, str]:
        """The kind of store, and its place: as given, else the forge in a job, and a file elsewhere (T58)."""
        if not where and self.environ.get("GITHUB_ACTIONS") == "true":
            where = "forge"
        kind, colon, place = (where or "").partition(":")
        if where == "forge":
            return "forge", ""
        if colon and kind == "sqlite":
            return kind, place
        if colon and kind in ("postgresql", "postgres"):
            return "postgresql", (where or "") if place.startswith("//") else place
        if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", kind):
            raise ConfigError(  # what stands behind it may be a secret
                "ledger-kind-unknown",
                "there is no such place for a ledger",
                object="--ledger",
                found=f"{kind}:…",
                wanted="FILE, sqlite:FILE, postgresql:ADDRESS or forge",
                hint="write ./ before the name of a file that has a colon in it",
            )
        if not colon and (meant := _PLACES.get(kind.lower())):
            raise ConfigError(
                "ledger-kind-unknown",
                "this is the name of a kind of place, not of a ledger",
                object="--ledger",
                found=kind,
                wanted=meant,
                hint=f"write {meant}, or ./{kind} for a file of that name",
            )
        if where:
            return "file", where
        state = self.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(state, "releaser", quote(self.repository.lower(), safe=""))
        return "file", str(folder / f"{quote(tag, safe='', errors='surrogateescape')}.jsonl")

    @property
    def _holder(self) -> str:
        """A name for this run in its ledger that no other run has: the job where there is one."""
        given = self.environ
        run, attempt = given.get("GITHUB_RUN_ID"), given.get("GITHUB_RUN_ATTEMPT", "1")
        name = f"run {run}, attempt {attempt}" if run else f"process {os.getpid()}"
        return f"{name} ({secrets.token_hex(4)})"


def _host(url: str) -> str:
    """The host in *url*, empty without one; that an address is none is for its first request to say."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _LateIdentity:
    """Finds the job's identity when the first token is asked for, so that reading needs none."""

    def __init__(self, environ: Mapping[str, str], client: Client) -> None:
        self._environ = environ
        self._client = client
        self._found: ActionsIdentity | None = None

    def token(self, audience: str) -> str:
        if self._found is None:
            self._found = ambient(self._environ, self._client)
        return self._found.token(audience)
