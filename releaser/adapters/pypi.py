"""The Python package index: its rules, its index, its trusted publishing, its upload form.

warehouse docs/user/api/{upload,index-api,json}.md, forklift/legacy.py, oidc/views.py; PEP 691; twine repository.py.
"""

from __future__ import annotations

import base64
import re
import secrets
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pydantic import BaseModel, Field

from releaser.adapters.body import Body
from releaser.adapters.endpoints import Endpoints
from releaser.adapters.http import Client
from releaser.adapters.oidc import exchange, exchange_refused
from releaser.adapters.redact import conceal, plain
from releaser.adapters.reply import Reply
from releaser.engine.ports import Credential, Identity, Receipt, Sent
from releaser.model import core_metadata
from releaser.model.artifact import Artifact, Inspected, Kind
from releaser.model.facts import Listing, Objection
from releaser.model.manifest import PlannedPublication
from releaser.model.spelling import Ecosystem
from releaser.model.terms import Terms

if TYPE_CHECKING:
    from packaging.version import Version

FILE_LIMIT: Final = 100 << 20  # bytes; docs/user/project-management/storage-limits.md
RATIO, RATIO_FROM = 50, 64 << 20  # how far a wheel may unpack, and from how many unpacked bytes that is asked
TOKEN_LIFE = 900.0  # seconds

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LINUX = r"(?:x86_64|i686|aarch64|armv7l|ppc64le|s390x|riscv64)"
_PLATFORM = re.compile(
    r"any|win32|win_(?:amd64|arm64|ia64)|linux_armv[67]l"
    r"|manylinux(?:1|2010)_(?:x86_64|i686)|manylinux2014_(?:x86_64|i686|aarch64|armv7l|ppc64|ppc64le|s390x)"
    rf"|manylinux_[0-9]+_[0-9]+_(?:{_LINUX}|ppc64)|musllinux_[0-9]+_[0-9]+_{_LINUX}"
    r"|macosx_(?:10_[0-9]+|(?:1[1-9]|[2-9][0-9])_0)"
    r"_(?:ppc|ppc64|i386|x86_64|arm64|intel|fat|fat32?|fat64|universal|universal2)"
    r"|ios_[0-9]+_[0-9]+_(?:arm64|x86_64)_(?:iphoneos|iphonesimulator)"
    r"|android_[0-9]+_(?:armeabi_v7a|arm64_v8a|x86|x86_64)"
    r"|py(?:odide|emscripten)_[0-9]+_[0-9]+_wasm32"
)
"""Platform tags that uploads may carry (warehouse forklift/legacy.py and utils/wheel.py)."""
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    LookupError,
)
_METADATA_LIMIT = 16 << 20  # bytes
_SIMPLE = "application/vnd.pypi.simple.v1+json"
_HEX = r"^(?:[0-9a-f]{64})?$"


class _Hashes(BaseModel):
    sha256: str = Field(default="", pattern=_HEX)


class _Url(BaseModel):
    filename: str = Field(min_length=1)
    digests: _Hashes


class _Json(BaseModel):
    """``/pypi/{project}/{version}/json``."""

    urls: list[_Url]


class _File(BaseModel):
    filename: str = Field(min_length=1)
    hashes: _Hashes


class _Simple(BaseModel):
    """``/simple/{project}/`` as PEP 691 has it."""

    name: str
    files: list[_File]


class _Audience(BaseModel):
    audience: str = Field(min_length=1)


class _Minted(BaseModel):
    token: str = Field(pattern=r"^[\x21-\x7e]+$")
    expires: float | None = None


class PyPI:
    """`Registry` for wheels and source distributions."""

    name: str = "pypi"
    terms = Terms(Ecosystem.PEP440, frozenset({Kind.WHEEL, Kind.SDIST}))

    def __init__(self, endpoints: Endpoints, client: Client) -> None:
        self._endpoints = endpoints
        self._client = client

    def objections(self, publication: str, package: str, artifact: Inspected) -> Iterator[Objection]:
        file, inside = artifact.artifact, artifact.contents

        def objection(found: str, wanted: str, hint: str = "build it again") -> Objection:
            return Objection(publication, file.name, found, wanted, hint)

        if file.kind not in self.terms.kinds:
            yield objection(f"a file of kind {file.kind}", "a wheel or a source distribution", "change `files`")
            return
        if not 0 < file.size <= FILE_LIMIT:
            yield objection(
                f"{file.size} bytes",
                f"1 to {FILE_LIMIT} bytes",
                "make it smaller, send it to the GitHub release only, or ask the index to raise the project's limit",
            )
        if file.kind is Kind.WHEEL and inside.unpacked > max(RATIO_FROM, RATIO * file.size):
            yield objection(f"unpacks to {inside.unpacked} bytes", f"at most {RATIO} times its size")
        if not _NAME.fullmatch(package):
            yield objection(f"the package name {package!a}", "ASCII letters, digits, `.`, `_`, `-`", "change `package`")
            return
        if normalised(inside.name) != normalised(package):
            yield objection(inside.name or "no name inside", package, "name the right files or the right `package`")
        yield from (objection(found, wanted) for found, wanted in _misnamed(package, file, inside.version))
        for tag in inside.platforms:
            if not _PLATFORM.fullmatch(tag):
                yield objection(
                    f"platform tag {plain(tag)}",
                    "a platform tag that the index accepts, such as manylinux_2_28_x86_64",
                    "run `auditwheel repair` on it, or send it to the GitHub release only"
                    if tag.startswith("linux_")
                    else "build it with another platform tag",
                )

    def file_name(self, package: str, version: str, artifact: Artifact) -> str:  # noqa: ARG002 - the port's signature
        return artifact.name

    def observe(self, package: str, version: str) -> Listing:
        """The version's own JSON page; where that is missing (or a stale 404), what the simple page says."""
        reply = self._read(
            f"/pypi/{quote(normalised(package), safe='')}/{quote(version, safe='')}/json", "application/json"
        )
        if reply is None:
            return self.visible(package, version)
        return Listing(package=True, files={u.filename: _digest(u.digests) for u in reply.read(_Json).urls})

    def visible(self, package: str, version: str) -> Listing:
        """The files of *version* on the simple page, which is what installers read."""
        from packaging.version import Version

        reply = self._read(f"/simple/{quote(normalised(package), safe='')}/", _SIMPLE)
        if reply is None:
            return Listing(package=False)
        page = reply.read(_Simple)
        if normalised(page.name) != normalised(package):
            raise reply.unreadable(f"the page of {page.name}")
        wanted = Version(version)
        return Listing(
            package=True,
            files={f.filename: _digest(f.hashes) for f in page.files if _version_of(f.filename) == wanted},
        )

    def authorize(self, package: str, identity: Identity) -> Credential:
        """A token for every project of the job's publisher, 15 minutes long."""
        audience = self._client.request("GET", f"{self._endpoints.pypi.index}/_/oidc/audience")
        if audience.status != 200:
            raise audience.unexpected()
        jwt = identity.token(audience.read(_Audience).audience)
        reply = exchange(self._client, f"{self._endpoints.pypi.index}/_/oidc/mint-token", "token", jwt)
        if reply.status != 200:
            raise exchange_refused(
                "PyPI",
                package,
                reply,
                jwt,
                f"register the trusted publisher of {package} (project settings, Publishing; a pending publisher for "
                "a new project); the publish job must be in a top-level workflow, not a reusable one",
            )
        minted = reply.read(_Minted)
        return Credential(conceal(minted.token), minted.expires or self._client.clock.now().timestamp() + TOKEN_LIFE)

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
        try:
            fields = _form(artifact, file)
        except _UNREADABLE as exc:
            return Receipt(Sent.REFUSED, f"{artifact.name} has no usable metadata: {plain(str(exc))}")
        named, version = dict(fields)["name"], dict(fields)["version"]
        if (normalised(named), version) != (normalised(publication.package), publication.version):
            return Receipt(Sent.REFUSED, f"{artifact.name} is {named} {version}")
        boundary = secrets.token_hex(16)
        basic = base64.b64encode(f"__token__:{credential.secret}".encode()).decode()
        return self._client.write(
            "POST",
            self._endpoints.pypi.upload,
            headers={"Authorization": f"Basic {basic}", "Content-Type": f"multipart/form-data; boundary={boundary}"},
            content=_multipart(boundary, fields, artifact.name, file, progress),
            means=_means,
        )

    def _read(self, path: str, accept: str) -> Reply | None:
        """A page of the index; None for 404."""
        reply = self._client.request("GET", self._endpoints.pypi.index + path, headers={"Accept": accept})
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise reply.unexpected()
        return reply


def normalised(name: str) -> str:
    """The one spelling of a project name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _misnamed(package: str, file: Artifact, version: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the file's name and version: found and wanted."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import InvalidVersion, Version

    try:
        parsed = Version(version)
    except InvalidVersion:
        yield f"version {plain(version) or 'missing'}", "a PEP 440 version"
        return
    if parsed.local:
        yield f"the local version {parsed}", f"no local part: {parsed.public}"
    if file.kind is Kind.SDIST:
        wanted = f"{normalised(package).replace('-', '_')}-{parsed}.tar.gz"
        if file.name != wanted:
            yield file.name, wanted
        return
    try:
        named, stated, _, _ = parse_wheel_filename(file.name)
    except InvalidWheelFilename as exc:
        yield plain(str(exc)), "the name of a wheel"
        return
    if named != normalised(package) or stated != parsed:
        yield file.name, f"{normalised(package).replace('-', '_')}-{parsed}-….whl"


def _version_of(filename: str) -> Version | None:
    """The version in a distribution's file name; None for names that say none."""
    from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

    try:
        return parse_wheel_filename(filename)[1] if filename.endswith(".whl") else parse_sdist_filename(filename)[1]
    except (InvalidSdistFilename, InvalidWheelFilename):
        return None


def _digest(hashes: _Hashes) -> str:
    return f"sha256:{hashes.sha256}" if hashes.sha256 else ""


def _is_page(reply: Reply) -> bool:
    """Whether something between us and the index answered with a web page of its own."""
    return reply.body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html"))


def _means(reply: Reply) -> Sent | None:
    """200 is success; two refusals say that no file of this name is taken any more (warehouse forklift/legacy.py)."""
    if reply.status == 200:
        return None if _is_page(reply) else Sent.ACCEPTED
    burned = "has since been deleted" in reply.said or "older than 14 days" in reply.said
    return Sent.TAKEN if reply.status == 400 and burned else None


def _form(artifact: Artifact, file: Path) -> list[tuple[str, str]]:
    """The upload form's fields, as twine fills it in from the file's own metadata (its package.py).

    The one digest is the approved one: the index itself refuses other bytes, and the file is not read for it here.
    Raises ValueError for metadata that the index would refuse, and the errors of the archive modules.
    """
    raw, faults = core_metadata.read(_core_metadata(artifact, file))
    if faults:
        raise ValueError("; ".join(faults))
    wheel = artifact.kind is Kind.WHEEL
    fields = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("filetype", "bdist_wheel" if wheel else "sdist"),
        ("pyversion", artifact.name.split("-")[-3] if wheel else "source"),
        ("sha256_digest", artifact.sha256),
    ]
    singular = {"platforms": "platform", "supported_platforms": "supported_platform", "license_files": "license_file"}
    values: dict[str, Any] = {**raw}
    for key, value in values.items():
        name = singular.get(key, key)
        match value:
            case str():
                fields.append((name, re.sub(r"[^A-Za-z0-9.]+", "-", value) if name == "name" else value))
            case dict():  # project_urls
                fields += [(name, f"{label}, {url}") for label, url in value.items()]
            case list() if name == "keywords":
                fields.append((name, ", ".join(value)))
            case _:
                fields += [(name, item) for item in value]
    return fields


def _core_metadata(artifact: Artifact, file: Path) -> bytes:
    """``METADATA`` or ``PKG-INFO``; raises LookupError without one of at most 16 MiB."""
    if artifact.kind is Kind.WHEEL:
        with zipfile.ZipFile(file) as wheel:
            entry = wheel.getinfo("-".join(artifact.name.split("-")[:2]) + ".dist-info/METADATA")
            if entry.file_size <= _METADATA_LIMIT:
                return wheel.read(entry)
            raise LookupError(f"{entry.filename} of {entry.file_size} bytes")
    wanted = f"{artifact.name.removesuffix('.tar.gz')}/PKG-INFO"
    with tarfile.open(file, "r|gz") as sdist:
        for member in sdist:
            if member.name == wanted and member.isreg() and member.size <= _METADATA_LIMIT:
                reader = sdist.extractfile(member)
                return reader.read() if reader else b""
    raise LookupError(f"no {wanted}")


def _multipart(
    boundary: str, fields: list[tuple[str, str]], name: str, file: Path, progress: Callable[[int], None]
) -> Body:
    """RFC 7578: *fields*, then *file* as ``content``."""
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields
    )
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{quote(name, safe="!+")}"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    return Body((head.encode(), file, f"\r\n--{boundary}--\r\n".encode()), progress)
