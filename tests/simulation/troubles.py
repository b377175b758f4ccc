"""Everything that can go wrong, drawn by chance; and the calm after it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from jindimail.errors import JindimailError
from jindimail.replication.outputs import Role
from tests.simulation.node import Node

if TYPE_CHECKING:
    from tests.simulation.array import Array

BOUNDARIES = ("before commit", "after commit", "before send", "after send")


class Troubles:
    """
    What happens to an array from outside.

    @ivar isOver: it is calm, and stays so.
    """

    def __init__(self, array: Array, chance: Random, meanSeconds: float) -> None:
        self.array = array
        self.chance = chance
        self.meanSeconds = meanSeconds
        self.isOver = False
        self.kinds: list[tuple[int, Callable[[], None]]] = [
            (14, self.crash),
            (1, self.powerCut),
            (6, self.pause),
            (10, self.partition),
            (4, self.slowLinks),
            (4, self.lossyNetwork),
            (4, self.slowDisk),
            (3, self.stuckDisk),
            (3, self.fullDisk),
            (4, self.failingDisk),
            (2, self.jumpClock),
            (6, self.transfer),
            (8, self.moveReplica),
        ]

    def begin(self) -> None:
        """One trouble after another, at random times."""
        self.array.heap.callLater(self.chance.expovariate(1 / self.meanSeconds), self._next)

    def _next(self) -> None:
        if not self.isOver:
            weights = [weight for weight, _ in self.kinds]
            ((_, kind),) = self.chance.choices(self.kinds, weights)
            kind()
            self.begin()

    def count(self, name: str) -> None:
        """Something happened."""
        self.array.watch.counters[name] += 1

    def anyNode(self) -> Node:
        """A node."""
        return self.chance.choice(list(self.array.nodes.values()))

    def later(self, low: float, high: float, function: Callable[..., object], *arguments: object) -> None:
        """The end of a trouble; not any more once it is calm, which ends all."""

        def end() -> None:
            if not self.isOver:
                function(*arguments)

        self.array.heap.callLater(self.chance.uniform(low, high), end)

    # --- processes

    def crash(self) -> None:
        """A process is killed, now or at the next boundary of some kind."""
        node = self.anyNode()
        if not node.isUp:
            return
        if self.chance.random() < 0.7:
            node.crashAt = self.chance.choice(BOUNDARIES), self.chance.randrange(4)
        else:
            node.crash()
        self.later(0.2, 4.0, self.restart, node)

    def powerCut(self) -> None:
        """All at once."""
        for node in self.array.nodes.values():
            node.crash()
            self.later(0.1, 3.0, self.restart, node)

    def restart(self, node: Node) -> None:
        """A process that is down, or that stopped, comes up again."""
        if node.isUp:
            node.crash()
        node.start()

    def pause(self) -> None:
        """A process gets no time."""
        node = self.anyNode()
        if node.isUp and not node.clock.isPaused:
            clock = node.clock
            clock.pause()
            self.array.trace("node {} pauses", node.number)
            self.count("pauses")
            self.later(0.1, 3.0, clock.resume)

    def jumpClock(self) -> None:
        """Somebody sets a node's time."""
        node = self.anyNode()
        seconds = self.chance.choice([-1.0, -0.3, 0.3, 1.0, 10.0])
        node.offset += seconds
        self.count("clock jumps")
        self.array.trace("node {} jumps {} s", node.number, seconds)
        if node.isUp:
            node.clock.jump(seconds)

    # --- network

    def partition(self) -> None:
        """Some are cut off from the others, one way or both, for good or held up."""
        numbers = set(self.array.nodes)
        group = self.chance.choice(self.array.groups)
        leader = self.array.leaderOf(group)
        if leader is not None and self.chance.random() < 0.4:
            some = {leader.number}
        else:
            some = set(self.chance.sample(sorted(numbers), self.chance.randrange(1, len(numbers) + 1)))
        both, stall = self.chance.random() < 0.6, self.chance.random() < 0.3
        self.array.network.cut(some, numbers - some, bothWays=both, stall=stall)
        self.array.trace("cut off: {}{}{}", some, "" if both else " one way", " stalled" if stall else "")
        self.count("partitions" if both else "one-way partitions")
        self.later(0.3, 4.0, self.heal)

    def heal(self) -> None:
        """The network is whole again."""
        self.array.trace("the network heals")
        self.array.network.heal()

    def slowLinks(self) -> None:
        """Delays around the timeouts on all connections of one node, perhaps one way."""
        node, seconds = self.anyNode(), self.chance.choice([0.05, 0.3, 1.0])
        oneWay = self.chance.random() < 0.3
        for other in self.array.nodes:
            self.array.network.slow(node.number, other, seconds)
            if not oneWay:
                self.array.network.slow(other, node.number, seconds)
        self.array.trace("node {} has slow links: {} s", node.number, seconds)
        self.count("slow links")
        self.later(0.5, 4.0, self.heal)

    def lossyNetwork(self) -> None:
        """Losses, repetitions, broken connections."""
        network = self.array.network
        network.lossShare = self.chance.choice([0.01, 0.1, 0.3])
        network.twiceShare = self.chance.choice([0.0, 0.1])
        network.breakShare = self.chance.choice([0.0, 0.05])
        self.array.trace("the network loses {} of all", network.lossShare)
        self.count("lossy networks")
        self.later(0.5, 4.0, self.soundNetwork)

    def soundNetwork(self) -> None:
        """Nothing is lost any more."""
        network = self.array.network
        network.lossShare = network.twiceShare = network.breakShare = 0.0

    # --- disks

    def slowDisk(self) -> None:
        """Syncs take long."""
        disk = self.anyNode().disk
        disk.syncSeconds = self.chance.choice([0.03, 0.1, 0.5])
        self.count("slow disks")
        self.later(0.5, 4.0, setattr, disk, "syncSeconds", 0.002)

    def stuckDisk(self) -> None:
        """Syncs do not end."""
        node = self.anyNode()
        node.disk.isStuck = True
        self.array.trace("node {}: its disk is stuck", node.number)
        self.count("stuck disks")
        self.later(0.3, 3.0, setattr, node.disk, "isStuck", False)

    def fullDisk(self) -> None:
        """There is no room."""
        node = self.anyNode()
        node.disk.isFull = True
        self.array.trace("node {}: its disk is full", node.number)
        self.count("full disks")
        self.later(0.3, 3.0, self.makeRoom, node)

    def makeRoom(self, node: Node) -> None:
        """There is room again."""
        self.array.trace("node {}: its disk has room", node.number)
        node.disk.isFull = False

    def failingDisk(self) -> None:
        """A sync fails: the node stops, and comes back empty under new replica ids, or on its own store if it is alone."""
        node = self.anyNode()
        if not node.isUp or node.clock.isPaused or self.array.isRepairing or len(self.array.nodes) < 3:
            return
        if any(other.disk.mustFail for other in self.array.nodes.values()):
            return
        node.disk.mustFail = True
        node.disk.isStuck = node.disk.isFull = False
        self.later(0.5, 1.5, self.replaceDisk, node)

    def replaceDisk(self, node: Node) -> None:
        """The operator, or the node itself: set the store aside, begin anew."""
        if not node.isBroken or not node.isUp:
            node.disk.mustFail = False
            return
        node.crash()
        if not self.array.isRepairing and all(
            self.array.isExpendable(node, group) for group in self.array.groups
        ):
            self.array.loseDisk(node)
        node.start()

    # --- requests

    def transfer(self) -> None:
        """A leadership is handed over."""
        group = self.chance.choice(self.array.groups)
        node = self.array.leaderOf(group)
        if node is None:
            return
        raft = node.raft(group)
        assert raft is not None
        voters = [
            member.node
            for member in raft.configuration.members
            if member.voter and member.node != node.number
        ]
        if voters:
            target = self.chance.choice(voters)
            self.array.trace("group {}: {} hands over to node {}", group, raft.replicaId, target)
            node.clock.run(self._transfer, node, group, target)

    def _transfer(self, node: Node, group: int, target: int) -> None:
        try:
            node.driver.transfer(group, target)
            self.count("transfers")
        except JindimailError:
            pass

    def moveReplica(self) -> None:
        """A group's replicas shall be at other nodes."""
        group = self.chance.choice(self.array.groups)
        numbers = sorted(self.array.nodes)
        count = self.chance.choice([1, 2, 3, 3, 3, 4, 5])
        self.array.wishes[group] = set(self.chance.sample(numbers, min(count, len(numbers))))
        self.array.trace("group {} shall be at {}", group, self.array.wishes[group])

    # --- calm

    def calm(self) -> None:
        """Everything is repaired, and nothing happens any more."""
        self.isOver = True
        array = self.array
        array.trace("calm")
        self.soundNetwork()
        array.network.heal()
        for node in array.nodes.values():
            disk = node.disk
            disk.isStuck = disk.isFull = disk.mustFail = False
            disk.syncSeconds = 0.002
            node.crashAt = None
            if node.isUp and node.clock.isPaused:
                node.clock.resume()
            if not node.isUp:
                node.start()
            elif node.isBroken or node.driver.isOver:
                node.crash()
                node.start()
        for group, wish in array.wishes.items():
            if len(wish) < min(3, len(array.nodes)):
                array.wishes[group] = set(sorted(array.nodes)[:3])


def isLeader(node: Node, group: int) -> bool:
    """Whether a node leads a group, as it thinks."""
    raft = node.raft(group)
    return raft is not None and raft.role is Role.LEADER
