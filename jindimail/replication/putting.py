"""
One body on its way to enough keepers: candidates in their order, a slow one replaced before the entry exists (design §6).

No I/O: what a put at a node is, is given. Callbacks, since every delivery in an array passes here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from jindimail.deadlines import Deadlines
from jindimail.errors import Unavailable

SLOW_SECONDS = 0.15  # then another keeper is tried besides, unless all are so slow
SLOW_SECONDS_MAX = 1.0
INSTANT_SECONDS = 0.001  # sums of floating times may fall short of a deadline for ever

Begin = Callable[[int], "Deferred[Any]"]
Plan = Callable[[], tuple[Sequence[int], int]]


class NoKeepers(Unavailable):
    """
    Too few nodes could be made to keep a body.

    @ivar kept: those that do.
    """

    def __init__(self, kept: tuple[int, ...], copies: int) -> None:
        super().__init__(f"{len(kept)} of {copies} nodes keep the body")
        self.kept = kept


class Putting:
    """
    Have enough of the candidates keep a body.

    @ivar done: fires with who does, in the candidates' order; fails with NoKeepers.
    @ivar slow: the nodes that were replaced because they were slow.
    """

    __slots__ = (
        "_begin",
        "_candidates",
        "_clock",
        "_copies",
        "_deadline",
        "_deadlines",
        "_failed",
        "_isOver",
        "_isPatient",
        "_kept",
        "_plan",
        "_running",
        "_slowSeconds",
        "done",
        "slow",
    )

    def __init__(
        self,
        *,
        clock: IReactorTime,
        deadlines: Deadlines,
        plan: Plan,
        begin: Begin,
        seconds: float,
        isPatient: bool = False,
        slowSeconds: float = SLOW_SECONDS,
    ) -> None:
        """
        @param plan: the candidates, the best first, and how many of them shall keep the body; asked again every now and then.
        @param begin: begins to put the body at a node; the Deferred fires when it is durable there.
        @param isPatient: not to give up as long as there is time: nodes come back, and the plan changes.
        """
        self.done: Deferred[tuple[int, ...]] = Deferred()
        self.slow: list[int] = []
        self._clock = clock
        self._deadlines = deadlines
        self._plan = plan
        self._candidates, self._copies = plan()
        self._begin = begin
        self._deadline = clock.seconds() + seconds
        self._isPatient = isPatient
        self._slowSeconds = slowSeconds
        self._kept: list[int] = []
        self._running: dict[int, Deferred[Any]] = {}
        self._failed: set[int] = set()
        self._isOver = False

    def start(self) -> Deferred[tuple[int, ...]]:
        """Begin; gives `done`."""
        self._fill()
        if not self._isOver:
            self._wait()
        return self.done

    def _fill(self) -> None:
        """As many under way as are missing."""
        while not self._isOver and len(self._kept) + len(self._running) < self._copies:
            if not self._next():
                if not self._running and not self._isPatient:
                    self._end()
                return
        if not self._isOver and len(self._kept) >= self._copies:
            self._end()

    def _next(self) -> bool:
        """Begin at the next candidate; whether there is one."""
        for node in self._candidates:
            if node not in self._running and node not in self._failed and node not in self._kept:
                work = self._running[node] = self._begin(node)
                work.addBoth(self._ended, node)
                return True
        return False

    def _ended(self, result: Any, node: int) -> None:
        self._running.pop(node, None)
        if self._isOver:
            return
        if isinstance(result, Failure):
            self._failed.add(node)
        else:
            self._kept.append(node)
        self._fill()

    def _wait(self) -> None:
        seconds = min(self._slowSeconds, max(0.0, self._deadline - self._clock.seconds()))
        self._deadlines.add(self, seconds)

    def overdue(self) -> None:
        """See `IsUnderWay`: somebody is slow, or the time is up."""
        if self._deadline - self._clock.seconds() < INSTANT_SECONDS:
            self._end()
            return
        self.slow.extend(node for node in self._running if node not in self.slow)
        if self._isPatient:
            with suppress(Unavailable):  # there are too few just now
                self._candidates, self._copies = self._plan()
            self._failed.clear()
        self._next()
        self._fill()
        if not self._isOver:
            self._wait()

    def _end(self) -> None:
        self._isOver = True
        self._deadlines.drop(self)
        kept = tuple([node for node in self._candidates if node in self._kept])
        for work in list(self._running.values()):
            work.cancel()
        if len(kept) < self._copies:
            self.done.errback(NoKeepers(kept, self._copies))
        else:
            self.done.callback(kept)
