"""What was meant and what was answered, on record; and from that, what may be sent, and sent again.

An effect is recorded as ``intent`` before it is sent, as ``answer`` when something was answered, and as ``outcome``
when its end is known: ``done`` once the world shows it, ``conflict`` where the world shows something else, ``gone``
when what was done or accepted is not there (any more), ``absent`` when it is sent again because the world does not
show it, ``unsent`` when it was not sent after all, otherwise the answer that ended it. What an interrupted run left
open is taken up by the next one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from releaser.engine.ledger import Entry, Ledger
from releaser.engine.ports import Clock, Receipt, Sent

UNDRAFT = "release/"
"""What the keys of making a release public begin with."""
_ATTEMPTS = 3
_ALIVE = 3600.0
"""Seconds after which no request of a run that recorded an intent can still be under way, and no index still lags."""
_SETTLED = ("done", "conflict", "gone")
"""Ends after which nothing is sent again, even where a reader that lags does not show them."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an effect ended: a ``result`` of `releaser.model.record.Outcome`, and what shows it."""

    effect: str
    result: str
    evidence: str = ""


class Intents:
    """The effects of one release by key, each at most once under way.

    *wait* says for how many seconds an effect that was answered so must be looked for before it may be sent again;
    *manifest* is the digest of what they are about.
    """

    def __init__(self, ledger: Ledger, clock: Clock, wait: Callable[[Receipt], float], manifest: str = "") -> None:
        self._ledger = ledger
        self._clock = clock
        self._wait = wait
        self._manifest = manifest
        self._attempts: dict[str, int] = {}
        self._open: dict[str, Receipt] = {}
        self._not_before: dict[str, float] = {}
        self._ended: dict[str, str] = {}
        self._endings: list[Entry] = []
        self._recall()

    def claim(self) -> None:
        """Be the one run that works on this release, and take up what the others have recorded until now."""
        if not self._ledger.epoch:
            self._ledger.claim(self._manifest)
            self._recall()

    def begin(self, effects: Mapping[str, str]) -> None:
        """Record, durably, that each effect is about to be sent with content of its digest."""
        self.close(Ending(key, "absent") for key in effects)
        epoch = self._ledger.epoch
        self.record(*(("intent", {"effect": k, "digest": d, "epoch": epoch}) for k, d in effects.items()))
        for key in effects:
            self._ended.pop(key, None)
            self._attempts[key] = self._attempts.get(key, 0) + 1
            self._note(key, Receipt(Sent.UNKNOWN), 0.0)

    def answered(self, answers: Mapping[str, Receipt]) -> None:
        """Record what was answered. That it was to come later was no attempt."""
        entries: list[Entry] = []
        for key, receipt in answers.items():
            self._note(key, receipt, 0.0)
            self._attempts[key] -= receipt.sent is Sent.LATER
            body = {"effect": key, "result": receipt.sent, "detail": receipt.detail, "wait": math.ceil(receipt.wait)}
            entries.append(("answer", body))
        self.record(*entries)

    def is_news(self, ending: Ending) -> bool:
        """Whether the end is not on record: the effect is open, given up and done after all, or done and gone."""
        known = self._ended.get(ending.effect)
        turned = ending.result == ("gone" if known == "done" else "done") and known != ending.result
        return ending.effect in self._open or (known is not None and turned)

    def close(self, endings: Iterable[Ending]) -> None:
        """Note those ends that are news; they are on record with the next thing that is."""
        for ending in endings:
            if self.is_news(ending):
                body = {"effect": ending.effect, "result": ending.result, "evidence": ending.evidence}
                self._endings.append(("outcome", body))
                self._attempts[ending.effect] = self._attempts.get(ending.effect, 0) - (ending.result == "unsent")
                self._open.pop(ending.effect, None)
                self._ended[ending.effect] = ending.result
                self._not_before[ending.effect] = self._clock.elapsed()

    def record(self, *entries: Entry) -> None:
        """Put the ends noted so far on record, and *entries* behind them."""
        self._ledger.append([*self._endings, *entries])
        self._endings.clear()

    def is_open(self, key: str) -> bool:
        """Whether the effect was begun and its end is not known."""
        return key in self._open

    def latest(self, key: str) -> Receipt | None:
        """The last word on an open effect, UNKNOWN without an answer."""
        return self._open.get(key)

    def accepted(self, key: str) -> bool:
        """Whether the effect was answered with yes and is still to be seen."""
        receipt = self.latest(key)
        return receipt is not None and receipt.sent is Sent.ACCEPTED

    def is_overdue(self, key: str) -> bool:
        """Whether the effect was accepted, or seen done, so long ago that whoever looks now should see it."""
        known = self.accepted(key) or self._ended.get(key) == "done"
        return known and self._clock.elapsed() - self._not_before[key] >= _ALIVE

    def may_send(self, key: str) -> bool:
        """Whether an effect that is not there may be sent: nothing of ours is on its way, was accepted or seen done."""
        if self._ended.get(key) in _SETTLED:
            return False
        receipt = self._open.get(key)
        return receipt is None or (receipt.sent is not Sent.ACCEPTED and self._clock.elapsed() >= self._not_before[key])

    def last_word(self, key: str) -> Receipt | None:
        """The answer after which this run does not try again: a refusal, or one too many of another kind."""
        attempts = self._attempts.get(key, 0)
        receipt = self._open.get(key) if attempts else None
        final = receipt and (receipt.sent in (Sent.REFUSED, Sent.TAKEN) or attempts >= _ATTEMPTS)
        return receipt if final else None

    @property
    def ended(self) -> Mapping[str, str]:
        """The result of every effect that has ended and was not begun again."""
        return self._ended

    def _recall(self) -> None:
        """Take up what earlier runs recorded."""
        self._open.clear()
        self._ended = {key: ending.result for key, ending in endings(self._ledger.entries()).items()}
        latest: dict[str, Mapping[str, Any]] = {}
        for record in self._ledger.entries():
            if record["kind"] in ("intent", "answer"):
                latest[record["body"]["effect"]] = record
            elif record["kind"] == "outcome":
                latest.pop(record["body"]["effect"], None)
                self._not_before[record["body"]["effect"]] = self._clock.elapsed() - self._age(record)
        for key, record in latest.items():
            body = record["body"]
            age = self._age(record)
            if record["kind"] == "intent":  # its request may still be on its way, however long ago that was recorded
                self._note(key, Receipt(Sent.UNKNOWN), age if age >= _ALIVE else 0.0)
            else:
                self._note(key, Receipt(Sent(body["result"]), body["detail"], body["wait"]), age)

    def _age(self, record: Mapping[str, Any]) -> float:
        """The seconds since a record was made."""
        return max(0.0, (self._ledger.now() - datetime.fromisoformat(record["at"])).total_seconds())

    def _note(self, key: str, receipt: Receipt, age: float) -> None:
        self._open[key] = receipt
        self._not_before[key] = self._clock.elapsed() + self._wait(receipt) - age


def begun_with(records: Iterable[Mapping[str, Any]]) -> str:
    """The digest of the manifest whose effects have begun and were not taken back; empty before the first. Pure.

    That a release was made public does not count: it may be deleted and drafted again before anything else is out.
    """
    manifest, begun, sent = "", dict[str, str](), Counter[str]()
    for record in records:
        body = record["body"]
        effect, result = body.get("effect", ""), body.get("result", "")
        if record["kind"] == "run":
            manifest = body.get("manifest", "")
        elif record["kind"] == "intent" and not effect.startswith(UNDRAFT):
            begun[effect] = manifest
            sent[effect] += 1
        elif record["kind"] == "outcome" and effect in begun:
            sent[effect] = {"unsent": sent[effect] - 1, "refused": 0}.get(result, max(1, sent[effect]))
    return next((begun[effect] for effect in begun if sent[effect] > 0 and begun[effect]), "")


def endings(records: Iterable[Mapping[str, Any]]) -> Mapping[str, Ending]:
    """The end of every effect that has ended and was not begun again, read off a ledger's *records*. Pure."""
    found: dict[str, Ending] = {}
    for record in records:
        if record["kind"] == "intent":
            found.pop(record["body"]["effect"], None)
        elif record["kind"] == "outcome":
            found[record["body"]["effect"]] = Ending(**record["body"])
    return found
