"""The Rust registry: its rules, its API and sparse index, its trusted publishing, its upload.

Cargo book, reference/registry-web-api.md and reference/registry-index.md; cargo src/cargo/ops/registry/publish.rs;
crates.io src/controllers/krate/publish.rs, src/config/publish_limits.rs, src/controllers/trustpub.
"""

from __future__ import annotations

import json
import re
import struct
import tarfile
import threading
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field, ValidationError

from releaser.adapters.body import Body
from releaser.adapters.endpoints import AUDIENCE, Endpoints
from releaser.adapters.http import LOOPBACK, Client
from releaser.adapters.oidc import exchange, exchange_refused
from releaser.adapters.redact import conceal, plain
from releaser.adapters.reply import Reply
from releaser.engine.ports import Credential, Identity, Receipt, Sent
from releaser.errors import ExternalError
from releaser.model.artifact import Artifact, Inspected, Kind
from releaser.model.facts import Listing, Objection
from releaser.model.manifest import PlannedPublication
from releaser.model.spelling import Ecosystem
from releaser.model.terms import Pace, Terms

ARCHIVE_LIMIT: Final = 10 << 20  # bytes
UNPACKED_LIMIT: Final = 512 << 20  # bytes
TOKEN_LIFE = 1800.0  # seconds
PACE = timedelta(seconds=1)  # crates.io/data-access: at most one API request a second
NEW_VERSIONS: Final = Pace(30, timedelta(minutes=1))
"""New versions of existing crates (crates.io src/rate_limiter.rs). That trusted publishers are let through faster is
not promised (rust-lang/crates.io#11685), so it is not planned on.
"""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_GONE = (404, 410, 451)  # how an index says that it has no such crate
_MEMBER_LIMIT = 1 << 20  # bytes of Cargo.toml or readme; the server takes 1 MiB of JSON altogether
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


class _Version(BaseModel):
    crate: str
    num: str = Field(min_length=1)
    checksum: str = Field(pattern=r"^[0-9a-f]{64}$")


class _VersionPage(BaseModel):
    """``/api/v1/crates/{name}/{version}``."""

    version: _Version


class _Named(BaseModel):
    name: str


class _CratePage(BaseModel):
    """``/api/v1/crates/{name}``."""

    crate: _Named
    versions: list[_Version] | None = None


class _Line(BaseModel):
    """One line of the sparse index."""

    name: str
    vers: str = Field(min_length=1)
    cksum: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Minted(BaseModel):
    token: str = Field(pattern=r"^[\x21-\x7e]+$")


class Crates:
    """`Registry` for crates. Two versions that differ in build metadata are one version here."""

    name: str = AUDIENCE
    terms = Terms(Ecosystem.CARGO, frozenset({Kind.CRATE}), NEW_VERSIONS)

    def __init__(self, endpoints: Endpoints, client: Client) -> None:
        self._endpoints = endpoints
        self._client = client
        self._turn = threading.Lock()
        self._next: datetime | None = None

    def objections(self, publication: str, package: str, artifact: Inspected) -> Iterator[Objection]:
        file, inside, metadata = artifact.artifact, artifact.contents, artifact.contents.metadata

        def objection(found: str, wanted: str, hint: str = "edit Cargo.toml and package it again") -> Objection:
            return Objection(publication, file.name, found, wanted, hint)

        if file.kind not in self.terms.kinds:
            yield objection(f"a file of kind {file.kind}", "a .crate archive", "change `files`")
            return
        if not 0 < file.size <= ARCHIVE_LIMIT:
            yield objection(f"{file.size} bytes", f"1 to {ARCHIVE_LIMIT} bytes", "leave files out with `exclude`")
        if inside.unpacked > UNPACKED_LIMIT:
            yield objection(f"unpacks to {inside.unpacked} bytes", f"at most {UNPACKED_LIMIT} bytes")
        if not _NAME.fullmatch(package):
            yield objection(
                f"the package name {package!a}",
                "a letter, then ASCII letters, digits, `_` and `-`, 64 in all",
                "change `package`",
            )
        if inside.name != package:
            yield objection(inside.name or "no name inside", package, "name the right files or the right `package`")
        if len(inside.version) > 150:
            yield objection(f"a version of {len(inside.version)} characters", "at most 150")
        if not (metadata.get("license") or metadata.get("license_file")):
            yield objection("no license", "`license` or `license-file`")
        if not metadata.get("description"):
            yield objection("no description", "`description`")
        keywords = [k for k in re.split(r"[,\s]+", metadata.get("keywords", "")) if k]
        if len(keywords) > 5 or any(len(k) > 20 for k in keywords):
            yield objection(plain(", ".join(keywords)), "at most 5 keywords of at most 20 characters")

    def file_name(self, package: str, version: str, artifact: Artifact) -> str:  # noqa: ARG002 - the port's signature
        return f"{package}-{version}.crate"

    def observe(self, package: str, version: str) -> Listing:
        """The API's page of the version; without one, the page of the crate for its namesakes."""
        path = f"/crates/{quote(package, safe='')}"
        reply = self._read(f"{path}/{quote(version, safe='')}")
        if reply is not None:
            found = reply.read(_VersionPage).version
            if found.crate != package or _bare(found.num) != _bare(version):
                raise reply.unreadable(f"the page of {found.crate} {found.num}")
            return _listing(package, version, [found])
        if (reply := self._read(path)) is None:
            return Listing(package=False)
        page = reply.read(_CratePage)
        if page.crate.name != package:
            raise reply.unreadable(f"the page of {page.crate.name}")
        return _listing(package, version, page.versions or [])

    def visible(self, package: str, version: str) -> Listing:
        """The crate's file in the sparse index, which is what cargo reads."""
        reply = self._client.request("GET", f"{self._endpoints.crates.index}/{index_path(package)}")
        if reply.status in _GONE:
            return Listing(package=False)
        if reply.status != 200:
            raise reply.unexpected()
        try:
            lines = [_Line.model_validate_json(line) for line in reply.body.splitlines() if line.strip()]
        except ValidationError as exc:
            raise reply.unreadable("a line that is not an index entry") from exc
        if any(line.name.lower() != package.lower() for line in lines):
            raise reply.unreadable("entries of another crate")
        return _listing(
            package, version, [_Version(crate=package, num=line.vers, checksum=line.cksum) for line in lines]
        )

    def authorize(self, package: str, identity: Identity) -> Credential:
        """A token for the crates of the job's publisher, 30 minutes long."""
        jwt = identity.token(AUDIENCE)
        self._pace()
        reply = exchange(self._client, self._tokens, "jwt", jwt)
        if reply.status != 200:
            raise exchange_refused(
                AUDIENCE,
                package,
                reply,
                jwt,
                f"publish the first version of {package} by hand, then register this repository, workflow and "
                "environment in the crate's settings, Trusted Publishing",
            )
        return Credential(conceal(reply.read(_Minted).token), self._client.clock.now().timestamp() + TOKEN_LIFE)

    def discard(self, credential: Credential) -> None:
        """Revoke the token; a token that cannot be revoked ends by itself."""
        with suppress(ExternalError):
            self._pace()
            self._client.request("DELETE", self._tokens, headers={"Authorization": f"Bearer {credential.secret}"})

    def publish(
        self,
        publication: PlannedPublication,
        artifact: Artifact,
        file: Path,
        credential: Credential,
        progress: Callable[[int], None],
    ) -> Receipt:
        try:
            described = upload_document(file, f"sparse+{self._endpoints.crates.index}/")
            document = json.dumps(described).encode()
        except _UNREADABLE as exc:
            return Receipt(Sent.REFUSED, f"{artifact.name} has no usable Cargo.toml: {plain(str(exc))}")
        if (described["name"], described["vers"]) != (publication.package, publication.version):
            return Receipt(Sent.REFUSED, f"{artifact.name} is {described['name']} {described['vers']}")
        self._pace()
        return self._client.write(
            "PUT",
            f"{self._endpoints.crates.api}/api/v1/crates/new",
            headers={
                "Authorization": credential.secret,
                "Content-Type": "application/octet-stream",
                "Accept": "application/json",
            },
            content=Body(
                (struct.pack("<I", len(document)), document, struct.pack("<I", file.stat().st_size), file), progress
            ),
            means=_means,
        )

    @property
    def _tokens(self) -> str:
        return f"{self._endpoints.crates.api}/api/v1/trusted_publishing/tokens"

    def _read(self, path: str) -> Reply | None:
        """A page of the API; None for 404."""
        self._pace()
        url = f"{self._endpoints.crates.api}/api/v1{path}"
        reply = self._client.request("GET", url, headers={"Accept": "application/json"})
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise reply.unexpected()
        return reply

    def _pace(self) -> None:
        """Wait for this request's turn; a world on loopback has no queue."""
        if urlsplit(self._endpoints.crates.api).hostname in LOOPBACK:
            return
        with self._turn:
            now = self._client.clock.now()
            start = max(now, self._next or now)
            self._next = start + PACE
        self._client.clock.sleep((start - now).total_seconds())


def index_path(package: str) -> str:
    """Where a crate's file lies below the root of an index (registry-index.md, "Index files")."""
    name = package.lower()
    folder = {1: "1", 2: "2", 3: f"3/{name[:1]}"}.get(len(name), f"{name[:2]}/{name[2:4]}")
    return f"{folder}/{quote(name, safe='')}"


def upload_document(file: Path, own_index: str) -> dict[str, Any]:
    """What ``cargo publish`` says about the archive *file*, from the normalised ``Cargo.toml`` inside it.

    A dependency names its registry when that is neither *own_index* nor the default. Raises the errors of
    `tarfile`, `tomllib` and of a manifest with holes.
    """
    manifest = tomllib.loads(_member(file, "Cargo.toml"))
    package = manifest["package"]
    readme_file = package.get("readme") or None  # false says that there is none
    return {
        "name": package["name"],
        "vers": package["version"],
        "deps": list(_dependencies(manifest, own_index)),
        "features": manifest.get("features", {}),
        "authors": package.get("authors", []),
        "description": package.get("description"),
        "documentation": package.get("documentation"),
        "homepage": package.get("homepage"),
        "readme": _member(file, readme_file) if readme_file else None,
        "readme_file": readme_file,
        "keywords": package.get("keywords", []),
        "categories": package.get("categories", []),
        "license": package.get("license"),
        "license_file": package.get("license-file"),
        "repository": package.get("repository"),
        "badges": manifest.get("badges", {}),
        "links": package.get("links"),
        "rust_version": package.get("rust-version"),
    }


def _member(file: Path, name: str) -> str:
    """A text file below the archive's one folder; raises LookupError when it is not there or over 1 MiB."""
    with tarfile.open(file, "r|gz") as archive:
        for member in archive:
            if member.name.partition("/")[2] == name and member.isreg() and member.size <= _MEMBER_LIMIT:
                reader = archive.extractfile(member)
                return reader.read().decode() if reader else ""
    raise LookupError(f"no {name} of at most {_MEMBER_LIMIT} bytes")


def _dependencies(manifest: Mapping[str, Any], own_index: str) -> Iterator[dict[str, Any]]:
    kinds = {"dependencies": "normal", "dev-dependencies": "dev", "build-dependencies": "build"}
    scopes = [(None, manifest), *manifest.get("target", {}).items()]
    for target, tables in scopes:
        for table, kind in kinds.items():
            for key, value in tables.get(table, {}).items():
                entry = {"version": value} if isinstance(value, str) else value
                registry = entry.get("registry-index", own_index)
                yield {
                    "name": entry.get("package", key),
                    "version_req": _requirement(entry.get("version", "*")),
                    "features": entry.get("features", []),
                    "optional": entry.get("optional", False),
                    "default_features": entry.get("default-features", True),
                    "target": target,
                    "kind": kind,
                    **({} if registry == own_index else {"registry": registry}),
                    **({"explicit_name_in_toml": key} if "package" in entry else {}),
                }


def _requirement(text: str) -> str:
    """A requirement as cargo prints it: a bare version is a caret one, a comma is followed by a space."""
    parts = [part.strip() for part in text.split(",")]
    return ", ".join(f"^{p}" if p[:1].isdigit() and "*" not in p else p for p in parts)


def _bare(version: str) -> str:
    return version.partition("+")[0]


def _listing(package: str, version: str, found: list[_Version]) -> Listing:
    """The one archive of *version*, whatever the build metadata it was published with."""
    return Listing(
        package=True,
        files={f"{package}-{version}.crate": f"sha256:{v.checksum}" for v in found if _bare(v.num) == _bare(version)},
    )


def _means(reply: Reply) -> Sent | None:
    """An object without ``errors`` under 200 is a success; one with ``errors`` is a refusal even there."""
    if reply.status != 200:
        return None
    try:
        answer = reply.json()
    except ExternalError:
        return None
    if not isinstance(answer, dict):
        return None
    return Sent.REFUSED if answer.get("errors") else Sent.ACCEPTED
