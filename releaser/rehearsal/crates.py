"""The crate registry of the rehearsal world: publish, sparse index, API reads, yank, trusted publishing.

Outcomes and wording follow rust-lang/crates.io src/controllers/{krate/publish,trustpub/tokens,version/yank}.rs and
cargo's book, reference/{registry-web-api,registry-index}.md. State lives in memory, archives in ``root/crates``.
"""

from __future__ import annotations

import json
import secrets
import string
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from releaser.errors import ConfigError
from releaser.rehearsal import crates_upload
from releaser.rehearsal.crates_upload import Upload, canonical, refusal
from releaser.rehearsal.issuer import CLAIMS, Claims, Issuer, TokenInvalid, verify
from releaser.rehearsal.server import Faults, Journal, Request, Response, Service, revalidate, route

TOKEN_LIFE = 1800
LEEWAY = 60.0
RETRY_AFTER = 60.0
SEEDED_AGE = 365 * 86400


@dataclass(frozen=True, slots=True)
class Publisher:
    """A trusted-publishing config of one crate; ``workflow`` is the top-level file of the run."""

    package: str
    repository: str
    workflow: str
    environment: str | None = None
    owner_id: str = CLAIMS["repository_owner_id"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a minted token allows, and the run it was minted for, which every version it publishes remembers."""

    crates: frozenset[str]
    run: dict[str, str]
    expires: float


@dataclass(slots=True)
class Version:
    """One published version; ``entry`` is its line in the index, shown from ``shown_at`` on."""

    entry: dict[str, Any]
    size: int
    licence: str | None
    created: float
    shown_at: float
    run: dict[str, str] | None

    @property
    def number(self) -> str:
        return str(self.entry["vers"])


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
    audience: ClassVar[str] = "crates.io"
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
        self._crates: dict[str, Crate] = {}
        self._archives = root / "crates"
        self._archives.mkdir(exist_ok=True)

    @property
    def index(self) -> str:
        """What ``[registries.NAME] index`` in cargo's configuration takes."""
        return f"sparse+{self.url}/index/"

    def add_package(self, name: str, version: str = "0.0.1") -> None:
        """Let *name* exist with an old, empty *version*; trusted publishing cannot create a crate."""
        with tempfile.TemporaryDirectory(dir=self.root) as scratch, self.lock:
            upload = crates_upload.empty(name, version, Path(scratch) / "content")
            self._store(upload, None, created=self.now() - SEEDED_AGE, shown_at=float("-inf"))

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
        grant = self._authenticate(request)
        with tempfile.TemporaryDirectory(dir=self.root) as scratch:
            upload = crates_upload.receive(request.body, Path(scratch) / "content", self.upload_limit)
            with self.lock:
                self._check_permission(upload.name, grant)
                self._check_new(upload)
                crates_upload.check_archive(upload)
                self._store(
                    upload, grant.run if grant else None, created=self.now(), shown_at=self.now() + self.index_lag
                )
                described = self._describe(self._crates[canonical(upload.name)])
        warnings: dict[str, list[str]] = {"invalid_categories": [], "invalid_badges": [], "other": []}
        return Response.json({"crate": described, "warnings": warnings})

    def _demand_agent(self, request: Request) -> None:
        """src/middleware/require_user_agent.rs; the index and the archives do not ask."""
        if not request.header("user-agent"):
            raise refusal(403, "We require that all requests include a `User-Agent` header.")

    def _authenticate(self, request: Request) -> Grant | None:
        """The grant of a minted token, None for the person's own."""
        token = request.header("authorization").removeprefix("Bearer ")
        if not token:
            raise refusal(403, "this action requires authentication")
        if token == self.user_token:
            return None
        if not token.startswith("cio"):
            raise refusal(401, "The given API token does not match the format used by this registry.")
        grant = self._grants.get(token)
        if grant is None or grant.expires <= self.now():
            raise refusal(403, "authentication failed")
        return grant

    def _check_permission(self, name: str, grant: Grant | None) -> None:
        exists = canonical(name) in self._crates
        if grant is None:
            if name in self.trustpub_only:
                raise refusal(403, "New versions of this crate can only be published using Trusted Publishing.")
        elif not exists:
            message = "Trusted Publishing tokens do not support creating new crates. Publish the crate manually, first"
            raise refusal(403, message)
        elif canonical(name) not in grant.crates:
            raise refusal(403, f"The provided access token is not valid for crate `{name}`")

    def _check_new(self, upload: Upload) -> None:
        """A version is taken whatever its build metadata, even by equal bytes."""
        known = self._crates.get(canonical(upload.name))
        if known is None:
            return
        if known.name != upload.name:
            raise refusal(400, f"crate was previously named `{known.name}`")
        if any(v.number.split("+")[0] == upload.version.split("+")[0] for v in known.versions):
            raise refusal(400, f"crate version `{upload.version}` is already uploaded")

    def _store(self, upload: Upload, run: dict[str, str] | None, *, created: float, shown_at: float) -> None:
        upload.path.replace(self._archives / f"{upload.name}-{upload.version}.crate")
        entry = {**crates_upload.index_entry(upload), "yanked": False, "pubtime": _timestamp(created)}
        version = Version(entry, upload.size, upload.metadata.get("license"), created, shown_at, run)
        self._crates.setdefault(canonical(upload.name), Crate(upload.name)).versions.append(version)

    @route("DELETE", "/api/v1/crates/{name}/{version}/yank", "yank")
    def yank(self, request: Request) -> Response:
        return self._set_yanked(request, True)

    @route("PUT", "/api/v1/crates/{name}/{version}/unyank", "unyank")
    def unyank(self, request: Request) -> Response:
        return self._set_yanked(request, False)

    def _set_yanked(self, request: Request, yanked: bool) -> Response:
        self._demand_agent(request)
        if self._authenticate(request) is not None:
            raise refusal(403, "Trusted Publishing tokens can only be used for publishing crates")
        with self.lock:
            self._version(request).entry["yanked"] = yanked
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
            lines = [json.dumps(v.entry) for v in known.versions if v.shown_at <= self.now()]
        if not lines:
            return Response(404, b"not found", content_type="text/plain")
        return revalidate(request, Response(body="".join(f"{n}\n" for n in lines).encode(), content_type="text/plain"))

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
        self._demand_agent(request)
        with self.lock:
            name, number = self._crate(request).name, self._version(request).number
        address = f"{self.url}/crates/{name}/{name}-{quote(number)}.crate"
        if "application/json" in request.header("accept"):
            return Response.json({"url": address})
        return Response(302, headers={"Location": address})

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
            "checksum": version.entry["cksum"],
            "yanked": version.entry["yanked"],
            "features": version.entry["features"],
            "rust_version": version.entry["rust_version"],
            "license": version.licence,
            "crate_size": version.size,
            "created_at": _timestamp(version.created),
            "dl_path": f"/api/v1/crates/{known.name}/{version.number}/download",
            "trustpub_data": version.run,
        }

    # trusted publishing

    @route("POST", "/api/v1/trusted_publishing/tokens", "exchange")
    def exchange(self, request: Request) -> Response:
        """A token for every crate of the matching configs; any refusal is 400 and leaves the identity unspent."""
        self._demand_agent(request)
        try:
            claims = verify(str(request.json()["jwt"]), self.issuer, self.audience, leeway=LEEWAY)
        except (ValueError, LookupError, TypeError) as exc:
            wrong_issuer = isinstance(exc, TokenInvalid) and exc.code == "issuer"
            raise refusal(400, "Unsupported JWT issuer" if wrong_issuer else "Failed to decode JWT") from None
        with self.lock:
            if str(claims["jti"]) in self._spent:
                raise refusal(400, "JWT has already been used")
            configs = self._matching(claims)
            self._spent.add(str(claims["jti"]))
            token = _token()
            run = {
                "provider": "github",
                **{name: str(claims.get(name, "")) for name in ("repository", "run_id", "sha")},
            }
            names = frozenset(canonical(c.package) for c in configs)
            self._grants[token] = Grant(names, run, self.now() + TOKEN_LIFE)
        return Response.json({"token": token})

    @route("DELETE", "/api/v1/trusted_publishing/tokens", "revoke")
    def revoke(self, request: Request) -> Response:
        """204 as often as it is asked, for a token once minted or not."""
        self._demand_agent(request)
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme != "Bearer" or not token.startswith("cio_tp_"):
            raise refusal(401, "Invalid authorization header")
        with self.lock:
            self._grants.pop(token, None)
        return Response(204)

    def _matching(self, claims: Claims) -> list[Publisher]:
        """The configs that *claims* satisfy, narrowed in the order of exchange/mod.rs, or a refusal naming the step."""
        repository = str(claims.get("repository", ""))
        about = f"The Trusted Publishing config for repository `{repository}`"
        workflow = str(claims.get("workflow_ref", "")).partition("@")[0].rpartition("/.github/workflows/")[2]
        owner = str(claims.get("repository_owner_id", ""))
        environment = str(claims.get("environment", ""))
        if claims.get("event_name") in ("pull_request_target", "workflow_run"):
            raise refusal(400, f"Trusted Publishing does not accept the event `{claims['event_name']}`")

        configs = [p for p in self._publishers if p.repository.lower() == repository.lower()]
        if not configs:
            raise refusal(400, f"No Trusted Publishing config found for repository `{repository}`.")
        expected = ", ".join(p.owner_id for p in configs)
        configs = [p for p in configs if p.owner_id == owner]
        if not configs:
            raise refusal(
                400,
                f"{about} does not match the repository owner ID ({owner}) in the JWT. Expected owner IDs: {expected}. "
                "Please recreate the Trusted Publishing config to update the repository owner ID.",
            )
        expected = ", ".join(f"`{p.workflow}`" for p in configs)
        configs = [p for p in configs if p.workflow == workflow]
        if not configs:
            raise refusal(
                400,
                f"{about} does not match the workflow filename `{workflow}` in the JWT. "
                f"Expected workflow filenames: {expected}",
            )
        expected = ", ".join(f"`{p.environment}`" for p in configs)
        configs = [p for p in configs if not p.environment or p.environment.lower() == environment.lower()]
        if not configs and environment:
            raise refusal(
                400,
                f"{about} does not match the environment `{environment}` in the JWT. Expected environments: {expected}",
            )
        if not configs:
            raise refusal(
                400,
                f"{about} requires an environment, but the JWT does not specify one. Expected environments: {expected}",
            )
        return configs


def _token() -> str:
    """``cio_tp_``, 31 random characters and one that checks them (crates_io_trustpub access_token.rs)."""
    alphabet = string.ascii_letters + string.digits
    text = "".join(secrets.choice(alphabet) for _ in range(31))
    return f"cio_tp_{text}{alphabet[sum(text.encode()) % len(alphabet)]}"


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
