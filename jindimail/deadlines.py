"""
Deadlines of much that is under way: one timer for all of it.

Nearly everything is done before its deadline. A timer of its own would be made, put into the reactor's heap, cancelled and taken out again
for each; here it is a row in a dictionary.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

INSTANT_SECONDS = 0.000_001  # sums of floating times may fall short of a deadline


class IsUnderWay(Protocol):
    """Something with a deadline."""

    def overdue(self) -> None:
        """Its deadline has come, and it was not dropped."""
        ...


class Deadlines:
    """Whatever is added is told when its time has come, unless it was dropped before."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ends: dict[IsUnderWay, float] = {}
        self._timer: IDelayedCall | None = None
        self._looksAt = inf

    def add(self, thing: IsUnderWay, seconds: float) -> None:
        """It is overdue after so many seconds."""
        now = self._clock.seconds()
        end = self._ends[thing] = now + seconds
        if end < self._looksAt:
            self._lookAt(now, end)

    def drop(self, thing: IsUnderWay) -> None:
        """It is done; harmless twice. The timer runs on: it is cheaper to look in vain now and then."""
        self._ends.pop(thing, None)

    def stop(self) -> None:
        """Nothing is overdue any more."""
        self._ends.clear()
        self._looksAt = inf
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _lookAt(self, now: float, end: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._looksAt = end
        self._timer = self._clock.callLater(max(0.0, end - now), self._look)

    def _look(self) -> None:
        now = self._clock.seconds()
        self._looksAt = inf
        over = [thing for thing, end in self._ends.items() if end - now < INSTANT_SECONDS]
        for thing in over:
            if self._ends.get(thing, inf) - now < INSTANT_SECONDS:
                del self._ends[thing]
                thing.overdue()
        end = min(self._ends.values(), default=inf)
        if end < self._looksAt:
            self._lookAt(now, end)
