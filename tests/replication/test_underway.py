"""What is under way at a node: turns, proposals, streams, puts; and what comes too late for them."""

from __future__ import annotations

import random
from io import BytesIO
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from jindimail.deadlines import Deadlines
from jindimail.errors import Corrupt, OutcomeUnknown
from jindimail.replication.configuration import Configuration
from jindimail.replication.copies import Copies
from jindimail.replication.digests import digestOfGroup
from jindimail.replication.driver import Groups
from jindimail.replication.durable import buriedRecord, encodeHard, foundGroups, hardRecord, packLogRow
from jindimail.replication.entries import NORMAL, Entry
from jindimail.replication.frames import packFrames
from jindimail.replication.history import ConfigurationHistory
from jindimail.replication.log import Log
from jindimail.replication.messages import Append, Appended, encodeMessage
from jindimail.replication.nodemessages import (
    AskKept,
    NodeMessage,
    SnapshotPiece,
    SnapshotTaken,
    TellBody,
    TellKept,
)
from jindimail.replication.putting import Putting
from jindimail.replication.reads import Reads
from jindimail.replication.repair import Repair, Wanted
from jindimail.replication.status import caughtUp
from jindimail.replication.storedlog import StoredLog
from jindimail.replication.sweep import Sweep
from jindimail.replication.transfers import Outgoing
from jindimail.replication.turn import Turn
from jindimail.store.keys import BODYREF, HARD, LOG, bodyrefKey, groupKey, logKey
from jindimail.store.memory import MemoryStore
from jindimail.store.records import BodyrefRecord, encode
from tests.replication.network import Network
from tests.replication.nodes import Array, Sums
from tests.replication.test_copies import Entries

BODY_ID = bytes(16)


class Logs(SynchronousTestCase):
    """The log and what goes with it."""

    def test_whatIsNotDurableStaysInMemoryThoughItIsCommitted(self) -> None:
        """It cannot be read back yet."""
        log = Log()
        for index in (1, 2):
            log.append(Entry(index, 1, NORMAL, b"x"))
        log.takeUnhanded()
        log.persistedTo(1, 1)
        log.commitTo(2)
        log.trim(2, 0)
        self.assertEqual([entry.index for entry in log.between(2, 3)], [2])

    def test_historyKeepsTheConfigurationThatIsInForceAtTheBase(self) -> None:
        old, new = Configuration((), 1), Configuration((), 2)
        history = ConfigurationHistory(0, old)
        history.add(5, new)
        history.forgetBefore(4)
        self.assertEqual((history.at(4), history.at(5)), ((0, old), (5, new)))
        history.forgetBefore(5)
        self.assertEqual(history.at(5), (5, new))

    def test_answerToAnEarlierRoundTakesNothingBack(self) -> None:
        reads = Reads()
        reads.add(7, 1)
        reads.begin(3)
        reads.answered(2, 1)
        reads.answered(2, 0)  # overtaken on its way
        self.assertEqual(reads.confirmed((1, 2, 3), 1), [((7, 1), 3)])

    def test_entriesOfADamagedLogAreNotTakenForOthers(self) -> None:
        store = MemoryStore()
        for index in (3, 5):
            store.rows.put(LOG, logKey(1, index), packLogRow(Entry(index, 1, NORMAL, b"x")))
        for low in (2, 3, 4):
            self.assertRaises(Corrupt, StoredLog(store, 1).read, low, 6, 1000)

    def test_learnerThatNeverAnsweredIsNotCaughtUp(self) -> None:
        network = Network(1)
        network.elect(1)
        network.isolate(2)
        network[1].proposeConfiguration(network[1].configuration.withLearner(20))
        network.settle()
        self.assertEqual(caughtUp(network[1], 256), frozenset((1,)))


class OneNode(SynchronousTestCase):
    """A node whose two groups have one voter."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        with self.store.rows.transaction() as rows:
            foundGroups(rows, [1, 2], 7)
        self.groups = Groups(
            clock=self.clock, store=self.store, machine=Sums(), draw=random.Random(1).randint
        )
        self.groups.start()
        self.clock.advance(0)

    def test_proposalsThatWereGivenUpAreNotUnderWay(self) -> None:
        for _ in range(3):
            self.groups.propose(1, b"a").addErrback(lambda _: None)
        self.assertEqual(self.groups.proposals, 3)
        self.groups.abandon(self.groups._replicas[1], OutcomeUnknown("test"))
        self.assertEqual(self.groups.proposals, 0)

    def test_proposalsThatWaitedTooLongAreNotUnderWay(self) -> None:
        self.groups.propose(1, b"a").addErrback(lambda _: None)
        self.groups._waiting.sweep(self.clock.seconds() + 60)
        self.assertEqual(self.groups.proposals, 0)

    def test_nothingIsUnderWayWhenAllIsDone(self) -> None:
        for group in (1, 2):
            self.groups.propose(group, b"a")
        self.clock.advance(0)
        self.clock.advance(0)
        replicas = self.groups._replicas.values()
        self.assertEqual([(each.inFlight, each.untold) for each in replicas], [(0, 0)] * 2)

    def test_logIsNotDroppedAheadOfWhatIsDurable(self) -> None:
        """However much is proposed while the disk is busy."""
        done: list[Any] = []
        for _ in range(5):
            for _ in range(70):
                self.groups.propose(1, b"quiet").addCallback(done.append)
            self.groups._turns.turn()
        self.clock.advance(0)
        self.assertEqual(len(done), 350)

    def test_driverThatIsConfusedWritesNoMore(self) -> None:
        self.groups._turns._confused(Failure(ZeroDivisionError()))
        self.groups._turns.touch(self.groups._replicas[1])
        self.groups._replicas[1].raft.propose(b"a")
        commits = self.store.commits
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.store.commits, commits)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_whoWaitedForTheStoreMayWaitAgain(self) -> None:
        told: list[Any] = []
        self.patch(self.store, "whenFree", lambda free: (told.append(free), True)[1])
        for turns in (1, 2):
            self.groups._turns.touchWhenFree(self.groups._replicas[1])
            self.assertEqual(len(told), turns)
            told[-1]()

    def test_turnMayWaitOnlyIfNobodyWaitsForAnyOfIt(self) -> None:
        waits: list[bool] = []

        class Outputs:
            isCommitted = True
            apply = (1,)

        class Work:
            outputs = Outputs()

            def __init__(self, onlyApplies: bool) -> None:
                self.onlyApplies = onlyApplies

        def write(job: Any, ran: Any = None, mayWait: bool = False) -> Deferred[Any]:
            waits.append(mayWait)
            return Deferred()

        self.patch(self.store, "write", write)
        for works in ((True, True), (True, False), (False, False)):
            turn: Any = Turn(Sums())
            turn.works = [Work(each) for each in works]
            self.groups._turns._hand(list(self.groups._replicas.values()), turn)
        self.assertEqual(waits, [True, False, False])

    def test_nothingIsMadeWhereATombstonesRowsAreBeingErased(self) -> None:
        self.store.rows.put(HARD, groupKey(9), encodeHard(buriedRecord(3, erasing=True)))
        self.assertIsNone(self.groups._loading.blank(9, 4))
        self.store.rows.put(HARD, groupKey(9), encodeHard(buriedRecord(3, erasing=False)))
        self.assertIsNone(self.groups._loading.blank(9, 3))
        blank = self.groups._loading.blank(9, 4)
        assert blank is not None
        self.assertEqual(blank.record().tombstone, 3, "and remembered by the next hard row")

    def test_digestIsOfACompleteReplicaAtTheIndexAsked(self) -> None:
        rows, applied = self.store.rows, self.groups.appliedIndex(1)
        self.assertNotEqual(digestOfGroup(rows, 1, applied).tables, {})
        other = digestOfGroup(rows, 1, applied + 1)
        self.assertEqual((other.applied, other.tables), (applied, {}))
        rows.put(HARD, groupKey(1), encodeHard(replace(hardRecord(rows, 1), installing=True)))
        self.assertEqual(digestOfGroup(rows, 1, 0).applied, 0)


class Streams(SynchronousTestCase):
    """Three nodes; snapshots between them, and answers that wait."""

    def setUp(self) -> None:
        self.array = Array().grown()

    def test_piecesOfTwoNodesAreNotMixed(self) -> None:
        """Each node counts its sendings itself."""
        transfers = self.array.nodes[2]._transfers
        transfers.piece(1, SnapshotPiece(1, 1, 2, 7, 1, b"x"), 0.0)
        transfers.piece(3, SnapshotPiece(1, 3, 2, 7, 2, b"y"), 0.0)
        incoming = transfers._incoming[1]
        self.assertEqual((incoming.node, incoming.pieces), (1, 1))

    def test_answersToAnEarlierSendingEndNothing(self) -> None:
        transfers = self.array.nodes[1]._transfers
        outgoing = transfers._outgoing = Outgoing(self.array.nodes[1]._replicas[1], 3, 3, 7, 0.0)
        outgoing.file = BytesIO()
        for late in (SnapshotTaken(1, 6, 5), SnapshotTaken(1, 6, 1, True)):
            transfers.taken(3, late, 0.0)
        self.assertIs(transfers._outgoing, outgoing)
        self.assertEqual(outgoing.taken, 0)
        outgoing.file.close()

    def test_acknowledgementWaitsForATurnUnderWayThatItTakesForWritten(self) -> None:
        """The same append comes twice: the second time there is nothing to write, but the first is not durable yet."""
        leader, follower = self.array.nodes[1]._replicas[1].raft, self.array.nodes[2]._replicas[1].raft
        answers: list[Appended] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            answers.extend([message] if sender == 2 and isinstance(message, Appended) else [])
            return message

        store = self.array.stores[2]
        commit, store._commit = store._commit, lambda: None  # type: ignore[method-assign]
        self.array.alter = alter
        last = follower.log.lastIndex
        append = Append(
            1,
            leader.replicaId,
            follower.replicaId,
            leader.term,
            last,
            leader.term,
            last,
            [Entry(last + 1, leader.term, NORMAL, b"a")],
            False,
        )
        for _ in range(2):
            self.array.nodes[2].received(1, packFrames([encodeMessage(append)]))
            self.array.clock.advance(0)
        self.assertEqual([each for each in answers if each.index > last], [])
        commit()
        self.array.clock.advance(0)
        self.assertNotEqual([each for each in answers if each.index > last], [])


class Bodies(SynchronousTestCase):
    """Bodies under way, repaired and judged, with a leader that is made up."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.sent: list[tuple[int, NodeMessage]] = []
        self.copies = Copies(
            clock=self.clock,
            store=self.store,
            node=1,
            send=lambda node, message: self.sent.append((node, message)),
            isGone=lambda node: node == 9,
        )
        self.keep((1, 2))

    def keep(self, keepers: tuple[int, ...]) -> None:
        """The records name these."""
        record = BodyrefRecord(size=6, digest=bytes(32), references=1, keepers=keepers)
        self.store.rows.put(BODYREF, bodyrefKey(0, BODY_ID), encode(record))

    def leadingTerm(self, group: int) -> int:
        """`IGroups`: of term 4."""
        return 4

    def readIndex(self, group: int) -> Deferred[int]:
        """`IGroups`."""
        return succeed(1)

    def propose(self, group: int, entry: bytes) -> Deferred[Any]:
        """`IGroups`: the delivery that names node 3 was ahead of this."""
        self.keep((1, 3))
        return succeed("done")

    def test_whatWasNamedWhileItsDeliveryWasMadeVoidIsNotFreed(self) -> None:
        self.store.rows.delete(BODYREF, bodyrefKey(0, BODY_ID))
        sweep = Sweep(
            groups=self,  # type: ignore[arg-type]
            store=self.store,
            copies=self.copies,
            entries=Entries(),
            node=1,
            send=lambda node, message: self.sent.append((node, message)),
        )
        sweep.received(3, AskKept(0, [BODY_ID]))
        self.assertEqual(self.sent, [])
        sweep.received(2, AskKept(0, [BODY_ID]))
        self.assertEqual(self.sent, [(2, TellKept(0, [BODY_ID]))])

    def test_bodyIsGivenKeepersOnceAtATime(self) -> None:
        repair = Repair(
            groups=self,  # type: ignore[arg-type]
            store=self.store,
            copies=self.copies,
            entries=Entries(),
            node=1,
        )
        self.copies.placing[0, BODY_ID] = 4
        wanted = Wanted(candidates=(1, 2, 3), copies=3, isLost=lambda node: False)
        for work in (repair.mend(0, BODY_ID, wanted), repair.replace(0, BODY_ID, 2)):
            self.assertFalse(self.successResultOf(Deferred.fromCoroutine(work)))
        self.assertEqual((self.sent, self.copies.placing), ([], {(0, BODY_ID): 4}))

    def test_bodyWhoseKeepersAreGoneForGoodIsLost(self) -> None:
        got = Deferred.fromCoroutine(self.copies.get(0, BODY_ID, 6, bytes(32), (9,)))
        self.failureResultOf(got, Corrupt)

    def test_answerThatComesTooLateHarmsNobody(self) -> None:
        asked = self.copies.chunk(2, 0, BODY_ID, 0)
        self.clock.advance(60)
        self.failureResultOf(asked, OutcomeUnknown)
        self.copies.received(2, TellBody(0, BODY_ID, 0, b"octets"))
        self.assertEqual(self.copies._waiting, {})

    def test_whoIsPatientTriesThoseThatThePlanNamesLater(self) -> None:
        plan = [(2,)]
        putting = Putting(
            clock=self.clock,
            deadlines=Deadlines(self.clock),
            plan=lambda: (plan[-1], 1),
            begin=lambda node: Deferred() if node == 2 else succeed(None),
            seconds=5.0,
            isPatient=True,
        )
        done = putting.start()
        plan.append((3,))
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(done), (3,))
