"""Replicas as a node's store has them: loaded at the start and after a turn that was not written, or made blank for a learner."""

from __future__ import annotations

from collections.abc import Callable

from jindimail.interfaces import IReadRows, IStore
from jindimail.replication.durable import (
    HardRecord,
    Loaded,
    blankReplica,
    hardRecord,
    hardRecords,
    loadReplica,
)
from jindimail.replication.outputs import Settings
from jindimail.replication.raft import Raft
from jindimail.replication.replica import Replica
from jindimail.replication.storedlog import StoredLog
from jindimail.store.keys import HARD, META, REJOINING_KEY, groupKey


class Loading:
    """Makes replicas; each takes its place among the node's at once."""

    def __init__(
        self,
        *,
        store: IStore,
        replicas: dict[int, Replica],
        draw: Callable[[int, int], int],
        settings: Settings,
    ) -> None:
        self._store = store
        self._replicas = replicas
        self._draw = draw
        self._settings = settings

    def all(self) -> list[tuple[int, HardRecord]]:
        """Load what is complete; the groups that are half erased or half installed, with their hard records."""
        unfinished: list[tuple[int, HardRecord]] = []
        with self._store.read() as rows:
            for group, record in hardRecords(rows):
                if record.installing:
                    unfinished.append((group, record))
                elif record.replicaId:
                    self._load(rows, group, record)
        return unfinished

    def again(self, replica: Replica) -> Replica | None:
        """A replica as it is stored, in the place of one that is forgotten; None: it had never been written, or is gone."""
        group = replica.group
        with self._store.read() as rows:
            if rows.get(HARD, groupKey(group)) is None:
                return None
            record = hardRecord(rows, group)
            if not record.replicaId:
                return None
            fresh = self._load(rows, group, record)
        fresh.failures = replica.failures
        return fresh

    def recovered(self, group: int) -> Replica | None:
        """The blank replica of a group whose rows were erased; None: what is left is a tombstone, or one is there already."""
        with self._store.read() as rows:
            record = hardRecord(rows, group)
            if record.replicaId and group not in self._replicas:
                return self._load(rows, group, record)
        return None

    def blank(self, group: int, replicaId: int) -> Replica | None:
        """A learner's new replica; None if its id is a tombstone here, or may be one that was forgotten."""
        with self._store.read() as rows:
            row = rows.get(HARD, groupKey(group))
            if row is None and rows.get(META, REJOINING_KEY) is not None:
                return None  # this may be the id of a replica that was lost with an earlier store
            if row is not None:
                record = hardRecord(rows, group)
                if record.replicaId or record.installing or replicaId <= record.tombstone:
                    return None
        return self.adopt(blankReplica(group, replicaId, row, StoredLog(self._store, group)))

    def _load(self, rows: IReadRows, group: int, record: HardRecord) -> Replica:
        return self.adopt(loadReplica(rows, group, record, StoredLog(self._store, group)))

    def adopt(self, loaded: Loaded) -> Replica:
        """A replica with its machine."""
        raft = Raft(
            group=loaded.group,
            replicaId=loaded.record.replicaId,
            hard=loaded.hard,
            log=loaded.log,
            history=loaded.history,
            draw=self._draw,
            settings=self._settings,
        )
        replica = self._replicas[loaded.group] = Replica(loaded, raft)
        return replica
