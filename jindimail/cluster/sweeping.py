"""
When each node asks which of the bodies that lie there it may delete (design §6; `replication.sweep`): all buckets in turn, once an hour.

What came lately is left alone: its entry may still be on its way.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.events import Events
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.usermap import UserMap
from jindimail.model import bucketGroup
from jindimail.replication.driver import Groups
from jindimail.replication.sweep import Sweep

LOOK_SECONDS = 0.5  # between two buckets
ROUND_SECONDS = 3600.0
FIRST_SECONDS = 60.0  # after the start: a crash may have left something
GRACE_SECONDS = 3600.0


class Sweeping:
    """One node's rounds."""

    def __init__(
        self,
        *,
        clock: IReactorTime,
        groups: Groups,
        userMap: UserMap,
        events: Events,
        sweep: Sweep,
        buckets: int,
        seconds: Callable[[], float],
    ) -> None:
        """
        @param seconds: the wall clock, by which bodies are named.
        """
        self._clock = clock
        self._groups = groups
        self._userMap = userMap
        self._events = events
        self._sweep = sweep
        self._count = buckets
        self._seconds = seconds
        self._nextAt = 0.0
        self._bucket = 0
        self._after = b""
        self._told = 0
        self._pulse = Pulse(clock, LOOK_SECONDS, self._look)

    def start(self) -> None:
        """Begin a round in a while."""
        self._nextAt = self._clock.seconds() + FIRST_SECONDS
        self._pulse.start()

    def stop(self) -> None:
        """End."""
        self._pulse.stop()

    def _look(self) -> None:
        if self._clock.seconds() < self._nextAt or not self._groups.isRunning:
            return
        group = bucketGroup(self._bucket)
        leader = self._groups.leaderOf(group) or self._userMap.membersOf(group)[0]
        after = self._sweep.ask(self._bucket, leader, self._isOld, self._after)
        self._after = after or b""
        if after is None:
            self._bucket += 1
        if self._bucket >= self._count:
            self._bucket = 0
            self._nextAt = self._clock.seconds() + ROUND_SECONDS
            self._tell()

    def _tell(self) -> None:
        if self._sweep.swept > self._told:
            self._events.add("bodiesSwept", bodies=self._sweep.swept - self._told)
            self._told = self._sweep.swept

    def _isOld(self, bodyId: bytes) -> bool:
        """A body's id begins with its time, in milliseconds (docs/adr/0007-body-ids-begin-with-their-time.md)."""
        return int.from_bytes(bodyId[:6], "big") / 1000 < self._seconds() - GRACE_SECONDS
