"""One crate on its way into the rehearsal registry: the publish body, its archive, and its line in the index.

Framing follows cargo's book, reference/registry-web-api.md. What is read, checked and said, and in which order,
follows rust-lang/crates.io src/controllers/krate/publish.rs, src/config/publish_limits.rs and
crates/{crates_io_tarball,crates_io_validation,crates_io_index}: of the JSON only name and version count, everything
else is the archive's Cargo.toml. That dependencies exist is not checked: a world holds only what it was given.
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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from releaser.rehearsal.server import CHUNK, Refused, Response

METADATA_LIMIT = 1 << 20
UNPACKED_LIMIT = 512 << 20
KINDS = ("normal", "build", "dev")
"""Dependencies in the order of the index (crates_io_index data.rs)."""
MALFORMED = "uploaded tarball is malformed or too large when decompressed"


@dataclass(frozen=True, slots=True)
class Upload:
    """A received crate: its archive at *path* with its SHA-256, and the Cargo.toml inside."""

    name: str
    version: str
    path: Path
    size: int
    sha256: str
    manifest: Mapping[str, Any]

    @property
    def package(self) -> Mapping[str, Any]:
        return dict(self.manifest["package"])

    @property
    def licence(self) -> str:
        return str(self.package.get("license") or "non-standard")


def refusal(status: int, detail: str, **headers: str) -> Refused:
    return Refused(Response.json({"errors": [{"detail": detail}]}, status=status, **headers))


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


def announced(body: IO[bytes]) -> tuple[str, str]:
    """Name and version from the first half of a publish body, ``u32le length, JSON``."""
    import semver

    length = _length(body, "invalid metadata length")
    if length > METADATA_LIMIT:
        raise refusal(413, "JSON metadata blob too large")
    text = body.read(length)
    if len(text) != length:
        raise refusal(400, f"invalid metadata length for remaining payload: {length}")
    try:
        metadata = json.loads(text)
        name, version = str(metadata["name"]), str(metadata["vers"])
    except (ValueError, LookupError, TypeError) as exc:
        raise refusal(400, f"invalid upload request: {exc}") from None
    if problem := _misnamed(name):
        raise refusal(400, problem)
    if not semver.Version.is_valid(version):
        raise refusal(400, f'"{version}" is an invalid semver version')
    if len(version) > 150:
        raise refusal(400, "the version number is too long (max 150 characters)")
    return name, version


def _misnamed(name: str) -> str:
    if len(name) > 64:
        return f"the crate name `{name}` is too long (max 64 characters)"
    if not name:
        return "crate name cannot be empty"
    if re.match("[0-9]", name):
        return f"the name `{name}` cannot be used as a crate name, the name cannot start with a digit"
    if not re.match("[A-Za-z]", name):
        return f"invalid character `{name[0]}` in crate name: `{name}`, the first character must be an ASCII character"
    if other := re.search("[^A-Za-z0-9_-]", name):
        wanted = "characters must be an ASCII alphanumeric characters, `-`, or `_`"
        return f"invalid character `{other[0]}` in crate name: `{name}`, {wanted}"
    return ""


def receive(body: IO[bytes], name: str, version: str, path: Path, limit: int) -> Upload:
    """The second half, ``u32le length, archive``; the archive goes to *path* in pieces and must be of *name*."""
    length = _length(body, "invalid tarball length")
    if length > limit:
        raise refusal(413, f"max upload size is: {limit}")
    digest, left = hashlib.sha256(), length
    with path.open("wb") as target:
        while left and (chunk := body.read(min(CHUNK, left))):
            digest.update(chunk)
            target.write(chunk)
            left -= len(chunk)
    if left:
        raise refusal(400, f"invalid tarball length for remaining payload: {length}")
    upload = Upload(name, version, path, length, digest.hexdigest(), _manifest(path, f"{name}-{version}"))
    for key, said in (("name", name), ("version", version)):
        if upload.package.get(key) != said:
            found = upload.package.get(key)
            raise refusal(400, f"metadata {key} `{said}` does not match manifest {key} `{found}`")
    for problem in (*_undescribed(upload.package), *_outsized(upload.manifest)):
        raise refusal(400, problem)
    return upload


def _length(body: IO[bytes], otherwise: str) -> int:
    head = body.read(4)
    if len(head) != 4:
        raise refusal(400, otherwise)
    (length,) = struct.unpack("<I", head)
    return int(length)


def _manifest(path: Path, folder: str) -> Mapping[str, Any]:
    """The Cargo.toml of an archive that holds *folder* and nothing else."""
    found: dict[str, Any] | None = None
    unpacked = 0
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                unpacked += member.size
                if unpacked > UNPACKED_LIMIT:
                    raise refusal(400, MALFORMED)
                parts = member.name.split("/")
                if parts[0] != folder or ".." in parts:
                    raise refusal(400, f"invalid path found: {member.name}")
                if not member.isfile() and not member.isdir():
                    kind = "Symlink" if member.issym() else "Link"
                    raise refusal(400, f"unexpected tar entry type {kind} found: {member.name}")
                if parts[1:] == ["Cargo.toml"] and (content := archive.extractfile(member)):
                    found = tomllib.loads(content.read().decode())
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise refusal(400, MALFORMED) from None
    except ValueError as exc:
        raise refusal(400, f"failed to parse `Cargo.toml` manifest file\n\n{exc}") from None
    if found is None:
        raise refusal(400, "uploaded tarball is missing a `Cargo.toml` manifest file")
    if "package" not in found:
        raise refusal(400, "failed to parse `Cargo.toml` manifest file\n\nmissing field `package`")
    return found


def _undescribed(package: Mapping[str, Any]) -> Iterator[str]:
    missing = [] if package.get("description") else ["description"]
    if not package.get("license") and not package.get("license-file"):
        missing.append("license")
    if missing:
        yield (
            f"missing or empty metadata fields: {', '.join(missing)}. Please see "
            "https://doc.rust-lang.org/cargo/reference/manifest.html for more information on configuring these fields"
        )
    if len(package.get("description", "").encode()) > 1000:
        yield "The `description` is too long. A maximum of 1000 characters are currently allowed."
    for field in ("homepage", "documentation", "repository"):
        if not re.match("https?://", url := package.get(field, "http://")):
            yield f"URL for field `{field}` must begin with http:// or https:// (url: {url})"
    keywords = package.get("keywords", ())
    if len(keywords) > 5:
        yield "expected at most 5 keywords per crate"
    for keyword in keywords:
        if len(keyword) > 20:
            yield f'"{keyword}" is an invalid keyword (keywords must have less than 20 characters)'
    if len(package.get("categories", ())) > 5:
        yield "expected at most 5 categories per crate"


def _outsized(manifest: Mapping[str, Any]) -> Iterator[str]:
    features = len(manifest.get("features", ()))
    if features > 300:
        yield (
            f"crates.io only allows a maximum number of 300 features, but your crate is declaring {features} features."
        )
    dependencies = list(_dependencies(manifest))
    if len(dependencies) > 500:
        yield "crates.io only allows a maximum number of 500 dependencies."
    for dependency in dependencies:
        name = dependency.get("package", dependency["name"])
        if dependency["registry"]:
            yield (
                f"Dependency `{name}` is hosted on another registry. "
                "Cross-registry dependencies are not permitted on crates.io."
            )
        if dependency["req"] == "*":
            yield (
                f"wildcard (`*`) dependency constraints are not allowed on crates.io. Crate with this problem: `{name}`"
            )


def index_entry(upload: Upload, created: str, yanked: bool) -> dict[str, Any]:
    """The version's line in the index (crates_io_index data.rs): what is not said is left out.

    Features in the newer syntax (``dep:``, ``?/``), and those that turn one of them on, go to ``features2``, and only
    then the line has a version, 2.
    """
    features: dict[str, list[str]] = dict(sorted(upload.manifest.get("features", {}).items()))
    newer = {k: v for k, v in features.items() if any(f.startswith("dep:") or "?/" in f for f in v)}
    while more := {k: v for k, v in features.items() if k not in newer and any(f in newer for f in v)}:
        newer |= more
    dependencies = sorted(_dependencies(upload.manifest), key=lambda d: (d["name"], KINDS.index(d["kind"]), d["req"]))
    entry = {
        "name": upload.name,
        "vers": upload.version,
        "deps": [{key: value for key, value in d.items() if key != "registry"} for d in dependencies],
        "cksum": upload.sha256,
        "features": {k: v for k, v in features.items() if k not in newer},
        "features2": dict(sorted(newer.items())) or None,
        "yanked": yanked,
        "links": upload.package.get("links"),
        "rust_version": upload.package.get("rust-version"),
        "pubtime": created,
        "v": 2 if newer else None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _dependencies(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What Cargo.toml depends on; a renamed one goes by its new name, with the real one as ``package``."""
    for target, tables in (None, manifest), *manifest.get("target", {}).items():
        for kind in KINDS:
            table = "dependencies" if kind == "normal" else f"{kind}-dependencies"
            for name, said in tables.get(table, {}).items():
                entry = {"version": said} if isinstance(said, str) else said
                yield {
                    "name": name,
                    "req": _requirement(entry.get("version", "*")),
                    "features": entry.get("features", []),
                    "optional": entry.get("optional", False),
                    "default_features": entry.get("default-features", True),
                    "target": target,
                    "kind": kind,
                    "registry": entry.get("registry"),
                    **({"package": entry["package"]} if "package" in entry else {}),
                }


def _requirement(text: str) -> str:
    """A requirement as semver prints it: a bare version is a caret one."""
    parts = [re.sub(r"\s", "", part) for part in text.split(",")]
    return ", ".join(f"^{part}" if part[:1].isdigit() and "*" not in part else part for part in parts)


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
    return Upload(name, version, path, len(content), hashlib.sha256(content).hexdigest(), tomllib.loads(manifest))
