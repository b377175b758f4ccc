"""
Turns of the reactor without what this program does not use.

Twisted wraps each event of a descriptor in a log context of its own, of which only messages of the old logging API make
anything: ten calls of Python for every octet string that comes in. Ours carry their session themselves. Its heap of timers compares
them in Python, it leaves its look for events for each new one and for each call from another thread, and what is to be done "at once"
(`callLater(0)`) goes through that heap too, and costs another look. Here timers stand in a heap of tuples, what is to be done at once in a list, and
one turn follows the other directly, up to a bound. Measured in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from select import EPOLLIN
from typing import Any, Final

from twisted.internet.base import DelayedCall
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

_log = Logger()

_TURNS_MAX: Final = 64  # before Twisted's own loop has a look
_PAST: Final = 0.0  # when what is to be done at once was due
_WAIT_SECONDS_MAX: Final = 3600.0
_CANCELLED_MAX: Final = 64  # and no more than half of the heap


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
        self._planGet = reactor.getDelayedCalls
        self._soon: list[DelayedCall] = []
        self._timers: list[tuple[float, int, DelayedCall]] = []
        self._numbers = count()
        self._cancelled = 0
        self._takeOver()

    def _takeOver(self) -> None:
        """What is planned already comes when it would have."""
        reactor = self._reactor
        for call in self._planGet():
            call.canceller, call.resetter = self._leave, self._plan
            self._plan(call)
        reactor._pendingTimedCalls, reactor._newTimedCalls, reactor._cancellations = [], [], 0

    # --- timers

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> Any:
        """See `IReactorTime.callLater`; what is to be done at once never comes near the heap of timers."""
        if delay < 0:
            raise ValueError("a call can be made at once, but not before")
        seconds = self._reactor.seconds
        due = seconds() + delay if delay else _PAST
        call = DelayedCall(due, callable, args, kw, self._leave, self._plan, seconds=seconds)
        if delay:
            heappush(self._timers, (due, next(self._numbers), call))
        else:
            self._soon.append(call)
        return call

    def getDelayedCalls(self) -> list[Any]:
        """See `IReactorTime.getDelayedCalls`."""
        timers = {id(call): call for _, _, call in self._timers}
        return [*self._planGet(), *(call for call in (*timers.values(), *self._soon) if call.active())]

    def _plan(self, call: DelayedCall) -> None:
        """Have a call made at its time; where it stands in the heap for another already, it does no harm there."""
        heappush(self._timers, (call.time, next(self._numbers), call))

    def _leave(self, call: DelayedCall) -> None:
        """A call is cancelled; it leaves the heap when its time has come, or when too many have been."""
        self._cancelled += 1
        if self._cancelled > _CANCELLED_MAX and self._cancelled > len(self._timers) >> 1:
            self._cancelled = 0
            self._timers = [each for each in self._timers if each[2] is not call and each[2].active()]
            heapify(self._timers)

    def _doSoon(self) -> None:
        """Do what was to be done at once by now; what that brings about comes after the next look for events."""
        soon, self._soon = self._soon, []
        for call in soon:
            if call.cancelled:
                continue
            if call.delayed_time > 0.0:  # put off meanwhile
                call.activate_delay()
                self._plan(call)
                continue
            self._do(call)

    def _doDue(self) -> None:
        """Do what is due by now."""
        now = self._reactor.seconds()
        while self._timers and self._timers[0][0] <= now:
            planned, _, call = heappop(self._timers)
            if call.cancelled:
                self._cancelled = max(0, self._cancelled - 1)
            elif call.called or planned != call.time:
                continue  # it was done, or stands elsewhere
            elif call.delayed_time > 0.0:
                call.activate_delay()
                self._plan(call)
            else:
                self._do(call)

    def _do(self, call: DelayedCall) -> None:
        call.called = 1
        try:
            call.func(*call.args, **call.kw)
        except Exception:
            _log.failure("a call that was planned failed")

    def _doFromThreads(self) -> None:
        """Do what other threads asked for by now."""
        queue = self._reactor.threadCallQueue
        for _ in range(len(queue)):
            func, args, kw = queue.pop(0)
            try:
                func(*args, **kw)
            except ReactorNotRunning:
                pass  # a second SIGTERM or ^C: it stops already
            except Exception:
                _log.failure("a call from another thread failed")

    # --- descriptors

    def poll(self, timeoutSeconds: float | None) -> None:
        """Wait for events, for so long or for ever, and have them worked on; and go on so while Twisted's own loop is not needed."""
        reactor = self._reactor
        # False stands for 0: the reactor is about to stop.
        longest = _WAIT_SECONDS_MAX if timeoutSeconds is None else timeoutSeconds
        for _ in range(_TURNS_MAX):
            if self._soon:
                self._doSoon()
                if not reactor._started:
                    return  # that was its end, which is not to wait for the next timer
            self._look(self._waitSeconds(longest))
            if self._soon:
                self._doSoon()
            if reactor.threadCallQueue:
                self._doFromThreads()
            if self._timers and self._timers[0][0] <= reactor.seconds():
                self._doDue()
            # Whoever took hold of `callLater` before it was ours plans with Twisted's own loop.
            if timeoutSeconds is not None or reactor._newTimedCalls:
                return
            if not reactor._started or reactor._justStopped:
                return

    def _waitSeconds(self, longest: float) -> float:
        """For how long the next look may last."""
        reactor = self._reactor
        if self._soon or reactor.threadCallQueue or reactor._newTimedCalls or reactor._justStopped:
            return 0
        timers = self._timers
        if not timers:
            return longest
        left: float = timers[0][0] - reactor.seconds()
        return longest if left > longest else left if left > 0.0 else 0

    def _look(self, waitSeconds: float) -> None:
        """Have events worked on."""
        selectables = self._selectables
        for descriptor, event in self._poll(waitSeconds, len(selectables) or -1):
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
