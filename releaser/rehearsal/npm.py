"""The npm registry of the rehearsal world: publishing, dist-tags, unpublishing, trusted publishing.

Outcomes and wording follow npm/cli workspaces/libnpmpublish/lib/{publish,unpublish,provenance}.js and
lib/utils/oidc.js, npm/api-documentation api/registry.npmjs.com/{publish,oidc,trust}.yaml, and npm/documentation
securing-your-code/trusted-publishers.mdx and policies/unpublish.mdx. It does not say whether a package is public, so
that npm, asked to publish from a public repository, does not go to Sigstore. A publish document is JSON with the
tarball in it, so it is held in memory once.
"""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from releaser.errors import ConfigError
from releaser.rehearsal import npm_document
from releaser.rehearsal.issuer import CLAIMS, Claims, Issuer, TokenInvalid, verify
from releaser.rehearsal.npm_document import Document, refusal
from releaser.rehearsal.npm_packages import Grant, Package, absent, bearer, full_name, timestamp
from releaser.rehearsal.npm_stage import Stage, denied
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, route

PUBLISH = "createPackage"
"""The permission of a trusted publisher that may publish at once."""

TOKEN_LIFE = 3600
NAME_REST = 86400


@dataclass(frozen=True, slots=True)
class Publisher:
    """The trusted publisher of a package. npm compares the owner's name, so ``owner_id`` is kept and not compared."""

    package: str
    repository: str
    workflow: str
    environment: str | None = None
    owner_id: str = CLAIMS["repository_owner_id"]
    permissions: frozenset[str] = frozenset({PUBLISH})

    def matches(self, claims: Claims) -> bool:
        """Exact, case-sensitive comparison; the file is the calling workflow's; hosted runners only."""
        path = str(claims.get("workflow_ref")).partition("@")[0]
        return (
            claims.get("repository") == self.repository
            and path == f"{self.repository}/.github/workflows/{self.workflow}"
            and (not self.environment or claims.get("environment") == self.environment)
            and claims.get("runner_environment") == "github-hosted"
        )


class Npm(Stage):
    """The registry. The audience is ``npm:127.0.0.1``: the CLI asks for ``npm:`` and the host name without its port.

    A publish document has at most ``document_limit`` bytes; npm documents no figure.
    """

    audience: ClassVar[str] = "npm:127.0.0.1"
    document_limit: int = 300 << 20

    def __init__(self, root: Path, journal: Journal, faults: Faults, issuer: Issuer) -> None:
        super().__init__(root, journal, faults)
        self.issuer = issuer
        self._spent: set[str] = set()
        self._publishers: dict[str, Publisher] = {}

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
            self._store(document, created=self.now() - 365 * 86400, shown_at=float("-inf"))

    def trust(
        self,
        package: str,
        repository: str,
        workflow: str,
        environment: str | None = None,
        owner_id: str = CLAIMS["repository_owner_id"],
        permissions: frozenset[str] = frozenset({PUBLISH}),
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
            publisher = Publisher(package, repository, workflow, environment, owner_id, permissions)
            self._publishers[package] = publisher
        return publisher

    # publishing

    @route("PUT", "/{name}", "publish")
    def publish(self, request: Request) -> Response:
        name = request.params["name"]
        grant = self._authenticate(request)
        if grant is not None:
            self._check_permission(name, grant)
        if request.length > self.document_limit:
            raise refusal(413, "Payload Too Large")
        document = npm_document.parse(request, name)
        with self.lock:
            if self._is_taken(name, document.version):
                message = f"You cannot publish over the previously published versions: {document.version}."
                raise refusal(403, message)
            package = self._packages.get(name)
            if package and package.emptied + NAME_REST > self.now():
                raise refusal(403, f"{name} cannot be republished until 24 hours have passed.")
            npm_document.check_provenance(document)
            self._store(document, created=self.now(), shown_at=self.now() + self.index_lag)
        return Response.json({"success": True})

    def _authenticate(self, request: Request) -> Grant | None:
        """The grant of a minted token, None for the person's own; 404 for any other, as if nothing were there."""
        if not bearer(request):
            raise refusal(401, 'Missing "Bearer" header.')
        if self._is_person(request):
            return None
        grant = self._grant(request)
        if grant is None:
            raise absent()
        return grant

    def _check_permission(self, name: str, grant: Grant) -> None:
        with self.lock:
            exists = name in self._packages
        if grant.package != name or not exists:
            raise absent()
        if PUBLISH not in grant.permissions:
            raise denied()

    @route("PUT", "/-/package/{name}/dist-tags/{tag}", "dist-tag-add")
    def dist_tag_add(self, request: Request) -> Response:
        version = request.json()
        with self.lock:
            package = self._person_package(request)
            if version not in package.versions:
                raise refusal(404, f"version not found: {version}")
            self._tag(package, request.params["tag"], version)
            return Response.json(self._tags(package), status=201)

    @route("DELETE", "/-/package/{name}/dist-tags/{tag}", "dist-tag-remove")
    def dist_tag_remove(self, request: Request) -> Response:
        with self.lock:
            package = self._person_package(request)
            self._tag(package, request.params["tag"], None)
            return Response.json(self._tags(package))

    def _tag(self, package: Package, tag: str, version: str | None) -> None:
        package.tags.append((self.now(), tag, version))
        package.changed()

    # unpublishing

    @route("PUT", "/{name}/-rev/{revision}", "unpublish")
    def unpublish(self, request: Request) -> Response:
        """Keep of a package what the document that is sent still holds; what goes is never published again."""
        document = request.json()
        with self.lock:
            package = self._revised(request)
            self._remove(package, set(package.versions) - set(document["versions"]))
            for tag, version in self._tags(package).items():
                if document["dist-tags"].get(tag) != version:
                    self._tag(package, tag, document["dist-tags"].get(tag))
        return Response.json({"success": True})

    @route("DELETE", "/{name}/-rev/{revision}", "unpublish-all")
    def unpublish_all(self, request: Request) -> Response:
        with self.lock:
            package = self._revised(request)
            self._remove(package, set(package.versions))
            package.tags.clear()
            package.emptied = self.now()
        return Response.json({"success": True})

    @route("DELETE", "/{name}/-/{filename}/-rev/{revision}", "tarball-remove")
    @route("DELETE", "/{scope}/{name}/-/{filename}/-rev/{revision}", "tarball-remove-scoped")
    def tarball_remove(self, request: Request) -> Response:
        """Nothing is left to do: the tarball went with its version."""
        with self.lock:
            self._revised(request)
        return Response.json({"success": True})

    def _remove(self, package: Package, versions: set[str]) -> None:
        for version in versions:
            del package.versions[version]
        package.burned |= versions
        package.changed()

    def _revised(self, request: Request) -> Package:
        """The package, for a person who knows its newest revision; 409 for one who knows an older."""
        package = self._person_package(request)
        if request.params["revision"] != package.revision:
            raise refusal(409, "Document update conflict.")
        return package

    def _person_package(self, request: Request) -> Package:
        """Persons only: a minted token publishes and does nothing else."""
        if self._authenticate(request) is not None:
            raise denied()
        return self._package(request, full_name(request))

    # trusted publishing

    @route("POST", "/-/npm/v1/oidc/token/exchange/package/{name}", "exchange")
    def exchange(self, request: Request) -> Response:
        """A token for this package alone: 401 for what is no identity, 404 whatever else is wrong.

        Whether npm accepts one identity twice is not documented; here success spends it, so nobody relies on that.
        """
        name = request.params["name"]
        try:
            claims = verify(bearer(request), self.issuer, self.audience)
        except TokenInvalid:
            raise _unexchanged(401, "unauthorized") from None
        with self.lock:
            publisher = self._publishers.get(name)
            if publisher is None or not publisher.matches(claims) or str(claims["jti"]) in self._spent:
                raise _unexchanged(404, "package not found")
            self._spent.add(str(claims["jti"]))
            token = f"npm_{secrets.token_urlsafe(27)}"
            created = self.now()
            self._grants[token] = Grant(name, publisher.permissions, created + TOKEN_LIFE)
        times = {"created": timestamp(created), "expires": timestamp(created + TOKEN_LIFE)}
        return Response.json({"token_type": "oidc", "token": token, **times}, status=201)


def _unexchanged(status: int, why: str) -> Refused:
    return refusal(status, f"OIDC token exchange error - {why}")
