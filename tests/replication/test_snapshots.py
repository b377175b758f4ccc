"""Snapshots between nodes, and replicas that are made blank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Corrupt
from jindimail.model import ARRAY_GROUP
from jindimail.replication import replica as keeping
from jindimail.replication.durable import HardRecord, encodeHard
from jindimail.replication.nodemessages import SnapshotPiece, SnapshotTaken
from jindimail.replication.snapshots import readBlock, snapshotOf, stateRanges, writeSnapshot
from jindimail.replication.transfers import SnapshotPlace
from jindimail.store.keys import ADDRESS, BODY, HARD, MESSAGE, bucketKey, chunkKey, groupKey
from jindimail.store.memory import MemoryRows
from jindimail.store.records import decode
from tests.replication.nodes import Array, stateKey


class Files(SynchronousTestCase):
    """Snapshots in files."""

    def setUp(self) -> None:
        self.array = Array((1,), groups=(0, 1, 2))
        self.array.found(1)
        self.array.start(1)
        self.array.result(self.array.nodes[1].propose(2, b"a"))
        self.rows = self.array.rows[1]

    def test_holdsTheGroupsRecordsAndNoOthers(self) -> None:
        self.rows.put(MESSAGE, bucketKey(1) + b"k", b"v")
        self.rows.put(MESSAGE, bucketKey(0) + b"k", b"other")
        self.rows.put(BODY, chunkKey(1, bytes(16), 0), b"octets")
        file = BytesIO()
        snapshot = writeSnapshot(self.rows, 2, file)
        self.assertEqual((snapshot.index, snapshot.term), (2, 1))
        tables = [(table, key) for table, key, _ in readBlock(file)]
        self.assertEqual(tables, [(ADDRESS, stateKey(2)), (MESSAGE, bucketKey(1) + b"k")])
        self.assertEqual(readBlock(file), [])

    def test_arraysGroupHasItsOwnTable(self) -> None:
        self.assertEqual([table for table, _, _ in stateRanges(ARRAY_GROUP)], ["array", "request"])

    def test_indexAndRowsAreOfOneMoment(self) -> None:
        """`writeSnapshot` gets one read; the index stands in the same rows as the records."""
        self.assertEqual(
            snapshotOf(self.rows, 2).index,
            decode(self.rows.get(HARD, groupKey(2)) or b"", HardRecord).applied,
        )

    def test_shortFileIsCorrupt(self) -> None:
        file = BytesIO()
        writeSnapshot(self.rows, 2, file)
        for size in range(1, len(file.getvalue())):
            with self.assertRaises(Corrupt):
                readBlock(BytesIO(file.getvalue()[:size]))


class BetweenNodes(SynchronousTestCase):
    """A node that was away for longer than the log reaches back."""

    def setUp(self) -> None:
        self.patch(keeping, "SHARED_ENTRIES", 10)
        self.patch(keeping, "LAG_ENTRIES_MAX", 20)
        self.array = Array(groups=(1, 2)).grown()

    def leave(self, entries: int = 100) -> None:
        """Node 3 is away while much is written."""
        self.array.crash(3)
        for number in range(entries):
            self.array.result(self.array.nodes[1].propose(1, b"entry %d" % number))

    def same(self) -> None:
        """All nodes have applied the same."""
        self.assertEqual([self.array.state(node) for node in (2, 3)], [self.array.state(1)] * 2)

    def test_leaderKeepsWhatAMemberLacksWithinBounds(self) -> None:
        self.leave(15)
        self.array.start(3)
        self.array.run(2)
        self.same()
        self.assertEqual(self.array.nodes[1]._transfers.sent, 0)

    def test_nodeThatWasAwayGetsASnapshot(self) -> None:
        self.leave()
        self.array.start(3)
        self.array.run(3)
        self.same()
        self.assertEqual(self.array.nodes[1]._transfers.sent, 1)
        self.array.result(self.array.nodes[1].propose(1, b"more"))
        self.array.run(0.2)
        self.same()

    def test_snapshotIsMadeUnderOneRead(self) -> None:
        reads: list[MemoryRows] = []

        @contextmanager
        def read() -> Iterator[MemoryRows]:
            reads.append(self.array.rows[1])
            yield self.array.rows[1]

        self.array.options["place"] = SnapshotPlace(read=read, inThread=maybeDeferred, newFile=BytesIO)
        self.leave()
        self.array.crash(1)
        self.array.start(1)
        self.array.run(2)
        leader = self.array.leader()
        if leader != 1:
            self.array.nodes[leader].transfer(1, 1)
            self.array.run(1)
        self.array.start(3)
        self.array.run(4)
        self.same()
        self.assertEqual(len(reads), self.array.nodes[1]._transfers.sent)
        self.assertGreater(len(reads), 0)

    def test_snapshotOfManyPieces(self) -> None:
        self.array.crash(3)
        with self.array.rows[1].transaction() as rows:  # as if applied long ago
            for number in range(400):
                rows.put(MESSAGE, bucketKey(0) + b"%06d" % number, bytes(6000))
        for number in range(100):
            self.array.result(self.array.nodes[1].propose(1, b"entry %d" % number))
        self.array.start(3)
        self.array.run(5)
        self.same()
        self.assertEqual(self.array.rows[3].get(MESSAGE, bucketKey(0) + b"000399"), bytes(6000))
        self.assertIsNotNone(self.array.nodes[3].status(1))

    def test_whatIsNotInTheSnapshotIsErased(self) -> None:
        self.leave()
        self.array.rows[3].put(MESSAGE, bucketKey(0) + b"stale", b"v")
        self.array.rows[3].put(MESSAGE, bucketKey(1) + b"kept", b"v")
        self.array.start(3)
        self.array.run(3)
        self.assertIsNone(self.array.rows[3].get(MESSAGE, bucketKey(0) + b"stale"))
        self.assertEqual(self.array.rows[3].get(MESSAGE, bucketKey(1) + b"kept"), b"v")

    def checkComplete(self, outcomes: dict[int, int]) -> None:
        """What node 3 has is marked as incomplete, or is all that its applied index stands for."""
        record = decode(self.array.rows[3].get(HARD, groupKey(1)) or b"", HardRecord)
        if not record.installing:
            applied = max((seen for index, seen in outcomes.items() if index <= record.applied), default=0)
            self.assertEqual(self.array.state(3).count(b";"), applied)

    def test_crashAtAnyStepOfAnInstallationIsRepaired(self) -> None:
        outcomes: dict[int, int] = {}
        self.array.crash(3)
        for number in range(100):
            index, seen = self.array.result(self.array.nodes[1].propose(1, b"entry %d" % number))
            outcomes[index] = seen
        crashes = 0
        while True:
            self.array.start(3)
            self.array.run(0.3)
            store = self.array.stores[3]
            limit = store.commits + crashes
            original = store._commit

            def commit(store=store, limit=limit, original=original) -> None:  # type: ignore[no-untyped-def]
                if store.commits < limit:
                    original()

            store._commit = commit  # type: ignore[method-assign]
            self.array.run(3)
            record = decode(self.array.rows[3].get(HARD, groupKey(1)) or b"", HardRecord)
            if self.array.state(3) == self.array.state(1) and not record.installing:
                break
            self.array.crash(3)
            self.checkComplete(outcomes)
            for number in range(30):  # so that there is always a newer snapshot to install
                leader = self.array.nodes[self.array.leader()]
                index, seen = self.array.result(leader.propose(1, b"again %d" % number))
                outcomes[index] = seen
            crashes += 1
            self.assertLess(crashes, 40)
        self.assertGreater(crashes, 2)
        self.same()

    def test_halfInstalledReplicaIsMadeBlankAndFilledAgain(self) -> None:
        self.leave()
        record = decode(self.array.rows[3].get(HARD, groupKey(1)) or b"", HardRecord)
        with self.array.rows[3].transaction() as rows:
            rows.put(HARD, groupKey(1), encodeHard(replace(record, installing=True)))
            rows.put(MESSAGE, bucketKey(0) + b"half", b"v")
        groups = self.array.start(3)
        self.array.run(3)
        self.same()
        self.assertIsNone(self.array.rows[3].get(MESSAGE, bucketKey(0) + b"half"))
        self.assertEqual(groups.status(1).replicaId, record.replicaId)  # type: ignore[union-attr]

    def test_replicaMadeBlankIsFilledThoughItsLeaderThinksItHasAll(self) -> None:
        for number in range(5):
            self.array.result(self.array.nodes[1].propose(1, b"entry %d" % number))
        self.array.run(0.1)
        self.same()
        self.array.crash(3)
        record = decode(self.array.rows[3].get(HARD, groupKey(1)) or b"", HardRecord)
        with self.array.rows[3].transaction() as rows:
            rows.put(HARD, groupKey(1), encodeHard(replace(record, installing=True)))
            rows.put(MESSAGE, bucketKey(0) + b"half", b"v")
        self.array.start(3)
        self.array.run(3)
        self.assertIsNone(self.array.rows[3].get(MESSAGE, bucketKey(0) + b"half"))
        self.same()

    def test_lostPiecesAreSentAgain(self) -> None:
        self.leave()
        self.array.start(3)
        self.array.run(0.02)
        self.array.isolate(3)
        self.array.run(7)
        self.array.heal()
        self.array.run(9)
        self.same()

    def spoilOnce(self, spoil: Callable[[SnapshotPiece], SnapshotPiece | None]) -> None:
        """Node 3 is away; when it is back something happens to the first piece of the first snapshot that it is sent."""
        spoiled: list[SnapshotPiece] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            if isinstance(message, SnapshotPiece) and not spoiled:
                spoiled.append(message)
                return spoil(message)
            return message

        self.leave()
        self.array.start(3)
        self.array.alter = alter
        self.array.run(9)
        self.assertEqual(len(spoiled), 1)

    def test_snapshotOfWhichAPieceWasLostIsSentAgainByTheSameLeader(self) -> None:
        self.spoilOnce(lambda piece: None)
        self.same()
        self.assertEqual(self.array.nodes[1].status(1).term, 1)  # type: ignore[union-attr]

    def test_snapshotThatCouldNotBeInstalledIsSentAgain(self) -> None:
        self.spoilOnce(lambda piece: replace(piece, octets=piece.octets[:-1]))
        self.flushLoggedErrors(Corrupt)
        self.same()
        self.assertEqual(self.array.nodes[1]._transfers.sent, 2)

    def test_pieceOutOfOrderIsRefused(self) -> None:
        transfers = self.array.nodes[2]._transfers
        transfers.piece(1, SnapshotPiece(1, 1, 2, 7, 2, b"x"), 0.0)
        self.assertEqual(transfers._incoming, {})
        transfers.piece(1, SnapshotPiece(1, 1, 2, 7, 1, b"x"), 0.0)
        transfers.piece(1, SnapshotPiece(1, 1, 2, 7, 3, b"x"), 0.0)
        self.assertEqual(transfers._incoming, {})

    def test_answersToOtherSendingsAreIgnored(self) -> None:
        self.array.nodes[1]._transfers.taken(2, SnapshotTaken(1, 99, 1), 0.0)

    def test_removedNodesRecordsAreErased(self) -> None:
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.2)
        self.assertNotEqual(self.array.state(3), b"")
        status = self.array.nodes[1].status(1)
        assert status is not None
        third = next(member[0] for member in status.members if member[1] == 3)
        self.array.rows[3].put(BODY, chunkKey(0, bytes(16), 0), b"octets")
        self.array.result(self.array.nodes[1].change(1, lambda configuration: configuration.without(third)))
        self.array.run(3)
        self.assertEqual(self.array.state(3), b"")
        self.assertEqual(self.array.rows[3].get(BODY, chunkKey(0, bytes(16), 0)), b"octets")
        self.assertIsNotNone(self.array.nodes[3].status(2))
