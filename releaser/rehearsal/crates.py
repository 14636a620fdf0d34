"""The crate registry of the rehearsal world: publish, sparse index, API reads, yank, trusted publishing.

Outcomes and wording follow rust-lang/crates.io src/controllers/{krate/publish,trustpub/tokens,version}, src/auth.rs,
src/rate_limiter.rs and cargo's book, reference/{registry-web-api,registry-index}.md. State lives in memory, archives
in ``root/crates``.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from releaser.errors import ConfigError
from releaser.rehearsal import crates_trust, crates_upload
from releaser.rehearsal.crates_trust import Grant, Publisher
from releaser.rehearsal.crates_upload import Upload, canonical, refusal
from releaser.rehearsal.issuer import CLAIMS, Issuer
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, Service, revalidate, route

TOKEN_LIFE = 1800
RETRY_AFTER = 60.0


class Action(StrEnum):
    """What a person can do too often, in the words of the refusal."""

    CREATE = "published too many new crates"
    UPDATE = "published too many updates to existing crates"
    YANK = "yanked or unyanked too many versions"


LIMITS: Mapping[Action, tuple[int, float]] = {
    Action.CREATE: (5, 600.0),
    Action.UPDATE: (30, 60.0),
    Action.YANK: (100, 60.0),
}
"""How much a person may do at once, and the seconds after which they may do it once more."""


@dataclass(slots=True)
class Allowance:
    """What is left of one of `LIMITS`; ``since`` is when the last piece of it was earned."""

    left: int
    since: float


@dataclass(slots=True)
class Version:
    """One published version; it is in the index from ``shown_at`` on."""

    upload: Upload
    created: float
    shown_at: float
    run: dict[str, str] | None
    yanked: bool = False

    @property
    def number(self) -> str:
        return self.upload.version

    @property
    def entry(self) -> dict[str, Any]:
        return crates_upload.index_entry(self.upload, _timestamp(self.created), self.yanked)


@dataclass(slots=True)
class Crate:
    name: str
    versions: list[Version] = field(default_factory=list)


class Crates(Service):
    """The registry. ``now`` is its clock; a version enters the index ``index_lag`` seconds after its publication.

    The API knows a version at once, as the real one does before the index job has run. ``user_token`` is the API
    token of a person who owns every crate; crates named in ``trustpub_only`` refuse it. cargo's registry address is
    ``sparse+{url}/index/``.
    """

    name: ClassVar[str] = "crates"
    upload_limit: int = 10 << 20

    def __init__(self, root: Path, journal: Journal, faults: Faults, issuer: Issuer) -> None:
        super().__init__(root, journal, faults)
        self.issuer = issuer
        self.now: Callable[[], float] = time.time
        self.index_lag = 0.0
        self.trustpub_only: set[str] = set()
        self.user_token = f"cio{secrets.token_hex(16)}"
        self._grants: dict[str, Grant] = {}
        self._spent: set[str] = set()
        self._publishers: list[Publisher] = []
        self._allowances: dict[Action, Allowance] = {}
        self._crates: dict[str, Crate] = {}
        self._archives = root / "crates"
        self._archives.mkdir(exist_ok=True)

    @property
    def index(self) -> str:
        """What ``[registries.NAME] index`` in cargo's configuration takes."""
        return f"sparse+{self.url}/index/"

    def add_package(self, name: str, version: str = "0.0.1") -> None:
        """Let *name* exist with an empty *version*; trusted publishing cannot create a crate."""
        with tempfile.TemporaryDirectory(dir=self.root) as scratch, self.lock:
            upload = crates_upload.empty(name, version, Path(scratch) / "content")
            self._store(upload, None, created=self.now(), shown_at=float("-inf"))

    def trust(
        self,
        package: str,
        repository: str,
        workflow: str,
        environment: str | None = None,
        owner_id: str = CLAIMS["repository_owner_id"],
    ) -> Publisher:
        """Register a trusted publisher of an existing crate; raises ConfigError when there is none."""
        with self.lock:
            if canonical(package) not in self._crates:
                raise ConfigError(
                    "publisher-without-package",
                    "a trusted publisher can only be registered for a crate that exists",
                    object=package,
                    hint=f'publish {package} once by hand: add_package("{package}")',
                )
            publisher = Publisher(package, repository, workflow, environment, owner_id)
            self._publishers.append(publisher)
        return publisher

    def injected(self, status: int) -> Response:
        """Errors are JSON; 429 tells when to come back as an HTTP-date (src/rate_limiter.rs)."""
        headers = {"Retry-After": formatdate(self.now() + RETRY_AFTER, usegmt=True)} if status == 429 else {}
        return Response.json({"errors": [{"detail": "injected fault"}]}, status=status, **headers)

    def not_found(self, request: Request) -> Response:
        return Response.json({"errors": [{"detail": f"Not Found: {request.path}"}]}, status=404)

    # publishing

    @route("PUT", "/api/v1/crates/new", "publish")
    def publish(self, request: Request) -> Response:
        self._demand_agent(request)
        name, number = crates_upload.announced(request.body)
        with self.lock:
            grant = self._permit(request, name)
        with tempfile.TemporaryDirectory(dir=self.root) as scratch:
            upload = crates_upload.receive(request.body, name, number, Path(scratch) / "content", self.upload_limit)
            with self.lock:
                self._check_new(upload)
                self._store(
                    upload, grant.run if grant else None, created=self.now(), shown_at=self.now() + self.index_lag
                )
                described = self._describe(self._crates[canonical(name)])
        warnings: dict[str, list[str]] = {"invalid_categories": [], "invalid_badges": [], "other": []}
        return Response.json({"crate": described, "warnings": warnings})

    def _demand_agent(self, request: Request) -> None:
        """src/middleware/require_user_agent.rs; downloads, the index and the archives do not ask."""
        if not request.header("user-agent"):
            sentence = b"We require that all requests include a `User-Agent` header."
            raise Refused(Response(403, sentence, content_type="text/plain; charset=utf-8"))

    def _credential(self, request: Request) -> str | None:
        """The token of a request, bare or after ``Bearer`` (src/auth.rs); None without the header."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.rpartition(" ")
        if scheme.lower() not in ("", "bearer"):
            message = f"Invalid `Authorization` header: Found unexpected authentication scheme `{scheme}`"
            raise refusal(401, message)
        return token

    def _minted(self, request: Request) -> str | None:
        """The token of a request if it has the prefix of a minted one."""
        token = self._credential(request)
        if token is None or not token.startswith(crates_trust.PREFIX):
            return None
        if not crates_trust.well_formed(token):
            raise refusal(401, "Invalid `Authorization` header: Failed to parse token")
        return token

    def _demand_person(self, request: Request, action: Action) -> None:
        """A person's token, and one piece of their allowance for *action*."""
        token = self._credential(request)
        if token is None:
            raise refusal(403, "this action requires authentication")
        if not token.startswith("cio"):
            raise refusal(401, "The given API token does not match the format used by crates.io.")
        if token != self.user_token:
            raise refusal(403, "authentication failed")
        self._spend(action)

    def _spend(self, action: Action) -> None:
        burst, pace = LIMITS[action]
        allowance = self._allowances.setdefault(action, Allowance(burst, self.now()))
        earned = int((self.now() - allowance.since) // pace)
        allowance.left = min(burst, allowance.left + earned)
        allowance.since += earned * pace
        if not allowance.left:
            again = formatdate(allowance.since + pace, usegmt=True)
            message = f"You have {action} in a short period of time. Please try again after {again}"
            raise refusal(429, message, Retry_After=again)
        allowance.left -= 1

    def _permit(self, request: Request, name: str) -> Grant | None:
        """The grant of a minted token for *name*; None for a person."""
        known = self._crates.get(canonical(name))
        token = self._minted(request)
        if token is None:
            if known and known.name in self.trustpub_only:
                raise refusal(403, "New versions of this crate can only be published using Trusted Publishing")
            self._demand_person(request, Action.UPDATE if known else Action.CREATE)
            return None
        if known is None:
            message = "Trusted Publishing tokens do not support creating new crates. Publish the crate manually, first"
            raise refusal(403, message)
        grant = self._grants.get(token)
        if grant is None or grant.expires <= self.now():
            raise refusal(403, "Invalid authentication token")
        if canonical(name) not in grant.crates:
            raise refusal(403, f"The provided access token is not valid for crate `{known.name}`")
        return grant

    def _check_new(self, upload: Upload) -> None:
        """A version is taken whatever its build metadata, even by equal bytes."""
        known = self._crates.get(canonical(upload.name))
        if known is None:
            return
        if known.name != upload.name:
            raise refusal(400, f"crate was previously named `{known.name}`")
        bare = upload.version.partition("+")[0]
        if any(v.number.partition("+")[0] == bare for v in known.versions):
            raise refusal(400, f"crate version `{bare}` is already uploaded")

    def _store(self, upload: Upload, run: dict[str, str] | None, *, created: float, shown_at: float) -> None:
        upload.path.replace(self._archives / f"{upload.name}-{upload.version}.crate")
        known = self._crates.setdefault(canonical(upload.name), Crate(upload.name))
        known.versions.append(Version(upload, created, shown_at, run))

    @route("DELETE", "/api/v1/crates/{name}/{version}/yank", "yank")
    def yank(self, request: Request) -> Response:
        return self._set_yanked(request, True)

    @route("PUT", "/api/v1/crates/{name}/{version}/unyank", "unyank")
    def unyank(self, request: Request) -> Response:
        return self._set_yanked(request, False)

    def _set_yanked(self, request: Request, yanked: bool) -> Response:
        """For people alone: a minted token is no token of theirs."""
        self._demand_agent(request)
        with self.lock:
            version = self._version(request)
            self._demand_person(request, Action.YANK)
            version.yanked = yanked
        return Response.json({"ok": True})

    # reading

    @route("GET", "/index/config.json", "index-config")
    def index_config(self, _request: Request) -> Response:
        return Response.json({"dl": f"{self.url}/crates/{{crate}}/{{crate}}-{{version}}.crate", "api": self.url})

    @route("GET", "/index/{path*}", "index")
    def index_file(self, request: Request) -> Response:
        """One line of JSON a version, oldest first; 404 until a version shows."""
        path = request.params["path"]
        with self.lock:
            known = self._crates.get(canonical(path.rpartition("/")[2]))
            if known is None or crates_upload.index_path(known.name) != path:
                return Response(404, b"not found", content_type="text/plain")
            shown = [v.entry for v in known.versions if v.shown_at <= self.now()]
        if not shown:
            return Response(404, b"not found", content_type="text/plain")
        lines = "".join(f"{json.dumps(entry, separators=(',', ':'))}\n" for entry in shown)
        headers = {"Cache-Control": "public,max-age=600"}
        return revalidate(request, Response(body=lines.encode(), content_type="text/plain", headers=headers))

    @route("GET", "/crates/{name}/{filename}", "archive")
    def archive(self, request: Request) -> Response:
        path = self._archives / request.params["filename"]
        if path.parent != self._archives or not path.is_file():
            return Response(403, b"AccessDenied", content_type="application/xml")
        return Response(body=path, content_type="application/gzip")

    @route("GET", "/api/v1/crates/{name}", "crate")
    def crate(self, request: Request) -> Response:
        self._demand_agent(request)
        with self.lock:
            known = self._crate(request)
            versions = [self._describe_version(known, v) for v in reversed(known.versions)]
            return Response.json({"crate": self._describe(known), "versions": versions})

    @route("GET", "/api/v1/crates/{name}/{version}", "version")
    def version(self, request: Request) -> Response:
        self._demand_agent(request)
        with self.lock:
            return Response.json({"version": self._describe_version(self._crate(request), self._version(request))})

    @route("GET", "/api/v1/crates/{name}/{version}/download", "download")
    def download(self, request: Request) -> Response:
        """Where the archive is, or would be: nothing is looked up (src/controllers/version/downloads.rs)."""
        name, number = quote(request.params["name"]), quote(request.params["version"])
        address = f"{self.url}/crates/{name}/{name}-{number}.crate"
        if "json" in request.header("accept"):
            return Response.json({"url": address}, Vary="accept")
        return Response(302, headers={"Location": address, "Vary": "accept"})

    def _crate(self, request: Request) -> Crate:
        known = self._crates.get(canonical(request.params["name"]))
        if known is None:
            raise refusal(404, f"crate `{request.params['name']}` does not exist")
        return known

    def _version(self, request: Request) -> Version:
        known, wanted = self._crate(request), request.params["version"]
        for version in known.versions:
            if version.number == wanted:
                return version
        raise refusal(404, f"crate `{known.name}` does not have a version `{wanted}`")

    def _describe(self, known: Crate) -> dict[str, Any]:
        return {
            "id": known.name,
            "name": known.name,
            "newest_version": known.versions[-1].number,
            "created_at": _timestamp(known.versions[0].created),
            "updated_at": _timestamp(known.versions[-1].created),
            "trustpub_only": known.name in self.trustpub_only,
        }

    def _describe_version(self, known: Crate, version: Version) -> dict[str, Any]:
        return {
            "crate": known.name,
            "num": version.number,
            "checksum": version.upload.sha256,
            "yanked": version.yanked,
            "features": version.upload.manifest.get("features", {}),
            "rust_version": version.upload.package.get("rust-version"),
            "license": version.upload.licence,
            "crate_size": version.upload.size,
            "created_at": _timestamp(version.created),
            "lib_links": version.upload.package.get("links"),
            "dl_path": f"/api/v1/crates/{known.name}/{version.number}/download",
            "trustpub_data": version.run,
        }

    # trusted publishing

    @route("POST", "/api/v1/trusted_publishing/tokens", "exchange")
    def exchange(self, request: Request) -> Response:
        """A token for every crate of the matching configs; any refusal is 400 and leaves the identity unspent."""
        self._demand_agent(request)
        try:
            jwt = str(request.json()["jwt"])
        except (ValueError, LookupError, TypeError):
            raise refusal(400, "Failed to decode JWT") from None
        claims = crates_trust.identified(jwt, self.issuer)
        with self.lock:
            if str(claims["jti"]) in self._spent:
                raise refusal(400, "JWT has already been used")
            configs = crates_trust.matching(claims, self._publishers)
            self._spent.add(str(claims["jti"]))
            token = crates_trust.minted()
            run = {"provider": "github", **{name: str(claims[name]) for name in ("repository", "run_id", "sha")}}
            names = frozenset(canonical(c.package) for c in configs)
            self._grants[token] = Grant(names, run, self.now() + TOKEN_LIFE)
        return Response.json({"token": token})

    @route("DELETE", "/api/v1/trusted_publishing/tokens", "revoke")
    def revoke(self, request: Request) -> Response:
        """204 as often as it is asked, for a token once minted or not."""
        self._demand_agent(request)
        if self._credential(request) is None:
            raise refusal(401, "Missing `Authorization` header")
        token = self._minted(request)
        if token is None:
            raise refusal(401, "Invalid `Authorization` header: Failed to parse token")
        with self.lock:
            self._grants.pop(token, None)
        return Response(204)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
