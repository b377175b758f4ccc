"""Counting: classes of times, and what can be said of them afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.counts import SECONDS_BOUNDS, Histogram, quantile


def test_valueIsCountedInTheFirstClassThatHoldsIt() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.counts == [2, 1, 1]
    assert list(histogram.cumulative()) == [(1.0, 2), (2.0, 3), (float("inf"), 4)]
    assert (histogram.total, histogram.sum) == (4, 12.0)


def test_quantileOfNothingIsZero() -> None:
    assert quantile((1.0, 2.0), (0, 0, 0), 0.5) == 0.0


def test_quantileLiesWithinItsClass() -> None:
    assert quantile((1.0, 2.0), (10, 0, 0), 0.5) == pytest.approx(0.5)
    assert quantile((1.0, 2.0), (10, 10, 0), 0.75) == pytest.approx(1.5)
    assert quantile((1.0, 2.0), (0, 0, 5), 0.99) == 2.0


@given(st.lists(st.floats(0.0, 10.0), min_size=1), st.floats(0.01, 1.0))
def test_quantileIsInTheClassOfTheTrueOne(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    found = quantile(histogram.bounds, histogram.counts, share)
    rank = min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))
    true = sorted(values)[rank]
    upper = min((bound for bound in SECONDS_BOUNDS if bound >= true), default=SECONDS_BOUNDS[-1])
    lower = max((bound for bound in SECONDS_BOUNDS if bound < true), default=0.0)
    assert lower <= found <= upper
