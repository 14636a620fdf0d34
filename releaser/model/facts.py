"""What was observed. Facts are plain values; rules and planner decide from them and from nothing else.

What could not be, or was not, looked at is `Unobserved`, never an empty value: unknown is not absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from releaser.model.approval import Vote
from releaser.model.artifact import Inspected
from releaser.model.spelling import Ecosystem
from releaser.model.version import Version


@dataclass(frozen=True, slots=True)
class Unobserved:
    """A fact that is missing. ``failed`` tells "tried and could not" from "was not asked for"."""

    reason: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag as a repository shows it. ``object`` is what the ref points to, ``commit`` that object peeled."""

    name: str
    object: str
    commit: str
    annotated: bool
    tagger: str = ""  # e-mail address of an annotated tag's tagger


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One place in the tagged tree that states a version.

    ``object`` is where (``crates/Cargo.toml [workspace.package]``), ``ecosystem`` how it is spelt there.
    ``found`` is None for a version that only exists after the build (``dynamic``); ``problem`` says why the
    place could not be read.
    """

    object: str
    ecosystem: Ecosystem
    found: str | None
    dynamic: str = ""
    problem: str = ""
    fix: str = ""


class CheckState(StrEnum):
    """The newest result of one named check on a commit."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILURE = "failure"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a registry shows for one package version.

    ``files`` maps file name to ``algorithm:hex``, or to an empty string where the registry shows the file
    without a digest. ``package`` is False when the registry does not know the package at all.
    """

    package: bool
    files: Mapping[str, str] = field(default_factory=dict)


class Presence(StrEnum):
    """One artifact at one registry. Only ABSENT permits a write."""

    ABSENT = "absent"
    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Source:
    """The repository at the tag: nothing in it was run.

    ``branches`` are all that contain the commit, ``released`` the versions of the other tags.
    """

    tag: Tag
    branches: tuple[str, ...] | Unobserved
    versions: tuple[VersionEntry, ...] | Unobserved
    released: tuple[Version, ...] = ()


class DeliveryState(StrEnum):
    """What a package manager has of a release. Only ABSENT permits a write."""

    ABSENT = "absent"  # nothing, or something older that may be replaced
    SAME = "same"  # as rendered
    PROPOSED = "proposed"  # as rendered, in an open pull request
    SUBMITTED = "submitted"  # as rendered, and held back until its moderators let it through
    NEWER = "newer"  # a later version
    CONFLICT = "conflict"  # something else, that may not be replaced


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a tap, bucket or feed shows for one item; ``detail`` names the place, commit or pull request."""

    state: DeliveryState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One publication's place at its registry, compared with our artifacts.

    ``files`` maps each artifact that was given to its presence; ``foreign`` are files of this version that are
    not ours; ``listed`` counts everything the registry shows for the version.
    """

    package: bool
    listed: int
    files: Mapping[str, Presence] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes on a release at one moment, with the digests that count.

    ``author`` is the number of the person who put ``release.json`` on the release, 0 where a job did that.
    ``begun`` is True once a registry shows our bytes: from then on an approval no longer expires (T30).
    """

    manifest: str
    policy: str
    votes: tuple[Vote, ...]
    now: datetime
    begun: bool = False
    author: int = 0


@dataclass(frozen=True, slots=True)
class Freeze:
    """Somebody holds releases back: every one, or that of ``tag``. ``by`` is the forge's word for who, at its time."""

    tag: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a public release that is not as its manifest lists it, and how to mend that."""

    file: str
    reason: str
    found: str
    wanted: str
    hint: str


@dataclass(frozen=True, slots=True)
class World:
    """What the outside shows. Shelves are keyed by publication id, deliveries by downstream id."""

    tag: Tag | Unobserved | None = Unobserved("not asked for")
    freeze: Freeze | Unobserved | None = Unobserved("not asked for")
    checks: Mapping[str, CheckState] | Unobserved = Unobserved("not asked for")
    shelves: Mapping[str, Shelf | Unobserved] = field(default_factory=dict)
    deliveries: Mapping[str, Delivery | Unobserved] = field(default_factory=dict)
    ballot: Ballot | Unobserved = Unobserved("not asked for")
    damage: tuple[Damage, ...] = ()


@dataclass(frozen=True, slots=True)
class Objection:
    """A registry's own rule that an artifact breaks, found before anything is sent."""

    publication: str
    artifact: str
    found: str
    wanted: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one verdict is made of. ``source`` is None when the repository has no such tag."""

    source: Source | None
    artifacts: tuple[Inspected, ...] | Unobserved = Unobserved("no artifacts were given")
    objections: tuple[Objection, ...] = ()
    world: World = World()
