"""What a registry asks of everybody: how versions are spelt, which files it takes, how many versions how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from releaser.model.artifact import Kind
from releaser.model.spelling import Ecosystem


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate limit: *burst* new versions at once, then one every *interval*."""

    burst: int
    interval: timedelta

    def least(self, versions: int) -> timedelta:
        """The time from the first to the last of *versions* under this limit, and no other delay."""
        return max(versions - self.burst, 0) * self.interval


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one registry. Without a *pace* it is not known to limit how fast versions come."""

    ecosystem: Ecosystem
    kinds: frozenset[Kind]
    pace: Pace | None = None


Registries = Mapping[str, Terms]
"""The terms of every registry that a policy may name."""
