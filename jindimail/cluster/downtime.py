"""
For how long nodes have been down, or have been joining: admitted, and not up yet. Pure.

What this node has seen itself is timed by a clock that nobody sets. Only of a node that was down already when this one began to look, the time that
stands in the array's own group counts, by which a clock that is wrong then can be misled, and no one that is set later.
"""

from __future__ import annotations

from collections.abc import Callable

from jindimail.cluster.arrayrecords import DOWN, JOINING, NodeRecord

DownSeconds = Callable[[int, NodeRecord], float]
_AWAY = (DOWN, JOINING)


def byTheClock(seconds: float) -> DownSeconds:
    """As the array's own group has it."""
    return lambda node, record: seconds - record.sinceSeconds if record.state in _AWAY else 0.0


class Downtime:
    """As one node has seen it."""

    def __init__(self, *, steady: Callable[[], float], seconds: Callable[[], float]) -> None:
        """
        @param steady: a clock that nobody sets.
        @param seconds: the wall clock.
        """
        self._steady = steady
        self._seconds = seconds
        self._fallen: dict[int, tuple[NodeRecord, float]] = {}

    def of(self, node: int, record: NodeRecord) -> float:
        """For how long a node has been down, or joining; else 0. It has to be asked again and again."""
        now = self._steady()
        known = self._fallen.get(node)
        if known is None:
            self._fallen[node] = record, now - max(0.0, byTheClock(self._seconds())(node, record))
        elif (known[0].state, known[0].sinceSeconds) != (record.state, record.sinceSeconds):
            self._fallen[node] = record, now
        return now - self._fallen[node][1] if record.state in _AWAY else 0.0
