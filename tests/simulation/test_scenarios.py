"""Whole nodes in trouble that was thought of, rather than drawn: the real driver and state machine on simulated disks."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from jindimail.mailbox.outcomes import Filed
from jindimail.replication.frames import packFrames
from jindimail.replication.nodemessages import NodeBeat, encodeTraffic
from jindimail.replication.outputs import Role
from jindimail.replication.repair import bodyref
from jindimail.replication.transfers import PATIENCE_SECONDS, RETRY_SECONDS
from tests.simulation.checkers import checkReferences
from tests.simulation.keeping import BodyEntries
from tests.simulation.scene import GROUP, Scene
from tests.simulation.troubles import BOUNDARIES
from tests.simulation.watch import Violation


class Crashes(SynchronousTestCase):
    """A process dies at each boundary of its work."""

    def test_aLeaderThatDiesAtAnyBoundaryLosesAndDoublesNothing(self) -> None:
        for boundary in BOUNDARIES:
            for passes in range(6):
                scene = Scene()
                scene.open()
                old = scene.leader
                old.crashAt = boundary, passes
                scene.deliver(3)
                if not old.isUp:
                    old.start()
                scene.deliver(2)
                scene.finish()
                self.assertEqual(len(scene.uids(old)), 5, (boundary, passes))

    def test_aFollowerThatDiesAtAnyBoundaryComesBack(self) -> None:
        for boundary in BOUNDARIES:
            for passes in range(4):
                scene = Scene()
                scene.open()
                node = scene.followers()[0]
                node.crashAt = boundary, passes
                scene.deliver(3)
                if not node.isUp:
                    node.start()
                scene.finish()
                self.assertEqual(scene.uids(node), [1, 2, 3], (boundary, passes))

    def test_allNodesLoseTheirPowerAtOnce(self) -> None:
        for passes in range(5):
            scene = Scene()
            scene.open()
            scene.deliver(2)
            for node in scene.nodes.values():
                node.crashAt = "after commit", passes
            waiting = Deferred.fromCoroutine(scene.client.deliver(GROUP))
            scene.pass_(0.05)
            for node in scene.nodes.values():
                node.crash()
                node.start()
            scene.wait(waiting)
            scene.finish()
            self.assertEqual(scene.uids(scene.leader), [1, 2, 3])

    def test_aDeliveryIsRepeatedAtTheNextLeaderOnce(self) -> None:
        """The old leader dies between commit and answer: the outcome of the first time is repeated."""
        scene = Scene()
        scene.open()
        entry = scene.delivery(b"0123456789abcdef")
        old = scene.leader
        first = old.driver.propose(GROUP, entry)
        first.addErrback(lambda _: None)
        scene.until(lambda: scene.uids(old) == [1])
        old.crash()
        scene.until(lambda: scene.leaderOf(GROUP) is not None)
        scene.until(lambda: scene.machine(scene.leader).isReadable)
        outcome = scene.wait(scene.leader.driver.propose(GROUP, scene.delivery(b"0123456789abcdef")))
        self.assertIsInstance(outcome, Filed)
        self.assertTrue(outcome.repeated)
        self.assertEqual(outcome.filings[0].uid, 1)


class Disks(SynchronousTestCase):
    """Stuck, full and failing disks."""

    def test_aLeaderWithAStuckDiskIsReplaced(self) -> None:
        scene = Scene()
        scene.open()
        old = scene.leader
        old.disk.isStuck = True
        began = scene.heap.now
        waiting = Deferred.fromCoroutine(scene.client.deliver(GROUP))
        scene.wait(waiting, 8.0)
        self.assertLess(scene.heap.now - began, 6.0)
        self.assertIsNot(scene.leader, old)
        scene.finish()

    def test_aFollowerWithAStuckDiskDoesNotHoldUpWrites(self) -> None:
        scene = Scene()
        scene.open()
        scene.followers()[0].disk.isStuck = True
        began = scene.heap.now
        scene.deliver(5)
        self.assertLess(scene.heap.now - began, 2.0)
        scene.finish()

    def test_aLeaderWithAFullDiskLosesNothing(self) -> None:
        scene = Scene()
        scene.open()
        scene.deliver(2)
        old = scene.leader
        old.disk.isFull = True
        waiting = Deferred.fromCoroutine(scene.client.deliver(GROUP))
        scene.pass_(3.0)
        old.disk.isFull = False
        scene.wait(waiting)
        scene.finish()

    def test_aNodeWhoseCommitFailedStopsAndComesBackUnderANewId(self) -> None:
        """It forgot its vote and its log; under its old id it would break the quorum (design §4)."""
        scene = Scene()
        scene.open()
        scene.deliver(2)
        node = scene.followers()[0]
        oldId = scene.machine(node).replicaId
        node.disk.mustFail = True
        scene.deliver(1)
        scene.until(lambda: node.isBroken)
        scene.troubles.replaceDisk(node)
        scene.deliver(1)
        scene.until(lambda: node.raft(GROUP) is not None and not scene.isRepairing)
        self.assertGreater(scene.machine(node).replicaId, oldId)
        scene.finish()
        self.assertEqual(scene.uids(node), [1, 2, 3, 4])

    def test_aTombstoneThatFoundNoRoomIsWrittenLater(self) -> None:
        """Or the node could have no replica of the group any more until it is restarted."""
        scene = Scene(nodes=4)
        scene.open()
        node = next(node for node in scene.followers() if node.raft(GROUP) is not None)
        scene.isolate(node)
        scene.pass_(1.0)
        scene.wishes[GROUP] = set(scene.nodes) - {node.number}
        leader = scene.leader
        scene.until(lambda: len(scene.machine(leader).configuration.voters()) == 3)
        scene.until(lambda: node.number not in {m.node for m in scene.machine(leader).configuration.members})
        node.disk.isFull = True
        scene.network.heal()
        scene.pass_(2.0)
        node.disk.isFull = False
        scene.wishes[GROUP] = set(scene.nodes)
        scene.finish()


class Partitions(SynchronousTestCase):
    """Parts of the network do not work."""

    def test_aLeaderThatIsHeardButHearsNobodyIsReplaced(self) -> None:
        scene = Scene()
        scene.open()
        old = scene.leader
        scene.network.cut(scene.others(old), {old.number}, bothWays=False)
        scene.wait(Deferred.fromCoroutine(scene.client.deliver(GROUP)), 12.0)
        self.assertIsNot(scene.leader, old)
        scene.until(lambda: scene.machine(old).role is not Role.LEADER)  # it finds out by itself
        scene.finish()

    def test_aLeaderThatHearsButIsNotHeardIsReplaced(self) -> None:
        scene = Scene()
        scene.open()
        old = scene.leader
        scene.network.cut({old.number}, scene.others(old), bothWays=False)
        scene.wait(Deferred.fromCoroutine(scene.client.deliver(GROUP)), 12.0)
        scene.until(lambda: scene.leader is not old)
        scene.finish()

    def test_anIsolatedLeaderAnswersNoReadWhileOthersWrite(self) -> None:
        scene = Scene()
        scene.open()
        scene.deliver(1)
        old = scene.leader
        scene.isolate(old)
        scene.until(lambda: scene.leader is not old, 5.0)
        scene.deliver(1)
        answers: list[object] = []
        scene.readAt(old).addBoth(answers.append)
        scene.pass_(3.0)
        self.assertTrue(not answers or isinstance(answers[0], Failure), answers)
        scene.network.heal()
        scene.finish()

    def test_readsAtAllNodesSeeWhatWasAcknowledged(self) -> None:
        scene = Scene()
        scene.open()
        for count in range(1, 8):
            scene.deliver(1)
            for node in scene.nodes.values():
                self.assertEqual(len(scene.wait(scene.readAt(node))), count)
        scene.finish()

    def test_messagesThatWereHeldUpForLongDoNoHarm(self) -> None:
        """A stalled leader's appends arrive when another has led for a while."""
        scene = Scene()
        scene.open()
        old = scene.leader
        old.driver.propose(GROUP, scene.delivery(b"held up .......1")).addErrback(lambda _: None)
        scene.isolate(old, stall=True)
        old.driver.propose(GROUP, scene.delivery(b"held up .......2")).addErrback(lambda _: None)
        scene.until(lambda: scene.leader is not old, 6.0)
        scene.deliver(3)
        scene.network.heal()
        scene.deliver(2)
        scene.finish()

    def test_aTailThatWasCutStaysCutAfterARestart(self) -> None:
        """The log that took its place is shorter: the rows behind its end must be gone from the disk."""
        scene = Scene()
        scene.open()
        old = scene.leader
        scene.isolate(old)
        for _ in range(20):
            old.driver.propose(GROUP, scene.delivery(scene.nextDeliveryId())).addErrback(lambda _: None)
        scene.until(lambda: scene.leader is not old)
        scene.network.heal()
        scene.until(lambda: scene.machine(old).leader == scene.machine(scene.leader).replicaId)
        scene.pass_(0.5)
        self.assertGreater(scene.watch.counters["conflicting tails truncated"], 0)
        old.crash()
        old.start()
        scene.deliver(1)
        scene.finish()

    def test_aProposalIsNotAnsweredByTheEntryThatTookItsPlace(self) -> None:
        """The one was never committed, the other is somebody else's mail."""
        scene = Scene()
        scene.open()
        old = scene.leader
        scene.isolate(old)
        answers: list[object] = []
        for _ in range(2):  # the new leader's own empty entry takes the first place
            old.driver.propose(GROUP, scene.delivery(scene.nextDeliveryId())).addBoth(answers.append)
        scene.until(lambda: scene.leader is not old)
        scene.deliver(3)
        scene.network.heal()
        scene.until(lambda: len(answers) == 2)
        self.assertTrue(all(isinstance(answer, Failure) for answer in answers), answers)
        scene.finish()

    def test_aPartitionedNodeDoesNotDisruptItsLeader(self) -> None:
        scene = Scene()
        scene.open()
        leader, term = scene.leader, scene.machine(scene.leader).term
        node = scene.followers()[0]
        for _ in range(3):
            scene.isolate(node)
            scene.pass_(3.0)
            scene.network.heal()
            scene.pass_(2.0)
            scene.deliver(1)
        self.assertEqual((scene.leader, scene.machine(leader).term), (leader, term))
        scene.finish()


class Pauses(SynchronousTestCase):
    """A process gets no time."""

    def test_aLeaderThatSleptAnswersNothingStale(self) -> None:
        scene = Scene()
        scene.open()
        scene.deliver(1)
        old = scene.leader
        old.clock.pause()
        scene.until(lambda: scene.leader is not old, 5.0)
        scene.deliver(1)
        answers: list[object] = []
        scene.readAt(old).addBoth(answers.append)
        old.clock.resume()
        scene.pass_(3.0)
        self.assertTrue(isinstance(answers[0], Failure) or answers[0] == [1, 2], answers)
        scene.finish()

    def test_aNodeThatRestartsInsideTheElectionTimeoutIsReplacedOrLeadsAgain(self) -> None:
        """Its group is quiet: without the new incarnation nobody would notice (design §5)."""
        scene = Scene()
        scene.open()
        scene.pass_(3.0)
        old = scene.leader
        old.crash()
        old.start()
        scene.pass_(2.5)
        self.assertIsNotNone(scene.leaderOf(GROUP))
        scene.deliver(1)
        scene.finish()


class Snapshots(SynchronousTestCase):
    """A replica that the log does not reach any more."""

    def test_aCrashAtAnyStepOfAnInstallationLeavesNothingHalf(self) -> None:
        """Whatever is loaded is a whole replica (design §5: `installing` is committed before anything is erased)."""
        crashes = 0
        for passes in range(0, 24, 2):
            scene = Scene(keptEntries=4, lagEntries=8, stepRows=7, stepOctets=600, blockOctets=300)
            scene.open()
            scene.fill(20)
            node = scene.followers()[0]
            scene.isolate(node)
            scene.pass_(0.5)
            for _ in range(8):
                scene.fill(5)
            node.crashAt = "after commit", passes
            scene.network.heal()
            scene.pass_(PATIENCE_SECONDS + 2 * RETRY_SECONDS)  # what was sent in vain is given up first
            crashes += not node.isUp
            if node.isUp:
                node.crash()
            node.start()
            if node.raft(GROUP) is not None:
                checkReferences(GROUP, node)
            scene.finish()
            self.assertEqual(len(scene.uids(node)), 60)
            self.assertGreater(scene.watch.counters["snapshots installed"], 0)
        self.assertGreater(crashes, 6)


class Bodies(SynchronousTestCase):
    """Who keeps a body."""

    def test_theSecondOfTwoChangesOfKeepersDoesNothing(self) -> None:
        scene = Scene()
        scene.open()
        name = b"0123456789abcdef"
        scene.wait(scene.leader.driver.propose(GROUP, scene.delivery(name, keepers=(1, 2))))
        change = BodyEntries(scene)
        for new in ((2, 3), (3, 1)):
            scene.wait(scene.leader.driver.propose(GROUP, change.setKeepers(name, (1, 2), new)))
        with scene.leader.store.read() as rows:  # what was told of may not be durable yet
            known = bodyref(rows, GROUP - 1, name)
        assert known is not None
        self.assertEqual(known.keepers, (2, 3))
        scene.finish()


class Nodes(SynchronousTestCase):
    """What nodes say of themselves."""

    def test_anEarlierIncarnationIsNotBelieved(self) -> None:
        """An old disk image wakes nobody's groups."""
        scene = Scene()
        scene.open()
        scene.pass_(3.0)
        leader, follower = scene.leader, scene.followers()[0]
        self.assertIsNotNone(follower.driver.replicas[GROUP].quiet)
        beat = encodeTraffic(NodeBeat(0, 1, 0, 0, 0, bytes(8)))
        follower.clock.run(follower.driver.receive, leader.number, packFrames([beat]))
        self.assertIsNotNone(follower.driver.replicas[GROUP].quiet)


class TheSimulatorItself(SynchronousTestCase):
    """What is not looked at is not found."""

    def test_aDiskThatForgetsItsVoteIsFound(self) -> None:
        """A replica whose disk is emptied behind everybody's back breaks an invariant, or the end."""
        scene = Scene()
        scene.open()
        scene.deliver(3)
        node = scene.followers()[0]
        rows = node.disk.rows
        for key in list(rows.keys("message", b"\0", b"\xff")):
            rows.delete("message", key)
        with self.assertRaises(Violation) as caught:
            scene.finish()
        self.assertEqual(caught.exception.name, "replicasAgree")

    def test_quietNodesAgreeOnWhoLeads(self) -> None:
        scene = Scene()
        scene.open()
        scene.pass_(3.0)
        roles = sorted(scene.machine(node).role.value for node in scene.nodes.values())
        self.assertEqual(roles, ["follower", "follower", "leader"])
        self.assertIs(scene.machine(scene.leader).role, Role.LEADER)
