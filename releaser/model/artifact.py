"""Release artifacts: the files a build made, hashed once and looked into without being unpacked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from releaser.model.document import Document


class Kind(StrEnum):
    """What a file is, told from its content as well as its name."""

    WHEEL = "wheel"
    SDIST = "sdist"
    CRATE = "crate"
    NPM = "npm"
    ARCHIVE = "archive"
    FILE = "file"


class Artifact(Document):
    """One file of the release, by name and bytes.

    ``sha256`` and ``sha512`` are 64 and 128 lower-case hexadecimal digits; ``sha512`` is set for npm packages,
    whose registry shows nothing else. ``size`` is in bytes.
    """

    name: str
    kind: Kind
    group: str
    size: int
    sha256: str
    sha512: str | None = None

    def matches(self, digest: str) -> bool | None:
        """Whether ``algorithm:hex`` is ours; None when we cannot tell."""
        algorithm, _, value = digest.partition(":")
        ours = {"sha256": self.sha256, "sha512": self.sha512}.get(algorithm)
        return None if ours is None else ours == value


@dataclass(frozen=True, slots=True)
class Requirement:
    """One dependency as an artifact declares it: ``coglet`` and ``>=0.17.0,<1.0`` in its ecosystem's words."""

    name: str
    specifier: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found inside an artifact without unpacking it.

    ``problems`` are reasons not to trust the archive (T16, T17); ``name`` and ``version`` are empty for files
    that carry none. ``platforms`` are a wheel's platform tags. ``metadata`` holds the few fields that registry
    rules look at (``license``, ``description``, ``repository`` …). ``unpacked`` is in bytes.
    """

    name: str = ""
    version: str = ""
    requirements: tuple[Requirement, ...] = ()
    platforms: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    entries: int = 0
    unpacked: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file as it was found: its hashes and its contents. ``group`` of the artifact is empty until it is sorted."""

    artifact: Artifact
    contents: Contents
