"""A story: which release, which faults, who races, who decides; written down, so that it can be told and shortened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.simulation.faults import Act, Strike


@dataclass(frozen=True)
class Crash:
    """The process of a *round* ends right after so many of its port *calls*."""

    round: int
    calls: int


@dataclass(frozen=True)
class Story:
    """Everything that a schedule depends on.

    ``strikes`` are the faults and moves, ``crashes`` processes that die at a given call; ``racers`` orchestrators work
    on the release at the same time in the first rounds. A *prepared* story begins with a drafted and approved release;
    others begin with ``drafters`` jobs and the votes of people. Approvals are ``age`` seconds old when the first run
    begins. ``restless`` is how often a task is interrupted, and *interleaved* ones run the work of one process side by
    side. Lags, skews and delays are those of each racer, in seconds.
    """

    seed: int
    shape: str = "wheel"
    quorum: int = 2
    voters: int = 2
    strikes: tuple[Strike, ...] = ()
    crashes: tuple[Crash, ...] = ()
    racers: int = 1
    prepared: bool = True
    drafters: int = 1
    age: float = 0.0
    restless: float = 0.0
    interleaved: bool = False
    record_lag: tuple[float, ...] = (0.0,)
    index_lag: tuple[float, ...] = (0.0,)
    skew: tuple[float, ...] = (0.0,)
    delays: tuple[float, ...] = (0.0,)
    choices: tuple[int, ...] | None = field(default=None)

    @property
    def skewed(self) -> bool:
        """Whether some machine's time of day is wrong."""
        return any(self.skew) or any(s.act is Act.JUMP for s in self.strikes)

    def as_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Story:
        data: dict[str, Any] = json.loads(text)
        data["strikes"] = tuple(Strike(**{**s, "act": Act(s["act"])}) for s in data["strikes"])
        data["crashes"] = tuple(Crash(**c) for c in data["crashes"])
        lists = ("record_lag", "index_lag", "skew", "delays", "choices")
        data |= {name: tuple(data[name]) for name in lists if data[name] is not None}
        return cls(**data)

    def told(self) -> list[str]:
        """The story in words, one thing that happens per line."""
        by = f"{self.racers} runs at the same time" if self.racers > 1 else "one run"
        words = [f"a release of shape {self.shape}, {self.quorum} approvals wanted and {self.voters} given, {by}"]
        if not self.prepared:
            words.append(f"drafted by {self.drafters} job{'s' * (self.drafters > 1)}, and voted on by people")
        if self.age:
            words.append(f"approved {self.age / 3600:g} hours before")
        if self.interleaved:
            words.append("the work of one process goes on side by side")
        record, index = max(self.record_lag), max(self.index_lag)
        if record or index:
            words.append(f"registries show files after {record:g} s, indexes after {index:g} s")
        if any(self.skew):
            words.append(f"clocks are off by {', '.join(f'{s:g}' for s in self.skew)} s")
        words += [f"round {c.round}: the process dies after call {c.calls}" for c in self.crashes]
        words += [str(s) for s in self.strikes]
        return words


def ends(story: Story, fired: Iterable[Strike], seconds: float = 0.0) -> frozenset[str]:
    """The states in which a release may end, given what struck it: without a cause, one that was approved is out.

    *seconds* is how old its approvals are by then.
    """
    found = {"released"} if story.voters >= story.quorum else {"awaiting approval"}
    fired = list(fired)
    for strike in fired:
        found |= _ENDS_BY_ACT.get(strike.act, frozenset())
        found |= _ENDS_BY_MOVE.get(strike.move, frozenset())
    if seconds >= LIFETIME:
        found |= {"expired", "awaiting approval"}
    if "needs human" in found and not story.prepared:
        found.add("undrafted")
    return frozenset(found)


def reports(story: Story, fired: Sequence[Strike], seconds: float) -> frozenset[str]:
    """The states that a run on the way may report: those of an end, those that pass, and a refusal that it met."""
    passing = {"approved", "publishing", "awaiting approval", "undrafted"}
    passing |= {"partial"} if any(s.act in _REFUSING or s.move in _SPOILING for s in fired) else set()
    passing |= {"frozen"} if any(s.move == "freeze_for_an_hour" for s in fired) else set()
    return ends(story, fired, seconds) | passing


LIFETIME = 72 * 3600.0
"""Seconds after which the policies of all stories let an approval expire."""
_SPOILING = frozenset(
    {
        *("publish_other", "publish_other_first", "publish_same", "publish_same_first"),  # refused before it shows
    }
)
_REFUSING = frozenset({Act.REFUSED, Act.LAPSED, Act.REPLAYED, Act.DENIED})
_VOIDED = frozenset({"voided"})
_HELD = frozenset({"awaiting approval"})
_CONFLICT = frozenset({"needs human"})
_ENDS_BY_ACT: Mapping[Act, frozenset[str]] = {Act.BURNED: frozenset({"burned"})}
_ENDS_BY_MOVE: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("move_tag", "delete_tag", "rewrite_branch", "fail_check", "edit_policy"), _VOIDED),
    **dict.fromkeys(("remove_approver", "hide_approver", "withdraw"), _HELD),
    **dict.fromkeys(("swap_asset", "tamper", "add_asset"), _CONFLICT),
    **dict.fromkeys(("publish_other", "publish_other_first", "publish_extra"), _CONFLICT),
    "replace_manifest": frozenset({"needs human", "awaiting approval", "voided"}),
    "take_down": frozenset({"needs human", "burned"}),
    "reject": frozenset({"rejected"}),
    "approve": frozenset({"released"}),
    "freeze": frozenset({"frozen"}),
}
