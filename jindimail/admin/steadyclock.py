"""
Timers on a clock that nobody can set.

Twisted's reactor times by the wall clock: set back by an hour, nothing that waits happens for an hour, elections and heartbeats
included; set forward, everything is late at once. Here it times by the machine's own clock, which also counts while the machine is
suspended: whoever wakes knows how long it was away. What must be written down (dates, ids) is taken from the wall clock, passed beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux has the first


# Seconds since some moment before this process began; they never go back, and no step is made. It is asked some hundred times a message.
steadySeconds: Final[Callable[[], float]] = partial(time.clock_gettime, _CLOCK)


# In July 2105: dates are written in 32 bits, and UIDVALIDITYs, which begin as one, need room to rise in.
WRITTEN_SECONDS_MAX: Final[int] = (1 << 32) - (1 << 24)


def wallSeconds() -> float:
    """What the wall clock says, in seconds since the epoch, as far as it can be written down: one that was never set may say anything."""
    return min(max(time.time(), 0.0), WRITTEN_SECONDS_MAX)


def makeSteady(reactor: Any) -> None:
    """Let a reactor time by `steadySeconds`; calls that are already planned come when they would have."""
    before = reactor.seconds()
    planned = reactor.getDelayedCalls()
    reactor.seconds = steadySeconds
    for call in planned:
        call.seconds = steadySeconds
        left = call.getTime() - before
        call.reset(max(0.0, left))
