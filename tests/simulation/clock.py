"""
Simulated time: one heap of calls for the whole array, and each node's own view of it.

A node's clock can stand still (a paused process), jump (somebody set the time), or end (a crash); the array's never does.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IDelayedCall)
class Call:
    """A call to be made; `when` is the array's time."""

    __slots__ = ("_clock", "arguments", "function", "keywords", "state", "when")

    def __init__(
        self,
        clock: NodeClock | None,
        when: float,
        function: Callable[..., Any],
        arguments: Any,
        keywords: Any,
    ) -> None:
        self._clock = clock
        self.when = when
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.state = 0  # 1: called, 2: cancelled

    def cancel(self) -> None:
        if self.state == 1:
            raise AlreadyCalled
        if self.state == 2:
            raise AlreadyCancelled
        self.state = 2
        if self._clock is not None:
            self._clock.calls.discard(self)

    def active(self) -> bool:
        return self.state == 0

    def getTime(self) -> float:
        return self.when

    def reset(self, delay: float) -> None:
        self._require()
        assert self._clock is not None
        self._clock.move(self, self._clock.heap.now + delay)

    def delay(self, delay: float) -> None:
        self._require()
        assert self._clock is not None
        self._clock.move(self, self.when + delay)

    def _require(self) -> None:
        if self.state == 1:
            raise AlreadyCalled
        if self.state == 2:
            raise AlreadyCancelled


class HeapClock:
    """The array's time, in seconds from 0. Calls of one moment are made in the order they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made = 0
        self.isHalted = False
        self._heap: list[tuple[float, int, Call]] = []
        self._number = 0

    def seconds(self) -> float:
        """The present time."""
        return self.now

    def callLater(self, delay: float, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Call:
        """A call that belongs to no node."""
        call = Call(None, self.now + delay, function, arguments, keywords)
        self.push(call)
        return call

    def push(self, call: Call) -> None:
        """A call has a (new) time."""
        self._number += 1
        heappush(self._heap, (call.when, self._number, call))

    def runUntil(self, end: float) -> None:
        """Make all calls up to a time."""
        heap = self._heap
        while heap and heap[0][0] <= end and not self.isHalted:
            when, _, call = heappop(heap)
            if call.state or call.when != when:
                continue  # cancelled, or moved: it stands at another place too
            self.now = when
            self.made += 1
            clock = call._clock
            if clock is None:
                call.state = 1
                call.function(*call.arguments, **call.keywords)
            else:
                clock.due(call)
        if not self.isHalted:
            self.now = end


@implementer(IReactorTime)
class NodeClock:
    """
    The time of one incarnation of a node.

    @ivar after: called after every call, so that somebody can look at what the node is like now.
    """

    def __init__(
        self, heap: HeapClock, after: Callable[[], None] = lambda: None, offset: float = 0.0
    ) -> None:
        self.heap = heap
        self.calls: set[Call] = set()
        self.isPaused = False
        self.isOver = False
        self._after = after
        self._offset = offset
        self._backlog: list[Call] = []

    def seconds(self) -> float:
        """What the node takes for the time."""
        return self.heap.now + self._offset

    def callLater(self, delay: float, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Call:
        """`IReactorTime`."""
        assert delay >= 0
        call = Call(self, self.heap.now + delay, function, arguments, keywords)
        if not self.isOver:
            self.calls.add(call)
            self.heap.push(call)
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """`IReactorTime`."""
        return list(self.calls)

    def run(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have something happen at the node now: when it wakes, if it is paused; never, if it is over."""
        if self.isPaused:
            self._backlog.append(Call(self, self.heap.now, function, arguments, {}))
        elif not self.isOver:
            function(*arguments)
            if not self.isOver:
                self._after()

    def due(self, call: Call) -> None:
        """A call's time has come."""
        if self.isOver:
            return
        if self.isPaused:
            self._backlog.append(call)
            return
        call.state = 1
        self.calls.discard(call)
        call.function(*call.arguments, **call.keywords)
        if not self.isOver:
            self._after()

    def move(self, call: Call, when: float) -> None:
        """A call gets another time."""
        call.when = when
        self.heap.push(call)

    def pause(self) -> None:
        """The process gets no more time."""
        self.isPaused = True

    def resume(self) -> None:
        """It goes on, with everything that came due meanwhile, in that order."""
        self.isPaused = False
        while self._backlog and not self.isPaused and not self.isOver:
            call = self._backlog.pop(0)
            if call.state == 0:
                self.due(call)

    def jump(self, seconds: float) -> None:
        """Somebody sets the node's time; its timers believe it."""
        self._offset += seconds
        for call in sorted(self.calls, key=lambda each: each.when):
            if call.when > self.heap.now:
                self.move(call, max(self.heap.now, call.when - seconds))

    def end(self) -> None:
        """The process is gone."""
        self.isOver = True
        for call in self.calls:
            call.state = 2
        self.calls.clear()
        self._backlog.clear()
