"""What simulated arrays found, each as the smallest test that shows it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.durable import blankReplica
from jindimail.replication.entries import NORMAL, Entry
from jindimail.replication.storedlog import StoredLog
from jindimail.replication.turn import packLogRow
from jindimail.store.keys import LOG, logKey
from jindimail.store.memory import MemoryStore

GROUP = 5


class FoundBySeeds(SynchronousTestCase):
    """One test a find."""

    def test_replicaThatBeganBlankReadsOldEntriesBackFromItsStore(self) -> None:
        """Or it could not lead: a follower behind what stands in memory would stop it (seed 4)."""
        store = MemoryStore()
        log = blankReplica(GROUP, 4, None, StoredLog(store, GROUP)).log
        entries = [Entry(index, 1, NORMAL, b"%d" % index) for index in (1, 2, 3)]
        for entry in entries:
            log.append(entry)
            store.rows.put(LOG, logKey(GROUP, entry.index), packLogRow(entry))
        log.takeUnhanded()
        log.persistedTo(3, 1)
        log.commitTo(3)
        log.trim(3, 0)
        self.assertEqual(log.entriesFrom(1, 1000), entries)
