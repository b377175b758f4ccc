"""
Replicas that come and go at a node: snapshots installed, half-written ones made blank, removed ones buried.

Each goes in bounded steps through the store (installing.py); what fails for want of room is tried again.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.errors import OutcomeUnknown
from jindimail.interfaces import IRows, IStore
from jindimail.replication.durable import HardRecord, buriedRecord, encodeHard
from jindimail.replication.entries import Snapshot
from jindimail.replication.installing import install, recover, started
from jindimail.replication.messages import Install
from jindimail.replication.replica import Replica
from jindimail.store.keys import HARD, LOG, groupKey, logKey

RETRY_SECONDS = 1.0


class IRestored(Protocol):
    """The driver, as far as it is needed here."""

    @property
    def isRunning(self) -> bool:
        """Whether anything may still be begun."""
        ...

    def stepInstall(self, node: int, message: Install) -> None:
        """Have a machine judge a snapshot that is complete here."""
        ...

    def abandon(self, replica: Replica, problem: Exception) -> None:
        """Nothing that waits for this replica will come."""
        ...

    def forget(self, replica: Replica) -> None:
        """The replica is gone from this node's memory."""
        ...

    def installed(self, replica: Replica, snapshot: Snapshot) -> None:
        """A snapshot has taken the place of a replica's log and records."""
        ...

    def recovered(self, group: int) -> None:
        """A group's rows are erased; its replica, if there is one, is blank and may be loaded."""
        ...


class Restoring:
    """What a node does to its replicas' rows as a whole."""

    _log = Logger()

    def __init__(
        self, *, clock: IReactorTime, store: IStore, replicas: dict[int, Replica], told: IRestored
    ) -> None:
        self._clock = clock
        self._store = store
        self._replicas = replicas
        self._told = told
        self._files: dict[int, BinaryIO] = {}
        self._recovering: set[int] = set()

    # --- snapshots

    def arrived(self, node: int, message: Install, file: BinaryIO) -> None:
        """A snapshot is complete here: have the machine judge it, and keep the file if it wants it."""
        group = message.group
        present = self._replicas.get(group)
        if group in self._files or (present is not None and present.raft.installing is not None):
            file.close()  # one at a time
            return
        self._files[group] = file
        self._told.stepInstall(node, message)
        replica = self._replicas.get(group)
        if replica is None or replica.raft.installing != message.snapshot:
            self._drop(group)

    def install(self, replica: Replica, snapshot: Snapshot) -> None:
        """The machine has taken a snapshot: put it in the place of what is there."""
        file = self._files.pop(replica.group)
        replica.installing = True
        self._told.abandon(replica, OutcomeUnknown("a snapshot takes the place of the log"))
        done = started(install(self._store, replica.group, replica.record(), snapshot, file))
        done.addCallbacks(self._installed, self._notInstalled, (replica, snapshot), {}, (replica,))
        done.addBoth(lambda _: file.close())

    def _installed(self, row: bytes, replica: Replica, snapshot: Snapshot) -> None:
        if self._replicas.get(replica.group) is replica:
            replica.raft.installed(snapshot)
            replica.installedAt(snapshot.index, row)
            self._told.installed(replica, snapshot)

    def _notInstalled(self, failure: Failure, replica: Replica) -> None:
        """Half a snapshot is no replica: make it blank, and let the leader send another."""
        self._log.failure("the snapshot of group {group} was not installed", failure, group=replica.group)
        if self._replicas.get(replica.group) is replica:
            record = replica.record()
            self._told.forget(replica)
            self.recover(replica.group, record)

    def drop(self, replica: Replica) -> None:
        """A replica is gone; a snapshot that waits for it goes, too."""
        self._drop(replica.group)

    def _drop(self, group: int) -> None:
        file = self._files.pop(group, None)
        if file is not None:
            file.close()

    # --- blank replicas

    def recover(self, group: int, record: HardRecord) -> None:
        """Erase what is half written, then go on with a blank replica, if there is one."""
        if group not in self._recovering and self._told.isRunning:
            self._recovering.add(group)
            done = started(recover(self._store, group, record))
            done.addCallbacks(self._recovered, self._notRecovered, (group,), {}, (group, record))

    def _recovered(self, _: None, group: int) -> None:
        self._recovering.discard(group)
        if self._told.isRunning:
            self._told.recovered(group)

    def _notRecovered(self, failure: Failure, group: int, record: HardRecord) -> None:
        self._recovering.discard(group)
        if self._told.isRunning:
            self._clock.callLater(RETRY_SECONDS, self.recover, group, record)

    # --- tombstones

    def bury(self, replica: Replica) -> None:
        """A removed replica leaves a tombstone; its log goes at once, its rows in steps."""
        self._told.forget(replica)
        self._told.abandon(replica, OutcomeUnknown("this node's replica was removed"))
        self._writeTombstone(replica.group, replica.raft.replicaId)

    def _writeTombstone(self, group: int, replicaId: int) -> None:
        if group in self._replicas:
            return  # another attempt's place is taken by a new replica, which had no row yet

        def job(rows: IRows) -> None:
            rows.put(HARD, groupKey(group), encodeHard(buriedRecord(replicaId, erasing=True)))
            for key in [key for key, _ in rows.scan(LOG, logKey(group, 0), logKey(group + 1, 0))]:
                rows.delete(LOG, key)

        buried: Deferred[None] = self._store.write(job)
        buried.addCallbacks(
            lambda _: self.recover(group, buriedRecord(replicaId, erasing=True)),
            self._notBuried,
            errbackArgs=(group, replicaId),
        )

    def _notBuried(self, failure: Failure, group: int, replicaId: int) -> None:
        """No room, say. Without its tombstone the group can have no new replica here: try again."""
        self._log.warn(
            "the tombstone of group {group} was not written: {reason!r}", group=group, reason=failure.value
        )
        if self._told.isRunning:
            self._clock.callLater(RETRY_SECONDS, self._writeTombstone, group, replicaId)
