"""What the engine needs from outside, as Protocols. Adapters, the rehearsal world and the simulator implement them.

No method decides anything. Reads raise `ExternalError` when the outside fails, and nothing else; "not there" is a
value. Writes say what became of them in a `Receipt` and are believed only after a read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from releaser.model.approval import Voter
from releaser.model.artifact import Artifact, Inspected
from releaser.model.facts import CheckState, Delivery, Freeze, Listing, Objection, Tag
from releaser.model.manifest import Manifest, Person, PlannedDelivery, PlannedPublication
from releaser.model.terms import Terms

A = TypeVar("A")
B = TypeVar("B")


class Sent(StrEnum):
    """What a write's answer says. Only a read-back says what is true."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # for good: the same request will be refused again
    DENIED = "denied"  # for good with this right; with a fresh one it may be taken
    TAKEN = "taken"  # for good, for the name is in use, was once, or is closed: a read tells whose bytes it has, if any
    LATER = "later"  # not now, and nothing was changed: a rate limit
    UNKNOWN = "unknown"  # no answer, any 5xx, or words we do not know: it may have happened


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of one write. ``detail`` is the remote's own words, free of secrets; ``wait`` is in seconds."""

    sent: Sent
    detail: str = ""
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Credential:
    """A short-lived right to publish. ``expires`` is a POSIX time. The secret never shows in ``repr``."""

    secret: str = field(repr=False)
    expires: float


class Identity(Protocol):
    """The job's own identity (OIDC)."""

    def token(self, audience: str) -> str:
        """A fresh identity token for *audience*: one per exchange, never reused."""


class Registry(Protocol):
    """A place that holds packages."""

    name: str
    terms: Terms

    def objections(self, publication: str, package: str, artifact: Inspected) -> Iterable[Objection]:
        """The rules of this registry that *artifact* breaks. Pure: nothing is asked of the network."""

    def file_name(self, package: str, version: str, artifact: Artifact) -> str:
        """The name under which the registry lists *artifact*. Pure."""

    def observe(self, package: str, version: str) -> Listing:
        """What the registry holds for this version, from its freshest source."""

    def visible(self, package: str, version: str) -> Listing:
        """What a consumer's client would resolve now; may lag behind `observe`."""

    def authorize(self, package: str, identity: Identity) -> Credential:
        """Exchange a fresh identity token for the right to publish *package*."""

    def discard(self, credential: Credential) -> None:
        """Give the right back where the registry can; never raises for a right that is gone."""

    def publish(
        self,
        publication: PlannedPublication,
        artifact: Artifact,
        file: Path,
        credential: Credential,
        progress: Callable[[int], None],
    ) -> Receipt:
        """Send *file* once; *progress* is told its bytes as they leave. Raises nothing for what is answered."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file on a release. ``digest`` is ``sha256:hex``, empty where the forge shows none; ``by`` uploaded it."""

    id: int
    name: str
    size: int
    digest: str
    complete: bool
    by: Person
    human: bool
    at: datetime
    url: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """A release on the forge, draft or published."""

    id: int
    tag: str
    name: str
    draft: bool
    prerelease: bool
    assets: tuple[Asset, ...]
    url: str
    upload_url: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """The repository's stable number, its name as the forge spells it, and its protected branch."""

    id: int
    name: str
    default_branch: str


class Forge(Protocol):
    """The repository's home: tags, checks, releases, people."""

    def time(self) -> datetime:
        """The forge's own clock in UTC, as of its latest answer: what it dates is compared with this, not with ours."""

    def repository(self) -> RepositoryFacts: ...

    def tag(self, name: str) -> Tag | None:
        """The tag as the forge has it now, peeled; None when there is none of exactly this name."""

    def checks(self, commit: str) -> Mapping[str, CheckState]:
        """The newest state of every check on *commit*, by name; the worst where several givers use one name."""

    def file(self, path: str, ref: str) -> bytes | None:
        """A file of the repository at *ref*."""

    def commit_of(self, branch: str) -> str:
        """The commit at the tip of *branch*."""

    def branches_with(self, commit: str, patterns: Sequence[str]) -> tuple[str, ...]:
        """A branch that contains *commit* and whose name matches one of *patterns*; empty when there is none."""

    def freeze_of(self, tag: str) -> Freeze | None:
        """The freeze that holds the release of *tag* back now: one of its own, or one of every release."""

    def releases(self, tag: str) -> tuple[Release, ...]:
        """Every release of *tag* that we can see, drafts included, oldest first."""

    def released(self) -> tuple[str, ...]:
        """The tags of all public releases."""

    def create_draft(self, tag: str, commit: str, name: str, body: str, prerelease: bool) -> Release: ...

    def upload(self, release: Release, name: str, file: Path, progress: Callable[[int], None]) -> Asset:
        """Add a file; *progress* is told bytes. Raises ConflictError ``asset-exists`` when the name is taken."""

    def remove(self, asset: Asset) -> None:
        """Delete an asset; only ever used for our own unfinished uploads, and an approver's own expired approval."""

    def download(self, asset: Asset, file: Path, progress: Callable[[int], None]) -> None:
        """Fetch an asset's bytes into *file*."""

    def publish(self, release: Release, latest: bool) -> Release:
        """Make a draft public."""

    def is_public(self, asset: Asset) -> bool:
        """Whether anybody can download the asset without an account."""

    def whoami(self) -> Person:
        """The account that this process acts as."""

    def voter(self, person: Person, roles: Sequence[str]) -> Voter:
        """*person* with those of *roles* (``user:…``, ``team:…``, ``role:…``) that they hold right now."""


class Tap(Protocol):
    """A repository that package managers read: a Homebrew tap, a Scoop bucket."""

    def default_branch(self) -> str: ...

    def file(self, path: str, ref: str) -> bytes | None:
        """A file's bytes at branch or commit *ref*; None when either is not there."""

    def commit(self, branch: str, path: str, content: bytes, message: str) -> str:
        """Write one file on *branch* in one commit on its present tip, and return the commit.

        Creates *branch* from the default branch when it is missing. Raises ConflictError ``tap-raced`` when
        somebody else wrote meanwhile.
        """

    def pull_request(self, branch: str, title: str, body: str) -> str:
        """The URL of the open pull request of *branch*, opened now if there is none."""

    def open_pull_request(self, branch: str) -> str | None:
        """The URL of the open pull request of *branch*."""


class Dispatcher(Protocol):
    """One kind of package manager that is fed from the release's public files."""

    kind: str

    def objections(self, entry: PlannedDelivery, manifest: Manifest) -> Iterable[str]:
        """Why this release cannot be rendered for it. Pure."""

    def ready(self, entry: PlannedDelivery) -> None:
        """Raise ConfigError when this process could not deliver, as far as that shows without writing."""

    def observe(self, entry: PlannedDelivery, manifest: Manifest) -> Delivery:
        """What the tap, bucket or feed has of this release now."""

    def deliver(self, entry: PlannedDelivery, manifest: Manifest) -> Receipt:
        """Commit, propose or push what was rendered, once, and only where `observe` finds it absent.

        The engine takes a denial for a refusal: the right stays the one that this process was given.
        """


@dataclass(frozen=True, slots=True)
class Fetched:
    """A private copy of an asset with the digests of the bytes that arrived (hexadecimal)."""

    file: Path
    size: int
    sha256: str
    sha512: str


class Scratch(Protocol):
    """Private room on this machine for the length of one run."""

    def fetch(self, asset: Asset) -> Fetched:
        """Download *asset* where nobody else can write, hashing it as it arrives."""

    def read(self, asset: Asset, limit: int) -> bytes:
        """The bytes of a small asset, which are of the digest that the forge shows, if it shows one.

        Raises ExternalError ``asset-too-large`` beyond *limit* bytes, ``asset-digest`` for other bytes.
        """


class Store(Protocol):
    """Where the lines of one release's ledger are kept. Several runs may have it open; `extend` sets their order.

    What cannot be read or written is ConfigError ``ledger-broken``, ``ledger-unwritable`` or WaitingError
    ``ledger-held``; a failure after which the same call may succeed is ExternalError.
    """

    name: str
    """Where that is, for people; free of secrets."""

    def read(self) -> Sequence[bytes]:
        """Every line that is durably there, oldest first; the last may lack its end, as a torn write leaves it."""

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        """Put *lines*, all or none, behind the first *after* lines that `read` gave, durably before returning.

        A last line without its end is given it where *after* counts it, else cut off.
        False, with nothing done, where there are not exactly that many any more, or other ones than this store has
        read. After an ExternalError they may be there: only another `read` tells.
        """


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC."""

    def elapsed(self) -> float:
        """Seconds since some moment of this process, whatever happens to the time of day."""

    def sleep(self, seconds: float) -> None: ...


class Workers(Protocol):
    """Runs independent work side by side."""

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """The results in the order of *items*; the first exception is raised after all have ended."""


class Reporter(Protocol):
    """Tells a person what is going on. Never fed a secret, never asked for a decision."""

    def say(self, event: str, **facts: Any) -> None: ...

    def transfer(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A progress line for *total* bytes; the callable is told each step's bytes."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything the engine can reach, built in one place (`releaser.faces.wire`)."""

    forge: Forge
    registries: Mapping[str, Registry]
    dispatchers: Mapping[str, Dispatcher]
    identity: Identity
    scratch: Scratch
    clock: Clock
    workers: Workers
    reporter: Reporter
