"""The JavaScript registry: its rules, its packument, its trusted publishing, its publish document.

npm/cli lib/utils/oidc.js, lib/commands/publish.js, workspaces/libnpmpublish/lib/publish.js;
validate-npm-package-name; npm registry docs/responses/package-metadata.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field

from releaser.adapters.body import Base64, Body
from releaser.adapters.endpoints import Endpoints
from releaser.adapters.http import Client
from releaser.adapters.oidc import exchange_refused
from releaser.adapters.redact import conceal, plain
from releaser.adapters.reply import Reply
from releaser.engine.ports import Credential, Identity, Receipt, Sent
from releaser.errors import ExternalError
from releaser.model.artifact import Artifact, Inspected, Kind
from releaser.model.facts import Listing, Objection
from releaser.model.manifest import PlannedPublication
from releaser.model.spelling import Ecosystem
from releaser.model.terms import Terms

SIZE_LIMIT: Final = 200 << 20  # bytes; undocumented, 413 was seen from about here on
TOKEN_LIFE = 3600.0  # seconds
PACKUMENT_LIMIT = 64 << 20  # bytes; full packuments of old packages are large

_NOT_FOUND = "npm answers 404 to whoever may not publish the package"
_NAME = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*")
_FULL, _SHORT = "application/json", "application/vnd.npm.install-v1+json"
_MEMBER_LIMIT = 1 << 20  # bytes of package.json or readme
_UNREADABLE = (
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


class _Dist(BaseModel):
    integrity: str = ""


class _Version(BaseModel):
    dist: _Dist


class _Packument(BaseModel):
    """``/{package}``, in its full or its short form."""

    name: str
    versions: dict[str, _Version]


class _Minted(BaseModel):
    token: str = Field(pattern=r"^[\x21-\x7e]+$")
    expires: str | float | None = None


class Npm:
    """`Registry` for npm packages."""

    name: str = "npm"
    terms = Terms(Ecosystem.NPM, frozenset({Kind.NPM}))

    def __init__(self, endpoints: Endpoints, client: Client) -> None:
        self._endpoints = endpoints
        self._client = client

    def objections(self, publication: str, package: str, artifact: Inspected) -> Iterator[Objection]:
        file, inside = artifact.artifact, artifact.contents

        def objection(found: str, wanted: str, hint: str = "edit package.json and pack it again") -> Objection:
            return Objection(publication, file.name, found, wanted, hint)

        if file.kind not in self.terms.kinds:
            yield objection(f"a file of kind {file.kind}", "an npm package (.tgz)", "change `files`")
            return
        if not 0 < file.size <= SIZE_LIMIT:
            yield objection(f"{file.size} bytes", f"1 to {SIZE_LIMIT} bytes", "leave files out with `files`")
        if (
            not _NAME.fullmatch(package)
            or len(package) > 214
            or package.rpartition("/")[2] in ("node_modules", "favicon.ico")
        ):
            yield objection(
                f"the package name {package!a}",
                "lower-case letters, digits, `-`, `.`, `_`, `~`, beginning with none of `-._`, at most 214",
                "change `package`",
            )
        if inside.name != package:
            yield objection(inside.name or "no name inside", package, "name the right files or the right `package`")
        if inside.metadata.get("private", "").lower() == "true":
            yield objection("private: true", "a package that may be published", "remove `private` from package.json")
        if inside.metadata.get("access") == "restricted":
            yield objection("publishConfig.access: restricted", "a public package, which everybody can read back")

    def file_name(self, package: str, version: str, artifact: Artifact) -> str:  # noqa: ARG002 - the port's signature
        return f"{package.rpartition('/')[2]}-{version}.tgz"

    def observe(self, package: str, version: str) -> Listing:
        return self._listing(package, version, _FULL)

    def visible(self, package: str, version: str) -> Listing:
        """The short packument, which is what installers read."""
        return self._listing(package, version, _SHORT)

    def authorize(self, package: str, identity: Identity) -> Credential:
        """A token for *package* alone, about an hour long."""
        jwt = identity.token(f"npm:{urlsplit(self._endpoints.npm.registry).hostname}")
        reply = self._client.request(
            "POST",
            f"{self._endpoints.npm.registry}/-/npm/v1/oidc/token/exchange/package/{_escaped(package)}",
            headers={"Authorization": f"Bearer {jwt}", "Accept": "application/json"},
        )
        if reply.status not in (200, 201):
            raise exchange_refused(
                "npm",
                package,
                reply,
                jwt,
                f"{_NOT_FOUND}: publish the first version of {package} by hand, then register this repository, "
                "workflow and environment, letter by letter, in the package's settings, Trusted Publisher; hosted "
                "runners only",
            )
        minted = reply.read(_Minted)
        return Credential(conceal(minted.token), _expiry(minted.expires, self._client.clock.now()))

    def discard(self, credential: Credential) -> None:
        """Nothing: tokens of trusted publishers end by themselves."""

    def publish(
        self,
        publication: PlannedPublication,
        artifact: Artifact,
        file: Path,
        credential: Credential,
        progress: Callable[[int], None],
    ) -> Receipt:
        package, version = publication.package, publication.version
        try:
            packument = self._packument(package, _FULL)
        except ExternalError as error:
            return Receipt(Sent.LATER, f"the dist-tag cannot be chosen, nothing was sent: {error.found}")
        tag = dist_tag(version, packument.versions if packument else ())
        try:
            content = self._document(package, version, tag, file, progress)
        except _UNREADABLE as exc:
            return Receipt(Sent.REFUSED, f"{artifact.name} has no usable package.json: {plain(str(exc))}")
        return self._client.write(
            "PUT",
            f"{self._endpoints.npm.registry}/{_escaped(package)}",
            headers={
                "Authorization": f"Bearer {credential.secret}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            content=content,
            means=_means,
            notes={404: _NOT_FOUND},
        )

    def _document(self, package: str, version: str, tag: str, file: Path, progress: Callable[[int], None]) -> Body:
        """The publish document of libnpmpublish around the tarball, which stays on disk."""
        manifest, readme_name, readme = _package_json(file)
        if (found := (manifest.get("name"), manifest.get("version"))) != (package, version):
            raise LookupError(f"it is of {found[0]} {found[1]}")
        sha1, sha512 = _hashes(file)
        filename = f"{package}-{version}.tgz"
        tarball = f"{self._endpoints.npm.registry}/{package}/-/{filename}"
        described = {
            **_normalised(manifest),
            "_id": f"{package}@{version}",
            "name": package,
            "version": version,
            "readme": readme,
            "readmeFilename": readme_name,
            "dist": {
                "integrity": f"sha512-{base64.b64encode(sha512).decode()}",
                "shasum": sha1,
                "tarball": re.sub(r"^https:", "http:", tarball),
            },
        }
        access = (manifest.get("publishConfig") or {}).get("access")
        mark = secrets.token_hex(16)
        document = {
            "_id": package,
            "name": package,
            "description": manifest.get("description"),
            "access": access if access in ("public", "restricted") else None,
            "dist-tags": {tag: version},
            "versions": {version: described},
            "_attachments": {
                filename: {
                    "content_type": "application/octet-stream",
                    "data": mark,
                    "length": file.stat().st_size,
                }
            },
        }
        before, _, after = json.dumps(document).partition(mark)
        return Body((before.encode(), Base64(file), after.encode()), progress)

    def _listing(self, package: str, version: str, accept: str) -> Listing:
        packument = self._packument(package, accept)
        if packument is None:
            return Listing(package=False)
        found = packument.versions.get(version)
        name = f"{package.rpartition('/')[2]}-{version}.tgz"
        return Listing(package=True, files={name: _digest(found.dist.integrity)} if found else {})

    def _packument(self, package: str, accept: str) -> _Packument | None:
        """Everything that is published under a name; None for a name that is not in use."""
        reply = self._client.request(
            "GET",
            f"{self._endpoints.npm.registry}/{_escaped(package)}",
            headers={"Accept": accept},
            limit=PACKUMENT_LIMIT,
        )
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise reply.unexpected()
        packument = reply.read(_Packument)
        if packument.name != package:
            raise reply.unreadable(f"the page of {packument.name}")
        return packument


def dist_tag(version: str, published: Iterable[str]) -> str:
    """The dist-tag under which *version* goes out. Pure.

    A pre-release goes under its first word (``alpha``, ``beta``, ``rc``, ``dev``), else ``next``. A final version
    is ``latest``, unless a higher final one is published: then ``release-MAJOR.MINOR``, so that no tag moves down.
    """
    from semver import Version

    ours = Version.parse(version)
    if ours.prerelease:
        word = re.match(r"alpha|beta|rc|dev", ours.prerelease)
        return word[0] if word else "next"
    others = [Version.parse(v) for v in published if Version.is_valid(v)]
    overtaken = any(other > ours for other in others if not other.prerelease)
    return f"release-{ours.major}.{ours.minor}" if overtaken else "latest"


def _escaped(package: str) -> str:
    """The name as one path segment: ``@scope%2fname``."""
    return quote(package, safe="@/").replace("/", "%2f")


def _digest(integrity: str) -> str:
    """The SHA-512 of a subresource integrity string as ``sha512:hex``; empty without one."""
    for item in integrity.split():
        algorithm, _, value = item.partition("?")[0].partition("-")
        if algorithm == "sha512":
            try:
                digest = base64.b64decode(value, validate=True)
            except ValueError:  # of Base64, or because it is not ASCII
                return ""
            return f"sha512:{digest.hex()}" if len(digest) == hashlib.sha512().digest_size else ""
    return ""


def _expiry(expires: str | float | None, now: datetime) -> float:
    """A POSIX time from what the registry says: a date, or nothing that we can read."""
    if isinstance(expires, str):
        try:
            return datetime.fromisoformat(expires).timestamp()
        except ValueError:
            expires = None
    return float(expires) if expires else now.timestamp() + TOKEN_LIFE


def _package_json(file: Path) -> tuple[dict[str, Any], str, str]:
    """``package.json`` of the tarball with the name and the text of its readme."""
    manifest: dict[str, Any] | None = None
    readme_name = readme = ""
    with tarfile.open(file, "r|gz") as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            is_readme = re.fullmatch(r"readme(\.(md|markdown|txt))?", name, re.IGNORECASE) and not readme_name
            if not (name == "package.json" or is_readme) or not member.isreg() or member.size > _MEMBER_LIMIT:
                continue
            reader = archive.extractfile(member)
            data = reader.read() if reader else b""
            if is_readme:
                readme_name, readme = name, data.decode(errors="replace")
            else:
                manifest = dict(json.loads(data))
    if manifest is None:
        raise LookupError("it is not in the archive")
    return manifest, readme_name, readme


def _normalised(manifest: dict[str, Any]) -> dict[str, Any]:
    """*manifest* with its two shorthands written out, as npm does (@npmcli/package-json lib/normalize.js)."""
    bin_, repository = manifest.get("bin"), manifest.get("repository")
    expanded: dict[str, Any] = {}
    if isinstance(bin_, str):
        expanded["bin"] = {str(manifest["name"]).rpartition("/")[2]: bin_.removeprefix("./")}
    if isinstance(repository, str):
        short = re.fullmatch(r"(?:github:)?([A-Za-z0-9-]+/[A-Za-z0-9._-]+)", repository)
        url = f"git+https://github.com/{short[1].removesuffix('.git')}.git" if short else repository
        expanded["repository"] = {"type": "git", "url": url}
    return {**manifest, **expanded}


def _hashes(file: Path) -> tuple[str, bytes]:
    """SHA-1 in hexadecimal, which the protocol still carries, and SHA-512."""
    with file.open("rb") as source:
        sha512 = hashlib.file_digest(source, "sha512").digest()
        source.seek(0)
        sha1 = hashlib.file_digest(source, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    return sha1, sha512


def _means(reply: Reply) -> Sent | None:
    """200 and 201 are success with any JSON object or nothing; 409 is a race between two documents, which passes.

    404 is how the registry answers a right that it does not accept.
    """
    if reply.status == 409:
        return Sent.LATER
    if reply.status == 404:
        return Sent.DENIED
    if reply.status == 403 and "previously published version" in reply.said:
        return Sent.TAKEN  # even if it was unpublished (protocol of the public registry)
    if reply.status not in (200, 201):
        return None
    if not reply.body.strip():
        return Sent.ACCEPTED
    try:
        answer = reply.json()
    except ExternalError:
        return None
    return Sent.ACCEPTED if isinstance(answer, dict) and not answer.get("error") else None
