"""
Turns of the reactor without what this program does not use.

Twisted wraps each event of a descriptor in a log context of its own, of which only messages of the old logging API make
anything: ten calls of Python for every octet string that comes in. Ours carry their session themselves. Around each look for events it
asks its heap of timers twice; and what is to be done "at once" (`callLater(0)`) goes through that heap too, and costs another look. Here a
turn that brought nothing but input is followed by the next directly, and what is to be done at once is done at its end.
Measured in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable
from select import EPOLLIN
from typing import Any, Final

from twisted.internet.base import DelayedCall
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

_log = Logger()

_TURNS_MAX: Final = 64  # before Twisted's own loop has a look
_PAST: Final = 0.0  # when what is to be done at once was due
_WAIT_SECONDS_MAX: Final = 3600.0


def makeLean(reactor: Any) -> None:
    """Let a reactor that stands on epoll look for events and hand them on directly; any other is left as it is."""
    lean: Any = reactor
    if type(reactor) is EPollReactor:
        turns = _LeanPoll(reactor)
        lean.doIteration = turns.poll
        lean.callLater = turns.callLater
        lean.getDelayedCalls = turns.getDelayedCalls


class _LeanPoll:
    """What takes the place of `EPollReactor.doPoll`; whatever is not plain input goes Twisted's own way."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._poll = reactor._poller.poll
        self._selectables: dict[int, Any] = reactor._selectables
        self._planned = reactor.callLater
        self._planGet = reactor.getDelayedCalls
        self._soon: list[DelayedCall] = []

    # --- timers

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> Any:
        """See `IReactorTime.callLater`; what is to be done at once never comes near the heap of timers."""
        reactor = self._reactor
        if delay != 0:
            return self._planned(delay, callable, *args, **kw)
        call = DelayedCall(
            _PAST, callable, args, kw, _leave, reactor._moveCallLaterSooner, seconds=reactor.seconds
        )
        self._soon.append(call)
        return call

    def getDelayedCalls(self) -> list[Any]:
        """See `IReactorTime.getDelayedCalls`."""
        return [*self._planGet(), *(call for call in self._soon if not call.cancelled)]

    def _doSoon(self) -> None:
        """Do what was to be done at once by now; what that brings about comes after the next look for events."""
        soon, self._soon = self._soon, []
        for call in soon:
            if call.cancelled:
                continue
            if call.delayed_time > 0.0:  # put off meanwhile
                call.activate_delay()
                self._reactor._newTimedCalls.append(call)
                continue
            call.called = 1
            try:
                call.func(*call.args, **call.kw)
            except Exception:
                _log.failure("a call that was to be made at once failed")

    # --- descriptors

    def poll(self, timeoutSeconds: float | None) -> None:
        """Wait for events, for so long or for ever, and have them worked on; and go on so while there are only events."""
        reactor = self._reactor
        # False stands for 0: the reactor is about to stop.
        waitSeconds = -1 if timeoutSeconds is None else timeoutSeconds
        if self._soon:
            self._doSoon()
            if self._mustHurry():
                waitSeconds = 0
        for _ in range(_TURNS_MAX):
            hasEvents = self._look(waitSeconds)
            if self._soon:
                self._doSoon()
            elif not hasEvents:
                return
            if self._mustHurry():
                return
            timers = reactor._pendingTimedCalls
            waitSeconds = min(timers[0].time - reactor.seconds(), _WAIT_SECONDS_MAX) if timers else -1
            if timers and waitSeconds <= 0:
                return

    def _mustHurry(self) -> bool:
        """Whether there is something to do without waiting: here, or in Twisted's own loop."""
        reactor = self._reactor
        return bool(
            self._soon
            or reactor.threadCallQueue
            or reactor._newTimedCalls
            or not reactor._started
            or reactor._justStopped
        )

    def _look(self, waitSeconds: float) -> bool:
        """Have events worked on; whether there were any."""
        selectables = self._selectables
        events = self._poll(waitSeconds, len(selectables) or -1)
        for descriptor, event in events:
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # an event before this one ended it
            if event != EPOLLIN:
                self._otherwise(selectable, descriptor, event)
                continue
            try:
                problem = selectable.doRead()
            except Exception as error:
                _log.failure("a connection failed")
                problem = error
            if problem is not None:
                self._end(selectable, problem)
        return bool(events)

    def _otherwise(self, selectable: Any, descriptor: int, event: int) -> None:
        try:
            self._reactor._doReadOrWrite(selectable, descriptor, event)
        except Exception:
            _log.failure("a connection failed")

    def _end(self, selectable: Any, problem: Any) -> None:
        try:
            self._reactor._disconnectSelectable(selectable, problem, True)
        except Exception:
            _log.failure("the end of a connection failed")


def _leave(call: DelayedCall) -> None:
    """A call was cancelled that is in no heap."""
