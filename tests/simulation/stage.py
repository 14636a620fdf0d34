"""Where a story plays: one release of some shape, its world, and the processes that work on it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from releaser.engine.candidate import candidate
from releaser.engine.clock import ForgeClock
from releaser.engine.draft import draft
from releaser.engine.ledger import Ledger
from releaser.engine.ports import Outside, RepositoryFacts
from releaser.engine.reconcile import Result, publish
from releaser.engine.run import Patience
from releaser.engine.standing import standing
from releaser.engine.states import State, outlook
from releaser.engine.view import Subject, View, look
from releaser.engine.vote import asset_name, cast, check, record_for
from releaser.errors import ConflictError, RefusedError, ReleaserError
from releaser.model.approval import Approval, Decision
from releaser.model.document import Sha256
from releaser.model.facts import CheckState, Tag
from releaser.model.manifest import ASSET, CHECKSUMS, Manifest, Person, PolicyRef, RepositoryRef, TagRef
from releaser.model.policy import DEFAULT_PATH, KindSettings, Policy, policy_digest
from releaser.model.terms import Terms
from releaser.policy import schedule
from tests.engine.scene import artifact_of, content
from tests.simulation.scheduler import Choices, Process, Scheduler
from tests.simulation.shapes import Shape
from tests.world import BRANCH, Account, Casks, Memory, World, in_memory

REPOSITORY = "harbor/cog"
TEAM = "team:harbor/maintainers"
TAG, COMMIT, OBJECT = "v1.2.0", "a1" * 20, "b2" * 20
TAGGER_MAIL = "tagger@example.invalid"
BOT = Person(id=1, login="pipeline[bot]")
TAGGER = Person(id=2, login="tagger")
MAINTAINERS = tuple(Person(id=10 + n, login=f"maintainer-{n}") for n in range(3))
STRANGER = Person(id=20, login="stranger")
PATIENCE = Patience(poll=30.0, refused=6.0, settle=120.0, visible=1800.0)


class _Settings(KindSettings):
    """The cask of these stories has no keys of its own."""


@dataclass(frozen=True)
class Machine:
    """A process's clock: *off* by a skew, and asleep where the scheduler lets others move."""

    scheduler: Scheduler
    process: Process

    def now(self) -> datetime:
        return self.scheduler.clock.time + self.process.skew

    def elapsed(self) -> float:
        return self.scheduler.clock.seconds

    def sleep(self, seconds: float) -> None:
        self.scheduler.sleep(seconds)


class Stage:
    """A world with one release of *shape* in the making, and its policy asking for *quorum* approvals."""

    def __init__(self, shape: Shape, quorum: int, choices: Choices) -> None:
        self.shape = shape
        self.scheduler = Scheduler(choices)
        self.world = World(RepositoryFacts(7, REPOSITORY, "main"), BOT, self.scheduler)
        self.scheduler.clock = self.world.clock
        self.scheduler.enter = self._enter
        self.policy = shape.policy(quorum)
        forge = self.world.forge
        for person in MAINTAINERS:
            forge.join(Account(person, frozenset({TEAM})))
        forge.join(Account(TAGGER, frozenset({TEAM}), frozenset({TAGGER_MAIL})))
        forge.join(Account(STRANGER, frozenset()))
        forge.tags[TAG] = Tag(TAG, OBJECT, COMMIT, annotated=True, tagger=TAGGER_MAIL)
        forge.branches[BRANCH].add(COMMIT)
        forge.states["ci-complete"] = CheckState.SUCCESS
        self.world.policy(self.policy)
        for tap in shape.taps:
            self.world.tap(tap)
        self.terms: Mapping[str, Terms] = {n: r.terms for n, r in self.world.registries.items()}
        self.manifest = _manifest(shape, quorum, tuple(self.terms.items()))
        self.files = _files(shape, quorum, tuple(self.terms.items()))
        self.subject = Subject(TAG, _read_policy, self.terms)

    # Processes

    def outside(self, process: Process) -> Outside:
        """The ports as *process* opens them."""
        return self.world.outside(Machine(self.scheduler, process), self.scheduler)

    def drafts(self, process: Process) -> Callable[[], object]:
        """A job that drafts the release."""
        return lambda: draft(self.outside(process), self.manifest, self.files, "notes")

    def votes(self, process: Process, decision: Decision) -> Callable[[], object]:
        """A person who decides about what the draft holds."""

        def vote() -> bool:
            outside = self.outside(process)
            seen = candidate(outside, TAG, _read_policy, self.terms)
            record = record_for(seen, decision, seen.digest, "")
            check(outside, seen, record, process.person)
            file = in_memory(asset_name(record, process.person), record.canonical())
            return cast(outside, seen, record, process.person, file)

        return vote

    def publishes(self, process: Process) -> Callable[[], State | None]:
        """A job that publishes the release; the state that it leaves or finds, None where it saw nothing."""

        def run() -> State | None:
            outside = self.outside(process)
            view: View | None = None
            ledger: Ledger | None = None
            try:
                ledger = Ledger(self.world.ledger, ForgeClock(outside.forge, outside.clock), process.name)
                view = look(outside, self.subject)
                result: Result = publish(outside, ledger, self.subject, PATIENCE, view)
            except ReleaserError as error:
                process.problems.append(error)
                return self._state(view, ledger, error) if view and ledger else _unseen(error)
            process.problems += result.problems
            return result.state

        return run

    def _state(self, view: View, ledger: Ledger, error: ReleaserError) -> State:
        """The state of a release, as *view* showed it, whose run was stopped by *error* before anything was done."""
        state, _ = standing(view, ledger.entries(), self.subject.again)
        return outlook(state, {}, (error,))

    def _enter(self, process: Process) -> None:
        """Show the world as *process* sees it."""
        self.world.forge.acting = process.person
        for registry in self.world.registries.values():
            registry.record_lag, registry.index_lag = process.record_lag, process.index_lag

    # What was done before a story begins

    def prepare(self, voters: int) -> None:
        """A complete draft with the approvals of so many maintainers, as if it had always been there."""
        forge = self.world.forge
        release = forge.create_draft(TAG, COMMIT, TAG, "notes", prerelease=False)
        for name, file in self.files.items():
            forge.put(release.id, name, file.data, BOT)
        for person in MAINTAINERS[:voters]:
            record = approval(self.manifest)
            forge.put(release.id, asset_name(record, person), record.canonical(), person)


def _unseen(error: ReleaserError) -> State | None:
    """What *error* says of the release that it did not let a run look at."""
    if isinstance(error, ConflictError):
        return State.NEEDS_HUMAN
    if isinstance(error, RefusedError):
        return State.UNDRAFTED if error.code in ("release-missing", "release-incomplete") else State.VOIDED
    return None


def approval(manifest: Manifest, decision: Decision = Decision.APPROVE) -> Approval:
    """What an approver writes about *manifest*."""
    return _approval(manifest.digest(), manifest.policy.digest, decision)


@functools.cache
def _approval(manifest: Sha256, policy: Sha256, decision: Decision) -> Approval:
    return Approval(repository=REPOSITORY, tag=TAG, manifest=manifest, policy=policy, decision=decision)


@functools.cache
def _read_policy(text: str, source: str) -> Policy:
    registries = ("pypi", "crates.io", "npm")
    return Policy.parse(text, source, registries=registries, dispatchers={Casks.kind: _Settings})


@functools.cache
def _manifest(shape: Shape, quorum: int, terms: tuple[tuple[str, Terms], ...]) -> Manifest:
    text = shape.policy(quorum)
    policy = _read_policy(text, DEFAULT_PATH)
    version = policy.version_of(TAG)
    assert version is not None
    artifacts = tuple(sorted((artifact_of(f.name, f.group, f.kind) for f in shape.files), key=lambda a: a.name))
    return Manifest(
        repository=RepositoryRef(name=REPOSITORY, id=7),
        tag=TagRef(name=TAG, object=OBJECT, commit=COMMIT, tagger=TAGGER_MAIL),
        initiator=TAGGER,
        version=str(version),
        channel=policy.channel_for(version),
        policy=PolicyRef(path=DEFAULT_PATH, digest=policy_digest(text.encode())),
        artifacts=artifacts,
        publications=schedule.publications(policy, version, policy.channel_for(version), artifacts, dict(terms)),
        downstream=schedule.deliveries(policy, policy.channel_for(version)),
    )


@functools.cache
def _files(shape: Shape, quorum: int, terms: tuple[tuple[str, Terms], ...]) -> Mapping[str, Memory]:
    manifest = _manifest(shape, quorum, terms)
    data = {f.name: content(f.name) for f in shape.files}
    data |= {ASSET: manifest.canonical(), CHECKSUMS: manifest.checksums()}
    return {name: in_memory(name, data[name]) for name in manifest.assets()}
