"""Gate ``freeze``: nobody holds this release, or all releases, back."""

from __future__ import annotations

from collections.abc import Iterator

from releaser.model.facts import Freeze, Unobserved
from releaser.model.plan import GateRow
from releaser.policy.case import Case, Row


def freeze(case: Case) -> Iterator[GateRow]:
    """Let through a release that is not frozen; a frozen one waits until somebody thaws it."""
    row = Row("freeze", case.shown)
    match case.facts.world.freeze:
        case None:
            yield row.passed("nobody holds it back")
        case Unobserved() as unknown:
            yield row.missing(unknown)
        case Freeze(tag=tag) as frozen:
            yield row.wait(
                held_back(frozen),
                found="a freeze of this release" if tag else "a freeze of every release",
                wanted="none",
                hint=f"releaser thaw {case.shown}" if tag else "releaser thaw",
            )


def held_back(frozen: Freeze) -> str:
    """Who holds back, since when and why, on one line."""
    return f"held back by {frozen.by} since {frozen.at:%Y-%m-%d %H:%M} UTC: {' '.join(frozen.reason.split())}"
