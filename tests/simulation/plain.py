"""
The plainest driver of Raft groups over a store and links: no quiet groups, no batching across groups, snapshots in one message.

It stands beside the real one as a check of the machines alone, and of the simulator: whatever fails here is not the
real driver's fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from jindimail.errors import JindimailError, OutcomeUnknown, Unavailable
from jindimail.interfaces import IStateMachine
from jindimail.replication.configuration import Configuration
from jindimail.replication.durable import HardRecord, encodeHard, hardRecord, hardRecords, loadReplica
from jindimail.replication.entries import Snapshot
from jindimail.replication.messages import Append, Install, Message, decodeMessage, encodeMessage
from jindimail.replication.outputs import Settings
from jindimail.replication.raft import NotLeader, Raft
from jindimail.replication.replica import Replica
from jindimail.replication.storedlog import StoredLog
from jindimail.replication.turn import Turn
from jindimail.store.keys import (
    BODY,
    HARD,
    LOG,
    TABLES,
    bucketKey,
    groupKey,
    logKey,
)
from jindimail.store.memory import MemoryRows
from tests.simulation.clock import NodeClock
from tests.simulation.disk import DiskStore

TICK_SECONDS = 0.1
SNAPSHOT_SECONDS = 1.0  # after which an unanswered snapshot is taken for lost

DATA = tuple(table for table in TABLES if table not in ("meta", "array", HARD, LOG, BODY))

SnapshotRows = list[tuple[str, bytes, bytes]]


class Packet(msgspec.Struct, array_like=True):
    """A message; with an `Install` come the snapshot's rows."""

    message: bytes
    rows: SnapshotRows = []


def snapshotRows(rows: Any, group: int) -> SnapshotRows:
    """All of a group's applied rows but the octets of bodies."""
    start, stop = bucketKey(group - 1), bucketKey(group)
    return [(table, key, value) for table in DATA for key, value in rows.scan(table, start, stop)]


class PlainGroups:
    """All replicas of a node."""

    def __init__(
        self,
        *,
        clock: NodeClock,
        store: DiskStore,
        machine: IStateMachine,
        draw: Callable[[int, int], int],
        settings: Settings,
        send: Callable[[int, list[bytes]], None],
        node: int,
    ) -> None:
        self._clock = clock
        self._store = store
        self._machine = machine
        self._draw = draw
        self._settings = settings
        self._send = send
        self._node = node
        self._dirty: dict[int, Replica] = {}
        self._turnCall: Any = None
        self._context = 0
        self._staged: dict[tuple[int, int], SnapshotRows] = {}
        self._places: dict[tuple[int, int], int] = {}  # (group, replica id): the node it was heard from
        self.replicas: dict[int, Replica] = {}
        self.isOver = False

    # --- life

    def start(self) -> None:
        """Load all replicas and begin to tick."""
        with self._store.read() as rows:
            for group, record in list(hardRecords(rows)):
                if record.replicaId:
                    self._load(group, record)
        self._clock.callLater(self._draw(0, 100) / 1000, self._tick)

    def _load(self, group: int, record: HardRecord) -> Replica:
        with self._store.read() as rows:
            loaded = loadReplica(rows, group, record, StoredLog(self._store, group))
        raft = Raft(
            group=group,
            replicaId=record.replicaId,
            hard=loaded.hard,
            log=loaded.log,
            history=loaded.history,
            draw=self._draw,
            settings=self._settings,
        )
        replica = self.replicas[group] = Replica(loaded, raft)
        if raft.isSoleVoter:
            raft.campaign()
            self._touch(replica)
        return replica

    def _tick(self) -> None:
        self._clock.callLater(TICK_SECONDS, self._tick)
        for replica in self.replicas.values():
            replica.raft.tick()
            self._touch(replica)

    # --- requests

    def propose(self, group: int, entry: bytes, before: Any = None) -> Deferred[Any]:
        """As `IGroups`."""
        replica = self.replicas.get(group)
        if replica is None or self.isOver:
            return fail(Unavailable("no replica"))
        try:
            index = replica.raft.propose(entry)
        except JindimailError as problem:
            return fail(problem)
        done: Deferred[Any] = Deferred()
        replica.waiting[index] = (replica.raft.term, done)
        self._touch(replica)
        return done

    def readIndex(self, group: int) -> Deferred[int]:
        """As `IGroups`."""
        replica = self.replicas.get(group)
        if replica is None or self.isOver:
            return fail(Unavailable("no replica"))
        self._context += 1
        try:
            replica.raft.read(self._context)
        except JindimailError as problem:
            return fail(problem)
        done: Deferred[int] = Deferred()
        replica.reads[self._context] = done
        self._clock.callLater(1.0, self._giveUpRead, replica, self._context)
        self._touch(replica)
        return done

    def _giveUpRead(self, replica: Replica, context: int) -> None:
        done = replica.reads.pop(context, None)
        if done is not None:
            done.errback(Unavailable("no answer"))

    def configure(self, group: int, change: Callable[[Configuration], Configuration]) -> None:
        """Begin a change of members, if this node leads."""
        replica = self.replicas.get(group)
        if replica is None:
            raise NotLeader
        replica.raft.proposeConfiguration(change(replica.raft.configuration))
        self._touch(replica)

    def transfer(self, group: int, replicaId: int) -> None:
        """Hand a leadership over."""
        self.replicas[group].raft.transfer(replicaId)
        self._touch(self.replicas[group])

    # --- turns

    def _touch(self, replica: Replica) -> None:
        self._dirty[replica.group] = replica
        if self._turnCall is None:
            self._turnCall = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turnCall = None
        dirty, self._dirty = self._dirty, {}
        for replica in dirty.values():
            if replica.raft.isRemoved:
                self._remove(replica)
            elif replica.raft.hasOutputs() and not self.isOver:
                self._write(replica)

    def _write(self, replica: Replica) -> None:
        turn = Turn(self._machine)
        turn.works.append(replica.work())
        outputs = turn.works[0].outputs
        self._ship(replica, outputs.now)
        for replicaId in outputs.snapshots:
            self._sendSnapshot(replica, replicaId)
        self._store.write(turn.run).addCallbacks(self._committed, self._broken, (replica, turn))
        if outputs.install is not None:
            self._install(replica, outputs.install)

    def _committed(self, results: Any, replica: Replica, turn: Turn) -> None:
        if self.replicas.get(replica.group) is not replica:
            return
        outputs = turn.works[0].outputs
        raft = replica.raft
        raft.persisted(outputs.mark)
        if outputs.apply:
            replica.applied = outputs.apply[-1].index
        self._ship(replica, outputs.after)
        for index, term, outcome, _ in results[0]:
            waiter = replica.waiting.pop(index, None)
            if waiter is not None:
                if waiter[0] == term:
                    waiter[1].callback(outcome)
                else:
                    waiter[1].errback(Unavailable("another's entry took the place"))
        for context, index in outputs.reads:
            done = replica.reads.pop(context, None)
            if done is not None:
                replica.readable.append((index, done))
        ready = [done for index, done in replica.readable if index <= replica.applied]
        replica.readable = [each for each in replica.readable if each[0] > replica.applied]
        for done in ready:
            done.callback(replica.applied)
        if raft.hasOutputs():
            self._touch(replica)

    def _broken(self, failure: Failure) -> None:
        self.isOver = True
        for replica in self.replicas.values():
            waiting, replica.waiting = replica.waiting, {}
            for _, done in waiting.values():
                done.errback(OutcomeUnknown("the commit failed"))

    # --- messages

    def _ship(self, replica: Replica, messages: list[Message]) -> None:
        configuration = replica.raft.configuration
        batches: dict[int, list[bytes]] = {}
        for message in messages:
            member = configuration.member(message.recipient)
            node = member.node if member is not None else self._places.get((message.group, message.recipient))
            if node is not None:
                batches.setdefault(node, []).append(msgspec.msgpack.encode(Packet(encodeMessage(message))))
        for node, batch in batches.items():
            self._send(node, batch)

    def receive(self, source: int, batch: list[bytes]) -> None:
        """Messages arrived from another node."""
        if self.isOver:
            return
        for octets in batch:
            packet = _decode(octets)
            message = decodeMessage(packet.message)
            self._places[message.group, message.sender] = source
            replica = self.replicas.get(message.group)
            if replica is None or replica.raft.replicaId < message.recipient:
                self._maybeMake(replica, message)
            elif replica.raft.replicaId == message.recipient:
                if isinstance(message, Install):
                    self._staged[message.group, message.snapshot.index] = packet.rows
                replica.raft.step(message)
                self._touch(replica)

    def _maybeMake(self, replica: Replica | None, message: Message) -> None:
        """Only a learner's first append or snapshot makes a replica; the leader will repeat it."""
        if not (isinstance(message, Append | Install) and message.learner):
            return
        group = message.group
        with self._store.read() as rows:
            octets = rows.get(HARD, groupKey(group))
            if octets is not None and hardRecord(rows, group).tombstone >= message.recipient:
                return
        if replica is not None:
            del self.replicas[group]
        record = HardRecord(
            replicaId=message.recipient,
            term=0,
            vote=0,
            applied=0,
            baseIndex=0,
            baseTerm=0,
            configurationIndex=0,
            configuration=Configuration(),
            tombstone=message.recipient - 1,
        )

        def make(rows: MemoryRows) -> None:
            _erase(rows, group)
            rows.put(HARD, groupKey(group), encodeHard(record))

        self._store.write(make).addCallback(self._made, group, record)

    def _made(self, _: None, group: int, record: HardRecord) -> None:
        if group not in self.replicas:
            self._load(group, record)

    def _remove(self, replica: Replica) -> None:
        """The replica's id is a tombstone: it goes, and never comes back."""
        group, replicaId = replica.group, replica.raft.replicaId
        if self.replicas.get(group) is not replica:
            return
        del self.replicas[group]

        def remove(rows: MemoryRows) -> None:
            _erase(rows, group)
            record = msgspec.structs.replace(hardRecord(rows, group), replicaId=0, tombstone=replicaId)
            rows.put(HARD, groupKey(group), encodeHard(record))

        self._store.write(remove)

    def peek(self, batch: list[bytes]) -> list[Message]:
        """The groups' messages in a batch, for those who look."""
        return [decodeMessage(_decode(octets).message) for octets in batch]

    # --- snapshots

    def _sendSnapshot(self, replica: Replica, replicaId: int) -> None:
        raft, group = replica.raft, replica.group
        self._clock.callLater(SNAPSHOT_SECONDS, raft.snapshotFailed, replicaId)
        with self._store.read() as rows:
            record = hardRecord(rows, group)
            octets = rows.get(LOG, logKey(group, record.applied))
            content = snapshotRows(rows, group)
        term = record.baseTerm if octets is None else int.from_bytes(octets[2:10], "big")
        if record.replicaId != raft.replicaId:
            return
        snapshot = Snapshot(record.applied, term, record.configurationIndex, record.configuration)
        member = raft.configuration.member(replicaId)
        if member is not None:
            install = Install(group, raft.replicaId, replicaId, raft.term, snapshot, not member.voter)
            packet = Packet(encodeMessage(install), content)
            self._send(member.node, [msgspec.msgpack.encode(packet)])

    def _install(self, replica: Replica, snapshot: Snapshot) -> None:
        group = replica.group
        content = self._staged.pop((group, snapshot.index))
        self._staged = {key: rows for key, rows in self._staged.items() if key[0] != group}

        def install(rows: MemoryRows) -> None:
            _erase(rows, group)
            for table, key, value in content:
                rows.put(table, key, value)
            before = hardRecord(rows, group)
            record = msgspec.structs.replace(
                before,
                applied=snapshot.index,
                baseIndex=snapshot.index,
                baseTerm=snapshot.term,
                configurationIndex=snapshot.configurationIndex,
                configuration=snapshot.configuration,
                lastIndex=snapshot.index,
            )
            rows.put(HARD, groupKey(group), encodeHard(record))

        self._store.write(install).addCallback(self._installed, replica, snapshot)

    def _installed(self, _: None, replica: Replica, snapshot: Snapshot) -> None:
        if self.replicas.get(replica.group) is not replica:
            return
        acknowledged = replica.raft
        acknowledged.installed(snapshot)
        with self._store.read() as rows:
            record = hardRecord(rows, replica.group)
        fresh = Replica(loadReplica(self._store.disk.rows, replica.group, record, None), acknowledged)
        fresh.applied = snapshot.index
        self.replicas[replica.group] = fresh
        self._touch(fresh)


_decode = msgspec.msgpack.Decoder(Packet).decode


def _erase(rows: MemoryRows, group: int) -> None:
    """Delete a group's log and applied rows."""
    for table, key, _ in snapshotRows(rows, group):
        rows.delete(table, key)
    for key in list(rows.keys(LOG, logKey(group, 0), logKey(group + 1, 0))):
        rows.delete(LOG, key)
