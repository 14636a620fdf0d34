"""Gate ``approval``: enough of the right people agreed to exactly these bytes, and nobody said no."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from releaser.model.approval import Decision, Vote, Voter
from releaser.model.facts import Ballot, Unobserved
from releaser.model.manifest import Manifest
from releaser.model.plan import GateRow
from releaser.model.policy import ApprovalRule
from releaser.policy.case import Case, Row


@dataclass(frozen=True, slots=True)
class Tally:
    """Who counts, who said no, whose vote was left out and why, and whose rights could not be looked up.

    ``doubtful`` are those of the last who said no.
    """

    approved: tuple[str, ...]
    rejected: tuple[str, ...]
    ignored: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]
    doubtful: tuple[str, ...] = ()


def excluded(rule: ApprovalRule, manifest: Manifest, voter: Voter, author: int) -> str:
    """Why the rule leaves *voter* out of this release, empty when it does not.

    Whoever put the manifest on the release by hand started it, whatever the manifest says (`Ballot.author`).
    """
    tagger = manifest.tag.tagger.lower()
    if "tagger" in rule.exclude and tagger and tagger in {e.lower() for e in voter.emails}:
        return "tagged this release"
    if "initiator" in rule.exclude and manifest.initiator is not None and manifest.initiator.id == voter.id:
        return "started this release"
    if "initiator" in rule.exclude and author == voter.id:
        return "put this release's manifest there by hand"
    return ""


def unfit(vote: Vote, rule: ApprovalRule, ballot: Ballot, manifest: Manifest) -> str:
    """Why *vote* does not count, empty when it does. Voters are judged only where they could be looked up."""
    reject = vote.decision is Decision.REJECT
    if (vote.repository, vote.tag) != (manifest.repository.name, manifest.tag.name):
        return f"is about {vote.repository} {vote.tag}"
    if vote.manifest != ballot.manifest:
        return f"is about other bytes ({vote.manifest[:19]})"
    if vote.by.roles is not None and not vote.by.human:
        return "is not a person"
    if not reject and vote.policy != ballot.policy:
        return "was given under another policy"
    if not reject and not ballot.begun and ballot.now - vote.at >= rule.lifetime:
        return f"expired after {rule.expires}"
    if not reject and (reason := excluded(rule, manifest, vote.by, ballot.author)):
        return reason
    if vote.by.roles is not None and vote.by.roles.isdisjoint(rule.approvers):
        return "is not an approver"
    return ""


def tally(rule: ApprovalRule, ballot: Ballot, manifest: Manifest) -> Tally:
    """Count the votes. Pure; a rejection by an approver is final for these bytes, and people count once."""
    approved: dict[int, str] = {}
    rejected: dict[int, str] = {}
    ignored: list[tuple[str, str]] = []
    unknown: dict[int, str] = {}
    doubtful: dict[int, str] = {}
    for vote in ballot.votes:
        if reason := unfit(vote, rule, ballot, manifest):
            ignored.append((vote.by.login, reason))
        elif vote.by.roles is None:
            unknown[vote.by.id] = vote.by.login
            if vote.decision is Decision.REJECT:
                doubtful[vote.by.id] = vote.by.login
        elif vote.decision is Decision.REJECT:
            rejected[vote.by.id] = vote.by.login
        else:
            approved[vote.by.id] = vote.by.login
    return Tally(
        approved=tuple(approved.values()),
        rejected=tuple(rejected.values()),
        ignored=tuple(ignored),
        unknown=tuple(unknown.values()),
        doubtful=tuple(doubtful.values()),
    )


def has_expired(rule: ApprovalRule, ballot: Ballot, manifest: Manifest) -> bool:
    """Whether only time has run out on enough approvals. Pure."""
    ageless = replace(ballot, begun=True)
    return len(tally(rule, ballot, manifest).approved) < rule.quorum <= len(tally(rule, ageless, manifest).approved)


def approval_row(rule: ApprovalRule, ballot: Ballot, manifest: Manifest) -> GateRow:
    """The gate's answer for one release."""
    row = Row("approval", manifest.tag.name)
    count = tally(rule, ballot, manifest)
    if manifest.policy.digest != ballot.policy:
        return Row("approval", manifest.policy.path).fail(
            "the policy was changed after this release was assembled",
            found=ballot.policy,
            wanted=manifest.policy.digest,
            hint="put the old policy back; or, while it is a draft, delete it, assemble, draft and approve again",
        )
    if count.rejected:
        return row.fail(
            f"rejected by {', '.join(count.rejected)}",
            found="a rejection",
            wanted="none",
            hint="a rejection is final for these bytes: choose a new version",
        )
    if count.doubtful:
        return row.wait(
            f"{', '.join(count.doubtful)} said no, and whether they may could not be looked up",
            found="a rejection of unknown weight",
            wanted="the rights of everybody who voted",
            hint=f"releaser status {manifest.tag.name}",
        )
    have = f"{len(count.approved)}/{rule.quorum} approvals of {ballot.manifest[:19]}"
    if len(count.approved) >= rule.quorum:
        return row.passed(f"{have}: {', '.join(count.approved)}")
    left_out = "; ".join(f"{who} {why}" for who, why in count.ignored)
    found = have + (f"; left out: {left_out}" if left_out else "")
    if count.unknown:
        found += f"; rights could not be looked up: {', '.join(count.unknown)}"
    return row.wait(
        have,
        found=found,
        wanted=f"{rule.quorum} of {', '.join(rule.approvers)} within {rule.expires}",
        hint=f"releaser approve {manifest.tag.name} --digest {ballot.manifest}",
    )


def approval(case: Case) -> Iterator[GateRow]:
    """Before a manifest exists nobody can have approved it: say what will be needed.

    What goes to registries or package managers is never public without approval, whatever the policy became since.
    """
    rule = case.policy.approval
    channel = case.policy.channels.get(case.channel) if case.channel else None
    row = Row("approval", case.shown)
    ballot = case.facts.world.ballot
    effects = case.publications or (case.manifest is not None and case.manifest.downstream)
    if channel is not None and not channel.draft and not effects:
        yield row.skip(f"{case.channel} releases are public at once and go to no registry")
    elif isinstance(ballot, Unobserved) and ballot.failed:
        yield row.missing(ballot, hint=f"releaser status {case.shown}")
    elif isinstance(ballot, Unobserved) or case.manifest is None:
        yield row.skip(f"{rule.quorum} of {', '.join(rule.approvers)} once the draft is complete")
    else:
        yield approval_row(rule, ballot, case.manifest)
