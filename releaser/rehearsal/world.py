"""The whole rehearsal world on loopback: a forge, an identity provider, three registries and a feed, by address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from releaser.rehearsal.chocolatey import Chocolatey
from releaser.rehearsal.crates import Crates
from releaser.rehearsal.github import GitHub
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.npm import Npm
from releaser.rehearsal.pypi import PyPI
from releaser.rehearsal.server import Faults, Journal, Service

DESCRIPTION = "world.json"


class World:
    """A world under *root*, up for the length of a ``with`` block. ``journal`` saw every request."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = Journal()
        self.faults = Faults()
        self.github = GitHub(root / "github", self.journal, self.faults)
        self.oidc = Issuer(root / "oidc", self.journal, self.faults)
        self.pypi = PyPI(root / "pypi", self.journal, self.faults, self.oidc)
        self.crates = Crates(root / "crates", self.journal, self.faults, self.oidc)
        self.npm = Npm(root / "npm", self.journal, self.faults, self.oidc)
        self.chocolatey = Chocolatey(root / "chocolatey", self.journal, self.faults)
        self._services: tuple[Service, ...] = (
            self.github,
            self.oidc,
            self.pypi,
            self.crates,
            self.npm,
            self.chocolatey,
        )

    def __enter__(self) -> Self:
        for service in self._services:
            service.start()
        self.description.write_text(json.dumps(self._addresses(), indent=2, sort_keys=True))
        return self

    def __exit__(self, *_: object) -> None:
        for service in self._services:
            service.stop()

    @property
    def description(self) -> Path:
        """The file for ``RELEASER_WORLD``."""
        return self.root / DESCRIPTION

    def lag(self, seconds: float) -> None:
        """Let every index show what its registry accepted only *seconds* later."""
        for registry in (self.pypi, self.crates, self.npm, self.chocolatey):
            registry.index_lag = seconds

    def job(self, token: str, actor: str, actor_id: int) -> dict[str, str]:
        """The environment of a CI job that holds *token* and the right to ask for identities."""
        return {
            "RELEASER_WORLD": str(self.description),
            "GITHUB_TOKEN": token,
            "GITHUB_ACTOR": actor,
            "GITHUB_ACTOR_ID": str(actor_id),
            "GITHUB_EVENT_NAME": "workflow_dispatch",
            "ACTIONS_ID_TOKEN_REQUEST_URL": self.oidc.request_url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.oidc.request_token,
        }

    def person(self, token: str) -> dict[str, str]:
        """The environment of a person at a terminal who holds *token*."""
        return {"RELEASER_WORLD": str(self.description), "GITHUB_TOKEN": token}

    def _addresses(self) -> Mapping[str, object]:
        addresses = {s.name: s.url for s in self._services}
        return {**addresses, "tokens": {}}
