"""What simulated arrays found, each as the smallest test that shows it."""

from __future__ import annotations

from io import BytesIO

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.durable import blankReplica
from jindimail.replication.entries import NORMAL, Entry, Snapshot
from jindimail.replication.messages import Install
from jindimail.replication.storedlog import StoredLog
from jindimail.replication.turn import packLogRow
from jindimail.store.keys import LOG, logKey
from jindimail.store.memory import MemoryStore
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
