"""A world in memory: every port of the engine, held as state, with a clock that only sleeping moves.

What happens to a release is read off the world: what the forge and the registries hold, what arrived there, what the
ledger says. Faults are state too (a registry's `Fault` for its next write, a lag, a closed publisher), and so are the
moves of other people (`World.after`). Every call goes through the world's `Power`: that of the unit tests counts the
calls and ends the process after the n-th (`World.crash_after`); what that call did to the world stays done, and no call
gets through until the next process starts. The simulator has a power of its own (`tests.simulation.scheduler`).
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path, PosixPath
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from releaser.engine import ledger, ports
from releaser.engine.ports import (
    Asset,
    Credential,
    Fetched,
    Identity,
    Outside,
    Receipt,
    Release,
    RepositoryFacts,
    Sent,
)
from releaser.errors import ConfigError, ConflictError, ExternalError
from releaser.model.approval import Voter
from releaser.model.artifact import Artifact, Inspected, Kind
from releaser.model.facts import CheckState, Delivery, DeliveryState, Freeze, Listing, Objection, Tag
from releaser.model.manifest import Manifest, Person, PlannedDelivery, PlannedPublication
from releaser.model.policy import DEFAULT_PATH
from releaser.model.spelling import Ecosystem
from releaser.model.terms import Terms
from releaser.model.version import Version
from releaser.policy.case import path_match

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")
EPOCH = datetime(2026, 1, 5, 12, tzinfo=UTC)
BRANCH = "main"
HEAD = "c0" * 20


class Crash(BaseException):
    """The process is gone: nothing catches it but the test that caused it."""


class Fault(StrEnum):
    """What becomes of one write to a registry."""

    REQUEST_LOST = "it never arrives, and nothing is answered"
    ANSWER_LOST = "it is done, and the answer is lost"
    ERROR_AFTER = "it is done, and the answer is 500"
    LATE = "nothing is answered, and it is done some time later"
    BUSY = "429, wait 30 seconds"
    REFUSED = "refused for good"


class Power:
    """What every port call goes through. This one counts them, lets others act after one, and ends after the n-th."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.limit: int | None = None
        self.then: dict[str, list[Callable[[], object]]] = defaultdict(list)

    def through(self, part: Powered, name: str, args: tuple[Any, ...], perform: Callable[[], A]) -> A:
        """Let the call *name* of *part* happen, which is *perform*, unless the process is gone."""
        self._require()
        try:
            return perform()
        finally:
            call = f"{part.label}.{name}"
            self.calls.append(call)
            while self.then[call]:
                self.then[call].pop(0)()
            self._require()

    def _require(self) -> None:
        if self.limit is not None and len(self.calls) >= self.limit:
            raise Crash


class Powered(Protocol):
    """Part of a world; ``label`` is what its calls begin with."""

    power: Power
    label: str


S = TypeVar("S", bound=Powered)


def port(method: Callable[Concatenate[S, P], A]) -> Callable[Concatenate[S, P], A]:
    """A call that leaves the process, and does not happen when the process is gone."""
    name = method.__name__

    @functools.wraps(method)
    def call(self: S, *args: P.args, **kwargs: P.kwargs) -> A:
        return self.power.through(self, name, args, functools.partial(method, self, *args, **kwargs))

    return cast(Callable[Concatenate[S, P], A], call)


class Memory(PosixPath):
    """A file that is nowhere but here."""

    data: bytes = b""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat_result((0o100600, 0, 0, 1, 0, 0, len(self.data), 0, 0, 0))

    def read_bytes(self) -> bytes:
        return self.data

    def write_bytes(self, data: bytes) -> int:  # type: ignore[override]
        self.data = data
        return len(data)


def in_memory(name: str, data: bytes = b"") -> Memory:
    """A file of that name and content without a disk."""
    file = Memory(name)
    file.data = data
    return file


@functools.lru_cache(maxsize=1024)  # a file is hashed wherever it arrives
def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def unreachable(what: str) -> ExternalError:
    return ExternalError("unreachable", f"{what} does not answer", object=what, found="no answer")


class Clock:
    """The world's ``time``, which is its ``seconds`` after `EPOCH`, and this machine's clock, off by ``skew``."""

    label = "clock"

    def __init__(self, power: Power) -> None:
        self.power = power
        self.time = EPOCH
        self.skew = timedelta()
        self._due: list[tuple[datetime, int, Callable[[], object]]] = []
        self._count = 0

    @property
    def time(self) -> datetime:
        return self._time

    @time.setter
    def time(self, time: datetime) -> None:
        self._time, self.seconds = time, (time - EPOCH).total_seconds()

    def now(self) -> datetime:
        return self.time + self.skew

    def elapsed(self) -> float:
        return self.seconds

    @port
    def sleep(self, seconds: float) -> None:
        self.pass_by(seconds)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen in so many seconds."""
        self._count += 1
        heapq.heappush(self._due, (self.time + timedelta(seconds=seconds), self._count, act))

    def pass_by(self, seconds: float) -> None:
        """Let time go by, and everything happen in it that is due."""
        until = self.time + timedelta(seconds=seconds)
        while self._due and self._due[0][0] <= until:
            self.time, _, act = heapq.heappop(self._due)
            act()
        self.time = until


class Workers:
    """One after the other, in order; as with threads, one that fails does not stop the others."""

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        results: list[B] = []
        errors: list[Exception] = []
        for item in items:
            try:
                results.append(work(item))
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return results


class Reporter:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Mapping[str, Any]]] = []

    def say(self, event: str, **facts: Any) -> None:
        self.said.append((event, facts))

    @contextmanager
    def transfer(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda _: None


class Disk:
    """A store of ledger lines that survives the process; ``full`` disks record nothing."""

    label = "ledger"
    name = "ledger"

    def __init__(self, power: Power) -> None:
        self.power = power
        self.lines: list[bytes] = []
        self.full = False

    @property
    def records(self) -> list[Mapping[str, Any]]:
        return list(ledger.verify(self.lines, self.name))

    @port
    def read(self) -> Sequence[bytes]:
        return list(self.lines)

    @port
    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        if self.full:
            raise ConfigError("ledger-unwritable", "the ledger cannot be written", found="no space left on device")
        kept, torn = self.lines[:after], b"".join(self.lines[after:])
        if len(kept) < after or b"\n" in torn:
            return False
        if kept and not kept[-1].endswith(b"\n"):
            kept[-1] += b"\n"
        self.lines = [*kept, *lines]
        return True


@dataclass
class Account:
    """Somebody at the forge. ``roles`` are the policy words they answer to; None when the forge cannot say."""

    person: Person
    roles: frozenset[str] | None
    emails: frozenset[str] = frozenset()
    human: bool = True


@dataclass
class _Held:
    """A release as the forge keeps it."""

    release: Release
    assets: dict[int, tuple[Asset, bytes]] = field(default_factory=dict)
    _shown: tuple[Release, Release] | None = None

    def shown(self, *, digests: bool) -> Release:
        assets = tuple(a if digests else replace(a, digest="") for a, _ in self.assets.values())
        if self._shown is None or self._shown[0] is not self.release or self._shown[1].assets != assets:
            self._shown = self.release, replace(self.release, assets=assets)
        return self._shown[1]


class Forge:
    """A repository's home. ``acting`` is whose token the process holds.

    ``ghosts`` names files whose next upload breaks off and leaves an unfinished asset; ``members_only`` keeps files
    of public releases from the public; ``uploaded`` is what every asset held at first, gone ones too; ``digests`` says
    whether assets show one; ``refuses`` and ``mute`` break the next un-drafting: refused for good, or done without an
    answer.
    """

    label = "forge"

    def __init__(self, power: Power, clock: Clock, repository: RepositoryFacts, acting: Person) -> None:
        self.power = power
        self.facts = repository
        self.acting = acting
        self.accounts: dict[int, Account] = {}
        self.tags: dict[str, Tag] = {}
        self.states: dict[str, CheckState] = {}
        self.tree: dict[str, bytes] = {}
        self.branches: dict[str, set[str]] = {BRANCH: set()}
        self.freezes: list[Freeze] = []
        self.held: dict[int, _Held] = {}
        self.uploaded: dict[int, bytes] = {}
        self.latest: str | None = None
        self.ghosts: set[str] = set()
        self.members_only = False
        self.digests = True
        self.refuses = False
        self.mute = False
        self.down = False
        self._clock = clock
        self._ids = 0

    # What other people do

    def adopt(self, release: Release) -> None:
        """Add a release that another process made."""
        self.held[release.id] = _Held(release)

    def join(self, account: Account) -> Person:
        self.accounts[account.person.id] = account
        return account.person

    def put(self, release: int, name: str, data: bytes, by: Person, *, complete: bool = True) -> Asset:
        """Add an asset, as a person with a browser does."""
        self._ids += 1
        asset = Asset(
            id=self._ids,
            name=name,
            size=len(data) if complete else 0,
            digest=f"sha256:{sha256(data)}" if complete else "",
            complete=complete,
            by=by,
            human=self.accounts[by.id].human,
            at=self._clock.time,
            url=f"https://forge.example.invalid/{self.facts.name}/{name}",
        )
        self.held[release].assets[asset.id] = (asset, data)
        self.uploaded[asset.id] = data
        return asset

    def drop(self, release: int, name: str) -> None:
        """Delete the asset *name*."""
        assets = self.held[release].assets
        del assets[next(i for i, (a, _) in assets.items() if a.name == name)]

    def tamper(self, release: int, name: str, data: bytes) -> None:
        """Change the bytes behind an asset and leave everything that the forge shows of it as it was."""
        assets = self.held[release].assets
        number, asset = next((i, a) for i, (a, _) in assets.items() if a.name == name)
        assets[number] = (asset, data)

    def undraft(self, release: int) -> None:
        self.held[release].release = replace(self.held[release].release, draft=False)

    # The port

    def time(self) -> datetime:
        return self._clock.time

    @port
    def repository(self) -> RepositoryFacts:
        return self.facts

    @port
    def branches_with(self, commit: str, patterns: Sequence[str]) -> tuple[str, ...]:
        found = (b for b, commits in self.branches.items() if commit in commits)
        return tuple(b for b in found if any(path_match(b, p) for p in patterns))[:1]

    @port
    def freeze_of(self, tag: str) -> Freeze | None:
        return next((f for f in self.freezes if f.tag in ("", tag)), None)

    @port
    def tag(self, name: str) -> Tag | None:
        if self.down:
            raise unreachable("the forge")
        return self.tags.get(name)

    @port
    def checks(self, commit: str) -> Mapping[str, CheckState]:
        return dict(self.states)

    @port
    def file(self, path: str, ref: str) -> bytes | None:
        return self.tree.get(path) if ref == HEAD else None

    @port
    def commit_of(self, branch: str) -> str:
        return HEAD

    @port
    def releases(self, tag: str) -> tuple[Release, ...]:
        if self.down:
            raise unreachable("the forge")
        found = sorted(self.held.values(), key=lambda h: h.release.id)
        return tuple(h.shown(digests=self.digests) for h in found if h.release.tag == tag)

    @port
    def released(self) -> tuple[str, ...]:
        return tuple(h.release.tag for h in self.held.values() if not h.release.draft)

    @port
    def create_draft(self, tag: str, commit: str, name: str, body: str, prerelease: bool) -> Release:
        self._ids += 1
        url = f"https://forge.example.invalid/{self.facts.name}/releases/{self._ids}"
        release = Release(self._ids, tag, name, draft=True, prerelease=prerelease, assets=(), url=url, body=body)
        self.adopt(release)
        return release

    @port
    def upload(self, release: Release, name: str, file: Path, progress: Callable[[int], None]) -> Asset:
        if any(a.name == name for a, _ in self.held[release.id].assets.values()):
            raise ConflictError("asset-exists", "the release has a file of this name", object=name)
        data = file.read_bytes()
        if name in self.ghosts:
            self.ghosts.remove(name)
            self.put(release.id, name, data, self.acting, complete=False)
            raise unreachable("the forge")
        progress(len(data))
        return self.put(release.id, name, data, self.acting)

    @port
    def remove(self, asset: Asset) -> None:
        for held in self.held.values():
            held.assets.pop(asset.id, None)

    @port
    def download(self, asset: Asset, file: Path, progress: Callable[[int], None]) -> None:
        file.write_bytes(self.bytes_of(asset))

    def bytes_of(self, asset: Asset) -> bytes:
        for held in self.held.values():
            if asset.id in held.assets:
                return held.assets[asset.id][1]
        raise ExternalError("asset-missing", "the asset is gone", object=asset.name, found="404")

    @port
    def publish(self, release: Release, latest: bool) -> Release:
        if self.refuses:
            raise ExternalError("forge-refused", "the forge refuses", object=release.url, retryable=False)
        self.undraft(release.id)
        if latest:
            self.latest = release.tag
        if self.mute:
            self.mute = False
            raise unreachable("the forge")
        return self.held[release.id].shown(digests=self.digests)

    @port
    def is_public(self, asset: Asset) -> bool:
        held = next((h for h in self.held.values() if asset.id in h.assets), None)
        return held is not None and not held.release.draft and not self.members_only

    @port
    def whoami(self) -> Person:
        return self.acting

    @port
    def voter(self, person: Person, roles: Sequence[str]) -> Voter:
        account = self.accounts.get(person.id)
        if account is None:
            return Voter(person.id, person.login, human=False, roles=frozenset())
        if account.roles is None:
            return Voter(person.id, person.login, human=False, roles=None)
        held = account.roles & set(roles)
        return Voter(person.id, account.person.login, account.human, held, account.emails)


class Issuer:
    """Gives the job one fresh identity token after the other."""

    label = "identity"

    def __init__(self, power: Power) -> None:
        self.power = power
        self.issued = 0

    @port
    def token(self, audience: str) -> str:
        self.issued += 1
        return f"secret-of-{audience}#{self.issued}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that reached a registry and was taken: when, for which package version, under which name and digest."""

    at: datetime
    package: str
    version: str
    name: str
    digest: str


class Registry:
    """A place that holds packages.

    ``forgiving`` registries answer yes to the same bytes again, others refuse a file that is there with what ``exists``
    says of it. ``taken`` is what is there, ``arrived`` every upload that was taken or would have been, ``at`` by which
    every one counts.
    ``record_lag`` and ``index_lag`` are the seconds until `observe` and `visible` show a file. ``faults`` are those
    of the next writes, one each, None for one that goes well, with ``lateness`` in seconds; packages in ``refused`` are
    refused for good, files in ``burned`` for their name was used up, those in ``closed`` have no trusted publisher;
    ``denying`` registries give rights and then deny them all. Without ``digests``, files are listed without one;
    ``down`` registries answer no read, others after ``slowness`` seconds. ``index`` is what consumers are shown, or
    told, instead of what is there.
    """

    def __init__(self, power: Power, clock: Clock, name: str, terms: Terms, *, forgiving: bool) -> None:
        self.power = power
        self.label = self.name = name
        self.terms = terms
        self.forgiving = forgiving
        self.exists = Sent.REFUSED
        self.arrived: list[Arrival] = []
        self.taken: list[Arrival] = []
        self.record_lag = 0.0
        self.index_lag = 0.0
        self.faults: list[Fault | None] = []
        self.refused: set[str] = set()
        self.closed: set[str] = set()
        self.denying = False
        self.digests = True
        self.down = False
        self.index: Listing | ExternalError | None = None
        self.burned: set[str] = set()
        self.lateness = 60.0
        self.slowness = 0.0
        self._clock = clock
        self._spent: set[str] = set()
        self.rights: dict[str, str] = {}

    def objections(self, publication: str, package: str, artifact: Inspected) -> Iterable[Objection]:
        return ()

    def file_name(self, package: str, version: str, artifact: Artifact) -> str:
        if self.name == "pypi":
            return artifact.name
        return f"{package.rpartition('/')[2]}-{version}.{'crate' if self.name == 'crates.io' else 'tgz'}"

    def plant(self, package: str, version: str, name: str, data: bytes) -> None:
        """What somebody else published."""
        self.taken.append(self._arrival(package, version, name, data))

    def take_down(self, name: str) -> None:
        """Remove a file; its name is used up."""
        self.taken = [t for t in self.taken if t.name != name]
        self.burned.add(name)

    @port
    def observe(self, package: str, version: str) -> Listing:
        if self.slowness:
            self._clock.sleep(self.slowness)
        return self._listing(package, version, self.record_lag)

    @port
    def visible(self, package: str, version: str) -> Listing:
        if isinstance(self.index, ExternalError):
            raise self.index
        if self.index is not None:
            return self.index
        return self._listing(package, version, self.index_lag)

    @port
    def authorize(self, package: str, identity: Identity) -> Credential:
        token = identity.token(self.name)
        if package in self.closed or token in self._spent:
            raise ExternalError(
                "publisher-refused",
                f"{self.name} has no trusted publisher of {package}",
                object=package,
                retryable=False,
            )
        self._spent.add(token)
        self.rights[token] = package
        return Credential(token, self._clock.time.timestamp() + 900)

    @port
    def discard(self, credential: Credential) -> None:
        self.rights.pop(credential.secret, None)

    @port
    def publish(
        self,
        publication: PlannedPublication,
        artifact: Artifact,
        file: Path,
        credential: Credential,
        progress: Callable[[int], None],
    ) -> Receipt:
        package, version = publication.package, publication.version
        fault = self.faults.pop(0) if self.faults else None
        held = self.rights.get(credential.secret) == package and credential.expires > self._clock.time.timestamp()
        if self.denying or not held:
            return Receipt(Sent.DENIED, "403 no right to this package")
        if fault is Fault.BUSY:
            return Receipt(Sent.LATER, "429 slow down", 30.0)
        if fault is Fault.REFUSED or package in self.refused:
            return Receipt(Sent.REFUSED, "400 not on this registry")
        if fault is Fault.REQUEST_LOST:
            return Receipt(Sent.UNKNOWN, "no answer")
        if self.file_name(package, version, artifact) in self.burned:
            return Receipt(Sent.TAKEN, "400 this name was used before")
        arrival = self._arrival(package, version, self.file_name(package, version, artifact), file.read_bytes())
        if fault is Fault.LATE:
            self._clock.later(self.lateness, lambda: self._take(replace(arrival, at=self._clock.time)))
            return Receipt(Sent.UNKNOWN, "no answer")
        receipt = self._take(arrival)
        if fault is Fault.ANSWER_LOST:
            return Receipt(Sent.UNKNOWN, "no answer")
        if fault is Fault.ERROR_AFTER:
            return Receipt(Sent.UNKNOWN, "500 something went wrong")
        return receipt

    def _arrival(self, package: str, version: str, name: str, data: bytes) -> Arrival:
        digest = hashlib.sha512(data).hexdigest() if self.name == "npm" else sha256(data)
        algorithm = "sha512" if self.name == "npm" else "sha256"
        return Arrival(self._clock.time, package, version, name, f"{algorithm}:{digest}")

    def _take(self, arrival: Arrival) -> Receipt:
        there = next((t for t in self.taken if _place(t) == _place(arrival)), None)
        if there is None:
            self.taken.append(arrival)
        elif not self.forgiving or there.digest != arrival.digest:
            return Receipt(self.exists, "400 this file already exists")
        self.arrived.append(arrival)
        return Receipt(Sent.ACCEPTED, "200")

    def _listing(self, package: str, version: str, lag: float) -> Listing:
        if self.down:
            raise unreachable(self.name)
        shown = [a for a in self.taken if a.package == package and a.at + timedelta(seconds=lag) <= self._clock.time]
        return Listing(
            package=bool(shown),
            files={a.name: a.digest if self.digests else "" for a in shown if a.version == version},
        )


def _place(arrival: Arrival) -> tuple[str, str, str]:
    return arrival.package, arrival.version, arrival.name


class Tap:
    """A repository that a package manager reads: branches of files, and open pull requests by branch."""

    def __init__(self, power: Power, label: str) -> None:
        self.power = power
        self.label = label
        self.branches: dict[str, dict[str, bytes]] = {BRANCH: {}}
        self.proposals: dict[str, str] = {}
        self.commits = 0

    @port
    def default_branch(self) -> str:
        return BRANCH

    @port
    def file(self, path: str, ref: str) -> bytes | None:
        return self.branches.get(ref, {}).get(path)

    @port
    def commit(self, branch: str, path: str, content: bytes, message: str) -> str:
        self.branches.setdefault(branch, dict(self.branches[BRANCH]))[path] = content
        self.commits += 1
        return f"{self.commits:040x}"

    @port
    def pull_request(self, branch: str, title: str, body: str) -> str:
        return self.proposals.setdefault(branch, f"https://forge.example.invalid/{self.label}/pull/{branch}")

    @port
    def open_pull_request(self, branch: str) -> str | None:
        return self.proposals.get(branch)


class Casks:
    """A dispatcher that writes the version and the manifest's digest into a tap.

    ``answer`` is what the next delivery is told instead of what happened; with a refusal, nothing happens.
    ``down`` taps cannot be read, ``slow`` ones say yes and show nothing; for ``unready`` ones this process lacks
    something. ``asked`` counts deliveries.
    """

    kind = "homebrew-cask"

    def __init__(self, taps: Mapping[str, Tap]) -> None:
        self.taps = taps
        self.answer: Receipt | None = None
        self.down = False
        self.unready = False
        self.slow = False
        self.asked = 0

    def objections(self, entry: PlannedDelivery, manifest: Manifest) -> Iterable[str]:
        return ()

    def ready(self, entry: PlannedDelivery) -> None:
        if self.unready:
            raise ConfigError("delivery-key-missing", "there is no key", object=entry.id)

    def observe(self, entry: PlannedDelivery, manifest: Manifest) -> Delivery:
        if self.down:
            raise unreachable(entry.repository)
        tap, path, content = self.taps[entry.repository], f"{entry.id}.rb", _cask(manifest)
        there = tap.file(path, tap.default_branch())
        if there == content:
            return Delivery(DeliveryState.SAME, path)
        if there and Version.parse(there.decode().split()[0]) > Version.parse(manifest.version):
            return Delivery(DeliveryState.NEWER, there.decode())
        url = tap.open_pull_request(f"releaser/{manifest.version}")
        if url and tap.file(path, f"releaser/{manifest.version}") == content:
            return Delivery(DeliveryState.PROPOSED, url)
        return Delivery(DeliveryState.ABSENT)

    def deliver(self, entry: PlannedDelivery, manifest: Manifest) -> Receipt:
        self.asked += 1
        if self.slow:
            return Receipt(Sent.ACCEPTED, "in the queue")
        answer, self.answer = self.answer, None
        if answer is not None and answer.sent in (Sent.REFUSED, Sent.DENIED, Sent.LATER):
            return answer
        tap, path = self.taps[entry.repository], f"{entry.id}.rb"
        if entry.via == "commit":
            done = tap.commit(tap.default_branch(), path, _cask(manifest), manifest.version)
        else:
            tap.commit(f"releaser/{manifest.version}", path, _cask(manifest), manifest.version)
            done = tap.pull_request(f"releaser/{manifest.version}", manifest.version, "")
        return answer or Receipt(Sent.ACCEPTED, done)


def _cask(manifest: Manifest) -> bytes:
    return f"{manifest.version} {manifest.digest()}".encode()


class Scratch:
    """Private room, as a process has it: an asset is fetched once, and read once for as long as it shows its digest."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._fetched: dict[int, Fetched] = {}
        self._known: dict[str, bytes] = {}

    def fetch(self, asset: Asset) -> Fetched:
        if asset.id not in self._fetched:
            file = in_memory(asset.name)
            self._forge.download(asset, file, lambda _: None)
            data = file.data
            self._fetched[asset.id] = Fetched(file, len(data), sha256(data), hashlib.sha512(data).hexdigest())
        return self._fetched[asset.id]

    def read(self, asset: Asset, limit: int) -> bytes:
        if asset.size > limit:
            raise ExternalError("asset-too-large", "the asset is too large", object=asset.name, retryable=False)
        if asset.digest in self._known:
            return self._known[asset.digest]
        room = _Room()
        self._forge.download(asset, cast(Path, room), lambda _: None)
        if asset.digest:
            if (found := f"sha256:{sha256(room.data)}") != asset.digest:
                raise ExternalError(
                    "asset-digest", "the bytes are other ones", object=asset.name, found=found, wanted=asset.digest
                )
            self._known[asset.digest] = room.data
        return room.data


class _Room:
    """What is written to a file whose name does not matter."""

    data: bytes = b""

    def write_bytes(self, data: bytes) -> None:
        self.data = data


class World:
    """A forge, three registries, taps, an issuer, a ledger and a clock, all of which go through one *power*."""

    def __init__(self, repository: RepositoryFacts, acting: Person, power: Power | None = None) -> None:
        self.power = power or Power()
        self.clock = Clock(self.power)
        self.ledger = Disk(self.power)
        self.forge = Forge(self.power, self.clock, repository, acting)
        self.forge.join(Account(acting, frozenset(), human=False))
        self.issuer = Issuer(self.power)
        self.reporter = Reporter()
        self.pypi = self._registry("pypi", Terms(Ecosystem.PEP440, frozenset({Kind.WHEEL, Kind.SDIST})), forgiving=True)
        self.crates = self._registry("crates.io", Terms(Ecosystem.CARGO, frozenset({Kind.CRATE})), forgiving=False)
        self.npm = self._registry("npm", Terms(Ecosystem.NPM, frozenset({Kind.NPM})), forgiving=False)
        self.registries = {r.name: r for r in (self.pypi, self.crates, self.npm)}
        self.taps: dict[str, Tap] = {}
        self.casks = Casks(self.taps)

    def _registry(self, name: str, terms: Terms, *, forgiving: bool) -> Registry:
        return Registry(self.power, self.clock, name, terms, forgiving=forgiving)

    def tap(self, repository: str) -> Tap:
        return self.taps.setdefault(repository, Tap(self.power, repository))

    def outside(self, clock: ports.Clock | None = None, workers: ports.Workers | None = None) -> Outside:
        """The ports as a new process opens them, by the clock of its machine; the power is back."""
        self.power.limit = None
        return Outside(
            forge=self.forge,
            registries=self.registries,
            dispatchers={self.casks.kind: self.casks},
            identity=self.issuer,
            scratch=Scratch(self.forge),
            clock=clock or self.clock,
            workers=workers or Workers(),
            reporter=self.reporter,
        )

    def crash_after(self, calls: int) -> None:
        """Let the process that runs now end right after its *calls*-th port call from here."""
        self.power.limit = len(self.power.calls) + calls

    def after(self, call: str, act: Callable[[], object]) -> None:
        """Let somebody act right after the next call of that name (``crates.io.publish``), once."""
        self.power.then[call].append(act)

    @property
    def arrived(self) -> list[Arrival]:
        return sorted((a for r in self.registries.values() for a in r.arrived), key=lambda a: a.at)

    def policy(self, text: str) -> None:
        """Put a policy on the default branch."""
        self.forge.tree[DEFAULT_PATH] = text.encode()

    def snapshot(self) -> tuple[object, ...]:
        """All that writes of a release could change, to be compared."""
        return (
            {i: (h.release, tuple(h.assets.values())) for i, h in self.forge.held.items()},
            {n: list(r.taken) for n, r in self.registries.items()},
            {n: ({b: dict(f) for b, f in t.branches.items()}, dict(t.proposals)) for n, t in self.taps.items()},
            list(self.ledger.lines),
        )
