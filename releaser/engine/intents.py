"""What was meant and what was answered, on record; and from that, what may be sent, and sent again.

An effect is recorded as ``intent`` before it is sent, as ``answer`` when something was answered, and as ``outcome``
when its end is known: ``done`` once the world shows it, ``conflict`` where the world shows something else, ``absent``
when it is sent again because the world does not show it, otherwise the answer that ended it. What an interrupted run
left open is taken up by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from releaser.engine.ports import Clock, Ledger, Receipt, Sent

_ATTEMPTS = 3


class Intents:
    """The effects of one release by key, each at most once under way.

    *wait* says for how many seconds an effect that was answered so must be looked for before it may be sent again.
    Different keys may be worked on side by side.
    """

    def __init__(self, ledger: Ledger, clock: Clock, wait: Callable[[Receipt], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._wait = wait
        self._attempts: dict[str, int] = {}
        self._open: dict[str, Receipt] = {}
        self._not_before: dict[str, datetime] = {}
        for record in ledger.entries():
            self._recall(record["kind"], record["body"], datetime.fromisoformat(record["at"]))

    def begin(self, key: str, digest: str) -> None:
        """Record, durably, that the effect is about to be sent."""
        self.close(key, "absent", "")
        self._ledger.append("intent", {"effect": key, "digest": digest})
        self._attempts[key] = self._attempts.get(key, 0) + 1
        self._note(key, Receipt(Sent.UNKNOWN), self._clock.now())

    def answered(self, key: str, receipt: Receipt) -> None:
        """Record what was answered. That it was to come later was no attempt."""
        self._note(key, receipt, self._clock.now())
        self._attempts[key] -= receipt.sent is Sent.LATER
        body = {"effect": key, "result": receipt.sent, "detail": receipt.detail, "wait": receipt.wait}
        self._ledger.append("answer", body)

    def close(self, key: str, result: str, evidence: str) -> None:
        """Record the end of an effect, if it is still open."""
        if key in self._open:
            self._ledger.append("outcome", {"effect": key, "result": result, "evidence": evidence})
            del self._open[key]

    def latest(self, key: str) -> Receipt | None:
        """The last word on an effect that was begun and whose end is not known, UNKNOWN without an answer."""
        return self._open.get(key)

    def accepted(self, key: str) -> bool:
        """Whether the effect was answered with yes and is still to be seen."""
        receipt = self.latest(key)
        return receipt is not None and receipt.sent is Sent.ACCEPTED

    def may_send(self, key: str) -> bool:
        """Whether an effect that is not there may be sent: nothing of ours is on its way, nor was it accepted."""
        receipt = self._open.get(key)
        return receipt is None or (receipt.sent is not Sent.ACCEPTED and self._clock.now() >= self._not_before[key])

    def last_word(self, key: str) -> Receipt | None:
        """The answer after which this run does not try again: a refusal, or one too many of another kind."""
        attempts = self._attempts.get(key, 0)
        receipt = self._open.get(key) if attempts else None
        return receipt if receipt and (receipt.sent is Sent.REFUSED or attempts >= _ATTEMPTS) else None

    def _recall(self, kind: str, body: Mapping[str, Any], at: datetime) -> None:
        """Take up what an earlier run recorded; a clock that was set back does not prolong a wait."""
        at = min(at, self._clock.now())
        if kind == "intent":
            self._note(body["effect"], Receipt(Sent.UNKNOWN), at)
        elif kind == "answer":
            receipt = Receipt(Sent(body["result"]), body["detail"], body.get("wait", 0.0))
            self._note(body["effect"], receipt, at)
        elif kind == "outcome":
            self._open.pop(body["effect"], None)

    def _note(self, key: str, receipt: Receipt, at: datetime) -> None:
        self._open[key] = receipt
        self._not_before[key] = at + timedelta(seconds=self._wait(receipt))
