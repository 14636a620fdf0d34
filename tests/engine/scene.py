"""A project like Cog in a `World`: native wheels, a crate, an SDK, a client, a command; and the people around it."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from releaser.engine.candidate import Candidate, Published, candidate
from releaser.engine.clock import ForgeClock
from releaser.engine.draft import draft
from releaser.engine.ledger import Ledger
from releaser.engine.ports import Outside, Release, RepositoryFacts
from releaser.engine.reconcile import Result, publish
from releaser.engine.run import Patience
from releaser.engine.states import State
from releaser.engine.view import Subject, View, look
from releaser.engine.vote import asset_name, cast, check, record_for
from releaser.model.approval import Decision
from releaser.model.artifact import Artifact, Kind
from releaser.model.facts import CheckState, Tag
from releaser.model.manifest import ASSET, CHECKSUMS, Manifest, Person, PolicyRef, RepositoryRef, TagRef
from releaser.model.policy import DEFAULT_PATH, KindSettings, Policy, policy_digest
from releaser.policy import schedule
from tests.simulation.shapes import FULL
from tests.world import BRANCH, Account, Casks, World, in_memory

REPOSITORY = "harbor/cog"
TAP = "harbor/homebrew-tap"
TEAM = "team:harbor/maintainers"
COMMIT, OBJECT, ELSEWHERE = "a1" * 20, "b2" * 20, "d4" * 20
PATIENCE = Patience(poll=2.0, refused=6.0, settle=120.0, visible=1800.0)
POLICY = (
    """\
[channels.stable]
branches = ["main"]
[channels.prerelease]
branches = ["prerelease/*"]
[channels.dev]
branches = ["*"]
draft = false
publish = []
[checks]
required = ["ci-complete"]
[approval]
quorum = 2
approvers = ["team:harbor/maintainers"]
expires = "72h"
"""
    + FULL.rules
)
LINUX, MAC = "coglet-1.2.0-py3-none-manylinux_2_28_x86_64.whl", "coglet-1.2.0-py3-none-macosx_11_0_arm64.whl"
CRATE, CLIENT, CLI = "coglet-1.2.0.crate", "harbor-cog-1.2.0.tgz", "cog_Linux_x86_64"
WHEEL, SDIST = "cog-1.2.0-py3-none-any.whl", "cog-1.2.0.tar.gz"
FILES = {f.name: (f.group, f.kind) for f in FULL.files}
BOT = Person(id=1, login="pipeline[bot]")
TAGGER = Person(id=2, login="tagger")
FIRST, SECOND, THIRD = (Person(id=10 + n, login=f"maintainer-{n}") for n in range(3))
STRANGER = Person(id=20, login="stranger")


def content(name: str) -> bytes:
    """The bytes of an artifact: short, and different for every name."""
    return f"the bytes of {name}\n".encode()


class _Settings(KindSettings):
    """The cask of these tests has no keys of its own."""


class Scene:
    """One release of the project, with so many more *wheels*, from artifacts on disk to wherever a test takes it.

    Every method is a process of its own: it opens the ports anew.
    """

    def __init__(self, folder: Path, tag: str = "v1.2.0", policy: str = POLICY, wheels: int = 0) -> None:
        self.world = World(RepositoryFacts(7, REPOSITORY, "main"), BOT)
        self.tag = tag
        more = {f"coglet-1.2.0-cp3{n}-none-any.whl": FILES[LINUX] for n in range(wheels)}
        self.groups = {**FILES, **more}
        self.published: Published | None = None
        self.runs = 0
        forge = self.world.forge
        member = frozenset({TEAM})
        for person in (FIRST, SECOND, THIRD):
            forge.join(Account(person, member))
        forge.join(Account(TAGGER, member, frozenset({"tagger@example.invalid"})))
        forge.join(Account(STRANGER, frozenset()))
        forge.tags[tag] = Tag(tag, OBJECT, COMMIT, annotated=True, tagger="tagger@example.invalid")
        forge.branches[BRANCH].add(COMMIT)
        forge.states["ci-complete"] = CheckState.SUCCESS
        self.world.policy(policy)
        self.world.tap(TAP)
        self.known = {n: r.terms for n, r in self.world.registries.items()}
        self.manifest = self.assembled()
        self.files = self.written(self.manifest)

    def assembled(self) -> Manifest:
        """The manifest that the policy on the default branch asks for."""
        text = self.world.forge.tree[DEFAULT_PATH]
        policy = self.read_policy(text.decode(), DEFAULT_PATH)
        version = policy.version_of(self.tag)
        assert version is not None
        channel = policy.channel_for(version)
        artifacts = tuple(sorted((artifact_of(n, g, k) for n, (g, k) in self.groups.items()), key=lambda a: a.name))
        return Manifest(
            repository=RepositoryRef(name=REPOSITORY, id=7),
            tag=TagRef(name=self.tag, object=OBJECT, commit=COMMIT, tagger="tagger@example.invalid"),
            initiator=TAGGER,
            version=str(version),
            channel=channel,
            draft=policy.channels[channel].draft,
            policy=PolicyRef(path=DEFAULT_PATH, digest=policy_digest(text)),
            artifacts=artifacts,
            publications=schedule.publications(policy, version, channel, artifacts, self.known),
            downstream=schedule.deliveries(policy, channel),
        )

    def written(self, manifest: Manifest) -> dict[str, Path]:
        """Every wanted file of *manifest*."""
        data = {n: content(n) for n in self.groups} | {ASSET: manifest.canonical(), CHECKSUMS: manifest.checksums()}
        return {name: in_memory(name, data[name]) for name in manifest.assets()}

    def read_policy(self, text: str, source: str) -> Policy:
        return _parsed(text, source, tuple(self.world.registries))

    @property
    def subject(self) -> Subject:
        return Subject(self.tag, self.read_policy, self.known, self.published)

    @property
    def release(self) -> Release:
        """The first release of the tag, as the forge shows it."""
        return next(h for h in self.world.forge.held.values() if h.release.tag == self.tag).shown(digests=True)

    # What people and jobs do

    def drafted(self, crash: int | None = None) -> Release:
        self.world.forge.acting = BOT
        outside = self._process(crash)
        return draft(outside, self.manifest, self.files, "notes")

    def seen(self) -> Candidate:
        return candidate(self.world.outside(), self.tag, self.read_policy, self.known)

    def vote(self, person: Person, decision: Decision = Decision.APPROVE, digest: str | None = None) -> bool:
        """*person* decides about *digest*, by default about what the draft holds; True when that is new."""
        self.world.forge.acting = person
        outside = self.world.outside()
        seen = candidate(outside, self.tag, self.read_policy, self.known)
        record = record_for(seen, decision, digest or seen.digest, "")
        check(outside, seen, record, person)
        return cast(outside, seen, record, person, in_memory(asset_name(record, person), record.canonical()))

    def approved(self) -> Scene:
        """The release as it is before most tests begin: drafted, and approved by a quorum."""
        self.drafted()
        self.vote(FIRST)
        self.vote(SECOND)
        return self

    def publish_by_hand(self, person: Person) -> None:
        """*person* makes the draft public, and the forge tells us so."""
        self.world.forge.undraft(self.release.id)
        self.published = Published(person, at=self.world.clock.now(), release=self.release.id)

    def look(self) -> View:
        return look(self.world.outside(), self.subject)

    def publish(self, crash: int | None = None, patience: Patience = PATIENCE) -> Result:
        self.world.forge.acting = BOT
        outside = self._process(crash)
        self.runs += 1
        ledger = Ledger(self.world.ledger, ForgeClock(outside.forge, outside.clock), f"run {self.runs}")
        return publish(outside, ledger, self.subject, patience, look(outside, self.subject))

    def finish(self, runs: int = 6) -> Result:
        """Publish again and again, as a patient operator does, until the release is out or nothing more happens."""
        result = self.publish()
        while result.state is not State.RELEASED and (runs := runs - 1):
            result = self.publish()
        return result

    def _process(self, crash: int | None) -> Outside:
        outside = self.world.outside()
        if crash is not None:
            self.world.crash_after(crash)
        return outside

    def move_tag(self) -> None:
        tags = self.world.forge.tags
        tags[self.tag] = replace(tags[self.tag], object=ELSEWHERE, commit=ELSEWHERE)

    def later(self, **span: float) -> None:
        """Let time go by."""
        self.world.clock.pass_by(timedelta(**span).total_seconds())

    def remove(self, person: Person) -> None:
        """Take *person* out of every team."""
        self.world.forge.accounts[person.id].roles = frozenset()

    # What can be read off the world

    def arrived(self) -> list[str]:
        """The files that registries took, in the order of their arrival."""
        return [a.name for a in self.world.arrived]

    def proposed(self) -> bool:
        """Whether the tap was told of the release."""
        return bool(self.world.tap(TAP).proposals)

    def open_intents(self) -> list[str]:
        """The effects on record whose end is not."""
        left: list[str] = []
        for record in self.world.ledger.records:
            effect = str(record["body"].get("effect"))
            if record["kind"] == "intent":
                left.append(effect)
            elif record["kind"] == "outcome" and effect in left:  # what was given up may be done after all
                left.remove(effect)
        return left


def artifact_of(name: str, group: str, kind: Kind) -> Artifact:
    """The artifact that `content` gives its bytes."""
    data = content(name)
    return Artifact(
        name=name,
        kind=kind,
        group=group,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        sha512=hashlib.sha512(data).hexdigest() if kind is Kind.NPM else None,
    )


@functools.cache
def _parsed(text: str, source: str, registries: tuple[str, ...]) -> Policy:
    return Policy.parse(text, source, registries=registries, dispatchers={Casks.kind: _Settings})
