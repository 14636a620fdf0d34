"""One crate on its way into the rehearsal registry: the publish body, its archive, and its line in the index.

Framing and shapes follow cargo's book, reference/{registry-web-api,registry-index}.md; limits follow
rust-lang/crates.io src/controllers/krate/publish.rs and src/config/publish_limits.rs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import struct
import tarfile
import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from releaser.rehearsal.server import CHUNK, Refused, Response

METADATA_LIMIT = 1 << 20
UNPACKED_LIMIT = 512 << 20
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(slots=True)
class Upload:
    """A received crate: archive at *path* with its SHA-256, and the JSON that cargo sent with it."""

    metadata: dict[str, Any]
    path: Path
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def version(self) -> str:
        return str(self.metadata["vers"])


def refusal(status: int, detail: str) -> Refused:
    return Refused(Response.json({"errors": [{"detail": detail}]}, status=status))


def canonical(name: str) -> str:
    """Names that differ in case or in ``-`` and ``_`` alone are one crate."""
    return name.lower().replace("-", "_")


def index_path(name: str) -> str:
    """Where the index keeps *name*, below its root."""
    name = name.lower()
    match len(name):
        case 1 | 2:
            return f"{len(name)}/{name}"
        case 3:
            return f"3/{name[0]}/{name}"
        case _:
            return f"{name[:2]}/{name[2:4]}/{name}"


def receive(body: IO[bytes], path: Path, limit: int) -> Upload:
    """Read ``u32le length, JSON, u32le length, archive``, the archive going to *path* in pieces."""
    length = _length(body)
    if length > METADATA_LIMIT:
        raise refusal(413, f"max upload size is: {METADATA_LIMIT}")
    text = body.read(length)
    if len(text) != length:
        raise refusal(400, f"invalid metadata length for remaining payload: {length}")
    metadata = _metadata(text)
    length = _length(body)
    if length > limit:
        raise refusal(413, f"max upload size is: {limit}")
    digest, left = hashlib.sha256(), length
    with path.open("wb") as target:
        while left and (chunk := body.read(min(CHUNK, left))):
            digest.update(chunk)
            target.write(chunk)
            left -= len(chunk)
    if left or body.read(1):
        raise refusal(400, f"invalid crate length for remaining payload: {length}")
    return Upload(metadata, path, length, digest.hexdigest())


def _length(body: IO[bytes]) -> int:
    head = body.read(4)
    if len(head) != 4:
        raise refusal(400, "invalid payload: length is missing")
    (length,) = struct.unpack("<I", head)
    return int(length)


def _metadata(text: bytes) -> dict[str, Any]:
    import semver

    try:
        metadata = json.loads(text)
        name, version = str(metadata["name"]), str(metadata["vers"])
    except (ValueError, LookupError, TypeError) as exc:
        raise refusal(400, f"invalid upload request: {exc}") from None
    if not NAME.fullmatch(name):
        raise refusal(400, f"invalid crate name: `{name}`")
    if len(version) > 150 or not semver.Version.is_valid(version):
        raise refusal(400, f'"{version}" is an invalid semver version')
    if len(metadata.get("deps", ())) > 500:
        raise refusal(400, "crates only support a maximum of 500 dependencies")
    if len(metadata.get("features", ())) > 300:
        raise refusal(400, "crates only support a maximum of 300 features")
    return {"deps": [], "features": {}, **metadata}


def check_archive(upload: Upload) -> None:
    """The archive holds one directory whose Cargo.toml agrees with the request and describes the crate."""
    package = _manifest(upload).get("package", {})
    for key, said in (("name", upload.name), ("version", upload.version)):
        if package.get(key) != said:
            raise refusal(400, f"{key} `{package.get(key)}` in Cargo.toml does not match `{said}` of the request")
    missing = [] if package.get("description") else ["description"]
    if not package.get("license") and not package.get("license-file"):
        missing.append("license")
    if missing:
        raise refusal(
            400,
            f"missing or empty metadata fields: {', '.join(missing)}. Please see "
            "https://doc.rust-lang.org/cargo/reference/manifest.html for more information on configuring these fields",
        )
    if len(package["description"]) > 1000:
        raise refusal(400, "The `description` is too long. A maximum of 1000 characters are currently allowed.")
    if len(package.get("keywords", ())) > 5:
        raise refusal(400, "expected at most 5 keywords per crate")


def _manifest(upload: Upload) -> dict[str, Any]:
    top = f"{upload.name}-{upload.version}/"
    found: dict[str, Any] | None = None
    unpacked = 0
    try:
        with tarfile.open(upload.path, "r:gz") as archive:
            for member in archive:
                unpacked += member.size
                if unpacked > UNPACKED_LIMIT:
                    raise refusal(413, f"uploaded tarball is malformed or too large when decompressed: {unpacked}")
                if not member.name.startswith(top) or ".." in member.name.split("/"):
                    raise refusal(400, f"invalid path found: {member.name}")
                if not member.isfile() and not member.isdir():
                    raise refusal(400, f"unexpected symlink or hard link found: {member.name}")
                if member.name == f"{top}Cargo.toml" and (content := archive.extractfile(member)):
                    found = tomllib.loads(content.read().decode())
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise refusal(400, "uploaded tarball is malformed or too large when decompressed") from None
    except ValueError as exc:
        raise refusal(400, f"failed to parse `Cargo.toml` manifest file: {exc}") from None
    if found is None:
        raise refusal(400, "uploaded tarball is missing a `Cargo.toml` manifest file")
    return found


def index_entry(upload: Upload) -> dict[str, Any]:
    """The version's line in the index, but for ``yanked`` and ``pubtime``.

    A renamed dependency is listed under its new name with the real one as ``package``; features in the newer
    syntax (``dep:``, ``?/``) go to ``features2``.
    """
    features: dict[str, list[str]] = upload.metadata["features"]
    newer = {k: v for k, v in features.items() if any(f.startswith("dep:") or "?/" in f for f in v)}
    return {
        "name": upload.name,
        "vers": upload.version,
        "deps": [_dependency(d) for d in upload.metadata["deps"]],
        "cksum": upload.sha256,
        "features": {k: v for k, v in features.items() if k not in newer},
        **({"features2": newer} if newer else {}),
        "links": upload.metadata.get("links"),
        "rust_version": upload.metadata.get("rust_version"),
        "v": 2,
    }


def _dependency(said: dict[str, Any]) -> dict[str, Any]:
    renamed = said.get("explicit_name_in_toml")
    return {
        "name": renamed or said["name"],
        "req": said["version_req"],
        "features": said.get("features", []),
        "optional": said.get("optional", False),
        "default_features": said.get("default_features", True),
        "target": said.get("target"),
        "kind": said.get("kind") or "normal",
        "registry": said.get("registry"),
        "package": said["name"] if renamed else None,
    }


def empty(name: str, version: str, path: Path) -> Upload:
    """A smallest crate, always the same bytes, written to *path*."""
    manifest = f'[package]\nname = "{name}"\nversion = "{version}"\ndescription = "{name}"\nlicense = "MIT"\n'
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for member, text in (("Cargo.toml", manifest), ("src/lib.rs", "")):
            entry = tarfile.TarInfo(f"{name}-{version}/{member}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    content = path.read_bytes()
    metadata = {"name": name, "vers": version, "deps": [], "features": {}, "license": "MIT"}
    return Upload(metadata, path, len(content), hashlib.sha256(content).hexdigest())
