"""
The driver of all groups of a node: the shell around the Raft machines.

`Turns` writes, `Conversation` talks, `Transfers` moves snapshots; here is what the layers above call, and what they wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.counts import Histogram
from jindimail.errors import JindimailError, LimitReached, OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IGroups, INodeLink, IStateMachine, IStore
from jindimail.replication.configuration import Configuration
from jindimail.replication.conversation import Conversation
from jindimail.replication.entries import Snapshot
from jindimail.replication.holding import Holding
from jindimail.replication.loading import Loading
from jindimail.replication.messages import Install, Message
from jindimail.replication.neighbours import Neighbours, NoLink
from jindimail.replication.nodemessages import NodeMessage, SnapshotPiece, SnapshotTaken
from jindimail.replication.outputs import Settings
from jindimail.replication.raft import NotLeader, NotPossible, TooManyProposals
from jindimail.replication.refounding import refound
from jindimail.replication.replica import Replica
from jindimail.replication.restoring import RETRY_SECONDS, Restoring
from jindimail.replication.roster import Roster
from jindimail.replication.status import (
    SnapshotInstalled,
    caughtUp,
)
from jindimail.replication.ticks import Ticks
from jindimail.replication.transfers import SnapshotPlace, Transfers, placeInMemory
from jindimail.replication.turn import Applied, Before, Superseded, Work
from jindimail.replication.turns import Turns
from jindimail.replication.waiting import Listener, Waiting

Receiver = Callable[[int, Any], None]
Change = Callable[[Configuration], Configuration]

PROPOSALS_MAX = 16_384  # under way at one node
ENTRY_OCTETS_MAX = 4 * 1024 * 1024  # what can still be sent to others
BEFORES_MAX = 16  # bodies in one job
TURN_OCTETS_MAX = 1024 * 1024  # of entries in one job
FAILURES_MAX = 3  # in a row, before a replica is left alone
SWEEP_SECONDS = 0.3  # between looks at the deadlines, or a tick longer
STRANGERS_LOOK_SECONDS = 5.0  # between looks for nodes that share no group any more


@implementer(IGroups)
class Groups(Roster):
    """All replicas of this node, and all that is done with them."""

    _log = Logger()
    _flushCall: IDelayedCall | None = None
    _running = False

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        machine: IStateMachine,
        draw: Callable[[int, int], int],
        settings: Settings | None = None,
        node: int = 0,
        incarnation: int = 0,
        link: Callable[[int], INodeLink] | None = None,
        place: SnapshotPlace | None = None,
    ) -> None:
        """
        @param draw: gives an integer between its arguments, both included (`random.Random().randint`).
        @param node: this node's number, as configurations name it.
        @param link: the link to another node; without it this node has no neighbours.
        @param place: where snapshots are made; without it, at once and in memory.
        """
        super().__init__()
        self._clock = clock
        self._store = store
        self._settings = settings or Settings()
        self._node = node
        self._loading = Loading(store=store, replicas=self._replicas, draw=draw, settings=self._settings)
        self._turns = Turns(clock=clock, store=store, machine=machine, told=self)
        self._neighbours = Neighbours(incarnation=incarnation, link=link or (lambda _: NoLink()), draw=draw)
        self._conversation = Conversation(
            node=node,
            replicas=self._replicas,
            turns=self._turns,
            neighbours=self._neighbours,
            create=self._create,
            failed=self.failed,
            others=self._receivedOther,
            awoke=lambda: self._ticks.hasten(),
        )
        self._ticks = Ticks(clock, self._conversation, self._neighbours, self._ticked, self.flush)
        self._restoring = Restoring(clock=clock, store=store, replicas=self._replicas, told=self)
        self._transfers = Transfers(
            place=place or placeInMemory(store),
            neighbours=self._neighbours,
            replicas=self._replicas,
            arrived=self._restoring.arrived,
        )
        self._waiting = Waiting(replicas=self._replicas, asked=self._asked)
        self._holding = Holding(clock, self._replicas, self._turns.touchWhenFree)
        self._queuedBefores = self._queuedOctets = 0
        self._sweptAt = self._strangersAt = clock.seconds()
        self._receivers: dict[type[NodeMessage], Receiver] = {}

    @property
    def failure(self) -> Failure | None:
        """Why nothing is written any more, if so."""
        return self._turns.failure

    @property
    def lagSeconds(self) -> Histogram:
        """How late the ticks came."""
        return self._ticks.lagSeconds

    @property
    def commitAgeSeconds(self) -> float:
        """How old the oldest unfinished commit is."""
        return self._turns.ageSeconds(self._clock.seconds())

    @property
    def proposals(self) -> int:
        """How many proposals made here are under way."""
        return self._waiting.proposals

    # --- life

    def start(self) -> Deferred[None]:
        """Load all replicas. Those that vote alone begin a term and apply what was committed, all in one transaction; the Deferred fires when that is durable."""
        unfinished = self._loading.all()
        self._running = True
        for group, record in unfinished:
            self._restoring.recover(group, record)
        for replica in list(self._replicas.values()):
            self._campaign(replica)
        self._conversation.start()
        self._ticks.start()
        return self._turns.turn().addCallback(self._started)

    def _started(self, _: None) -> None:
        if self.failure is not None:
            self.failure.raiseException()

    def stop(self) -> Deferred[None]:
        """Take nothing more; the Deferred fires when everything taken is durable, or failed."""
        self._turns.stop()
        self._running = False
        self._stopCalls()
        self._transfers.stop()
        return self._turns.whenIdle().addCallback(lambda _: self._failWaiting(Unavailable("stopped")))

    def _stopCalls(self) -> None:
        self._ticks.stop()
        self._holding.stop()
        if self._flushCall is not None and self._flushCall.active():
            self._flushCall.cancel()

    def _campaign(self, replica: Replica) -> None:
        """Have the sole voter of a group lead it, at the start or after a turn that was not written."""
        if self._replicas.get(replica.group) is replica and replica.raft.isSoleVoter and self._running:
            replica.raft.campaign()
            self._turns.touch(replica)

    # --- IGroups

    def propose(
        self, group: int, entry: bytes, before: Before | None = None, mayLag: bool = False
    ) -> Deferred[Any]:
        """
        A Deferred of the outcome, once the entry is committed and applied here.

        `before(rows)` runs ahead of the log row (and may be run again); if it raises, the proposal fails with that.
        """
        replica = self._replicas.get(group)
        if replica is None or not self._running or self._waiting.proposals >= PROPOSALS_MAX:
            return fail(Unavailable("no replica here, stopped, or too much under way"))
        if before is not None and not replica.raft.isSoleVoter:
            if replica.raft.leadership is None:
                return fail(NotLeader(replica.raft.leader))
            # Others see the entry while it is being written here: the body must stand before it is proposed.
            return self._store.write(before).addCallback(lambda _: self.propose(group, entry, mayLag=mayLag))  # type: ignore[no-any-return]
        if len(entry) > ENTRY_OCTETS_MAX:
            return fail(LimitReached("no entry may be so large"))
        try:
            index = replica.raft.propose(entry, mayLag=mayLag)
        except (NotLeader, TooManyProposals) as problem:
            return fail(problem)
        done = self._waiting.proposed(replica, index, self._clock.seconds())
        self._queuedOctets += len(entry)
        if before is not None:
            replica.befores[index] = before
            self._queuedBefores += 1
        if replica.quiet is not None:
            self._conversation.wake(replica)
        if replica.raft.isSoleVoter:
            self._turns.touch(replica)
        else:  # its outcome is told by a job that comes after its log row, however soon others have it
            self._turns.touchWhenFree(replica)
        if self._queuedBefores >= BEFORES_MAX or self._queuedOctets >= TURN_OCTETS_MAX:
            self._turns.turn()
        return done

    def readIndex(self, group: int) -> Deferred[int]:
        """A Deferred of an applied index that covers everything acknowledged before the call."""
        replica = self._replicas.get(group)
        if replica is None or not self._running:
            return fail(Unavailable("no replica here, or stopped"))
        raft = replica.raft
        if raft.isSoleVoter and raft.isReadable and replica.applied >= raft.log.commit:
            return succeed(replica.applied)
        try:
            return self._waiting.read(replica, self._clock.seconds())
        except NotLeader as problem:
            return fail(problem)

    def _asked(self, replica: Replica) -> None:
        """A read index was asked for."""
        if replica.raft.leadership is not None:
            self._conversation.keepTicking(replica)
        self._turns.touch(replica)

    def whenApplied(self, group: int, index: int) -> Deferred[int]:
        """A Deferred of the applied index, once it is at least this one; whoever waits cancels it when it has waited enough."""
        replica = self._replicas.get(group)
        if replica is None or replica.installing or not self._running:
            return fail(Unavailable("no replica here, or stopped"))
        if replica.applied >= index:
            return succeed(replica.applied)
        done: Deferred[int] = Deferred()
        replica.readable.append((index, done))
        return done

    def whenDurable(self) -> Deferred[None]:
        """Fires when all that is applied here so far is durable, so that snapshots have it."""
        done: Deferred[None] = self._store.write(lambda rows: None)
        return done

    def listen(self, listener: Listener) -> None:
        """Call `listener(group, index, events)` on the reactor after every commit that had events."""
        self._waiting.listeners.append(listener)

    # --- members and leaders

    def change(self, group: int, change: Change) -> Deferred[Configuration]:
        """
        Change a group's members by one step, at its leader; fires when that is committed and applied here.

        @param change: gives the new configuration of the present one (`lambda c: c.withLearner(node)`).
        """
        replica = self._replicas.get(group)
        if replica is None or not self._running:
            return fail(Unavailable("no replica here, or stopped"))
        try:
            index = replica.raft.proposeConfiguration(change(replica.raft.configuration))
        except JindimailError as problem:
            return fail(problem)
        done = self._waiting.proposed(replica, index, self._clock.seconds())
        self._conversation.wake(replica)
        self._turns.touch(replica)
        return done

    def transfer(self, group: int, node: int) -> None:
        """
        Hand a group's leadership over to another node's replica; nothing tells when, or whether, it does.

        @raise Refusal: this node does not lead it, or the other has no voter.
        @raise Unavailable: there is no replica here.
        """
        replica = self._replicas.get(group)
        if replica is None:
            raise Unavailable("no replica here")
        ids = [member.replicaId for member in replica.raft.configuration.members if member.node == node]
        replica.raft.transfer(ids[0] if ids else 0)
        self._conversation.wake(replica)
        self._turns.touch(replica)

    def refound(self, group: int, replicaId: int, term: int) -> Deferred[None]:
        """
        By force: found a group anew from this replica alone (`refounding`); fires when it is durable, and this node leads.

        @raise Refusal: there is no such replica here.
        """
        replica = self._replicas.get(group)
        if replica is None or replica.raft.replicaId != replicaId or replica.installing:
            return fail(NotPossible("no such replica here"))
        self.forget(replica)
        self.abandon(replica, OutcomeUnknown("the group is founded anew"))
        done: Deferred[None] = self._store.write(
            lambda rows: refound(rows, group, self._node, replicaId, term)
        )
        return done.addBoth(self._refounded, replica)

    def _refounded(self, result: Any, replica: Replica) -> Any:
        self._reload(replica)
        fresh = self._replicas.get(replica.group)
        if fresh is not None:
            self._campaign(fresh)
        return result

    def caughtUp(self, group: int) -> frozenset[int]:
        """The replica ids that answer and lack little of the log, the leader's own among them; empty where another node leads."""
        replica = self._replicas.get(group)
        if replica is None:
            return frozenset()
        near = caughtUp(replica.raft, self._settings.promotionLagMax)
        return frozenset(each for each in near if not self._neighbours.isSilent(replica.nodeOf(each) or 0))

    # --- other nodes

    def silenceSeconds(self, node: int) -> float:
        """For how long nothing has been heard of a node, less what its lag or this node's explains; infinite if it never was."""
        return self._neighbours.silenceSeconds(node, self._clock.seconds())

    def unheardSeconds(self, node: int) -> float:
        """For how long nothing has been heard of a node, whatever explains it; infinite if it never was."""
        return self._neighbours.unheardSeconds(node, self._clock.seconds())

    def received(self, node: int, frames: list[bytes]) -> None:
        """Frames that another node's `INodeLink.send` was given came in, in order."""
        if self._running:
            self._conversation.received(node, frames, self._clock.seconds())

    def receivedBulk(self, node: int, frames: list[bytes]) -> None:
        """Frames that another node's `INodeLink.sendBulk` was given came in, in order among themselves."""
        if self._running:
            self._conversation.received(node, frames, self._clock.seconds(), bulk=True)

    def attend(self, kinds: Iterable[type[NodeMessage]], receiver: Receiver) -> None:
        """Call `receiver(node, message)` with the messages of these kinds that come in (bodies)."""
        for kind in kinds:
            self._receivers[kind] = receiver

    def send(self, node: int, message: NodeMessage) -> None:
        """A message leaves for another node with this turn's; it may be lost."""
        self._neighbours.at(node, self._clock.seconds()).send(message)
        if self._flushCall is None:
            self._flushCall = self._clock.callLater(0, self._flushSoon)

    def _flushSoon(self) -> None:
        self._flushCall = None
        self.flush()

    def _receivedOther(self, node: int, message: NodeMessage) -> None:
        """A message that is not the groups' own."""
        if isinstance(message, SnapshotPiece):
            self._transfers.piece(node, message, self._clock.seconds())
        elif isinstance(message, SnapshotTaken):
            self._transfers.taken(node, message, self._clock.seconds())
        elif receiver := self._receivers.get(type(message)):
            receiver(node, message)

    def _create(self, message: Message) -> Replica | None:
        """The replica that a learner's first message makes; None if its id is a tombstone here."""
        group, replicaId = message.group, message.recipient
        present = self._replicas.get(group)
        if present is not None:
            # Its node came back under a new id: the old one was removed.
            if present.raft.replicaId < replicaId and not present.installing:
                self._restoring.bury(present)
            return None
        return self._loading.blank(group, replicaId)

    def _ticked(self, now: float) -> None:
        if not 0 <= now - self._sweptAt < SWEEP_SECONDS:
            self._sweptAt = now
            self._waiting.sweep(now)
            self._transfers.tick(now)
        if not 0 <= now - self._strangersAt < STRANGERS_LOOK_SECONDS:
            self._strangersAt = now
            self._conversation.forgetStrangers(now)

    # --- what became of turns

    def takeNow(self, replica: Replica, work: Work) -> None:
        """See `ITurned`."""
        self._queuedBefores = self._queuedOctets = 0
        if work.outputs.now:
            self._conversation.send(replica, work.outputs.now, self._clock.seconds())
        self._holding.look(replica)
        for replicaId in work.outputs.snapshots:
            self._transfers.wanted(replica, replicaId, self._clock.seconds())

    def applied(self, replica: Replica, work: Work, applied: list[Applied]) -> None:
        """See `ITurned`."""
        if self._replicas.get(replica.group) is not replica:
            return
        outputs = work.outputs
        if outputs.apply:
            replica.applied = outputs.apply[-1].index
        self._waiting.applied(replica, applied, outputs.apply)
        if outputs.reads or replica.readable:
            self._waiting.confirmed(replica, outputs.reads)

    def written(self, replica: Replica, work: Work, applied: list[Applied] | None) -> None:
        """See `ITurned`."""
        if self._replicas.get(replica.group) is not replica:
            return
        raft, outputs = replica.raft, work.outputs
        raft.persisted(outputs.mark)
        if outputs.after:
            self._conversation.send(replica, outputs.after, self._clock.seconds())
        if applied is not None:
            self.applied(replica, work, applied)
        if outputs.install is not None:
            self._restoring.install(replica, outputs.install)
        elif raft.isBuried:
            self._restoring.bury(replica)
        elif raft.hasOutputs():
            self._turns.touch(replica)

    def refused(self, replica: Replica, failure: Failure) -> None:
        """See `ITurned`."""
        if self._replicas.get(replica.group) is not replica:
            return
        group, raft = replica.group, replica.raft
        # By what is committed: what was proposed before the last other voter left stands in its log, and it may lead next.
        sole = raft.isSoleVoter and raft.history.latestIndex <= raft.log.commit
        replica.failures += not failure.check(StorageFull, Superseded)
        self.forget(replica)
        if replica.failures >= FAILURES_MAX:
            self._log.critical("the replica of group {group} cannot go on and stops", group=group)
        else:
            self._reload(replica)
        isFull = failure.check(StorageFull, Superseded) and sole
        problem = StorageFull("not written") if isFull else OutcomeUnknown("not written")
        # Whoever hears of it may read: not before all replicas that lost what was shown know it.
        self._clock.callLater(0, self.abandon, replica, problem)

    def _reload(self, replica: Replica) -> None:
        fresh = self._loading.again(replica)
        if fresh is None:
            return
        fresh.shown = max(replica.shown, replica.applied)
        self._conversation.admit(fresh)
        self._clock.callLater(RETRY_SECONDS, self._campaign, fresh)

    def broken(self, failure: Failure) -> None:
        """See `ITurned`: what the store holds now is not known, and the next commit would lie (design §4)."""
        self._running = False
        self._stopCalls()
        self._failWaiting(OutcomeUnknown("the commit failed"))

    def flush(self) -> None:
        """See `ITurned`."""
        self._neighbours.flush(self._clock.seconds())

    # --- ends

    @property
    def isRunning(self) -> bool:
        """See `IRestored`."""
        return self._running and self.failure is None

    def stepInstall(self, node: int, message: Install) -> None:
        """See `IRestored`."""
        self._conversation.step(node, message)

    def installed(self, replica: Replica, snapshot: Snapshot) -> None:
        """See `IRestored`."""
        self._turns.touch(replica)
        self._waiting.tell(replica.group, snapshot.index, (SnapshotInstalled(replica.group),))

    def recovered(self, group: int) -> None:
        """See `IRestored`."""
        replica = self._loading.recovered(group)
        if replica is not None:
            self._conversation.admit(replica)

    def forget(self, replica: Replica) -> None:
        """See `IRestored`."""
        self._turns.forget(replica)
        self._conversation.forget(replica)
        self._restoring.drop(replica)
        del self._replicas[replica.group]

    def failed(self, replica: Replica) -> None:
        """See `ITurned`. A machine raised: an error of this program. Its replica is as good as crashed, and stays so until a restart."""
        if self._replicas.get(replica.group) is replica:
            self.forget(replica)
            self.abandon(replica, OutcomeUnknown("the replica failed"))

    def _failWaiting(self, problem: Exception) -> None:
        for replica in list(self._replicas.values()):
            self.abandon(replica, problem)

    def abandon(self, replica: Replica, problem: Exception) -> None:
        """See `IRestored`."""
        self._waiting.abandon(replica, problem)
