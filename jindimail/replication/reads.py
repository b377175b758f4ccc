"""
Reads confirmed by read index (dissertation §6.4), in rounds.

Pure. A read asks: which index covers everything acknowledged before now? The leader notes its commit index, then makes
sure by one exchange of beats that it still led when the read came. All reads of a turn share one round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from jindimail.replication.quorum import committedIndex

Read = tuple[int, int]  # (context, the replica that asked)


class Reads:
    """The reads that a leader has not confirmed yet; lost with its leadership."""

    __slots__ = ("_answered", "_rounds", "_waiting", "round")

    def __init__(self) -> None:
        self.round = 0
        self._waiting: list[Read] = []
        self._rounds: deque[tuple[int, int, list[Read]]] = deque()
        self._answered: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting or self._rounds)

    @property
    def areWaiting(self) -> bool:
        """Whether reads wait for a round to begin."""
        return bool(self._waiting)

    def add(self, context: int, replicaId: int) -> None:
        """A read came in."""
        self._waiting.append((context, replicaId))

    def begin(self, index: int) -> int:
        """Begin a round, whose reads will be told `index`; its number goes out with the beats."""
        self.round += 1
        self._rounds.append((self.round, index, self._waiting))
        self._waiting = []
        return self.round

    def answered(self, replicaId: int, number: int) -> None:
        """A replica answered the beats of a round, and so those of all before it."""
        self._answered[replicaId] = max(number, self._answered.get(replicaId, 0))

    def confirmed(self, voters: Sequence[int], ownId: int) -> list[tuple[Read, int]]:
        """Take out the reads that a majority has confirmed by now, each with its index."""
        if not self._rounds:
            return []
        upTo = committedIndex(
            self.round if voter == ownId else self._answered.get(voter, 0) for voter in voters
        )
        done: list[tuple[Read, int]] = []
        while self._rounds and self._rounds[0][0] <= upTo:
            _, index, reads = self._rounds.popleft()
            done.extend((read, index) for read in reads)
        return done
