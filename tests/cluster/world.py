"""
A whole array in memory: shares of several nodes on one simulated clock, with the real state machine.

The first node founds all groups, as `jindictl init` does; others come in empty, as after `jindictl join`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from jindimail.cluster.arrayentries import AddInvite, AdmitNode
from jindimail.cluster.arrayrecords import DOWN, UP, NodeRecord, WishRecord
from jindimail.cluster.ground import layGround
from jindimail.cluster.membership import Admitted
from jindimail.cluster.memorylinks import Fabric
from jindimail.cluster.share import Share
from jindimail.cluster.usermap import UserMap
from jindimail.mailbox import wire
from jindimail.mailbox.bodyentries import BodyEntries
from jindimail.mailbox.machine import MailMachine
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT, bucketGroup
from jindimail.replication.configuration import Configuration
from jindimail.replication.durable import foundGroups
from jindimail.store.keys import META, REJOINING_KEY
from jindimail.store.memory import MemoryRows, MemoryStore
from tests.simulation.clock import HeapClock, NodeClock

ALL_GROUPS = (ARRAY_GROUP, *(bucketGroup(bucket) for bucket in range(BUCKET_COUNT)))
PATIENCE_SECONDS = 60.0
T = TypeVar("T")


class World:
    """
    The nodes that run, by number.

    @ivar rows: each node's disk, which outlives its processes.
    """

    def __init__(self, seed: int = 1, groups: tuple[int, ...] = ALL_GROUPS) -> None:
        self.heap = HeapClock()
        self.fabric = Fabric(self.heap)
        self.chance = Random(seed)
        self.rows: dict[int, MemoryRows] = {}
        self.shares: dict[int, Share] = {}
        self.incarnations: dict[int, int] = {}
        self._clocks: dict[int, NodeClock] = {}
        self._groups = groups
        self._isTended = False
        self._paused: set[int] = set()
        self.fabric.isStalled = lambda source, target: bool({source, target} & self._paused)

    def found(self) -> Share:
        """The first node, with all groups."""
        self.rows[1] = MemoryRows()
        with self.rows[1].transaction() as rows:
            foundGroups(rows, self._groups, 1)
        return self.start(1)

    def foundArray(self, **labels: Any) -> Share:
        """The first node of an array that tends itself, as `jindictl init` makes it."""
        self._isTended = True
        share = self.found()
        assert self._admit(share, b"", labels) == 1
        return share

    def join(self, **labels: Any) -> Share:
        """Another node is admitted, as by `jindictl join`, and comes up empty."""
        share = next(iter(self.shares.values()))
        secretHash = self.chance.randbytes(32)
        invite = AddInvite(seconds=self.seconds, secretHash=secretHash, expiresSeconds=self.seconds + 60)
        self.result(share.buckets.propose(None, invite))
        return self.start(self._admit(share, secretHash, labels))

    def _admit(self, share: Share, secretHash: bytes, labels: dict[str, Any]) -> int:
        name = f"n{len(self.rows)}" if secretHash else "n0"
        given = {"host": name, "weight": 100, "level": 1} | labels
        entry = AdmitNode(
            seconds=self.seconds, secretHash=secretHash, name=name, addresses=(f"{name}:1",), **given
        )
        admitted = self.result(share.buckets.propose(None, entry))
        assert isinstance(admitted, Admitted), admitted
        return admitted.node

    @property
    def seconds(self) -> int:
        """The wall clock of all nodes."""
        return int(self.heap.now)

    def growArray(self, nodes: int, seconds: float = PATIENCE_SECONDS) -> None:
        """An array of so many nodes, settled."""
        self.foundArray()
        for _ in range(nodes - 1):
            self.join()
        first = self.shares[1]
        self.until(lambda: all(record.state == UP for record in first.userMap.nodes.values()), seconds)
        self.settle(seconds)

    def settle(self, seconds: float = PATIENCE_SECONDS) -> None:
        """What is planned now is carried out."""
        self.run(4.0)
        self.until(self.isSettled, seconds)

    def isSettled(self) -> bool:
        """Whether every group has the members and the leader that are wished for, and nodes to put them on."""
        userMap = next(iter(self.shares.values())).userMap
        return all(self._isSettled(userMap, group) for group in self._groups)

    def _isSettled(self, userMap: UserMap, group: int) -> bool:
        wish = userMap.wish(group)
        if wish is None:
            return False
        leader = self.shares.get(wish.voters[0])
        if leader is None or not leader.groups.leadingTerm(group):
            return False
        configuration = leader.groups.configurationOf(group)
        assert configuration is not None
        return {m.node for m in configuration.members if m.voter} == set(wish.voters) and {
            m.node for m in configuration.members if not m.voter
        } == set(wish.learners)

    def start(self, node: int) -> Share:
        """A node's process comes up, from its disk if it has one."""
        rows = self.rows.setdefault(node, MemoryRows())
        self.incarnations[node] = self.incarnations.get(node, 0) + 1
        clock = self._clocks[node] = NodeClock(self.heap, lambda: None, 0.0)
        ground = layGround(
            clock=clock,
            store=MemoryStore(clock, rows),
            machine=MailMachine(),
            links=self.fabric.add(node),
            incarnation=self.incarnations[node],
            draw=self.chance.randint,
            numbers=self._groups,
        )
        share = self.shares[node] = Share(
            ground,
            wire=wire,
            bodyEntries=BodyEntries(clock.seconds),
            peers=lambda: [other for other in self.shares if other != node],
        )
        self.result(share.start())
        if not self._isTended:
            share.untend()  # the test says itself what there is
        return share

    def clockOf(self, node: int) -> NodeClock:
        """A node's clock."""
        return self._clocks[node]

    def kill(self, node: int) -> None:
        """A node's process is gone, with all that it had not committed."""
        self._clocks.pop(node).end()
        self.shares.pop(node)
        self.fabric.remove(node)

    def spread(self, voters: Iterable[int], groups: Iterable[int], others: Iterable[int] = ()) -> None:
        """
        All groups get replicas, that vote, at these nodes; the first founded them. Everybody knows where they are.

        @param others: nodes that serve, too, without replicas.
        """
        voters, groups = tuple(voters), tuple(groups)
        for node in (*voters, *others):
            if node not in self.shares:
                self.start(node)
        for group in groups:
            for node in voters[1:]:
                self.grow(group, node)
        self.know(voters, groups, others)

    def grow(self, group: int, node: int) -> None:
        """A group gets one more voter."""
        leader = self.leader(group)
        self.result(self.shares[leader].groups.change(group, partial(Configuration.withLearner, node=node)))
        self.until(lambda: self.shares[node].groups.appliedIndex(group))
        status = self.shares[leader].groups.status(group)
        assert status is not None
        learner = next(each[0] for each in status.members if each[1] == node)
        self.result(
            self.shares[leader].groups.change(group, partial(Configuration.withVoter, replicaId=learner))
        )

    def know(
        self,
        voters: Iterable[int],
        groups: Iterable[int],
        others: Iterable[int] = (),
        down: Iterable[int] = (),
    ) -> None:
        """What group 0 would say of nodes and groups, as everybody's user map has it."""
        voters, groups, down = tuple(voters), tuple(groups), tuple(down)
        nodes = {
            node: NodeRecord(
                name=f"n{node}", addresses=(), host=f"h{node}", state=DOWN if node in down else UP
            )
            for node in (*voters, *others)
        }
        wishes = {group: WishRecord(voters=voters) for group in groups}
        for share in self.shares.values():
            share.userMap.update(nodes, wishes)

    def leader(self, group: int) -> int:
        """The node that leads a group, when one does and can answer reads."""

        def leading() -> list[int]:
            return [node for node, share in self.shares.items() if share.groups.leadingTerm(group)]

        self.until(leading)
        return leading()[-1]

    def pause(self, node: int) -> None:
        """A node's process gets no time, and takes nothing in; its connections stay (SIGSTOP)."""
        self._paused.add(node)
        self._clocks[node].pause()

    def resume(self, node: int) -> None:
        """It goes on, with everything that came due."""
        self._paused.discard(node)
        self._clocks[node].resume()

    def setAside(self, node: int) -> None:
        """A node that is down gets a new store in the place of its own, as after a failed commit or a dead disk."""
        assert node not in self.shares
        self.rows[node] = MemoryRows()
        with self.rows[node].transaction() as rows:
            rows.put(META, REJOINING_KEY, b"\x01")

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.heap.runUntil(self.heap.now + seconds)

    def until(self, isSo: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
        """Time passes until it is so; it must be so in time."""
        end = self.heap.now + seconds
        while not isSo():
            assert self.heap.now < end, "not in time"
            self.run(0.05)

    def result(self, waiting: Any) -> Any:
        """What an awaitable comes to; its exception is raised."""
        done = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)
        found: list[Any] = []
        done.addBoth(found.append)
        self.until(lambda: found)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]
