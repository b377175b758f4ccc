"""Replicas as a store has them: what is not whole is not loaded."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Corrupt
from jindimail.replication.durable import (
    blankReplica,
    buriedRecord,
    encodeHard,
    hardRecord,
    loadReplica,
)
from jindimail.replication.log import NoEntries
from jindimail.store.keys import LOG, logKey
from tests.replication.nodes import Array


class Loading(SynchronousTestCase):
    """One replica with a few entries."""

    def setUp(self) -> None:
        array = Array((1,))
        array.found(1)
        array.start(1)
        for number in range(5):
            array.result(array.nodes[1].propose(1, b"%d" % number))
        self.rows = array.rows[1]
        self.record = hardRecord(self.rows, 1)

    def load(self) -> int:
        """Load it; where its log ends."""
        return loadReplica(self.rows, 1, self.record, None).log.lastIndex

    def test_wholeLogIsLoaded(self) -> None:
        self.assertEqual(self.load(), self.record.lastIndex)

    def test_logWithAGapIsCorrupt(self) -> None:
        self.rows.delete(LOG, logKey(1, self.record.lastIndex - 2))
        self.assertRaises(Corrupt, self.load)

    def test_logWithoutItsEndIsCorrupt(self) -> None:
        """Though all that was applied is there: what was acknowledged behind it may be committed."""
        applied = hardRecord(self.rows, 1)
        last = applied.lastIndex
        self.record = type(applied)(
            **{name: getattr(applied, name) for name in applied.__struct_fields__} | {"applied": last - 1}
        )
        self.assertEqual(self.load(), last)
        self.rows.delete(LOG, logKey(1, last))
        self.assertRaises(Corrupt, self.load)

    def test_blankReplicaRemembersTheTombstoneInItsPlace(self) -> None:
        row = encodeHard(buriedRecord(3, erasing=False))
        self.assertEqual(blankReplica(1, 5, row, NoEntries()).record.tombstone, 3)
        self.assertEqual(blankReplica(1, 5, None, NoEntries()).record.tombstone, 0)
