"""The npm registry of the rehearsal world: publish, packuments, tarballs, dist-tags, trusted publishing.

Outcomes and wording follow npm/cli workspaces/libnpmpublish/lib/{publish,provenance}.js and lib/utils/oidc.js, npm's
API reference, and npm/documentation securing-your-code/trusted-publishers.mdx. State lives in memory, tarballs in
``root/tarballs``. A publish document is JSON with the tarball in it, so it is held in memory once.
"""

from __future__ import annotations

import io
import json
import secrets
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from releaser.errors import ConfigError
from releaser.rehearsal import npm_document
from releaser.rehearsal.issuer import CLAIMS, Claims, Issuer, TokenInvalid, verify
from releaser.rehearsal.npm_document import Document, refusal
from releaser.rehearsal.server import Faults, Journal, Request, Response, Service, revalidate, route

TOKEN_LIFE = 3600
SEEDED_AGE = 365 * 86400
SHORT_TYPE = "application/vnd.npm.install-v1+json"
SHORT_FIELDS = frozenset(
    {
        "name",
        "version",
        "dist",
        "dependencies",
        "optionalDependencies",
        "devDependencies",
        "peerDependencies",
        "peerDependenciesMeta",
        "bundleDependencies",
        "bin",
        "directories",
        "engines",
        "os",
        "cpu",
        "libc",
        "deprecated",
        "hasInstallScript",
    }
)


@dataclass(frozen=True, slots=True)
class Publisher:
    """The trusted publisher of a package. npm compares the owner's name, so ``owner_id`` is kept and not compared."""

    package: str
    repository: str
    workflow: str
    environment: str | None = None
    owner_id: str = CLAIMS["repository_owner_id"]

    def matches(self, claims: Claims) -> bool:
        """Exact, case-sensitive comparison; the file is the calling workflow's; hosted runners only."""
        path = str(claims.get("workflow_ref")).partition("@")[0]
        return (
            claims.get("repository") == self.repository
            and path == f"{self.repository}/.github/workflows/{self.workflow}"
            and (not self.environment or claims.get("environment") == self.environment)
            and claims.get("runner_environment") == "github-hosted"
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """A minted token: one package, publishing alone."""

    package: str
    expires: float


@dataclass(slots=True)
class Version:
    """One published version; readers see it from ``shown_at`` on."""

    manifest: dict[str, Any]
    filename: str
    created: float
    shown_at: float


@dataclass(slots=True)
class Package:
    """``tags`` is the history of dist-tags, as (shown at, tag, version or None when removed)."""

    name: str
    versions: dict[str, Version] = field(default_factory=dict)
    tags: list[tuple[float, str, str | None]] = field(default_factory=list)


class Npm(Service):
    """The registry. ``now`` is its clock; a publication shows in packuments ``index_lag`` seconds later.

    ``user_token`` is the token of a person who owns every package. The audience is ``npm:127.0.0.1``: the CLI asks
    for ``npm:`` and the registry's host name without its port.
    """

    name: ClassVar[str] = "npm"
    audience: ClassVar[str] = "npm:127.0.0.1"

    def __init__(self, root: Path, journal: Journal, faults: Faults, issuer: Issuer) -> None:
        super().__init__(root, journal, faults)
        self.issuer = issuer
        self.now: Callable[[], float] = time.time
        self.index_lag = 0.0
        self.user_token = f"npm_{secrets.token_urlsafe(27)}"
        self._grants: dict[str, Grant] = {}
        self._spent: set[str] = set()
        self._publishers: dict[str, Publisher] = {}
        self._packages: dict[str, Package] = {}
        self._tarballs = root / "tarballs"
        self._tarballs.mkdir(exist_ok=True)

    def add_package(self, name: str, version: str = "0.0.1") -> None:
        """Let *name* exist with an old, empty *version*; trusted publishing cannot create a package."""
        manifest = {"name": name, "version": version, "description": name}
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            entry = tarfile.TarInfo("package/package.json")
            entry.size = len(json.dumps(manifest))
            archive.addfile(entry, io.BytesIO(json.dumps(manifest).encode()))
        tarball = content.getvalue()
        document = Document(name, version, manifest, {"latest": version}, tarball, npm_document.digests(tarball))
        with self.lock:
            self._store(document, created=self.now() - SEEDED_AGE, shown_at=float("-inf"))

    def trust(
        self,
        package: str,
        repository: str,
        workflow: str,
        environment: str | None = None,
        owner_id: str = CLAIMS["repository_owner_id"],
    ) -> Publisher:
        """Set the trusted publisher of an existing package, which has one; raises ConfigError without the package."""
        with self.lock:
            if package not in self._packages:
                raise ConfigError(
                    "publisher-without-package",
                    "a trusted publisher can only be registered for a package that exists",
                    object=package,
                    hint=f'publish {package} once by hand: add_package("{package}")',
                )
            publisher = Publisher(package, repository, workflow, environment, owner_id)
            self._publishers[package] = publisher
        return publisher

    def injected(self, status: int) -> Response:
        return Response.json({"error": "injected fault"}, status=status)

    def not_found(self, _request: Request) -> Response:
        return Response.json({"error": "Not found"}, status=404)

    # publishing

    @route("PUT", "/{name}", "publish")
    def publish(self, request: Request) -> Response:
        name = request.params["name"]
        grant = self._authenticate(request)
        with self.lock:
            exists = name in self._packages
        if grant is not None and (grant.package != name or not exists):
            raise refusal(404, "Not found")
        document = npm_document.parse(request, name)
        with self.lock:
            package = self._packages.get(name)
            if package and document.version in package.versions:
                message = f"You cannot publish over the previously published versions: {document.version}."
                raise refusal(403, message)
            npm_document.check_provenance(document)
            self._store(document, created=self.now(), shown_at=self.now() + self.index_lag)
        return Response.json({"ok": True, "success": True}, status=201)

    def _authenticate(self, request: Request) -> Grant | None:
        """The grant of a minted token, None for the person's own; 404 for any other, as if nothing were there."""
        token = _bearer(request)
        if token == self.user_token:
            return None
        grant = self._grants.get(token)
        if grant is None or grant.expires <= self.now():
            raise refusal(404, "Not found")
        return grant

    def _store(self, document: Document, *, created: float, shown_at: float) -> None:
        package = self._packages.setdefault(document.name, Package(document.name))
        base = f"{document.name.rpartition('/')[2]}-{document.version}.tgz"
        filename = f"{quote(document.name, safe='')}-{document.version}.tgz"
        (self._tarballs / filename).write_bytes(document.tarball)
        dist = {**document.dist, "tarball": f"{self.url}/{document.name}/-/{base}"}
        manifest = {**document.manifest, "_id": f"{document.name}@{document.version}", "dist": dist}
        package.versions[document.version] = Version(manifest, filename, created, shown_at)
        package.tags.extend((shown_at, tag, version) for tag, version in document.tags.items())

    @route("GET", "/-/package/{name}/dist-tags", "dist-tags")
    def dist_tags(self, request: Request) -> Response:
        with self.lock:
            return Response.json(self._tags(self._package(request.params["name"])))

    @route("PUT", "/-/package/{name}/dist-tags/{tag}", "dist-tag-add")
    def dist_tag_add(self, request: Request) -> Response:
        """Persons only: a minted token publishes and does nothing else."""
        version = request.json()
        with self.lock:
            package = self._person_package(request)
            if version not in package.versions:
                raise refusal(404, f"version not found: {version}")
            package.tags.append((self.now(), request.params["tag"], version))
            return Response.json(self._tags(package), status=201)

    @route("DELETE", "/-/package/{name}/dist-tags/{tag}", "dist-tag-remove")
    def dist_tag_remove(self, request: Request) -> Response:
        with self.lock:
            package = self._person_package(request)
            package.tags.append((self.now(), request.params["tag"], None))
            return Response.json(self._tags(package))

    def _person_package(self, request: Request) -> Package:
        if self._authenticate(request) is not None:
            raise refusal(403, "OIDC permission denied for this action")
        return self._package(request.params["name"])

    # reading

    @route("GET", "/-/ping", "ping")
    def ping(self, _request: Request) -> Response:
        return Response.json({})

    @route("GET", "/-/whoami", "whoami")
    def whoami(self, request: Request) -> Response:
        if _bearer(request) != self.user_token:
            raise refusal(401, "Unauthorized")
        return Response.json({"username": "maintainer"})

    @route("GET", "/{name}", "packument")
    def packument(self, request: Request) -> Response:
        """The package's document, short when ``Accept`` asks for the installer's form."""
        return self._packument(request, request.params["name"])

    def _packument(self, request: Request, name: str) -> Response:
        with self.lock:
            package = self._package(name)
            shown = self._shown(package)
            tags = self._tags(package)
        times = {v: _timestamp(version.created) for v, version in shown.items()}
        created = _timestamp(min(v.created for v in shown.values()))
        modified = _timestamp(max(v.created for v in shown.values()))
        manifests = {v: version.manifest for v, version in shown.items()}
        if SHORT_TYPE in request.header("accept"):
            short = {v: {k: m[k] for k in m if k in SHORT_FIELDS} for v, m in manifests.items()}
            document = {"name": name, "modified": modified, "dist-tags": tags, "versions": short}
            content_type = SHORT_TYPE
        else:
            time_field = {"created": created, "modified": modified, **times}
            document = {"_id": name, "name": name, "dist-tags": tags, "versions": manifests, "time": time_field}
            content_type = "application/json"
        answer = Response(body=json.dumps(document).encode(), content_type=content_type, headers={"Vary": "Accept"})
        return revalidate(request, answer)

    @route("GET", "/{name}/{version}", "version")
    def version(self, request: Request) -> Response:
        """One version, by number or dist-tag. ``/@scope/name`` unescaped comes here as well: that is a package."""
        name, wanted = request.params["name"], request.params["version"]
        if name.startswith("@") and "/" not in name:
            return self._packument(request, f"{name}/{wanted}")
        with self.lock:
            package = self._package(name)
            shown = self._shown(package)
            number = self._tags(package).get(wanted, wanted)
        if number not in shown:
            raise refusal(404, f"version not found: {wanted}")
        return revalidate(request, Response.json(shown[number].manifest))

    @route("GET", "/{name}/-/{filename}", "tarball")
    @route("GET", "/{scope}/{name}/-/{filename}", "tarball-scoped")
    def tarball(self, request: Request) -> Response:
        """The archive, there as soon as it is published; the scope may come escaped or as a segment of its own."""
        scope = request.params.get("scope")
        name = f"{scope}/{request.params['name']}" if scope else request.params["name"]
        with self.lock:
            package = self._packages.get(name)
            found = [v.filename for v in package.versions.values() if _served_as(v, request)] if package else []
        if not found:
            raise refusal(404, "Not found")
        return Response(body=self._tarballs / found[0], content_type="application/octet-stream")

    def _package(self, name: str) -> Package:
        """The package, once any version of it shows; 404 before."""
        package = self._packages.get(name)
        if package is None or not self._shown(package):
            raise refusal(404, "Not found")
        return package

    def _shown(self, package: Package) -> dict[str, Version]:
        return {number: v for number, v in package.versions.items() if v.shown_at <= self.now()}

    def _tags(self, package: Package) -> dict[str, str]:
        latest: dict[str, str | None] = {tag: number for shown, tag, number in package.tags if shown <= self.now()}
        return {tag: number for tag, number in latest.items() if number is not None}

    # trusted publishing

    @route("POST", "/-/npm/v1/oidc/token/exchange/package/{name}", "exchange")
    def exchange(self, request: Request) -> Response:
        """A token for this package alone. A refusal is 404, whatever is wrong.

        Whether npm accepts one identity twice is not documented; here success spends it, so nobody relies on that.
        """
        name = request.params["name"]
        try:
            claims = verify(_bearer(request), self.issuer, self.audience)
        except TokenInvalid:
            raise refusal(404, "OIDC token exchange error - package not found") from None
        with self.lock:
            publisher = self._publishers.get(name)
            if publisher is None or not publisher.matches(claims) or str(claims["jti"]) in self._spent:
                raise refusal(404, "OIDC token exchange error - package not found")
            self._spent.add(str(claims["jti"]))
            token = f"npm_{secrets.token_urlsafe(27)}"
            created = self.now()
            self._grants[token] = Grant(name, created + TOKEN_LIFE)
        return Response.json(
            {
                "token_type": "oidc",
                "token": token,
                "created": _timestamp(created),
                "expires": _timestamp(created + TOKEN_LIFE),
            },
            status=201,
        )


def _bearer(request: Request) -> str:
    return request.header("authorization").removeprefix("Bearer ")


def _served_as(version: Version, request: Request) -> bool:
    return str(version.manifest["dist"]["tarball"]).endswith(f"/-/{request.params['filename']}")


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
