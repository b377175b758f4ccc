"""What simulated arrays found, each as the smallest test that shows it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Unavailable
from jindimail.replication.copies import Copies
from jindimail.replication.durable import blankReplica
from jindimail.replication.entries import NORMAL, Entry, Snapshot
from jindimail.replication.messages import Install
from jindimail.replication.nodemessages import BodyPut
from jindimail.replication.repair import bodyref
from jindimail.replication.storedlog import StoredLog
from jindimail.replication.turn import packLogRow
from jindimail.store.keys import BODY, LOG, logKey
from jindimail.store.memory import MemoryStore
from tests.simulation.array import Array
from tests.simulation.clock import HeapClock, NodeClock
from tests.simulation.node import Node
from tests.simulation.scene import GROUP, Scene

LOGGED = 5


class FoundBySeeds(SynchronousTestCase):
    """One test a find."""

    def test_replicaThatBeganBlankReadsOldEntriesBackFromItsStore(self) -> None:
        """Or it could not lead: a follower behind what stands in memory would stop it (seed 4)."""
        store = MemoryStore()
        log = blankReplica(LOGGED, 4, None, StoredLog(store, LOGGED)).log
        entries = [Entry(index, 1, NORMAL, b"%d" % index) for index in (1, 2, 3)]
        for entry in entries:
            log.append(entry)
            store.rows.put(LOG, logKey(LOGGED, entry.index), packLogRow(entry))
        log.takeUnhanded()
        log.persistedTo(3, 1)
        log.commitTo(3)
        log.trim(3, 0)
        self.assertEqual(log.entriesFrom(1, 1000), entries)

    def test_aSnapshotForANewReplicaBuriesTheOldOneThatStillStands(self) -> None:
        """Its file went with the old one, and was closed again (seed 15)."""
        scene = Scene(nodes=4)
        scene.open()
        node = next(node for node in scene.followers() if node.raft(GROUP) is not None)
        leader, replicaId = scene.leader, scene.machine(scene.leader).replicaId
        configuration = scene.machine(leader).configuration
        snapshot = Snapshot(99, 9, 1, configuration)
        install = Install(GROUP, replicaId, configuration.nextId, 9, snapshot, True)
        file = BytesIO()
        node.clock.run(node.driver.groups._restoring.arrived, leader.number, install, file)
        self.assertTrue(file.closed)
        self.assertIsNone(node.raft(GROUP))

    def test_copyThatAnotherLeaderFreedIsNotNamed(self) -> None:
        """
        A leader places a new copy, loses the leadership and gets it back; the leader in between, who knew nothing of
        the copy, let its keeper delete it.
        """
        scene = Scene(nodes=4)
        scene.open()
        scene.deliver(1)
        leader, bodyId = scene.leader, next(iter(scene.model.bodies))
        fresh = next(node for node in scene.nodes.values() if node.raft(GROUP) is None)
        keepers = self.keepers(scene, bodyId)
        lost = next(number for number in keepers if number != leader.number)
        between = next(
            node for node in scene.followers() if node.number != lost and node.raft(GROUP) is not None
        )
        scene.network.cut({fresh.number}, {leader.number}, bothWays=False, stall=True)
        results: list[Any] = []
        step = leader.driver.keeping.repair.step(GROUP - 1, [fresh.number], 2, lambda node: node == lost)
        Deferred.fromCoroutine(step).addBoth(results.append)
        leader.driver.groups.flush()
        scene.until(lambda: self.isKept(fresh))
        leader.clock.run(leader.driver.transfer, GROUP, between.number)
        scene.until(lambda: scene.leaderOf(GROUP) is between and scene.machine(between).isReadable)
        fresh.driver.keeping.sweep.ask(GROUP - 1, between.number, lambda _: True)
        scene.until(lambda: not self.isKept(fresh))
        between.clock.run(between.driver.transfer, GROUP, leader.number)
        scene.until(lambda: scene.leaderOf(GROUP) is leader and scene.machine(leader).isReadable)
        scene.network.heal()
        scene.until(lambda: results)
        self.assertIsInstance(results[0].value, Unavailable)
        self.assertEqual(self.keepers(scene, bodyId), keepers)
        scene.finish()

    def test_lateAnswerToAnEarlierPutDoesNotCount(self) -> None:
        """The copy that it speaks of may have been swept since; that of this put may have been lost."""
        heap, sent, results = HeapClock(), [], []
        copies = Copies(
            clock=NodeClock(heap), store=MemoryStore(), node=1, send=lambda _, message: sent.append(message)
        )
        for _ in range(2):
            put = Deferred.fromCoroutine(copies.put(0, b"i" * 16, b"octets", [2], 1))
            put.addBoth(results.append)
            heap.runUntil(heap.now + 6.0 * (not results))
        late = BodyPut(0, b"i" * 16, 0, False, sent[0].attempt)
        copies.received(2, late)
        heap.runUntil(heap.now + 0.2)
        self.assertEqual(len(results), 1)
        copies.received(2, BodyPut(0, b"i" * 16, 0, False, sent[1].attempt))
        heap.runUntil(heap.now + 0.2)
        self.assertEqual(results[1:], [(2,)])

    def test_theTermThatASoleVoterHadNoRoomForIsAnothers(self) -> None:
        """It led in it for a moment; nobody had heard of that, and it forgot it (seed 71046)."""
        Array(71046).run()

    def test_tombstoneAllOfWhoseAcquaintancesWereReplacedIsToldSo(self) -> None:
        """Or it keeps its records and bodies for ever (seed 5197)."""
        scene = Scene(nodes=5)
        scene.open()
        left = scene.followers()
        away = next(node for node in left if node.raft(GROUP) is not None)
        other = next(node for node in left if node.raft(GROUP) is not None and node is not away)
        first = scene.leader
        new = {node.number for node in scene.nodes.values() if node.raft(GROUP) is None}
        scene.isolate(away)
        for wish in ({first.number, *new}, {other.number, *new}, {first.number, other.number, *new}):
            scene.wishes[GROUP] = wish
            scene.until(lambda wish=wish: self.members(scene) == wish, 20.0)  # type: ignore[misc]
        scene.network.heal()
        scene.until(lambda: away.raft(GROUP) is None)
        scene.finish()

    def test_removedLearnerFindsOut(self) -> None:
        """It never campaigns, so that nobody told it (seed 5221)."""
        scene = Scene(nodes=4)
        scene.open()
        node = next(node for node in scene.nodes.values() if node.raft(GROUP) is None)
        scene.leader.driver.configure(GROUP, lambda each: each.withLearner(node.number))
        scene.until(lambda: node.raft(GROUP) is not None and node.raft(GROUP).leader)  # type: ignore[union-attr]
        scene.isolate(node)
        scene.until(lambda: self.members(scene) == scene.wishes[GROUP])
        scene.network.heal()
        scene.until(lambda: node.raft(GROUP) is None)
        scene.finish()

    def members(self, scene: Scene) -> set[int]:
        """The nodes of the voters, as the leader has it, if all are voters and that is committed."""
        node = scene.leaderOf(GROUP)
        if node is None:
            return set()
        raft = scene.machine(node)
        members = raft.configuration.members
        isDone = raft.history.latestIndex <= raft.log.commit and all(member.voter for member in members)
        return {member.node for member in members} if isDone else set()

    def keepers(self, scene: Scene, bodyId: bytes) -> tuple[int, ...]:
        """Who keeps a body, as the leader has it."""
        with scene.leader.store.read() as rows:
            known = bodyref(rows, GROUP - 1, bodyId)
        assert known is not None
        return known.keepers

    def isKept(self, node: Node) -> bool:
        """Whether a node keeps any body."""
        return any(True for _ in node.disk.rows.keys(BODY, b"\0", b"\xff"))
