"""Work that is done again and again goes on, whatever became of it one time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jindimail.cluster.pulse import Pulse
from jindimail.errors import Unavailable

SECONDS = 0.5


def raising(error: Exception) -> Callable[[], Any]:
    def work() -> None:
        raise error

    return work


def failing(error: Exception) -> Callable[[], Any]:
    async def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("kind", [raising, failing], ids=["at once", "later"])
@pytest.mark.parametrize("error", [Unavailable(), ZeroDivisionError()], ids=["usual", "other"])
def test_whatWorkRaisesEndsOnlyThisOneTime(kind: Callable[..., Any], error: Exception) -> None:
    clock, times = Clock(), []

    def work() -> Any:
        times.append(clock.seconds())
        return kind(error)()

    pulse = Pulse(clock, SECONDS, work)
    pulse.start()
    clock.pump([SECONDS] * 4)
    assert len(times) >= 4
    pulse.stop()
    clock.pump([SECONDS] * 4)
    assert not clock.getDelayedCalls()


def test_workIsNeverDoneTwiceAtATime() -> None:
    clock, begun = Clock(), []

    async def work() -> None:
        begun.append(Deferred())
        await begun[-1]

    pulse = Pulse(clock, SECONDS, work)
    pulse.start()
    clock.pump([SECONDS] * 4)
    pulse.soon()
    clock.pump([SECONDS] * 4)
    assert len(begun) == 1
    begun[0].callback(None)
    clock.pump([SECONDS] * 2)
    assert len(begun) == 2
    pulse.stop()
    begun[1].callback(None)
    assert not clock.getDelayedCalls()
