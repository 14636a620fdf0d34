"""``release.json``: the release as a document. Immutable, canonical, and enough to publish from.

Its digest is what people approve. It holds no time, no path and nothing else that differs between two runs over
the same tag, policy and bytes, so assembling again gives the same digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from releaser.model.artifact import Artifact
from releaser.model.document import Document, Sha256, sha256
from releaser.model.policy import ChannelName, Via

ASSET = "release.json"
CHECKSUMS = "SHA256SUMS"
APPROVAL_PREFIX = "approval-"
"""Assets that `releaser` itself puts on a release begin so, or are one of the two above."""


class Person(Document):
    """A person or bot of the forge, by the number that a rename does not change."""

    id: int
    login: str


class RepositoryRef(Document):
    """The repository a release belongs to. ``id`` is the forge's number; 0 where it was not asked."""

    name: str
    id: int = 0


class TagRef(Document):
    """The tag as it was verified: ref target, peeled commit, and an annotated tag's tagger (e-mail)."""

    name: str
    object: str
    commit: str
    tagger: str = ""


class PolicyRef(Document):
    """The policy that judged this release: its path and commit where it came from the repository, its digest."""

    path: str
    commit: str = ""
    digest: Sha256


class PlannedPublication(Document):
    """One package at one registry, as approved. ``files`` are artifact names, ``version`` is as it spells it."""

    id: str
    registry: str
    package: str
    version: str
    files: tuple[str, ...]
    needs: tuple[str, ...] = ()
    environment: str | None = None
    wave: int


class PlannedDelivery(Document):
    """One package manager to update, as approved. ``settings`` are the kind's own."""

    id: str
    kind: str
    repository: str
    via: Via
    needs: tuple[str, ...]
    settings: Mapping[str, Any] = Field(default_factory=dict)


class Manifest(Document):
    """One release: which tag, judged by which policy, which bytes, going where."""

    __slots__ = ("_assets", "_digest")
    if TYPE_CHECKING:
        _digest: Sha256
        _assets: Mapping[str, Sha256]

    schema_: Literal["releaser.release/v1"] = Field(default="releaser.release/v1", alias="schema")
    repository: RepositoryRef
    tag: TagRef
    initiator: Person | None = None
    version: str
    channel: ChannelName
    draft: bool = True
    policy: PolicyRef
    artifacts: tuple[Artifact, ...]
    publications: tuple[PlannedPublication, ...]
    downstream: tuple[PlannedDelivery, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = [a.name for a in self.artifacts]
        if len(set(names)) != len(names):
            raise ValueError("two artifacts have one name")
        if lost := sorted({name for p in self.publications for name in p.files} - set(names)):
            raise ValueError(f"a publication names {lost[0]!a}, which is not an artifact")
        return self

    def digest(self) -> Sha256:
        """The digest of the canonical bytes, worked out once: the name people approve."""
        if not hasattr(self, "_digest"):
            object.__setattr__(self, "_digest", sha256(self.canonical()))
        return self._digest

    def checksums(self) -> bytes:
        """``SHA256SUMS`` for ``sha256sum --check``: every artifact and the manifest itself, by name."""
        lines = {a.name: a.sha256 for a in self.artifacts} | {ASSET: self.digest().removeprefix("sha256:")}
        return "".join(f"{lines[name]}  {name}\n" for name in sorted(lines)).encode()

    def assets(self) -> Mapping[str, Sha256]:
        """The digest of every file that the release must hold, by name, worked out once."""
        if not hasattr(self, "_assets"):
            found = {a.name: Sha256(f"sha256:{a.sha256}") for a in self.artifacts}
            found |= {CHECKSUMS: sha256(self.checksums()), ASSET: self.digest()}
            object.__setattr__(self, "_assets", MappingProxyType(found))
        return self._assets
