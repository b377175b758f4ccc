"""
The driver of all groups of a node: the shell around the Raft machines.

Once a reactor turn it takes the outputs of all groups that have any, and has the store write them as one job (design §5).
Turns are pipelined: the next is handed to the store whether or not the last is durable, and the store keeps their order.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.errors import OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IGroups, IReadRows, IStateMachine, IStore
from jindimail.replication.durable import HardRecord, hardRecord, hardRecords, loadReplica
from jindimail.replication.outputs import Settings
from jindimail.replication.raft import NotLeader, Raft, TooManyProposals
from jindimail.replication.replica import Replica
from jindimail.replication.storedlog import StoredLog
from jindimail.replication.turn import Applied, Before, Superseded, Turn

Listener = Callable[[int, int, Any], None]

PROPOSALS_MAX = 16_384  # under way at one node
BEFORES_MAX = 16  # bodies in one job
TURN_OCTETS_MAX = 1024 * 1024  # of entries in one job
RETRY_SECONDS = 1.0  # after a turn that was not written
FAILURES_MAX = 3  # in a row, before a replica is left alone


class GroupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator is told of a group's replica."""

    group: int
    replicaId: int
    role: str
    leader: int
    term: int
    lastIndex: int
    commit: int
    applied: int
    waiting: int
    members: tuple[tuple[int, int, bool, bool], ...]  # replica id, node, is voter, is witness


@implementer(IGroups)
class Groups:
    """All replicas of this node."""

    _log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        machine: IStateMachine,
        draw: Callable[[int, int], int],
        settings: Settings | None = None,
    ) -> None:
        """
        @param draw: gives an integer between its arguments, both included (`random.Random().randint`).
        """
        self._clock = clock
        self._store = store
        self._machine = machine
        self._draw = draw
        self._settings = settings or Settings()
        self._replicas: dict[int, Replica] = {}
        self._dirty: dict[int, Replica] = {}
        self._turnCall: IDelayedCall | None = None
        self._inFlight = 0
        self._proposals = 0
        self._queuedBefores = 0
        self._queuedOctets = 0
        self._listeners: list[Listener] = []
        self._contexts = count(1)
        self._running = False
        self._idle: list[Deferred[None]] = []
        self.failure: Failure | None = None

    # --- life

    def start(self) -> Deferred[None]:
        """
        Load all replicas. Those that vote alone begin a term and apply what was committed, all in one transaction;
        the Deferred fires when that is durable.
        """
        with self._store.read() as rows:
            for group, record in hardRecords(rows):
                if record.replicaId:
                    self._load(rows, group, record)
        self._running = True
        for replica in self._replicas.values():
            self._campaign(replica)
        return self._turn().addCallback(self._started)

    def _load(self, rows: IReadRows, group: int, record: HardRecord) -> Replica:
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
        replica = self._replicas[group] = Replica(loaded, raft)
        return replica

    def _started(self, _: None) -> None:
        if self.failure is not None:
            self.failure.raiseException()

    def stop(self) -> Deferred[None]:
        """Take nothing more; the Deferred fires when everything taken is durable, or failed."""
        self._turn()
        self._running = False
        if self._inFlight == 0:
            self._failWaiting(Unavailable("stopped"))
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        return done

    # --- IGroups

    def propose(self, group: int, entry: bytes, before: Before | None = None) -> Deferred[Any]:
        """
        A Deferred of the outcome, once the entry is committed and applied here.

        `before(rows)` runs ahead of the log row (and may be run again); if it raises, the proposal fails with that.
        """
        replica = self._replicas.get(group)
        if replica is None or not self._running or self._proposals >= PROPOSALS_MAX:
            return fail(Unavailable("no replica here, stopped, or too much under way"))
        raft = replica.raft
        try:
            index = raft.propose(entry)
        except (NotLeader, TooManyProposals) as problem:
            return fail(problem)
        done: Deferred[Any] = Deferred()
        replica.waiting[index] = (raft.term, done)
        self._proposals += 1
        self._queuedOctets += len(entry)
        if before is not None:
            replica.befores[index] = before
            self._queuedBefores += 1
        self._dirty[group] = replica
        if self._queuedBefores >= BEFORES_MAX or self._queuedOctets >= TURN_OCTETS_MAX:
            self._turn()
        elif self._turnCall is None:
            self._turnCall = self._clock.callLater(0, self._turn)
        return done

    def readIndex(self, group: int) -> Deferred[int]:
        """A Deferred of an applied index that covers everything acknowledged before the call."""
        replica = self._replicas.get(group)
        if replica is None or not self._running:
            return fail(Unavailable("no replica here, or stopped"))
        raft = replica.raft
        if raft.isSoleVoter and raft.isReadable:
            return succeed(replica.applied)
        context = next(self._contexts)
        try:
            raft.read(context)
        except NotLeader as problem:
            return fail(problem)
        done: Deferred[int] = Deferred()
        replica.reads[context] = done
        self._touch(replica)
        return done

    def listen(self, listener: Listener) -> None:
        """Call `listener(group, index, events)` on the reactor after every commit that had events."""
        self._listeners.append(listener)

    # --- for administrators

    def status(self, group: int) -> GroupStatus | None:
        """What there is to say of a group's replica here, if there is one."""
        replica = self._replicas.get(group)
        if replica is None:
            return None
        raft = replica.raft
        members = tuple(
            (member.replicaId, member.node, member.voter, member.witness)
            for member in raft.configuration.members
        )
        return GroupStatus(
            group=group,
            replicaId=raft.replicaId,
            role=raft.role.value,
            leader=raft.leader,
            term=raft.term,
            lastIndex=raft.log.lastIndex,
            commit=raft.log.commit,
            applied=replica.applied,
            waiting=len(replica.waiting),
            members=members,
        )

    def groups(self) -> list[int]:
        """The groups that have a replica here."""
        return sorted(self._replicas)

    # --- turns

    def _touch(self, replica: Replica) -> None:
        self._dirty[replica.group] = replica
        if self._turnCall is None:
            self._turnCall = self._clock.callLater(0, self._turn)

    def _turn(self) -> Deferred[None]:
        """Hand everything that waits to the store; fires when that is durable, or has failed."""
        call, self._turnCall = self._turnCall, None
        if call is not None and call.active():
            call.cancel()
        dirty, self._dirty = self._dirty, {}
        self._queuedBefores = self._queuedOctets = 0
        if not dirty or self.failure is not None:
            return succeed(None)
        suspects = [replica for replica in dirty.values() if replica.failures]
        for replica in suspects:  # each alone, so that it fails alone
            self._write([replica])
        return self._write([replica for replica in dirty.values() if not replica.failures])

    def _write(self, replicas: list[Replica]) -> Deferred[None]:
        if not replicas:
            return succeed(None)
        turn = Turn(self._machine)
        for replica in replicas:
            turn.works.append(replica.work())
        self._inFlight += 1
        written: Deferred[list[list[Applied]]] = self._store.write(turn.run)
        taken: Deferred[None] = written.addCallbacks(
            self._committed, self._refused, (replicas, turn), {}, (replicas,)
        )
        return taken.addErrback(self._confused)

    def _committed(self, results: list[list[Applied]], replicas: list[Replica], turn: Turn) -> None:
        self._inFlight -= 1
        for replica, work, applied in zip(replicas, turn.works, results, strict=True):
            replica.failures = 0
            raft = replica.raft
            raft.persisted(work.outputs.mark)
            if work.outputs.apply:
                replica.applied = work.outputs.apply[-1].index
            self._tell(replica, applied)
            self._answerReads(replica, work.outputs.reads)
            if raft.hasOutputs():
                self._touch(replica)
        if self._inFlight == 0 and not self._running:
            self._settle()

    def _tell(self, replica: Replica, applied: list[Applied]) -> None:
        """Tell listeners and proposers what has been applied, in the order of the log."""
        for index, term, outcome, events in applied:
            if events:
                for listener in self._listeners:
                    self._call(listener, replica.group, index, events)
            waiter = replica.waiting.pop(index, None)
            if waiter is None:
                continue
            self._proposals -= 1
            proposedTerm, done = waiter
            if isinstance(outcome, Exception):
                done.errback(outcome)
            elif term != proposedTerm:
                done.errback(Unavailable("another leader's entry took the place"))
            else:
                done.callback(outcome)

    def _call(self, listener: Listener, group: int, index: int, events: Any) -> None:
        try:
            listener(group, index, events)
        except Exception:
            self._log.failure("a listener of group {group} failed at index {index}", group=group, index=index)

    def _answerReads(self, replica: Replica, reads: list[tuple[int, int]]) -> None:
        for context, index in reads:
            done = replica.reads.pop(context, None)
            if done is not None:
                replica.readable.append((index, done))
        if replica.readable:
            ready = [done for index, done in replica.readable if index <= replica.applied]
            replica.readable = [(index, done) for index, done in replica.readable if index > replica.applied]
            for done in ready:
                done.callback(replica.applied)

    # --- ends

    def _refused(self, failure: Failure, replicas: list[Replica]) -> None:
        """
        A turn was not written. If the store goes on (the disk was full, or a job raised), its replicas go back to what is
        stored, as after a crash; nothing of the turn has left. Turns behind it find that they are superseded.
        """
        self._inFlight -= 1
        isFatal = failure.check(OutcomeUnknown, Unavailable) and not failure.check(StorageFull, Superseded)
        if isFatal or self.failure is not None:
            self._broken(failure)
        else:
            if not failure.check(StorageFull, Superseded):
                self._log.failure("a turn of {count} groups raised", failure, count=len(replicas))
            for replica in replicas:
                if self._replicas.get(replica.group) is replica:
                    self._reload(replica, failure)
        if self._inFlight == 0 and not self._running:
            self._settle()

    def _reload(self, replica: Replica, failure: Failure) -> None:
        group, sole = replica.group, replica.raft.isSoleVoter
        replica.failures += not failure.check(StorageFull, Superseded)
        self._dirty.pop(group, None)
        if replica.failures >= FAILURES_MAX:
            self._log.critical("the replica of group {group} cannot go on and stops", group=group)
            del self._replicas[group]
        else:
            with self._store.read() as rows:
                fresh = self._load(rows, group, hardRecord(rows, group))
            fresh.failures = replica.failures
            self._clock.callLater(RETRY_SECONDS, self._campaign, fresh)
        isFull = failure.check(StorageFull, Superseded) and sole
        self._abandon(replica, StorageFull("not written") if isFull else OutcomeUnknown("not written"))

    def _campaign(self, replica: Replica) -> None:
        """Have the sole voter of a group lead it, at the start or after a turn that was not written."""
        if self._replicas.get(replica.group) is replica and replica.raft.isSoleVoter and self._running:
            replica.raft.campaign()
            self._touch(replica)

    def _broken(self, failure: Failure) -> None:
        """A commit failed: what the store holds now is not known, and the next commit would lie (design §4)."""
        if self.failure is None:
            self.failure = failure
            self._running = False
            self._log.critical("a commit failed, this node's groups stop: {reason!r}", reason=failure.value)
        self._failWaiting(OutcomeUnknown("the commit failed"))

    def _confused(self, failure: Failure) -> None:
        """What a turn did cannot be taken in: an error of this program. The store is sound, but this driver is not."""
        self._log.failure("a turn that was written could not be taken in; this node's groups stop", failure)
        self.failure = self.failure or failure
        self._running = False
        self._failWaiting(OutcomeUnknown("stopped"))

    def _settle(self) -> None:
        self._failWaiting(Unavailable("stopped"))
        idle, self._idle = self._idle, []
        for done in idle:
            done.callback(None)

    def _failWaiting(self, problem: Exception) -> None:
        for replica in self._replicas.values():
            self._abandon(replica, problem)

    def _abandon(self, replica: Replica, problem: Exception) -> None:
        """Nothing that waits for this replica will come."""
        waiting, replica.waiting = replica.waiting, {}
        reads, replica.reads = replica.reads, {}
        readable, replica.readable = replica.readable, []
        self._proposals -= len(waiting)
        for _, done in waiting.values():
            done.errback(problem)
        for done in [*reads.values(), *(done for _, done in readable)]:
            done.errback(Unavailable("the replica stopped"))
