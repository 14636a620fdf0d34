"""Where the services are: the public ones, taken from their own tools, or those of a rehearsal world."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from releaser.adapters.http import LOOPBACK
from releaser.adapters.redact import plain
from releaser.errors import ConfigError, ExternalError

AUDIENCE = "crates.io"
"""The registry's name, which is its host and the audience of its identity tokens."""


@dataclass(frozen=True, slots=True)
class PyPIEndpoints:
    """``upload`` is the form's whole address, ``index`` what simple, JSON and identity pages hang below."""

    upload: str
    index: str


@dataclass(frozen=True, slots=True)
class CratesEndpoints:
    """``api`` is what ``/api/v1`` hangs below, ``index`` the root of the sparse index."""

    api: str
    index: str


@dataclass(frozen=True, slots=True)
class NpmEndpoints:
    registry: str


@dataclass(frozen=True, slots=True)
class ChocolateyEndpoints:
    """``feed`` stands in for every feed that a policy names; where it is empty, feeds are where the policy says."""

    feed: str = ""


@dataclass(frozen=True, slots=True)
class GitHubEndpoints:
    """``api`` is the REST root, ``server`` what people and git use."""

    api: str
    server: str


@dataclass(frozen=True)
class Endpoints:
    """The addresses of one world, none with a slash at the end except ``pypi.upload``."""

    pypi: PyPIEndpoints
    crates: CratesEndpoints
    npm: NpmEndpoints
    github: GitHubEndpoints
    chocolatey: ChocolateyEndpoints = ChocolateyEndpoints()

    def hosts(self) -> frozenset[str]:
        """The host of every address that is known so far."""
        known = (part for name, part in vars(self).items() if name in self.__dataclass_fields__)
        hosts = (urlsplit(address).hostname for part in known for address in astuple(part))
        return frozenset(host for host in hosts if host)


class _Production(Endpoints):
    """The public services; each address is found out when it is first asked for."""

    _environ: Mapping[str, str]

    def __init__(self, environ: Mapping[str, str]) -> None:
        object.__setattr__(self, "_environ", environ)

    @cached_property
    def pypi(self) -> PyPIEndpoints:
        from twine.utils import DEFAULT_REPOSITORY

        upload = urlsplit(DEFAULT_REPOSITORY)
        return PyPIEndpoints(DEFAULT_REPOSITORY, f"{upload.scheme}://{upload.netloc.removeprefix('upload.')}")

    @cached_property
    def crates(self) -> CratesEndpoints:
        return CratesEndpoints(f"https://{AUDIENCE}", f"https://index.{AUDIENCE}")

    @cached_property
    def npm(self) -> NpmEndpoints:
        return NpmEndpoints(_npm_default(self._environ.get("PATH", os.defpath)))

    @cached_property
    def github(self) -> GitHubEndpoints:
        return GitHubEndpoints(
            (self._environ.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/"),
            (self._environ.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/"),
        )


def production(environ: Mapping[str, str] | None = None) -> Endpoints:
    """The public services. Reading ``npm`` raises ExternalError ``npm-missing`` where npm cannot be run."""
    return _Production(os.environ if environ is None else environ)


def served_at(*, pypi: str, crates: str, npm: str, github: str, chocolatey: str) -> Endpoints:
    """Services that each have one root for everything, as those of a rehearsal world do."""
    return Endpoints(
        PyPIEndpoints(f"{pypi}/legacy/", pypi),
        CratesEndpoints(crates, f"{crates}/index"),
        NpmEndpoints(npm),
        GitHubEndpoints(github, github),
        ChocolateyEndpoints(f"{chocolatey}/api/v2"),
    )


def _npm_default(path: str) -> str:
    """npm's built-in registry: what it says with no configuration of user, machine or project in reach."""
    with tempfile.TemporaryDirectory() as empty:
        try:
            asked = subprocess.run(
                ["npm", "config", "get", "registry"],
                cwd=empty,
                env={
                    "PATH": path,
                    "HOME": empty,
                    "npm_config_userconfig": f"{empty}/user",
                    "npm_config_globalconfig": f"{empty}/global",
                    "npm_config_update_notifier": "false",
                },
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise _npm_missing(type(exc).__name__) from exc
    registry = asked.stdout.strip().rstrip("/")
    if asked.returncode or not registry.startswith("https://"):
        raise _npm_missing(f"exit {asked.returncode}: {asked.stdout} {asked.stderr}")
    return registry


def _npm_missing(found: str) -> ExternalError:
    return ExternalError(
        "npm-missing",
        "npm cannot be asked for its registry",
        retryable=False,
        object="npm config get registry",
        found=plain(found),
        wanted="npm on PATH",
        hint="install Node.js, or use actions/setup-node in the job",
    )


@dataclass(frozen=True, slots=True)
class World:
    """A rehearsal world: its services, its identity provider and the tokens it made up, by name."""

    endpoints: Endpoints
    oidc: str
    tokens: Mapping[str, str] = field(repr=False)


def from_world(path: Path) -> World:
    """The world described by the JSON file *path*; raises ConfigError ``world-invalid``.

    Its keys are those of `served_at` and ``oidc``, each a loopback URL, and ``tokens``.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise _invalid(path, "", str(exc), "a JSON file") from exc
    if not isinstance(data, dict):
        raise _invalid(path, "", type(data).__name__, "an object")
    services = {k: _loopback(path, data, k) for k in ("pypi", "crates", "npm", "github", "chocolatey")}
    tokens = data.get("tokens", {})
    if not isinstance(tokens, dict) or not all(isinstance(v, str) for v in tokens.values()):
        raise _invalid(path, "tokens", type(tokens).__name__, "an object of strings")
    return World(served_at(**services), _loopback(path, data, "oidc"), tokens)


def _loopback(path: Path, data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
    except ValueError as exc:
        raise _invalid(path, key, plain(str(exc)), "http://127.0.0.1:PORT") from exc
    if parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK or parts.username is not None:
        raise _invalid(path, key, plain(str(value)), "http://127.0.0.1:PORT")
    return parts.geturl().rstrip("/")


def _invalid(path: Path, key: str, found: str, wanted: str) -> ConfigError:
    return ConfigError(
        "world-invalid",
        "this is not the description of a rehearsal world",
        object=f"{path}: {key}" if key else str(path),
        found=found,
        wanted=wanted,
        hint="start one with `releaser rehearse --keep` and name the file it writes",
    )
