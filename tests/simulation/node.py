"""One simulated node: a disk that survives, and incarnations of everything else."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from jindimail.replication.outputs import Settings
from jindimail.replication.raft import Raft
from tests.simulation.clock import HeapClock, NodeClock
from tests.simulation.disk import Disk, DiskStore
from tests.simulation.network import Network
from tests.simulation.readers import Readers
from tests.simulation.watch import Watch, WatchedMachine

Trace = Callable[..., None]


class Node:
    """
    A node with its number.

    @ivar driver: the groups of the present incarnation; None while the node is down.
    @ivar crashAt: a boundary at which the node shall crash, and how often that is passed before.
    @ivar isBroken: a commit failed, and the node stopped.
    """

    def __init__(
        self,
        number: int,
        *,
        heap: HeapClock,
        network: Network,
        chance: Random,
        watch: Watch,
        trace: Trace,
        make: Callable[[Node], Any],
        settings: Settings,
    ) -> None:
        self.number = number
        self.heap = heap
        self.network = network
        self.chance = chance
        self.watch = watch
        self.trace = trace
        self.settings = settings
        self.disk = Disk(chance)
        self.incarnation = 0
        self.offset = 0.0
        self.crashAt: tuple[str, int] | None = None
        self.isBroken = False
        self.driver: Any = None
        self.downSince = 0.0
        self._make = make

    @property
    def isUp(self) -> bool:
        """Whether there is a process, paused or not."""
        return self.driver is not None

    @property
    def awaySeconds(self) -> float:
        """For how long there has been no process."""
        return 0.0 if self.isUp else self.heap.now - self.downSince

    def start(self) -> None:
        """A process comes up from what the disk holds."""
        assert not self.isUp
        self.incarnation += 1
        self.isBroken = False
        self.crashAt = None
        self.disk.mustFail = False
        self.clock = NodeClock(self.heap, self.look, self.offset)
        self.machine = WatchedMachine()
        self.store = DiskStore(self.disk, self.clock, self._ran, self._wrote, self.boundary)
        self.store.failed().addCallback(self._stopped)
        self.readers = Readers()
        self.watch.started(self.number, self.disk.rows)
        self.trace("node {} starts", self.number)
        self.driver = self._make(self)
        self.clock.run(self.driver.start)
        self.network.receivers[self.number] = self._arrive

    def crash(self) -> None:
        """The process is gone, with all that is not durable."""
        if self.isUp:
            self.trace("node {} crashes", self.number)
            self.clock.end()
            self.driver = None
            self.downSince = self.heap.now
            self.network.receivers.pop(self.number, None)
            self.watch.counters["crashes"] += 1

    def setAside(self) -> None:
        """The disk is replaced by an empty one; the node has to come back under new replica ids."""
        assert not self.isUp
        self.watch.setAside(self.number, self.disk.rows)
        disk = self.disk
        self.disk = Disk(self.chance)
        self.disk.syncSeconds = disk.syncSeconds
        self.trace("node {} sets its store aside", self.number)

    def boundary(self, name: str) -> None:
        """A place where a crash can come."""
        if self.crashAt is not None and self.crashAt[0] == name:
            passes = self.crashAt[1]
            if passes:
                self.crashAt = name, passes - 1
                return
            self.trace("node {} is hit {}", self.number, name)
            self.watch.counters["crashes " + name] += 1
            self.crash()

    def send(self, target: int, batch: list[bytes]) -> None:
        """A batch leaves for another node."""
        if self.clock.isOver:
            return
        assert target != self.number, "a node has no link to itself"
        self.look()
        self.watch.sent(self.driver.peek(target, batch))
        self.boundary("before send")
        if self.isUp:
            self.network.send(self.number, target, batch)
            self.boundary("after send")

    def raft(self, group: int) -> Raft | None:
        """The machine of a group."""
        replica = self.driver.replicas.get(group) if self.isUp else None
        return None if replica is None else replica.raft

    def look(self) -> None:
        """Have everybody look at the machines."""
        if self.driver is not None:
            fresh = self.watch.looked(self.number, self.disk.rows, self.driver.replicas)
            if fresh:
                self.watch.guarded(self.readers.look, self, fresh)

    def _arrive(self, source: int, batch: list[bytes]) -> None:
        self.clock.run(self.driver.receive, source, batch)

    def _ran(self, isGood: bool, isTold: bool) -> None:
        applied = self.machine.settle(isGood)
        if isTold:
            self.watch.told(self.number, applied)

    def _wrote(self, isGood: bool) -> None:
        if isGood:
            self.watch.wrote(self.number, self.disk.rows, self.machine)
        else:
            self.machine.staged = []

    def _stopped(self, reason: Exception) -> None:
        self.trace("node {} stops: {}", self.number, reason)
        self.isBroken = True
        self.watch.counters["failed commits"] += 1
