"""Distributions made in memory: in order, or wrong in the one way that a case is about."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from releaser.model.artifact import Artifact, Kind
from releaser.model.manifest import PlannedPublication

NOTHING: Mapping[str, str] = {}
SLSA = "https://slsa.dev/provenance/v1"
PUBLISH = "https://example.invalid/attestations/publish/v1"
"""The end of pypi-attestations' own constant, which holds the address of its documentation."""


@dataclass(frozen=True, slots=True)
class Dist:
    """One distribution file and the project and version that it says it is of."""

    project: str
    version: str
    filename: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def kind(self) -> Kind:
        return Kind.SDIST if self.filename.endswith(".tar.gz") else Kind.WHEEL

    @property
    def metadata(self) -> bytes:
        """The core metadata that an index shows beside a wheel; of a source distribution it shows none."""
        return core_metadata(self.project, self.version).encode() if self.kind is Kind.WHEEL else b""

    @property
    def artifact(self) -> Artifact:
        return Artifact(name=self.filename, kind=self.kind, group="sdk", size=len(self.content), sha256=self.sha256)

    @property
    def publication(self) -> PlannedPublication:
        return PlannedPublication(
            id="sdk", registry="pypi", package=self.project, version=self.version, files=(self.filename,), wave=0
        )

    def form(self) -> dict[str, str]:
        """The fields of an upload form, as few as describe the file."""
        wheel = self.kind is Kind.WHEEL
        return {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.4",
            "name": self.project,
            "version": self.version,
            "summary": "A widget",
            "requires_python": ">=3.8",
            "filetype": "bdist_wheel" if wheel else "sdist",
            "pyversion": "py3" if wheel else "source",
            "sha256_digest": self.sha256,
        }

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / self.filename
        file.write_bytes(self.content)
        return file


def stem(project: str) -> str:
    """*project* as it begins a file name."""
    return canonicalize_name(project).replace("-", "_")


def core_metadata(project: str, version: str) -> str:
    return f"Metadata-Version: 2.4\nName: {project}\nVersion: {version}\nSummary: A widget\nRequires-Python: >=3.8\n"


def wheel(
    project: str,
    version: str = "1.0",
    note: str = "",
    *,
    tag: str = "py3-none-any",
    filename: str = "",
    without: Collection[str] = (),
    licences: Mapping[str, str] = NOTHING,
    header: str = "",
    claims: int = 0,
) -> Dist:
    """A wheel with one module that is named after the project and holds *note*.

    Its metadata have one *header* more. Its directory *claims* so many unpacked bytes in all.
    """
    info = f"{stem(project)}-{version}.dist-info"
    files = {
        f"{stem(project)}.py": f"NOTE = {note!r}\n",
        f"{info}/METADATA": core_metadata(project, version) + header,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        **{f"{info}/licenses/{name}": text for name, text in licences.items()},
    }
    files[f"{info}/RECORD"] = "".join([*(_record(n, t.encode()) for n, t in files.items()), f"{info}/RECORD,,\n"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            if name.rpartition("/")[2] not in without:
                archive.writestr(zipfile.ZipInfo(name), text)
        if claims:
            first, *others = archive.infolist()
            first.file_size = claims - sum(entry.file_size for entry in others)
    return Dist(project, version, filename or f"{stem(project)}-{version}-{tag}.whl", buffer.getvalue())


def sdist(
    project: str,
    version: str = "1.0",
    note: str = "",
    *,
    filename: str = "",
    without: Collection[str] = (),
    licences: Mapping[str, str] = NOTHING,
) -> Dist:
    """A source distribution that any build front end could build from, if it had a back end."""
    top = f"{stem(project)}-{version}"
    files = {"PKG-INFO": core_metadata(project, version), "pyproject.toml": f"# {note}\n", **licences}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            if name not in without:
                entry = tarfile.TarInfo(f"{top}/{name}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
    return Dist(project, version, filename or f"{top}.tar.gz", buffer.getvalue())


def attestation(dist: Dist, predicate: str = SLSA, **changes: Any) -> dict[str, Any]:
    """An attestation of PEP 740 about *dist*, of whose parts some have *changes*."""
    parts: dict[str, Any] = {
        "version": 1,
        "certificate": "AAAA",
        "transparency_entries": [{}],
        "signature": "AAAA",
        "subject": [{"name": dist.filename, "digest": {"sha256": dist.sha256}}],
        **changes,
    }
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": parts["subject"], "predicateType": predicate}
    encoded = base64.b64encode(json.dumps({**statement, "predicate": None}).encode()).decode()
    return {
        "version": parts["version"],
        "verification_material": {k: parts[k] for k in ("certificate", "transparency_entries")},
        "envelope": {"statement": parts.get("statement", encoded), "signature": parts["signature"]},
    }


def _record(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
