"""All gates, and the verdict over them. Adding a gate is one file and one row here."""

from __future__ import annotations

from collections.abc import Iterable

from releaser.model.plan import GateRow, Status, Verdict
from releaser.policy.approval import approval
from releaser.policy.archive import archive
from releaser.policy.artifacts import artifacts
from releaser.policy.branch import branch
from releaser.policy.case import Case, Gate, Row
from releaser.policy.checks import checks
from releaser.policy.freeze import freeze
from releaser.policy.limits import limits
from releaser.policy.lockstep import lockstep
from releaser.policy.metadata import metadata
from releaser.policy.tag import tag
from releaser.policy.world import world

RULES: tuple[Gate, ...] = (
    tag,
    branch,
    lockstep,
    checks,
    artifacts,
    archive,
    metadata,
    limits,
    freeze,
    approval,
    world,
)


def settle(case: Case) -> tuple[GateRow, ...]:
    """Every gate's rows, all of them, whatever the earlier ones say; a gate with nothing to judge says so."""
    return tuple(row for gate in RULES for row in tuple(gate(case)) or (_silent(gate),))


def _silent(gate: Gate) -> GateRow:
    return Row(gate.__name__, "all").skip("there is nothing to judge")


def verdict(rows: Iterable[GateRow]) -> Verdict:
    """Refused if anything fails, waiting if anything is still to come, ready otherwise; no rows is refused."""
    states = {row.status for row in rows}
    if not states or Status.FAIL in states:
        return Verdict.REFUSED
    return Verdict.WAITING if Status.WAIT in states else Verdict.READY
