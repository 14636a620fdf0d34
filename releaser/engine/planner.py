"""Facts in, plan out. Pure: the same facts give the same plan, in the CLI, in the job and in the simulator."""

from __future__ import annotations

from releaser.errors import ReleaserError
from releaser.model.facts import Delivery, DeliveryState, Facts, Presence, Shelf, Unobserved
from releaser.model.manifest import Manifest, PlannedDelivery, PlannedPublication
from releaser.model.plan import Action, DeliveryRow, FileRow, Plan, PublicationRow, VersionRow
from releaser.model.policy import Policy
from releaser.model.spelling import Ecosystem, spell
from releaser.model.terms import Registries
from releaser.model.version import Version
from releaser.policy import schedule
from releaser.policy.case import Case
from releaser.policy.decide import settle, verdict
from releaser.policy.tag import GRAMMAR
from releaser.policy.world import action_for


def case_for(policy: Policy, tag: str, facts: Facts, registries: Registries, manifest: Manifest | None = None) -> Case:
    """The case that the gates judge: version, channel and publications worked out from tag and policy."""
    version = version_of(policy, tag)
    channel = policy.channel_for(version) if version else None
    publications: tuple[PlannedPublication, ...] = ()
    if manifest is not None:
        publications = manifest.publications
    elif version is not None and channel is not None:
        found = () if isinstance(facts.artifacts, Unobserved) else (f.artifact for f in facts.artifacts)
        artifacts = schedule.sorted_artifacts(policy, version, tag, found)
        publications = schedule.publications(policy, version, channel, artifacts, registries)
    return Case(
        policy=policy,
        tag=tag,
        version=version,
        channel=channel,
        facts=facts,
        registries=registries,
        publications=publications,
        manifest=manifest,
    )


def version_of(policy: Policy, tag: str) -> Version | None:
    """The version *tag* names under *policy*, or None: then the ``tag`` gate says why."""
    if not GRAMMAR.fullmatch(tag):
        return None
    try:
        return policy.version_of(tag)
    except ReleaserError:
        return None


def plan(case: Case, repository: str, policy_digest: str) -> Plan:
    """The plan for one case."""
    rows = settle(case)
    publications = tuple(_publication(p, case) for p in case.publications)
    due = {p.id for p in publications if p.action is Action.PUBLISH}
    source = case.facts.source
    return Plan(
        repository=repository,
        tag=case.shown,
        commit=source.tag.commit if source else None,
        channel=case.channel,
        version=_spellings(case.version) if case.version else None,
        policy=policy_digest,
        manifest=case.manifest.digest() if case.manifest else None,
        verdict=verdict(rows),
        gates=rows,
        publications=publications,
        paces=tuple(schedule.paces((p for p in case.publications if p.id in due), case.registries)),
        downstream=tuple(_delivery(d, case) for d in _deliveries(case)),
    )


def _spellings(version: Version) -> VersionRow:
    def spelled(ecosystem: Ecosystem) -> str | None:
        try:
            return spell(version, ecosystem)
        except ReleaserError:
            return None

    return VersionRow(
        semver=str(version),
        pep440=spelled(Ecosystem.PEP440),
        cargo=spelled(Ecosystem.CARGO),
        npm=spelled(Ecosystem.NPM),
    )


def _publication(publication: PlannedPublication, case: Case) -> PublicationRow:
    shelf = case.facts.world.shelves.get(publication.id, Unobserved("not asked for"))
    if isinstance(shelf, Shelf):
        action, reason = action_for(publication, shelf)
    elif shelf.failed:
        action, reason = Action.WAIT, shelf.reason
    else:
        action, reason = Action.PUBLISH, f"{publication.registry} was not asked"
    artifacts = _artifacts(case)
    present = shelf.files if isinstance(shelf, Shelf) else {}
    return PublicationRow(
        id=publication.id,
        registry=publication.registry,
        package=publication.package,
        version=publication.version,
        needs=publication.needs,
        wave=publication.wave,
        action=action,
        reason=reason,
        environment=publication.environment,
        files=tuple(
            FileRow(name=n, size=artifacts[n][0], sha256=artifacts[n][1], action=_file_action(present.get(n)))
            for n in publication.files
        ),
    )


def _artifacts(case: Case) -> dict[str, tuple[int, str]]:
    if case.manifest is not None:
        return {a.name: (a.size, a.sha256) for a in case.manifest.artifacts}
    return {a.artifact.name: (a.artifact.size, a.artifact.sha256) for a in case.artifacts}


def _file_action(presence: Presence | None) -> Action:
    match presence:
        case Presence.SAME:
            return Action.SKIP
        case Presence.DIFFERENT:
            return Action.CONFLICT
        case Presence.UNKNOWN:
            return Action.WAIT
        case Presence.ABSENT | None:
            return Action.PUBLISH


def _deliveries(case: Case) -> tuple[PlannedDelivery, ...]:
    if case.manifest is not None:
        return case.manifest.downstream
    return schedule.deliveries(case.policy, case.channel) if case.channel else ()


def _delivery(entry: PlannedDelivery, case: Case) -> DeliveryRow:
    seen = case.facts.world.deliveries.get(entry.id, Unobserved("not asked for"))
    action, reason = delivery_action(entry, seen)
    return DeliveryRow(id=entry.id, kind=entry.kind, repository=entry.repository, action=action, reason=reason)


def delivery_action(entry: PlannedDelivery, seen: Delivery | Unobserved) -> tuple[Action, str]:
    """What is to be done about one package manager, and why."""
    how = f"{entry.via.replace('-', ' ')} to {entry.repository}"
    if isinstance(seen, Unobserved):
        if seen.failed:
            return Action.WAIT, seen.reason
        return Action.PUBLISH, f"{how} once {', '.join(entry.needs) or 'the release'} is public"
    match seen.state:
        case DeliveryState.SAME:
            return Action.SKIP, f"{entry.repository} already has it"
        case DeliveryState.PROPOSED:
            return Action.SKIP, f"proposed: {seen.detail}"
        case DeliveryState.SUBMITTED:
            return Action.SKIP, f"submitted: {seen.detail}"
        case DeliveryState.NEWER:
            return Action.SKIP, f"{entry.repository} is already ahead: {seen.detail}"
        case DeliveryState.CONFLICT:
            return Action.CONFLICT, seen.detail
        case DeliveryState.ABSENT:
            return Action.PUBLISH, how
