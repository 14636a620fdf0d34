"""From a judged case to ``release.json``. Pure: the same case gives the same bytes on every machine."""

from __future__ import annotations

from releaser.errors import RefusedError
from releaser.model.facts import Source, Unobserved
from releaser.model.manifest import (
    APPROVAL_PREFIX,
    ASSET,
    CHECKSUMS,
    Manifest,
    Person,
    PolicyRef,
    RepositoryRef,
    TagRef,
)
from releaser.model.plan import GateRow, Status
from releaser.model.version import Version
from releaser.policy import schedule
from releaser.policy.case import Case

BEFORE_DRAFT = ("tag", "branch", "lockstep", "checks", "artifacts", "archive", "metadata", "limits")
"""The gates that must not fail before a manifest is written."""


def manifest_for(
    case: Case, repository: RepositoryRef, policy: PolicyRef, initiator: Person | None, rows: tuple[GateRow, ...]
) -> Manifest:
    """The manifest of a case whose gates were settled as *rows*.

    Raises RefusedError ``release-refused`` when a gate before the draft fails, waits or was not asked, or when
    there were no artifacts to look at; ``artifact-name-reserved``. Nothing is written then.
    """
    blocking = [r for r in rows if r.name in BEFORE_DRAFT and r.status in (Status.FAIL, Status.WAIT)]
    if isinstance(case.facts.artifacts, Unobserved):
        blocking += [r for r in rows if r.name == "artifacts"]
    unasked = set(BEFORE_DRAFT) - {r.name for r in rows}
    if blocking or unasked or case.version is None or case.channel is None or case.facts.source is None:
        raise refusal(case.shown, blocking)
    return compose(case, case.version, case.facts.source, repository, policy, initiator)


def refusal(tag: str, rows: list[GateRow]) -> RefusedError:
    """One error for all blocking rows: the first one's words, and how many more there are."""
    first = rows[0] if rows else None
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return RefusedError(
        "release-refused",
        f"{tag} is refused by gate {first.name}: {first.reason}{more}" if first else f"{tag} is refused",
        object=first.object if first else tag,
        found=first.found if first else "",
        wanted=first.wanted if first else "",
        hint=(first.hint if first and first.hint else f"releaser plan {tag}"),
    )


def compose(
    case: Case,
    version: Version,
    source: Source,
    repository: RepositoryRef,
    policy: PolicyRef,
    initiator: Person | None,
) -> Manifest:
    """The manifest that a case would get, whatever its gates say; raises RefusedError ``artifact-name-reserved``."""
    channel = case.policy.channel_for(version)
    artifacts = schedule.sorted_artifacts(case.policy, version, case.tag, (a.artifact for a in case.artifacts))
    taken = [a.name for a in artifacts if a.name in (ASSET, CHECKSUMS) or a.name.startswith(APPROVAL_PREFIX)]
    if taken:
        raise RefusedError(
            "artifact-name-reserved",
            "an artifact has a name that the release itself uses",
            object=taken[0],
            found=taken[0],
            wanted=f"another name than {ASSET}, {CHECKSUMS} or {APPROVAL_PREFIX}…",
            hint="rename the file in the build",
        )
    return Manifest(
        repository=repository,
        tag=TagRef(name=case.tag, object=source.tag.object, commit=source.tag.commit, tagger=source.tag.tagger),
        initiator=initiator,
        version=str(version),
        channel=channel,
        draft=case.policy.channels[channel].draft,
        policy=policy,
        artifacts=artifacts,
        publications=case.publications,
        downstream=schedule.deliveries(case.policy, channel),
    )
