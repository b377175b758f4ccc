"""
What a running node counts: plain numbers, added to where things happen and read when somebody asks (admin/webmetrics.py).

Pure. One addition costs some tens of nanoseconds, one observation some hundreds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper ends of the classes that times are counted in."""


class Histogram:
    """How often something took how long, in classes; the last class has no upper end."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS_BOUNDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one in."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each class's upper end, with how many were not above it; the last end is infinite."""
        count = 0
        for bound, each in zip((*self.bounds, float("inf")), self.counts, strict=True):
            count += each
            yield bound, count


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """
    The value that this share of what was counted does not exceed, as if each class were evenly filled; 0 of nothing.

    What lies in the last class counts as the highest bound.
    """
    rank = share * sum(counts)
    below, low = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return low + (bound - low) * max(0.0, rank - below) / count
        below, low = below + count, bound
    return low if rank else 0.0
