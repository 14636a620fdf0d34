"""What the rehearsal's npm holds and shows: packuments, versions, tarballs, dist-tags, attestations; and to whom.

Shapes follow npm/registry docs/responses/package-metadata.md and npm/api-documentation api/shared-components.yaml.
State lives in memory, tarballs in ``root/tarballs``.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from releaser.rehearsal.npm_document import Document, refusal
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, Service, revalidate, route

MAINTAINER = "maintainer"
SHORT_TYPE = "application/vnd.npm.install-v1+json"
DEPENDENCIES = {"dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta"}
PLATFORM = {"engines", "os", "cpu", "libc"}
CONTENTS = {"name", "version", "dist", "bundleDependencies", "bin", "directories", "deprecated"}
SHORT_FIELDS = CONTENTS | DEPENDENCIES | PLATFORM
INSTALL_SCRIPTS = frozenset({"preinstall", "install", "postinstall"})
PROVENANCE = "https://slsa.dev/provenance/v1"


@dataclass(frozen=True, slots=True)
class Grant:
    """A minted token: one package, and what its trusted publisher permits."""

    package: str
    permissions: frozenset[str]
    expires: float


@dataclass(slots=True)
class Version:
    """One published version; readers see it from ``shown_at`` on."""

    manifest: dict[str, Any]
    filename: str
    created: float
    shown_at: float
    provenance: dict[str, Any] | None


@dataclass(slots=True)
class Package:
    """``tags`` is the history of dist-tags, as (shown at, tag, version or None when removed).

    ``revision`` is new after every change. ``burned`` are the versions that were unpublished, ``emptied`` is when
    the last of them was.
    """

    name: str
    restricted: bool = False
    versions: dict[str, Version] = field(default_factory=dict)
    tags: list[tuple[float, str, str | None]] = field(default_factory=list)
    burned: set[str] = field(default_factory=set)
    emptied: float = float("-inf")
    changes: int = 0
    revision: str = ""

    def changed(self) -> None:
        """Take a new ``revision``, as CouchDB numbers them."""
        self.changes += 1
        self.revision = f"{self.changes}-{secrets.token_hex(16)}"


class Packages(Service):
    """The read side. ``now`` is the clock; a publication shows in packuments ``index_lag`` seconds later.

    ``user_token`` is the token of a person who owns every package.
    """

    name: ClassVar[str] = "npm"

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self.now: Callable[[], float] = time.time
        self.index_lag = 0.0
        self.user_token = f"npm_{secrets.token_urlsafe(27)}"
        self._grants: dict[str, Grant] = {}
        self._packages: dict[str, Package] = {}
        self._tarballs = root / "tarballs"
        self._tarballs.mkdir(exist_ok=True)

    def injected(self, status: int) -> Response:
        return Response.json({"error": "injected fault"}, status=status)

    def not_found(self, _request: Request) -> Response:
        return Response.json({"error": "Not found"}, status=404)

    # who asks

    def _is_person(self, request: Request) -> bool:
        return hmac.compare_digest(bearer(request).encode(), self.user_token.encode())

    def _grant(self, request: Request) -> Grant | None:
        """The minted token that *request* shows, while it lives."""
        grant = self._grants.get(bearer(request))
        return grant if grant and grant.expires > self.now() else None

    # reading

    @route("GET", "/-/ping", "ping")
    def ping(self, _request: Request) -> Response:
        return Response.json({})

    @route("GET", "/-/whoami", "whoami")
    def whoami(self, request: Request) -> Response:
        if not self._is_person(request):
            raise refusal(401, "Unauthorized")
        return Response.json({"username": MAINTAINER})

    @route("GET", "/{name}", "packument")
    def packument(self, request: Request) -> Response:
        """The package's document, short when ``Accept`` asks for the installer's form."""
        return self._packument(request, request.params["name"])

    def _packument(self, request: Request, name: str) -> Response:
        with self.lock:
            package = self._package(request, name)
            shown = self._shown(package)
            tags = self._tags(package)
        times = {v: timestamp(version.created) for v, version in shown.items()}
        created = timestamp(min(v.created for v in shown.values()))
        modified = timestamp(max(v.created for v in shown.values()))
        manifests = {v: version.manifest for v, version in shown.items()}
        document: dict[str, Any]
        if SHORT_TYPE in request.header("accept"):
            short = {v: _short(manifest) for v, manifest in manifests.items()}
            document = {"name": name, "modified": modified, "dist-tags": tags, "versions": short}
            content_type = SHORT_TYPE
        else:
            time_field = {"created": created, "modified": modified, **times}
            document = {"_id": name, "_rev": package.revision, "name": name, "dist-tags": tags}
            document |= {"versions": manifests, "time": time_field}
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
            package = self._package(request, name)
            shown = self._shown(package)
            number = self._tags(package).get(wanted, wanted)
        if number not in shown:
            raise refusal(404, f"version not found: {wanted}")
        return revalidate(request, Response.json(shown[number].manifest))

    @route("GET", "/{name}/-/{filename}", "tarball")
    @route("GET", "/{scope}/{name}/-/{filename}", "tarball-scoped")
    def tarball(self, request: Request) -> Response:
        """The archive, there as soon as it is published; the scope may come escaped or as a segment of its own."""
        with self.lock:
            package = self._packages.get(full_name(request))
            found = package and self._may_read(request, package) and _served_as(package, request.params["filename"])
        if not found:
            raise absent()
        return Response(body=self._tarballs / found.filename, content_type="application/octet-stream")

    @route("GET", "/-/package/{name}/dist-tags", "dist-tags")
    def dist_tags(self, request: Request) -> Response:
        with self.lock:
            return Response.json(self._tags(self._package(request, request.params["name"])))

    @route("GET", "/-/npm/v1/attestations/{spec}", "attestations")
    def attestations(self, request: Request) -> Response:
        """The provenance that came with ``name@version``; 404 for a version without."""
        name, _, number = request.params["spec"].rpartition("@")
        with self.lock:
            found = self._shown(self._package(request, name)).get(number)
        if found is None or found.provenance is None:
            raise absent()
        return Response.json({"attestations": [{"predicateType": PROVENANCE, "bundle": found.provenance}]})

    def _package(self, request: Request, name: str) -> Package:
        """The package, once any version of it shows and if it shows to who asks; 404 otherwise."""
        package = self._packages.get(name)
        if package is None or not self._may_read(request, package) or not self._shown(package):
            raise absent()
        return package

    def _may_read(self, request: Request, package: Package) -> bool:
        return not package.restricted or self._is_person(request)

    def _shown(self, package: Package) -> dict[str, Version]:
        return {number: v for number, v in package.versions.items() if v.shown_at <= self.now()}

    def _tags(self, package: Package) -> dict[str, str]:
        latest: dict[str, str | None] = {tag: number for shown, tag, number in package.tags if shown <= self.now()}
        return {tag: number for tag, number in latest.items() if number is not None}

    # storing

    def _store(self, document: Document, *, created: float, shown_at: float) -> None:
        package = self._packages.setdefault(document.name, Package(document.name))
        base = f"{document.name.rpartition('/')[2]}-{document.version}.tgz"
        filename = f"{quote(document.name, safe='')}-{document.version}.tgz"
        (self._tarballs / filename).write_bytes(document.tarball)
        dist = {**document.dist, "tarball": f"{self.url}/{document.name}/-/{base}"}
        if document.provenance is not None:
            spec = f"{document.name.replace('/', '%2f')}@{document.version}"
            url = f"{self.url}/-/npm/v1/attestations/{spec}"
            dist["attestations"] = {"url": url, "provenance": {"predicateType": PROVENANCE}}
        manifest = {**document.manifest, "_id": f"{document.name}@{document.version}", "dist": dist}
        package.versions[document.version] = Version(manifest, filename, created, shown_at, document.provenance)
        package.tags.extend((shown_at, tag, version) for tag, version in document.tags.items())
        if document.restricted is not None:
            package.restricted = document.restricted
        package.changed()


def absent() -> Refused:
    """npm's answer to what is not there, and to whoever may not know that it is."""
    return refusal(404, "Not found")


def bearer(request: Request) -> str:
    """The token of *request*; empty without one."""
    scheme, _, token = request.header("authorization").partition(" ")
    return token if scheme == "Bearer" else ""


def full_name(request: Request) -> str:
    """The package that a tarball's address names, its scope a segment of its own or not."""
    scope, name = request.params.get("scope"), request.params["name"]
    return f"{scope}/{name}" if scope else name


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _short(manifest: dict[str, Any]) -> dict[str, Any]:
    """What an installer needs of *manifest*."""
    short = {key: value for key, value in manifest.items() if key in SHORT_FIELDS}
    return short | ({"hasInstallScript": True} if INSTALL_SCRIPTS & set(manifest.get("scripts") or ()) else {})


def _served_as(package: Package, filename: str) -> Version | None:
    served = (v for v in package.versions.values() if v.manifest["dist"]["tarball"].endswith(f"/-/{filename}"))
    return next(served, None)
