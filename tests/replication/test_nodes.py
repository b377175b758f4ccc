"""Drivers of several nodes together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Corrupt, LimitReached, OutcomeUnknown, StorageFull, Unavailable
from jindimail.replication.durable import HardRecord, foundGroups
from jindimail.replication.frames import Unpacker, packFrames
from jindimail.replication.messages import (
    Append,
    Appended,
    AskRead,
    Ballot,
    Beat,
    Campaign,
    Message,
    TellRead,
    TransferNow,
    encodeMessage,
)
from jindimail.replication.neighbours import BEAT_SECONDS
from jindimail.replication.nodemessages import AllQuiet, AskQuiet, NodeBeat, Quiet, Wake, encodeTraffic
from jindimail.replication.ticks import REST_SECONDS
from jindimail.store.keys import HARD, LOG, SUMMARY, groupKey, logKey
from jindimail.store.records import decode
from tests.replication.nodes import Array


class ThreeNodes(SynchronousTestCase):
    """Groups with a voter at each of three nodes."""

    def setUp(self) -> None:
        self.array = Array().grown()

    def test_grownFromOneNodeToThree(self) -> None:
        for node in (1, 2, 3):
            status = self.array.nodes[node].status(1)
            assert status is not None
            self.assertEqual(
                [(member[1], member[2]) for member in status.members], [(1, True), (2, True), (3, True)]
            )
            self.assertEqual(self.array.nodes[node].leaderOf(1), 1)

    def test_proposalIsAppliedEverywhere(self) -> None:
        self.assertEqual(self.array.result(self.array.nodes[1].propose(1, b"a"))[1], 1)
        self.array.run(0.1)
        self.assertEqual([self.array.state(node) for node in (1, 2, 3)], [b"a;"] * 3)

    def test_largeEntriesAreSentInSlicesAndTooLargeOnesRefused(self) -> None:
        large = bytes(1_000_000)
        self.array.result(self.array.nodes[1].propose(1, large))
        self.array.run(0.2)
        self.assertEqual(self.array.state(3), large + b";")
        with self.assertRaises(LimitReached):
            self.array.result(self.array.nodes[1].propose(1, bytes(5_000_000)))

    def test_followerRefusesProposals(self) -> None:
        with self.assertRaises(Unavailable):
            self.array.result(self.array.nodes[2].propose(1, b"a"))

    def test_readIndexAtAnyNodeCoversWhatWasAcknowledged(self) -> None:
        index, _ = self.array.result(self.array.nodes[1].propose(1, b"a"))
        for node in (1, 2, 3):
            self.assertGreaterEqual(self.array.result(self.array.nodes[node].readIndex(1)), index)
            self.assertEqual(self.array.state(node), b"a;")

    def test_bodyIsDurableBeforeItsEntryIsProposed(self) -> None:
        seen: list[Any] = []

        def before(rows: Any) -> None:
            seen.append(self.array.nodes[1].status(1).lastIndex)  # type: ignore[union-attr]
            rows.put(SUMMARY, b"body", b"octets")

        last = self.array.nodes[1].status(1).lastIndex  # type: ignore[union-attr]
        self.array.result(self.array.nodes[1].propose(1, b"a", before))
        self.assertEqual(seen, [last])
        self.assertEqual(self.array.rows[1].get(SUMMARY, b"body"), b"octets")

    def test_followerStoresNoBodyForAProposalThatItRefuses(self) -> None:
        refused = self.array.nodes[2].propose(1, b"a", lambda rows: rows.put(SUMMARY, b"body", b"octets"))
        self.array.run(0.1)
        self.failureResultOf(refused, Unavailable)
        self.assertIsNone(self.array.rows[2].get(SUMMARY, b"body"))

    def test_idleGroupGoesQuiet(self) -> None:
        self.array.run(2)
        for node in (1, 2, 3):
            self.assertTrue(self.array.nodes[node].status(1).quiet)  # type: ignore[union-attr]
            self.assertEqual(self.array.nodes[node]._conversation._ticking, {})

    def _beats(self) -> list[Beat]:
        """Where the group's beats are put from now on."""
        beats: list[Beat] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            beats.extend([message] if isinstance(message, Beat) else [])
            return message

        self.array.alter = alter
        return beats

    def test_groupThatEverybodyAcknowledgesNeedsNoBeats(self) -> None:
        self.array.run(2)
        beats = self._beats()
        for _ in range(20):
            self.array.result(self.array.nodes[1].propose(1, b"a"))
            self.array.run(0.05)
        self.array.run(2)
        self.assertEqual(beats, [])
        self.assertTrue(self.array.nodes[3].status(1).quiet)  # type: ignore[union-attr]

    def test_memberThatDoesNotAnswerGetsBeats(self) -> None:
        self.array.run(2)
        beats = self._beats()
        self.array.cut = {(3, 1)}
        for _ in range(20):
            self.array.result(self.array.nodes[1].propose(1, b"a"))
            self.array.run(0.05)
        self.assertGreater(len(beats), 5)

    def test_readWhoseBeatsAreLostIsAskedAgainInABusyGroup(self) -> None:
        self.array.run(2)
        lost: list[Beat] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            if isinstance(message, Beat) and len(lost) < 2:
                return lost.append(message)
            return message

        self.array.alter = alter
        read: list[int] = []
        self.array.nodes[1].readIndex(1).addCallback(read.append)
        for _ in range(20):
            self.array.nodes[1].propose(1, b"a")
            self.array.run(0.02)
        self.assertEqual(len(lost), 2)
        self.assertEqual(len(read), 1)

    def test_quietLeaderThatStepsDownIsNotVouchedForAnyMore(self) -> None:
        """It waited for a read that nobody answered; its node is heard all the while."""
        self.array.run(2)
        self.array.alter = lambda sender, recipient, message: (
            None if recipient == 1 and isinstance(message, Message) else message
        )
        self.array.nodes[1].readIndex(1).addErrback(lambda _: None)
        for _ in range(300):
            self.array.run(0.01)
            if self.array.nodes[1].status(1).role != "leader":  # type: ignore[union-attr]
                break
        self.assertEqual([list(each.led) for each in self.array.nodes[1]._neighbours], [[], []])
        self.array.alter = None
        self.array.run(2)
        self.assertIn(self.array.leader(), (1, 2, 3))

    def test_readInAQuietGroupDoesNotKeepItTicking(self) -> None:
        self.array.run(2)
        quiet = self.array.nodes[1]._replicas[1].quiet
        self.array.result(self.array.nodes[1].readIndex(1))
        self.assertFalse(self.array.nodes[1]._conversation.isAtRest)
        self.array.run(1)
        self.assertTrue(self.array.nodes[1]._conversation.isAtRest)
        self.assertEqual(self.array.nodes[1]._replicas[1].quiet, quiet)

    def _busy(self, node: int) -> list[Any]:
        """Who waits until the store of a node is free, which it is not until they are told."""
        waiting: list[Any] = []
        self.patch(self.array.stores[node], "whenFree", lambda told: (waiting.append(told), True)[1])
        return waiting

    def test_whatAFollowerGetsWhileItsStoreIsBusyIsOneTurn(self) -> None:
        self.array.run(2)
        while (
            self.array.clock.seconds() % BEAT_SECONDS > 0.01
        ):  # just behind a tick, which takes everything along
            self.array.run(0.005)
        waiting, commits = self._busy(3), self.array.stores[3].commits
        for _ in range(3):
            self.array.nodes[1].propose(1, b"a")
            self.array.run(0.02)
        self.assertEqual(self.array.stores[3].commits, commits)
        self.assertEqual(len(waiting), 1)
        waiting[0]()
        self.array.clock.advance(0)
        self.assertEqual(self.array.stores[3].commits, commits + 1)
        self.assertEqual(self.array.state(3), b"a;a;a;")

    def test_whatIsProposedWhileTheStoreIsBusyLeavesTogether(self) -> None:
        self.array.run(2)
        sent: list[Append] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            sent.extend([message] if isinstance(message, Append) and message.entries else [])
            return message

        self.array.alter = alter
        waiting = self._busy(1)
        proposed = [self.array.nodes[1].propose(1, b"%d" % number) for number in range(3)]
        waiting[0]()
        self.array.alter = None
        self.patch(self.array.stores[1], "whenFree", lambda told: False)
        for each in proposed:
            self.array.result(each)
        self.assertEqual([(each.recipient, len(each.entries)) for each in sent], [(2, 3), (3, 3)])
        self.array.run(0.1)
        self.assertEqual(self.array.state(2), b"0;1;2;")

    def test_beatsAndReadsDoNotWaitForTheStore(self) -> None:
        self.array.run(2)
        for node in (1, 2, 3):
            self._busy(node)
        self.assertGreater(self.array.result(self.array.nodes[2].readIndex(1)), 0)

    def test_quietGroupIsNotDisputed(self) -> None:
        self.array.run(2)
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        seen: list[Any] = []
        for node in (1, 2, 3):
            dispute = self.array.nodes[node]._conversation._settleDispute
            self.patch(
                self.array.nodes[node]._conversation,
                "_settleDispute",
                lambda *given, dispute=dispute: (seen.append(given), dispute(*given)),
            )
        self.array.run(2)
        self.assertTrue(self.array.nodes[3].status(1).quiet)  # type: ignore[union-attr]
        self.assertEqual(seen, [])

    def test_groupThatWentQuietAheadOfAFollowerIsWokenByIt(self) -> None:
        """A follower that was never told of the last commit has not applied what the others have, and says so."""
        self.array.run(2)
        told: list[Quiet] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            told.extend([message] if recipient == 3 and isinstance(message, Quiet) else [])
            isTold = isinstance(message, Append | Beat) and not getattr(message, "entries", ())
            return None if recipient == 3 and isTold else message

        self.array.alter = alter
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.5)
        self.assertTrue(told)
        self.assertEqual(self.array.state(3), b"")
        self.array.alter = None
        self.array.run(1)
        self.assertEqual(self.array.state(3), b"a;")

    def test_leaderOfAQuietGroupIsReplacedWhenItsNodeDies(self) -> None:
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(2)
        self.array.crash(1)
        self.array.run(2)
        leader = self.array.leader()
        self.assertEqual(self.array.result(self.array.nodes[leader].propose(1, b"b"))[1], 2)

    def test_busyLeaderIsReplacedWhenItsNodeDies(self) -> None:
        self.array.nodes[1].propose(1, b"a").addErrback(lambda _: None)
        self.array.run(0.02)
        self.array.crash(1)
        self.array.run(2)
        self.assertIn(self.array.leader(), (2, 3))

    def test_deadNodeThatReturnsGetsWhatItMissed(self) -> None:
        self.array.crash(3)
        for number in range(20):
            self.array.result(self.array.nodes[1].propose(1, b"%d" % number))
        self.array.run(2)
        self.assertTrue(self.array.nodes[1].status(1).quiet)  # type: ignore[union-attr]
        self.array.start(3)
        self.array.run(2)
        self.assertEqual(self.array.state(3), self.array.state(1))
        self.assertTrue(self.array.nodes[3].status(1).quiet)  # type: ignore[union-attr]

    def test_quickRestartOfALeaderIsNoticed(self) -> None:
        """Its node is never silent for long enough; its new incarnation tells."""
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(2)
        self.array.crash(1)
        self.array.run(0.05)
        self.array.start(1)
        self.array.run(3)
        leader = self.array.leader()
        self.assertEqual(self.array.result(self.array.nodes[leader].propose(1, b"b"))[1], 2)

    def test_isolatedLeaderConfirmsNeitherReadsNorWrites(self) -> None:
        self.array.run(1)
        self.array.isolate(1)
        write = self.array.nodes[1].propose(1, b"lost")
        read = self.array.nodes[1].readIndex(1)
        self.array.run(3)
        self.failureResultOf(read, Unavailable)
        leader = self.array.leader()
        self.assertIn(leader, (2, 3))
        self.array.result(self.array.nodes[leader].propose(1, b"kept"))
        self.array.heal()
        self.array.run(2)
        self.failureResultOf(write, Unavailable)
        self.assertEqual([self.array.state(node) for node in (1, 2, 3)], [b"kept;"] * 3)

    def test_outcomeOfAnothersEntryIsNotTakenForOnesOwn(self) -> None:
        self.array.run(1)
        self.array.isolate(1)
        writes = [self.array.nodes[1].propose(1, b"lost %d" % number) for number in range(3)]
        self.array.run(3)
        leader = self.array.leader()
        for number in range(3):
            self.array.result(self.array.nodes[leader].propose(1, b"kept %d" % number))
        self.array.heal()
        self.array.run(2)
        for write in writes:
            self.failureResultOf(write, Unavailable)

    def test_nodeThatSleptKnowsNeitherWhoLivesNorWhoLeads(self) -> None:
        self.array.run(2)
        groups = self.array.nodes[2]
        groups._ticks.tick(self.array.clock.seconds() + 5)
        self.assertFalse(groups._neighbours.isSilent(1))
        self.assertIn(1, groups._conversation._ticking)
        self.assertFalse(groups.status(1).quiet)  # type: ignore[union-attr]

    def test_proposalThatCannotBeCommittedIsUnknownInTheEnd(self) -> None:
        self.array.isolate(1)
        write = self.array.nodes[1].propose(1, b"lost")
        self.array.run(11)
        self.failureResultOf(write, OutcomeUnknown)

    def test_nodeWithAStuckDiskHandsOver(self) -> None:
        self.array.run(1)
        self.array.stores[1]._commit = lambda: None  # type: ignore[method-assign]
        self.array.nodes[1].propose(1, b"a").addErrback(lambda _: None)
        self.array.run(3)
        leader = self.array.leader()
        self.assertIn(leader, (2, 3))
        self.array.result(self.array.nodes[leader].propose(1, b"b"))

    def test_clockSetBackDoesNotHideASilentNode(self) -> None:
        self.array.run(2)
        groups = self.array.nodes[2]
        now = self.array.clock.seconds() - 1000
        groups._ticks.tick(now)
        self.assertFalse(groups._neighbours.isSilent(1))
        for tenths in range(1, 11):
            groups._ticks.tick(now + tenths / 10)
        self.assertTrue(groups._neighbours.isSilent(1))

    def test_clockSetBackDoesNotEndTheSweeps(self) -> None:
        groups = self.array.nodes[2]
        for now in (1000.0, 10.0):
            groups._ticks.tick(now)
            self.assertEqual((groups._sweptAt, groups._strangersAt), (now, now))

    def test_transferBetweenNodes(self) -> None:
        self.array.nodes[1].transfer(1, 3)
        self.array.run(0.3)
        self.assertEqual(self.array.leader(), 3)

    def test_removedReplicaLeavesATombstone(self) -> None:
        status = self.array.nodes[1].status(1)
        assert status is not None
        third = next(member[0] for member in status.members if member[1] == 3)
        self.array.result(self.array.nodes[1].change(1, lambda configuration: configuration.without(third)))
        self.array.run(3)
        self.assertIsNone(self.array.nodes[3].status(1))
        record = decode(self.array.rows[3].get(HARD, groupKey(1)) or b"", HardRecord)
        self.assertEqual((record.replicaId, record.tombstone), (0, third))
        self.array.nodes[3].received(1, self.firstAppend(third, learner=True))
        self.assertIsNone(self.array.nodes[3].status(1))

    def test_leaderThatRemovesItselfAndRestartsStillLeadsTheWay(self) -> None:
        """Only it has the entry of its removal, so only it can be elected (found by simulation)."""
        array = Array((1, 2)).grown()
        array.isolate(1)
        status = array.nodes[1].status(1)
        assert status is not None
        own = status.replicaId
        array.nodes[1].change(1, lambda configuration: configuration.without(own)).addErrback(lambda _: None)
        array.run(0.05)
        array.crash(1)
        array.start(1)
        array.heal()
        array.run(5)
        self.assertEqual(array.leader(), 2)
        self.assertEqual(array.result(array.nodes[2].propose(1, b"a"))[1], 1)

    def firstAppend(self, recipient: int, *, learner: bool) -> list[bytes]:
        """An append as a leader sends it to a replica that may not be there."""
        return packFrames([encodeMessage(Append(1, 1, recipient, 9, 0, 0, 0, [], learner))])

    def test_removedNodeComesBackUnderANewId(self) -> None:
        self.test_removedReplicaLeavesATombstone()
        self.array.run(1)
        self.array.result(self.array.nodes[1].change(1, lambda configuration: configuration.withLearner(3)))
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(2)
        self.assertEqual(self.array.state(3), b"a;")

    def test_voterThatLostItsStoreIsNotRevived(self) -> None:
        """A blank replica under an old id would vote again in terms in which it voted."""
        self.array.crash(3)
        self.array.rows[3] = type(self.array.rows[3])()
        self.array.start(3)
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(3)
        self.assertIsNone(self.array.nodes[3].status(1))

    def test_onlyALearnersAppendMakesAReplica(self) -> None:
        array = Array((1, 2))
        array.start(2)
        array.nodes[2].received(1, self.firstAppend(4, learner=False))
        array.run(0.1)
        self.assertIsNone(array.nodes[2].status(1))
        array.nodes[2].received(1, self.firstAppend(4, learner=True))
        array.run(0.1)
        self.assertEqual(array.nodes[2].status(1).replicaId, 4)  # type: ignore[union-attr]

    def test_messageOfAReplicaThatIsElsewhereIsIgnored(self) -> None:
        raft = self.array.nodes[1]._replicas[1].raft
        forged = Appended(1, 2, 1, raft.term + 5, 0)
        self.array.nodes[1].received(3, packFrames([encodeMessage(forged)]))
        self.assertEqual((raft.role.value, raft.term), ("leader", 1))
        self.array.nodes[1].received(2, packFrames([encodeMessage(forged)]))
        self.assertEqual((raft.role.value, raft.term), ("follower", 6))

    def test_machineThatRaisesStopsItsReplicaOnly(self) -> None:
        array = Array(groups=(1, 2)).grown()
        raft = array.nodes[3]._replicas[1].raft
        self.patch(raft, "step", lambda message: 1 / 0)
        array.result(array.nodes[1].propose(1, b"a"))
        array.result(array.nodes[1].propose(2, b"a"))
        array.run(0.5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsNone(array.nodes[3].status(1))
        self.assertEqual(array.state(3, 2), b"a;")

    def test_leaderWhoseLogIsDamagedOnDiskStopsItsReplicaOnly(self) -> None:
        array = Array(groups=(1, 2)).grown()
        array.crash(3)
        for _ in range(4):
            array.result(array.nodes[1].propose(1, b"quiet" + bytes(100_000)))
        last = array.nodes[1].status(1).lastIndex  # type: ignore[union-attr]
        array.rows[1].delete(LOG, logKey(1, last - 3))
        array.start(3)
        array.run(3)
        self.assertEqual(len(self.flushLoggedErrors(Corrupt)), 1)
        self.assertIsNone(array.nodes[1].status(1))
        self.assertEqual(array.result(array.nodes[array.leader(2)].propose(2, b"a"))[1], 1)

    def test_nodeThatSharesNoGroupIsForgotten(self) -> None:
        self.test_removedReplicaLeavesATombstone()
        self.array.crash(3)
        self.array.run(20)
        self.assertEqual([each.node for each in self.array.nodes[1]._neighbours], [2])

    def test_nothingUndecodableHarms(self) -> None:
        self.array.nodes[1].received(2, [b"", b"\x00", b"\x09abc", b"\x00\x91\x91\x63", b"\x01a", b"\x03b"])
        self.array.result(self.array.nodes[1].propose(1, b"a"))


class ManyGroups(SynchronousTestCase):
    """257 groups at three nodes."""

    def setUp(self) -> None:
        self.array = Array(groups=range(64)).grown()

    def test_oneCallAPeerCarriesAllGroups(self) -> None:
        self.array.run(2)
        calls = self.array.calls
        done = gatherResults([self.array.nodes[1].propose(group, b"a") for group in self.array.groups])
        self.array.clock.advance(0)
        self.assertEqual(self.array.calls - calls, 2)
        self.array.result(done)

    def test_idleGroupsCostOneBeatAPairAndInterval(self) -> None:
        self.array.run(2)
        commits = [store.commits for store in self.array.stores.values()]
        calls, frames = self.array.calls, self.array.frames
        self.array.run(2)
        self.assertLessEqual(self.array.calls - calls, 6 * 21)
        self.assertEqual(self.array.frames - frames, self.array.calls - calls)
        self.assertEqual([store.commits for store in self.array.stores.values()], commits)

    def test_allGroupsOfADeadNodeAreLedAgain(self) -> None:
        self.array.run(2)
        commits = {node: store.commits for node, store in self.array.stores.items()}
        self.array.crash(1)
        self.array.run(2.5)
        for group in self.array.groups:
            self.assertIn(self.array.leader(group), (2, 3))
        for node in (2, 3):
            self.assertLess(self.array.stores[node].commits - commits[node], 60)

    def test_groupsOfASilentNodeAreCampaignedForTogether(self) -> None:
        self.array.run(2)
        self.array.crash(1)
        calls = self.array.calls
        self.array.run(1.0)  # the longest silence, a tick, and two exchanges
        for group in self.array.groups:
            self.assertIn(self.array.leader(group), (2, 3))
        self.assertLess(self.array.calls - calls, 100)

    def test_writesToAllGroupsSurviveAFailover(self) -> None:
        self.array.result(
            gatherResults([self.array.nodes[1].propose(group, b"a") for group in self.array.groups])
        )
        self.array.crash(1)
        self.array.run(3)
        for group in self.array.groups:
            leader = self.array.leader(group)
            self.array.result(self.array.nodes[leader].readIndex(group))
            self.assertEqual(self.array.state(leader, group), b"a;")


class Durability(SynchronousTestCase):
    """What leaves a node, and when."""

    def setUp(self) -> None:
        self.array = Array().grown()
        self.sent: list[tuple[int, Any]] = []

    def watch(self, node: int) -> None:
        """Note what a node sends; nothing arrives."""
        unpackers: dict[int, Unpacker] = {}
        for other in {1, 2, 3} - {node}:
            self.array.nodes[node]._neighbours.at(other, self.array.clock.seconds())
        for neighbour in self.array.nodes[node]._neighbours:
            unpackers[neighbour.node] = Unpacker()

            def send(frames: list[bytes], other: int = neighbour.node) -> None:
                for frame in frames:
                    self.sent.extend((other, message) for message in unpackers[other].unpack(frame))

            self.patch(neighbour.link, "send", send)

    def kinds(self, *kinds: type) -> list[Any]:
        """The messages of these kinds that were sent."""
        return [message for _, message in self.sent if isinstance(message, kinds)]

    def stick(self, node: int) -> Callable[[], None]:
        """A node's disk is stuck; what gets it going again."""
        store = self.array.stores[node]
        commit, store._commit = store._commit, lambda: None  # type: ignore[method-assign]
        return commit

    def test_followerAcknowledgesNothingBeforeItsCommit(self) -> None:
        self.watch(2)
        commit = self.stick(2)
        self.array.nodes[1].propose(1, b"a")
        self.array.run(0.05)
        self.assertEqual(self.kinds(Appended), [])
        commit()
        self.array.clock.advance(0)
        self.assertEqual([message.index for message in self.kinds(Appended)], [self.last(1)])

    def last(self, node: int) -> int:
        """The last index of a node's log."""
        status = self.array.nodes[node].status(1)
        assert status is not None
        return status.lastIndex

    def test_voteLeavesAfterItsCommit(self) -> None:
        self.watch(2)
        commit = self.stick(2)
        campaign = Campaign(1, 3, 2, 9, 99, 9, pre=False, transfer=True)
        self.array.nodes[2].received(3, packFrames([encodeMessage(campaign)]))
        self.array.run(0.05)
        self.assertEqual(self.kinds(Ballot), [])
        commit()
        self.array.clock.advance(0)
        self.assertEqual([message.granted for message in self.kinds(Ballot)], [True])
        record = decode(self.array.rows[2].get(HARD, groupKey(1)) or b"", HardRecord)
        self.assertEqual((record.term, record.vote), (9, 3))

    def test_entriesLeaveBesideTheLeadersOwnWriting(self) -> None:
        self.watch(1)
        self.stick(1)
        self.array.nodes[1].propose(1, b"a").addErrback(lambda _: None)
        self.array.clock.advance(0)
        self.assertEqual(len(self.kinds(Append)), 2)

    def test_leaderAnswersOnlyWhenTheEntryIsAppliedDurably(self) -> None:
        done: list[Any] = []
        self.array.nodes[1].propose(1, b"a").addCallback(done.append)
        self.array.run(0.01)
        commit = self.stick(1)
        self.array.run(0.05)
        if not done:  # committed by now, but its rows are not
            self.assertEqual(self.array.state(1), b"")
            commit()
        self.assertEqual(self.array.state(1), b"a;")

    def test_newIncarnationWakesWhatItsNodeLed(self) -> None:
        self.array.run(2)
        conversation = self.array.nodes[2]._conversation
        replica = self.array.nodes[2]._replicas[1]
        self.assertIsNotNone(replica.quiet)
        neighbour = self.array.nodes[2]._neighbours.at(1, self.array.clock.seconds())
        beat = NodeBeat(neighbour.incarnation + 1, 1, 0, 0, 0, neighbour.vouched.digest)
        conversation.received(1, packFrames([encodeTraffic(beat)]), self.array.clock.seconds())
        self.assertIsNone(replica.quiet)
        self.assertIn(1, conversation._ticking)
        self.assertEqual(replica.raft.leader, 0)

    def test_earlierIncarnationIsNotBelieved(self) -> None:
        self.array.run(2)
        conversation = self.array.nodes[2]._conversation
        beat = NodeBeat(0, 1, 0, 0, 0, bytes(8))
        self.watch(2)
        conversation.received(1, packFrames([encodeTraffic(beat)]), self.array.clock.seconds())
        self.assertEqual(self.kinds(AskQuiet), [])

    def test_differentDigestsAreSettledByTheList(self) -> None:
        self.array.run(2)
        conversation = self.array.nodes[2]._conversation
        replica = self.array.nodes[2]._replicas[1]
        neighbour = self.array.nodes[2]._neighbours.at(1, self.array.clock.seconds())
        self.watch(2)
        beat = NodeBeat(neighbour.incarnation, 1, 0, 0, 0, bytes(8))
        conversation.received(1, packFrames([encodeTraffic(beat)]), self.array.clock.seconds())
        self.assertEqual(len(self.kinds(AskQuiet)), 1)
        conversation.received(1, packFrames([encodeTraffic(AllQuiet([]))]), self.array.clock.seconds())
        self.assertIsNone(replica.quiet)

    def test_quietAtAnotherPlaceIsDisputed(self) -> None:
        self.array.run(2)
        conversation = self.array.nodes[2]._conversation
        replica = self.array.nodes[2]._replicas[1]
        quiet = replica.quiet
        assert quiet is not None
        conversation.wake(replica)
        self.watch(2)
        for wrong in (
            replace(quiet, commit=quiet.commit + 1),
            replace(quiet, term=quiet.term + 1),
            replace(quiet, leader=3),
        ):
            conversation.received(1, packFrames([encodeTraffic(Quiet([wrong]))]), self.array.clock.seconds())
            self.assertIsNone(replica.quiet)
        self.assertEqual([message.groups for message in self.kinds(Wake)], [[1]] * 3)
        conversation.received(3, packFrames([encodeTraffic(Quiet([quiet]))]), self.array.clock.seconds())
        self.assertIsNone(replica.quiet)  # node 3 does not hold the leader
        conversation.received(1, packFrames([encodeTraffic(Quiet([quiet]))]), self.array.clock.seconds())
        self.assertEqual(replica.quiet, quiet)

    def test_leaderWithAStuckDiskHandsOverUnasked(self) -> None:
        self.array.run(1)
        self.watch(1)
        self.stick(1)
        self.array.nodes[1].propose(1, b"a").addErrback(lambda _: None)
        self.array.run(0.35)
        self.assertEqual(self.kinds(TransferNow), [])
        for follower in (2, 3):  # they have everything, and go on answering
            raft = self.array.nodes[1]._replicas[1].raft
            raft.step(Appended(1, follower, 1, raft.term, raft.log.lastIndex))
        self.array.run(0.3)
        self.assertEqual(len(self.kinds(TransferNow)), 1)

    def test_nodeWhoseCommitsAreStuckCountsAsSilent(self) -> None:
        self.array.run(2)
        groups = self.array.nodes[2]
        now = self.array.clock.seconds
        neighbour = groups._neighbours.at(1, now())
        self.watch(2)
        for age in (300, 500):
            self.assertEqual(self.kinds(Campaign), [])
            beat = NodeBeat(neighbour.incarnation, 1, 0, 0, age, neighbour.vouched.digest)
            self.array.cut.add((1, 2))
            groups._conversation.received(1, packFrames([encodeTraffic(beat)]), now())
            self.array.run(REST_SECONDS + 0.02)
        self.assertNotEqual(self.kinds(Campaign), [])

    def test_readAtAFollowerWaitsUntilItHasApplied(self) -> None:
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.1)
        commit = self.stick(3)
        index, _ = self.array.result(self.array.nodes[1].propose(1, b"b"))
        read: list[int] = []
        self.array.nodes[3].readIndex(1).addCallback(read.append)
        self.array.run(0.05)
        self.assertEqual(read, [])
        self.array.stores[3]._commit = commit  # type: ignore[method-assign]
        commit()
        self.array.run(0.1)
        self.assertGreaterEqual(read[0], index)
        self.assertEqual(self.array.state(3), b"a;b;")

    def test_appliedIsWhatItsRowsSay(self) -> None:
        """However far the log is committed meanwhile: turns become durable one by one."""
        commit, store = self.stick(3), self.array.stores[3]
        for data in (b"a", b"b", b"c"):
            self.array.result(self.array.nodes[1].propose(1, data))
            self.array.run(0.05)
        self.assertGreater(len(store._waiting), 2)
        while store._waiting:
            behind, store._waiting = store._waiting[1:], store._waiting[:1]
            commit()
            store._waiting = behind + store._waiting
            row = self.array.rows[3].get(HARD, groupKey(1))
            assert row is not None
            self.assertEqual(self.array.nodes[3].appliedIndex(1), decode(row, HardRecord).applied)

    def test_whatWasShownAndNotWrittenIsNotReadBackwards(self) -> None:
        """A turn that was told of finds no room: the replica answers nobody before it is there again."""
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.1)
        store, rows, groups = self.array.stores[3], self.array.rows[3], self.array.nodes[3]
        before, told = groups.appliedIndex(1), list[Any]()

        def write(job: Any, octets: int = 0, ran: Any = None, mayWait: bool = False) -> Any:
            if ran is None:
                return real(job, octets)
            with contextlib.suppress(StorageFull), rows.transaction():
                ran(job(rows))
                told.append(groups.appliedIndex(1))
                raise StorageFull
            return fail(StorageFull())

        real, store.write = store.write, write  # type: ignore[method-assign]
        self.array.result(self.array.nodes[1].propose(1, b"b"))
        self.array.run(0.05)
        self.assertEqual((told[0], groups._replicas[1].applied), (before + 1, before))
        self.assertEqual(groups.appliedIndex(1), 0)
        del store.write
        self.array.result(self.array.nodes[1].propose(1, b"c"))
        self.array.run(1)
        self.assertEqual((groups.appliedIndex(1), self.array.state(3)), (before + 2, b"a;b;c;"))

    def test_entryThatALeavingVoterHasIsInDoubtWhenTheDiskIsFull(self) -> None:
        """The leader that is left alone by a change that is not committed cannot say that what it did not write will not happen."""
        groups, store = self.array.nodes[1], self.array.stores[1]

        def without(node: int) -> Any:
            member = next(each[0] for each in groups.status(1).members if each[1] == node)  # type: ignore[union-attr]
            return groups.change(1, lambda configuration: configuration.without(member))

        self.array.result(without(3))
        self.array.run(0.3)
        pending: list[Deferred[Any]] = []

        def write(job: Any, octets: int = 0, ran: Any = None, mayWait: bool = False) -> Any:
            pending.append(Deferred())
            return pending[-1]

        store.write = write  # type: ignore[method-assign]
        outcome = groups.propose(1, b"a")
        self.array.run(0.05)
        without(2).addErrback(lambda _: None)
        self.array.run(0.01)
        self.assertTrue(groups.isAlone(1))
        del store.write
        for each in pending:
            each.errback(StorageFull())
        self.array.run(0.01)
        self.failureResultOf(outcome, OutcomeUnknown)
        self.array.run(4)
        self.assertEqual(self.array.state(2), b"a;")

    def test_whoHearsOfARefusedTurnReadsNoReplicaThatLostWhatItHadShown(self) -> None:
        self.array = Array(groups=(1, 2)).grown()
        groups, rows, seen = self.array.nodes[3], self.array.rows[3], list[int]()
        store = self.array.stores[3]

        def write(job: Any, octets: int = 0, ran: Any = None, mayWait: bool = False) -> Any:
            if ran is None:
                return real(job, octets)
            with contextlib.suppress(StorageFull), rows.transaction():
                ran(job(rows))
                raise StorageFull
            return fail(StorageFull())

        real, store.write = store.write, write  # type: ignore[method-assign]
        for group, other in ((1, 2), (2, 1)):
            far = groups.appliedIndex(group) + 99
            waiting = groups.whenApplied(group, far)
            waiting.addErrback(lambda _, other=other: seen.append(groups.appliedIndex(other)))
            self.array.nodes[1].propose(group, b"a")
        self.array.run(0.05)
        self.assertEqual(seen, [0, 0])

    def test_nothingIsToldAheadOfWhatMustWaitForItsSync(self) -> None:
        """A sole voter's entry in the same turn makes one wait; what comes behind it would show a later entry without an earlier one."""
        self.array = Array()
        with self.array.rows[3].transaction() as rows:
            foundGroups(rows, (2,), 3)
        self.array.grown()
        groups, told = self.array.nodes[3], list[Any]()
        groups.listen(lambda group, index, events: told.append(events) if group == 1 else None)
        commit, real = self.stick(3), groups.received

        def received(node: int, frames: list[bytes]) -> None:
            real(node, frames)
            groups.propose(2, b"x")

        groups.received = received  # type: ignore[method-assign]
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.05)
        groups.received = real  # type: ignore[method-assign]
        self.array.result(self.array.nodes[1].propose(1, b"b"))
        self.array.run(0.05)
        commit()
        self.assertEqual(told, [(b"a",), (b"b",)])

    def test_theSoleVoterReadsNothingBeforeWhatIsCommittedIsApplied(self) -> None:
        """What others have shown already, before they left."""
        self.array = Array(nodes=(1,)).grown()
        groups = self.array.nodes[1]
        replica, read = groups._replicas[1], list[int]()
        self.array.result(groups.propose(1, b"a"))
        commit = replica.applied
        replica.applied -= 1
        groups.readIndex(1).addCallback(read.append)
        self.array.run(0.01)
        self.assertEqual(read, [])
        replica.applied += 1
        self.array.result(groups.propose(1, b"b"))
        self.assertEqual(read, [commit + 1])

    def test_followerWhoseTurnWasRefusedStandsForElectionAgain(self) -> None:
        store, refused = self.array.stores[3], list[Any]()

        def write(job: Any, octets: int = 0, ran: Any = None, mayWait: bool = False) -> Any:
            refused.append(job)
            return fail(StorageFull())

        store.write = write  # type: ignore[method-assign]
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.05)
        del store.write
        self.assertTrue(refused)
        self.watch(3)
        self.array.isolate(3)
        self.array.run(3)
        self.assertTrue(self.kinds(Campaign))

    def test_readWhoseQuestionWasLostIsAskedAgain(self) -> None:
        lost: list[AskRead] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            if isinstance(message, AskRead) and not lost:
                lost.append(message)
                return None
            return message

        self.array.alter = alter
        self.array.result(self.array.nodes[3].readIndex(1), 1.0)
        self.assertEqual(len(lost), 1)

    def test_readIndexThatIsAheadOfTheReplicaWaits(self) -> None:
        replica = self.array.nodes[3]._replicas[1]
        self.array.cut |= {(3, 1)}
        read: list[int] = []
        self.array.nodes[3].readIndex(1).addCallback(read.append)
        told = TellRead(
            1,
            replica.raft.leader,
            replica.raft.replicaId,
            replica.raft.term,
            replica.open,
            replica.applied + 1,
        )
        self.array.nodes[3].received(1, packFrames([encodeMessage(told)]))
        self.array.run(0.01)
        self.assertEqual(read, [])
        self.array.cut.clear()
        index, _ = self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.1)
        self.assertEqual(read, [index])

    def test_replicaThatIsBeingInstalledIsNotBuriedUnderItsInstallation(self) -> None:
        replica = self.array.nodes[3]._replicas[1]
        replica.installing = True
        append = Append(1, 1, replica.raft.replicaId + 5, 9, 0, 0, 0, [], True)
        self.array.nodes[3].received(1, packFrames([encodeMessage(append)]))
        self.assertIs(self.array.nodes[3]._replicas.get(1), replica)
