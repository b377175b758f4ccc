"""Deadlines of much that is under way."""

from __future__ import annotations

from twisted.internet.task import Clock

from jindimail.deadlines import Deadlines


class Thing:
    """Something with a deadline, which notes when that came."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.at: list[float] = []

    def overdue(self) -> None:
        """See `IsUnderWay`."""
        self.at.append(round(self.clock.seconds(), 3))


def run(clock: Clock, seconds: float) -> None:
    """Let time pass, in small steps."""
    for _ in range(round(seconds / 0.01)):
        clock.advance(0.01)


def test_eachIsOverdueAtItsOwnTimeAndOnce() -> None:
    clock = Clock()
    deadlines, things = Deadlines(clock), [Thing(clock) for _ in range(4)]
    for thing, seconds in zip(things, (0.5, 0.2, 0.9, 0.2), strict=True):
        deadlines.add(thing, seconds)
    run(clock, 2)
    assert [thing.at for thing in things] == [[0.5], [0.2], [0.9], [0.2]]
    assert clock.getDelayedCalls() == []


def test_whatIsDroppedIsNeverOverdue() -> None:
    clock = Clock()
    deadlines, first, second = Deadlines(clock), Thing(clock), Thing(clock)
    deadlines.add(first, 0.5)
    deadlines.add(second, 0.7)
    deadlines.drop(first)
    deadlines.drop(first)
    run(clock, 2)
    assert (first.at, second.at) == ([], [0.7])


def test_thereIsOneTimerForAll() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    for count in range(100):
        deadlines.add(Thing(clock), 1.0 - count / 1000)
    assert len(clock.getDelayedCalls()) == 1


def test_whoIsOverdueMayDropAndAddOthers() -> None:
    clock = Clock()
    deadlines, first, second, third = Deadlines(clock), Thing(clock), Thing(clock), Thing(clock)
    first.overdue = lambda: (deadlines.drop(second), deadlines.add(third, 0.3))  # type: ignore[method-assign,assignment]
    deadlines.add(first, 0.5)
    deadlines.add(second, 0.5)
    run(clock, 2)
    assert (second.at, third.at) == ([], [0.8])


def test_whatIsAddedAfterAStopIsOverdueAtItsTime() -> None:
    clock = Clock()
    deadlines, thing = Deadlines(clock), Thing(clock)
    deadlines.add(Thing(clock), 0.5)
    deadlines.stop()
    deadlines.add(thing, 0.7)
    run(clock, 2)
    assert thing.at == [0.7]


def test_nothingIsOverdueAfterItStopped() -> None:
    clock = Clock()
    deadlines, thing = Deadlines(clock), Thing(clock)
    deadlines.add(thing, 0.5)
    deadlines.stop()
    run(clock, 2)
    assert thing.at == []
    assert clock.getDelayedCalls() == []
