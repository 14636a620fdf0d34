"""One upload to the Python index of the rehearsal world: the form as it arrives, and what is checked of it alone.

Rules, order and wording follow warehouse: docs/user/api/upload.md, forklift/legacy.py, forklift/utils.py,
attestations/services.py. Every refusal carries its sentence in the reason phrase.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from html import escape
from pathlib import Path
from typing import IO, Any

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from releaser.rehearsal.server import CHUNK, Refused, Request, Response

FIELD_LIMIT = 8 << 20
RATIO, RATIO_FROM = 50, 64 << 20  # how far an archive may expand, and from which unpacked size that is asked
PLATFORM = re.compile(
    r"any|win32|win_(amd64|arm64)|linux_(armv6l|armv7l)|macosx_\d+_\d+_(x86_64|arm64|universal2|intel|i386)"
    r"|(manylinux1|manylinux2010|manylinux2014)_\w+|(manylinux|musllinux)_\d+_\d+_\w+"
    r"|(android|ios|pyodide|emscripten)_\w+|wasm32"
)
PUBLISH_PREDICATE = "/attestations/publish/v1"  # the end of pypi-attestations' AttestationType.PYPI_PUBLISH_V1
SLSA_PREDICATE = "https://slsa.dev/provenance/v1"


def answer(status: int, message: str) -> Response:
    """*message* in the reason phrase (one line of latin-1) and rendered in the body."""
    phrase = " ".join(message.split()).encode("latin-1", "replace").decode("latin-1")
    body = f"<html><head><title>{status} {escape(phrase)}</title></head><body>{escape(message)}</body></html>"
    return Response(status, body.encode(), content_type="text/html; charset=UTF-8", reason=phrase)


def refusal(status: int, message: str) -> Refused:
    return Refused(answer(status, message))


@dataclass(slots=True)
class Upload:
    """A received form: the ``content`` part on disk at *path* and hashed, the other fields in memory."""

    path: Path
    fields: dict[str, list[str]] = field(default_factory=dict)
    filename: str = ""
    content_type: str = ""
    size: int = 0
    digests: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The first value of *name*; ``UNKNOWN`` counts as absent."""
        return next((v for v in self.fields.get(name, ()) if v != "UNKNOWN"), "")


def receive(request: Request, path: Path) -> Upload:
    """Read the multipart body, the file going to *path* in pieces; memory does not grow with it."""
    head = Message()
    head["content-type"] = request.header("content-type")
    boundary = head.get_boundary()
    if head.get_content_type() != "multipart/form-data" or not boundary:
        raise refusal(400, "Upload payload is not multipart/form-data.")
    upload = Upload(path)
    for part, pieces in _parts(request.body, boundary):
        name = str(part.get_param("name", "", header="content-disposition"))
        if name == "content" and part.get_filename():
            upload.filename = str(part.get_filename())
            upload.content_type = part.get_content_type()
            _keep(upload, pieces)
        else:
            value = bytearray()
            for piece in pieces:
                value += piece
                if len(value) > FIELD_LIMIT:
                    raise refusal(400, f"{name}: Field is too long.")
            upload.fields.setdefault(name, []).append(value.decode(errors="replace"))
    return upload


def _parts(stream: IO[bytes], boundary: str) -> Iterator[tuple[Message, Iterator[bytes]]]:
    """The parts of a multipart body (RFC 2046 section 5.1), each to be read before the next is asked for."""
    delimiter = f"\r\n--{boundary}".encode()
    buffer = bytearray(b"\r\n")  # so that a first delimiter at the very start is found as well

    def until(mark: bytes) -> Iterator[bytes]:
        while (at := buffer.find(mark)) < 0:
            if sure := max(len(buffer) - len(mark) + 1, 0):
                yield bytes(buffer[:sure])
                del buffer[:sure]
            chunk = stream.read(CHUNK)
            if not chunk:
                raise refusal(400, "Upload payload ends in the middle of a part.")
            buffer.extend(chunk)
        yield bytes(buffer[:at])
        del buffer[: at + len(mark)]

    for _preamble in until(delimiter):
        pass
    while True:
        end_of_line = b"".join(until(b"\r\n"))
        if end_of_line.startswith(b"--"):
            return
        part = BytesParser().parsebytes(b"".join(until(b"\r\n\r\n")), headersonly=True)
        yield part, until(delimiter)


def _keep(upload: Upload, pieces: Iterator[bytes]) -> None:
    hashes: dict[str, Any] = {
        "sha256": hashlib.sha256(),
        "blake2b_256": hashlib.blake2b(digest_size=32),
        "md5": hashlib.md5(usedforsecurity=False),
    }
    with upload.path.open("wb") as target:
        for piece in pieces:
            target.write(piece)
            upload.size += len(piece)
            for known in hashes.values():
                known.update(piece)
    upload.digests = {name: known.hexdigest() for name, known in hashes.items()}


def check_form(upload: Upload) -> Version:
    """The version the form declares, when the form can be an upload at all."""
    if upload.text(":action") != "file_upload":
        raise refusal(404, "Not Found")
    if upload.text("protocol_version") not in ("", "1"):
        raise refusal(400, "Unknown protocol version.")
    for name in ("metadata_version", "name", "version", "filetype"):
        if not upload.text(name):
            raise refusal(400, f"{name}: This field is required.")
    if not upload.filename:
        raise refusal(400, "Upload payload does not have a file.")
    try:
        version = Version(upload.text("version"))
    except InvalidVersion:
        raise refusal(400, f"{upload.text('version')!r} is an invalid value for Version.") from None
    if version.local:
        raise refusal(400, f"The use of local versions in {version!r} is not allowed.")
    if not re.fullmatch(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", upload.text("name")):
        raise refusal(400, f"{upload.text('name')!r} is an invalid value for Name.")
    return version


def check_filename(upload: Upload, version: Version) -> None:
    """The file's name says type, project, version and platform, and must agree with the form."""
    filename, project = upload.filename, upload.text("name")
    name = canonicalize_name(project)
    if "/" in filename or "\\" in filename:
        raise refusal(400, "Cannot upload a file with '/' or '\\' in the name.")
    if upload.content_type.startswith("image/"):
        raise refusal(400, "Invalid distribution file.")
    match upload.text("filetype"):
        case "sdist":
            wanted = f"{name.replace('-', '_')}-{version}.tar.gz"
            if filename != wanted:
                raise refusal(400, f"Filename {filename!r} is invalid, should be {wanted!r}.")
        case "bdist_wheel":
            try:
                wheel_name, wheel_version, _build, tags = parse_wheel_filename(filename)
            except InvalidWheelFilename as exc:
                raise refusal(400, str(exc)) from None
            if wheel_name != name:
                raise refusal(400, f"Start filename for {project!r} with {name.replace('-', '_')!r}.")
            if wheel_version != version:
                raise refusal(400, f"Version in filename should be {str(version)!r} not {str(wheel_version)!r}.")
            for platform in sorted({tag.platform for tag in tags}):
                if not PLATFORM.fullmatch(platform):
                    raise refusal(400, f"Binary wheel {filename!r} has an unsupported platform tag {platform!r}.")
        case _:
            raise refusal(400, "Unknown type of file.")


def check_digests(upload: Upload) -> None:
    """At least one digest was sent, and every one that was sent is the file's."""
    fields = {"sha256": "sha256_digest", "blake2b_256": "blake2_256_digest", "md5": "md5_digest"}
    sent = {name: upload.text(key).lower() for name, key in fields.items() if upload.text(key)}
    if not sent:
        raise refusal(400, "Include at least one message digest.")
    if any(upload.digests[name] != value for name, value in sent.items()):
        raise refusal(400, "The digest supplied does not match a digest calculated from the uploaded file.")


def check_archive(upload: Upload) -> bytes | None:
    """The wheel's METADATA, None for a source distribution; both hold what they must."""
    try:
        if upload.text("filetype") == "bdist_wheel":
            return _check_wheel(upload)
        _check_sdist(upload)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError):
        raise refusal(400, "Invalid distribution file.") from None
    return None


def _check_wheel(upload: Upload) -> bytes:
    info = "-".join(upload.filename.split("-")[:2]) + ".dist-info"
    with zipfile.ZipFile(upload.path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > RATIO_FROM and unpacked > RATIO * upload.size:
            raise refusal(400, "Invalid distribution file. Archive exceeds the compression ratio.")
        names = set(archive.namelist())
        for required in ("METADATA", "RECORD"):
            if f"{info}/{required}" not in names:
                raise refusal(
                    400,
                    f"Wheel {upload.filename!r} does not contain the required {required} file: {info}/{required}",
                )
        _check_licences(upload, names, f"{info}/licenses")
        return archive.read(f"{info}/METADATA")


def _check_sdist(upload: Upload) -> None:
    top = upload.filename.removesuffix(".tar.gz")
    with tarfile.open(upload.path, "r:gz") as archive:
        names = {member.name for member in archive}
    if f"{top}/PKG-INFO" not in names:
        raise refusal(400, f"PKG-INFO not found at {top}/PKG-INFO")
    _check_licences(upload, names, top)


def _check_licences(upload: Upload, names: set[str], directory: str) -> None:
    for licence in upload.fields.get("license_file", ()):
        if f"{directory}/{licence}" not in names:
            raise refusal(
                400, f"License-File {licence} does not exist in distribution file {upload.filename} at {directory}"
            )


def check_attestations(upload: Upload, by_publisher: bool) -> list[Any]:
    """The attestations sent along, in shape and about this very file; signatures are not verified here."""
    text = upload.text("attestations")
    if not text:
        return []
    if not by_publisher:
        raise refusal(400, "Attestations are only supported when using Trusted Publishing")
    try:
        attestations = json.loads(text)
        predicates = [_check_statement(upload, attestation) for attestation in attestations]
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise refusal(400, f"Invalid attestations supplied during upload: {exc}") from None
    if not isinstance(attestations, list) or not 1 <= len(attestations) <= 2:
        raise refusal(400, "Invalid attestations supplied during upload: one or two are wanted")
    if len(set(predicates)) != len(predicates):
        raise refusal(400, "Invalid attestations supplied during upload: multiple of one predicate type")
    return attestations


def _check_statement(upload: Upload, attestation: dict[str, Any]) -> str:
    """The predicate type of one attestation; raises ValueError, LookupError or TypeError for a wrong one."""
    material, envelope = attestation["verification_material"], attestation["envelope"]
    if attestation["version"] != 1 or not material["certificate"] or not material["transparency_entries"]:
        raise ValueError("version, certificate and transparency entries are wanted")
    base64.b64decode(envelope["signature"], validate=True)
    statement = json.loads(base64.b64decode(envelope["statement"], validate=True))
    (subject,) = statement["subject"]
    if subject["name"] != upload.filename or subject["digest"]["sha256"] != upload.digests["sha256"]:
        raise ValueError("subject is not the uploaded file")
    predicate = str(statement["predicateType"])
    if predicate != SLSA_PREDICATE and not predicate.endswith(PUBLISH_PREDICATE):
        raise ValueError(f"unsupported predicate type {predicate}")
    return predicate
