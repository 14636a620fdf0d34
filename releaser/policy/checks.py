"""Gate ``checks``: the required checks are green on exactly the tagged commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from releaser.model.facts import CheckState, Unobserved
from releaser.model.plan import GateRow
from releaser.policy.case import Case, Row


def checks(case: Case) -> Iterator[GateRow]:
    """Let through a commit on which every required check passed or was skipped; a missing one did not pass."""
    required = case.policy.checks.required
    if not required:
        yield Row("checks", case.shown).skip("the policy requires none")
        return
    if case.facts.source is None:
        yield Row("checks", case.shown).skip("the tag gate comes first")
        return
    commit = case.facts.source.tag.commit[:12]
    for name in required:
        row = Row("checks", name)
        if isinstance(case.facts.world.checks, Unobserved):
            yield row.missing(case.facts.world.checks)
        else:
            yield _check(row, case.facts.world.checks.get(name), commit)


def _check(row: Row, state: CheckState | None, commit: str) -> GateRow:
    look = f"gh run list --commit {commit}"
    match state:
        case CheckState.SUCCESS | CheckState.SKIPPED:
            return row.passed(f"{state} on {commit}")
        case CheckState.FAILURE:
            return row.fail("the check failed", found="failure", wanted="success or skipped", hint=look)
        case CheckState.PENDING:
            return row.wait("the check is still running", found="pending", wanted="success or skipped", hint=look)
        case None:
            return row.wait(
                f"the check has not reported on {commit}", found="nothing", wanted="success or skipped", hint=look
            )
        case _:
            assert_never(state)
