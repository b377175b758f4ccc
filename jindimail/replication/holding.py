"""
What this node's leaders hold back from those that need not have it at once, and for how long (docs/adr/0051).

All groups' together: what has gathered leaves for each node in one message, and is one transaction there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jindimail.replication.replica import Replica

HOLD_SECONDS = 0.05


class Holding:
    """The replicas that lead here and hold something back."""

    _call: IDelayedCall | None = None

    def __init__(
        self, clock: IReactorTime, replicas: Mapping[int, Replica], touch: Callable[[Replica], None]
    ) -> None:
        """@param touch: called with a replica that has something to say now."""
        self._clock = clock
        self._replicas = replicas
        self._touch = touch
        self._held: dict[int, Replica] = {}

    def look(self, replica: Replica) -> None:
        """A replica's outputs were taken: see whether it holds anything back."""
        leadership = replica.raft.leadership
        if leadership is not None and leadership.progress and leadership.isHolding():
            self._held[replica.group] = replica
            if self._call is None:
                self._call = self._clock.callLater(HOLD_SECONDS, self._spread)

    def stop(self) -> None:
        """Nothing is said any more."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _spread(self) -> None:
        self._call = None
        held, self._held = self._held, {}
        for replica in held.values():
            leadership = replica.raft.leadership
            if (
                leadership is not None
                and self._replicas.get(replica.group) is replica
                and leadership.isHolding()
            ):
                leadership.spread()
                self._touch(replica)
