"""
A turn of the reactor without what this program does not use.

Twisted wraps each event of a descriptor in a log context of its own, of which only messages of the old logging API make
anything: ten calls of Python for every octet string that comes in. Ours carry their session themselves. Measured in docs/performance.md.
"""

from __future__ import annotations

from select import EPOLLIN
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

_log = Logger()


def makeLean(reactor: Any) -> None:
    """Let a reactor that stands on epoll look for events and hand them on directly; any other is left as it is."""
    lean: Any = reactor
    if type(reactor) is EPollReactor:
        lean.doIteration = _LeanPoll(reactor).poll


class _LeanPoll:
    """What takes the place of `EPollReactor.doPoll`; whatever is not plain input goes Twisted's own way."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._poll = reactor._poller.poll
        self._selectables: dict[int, Any] = reactor._selectables

    def poll(self, timeoutSeconds: float | None) -> None:
        """Wait for events, for so long or for ever, and have them worked on."""
        selectables = self._selectables
        # False stands for 0: the reactor is about to stop.
        waitSeconds = -1 if timeoutSeconds is None else timeoutSeconds
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
