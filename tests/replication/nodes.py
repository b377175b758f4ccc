"""
Whole drivers of several nodes on one clock: stores in memory, links with a delay that can be cut.

A node's crash drops its driver and what its store had not committed; its rows stay.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from jindimail.interfaces import INodeLink, IStateMachine
from jindimail.replication.configuration import Configuration
from jindimail.replication.driver import Groups
from jindimail.replication.durable import foundGroups
from jindimail.replication.frames import Unpacker, packFrames
from jindimail.replication.nodemessages import AnyTraffic, encodeTraffic
from jindimail.store.keys import ADDRESS, bucketKey, groupKey
from jindimail.store.memory import MemoryRows, MemoryStore

Alter = Callable[[int, int, AnyTraffic], AnyTraffic | None]

DELAY_SECONDS = 0.001
_NUMBER = Struct(">Q")


@implementer(IStateMachine)
class Sums:
    """A state machine that keeps, for each group, how many entries it saw and their octets in order."""

    def apply(self, rows: Any, group: int, index: int, entry: bytes) -> tuple[Any, Any]:
        """Append the entry; the outcome is (index, how many so far). An entry `quiet…` has no events."""
        if entry.startswith(b"raise"):
            raise ZeroDivisionError
        key = stateKey(group)
        old = rows.get(ADDRESS, key) or bytes(8)
        (seen,) = _NUMBER.unpack(old[:8])
        rows.put(ADDRESS, key, _NUMBER.pack(seen + 1) + old[8:] + entry + b";")
        return (index, seen + 1), () if entry.startswith(b"quiet") else (entry,)


def stateKey(group: int) -> bytes:
    """Where `Sums` keeps a group's state: among the rows of the group's bucket."""
    return (bucketKey(group - 1) if group else b"\xff\xff") + b"sum"


def applied(store: Any, group: int) -> bytes:
    """What `Sums` keeps for a group."""
    with store.read() as rows:
        return (rows.get(ADDRESS, stateKey(group)) or bytes(8))[8:]


@implementer(INodeLink)
class Wire:
    """One direction between two nodes."""

    def __init__(self, array: Array, sender: int, recipient: int) -> None:
        self.array = array
        self.sender = sender
        self.recipient = recipient
        self.unpacker = Unpacker()

    def send(self, messages: list[bytes]) -> None:
        """Frames leave, and arrive after a while, unless the link is cut."""
        array = self.array
        array.calls += 1
        array.frames += len(messages)
        assert all(len(message) <= 64 * 1024 for message in messages)
        if array.alter is not None:
            there = [each for frame in messages for each in self.unpacker.unpack(frame)]
            altered = [array.alter(self.sender, self.recipient, each) for each in there]
            messages = packFrames(encodeTraffic(each) for each in altered if each is not None)
        if (self.sender, self.recipient) not in array.cut:
            array.clock.callLater(array.delay(), self.arrive, messages, array.lives.get(self.recipient))

    sendBulk = send  # whole batches arrive, so that both ways may be one

    def arrive(self, messages: list[bytes], life: int | None) -> None:
        """Frames reach the node, if it is the same life."""
        array = self.array
        node = array.nodes.get(self.recipient)
        if (
            node is None
            or life != array.lives.get(self.recipient)
            or (self.sender, self.recipient) in array.cut
        ):
            return
        if self.recipient in array.paused:
            array.paused[self.recipient].append((self.sender, messages))
        else:
            array.hand(self.recipient, self.sender, messages)


class Array:
    """
    Several nodes that share groups.

    @ivar alter: gives what comes of a message on its way (sender, recipient, message); None: it is lost.
    """

    def __init__(
        self, nodes: Iterable[int] = (1, 2, 3), *, groups: Iterable[int] = (1,), seed: int = 1
    ) -> None:
        self.clock = Clock()
        self.chance = random.Random(seed)
        self.groups = list(groups)
        self.cut: set[tuple[int, int]] = set()
        self.paused: dict[int, list[tuple[int, list[bytes]]]] = {}
        self.lives: dict[int, int] = {}
        self.rows = {node: MemoryRows() for node in nodes}
        self.stores: dict[int, MemoryStore] = {}
        self.nodes: dict[int, Groups] = {}
        self.delay: Callable[[], float] = lambda: DELAY_SECONDS
        self.calls = self.frames = 0
        self.options: dict[str, Any] = {}
        self.alter: Alter | None = None
        self.machine: Callable[[], Any] = Sums

    def found(self, node: int) -> None:
        """Make the first replicas, at one node."""
        with self.rows[node].transaction() as rows:
            foundGroups(rows, self.groups, node)

    def start(self, node: int) -> Groups:
        """Start a node, or start it anew."""
        self.lives[node] = self.lives.get(node, 0) + 1
        self.stores[node] = MemoryStore(self.clockOf(node), self.rows[node])
        groups = self.nodes[node] = Groups(
            clock=self.clockOf(node),
            store=self.stores[node],
            machine=self.machine(),
            draw=self.chance.randint,
            node=node,
            incarnation=self.lives[node],
            link=lambda other: Wire(self, node, other),
            **self.options,
        )
        groups.start()
        self.clock.advance(0)
        return groups

    def clockOf(self, node: int) -> Any:
        """What a node takes for its reactor."""
        return self.clock

    def hand(self, node: int, sender: int, messages: list[bytes]) -> None:
        """Frames have come to a node: it reads them."""
        self.nodes[node].received(sender, messages)

    def crash(self, node: int) -> None:
        """A node dies; what its store has not committed is lost."""
        groups = self.nodes.pop(node)
        groups._running = False
        groups._ticks.stop()
        groups._holding.stop()
        if groups._turns._call is not None and groups._turns._call.active():
            groups._turns._call.cancel()
        self.stores[node]._waiting.clear()
        self.lives[node] += 0

    def slowDisk(self, node: int, seconds: float) -> None:
        """From now on a node's commits take so long, one after the other."""
        store = self.stores[node]
        commit, isBusy = store._commit, False

        def begin() -> None:
            nonlocal isBusy
            if not isBusy and store._waiting:
                isBusy = True
                group, store._waiting = store._waiting, []
                self.clock.callLater(seconds, end, group)

        def end(group: list[Any]) -> None:
            nonlocal isBusy
            waiting, store._waiting = store._waiting, group
            commit()
            store._waiting = waiting + store._waiting
            isBusy = False
            if store._waiting:
                self.clock.callLater(0, begin)

        store._commit = begin  # type: ignore[method-assign]

    def isolate(self, node: int) -> None:
        """Cut a node off, both ways."""
        for other in self.rows:
            if other != node:
                self.cut |= {(node, other), (other, node)}

    def heal(self) -> None:
        """All links work."""
        self.cut.clear()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        steps = max(1, round(seconds / 0.005))
        self.clock.pump([0.005] * steps)

    def grown(self) -> Array:
        """All nodes started, every group with a voter at each; the first node leads."""
        first, *others = self.rows
        self.found(first)
        for node in self.rows:
            self.start(node)
        for node in others:
            for group in self.groups:
                self.result(self.nodes[first].change(group, partial(Configuration.withLearner, node=node)))
            self.run(0.5)
            for group in self.groups:
                status = self.nodes[first].status(group)
                assert status is not None
                learner = next(each[0] for each in status.members if each[1] == node)
                self.result(
                    self.nodes[first].change(group, partial(Configuration.withVoter, replicaId=learner))
                )
        self.run(0.5)
        return self

    def result(self, deferred: Deferred[Any], seconds: float = 3.0) -> Any:
        """What a Deferred gives within some time."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        for _ in range(round(seconds / 0.005)):
            if results:
                break
            self.clock.advance(0.005)
        assert results, "no result in time"
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]

    def leader(self, group: int = 1) -> int:
        """The one node that leads a group."""
        leading = [
            node
            for node, groups in self.nodes.items()
            if (status := groups.status(group)) is not None and status.role == "leader"
        ]
        assert len(leading) == 1, f"led by {leading}"
        return leading[0]

    def state(self, node: int, group: int = 1) -> bytes:
        """What a node has applied."""
        return applied(self.stores[node], group)


__all__ = ["Array", "Sums", "applied", "groupKey"]
