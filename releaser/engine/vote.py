"""Recording a decision about a draft: a file on the release, whose uploader the forge vouches for.

The record says what was decided about which bytes. Who decided is the uploader that the forge shows, so nobody
can write an approval in another's name, and replacing one changes its author.
"""

from __future__ import annotations

from pathlib import Path

from releaser.engine.candidate import Candidate, ballot
from releaser.engine.ports import Outside
from releaser.errors import ExternalError, RefusedError
from releaser.model.approval import Approval, Decision, Vote
from releaser.model.facts import Ballot
from releaser.model.manifest import APPROVAL_PREFIX, Person
from releaser.model.policy import ApprovalRule
from releaser.policy.approval import tally, unfit


def record_for(seen: Candidate, decision: Decision, digest: str, note: str) -> Approval:
    """The record of a decision about exactly *digest*.

    Raises RefusedError ``approval-stale`` when the release holds another manifest, ``approval-policy-changed`` when it
    was judged by another policy, and ConflictError for a damaged one; a rejection needs neither policy nor files.
    """
    tag, draft = seen.manifest.tag.name, seen.release.draft
    if digest != seen.digest:
        raise RefusedError(
            "approval-stale",
            "the draft is not the one you looked at",
            object=tag,
            found=seen.digest,
            wanted=digest,
            hint=f"releaser status {tag} shows what it holds now; approve that digest if it is right",
        )
    if seen.policy_digest != seen.manifest.policy.digest and decision is Decision.APPROVE:
        raise RefusedError(
            "approval-policy-changed",
            "the policy was changed after this release was assembled",
            object=seen.manifest.policy.path,
            found=seen.policy_digest,
            wanted=seen.manifest.policy.digest,
            hint=f"delete the draft, releaser assemble {tag} --artifacts DIR, then draft and approve again"
            if draft
            else "give the default branch the wanted policy back, or choose a new version: this one is public",
        )
    if seen.damage and decision is Decision.APPROVE:
        raise seen.damage[0]
    return Approval(
        repository=seen.manifest.repository.name,
        tag=tag,
        manifest=seen.manifest.digest(),
        policy=seen.manifest.policy.digest,
        decision=decision,
        note=note,
    )


def check(outside: Outside, seen: Candidate, record: Approval, person: Person) -> Ballot:
    """The votes so far; raises RefusedError ``approval-refused`` when *person*'s would not count, and says why."""
    rule: ApprovalRule = seen.policy.approval
    voter = outside.forge.voter(person, rule.approvers)
    now = outside.forge.time()
    before = ballot(outside, seen, None, begun=False)
    vote = Vote(
        by=voter,
        at=now,
        decision=record.decision,
        manifest=record.manifest,
        policy=record.policy,
        tag=record.tag,
        repository=record.repository,
        via="recorded",
    )
    if reason := unfit(vote, rule, before, seen.manifest):
        raise RefusedError(
            "approval-refused",
            f"{person.login} {reason}",
            object=record.tag,
            found=f"{person.login} {reason}",
            wanted=f"one of {', '.join(rule.approvers)}"
            + (f", but not the {' or '.join(rule.exclude)}" if rule.exclude else ""),
            hint="somebody else has to decide: see [approval] in the policy",
        )
    if voter.roles is None:
        raise ExternalError(
            "approver-unknown",
            f"the rights of {person.login} could not be looked up",
            object=person.login,
            hint="try again; an approval counts only while the rights can be seen",
        )
    if record.decision is Decision.APPROVE and (no := tally(rule, before, seen.manifest).rejected):
        raise RefusedError(
            "release-rejected",
            f"{', '.join(no)} rejected these bytes",
            object=record.tag,
            found="a rejection",
            wanted="none",
            hint="a rejection is final: "
            + ("build again, or choose a new version" if seen.release.draft else "choose a new version"),
        )
    return before


def asset_name(record: Approval, person: Person) -> str:
    """One file per person, decision and digest, so that deciding twice changes nothing but an expired approval."""
    return f"{APPROVAL_PREFIX}{person.id}-{record.decision}-{record.manifest[7:19]}.json"


def cast(outside: Outside, seen: Candidate, record: Approval, person: Person, file: Path) -> bool:
    """Put the record, already written to *file*, on the release; False when it was there before and still counts.

    An unfinished upload of it is sent again, and an approval that expired is given anew. Raises ConflictError
    ``asset-exists`` when somebody else has put a file of its name there.
    """
    name = asset_name(record, person)
    now, lifetime = outside.forge.time(), seen.policy.approval.lifetime
    for mine in (a for a in seen.release.assets if a.name == name and a.by.id == person.id):
        if mine.complete and (record.decision is Decision.REJECT or now - mine.at < lifetime):
            return False
        outside.forge.remove(mine)
    with outside.reporter.transfer(name, file.stat().st_size) as progress:
        outside.forge.upload(seen.release, name, file, progress)
    return True
