"""
Nodes that have too little of the processor: all that a node's reactor does takes its time, so that what comes meanwhile waits.

What something costs is counted in messages, those that were read and those that were written: on real nodes they are nearly all of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from tests.replication.nodes import Array

CALL_SHARE = 0.2  # of a message: what a call of the reactor's costs itself


class _Call:
    """A call that is due some time, and is made when there is time (`IDelayedCall` as far as drivers use it)."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act: Callable[[], Any] | None = act

    def active(self) -> bool:
        """Whether it is still to be made."""
        return self._act is not None

    def cancel(self) -> None:
        """It is not to be made."""
        self._act = None

    def make(self) -> None:
        """Make it."""
        act, self._act = self._act, None
        if act is not None:
            act()


class Processor:
    """
    One node's share of a processor, and its reactor.

    @ivar messageSeconds: what a message costs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._round: deque[_Call] = deque()
        self._due: deque[_Call] = deque()
        self._arrived: deque[_Call] = deque()
        self._isBusy = False
        self._spent = 0.0
        self.messageSeconds = 0.0

    def seconds(self) -> float:
        """See `IReactorTime`."""
        return float(self._clock.seconds())

    def callLater(self, seconds: float, act: Callable[..., Any], *args: Any, **kwargs: Any) -> _Call:
        """See `IReactorTime`."""
        call = _Call(lambda: act(*args, **kwargs))
        self._clock.callLater(seconds, self._add, self._due, call)
        return call

    def do(self, messages: int, act: Callable[[], Any]) -> None:
        """Something that costs so many messages is to be done."""
        self._add(self._arrived, _Call(lambda: (self.spend(messages), act())))

    def spend(self, messages: int) -> None:
        """What is being done costs so many messages more."""
        self._spent += messages

    def _add(self, calls: deque[_Call], call: _Call) -> None:
        calls.append(call)
        self._next()

    def _begin(self) -> bool:
        """Another round: all that is due, then all that came; whether there is anything."""
        for calls in (self._due, self._arrived):
            self._round.extend(calls)
            calls.clear()
        return bool(self._round)

    def _next(self) -> None:
        while not self._isBusy and (self._round or self._begin()):
            call = self._round.popleft()
            if not call.active():
                continue
            self._spent = CALL_SHARE
            call.make()
            if self.messageSeconds:
                self._isBusy = True
                self._clock.callLater(self._spent * self.messageSeconds, self._free)

    def _free(self) -> None:
        self._isBusy = False
        self._next()


class ScarceArray(Array):
    """An array whose nodes have a processor each, that costs nothing at first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.processors: dict[int, Processor] = {}
        self.alter = self._count

    def _count(self, sender: int, recipient: int, message: Any) -> Any:
        self.processors[sender].spend(1)
        return message

    def clockOf(self, node: int) -> Any:
        """Its processor."""
        return self.processors.setdefault(node, Processor(self.clock))

    def hand(self, node: int, sender: int, messages: list[bytes]) -> None:
        """When there is time."""
        groups = self.nodes[node]
        count = sum(len(frame) for frame in messages) // 24 + 1
        self.processors[node].do(count, lambda: groups.received(sender, messages))

    def slow(self, messageSeconds: float, *nodes: int) -> None:
        """From now on a message costs so much at these nodes, or at all."""
        for node in nodes or tuple(self.processors):
            self.processors[node].messageSeconds = messageSeconds
