"""Gate ``branch``: a channel's releases come from that channel's branches."""

from __future__ import annotations

import re
from collections.abc import Iterator

from releaser.model.facts import Unobserved
from releaser.model.plan import GateRow
from releaser.policy.case import Case, Row, path_match

_SHOWN = 3


def branch(case: Case) -> Iterator[GateRow]:
    """Let through a tagged commit that a branch of the version's channel contains."""
    row = Row("branch", case.shown)
    if case.version is None or case.channel is None or case.facts.source is None:
        yield row.skip("the tag gate comes first")
        return
    rule = case.policy.channels.get(case.channel)
    if rule is None:
        yield row.fail(
            f"the policy has no channel for {case.channel} versions",
            found=f"{case.version} is a {case.channel} version",
            wanted="one of " + ", ".join(case.policy.channels),
            hint=f"add [channels.{case.channel}] to the policy, or choose another version",
        )
        return
    if "*" in rule.branches:
        yield row.passed(f"{case.channel} versions may come from any commit")
        return
    commit = case.facts.source.tag.commit
    containing = case.facts.source.branches
    if isinstance(containing, Unobserved):
        yield row.missing(containing)
        return
    matching = [b for b in containing if any(path_match(b, pattern) for pattern in rule.branches)]
    if matching:
        yield row.passed(f"{case.channel}: {matching[0]} contains {commit[:12]}")
        return
    named = [p for channel in case.policy.channels.values() for p in channel.branches if p != "*"]
    telling = sorted(containing, key=lambda b: not any(path_match(b, pattern) for pattern in named))
    shown = ", ".join(telling[:_SHOWN]) + (f" and {len(containing) - _SHOWN} more" if len(containing) > _SHOWN else "")
    missing = re.sub(r"\*+", case.version.core, rule.branches[0])
    yield row.fail(
        f"no branch for {case.channel} versions contains the tagged commit",
        found=f"{commit[:12]} is on {shown}" if containing else f"{commit[:12]} is on no branch",
        wanted=f"a branch matching {' or '.join(rule.branches)}, such as {missing}",
        hint=(
            f"git push origin {commit[:12]}:refs/heads/{missing}"
            if "*" in rule.branches[0]
            else f"merge the commit into {missing}, then tag it there"
        ),
    )
