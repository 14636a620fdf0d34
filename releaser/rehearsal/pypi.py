"""The Python index of the rehearsal world: upload, simple index, JSON, trusted publishing, provenance.

Outcomes and wording follow warehouse: docs/user/api/{upload,index-api,json,integrity}.md, forklift/legacy.py,
oidc/views.py, oidc/models/github.py. State lives in memory, bytes in ``root/files``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import Version

from releaser.errors import ConfigError
from releaser.rehearsal import pypi_pages, pypi_upload
from releaser.rehearsal.issuer import CLAIMS, Claims, Issuer, TokenInvalid, verify
from releaser.rehearsal.pypi_pages import File, Project, Release
from releaser.rehearsal.pypi_upload import Upload, refusal
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, Service, route

TOKEN_LIFE = 900
OPEN_FOR = 14 * 86400  # a release takes new files for 14 days after its first


@dataclass(frozen=True, slots=True)
class Publisher:
    """A trusted publisher; pending while its project does not exist."""

    package: str
    repository: str
    workflow: str
    environment: str | None = None
    owner_id: str = CLAIMS["repository_owner_id"]

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.repository.lower(), self.workflow, (self.environment or "").lower()

    def matches(self, claims: Claims) -> bool:
        """Whether *claims* come from this publisher, whose workflow is the *called* one; no environment accepts any."""
        path, _, ref = str(claims.get("job_workflow_ref")).partition("@")
        repository, _, workflow = path.partition("/.github/workflows/")
        environment = str(claims.get("environment", "")).lower()
        return (
            {str(claims.get("repository")).lower(), repository.lower()} == {self.repository.lower()}
            and str(claims.get("repository_owner_id")) == self.owner_id
            and workflow == self.workflow
            and ref in (claims.get("ref"), claims.get("sha"))
            and claims.get("event_name") != "pull_request_target"
            and (not self.environment or self.environment.lower() == environment)
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows; ``projects`` None means a user's, which may also create projects."""

    projects: frozenset[str] | None = None
    publisher: Publisher | None = None
    expires: float = float("inf")


class PyPI(Service):
    """The index. ``now`` is its clock; what is uploaded shows in simple pages and JSON ``index_lag`` seconds later.

    ``read_only`` and ``archived`` (normalised names) refuse uploads; ``user_token`` is an API token of a person
    who owns every project. A file is downloadable from ``/files/`` as soon as it is stored.
    """

    name: ClassVar[str] = "pypi"
    audience: ClassVar[str] = "pypi"
    file_limit: int = 100 << 20

    def __init__(self, root: Path, journal: Journal, faults: Faults, issuer: Issuer) -> None:
        super().__init__(root, journal, faults)
        self.issuer = issuer
        self.now: Callable[[], float] = time.time
        self.index_lag = 0.0
        self.oidc_enabled = True
        self.read_only = False
        self.archived: set[str] = set()
        self.user_token = f"pypi-{secrets.token_urlsafe(32)}"
        self._grants = {self.user_token: Grant()}
        self._spent: set[str] = set()
        self._publishers: list[Publisher] = []
        self._pending: list[Publisher] = []
        self._projects: dict[str, Project] = {}
        self._burned: set[str] = set()
        self._serial = 0
        self._files = root / "files"
        self._files.mkdir(exist_ok=True)

    def add_package(self, name: str) -> None:
        """Let *name* exist, without files."""
        with self.lock:
            self._projects.setdefault(canonicalize_name(name), Project(name, shown_at=float("-inf")))

    def trust(
        self,
        package: str,
        repository: str,
        workflow: str,
        environment: str | None = None,
        owner_id: str = CLAIMS["repository_owner_id"],
    ) -> Publisher:
        """Register a trusted publisher, pending when *package* does not exist.

        One identity may be pending for one project only (warehouse#16920, unique constraint of
        PendingGitHubPublisher); raises ConfigError for a second.
        """
        publisher = Publisher(package, repository, workflow, environment, owner_id)
        with self.lock:
            if canonicalize_name(package) in self._projects:
                self._publishers.append(publisher)
                return publisher
            for other in self._pending:
                if other.identity == publisher.identity:
                    raise ConfigError(
                        "pending-publisher-taken",
                        "this workflow and environment are already the pending publisher of another project",
                        object=package,
                        found=other.package,
                        wanted="one pending project per workflow and environment",
                        hint=f"create {package} first, or give it an environment of its own",
                    )
            self._pending.append(publisher)
        return publisher

    def delete_file(self, filename: str) -> None:
        """Delete as a maintainer does on the web site: the name can never be used again."""
        with self.lock:
            for project in self._projects.values():
                project.files = [f for f in project.files if f.filename != filename]
            self._burned.add(filename)
            (self._files / filename).unlink(missing_ok=True)

    def injected(self, status: int) -> Response:
        return pypi_upload.answer(status, "injected fault")

    # upload

    @route("POST", "/legacy", "upload-redirect")
    def upload_redirect(self, _request: Request) -> Response:
        return Response(308, headers={"Location": f"{self.url}/legacy/"})

    @route("POST", "/legacy/", "upload")
    def upload(self, request: Request) -> Response:
        grant = self._authenticate(request)
        with tempfile.TemporaryDirectory(dir=self.root) as scratch:
            self._accept(pypi_upload.receive(request, Path(scratch) / "content"), grant)
        return Response(content_type=pypi_pages.PLAIN_TYPE)

    def _authenticate(self, request: Request) -> Grant:
        try:
            user, _, password = base64.b64decode(request.header("authorization").removeprefix("Basic ")).partition(b":")
        except binascii.Error:
            user = password = b""
        grant = self._grants.get(password.decode("latin-1"))
        if user != b"__token__" or grant is None or grant.expires <= self.now():
            raise refusal(403, "Invalid or non-existent authentication information.")
        if self.read_only:
            raise refusal(403, "Read-only mode: Uploads are temporarily disabled.")
        return grant

    def _accept(self, upload: Upload, grant: Grant) -> None:
        """Store *upload* or refuse it, in the order of forklift/legacy.py."""
        version = pypi_upload.check_form(upload)
        name = canonicalize_name(upload.text("name"))
        with self.lock:
            self._check_permission(name, grant)
            pypi_upload.check_filename(upload, version)
            if upload.size > self.file_limit:
                raise refusal(400, f"File too large. Limit for project {name!r} is {self.file_limit >> 20} MB.")
            pypi_upload.check_digests(upload)
            if self._is_duplicate(upload):
                return
            project = self._projects.get(name) or Project(upload.text("name"), self.now() + self.index_lag)
            release = project.releases.get(canonicalize_version(version))
            self._check_release(project, release, upload)
            metadata = pypi_upload.check_archive(upload)
            attestations = pypi_upload.check_attestations(upload, grant.publisher is not None)
            provenance = _provenance(attestations, grant.publisher)
            if release is None:
                release = Release(str(version), self.now(), upload.text("requires_python"), upload.text("summary"))
            project.releases[canonicalize_version(version)] = release
            self._projects[name] = project
            self._store(upload, project, release, metadata, provenance)

    def _check_permission(self, name: str, grant: Grant) -> None:
        if grant.projects is not None and name not in self._projects:
            raise refusal(400, "Non-user identities cannot create new projects.")
        if grant.projects is not None and name not in grant.projects:
            raise refusal(403, f"Invalid API Token: OIDC scoped token is not valid for project {name!r}")
        if name in self.archived:
            raise refusal(403, f"Project {name!r} has been archived, and cannot accept new uploads.")

    def _is_duplicate(self, upload: Upload) -> bool:
        """True for the same bytes under the same name; refuses either without the other."""
        for known in (f for p in self._projects.values() for f in p.files):
            same_bytes = known.digests == upload.digests
            if known.filename == upload.filename and same_bytes:
                return True
            if known.filename == upload.filename or same_bytes:
                blake = upload.digests["blake2b_256"]
                raise refusal(400, f"File already exists ({upload.filename!r}, with blake2_256 hash {blake!r}).")
        if upload.filename in self._burned:
            raise refusal(
                400, "This filename was previously used by a file that has since been deleted. Use a different version."
            )
        return False

    def _check_release(self, project: Project, release: Release | None, upload: Upload) -> None:
        if release is None:
            return
        if release.created + OPEN_FOR < self.now():
            raise refusal(400, "Uploading new files to releases older than 14 days is not allowed.")
        kinds = {f.packagetype for f in project.files if f.version == release.version}
        if upload.text("filetype") == "sdist" and "sdist" in kinds:
            raise refusal(400, "Only one sdist may be uploaded per release.")

    def _store(
        self,
        upload: Upload,
        project: Project,
        release: Release,
        metadata: bytes | None,
        provenance: dict[str, Any] | None,
    ) -> None:
        upload.path.replace(self._files / upload.filename)
        if metadata is not None:
            (self._files / f"{upload.filename}.metadata").write_bytes(metadata)
        self._serial += 1
        project.serial = self._serial
        project.files.append(
            File(
                filename=upload.filename,
                version=release.version,
                packagetype=upload.text("filetype"),
                size=upload.size,
                digests=upload.digests,
                requires_python=release.requires_python,
                metadata_sha256=None if metadata is None else hashlib.sha256(metadata).hexdigest(),
                uploaded=self.now(),
                shown_at=self.now() + self.index_lag,
                provenance=provenance,
            )
        )

    # reading

    @route("GET", "/simple/", "simple-index")
    def simple_index(self, request: Request) -> Response:
        with self.lock:
            names = sorted(name for name, p in self._projects.items() if p.shown_at <= self.now())
            serial = self._serial
        return pypi_pages.negotiate(
            request,
            {"meta": pypi_pages.meta(serial), "projects": [{"name": n} for n in names]},
            "".join(f'<a href="/simple/{n}/">{n}</a>\n' for n in names),
        )

    @route("GET", "/simple/{project}", "simple-redirect")
    def simple_redirect(self, request: Request) -> Response:
        return Response(301, headers={"Location": f"/simple/{canonicalize_name(request.params['project'])}/"})

    @route("GET", "/simple/{project}/", "simple")
    def simple(self, request: Request) -> Response:
        name = canonicalize_name(request.params["project"])
        if name != request.params["project"]:
            return self.simple_redirect(request)
        project, files = self._shown(name)
        entries = [pypi_pages.simple_entry(self.url, name, f) for f in files]
        document = {
            "meta": pypi_pages.meta(project.serial),
            "name": name,
            "versions": sorted({f.version for f in files}, key=Version),
            "files": entries,
        }
        return pypi_pages.negotiate(request, document, "".join(map(pypi_pages.anchor, entries)))

    @route("GET", "/files/{filename}", "download")
    def download(self, request: Request) -> Response:
        path = self._files / request.params["filename"]
        if path.parent != self._files or not path.is_file():
            return pypi_upload.answer(404, "Not Found")
        return Response(body=path, content_type="application/octet-stream")

    @route("GET", "/pypi/{project}/json", "json")
    def project_json(self, request: Request) -> Response:
        project, files = self._shown(request.params["project"])
        versions = sorted({f.version for f in files}, key=lambda v: (not Version(v).is_prerelease, Version(v)))
        if not versions:
            raise self._absent()
        return pypi_pages.json_page(self.url, request, project, versions[-1], files, releases=True)

    @route("GET", "/pypi/{project}/{version}/json", "json-version")
    def version_json(self, request: Request) -> Response:
        project, files = self._shown(request.params["project"])
        wanted = canonicalize_version(request.params["version"])
        versions = [f.version for f in files if canonicalize_version(f.version) == wanted]
        if not versions:
            raise self._absent()
        return pypi_pages.json_page(self.url, request, project, versions[0], files)

    @route("GET", "/integrity/{project}/{version}/{filename}/provenance", "provenance")
    def provenance(self, request: Request) -> Response:
        """docs/user/api/integrity.md: 404 for a file without attestations as for one that does not exist."""
        _project, files = self._shown(request.params["project"])
        for known in files:
            if known.filename == request.params["filename"] and known.provenance:
                return Response.json(known.provenance)
        raise self._absent()

    def _absent(self) -> Refused:
        return Refused(Response.json({"message": "Not Found"}, status=404))

    def _shown(self, name: str) -> tuple[Project, list[File]]:
        """The project and the files of it that readers see by now; refuses with 404 while it does not show."""
        with self.lock:
            project = self._projects.get(canonicalize_name(name))
            if project is None or project.shown_at > self.now():
                raise self._absent()
            return project, [f for f in project.files if f.shown_at <= self.now()]

    # trusted publishing

    @route("GET", "/_/oidc/audience", "audience")
    def oidc_audience(self, _request: Request) -> Response:
        if not self.oidc_enabled:
            return Response.json({"message": "Trusted publishing functionality not enabled"}, status=403)
        return Response.json({"audience": self.audience})

    @route("POST", "/_/oidc/mint-token", "mint-token")
    def mint_token(self, request: Request) -> Response:
        """A token for every project of the publisher; the identity's ``jti`` is spent by success alone."""
        if not self.oidc_enabled:
            raise _unminted("not-enabled", "GitHub-based trusted publishing functionality not enabled")
        jwt = _token_field(request)
        try:
            claims = verify(jwt, self.issuer, self.audience)
        except TokenInvalid:
            raise _unminted("invalid-token", "malformed or invalid token") from None
        with self.lock:
            if str(claims["jti"]) in self._spent:
                raise _unminted("invalid-reuse-token", "invalid token: already used")
            for pending in _most_specific(self._pending, claims)[:1]:
                self._reify(pending)
            publishers = _most_specific(self._publishers, claims)
            if not publishers:
                raise _unminted("invalid-publisher", "valid token, but no corresponding publisher")
            token = f"pypi-{secrets.token_urlsafe(48)}"
            expires = self.now() + TOKEN_LIFE
            projects = frozenset(canonicalize_name(p.package) for p in publishers)
            self._grants[token] = Grant(projects, publishers[0], expires)
            self._spent.add(str(claims["jti"]))
        return Response.json({"success": True, "token": token, "expires": int(expires)})

    def _reify(self, pending: Publisher) -> None:
        """Create the project *pending* waits for; refuses when it has come into being otherwise."""
        self._pending.remove(pending)
        if canonicalize_name(pending.package) in self._projects:
            raise _unminted("invalid-pending-publisher", "valid token, but project already exists")
        self._projects[canonicalize_name(pending.package)] = Project(pending.package, self.now() + self.index_lag)
        self._publishers.append(pending)

    @route("POST", "/_/oidc/burn-token", "burn-token")
    def burn_token(self, request: Request) -> Response:
        """Forget a minted token, known or not; ``uv publish`` asks for this after an upload."""
        token = _token_field(request)
        with self.lock:
            if token != self.user_token:
                self._grants.pop(token, None)
        return Response.json({})


def _most_specific(publishers: list[Publisher], claims: Claims) -> list[Publisher]:
    """Those that match, and of them those that name the environment when any does."""
    matching = [p for p in publishers if p.matches(claims)]
    return [p for p in matching if p.environment] or matching


def _token_field(request: Request) -> str:
    try:
        token = request.json()["token"]
    except (ValueError, LookupError, TypeError):
        token = None
    if not isinstance(token, str):
        raise _unminted("invalid-payload", "token: Input should be a valid string")
    return token


def _unminted(code: str, description: str) -> Refused:
    errors = [{"code": code, "description": description}]
    return Refused(Response.json({"message": "Token request failed", "errors": errors}, status=422))


def _provenance(attestations: list[Any], publisher: Publisher | None) -> dict[str, Any] | None:
    """The provenance object of PEP 740, None without attestations."""
    if not attestations or publisher is None:
        return None
    who = {
        "kind": "GitHub",
        "repository": publisher.repository,
        "workflow": publisher.workflow,
        "environment": publisher.environment,
    }
    return {"version": 1, "attestation_bundles": [{"publisher": who, "attestations": attestations}]}
