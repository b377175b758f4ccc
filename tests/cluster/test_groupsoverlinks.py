"""Replicated groups over node links: the driver, TLS and Perspective Broker on one clock."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.configuration import Configuration
from jindimail.replication.driver import Groups
from jindimail.replication.durable import foundGroups
from jindimail.store.memory import MemoryRows, MemoryStore
from tests.cluster.wires import Array
from tests.replication.nodes import Sums, applied


class GroupsOverLinks(SynchronousTestCase):
    """Three nodes that share a group."""

    def setUp(self) -> None:
        self.array = Array((1, 2, 3))
        self.rows = {node: MemoryRows() for node in (1, 2, 3)}
        self.stores: dict[int, MemoryStore] = {}
        self.groups: dict[int, Groups] = {}
        with self.rows[1].transaction() as rows:
            foundGroups(rows, [1], 1)
        for node in (1, 2, 3):
            self.begin(node)
        self.array.run(0.5)
        for node in (2, 3):
            self.array.result(self.groups[1].change(1, partial(Configuration.withLearner, node=node)))
            self.array.run(0.5)
            status = self.groups[1].status(1)
            assert status is not None
            learner = next(each[0] for each in status.members if each[1] == node)
            promote = partial(Configuration.withVoter, replicaId=learner)
            self.array.result(self.groups[1].change(1, promote))

    def begin(self, node: int) -> None:
        links = self.array.nodes[node]
        store = self.stores[node] = MemoryStore(self.array.clock, self.rows[node])
        groups = self.groups[node] = Groups(
            clock=self.array.clock,
            store=store,
            machine=Sums(),
            draw=self.array.chance.randint,
            node=node,
            incarnation=self.array.incarnations[node],
            link=links.link,
        )
        links.attend(groups.received, groups.receivedBulk)
        groups.start()

    def kill(self, node: int) -> None:
        groups = self.groups.pop(node)
        groups._running = False
        groups._ticks.stop()
        if groups._turns._call is not None and groups._turns._call.active():
            groups._turns._call.cancel()
        self.stores[node]._waiting.clear()
        self.array.crash(node)

    def state(self) -> list[bytes]:
        return [applied(self.stores[node], 1) for node in sorted(self.groups)]

    def leader(self) -> int:
        for node, groups in self.groups.items():
            status = groups.status(1)
            if status is not None and status.role == "leader":
                return node
        raise AssertionError("nobody leads")

    def test_entriesReachAllReplicas(self) -> None:
        for data in (b"a", b"b" * 300_000, b"c"):
            self.array.result(self.groups[1].propose(1, data))
        self.array.run(1)
        self.assertEqual(self.state(), [b"a;" + b"b" * 300_000 + b";c;"] * 3)
        self.assertEqual(self.array.network.raised, [])

    def test_deadLeaderIsReplacedAndReturns(self) -> None:
        self.array.result(self.groups[1].propose(1, b"a"))
        self.kill(1)
        self.array.run(2)
        leader = self.leader()
        self.array.result(self.groups[leader].propose(1, b"b"))
        self.array.start(1)
        self.begin(1)
        self.array.run(2)
        self.assertEqual(self.state(), [b"a;b;"] * 3)

    def test_idleArrayCostsOnlyHeartbeats(self) -> None:
        self.array.run(2)
        before = self.array.nodes[1].peers()[0].counters["control"]
        self.array.run(10)
        after = self.array.nodes[1].peers()[0].counters["control"]
        self.assertLessEqual(after["batches"] - before["batches"], 125)
        self.assertLess(after["octets"] - before["octets"], 10_000)
