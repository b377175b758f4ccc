"""What has been so for long enough, each time that it was looked at."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from jindimail.queue.lasting import Lasting


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lasting(clock: Clock) -> Lasting:
    return Lasting(steady=clock.seconds, seconds=60)


def test_itHoldsOnceItHasBeenSoForLongEnough(clock: Clock, lasting: Lasting) -> None:
    for _ in range(3):
        assert not lasting.holds("a", True)
        clock.advance(20)
    assert lasting.holds("a", True)
    assert not lasting.holds("b", True)


def test_whatWasOtherwiseOnceBeginsAnew(clock: Clock, lasting: Lasting) -> None:
    lasting.holds("a", True)
    clock.advance(50)
    assert not lasting.holds("a", False)
    clock.advance(50)
    assert not lasting.holds("a", True)


def test_whatNobodyLookedAtForLongBeginsAnewAndIsForgotten(clock: Clock, lasting: Lasting) -> None:
    lasting.holds("a", True)
    lasting.holds("b", True)
    clock.advance(61)
    assert not lasting.holds("a", True)
    assert list(lasting._since) == ["a"]
