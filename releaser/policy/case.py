"""What a gate is asked, and the shape of its answer."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from releaser.model.artifact import Inspected
from releaser.model.facts import Facts, Unobserved
from releaser.model.manifest import Manifest, PlannedPublication
from releaser.model.plan import GateRow, Status
from releaser.model.policy import ChannelName, Policy
from releaser.model.terms import Registries
from releaser.model.version import Version


@dataclass(frozen=True, slots=True)
class Case:
    """One release before its judges: the policy, the tag's name, and the facts.

    ``version`` and ``channel`` are None when the tag names no version; ``registries`` gives each registry's terms;
    ``publications`` is what the policy schedules for this release; ``manifest`` is the
    release as assembled, once it is.
    """

    policy: Policy
    tag: str
    version: Version | None
    channel: ChannelName | None
    facts: Facts
    registries: Registries
    publications: tuple[PlannedPublication, ...] = ()
    manifest: Manifest | None = None

    @property
    def shown(self) -> str:
        """The tag's name in printable ASCII, for people and documents; a tag of the right form is shown as it is."""
        return ascii(self.tag)[1:-1]

    @property
    def artifacts(self) -> tuple[Inspected, ...]:
        """The artifacts that were given; none when none were."""
        return () if isinstance(self.facts.artifacts, Unobserved) else self.facts.artifacts


Gate = Callable[[Case], Iterator[GateRow]]
"""A pure rule: equal cases give equal rows. What is not known never passes."""


class Row(NamedTuple):
    """Makes one gate's rows: ``Row("branch", "v1.0.0").fail("…")``. A tuple, for many are made before every step."""

    name: str
    object: str

    def passed(self, reason: str) -> GateRow:
        return _row(self.name, self.object, Status.PASS, reason)

    def fail(self, reason: str, *, found: str = "", wanted: str = "", hint: str = "") -> GateRow:
        return _row(self.name, self.object, Status.FAIL, reason, found, wanted, hint)

    def wait(self, reason: str, *, found: str = "", wanted: str = "", hint: str = "") -> GateRow:
        return _row(self.name, self.object, Status.WAIT, reason, found, wanted, hint)

    def skip(self, reason: str) -> GateRow:
        return _row(self.name, self.object, Status.SKIP, reason)

    def missing(self, fact: Unobserved, hint: str = "") -> GateRow:
        """The row for a fact that is not there: skipped when nobody asked, waiting when asking failed."""
        return self.wait(fact.reason, hint=hint) if fact.failed else self.skip(fact.reason)


@lru_cache(maxsize=1024)  # a run settles the same case again before every step
def _row(
    name: str, object: str, status: Status, reason: str, found: str = "", wanted: str = "", hint: str = ""
) -> GateRow:
    return GateRow(name=name, object=object, status=status, reason=reason, found=found, wanted=wanted, hint=hint)


@lru_cache(maxsize=256)  # a run asks for the same few again before every step
def path_match(name: str, pattern: str) -> bool:
    """Whether *name* matches *pattern*, in which ``*`` does not cross a ``/`` and ``**`` does."""
    return _covers(name.split("/"), pattern.split("/"))


def _covers(parts: list[str], wanted: list[str]) -> bool:
    if not parts or not wanted:
        return not parts and not wanted
    longest = len(parts) if "**" in wanted[0] else 1
    return any(
        fnmatch.fnmatchcase("/".join(parts[:n]), wanted[0]) and _covers(parts[n:], wanted[1:])
        for n in range(1, longest + 1)
    )
