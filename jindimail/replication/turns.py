"""
The turns of a node: once a reactor turn, what all its groups have to write goes to the store as one job (design §5).

Turns are pipelined: the next is handed to the store whether or not the last is durable; the store keeps their order. A turn
that was not written takes those behind it along, since each names the hard row that it builds upon (turn.py).

What is committed is told of as soon as it is applied in the store's memory, since a restart would apply it again. A turn of nothing
else costs no transaction of its own: the store keeps it for the next (docs/adr/0029).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.errors import OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IStateMachine, IStore
from jindimail.replication.replica import Replica
from jindimail.replication.turn import Applied, Superseded, Turn, Work


class ITurned(Protocol):
    """Who is told what became of turns."""

    def takeNow(self, replica: Replica, work: Work) -> None:
        """Outputs were taken: send what may leave at once."""
        ...

    def applied(self, replica: Replica, work: Work, applied: list[Applied]) -> None:
        """What a replica's work applies is committed, and readers see it, though it is not durable here yet."""
        ...

    def written(self, replica: Replica, work: Work, applied: list[Applied] | None) -> None:
        """A replica's work is durable; with what it applied, unless that was told before."""
        ...

    def refused(self, replica: Replica, failure: Failure) -> None:
        """A replica's work was not written, but the store goes on."""
        ...

    def failed(self, replica: Replica) -> None:
        """A replica's machine raised."""
        ...

    def broken(self, failure: Failure) -> None:
        """The store does not go on; nothing will be written any more."""
        ...

    def flush(self) -> None:
        """A turn, or the taking in of one, is over: send what it gave."""
        ...


class Turns:
    """Collects the replicas that have outputs, and has them written."""

    _log = Logger()

    def __init__(self, *, clock: IReactorTime, store: IStore, machine: IStateMachine, told: ITurned) -> None:
        self._clock = clock
        self._store = store
        self._machine = machine
        self._told = told
        self._dirty: dict[int, Replica] = {}
        self._call: IDelayedCall | None = None
        self._isStopped = self._isAwaiting = False
        self._begun: deque[float] = deque()
        self._idle: list[Deferred[None]] = []
        self.failure: Failure | None = None

    # --- collecting

    def touch(self, replica: Replica) -> None:
        """A replica may have outputs: take them at the end of this reactor turn."""
        self._dirty[replica.group] = replica
        if self._call is None and not self._isStopped:
            self._call = self._clock.callLater(0, self.turn)

    def touchWhenFree(self, replica: Replica) -> None:
        """
        A replica may have outputs that nobody waits for but the store: take them when the transaction under way is over.

        What comes until then is one turn's work, where it would have been many's that begin no earlier.
        """
        self._dirty[replica.group] = replica
        if self._call is None and not self._isStopped and not self._isAwaiting:
            self._isAwaiting = self._store.whenFree(self._free)
            if not self._isAwaiting:
                self._call = self._clock.callLater(0, self.turn)

    def _free(self) -> None:
        self._isAwaiting = False
        self.turn()

    def forget(self, replica: Replica) -> None:
        """A replica is gone."""
        if self._dirty.get(replica.group) is replica:
            del self._dirty[replica.group]

    def stop(self) -> None:
        """Hand over what waits; nothing comes any more."""
        self.turn()
        self._isStopped = True

    def ageSeconds(self, now: float) -> float:
        """How long the oldest turn that is not durable has been under way."""
        return now - self._begun[0] if self._begun else 0.0

    def whenIdle(self) -> Deferred[None]:
        """Fires when nothing is under way."""
        if not self._begun:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        return done

    # --- writing

    def turn(self) -> Deferred[None]:
        """Hand everything that waits to the store; fires when that is durable, or was refused."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
        dirty, self._dirty = self._dirty, {}
        if not dirty or self.failure is not None:
            return succeed(None)
        for replica in dirty.values():
            if replica.failures:  # each alone, so that it fails alone
                self._write([replica])
        done = self._write([replica for replica in dirty.values() if not replica.failures])
        self._store.begin()
        self._told.flush()
        return done

    def _write(self, replicas: list[Replica]) -> Deferred[None]:
        turn = Turn(self._machine)
        taken: list[Replica] = []
        for replica in replicas:
            try:
                work = replica.work()
            except Exception:  # of this program, or of its log on disk: this replica stops, and no other
                self._log.failure("the replica of group {group} failed", group=replica.group)
                self._told.failed(replica)
                continue
            self._told.takeNow(replica, work)
            if work.hard is None and not replica.inFlight:
                self._told.written(replica, work, [])  # nothing to write, nothing to wait for
                continue
            replica.inFlight += not work.onlyApplies
            taken.append(replica)
            turn.works.append(work)
        if not taken:
            return succeed(None)
        done: Deferred[None] = self._hand(taken, turn).addCallbacks(
            self._committed, self._refused, (taken, turn), {}, (taken, turn)
        )
        return done.addErrback(self._confused)

    def _hand(self, replicas: list[Replica], turn: Turn) -> Deferred[list[list[Applied]]]:
        """Hand a turn to the store. Nothing is told ahead of what must not be: readers would see a later entry without an earlier one."""
        turn.mayTell = turn.isCertain() and not any(replica.untold for replica in replicas)
        turn.mayWait = turn.mayTell and all(work.onlyApplies for work in turn.works)
        if not turn.mayWait:
            self._begun.append(self._clock.seconds())
        if turn.mayTell:
            return self._store.write(  # type: ignore[no-any-return]
                turn.run, ran=partial(self._ran, replicas, turn), mayWait=turn.mayWait
            )
        for replica, work in zip(replicas, turn.works, strict=True):
            replica.untold += bool(work.outputs.apply)
        return self._store.write(turn.run)  # type: ignore[no-any-return]

    def _over(self, replicas: list[Replica], turn: Turn) -> None:
        """A turn is no longer under way."""
        if not turn.mayWait:
            self._begun.popleft()
        for replica, work in zip(replicas, turn.works, strict=True):
            replica.inFlight -= not work.onlyApplies
            replica.untold -= not turn.mayTell and bool(work.outputs.apply)

    def _ran(self, replicas: list[Replica], turn: Turn, results: list[list[Applied]]) -> None:
        """What a turn applies is committed, and seen by readers from now on."""
        turn.isTold = True
        try:
            for replica, work, applied in zip(replicas, turn.works, results, strict=True):
                self._told.applied(replica, work, applied)
            self._told.flush()
        except Exception:  # an error of this program
            self._confused(Failure())

    def _committed(self, results: list[list[Applied]], replicas: list[Replica], turn: Turn) -> None:
        self._over(replicas, turn)
        told = self._told.written
        for replica, work, applied in zip(replicas, turn.works, results, strict=True):
            replica.failures = 0
            told(replica, work, None if turn.isTold else applied)
        self._told.flush()
        self._checkIdle()

    def _refused(self, failure: Failure, replicas: list[Replica], turn: Turn) -> None:
        """
        A turn was not written. If the store goes on (the disk was full, or a job raised), its replicas go back to what is
        stored, as after a crash; nothing that had to be durable has left.
        """
        self._over(replicas, turn)
        isFatal = failure.check(OutcomeUnknown, Unavailable) and not failure.check(StorageFull, Superseded)
        if isFatal or self.failure is not None:
            self._break(failure)
        else:
            if not failure.check(StorageFull, Superseded):
                self._log.failure("a turn of {count} groups raised", failure, count=len(replicas))
            for replica in replicas:
                self._told.refused(replica, failure)
        self._checkIdle()

    def _break(self, failure: Failure) -> None:
        if self.failure is None:
            self.failure = failure
            self._log.critical("a commit failed, this node's groups stop: {reason!r}", reason=failure.value)
        self._told.broken(failure)

    def _confused(self, failure: Failure) -> None:
        """What a turn did cannot be taken in: an error of this program. The store is sound, but this driver is not."""
        self._log.failure("a turn that was written could not be taken in; this node's groups stop", failure)
        self.failure = self.failure or failure
        self._told.broken(failure)
        self._checkIdle()

    def _checkIdle(self) -> None:
        if not self._begun:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)
