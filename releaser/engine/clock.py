"""The one clock that runs on different machines agree about: the forge's."""

from __future__ import annotations

from datetime import datetime

from releaser.engine.ports import Clock, Forge


class ForgeClock:
    """Tells the *forge*'s time, and lets time go by as *clock* does; for what other runs read the time of."""

    def __init__(self, forge: Forge, clock: Clock) -> None:
        self._forge = forge
        self._clock = clock

    def now(self) -> datetime:
        return self._forge.time()

    def elapsed(self) -> float:
        return self._clock.elapsed()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
