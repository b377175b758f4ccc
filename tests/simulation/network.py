"""
The simulated network between nodes: one connection each way between any two, of which nothing is certain.

A connection keeps its order. When it breaks, some of what is under way is lost and the rest arrives later than what the
next connection brings, perhaps twice. A cut loses everything, a stall keeps it back until it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.clock import HeapClock

Receive = Callable[[int, list[bytes]], None]


class Connection:
    """One direction between two nodes."""

    __slots__ = ("isCut", "isStalled", "kept", "latest", "number", "slowSeconds")

    def __init__(self) -> None:
        self.isCut = False
        self.isStalled = False
        self.slowSeconds = 0.0
        self.latest = 0.0  # nothing arrives before this
        self.number = 0
        self.kept: list[Any] = []


class Network:
    """
    All connections.

    @ivar lossShare, twiceShare, breakShare: of batches that are lost, doubled, or break their connection.
    @ivar receivers: by node number; a node that is down has none.
    """

    def __init__(self, clock: HeapClock, chance: Random) -> None:
        self.clock = clock
        self.chance = chance
        self.delaySeconds = 0.0005
        self.lossShare = 0.0
        self.twiceShare = 0.0
        self.breakShare = 0.0
        self.receivers: dict[int, Receive] = {}
        self.sent = 0
        self.lost = 0
        self._connections: dict[tuple[int, int], Connection] = {}

    def connection(self, source: int, target: int) -> Connection:
        """The connection from one node to another."""
        pair = source, target
        connection = self._connections.get(pair)
        if connection is None:
            connection = self._connections[pair] = Connection()
        return connection

    def send(self, source: int, target: int, batch: list[bytes]) -> None:
        """A batch of messages leaves."""
        self.sent += 1
        connection, chance = self.connection(source, target), self.chance
        roll = chance.random()
        if connection.isCut or roll < self.lossShare:
            self.lost += 1
            return
        if connection.isStalled:
            connection.kept.append(batch)
            return
        if roll < self.lossShare + self.breakShare:
            connection.number += 1
            connection.latest = 0.0  # the next connection overtakes what is under way
            self._leave(source, target, connection, batch, 0.05 + chance.random() * 1.5)
            if chance.random() < 0.5:
                self._leave(source, target, connection, batch, 0.0)
            return
        self._leave(source, target, connection, batch, 0.0)
        if roll > 1.0 - self.twiceShare:
            self._leave(source, target, connection, batch, chance.random() * 0.3, inOrder=False)

    def _leave(
        self,
        source: int,
        target: int,
        connection: Connection,
        batch: list[bytes],
        extra: float,
        inOrder: bool = True,
    ) -> None:
        chance = self.chance
        delay = self.delaySeconds * (0.5 + chance.random()) + extra
        if connection.slowSeconds:
            delay += connection.slowSeconds * (0.5 + chance.random())
        when = self.clock.now + delay
        if inOrder and not extra:
            when = connection.latest = max(when, connection.latest)
        self.clock.callLater(when - self.clock.now, self._arrive, source, target, batch)

    def _arrive(self, source: int, target: int, batch: list[bytes]) -> None:
        receive = self.receivers.get(target)
        if receive is None or self.connection(source, target).isCut:
            self.lost += 1
            return
        receive(source, batch)

    # --- troubles

    def cut(
        self, sources: set[int], targets: set[int], *, bothWays: bool = True, stall: bool = False
    ) -> None:
        """No message from the ones arrives at the others."""
        for source in sources:
            for target in targets - {source}:
                self._break(self.connection(source, target), stall)
                if bothWays:
                    self._break(self.connection(target, source), stall)

    def _break(self, connection: Connection, stall: bool) -> None:
        if stall:
            connection.isStalled = True
        else:
            connection.isCut = True

    def slow(self, source: int, target: int, seconds: float) -> None:
        """Everything on a connection takes about this much longer."""
        self.connection(source, target).slowSeconds = seconds

    def heal(self) -> None:
        """All connections work again; what was kept back arrives."""
        for (source, target), connection in self._connections.items():
            connection.isCut = connection.isStalled = False
            connection.slowSeconds = 0.0
            kept, connection.kept = connection.kept, []
            for batch in kept:
                self._leave(source, target, connection, batch, 0.0)
