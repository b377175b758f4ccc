"""Work that is done again and again for as long as a node runs, never twice at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.errors import Unavailable
from jindimail.replication.neighbours import BEAT_SECONDS


class Pulse:
    """
    One such work.

    Those that are in no hurry beat together, and with the groups' ticks, on a grid of the clock's: what an idle node costs is how
    often it wakes.
    What the work raises ends only this one time: `Unavailable` is usual among nodes, anything else is logged.

    @ivar seconds: between the end of one time and the beginning of the next, about; the work itself may change it.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float, work: Callable[[], Any]) -> None:
        """
        @param work: a function, or one that makes a coroutine.
        """
        self._clock = clock
        self.seconds = seconds
        self._work = work
        self._call: IDelayedCall | None = None
        self._running = False

    def start(self) -> None:
        """Begin on the next turn."""
        self._running = True
        self._again(0)

    def stop(self) -> None:
        """What is under way is finished; nothing more is begun."""
        self._running = False
        if self._call is not None and self._call.active():
            self._call.cancel()

    @property
    def isRunning(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._running

    def soon(self) -> None:
        """Do not wait for the time, if it is not under way."""
        if self._running and self._call is not None and self._call.active():
            self._call.cancel()
            self._again(0)

    def _again(self, seconds: float) -> None:
        if not self._running:
            return
        if seconds >= 2 * BEAT_SECONDS:
            now = self._clock.seconds()
            seconds = round((now + seconds) / BEAT_SECONDS) * BEAT_SECONDS - now
        self._call = self._clock.callLater(seconds, self._beat)

    def _beat(self) -> None:
        try:
            result = self._work()
        except Exception:  # the work goes on, whatever became of it this time
            self._failed(Failure())
            result = None
        if result is None:  # most have nothing to wait for
            self._again(self.seconds)
        else:
            done: Deferred[Any] = Deferred.fromCoroutine(result)
            done.addErrback(self._failed).addBoth(lambda _: self._again(self.seconds))

    def _failed(self, failure: Failure) -> None:
        if not failure.check(Unavailable):
            self.log.failure("{work} failed; it is tried again", failure, work=self._work)
