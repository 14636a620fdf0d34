"""One look at a drafted release: what it is, what its gates say, what the world shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from releaser.engine import survey
from releaser.engine.candidate import Candidate, PolicyReader, Published, ballot, candidate, swapped
from releaser.engine.planner import case_for, plan
from releaser.engine.ports import Outside
from releaser.engine.states import State, derive, has_begun, is_complete
from releaser.model.artifact import Artifact
from releaser.model.facts import (
    Ballot,
    Damage,
    Delivery,
    DeliveryState,
    Facts,
    Freeze,
    Shelf,
    Source,
    Tag,
    Unobserved,
    World,
)
from releaser.model.manifest import Manifest
from releaser.model.plan import GateRow, Plan, Status
from releaser.model.policy import DEFAULT_PATH
from releaser.model.terms import Registries
from releaser.policy.approval import has_expired
from releaser.policy.case import Case
from releaser.policy.decide import settle

_BEFORE = Unobserved("verified when the draft was assembled")
_UNREAD = Unobserved("not read in this look")
_SERVED = (DeliveryState.SAME, DeliveryState.PROPOSED, DeliveryState.NEWER)
_ARRIVED = (*_SERVED, DeliveryState.SUBMITTED)


@dataclass(frozen=True, slots=True)
class View:
    """A candidate with what its gates say, and what consumers' indexes show of it (empty when that was not read).

    ``delivered`` are the deliveries that a ledger has as done.
    """

    candidate: Candidate
    case: Case
    rows: tuple[GateRow, ...]
    visible: Mapping[str, Shelf | Unobserved]
    delivered: frozenset[str] = frozenset()

    def with_delivered(self, delivered: frozenset[str]) -> View:
        """The same look where the record has *delivered* as done."""
        return self if delivered == self.delivered else replace(self, delivered=delivered)

    @property
    def manifest(self) -> Manifest:
        return self.candidate.manifest

    @property
    def world(self) -> World:
        return self.case.facts.world

    @property
    def plan(self) -> Plan:
        """The whole plan of it, for people."""
        return plan(self.case, self.manifest.repository.name, self.candidate.policy_digest)

    @property
    def state(self) -> State:
        """The state that this look shows; damage outranks all else that it shows."""
        if self.world.damage:
            return State.NEEDS_HUMAN
        seen = self.world.deliveries
        served = all(self._is_served(d.id, seen.get(d.id, _UNREAD)) for d in self.manifest.downstream)
        draft = self.candidate.release.draft
        ballot = self.world.ballot
        waiting = any(r.name == "approval" and r.status is Status.WAIT for r in self.rows)
        return derive(
            self.manifest,
            draft,
            self.rows,
            self.world.shelves,
            self.visible,
            served,
            expired=waiting
            and isinstance(ballot, Ballot)
            and has_expired(self.candidate.policy.approval, ballot, self.manifest),
            frozen=isinstance(self.world.freeze, Freeze),
        )

    def _is_served(self, entry: str, seen: Delivery | Unobserved) -> bool:
        """Whether it is there, or was: what somebody changed after its delivery is their business."""
        changed = isinstance(seen, Delivery) and seen.state in (DeliveryState.ABSENT, DeliveryState.CONFLICT)
        return is_served(seen) or (changed and entry in self.delivered)


def is_served(seen: Delivery | Unobserved) -> bool:
    """Whether a package manager has this release, a proposal of it, or a newer one."""
    return isinstance(seen, Delivery) and seen.state in _SERVED


def has_arrived(seen: Delivery | Unobserved) -> bool:
    """Whether nothing is left to send to a package manager; its moderators may still hold it back (T65)."""
    return isinstance(seen, Delivery) and seen.state in _ARRIVED


@dataclass(frozen=True, slots=True)
class Subject:
    """Which release is looked at, and with what: tag, policy reader, known registries, event, the policy's path.

    ``ledger`` is the option that names its ledger in the next command, empty where none does.
    """

    tag: str
    read_policy: PolicyReader
    registries: Registries
    published: Published | None = None
    policy_path: str = DEFAULT_PATH
    ledger: str = ""

    @property
    def again(self) -> str:
        """The command that goes on with this release."""
        return f"releaser publish {self.tag}{self.ledger}"


def look(outside: Outside, subject: Subject, before: Candidate | None = None) -> View:
    """Read everything: release, policy, votes, registries, indexes, package managers.

    A public release that was damaged is shown with its damage. Once a run goes on from what it saw *before*, damage is
    raised instead: ConflictError ``manifest-swapped``, ``asset-conflict``, ``asset-extra`` or ``asset-lost``.
    """
    seen = _candidate(outside, subject, before)
    manifest = seen.manifest
    artifacts: dict[str, Artifact] = {a.name: a for a in manifest.artifacts}
    shelves = survey.shelves(outside.registries, outside.workers, manifest.publications, artifacts)
    complete = [p for p in manifest.publications if is_complete(shelves[p.id])]
    visible = survey.shelves(outside.registries, outside.workers, complete, artifacts, visible=True)
    world = World(
        tag=survey.tag_at(outside.forge, subject.tag),
        freeze=survey.freeze_of(outside.forge, subject.tag),
        checks=survey.checks_on(outside.forge, manifest.tag.commit, seen.policy.checks.required),
        shelves=shelves,
        deliveries=survey.deliveries(outside.dispatchers, outside.workers, manifest.downstream, manifest),
        ballot=ballot(outside, seen, subject.published, begun=has_begun(shelves)),
        damage=tuple(Damage(e.object, e.message, e.found, e.wanted, e.hint) for e in seen.damage),
    )
    return _view(outside, seen, world, visible, subject)


def glance(outside: Outside, subject: Subject, before: Candidate, *, begun: bool) -> View:
    """Read again only what can void an approval: files, tag, branch, policy, freeze, checks, votes and voters.

    Raises what became of a release since *before*, as `look` does.
    """
    seen = _candidate(outside, subject, before)
    world = World(
        tag=survey.tag_at(outside.forge, subject.tag),
        freeze=survey.freeze_of(outside.forge, subject.tag),
        checks=survey.checks_on(outside.forge, seen.manifest.tag.commit, seen.policy.checks.required),
        ballot=ballot(outside, seen, subject.published, begun=begun),
    )
    return _view(outside, seen, world, {}, subject)


def _candidate(outside: Outside, subject: Subject, before: Candidate | None) -> Candidate:
    seen = candidate(outside, subject.tag, subject.read_policy, subject.registries, subject.policy_path, before)
    if before is not None and seen.digest != before.digest:
        raise swapped(subject.tag, seen.digest, before.digest)
    if before is not None and seen.damage:
        raise seen.damage[0]
    return seen


def _view(
    outside: Outside, seen: Candidate, world: World, visible: Mapping[str, Shelf | Unobserved], subject: Subject
) -> View:
    tag = seen.manifest.tag
    pinned = Tag(tag.name, tag.object, tag.commit, annotated=tag.object != tag.commit, tagger=tag.tagger)
    channel = seen.policy.channels.get(seen.manifest.channel)
    branches = survey.branches_with(outside.forge, tag.commit, channel.branches) if channel else _BEFORE
    facts = Facts(source=Source(pinned, branches, _BEFORE), artifacts=_BEFORE, world=world)
    case = case_for(seen.policy, subject.tag, facts, subject.registries, seen.manifest)
    return View(seen, case, settle(case), visible)
