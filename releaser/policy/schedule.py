"""What goes where, in which order: the policy's publications and deliveries for one release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from releaser.errors import ConfigError, ReleaserError
from releaser.model.artifact import Artifact
from releaser.model.manifest import PlannedDelivery, PlannedPublication
from releaser.model.plan import PaceRow
from releaser.model.policy import ChannelName, Policy
from releaser.model.spelling import spell
from releaser.model.terms import Registries
from releaser.model.version import Version
from releaser.policy.artifacts import groups_of, patterns_of, placeholders


def sorted_artifacts(policy: Policy, version: Version, tag: str, found: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts that belong to exactly one group, with that group, by name."""
    patterns = patterns_of(policy, placeholders(version, tag))
    placed = []
    for artifact in found:
        groups = groups_of(artifact.name, patterns)
        if len(groups) == 1:
            same = artifact.group == groups[0]
            placed.append(artifact if same else artifact.model_copy(update={"group": groups[0]}))
    return tuple(sorted(placed, key=lambda a: a.name))


def publications(
    policy: Policy,
    version: Version,
    channel: ChannelName,
    artifacts: Sequence[Artifact],
    registries: Registries,
) -> tuple[PlannedPublication, ...]:
    """The packages this release publishes, in waves: a wave's needs are all in earlier ones.

    A version that a registry cannot spell is left out here; the ``tag`` gate refuses it. Raises ConfigError
    ``policy-needs`` when a publication needs one that this channel does not make.
    """
    chosen = policy.publications(channel)
    waves: dict[str, int] = {}
    while len(waves) < len(chosen):
        ready = [n for n in chosen if n not in waves and all(d in waves for d in chosen[n].needs)]
        if not ready:
            name = next(n for n in chosen if any(d not in chosen for d in chosen[n].needs))
            raise _needs("publish", name, [d for d in chosen[name].needs if d not in chosen], channel)
        waves |= dict.fromkeys(ready, 1 + max(waves.values(), default=0))
    planned = []
    for name, entry in chosen.items():
        terms = registries[entry.registry]
        try:
            spelled = spell(version, terms.ecosystem)
        except ReleaserError:
            continue
        planned.append(
            PlannedPublication(
                id=name,
                registry=entry.registry,
                package=entry.package or name,
                version=spelled,
                files=tuple(a.name for a in artifacts if a.group in entry.files and a.kind in terms.kinds),
                needs=tuple(sorted(entry.needs)),
                environment=entry.environment,
                wave=waves[name],
            )
        )
    return tuple(sorted(planned, key=lambda p: (p.wave, p.id)))


def deliveries(policy: Policy, channel: ChannelName) -> tuple[PlannedDelivery, ...]:
    """The package managers this release updates, by name.

    Raises ConfigError ``policy-needs`` when one needs a publication that this channel does not make.
    """
    every = tuple(sorted(policy.publications(channel)))
    for name, entry in sorted(policy.deliveries(channel).items()):
        if lost := [n for n in entry.needs or () if n not in every]:
            raise _needs("downstream", name, lost, channel)
    return tuple(
        PlannedDelivery(
            id=name,
            kind=entry.kind,
            repository=entry.repository,
            via=entry.via,
            needs=every if entry.needs is None else tuple(sorted(entry.needs)),
            settings=entry.settings,
        )
        for name, entry in sorted(policy.deliveries(channel).items())
    )


def paces(publications: Iterable[PlannedPublication], registries: Registries) -> Iterator[PaceRow]:
    """How long the rate limits of registries make *publications* take at least; nothing for those that do not."""
    for registry, versions in sorted(Counter(p.registry for p in publications).items()):
        pace = registries[registry].pace
        if pace is not None and (least := pace.least(versions)):
            yield PaceRow(
                registry=registry,
                versions=versions,
                least=round(least.total_seconds()),
                reason=f"{pace.burst} new versions at once, then one every {pace.interval.total_seconds():.0f} s",
            )


def _needs(table: str, name: str, lost: Sequence[str], channel: ChannelName) -> ConfigError:
    return ConfigError(
        "policy-needs",
        f"{table}.{name} needs a publication that {channel} releases do not make",
        object=f"{table}.{name}.needs",
        found=", ".join(lost),
        wanted="publications of the same channel",
        hint=f"add them to channels.{channel}.publish",
    )
