"""
The edges of a node's rules about its replicas: founding anew, snapshots that nobody wants, reads that must not share, bodies that are not durable.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Refusal, StorageFull
from jindimail.replication.configuration import Configuration, Member, encodeConfiguration
from jindimail.replication.copies import Copies, NotKept
from jindimail.replication.driver import Groups
from jindimail.replication.durable import (
    HardRecord,
    encodeHard,
    foundGroups,
    hardRecord,
    packLogRow,
    unpackLogRow,
)
from jindimail.replication.entries import CONFIGURATION, EMPTY, NORMAL, Entry
from jindimail.replication.installing import recover
from jindimail.replication.messages import Install
from jindimail.replication.nodemessages import AskBody, SnapshotPiece, TellBody
from jindimail.replication.outputs import Mark, Outputs
from jindimail.replication.refounding import refound
from jindimail.replication.repair import Wanted
from jindimail.replication.snapshots import stateRanges, writeSnapshot
from jindimail.replication.transfers import INCOMING_MAX, PATIENCE_SECONDS
from jindimail.replication.turn import Turn, Work
from jindimail.store.keys import BODY, HARD, LOG, chunkKey, groupKey, logKey
from jindimail.store.memory import MemoryRows, MemoryStore
from jindimail.store.records import BodyrefRecord
from tests.replication.nodes import Array, Sums

THREE = Configuration(tuple(Member(each, each, voter=True) for each in (1, 2, 3)), 4)
RECORD = HardRecord(
    replicaId=2,
    term=5,
    vote=1,
    applied=1,
    baseIndex=0,
    baseTerm=0,
    configurationIndex=0,
    configuration=THREE,
    lastIndex=3,
)


class Refounding(SynchronousTestCase):
    """A group of three, of which the second replica is left: entry 1 is applied, 2 and 3 are not."""

    def setUp(self) -> None:
        self.rows = MemoryRows()
        self.record = RECORD
        grown = encodeConfiguration(THREE.withLearner(4))
        for entry in (
            Entry(1, 4, NORMAL, b"a"),
            Entry(2, 5, NORMAL, b"b"),
            Entry(3, 5, CONFIGURATION, grown),
        ):
            self.rows.put(LOG, logKey(1, entry.index), packLogRow(entry))
        self.store(self.record)

    def store(self, record: HardRecord) -> None:
        """Have this hard row."""
        self.rows.put(HARD, groupKey(1), encodeHard(record))

    def test_itIsTheOnlyMemberUnderAnIdThatNobodyCanHaveGiven(self) -> None:
        """Not even by the change that stands in its log."""
        refound(self.rows, 1, 20, 2, 0)
        record = hardRecord(self.rows, 1)
        self.assertEqual(record.configuration.members, (Member(record.replicaId, 20, voter=True),))
        self.assertEqual(record.replicaId, 5 + 1000)
        self.assertTrue(all(record.configuration.isRemoved(each) for each in (1, 2, 3, 4)))

    def test_itsLogStaysButForChangesOfMembers(self) -> None:
        refound(self.rows, 1, 20, 2, 0)
        entries = [unpackLogRow(i, self.rows.get(LOG, logKey(1, i)) or b"") for i in (1, 2, 3)]
        self.assertEqual([entry.kind for entry in entries], [NORMAL, NORMAL, EMPTY])
        self.assertEqual([entry.term for entry in entries], [4, 5, 5])

    def test_itsTermIsAboveAllThatWereSeenAndItsOldIdIsATombstone(self) -> None:
        refound(self.rows, 1, 20, 2, 9)
        record = hardRecord(self.rows, 1)
        self.assertEqual((record.term, record.vote, record.tombstone), (9, 0, 2))
        self.store(self.record)
        refound(self.rows, 1, 20, 2, 3)
        self.assertEqual(hardRecord(self.rows, 1).term, 5)

    def test_anotherOrHalfAReplicaIsNotFounded(self) -> None:
        self.assertRaises(Refusal, refound, self.rows, 1, 20, 3, 0)
        self.store(replace(self.record, installing=True))
        self.assertRaises(Refusal, refound, self.rows, 1, 20, 2, 0)


class Blank(SynchronousTestCase):
    """A replica whose rows were erased."""

    def test_keepsItsTermAndItsVote(self) -> None:
        """It may have given it, to somebody who leads by it."""
        store = MemoryStore()
        record = replace(
            RECORD, vote=3, applied=7, baseIndex=7, baseTerm=4, tombstone=1, installing=True, lastIndex=9
        )
        Deferred.fromCoroutine(recover(store, 1, record))
        with store.read() as rows:
            blank = hardRecord(rows, 1)
        self.assertEqual((blank.replicaId, blank.term, blank.vote, blank.tombstone), (2, 5, 3, 1))
        self.assertEqual((blank.applied, blank.lastIndex, blank.installing), (0, 0, False))


class Contents(SynchronousTestCase):
    """What belongs to a snapshot."""

    def test_aBucketsSnapshotHasAllTablesThatAreApplied(self) -> None:
        """Outcomes too: or else a delivery that is tried again at who got the snapshot is done twice."""
        tables = sorted(table for table, _, _ in stateRanges(1))
        self.assertEqual(
            tables,
            sorted(
                [
                    "address",
                    "bodyref",
                    "change",
                    "delivery",
                    "mailbox",
                    "message",
                    "queue",
                    "request",
                    "summary",
                    "user",
                ]
            ),
        )


class Reads(SynchronousTestCase):
    """Read indexes at a node."""

    def test_readOfALaterTurnHasAQuestionOfItsOwn(self) -> None:
        """What was acknowledged between the two would be missed by the earlier one's index."""
        array = Array().grown()
        replica = array.nodes[1]._replicas[1]
        array.isolate(1)
        for reads in (1, 2):
            for _ in range(3):
                array.nodes[1].readIndex(1).addErrback(lambda _: None)
            self.assertEqual(len(replica.reads), reads)
            array.clock.advance(0)

    def test_soleVoterThatStartsAnswersNoReadBeforeItsLogIsApplied(self) -> None:
        clock = Clock()
        store = MemoryStore(clock)
        with store.rows.transaction() as rows:
            foundGroups(rows, [1], 7)
            rows.put(LOG, logKey(1, 1), packLogRow(Entry(1, 0, NORMAL, b"a")))
        groups = Groups(clock=clock, store=store, machine=Sums(), draw=random.Random(1).randint)
        started, read = groups.start(), list[int]()
        groups.readIndex(1).addCallback(read.append)
        self.assertEqual(read, [])
        clock.advance(0)
        self.successResultOf(started)
        self.assertEqual(read, [2])


class Arrivals(SynchronousTestCase):
    """Snapshots that come in complete."""

    def setUp(self) -> None:
        self.array = Array().grown()
        self.array.isolate(3)
        for number in range(5):
            self.array.result(self.array.nodes[1].propose(1, b"%d" % number))
        self.groups = self.array.nodes[3]

    def arrive(self, behind: int = 0) -> None:
        """A snapshot of the leader's, or one that stands for less."""
        file, leader = BytesIO(), self.array.nodes[1]._replicas[1].raft
        snapshot = writeSnapshot(self.array.rows[1], 1, file)
        snapshot = replace(snapshot, index=snapshot.index - behind)
        install = Install(
            1, leader.replicaId, self.groups._replicas[1].raft.replicaId, leader.term, snapshot, False
        )
        self.groups._restoring.arrived(1, install, file)

    def test_secondOneDoesNotTakeTheFirstOnesPlace(self) -> None:
        self.arrive()
        self.arrive(behind=1)
        self.array.run(0.5)
        self.assertIsNone(self.groups.failure)
        self.assertEqual(self.array.state(3), b"0;1;2;3;4;")

    def test_oneThatIsNotWantedIsNotInTheWayOfTheNext(self) -> None:
        self.arrive(behind=5)
        self.arrive()
        self.array.run(0.5)
        self.assertEqual(self.array.state(3), b"0;1;2;3;4;")


class NoRoom(SynchronousTestCase):
    """A node whose disk is full when a replica goes."""

    def test_tombstoneIsWrittenWhenThereIsRoomAgain(self) -> None:
        """And the rows are erased, the second time there is none notwithstanding."""
        array = Array().grown()
        store, restoring = array.stores[3], array.nodes[3]._restoring
        real, full = store.write, [True]

        def write(*args: Any, **named: Any) -> Any:
            return fail(StorageFull()) if full else real(*args, **named)

        replica = array.nodes[3]._replicas[1]
        store.write = write  # type: ignore[method-assign]
        restoring.bury(replica)
        array.run(0.1)
        self.assertEqual(hardRecord(array.rows[3], 1).replicaId, replica.raft.replicaId)
        full.clear()
        array.isolate(3)
        recoveries: list[int] = []
        patched = store.write

        def writeOnce(job: Any, *args: Any, **named: Any) -> Any:
            recoveries.append(1)
            return fail(StorageFull()) if len(recoveries) == 2 else patched(job, *args, **named)

        store.write = writeOnce  # type: ignore[method-assign]
        array.run(3)
        record = hardRecord(array.rows[3], 1)
        self.assertEqual((record.replicaId, record.tombstone), (0, replica.raft.replicaId))
        self.assertFalse(record.installing)
        self.assertEqual(array.state(3), b"")

    def test_tombstoneThatComesLateDoesNotTakeANewReplicasPlace(self) -> None:
        array = Array().grown()
        before = hardRecord(array.rows[3], 1)
        array.nodes[3]._restoring._writeTombstone(1, before.replicaId - 1)
        array.run(0.1)
        self.assertEqual(hardRecord(array.rows[3], 1), before)


class Turns(SynchronousTestCase):
    """What may be told ahead of a sync."""

    def test_turnIsCertainOnlyIfAllOfItIsCommitted(self) -> None:
        """Another group's sole voter has nothing but its disk."""

        def work(isCommitted: bool) -> Work:
            outputs = Outputs(
                mark=Mark(1, 1, 1, 1),
                hard=None,
                truncateFrom=0,
                entries=[],
                now=[],
                after=[],
                apply=[Entry(1, 1, NORMAL, b"a")],
                isCommitted=isCommitted,
                reads=[],
                snapshots=[],
                install=None,
            )
            return Work(group=1, outputs=outputs, expected=None, hard=b"", dropFrom=0, dropTo=0, befores={})

        for works, isCertain in (((True, True), True), ((True, False), False), ((), False)):
            turn = Turn(Sums())
            turn.works = [work(each) for each in works]
            self.assertEqual(turn.isCertain(), isCertain)


class Pieces(SynchronousTestCase):
    """Snapshots on their way."""

    def test_latePieceOfAnEarlierSendingDoesNotEndThePresentOne(self) -> None:
        transfers = Array().grown().nodes[2]._transfers
        transfers.piece(1, SnapshotPiece(1, 1, 2, 7, 1, b"x"), 0.0)
        transfers.piece(1, SnapshotPiece(1, 1, 2, 6, 5, b"x"), 0.0)
        transfers.piece(1, SnapshotPiece(1, 1, 2, 7, 2, b"x"), 0.0)
        self.assertEqual(transfers._incoming[1].pieces, 2)

    def test_onlySoManyComeInAtOnce(self) -> None:
        transfers = Array().grown().nodes[2]._transfers
        for group in range(INCOMING_MAX + 1):
            transfers.piece(1, SnapshotPiece(group, 1, 2, 7, 1, b"x"), 0.0)
        self.assertEqual(len(transfers._incoming), INCOMING_MAX)
        transfers.tick(PATIENCE_SECONDS + 0.1)  # nothing more of them came
        self.assertEqual(transfers._incoming, {})


class Keepers(SynchronousTestCase):
    """Who may keep a body."""

    def test_lostNodeBecomesNoKeeper(self) -> None:
        record = BodyrefRecord(size=6, digest=bytes(32), references=1, keepers=(1, 2))
        wanted = Wanted(candidates=(1, 2, 3, 4), copies=3, isLost=lambda node: node in (2, 3))
        self.assertEqual((wanted.live(record), wanted.fresh(record)), ((1,), [4]))


class Undurable(MemoryStore):
    """A store whose rows are ahead of what is durable."""

    @contextmanager
    def readDurable(self) -> Iterator[MemoryRows]:  # type: ignore[override]
        """Nothing is yet."""
        yield MemoryRows()


class Bodies(SynchronousTestCase):
    """Copies that are not durable are none."""

    def setUp(self) -> None:
        self.sent: list[Any] = []
        store = Undurable()
        store.rows.put(BODY, chunkKey(0, bytes(16), 0), b"octets")
        self.copies = Copies(
            clock=Clock(), store=store, node=1, send=lambda node, message: self.sent.append(message)
        )

    def test_whoIsAskedSaysThatItHasNone(self) -> None:
        self.copies.received(2, AskBody(0, bytes(16), 0))
        self.assertEqual(self.sent, [TellBody(0, bytes(16), 0, b"", True)])

    def test_ownOneIsNoneEither(self) -> None:
        self.failureResultOf(self.copies.chunk(1, 0, bytes(16), 0), NotKept)

    def test_suspicionIsTakenOnce(self) -> None:
        self.copies.suspect(0, bytes(16), 1)
        self.assertTrue(self.copies.takeSuspect(0, bytes(16), 1))
        self.assertFalse(self.copies.takeSuspect(0, bytes(16), 1))

    def test_placingCountsInItsTermOnly(self) -> None:
        self.copies.placing[0, bytes(16)] = 4
        self.assertTrue(self.copies.isPlacing(0, bytes(16), 4))
        self.assertFalse(self.copies.isPlacing(0, bytes(16), 5))

    def test_whoHasTheFirstChunkAloneDoesNotHoldTheBody(self) -> None:
        copies = Copies(clock=Clock(), store=self.copies._store, node=1, send=lambda node, message: None)
        copies._store.readDurable = copies._store.read  # type: ignore[method-assign]
        held = Deferred.fromCoroutine(copies.holds(1, 0, bytes(16), 200_000))
        self.assertFalse(self.successResultOf(held))
