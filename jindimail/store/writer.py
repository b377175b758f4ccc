"""
The store of a running node: one writer thread that commits groups (design §4), short readers, levels of free space.

Theory of operation. `write` queues a job and asks for a turn; at the end of the reactor's iteration `_turn` runs all jobs
that wait on one `Overlay` and hands the finished changes to the writer thread, which puts, commits, syncs and calls back.
Meanwhile more jobs gather: they are the next group, which waits two turns more where groups are large. So there is one transaction in flight, its base is always what is
committed, a raising job is merely taken back, and the two threads hardly compete for the interpreter.

Jobs that only apply what a majority has durably (those with `ran`) are told of as soon as they have run, and readers see their
changes `Ahead` of the commit. A group of nothing but such jobs that may wait is kept, overlay and all, until a group comes that may not, or
for half a second (docs/adr/0029).

Record jobs go before bare bodies; a transaction takes at most 1024 jobs, 1 MiB of bare bodies and about 2 MiB in all.

A failed commit. With free space near zero, whatever the errno, it was the full disk: the reserve is dropped, the environment
reopened, these jobs fail with `StorageFull`, and the store goes on - provided the file still ends with the transaction before.
When even the reserve is spent, jobs that only add are refused before they are committed, so that expunges always can be.
Any other failure is fatal: nobody knows what the disk holds, and the next commit would lie.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.counts import Histogram
from jindimail.errors import OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IReadRows, IRows, IStore
from jindimail.store.environment import Environment
from jindimail.store.overlay import Ahead, Changes, Overlay
from jindimail.store.space import Level, Space

GROWTH_OCTETS_MAX = 16 << 10  # of a job that adds when only the last room is left: votes, configuration
CROWD_JOBS = 4  # in a transaction show that many write:
LINGER_TURNS = 2  # then the next begins so many turns of the reactor later, with what they bring
KEPT_SECONDS = 0.5  # for so long what may wait is kept for company
KEPT_OCTETS_MAX = 256 << 10

T = TypeVar("T")
Job = Callable[[IRows], Any]
Ran = Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterLimits:
    """Bounds of what one transaction takes, and of what may wait."""

    jobsPerCommitMax: int = 1024
    octetsPerCommitMax: int = 2 << 20
    bodyOctetsPerCommitMax: int = 1 << 20
    jobsWaitingMax: int = 20_000
    bodyOctetsWaitingMax: int = 64 << 20


class _Waiting:
    """A job that waits, and later its result."""

    __slots__ = ("bodyOctets", "done", "job", "mayWait", "number", "ran", "result")

    def __init__(self, number: int, job: Job, bodyOctets: int, ran: Ran | None, mayWait: bool) -> None:
        self.number = number
        self.job = job
        self.bodyOctets = bodyOctets
        self.ran = ran
        self.mayWait = mayWait
        self.done: Deferred[Any] = Deferred()
        self.result: Any = None


@implementer(IStore)
class Writer:
    """
    A node's store. All methods are called on the reactor's thread.

    `reactor` is IReactorTime and IReactorFromThreads.
    """

    _log = Logger()

    def __init__(
        self, environment: Environment, space: Space, *, reactor: Any, limits: WriterLimits | None = None
    ) -> None:
        self.environment = environment
        self.space = space
        self.commits = 0
        self.jobs = 0
        self.rowsWritten = 0  # put or deleted
        self.commitSeconds = Histogram()
        self._reactor = reactor
        self._limits = limits or WriterLimits()
        self._records: deque[_Waiting] = deque()
        self._bodies: deque[_Waiting] = deque()
        self._bodyOctets = 0
        self._number = 0
        self._turnCall: Any = None
        self._group: list[_Waiting] = []  # in flight
        self._freed: list[Callable[[], object]] = []  # are told when that is over
        self._kept: list[_Waiting] = []  # have run, and may wait for company
        self._keptRows: Overlay | None = None
        self._keptSince = 0.0
        self._keptCall: IDelayedCall | None = None
        self._isKeptDue = False
        self._ahead = Ahead()  # of the last commit
        self._toTell: deque[_Waiting] = deque()
        self._isTelling = False
        self._groupOctets = 0
        self._isCrowded = False  # the last group was large
        self._lingered = 0
        self._octetsSinceRefresh = 0
        self._commitSince: float | None = None
        self._reason: Exception | None = None
        self._closing: Deferred[None] | None = None
        self._listeners: list[Deferred[Exception]] = []
        self._handover: SimpleQueue[Changes | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="store writer", daemon=True)
        self._thread.start()
        space.start(reactor)

    @property
    def freeLevel(self) -> Level:
        """What there is room for."""
        return self.space.level

    def commitAgeSeconds(self) -> float:
        """For how long the transaction in flight has been under way; 0 if there is none."""
        return 0.0 if self._commitSince is None else float(self._reactor.seconds()) - self._commitSince

    @property
    def waiting(self) -> int:
        """How many jobs wait for their transaction."""
        return len(self._records) + len(self._bodies)

    @property
    def isBroken(self) -> bool:
        """Whether nothing can be written any more."""
        return self._reason is not None

    def write(
        self,
        job: Callable[[IRows], T],
        bodyOctets: int = 0,
        ran: Callable[[T], object] | None = None,
        mayWait: bool = False,
    ) -> Deferred[T]:
        """
        Run a job in the next transaction; a Deferred of its result after the sync. See `IStore`.

        Fails with Unavailable when the store is closed, or too much waits; with StorageFull for a bare body
        that there is no room for.
        """
        refusal = self._refusal(bodyOctets)
        if refusal is not None:
            return fail(refusal)
        self._number += 1
        waiting = _Waiting(self._number, job, bodyOctets, ran, mayWait)
        if bodyOctets:
            self._bodies.append(waiting)
            self._bodyOctets += bodyOctets
        else:
            self._records.append(waiting)
        self._askTurn()
        return waiting.done

    def begin(self) -> None:
        """See `IStore`; where many write, the next transaction waits for their company all the same."""
        if self._isCrowded:
            return
        if not self._group and not self._isTelling and (self._records or self._bodies):
            call, self._turnCall = self._turnCall, None
            if call is not None:
                call.cancel()
            self._begin()

    def whenFree(self, told: Callable[[], object]) -> bool:
        """See `IStore`."""
        if self._group:
            self._freed.append(told)
        return bool(self._group)

    def read(self) -> AbstractContextManager[IReadRows]:
        """See `IStore`."""
        return self.environment.read(self._ahead)

    def readDurable(self) -> AbstractContextManager[IReadRows]:
        """See `IStore`: the rows as last committed."""
        return self.environment.read()

    def failed(self) -> Deferred[Exception]:
        """Fires once with the reason (an exception, as its result) when the store can no longer be written."""
        if self._reason is not None:
            return succeed(self._reason)
        listener: Deferred[Exception] = Deferred()
        self._listeners.append(listener)
        return listener

    def close(self) -> Deferred[None]:
        """Commit what was accepted, stop the thread, close the environment."""
        if self._closing is None:
            self._closing = Deferred()
            self.space.stop()
            if self._keptCall is not None and self._keptCall.active():
                self._keptCall.cancel()
            self._isKeptDue = True
            self._askTurn()
        done: Deferred[None] = Deferred()
        self._closing.addCallback(_pass, done)
        return done

    # --- on the reactor's thread -----------------------------------------------------------------------

    def _refusal(self, bodyOctets: int) -> Exception | None:
        if self._closing is not None or self._reason is not None:
            return Unavailable("the store is closed")
        if self.waiting >= self._limits.jobsWaitingMax:
            return Unavailable("too many writes wait")
        if bodyOctets and self.freeLevel < Level.PLENTY:
            return StorageFull("no room for bodies")
        if bodyOctets and self._bodyOctets + bodyOctets > self._limits.bodyOctetsWaitingMax:
            return Unavailable("too many octets wait")
        return None

    def _askTurn(self) -> None:
        if self._turnCall is None:
            self._turnCall = self._reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        """Begin the next transaction, if none is in flight."""
        self._turnCall = None
        self.environment.turn += 1
        if self._group:
            return
        if self._isCrowded and self._lingered < LINGER_TURNS and self._closing is None:
            self._lingered += 1
            self._askTurn()
            return
        self._lingered = 0
        if self._records or self._bodies or (self._kept and self._isKeptDue):
            self._begin()
        elif self._closing is not None:
            self._handover.put(None)

    def _begin(self) -> None:
        """Run a group of jobs; hand what they and those kept changed to the writer thread, unless all of it may wait."""
        with self.environment.read() as base:
            rows = self._keptRows
            if rows is None:
                rows = Overlay(base)
            else:
                rows.rebase(base)
            ran = self._runJobs(rows)
        if not self._keep(ran, rows):
            group = [*self._kept, *ran]
            self._kept, self._keptRows = [], None
            self._commit(group, rows)
        self._tell(ran)

    def _keep(self, ran: list[_Waiting], rows: Overlay) -> bool:
        """Keep what has run for company, with what is kept already, if all of it may wait."""
        if self._isKeptDue or rows.octets >= KEPT_OCTETS_MAX or not all(each.mayWait for each in ran):
            self._isKeptDue = self._closing is not None
            return False
        if not self._kept:
            self._keptSince = float(self._reactor.seconds())
        self._kept.extend(ran)
        self._keptRows = rows
        if self._keptCall is None:
            self._keptCall = self._reactor.callLater(KEPT_SECONDS, self._keptLong)
        return True

    def _keptLong(self) -> None:
        """Commit what has been kept for so long; what came since then is kept on."""
        self._keptCall = None
        if not self._kept:
            return
        left = self._keptSince + KEPT_SECONDS - self._reactor.seconds()
        if left > KEPT_SECONDS / 2:
            self._keptCall = self._reactor.callLater(left, self._keptLong)
            return
        self._isKeptDue = True
        self._askTurn()

    def _tell(self, ran: list[_Waiting]) -> None:
        """Tell of what has run and is certain, in order, though those who are told write more."""
        self._toTell.extend([each for each in ran if each.ran is not None])
        if self._isTelling:
            return
        self._isTelling = True
        try:
            while self._toTell:
                each = self._toTell.popleft()
                tell, each.ran = each.ran, None
                if tell is not None and not isinstance(each.result, Failure):
                    tell(each.result)
        finally:
            self._isTelling = False

    def _commit(self, group: list[_Waiting], rows: Overlay) -> None:
        """Hand a group's changes to the writer thread."""
        changes = rows.changes()
        if changes:
            if self._ahead:
                self._ahead.transaction = self.environment.lastTransaction() + 1
            self._group, self._groupOctets = group, rows.octets
            self._commitSince = self._reactor.seconds()
            self.rowsWritten += rows.rows
            self._handover.put(changes)
        else:
            self._tell(group)
            self._deliver(group)
            self._goOn()

    def _runJobs(self, rows: Overlay) -> list[_Waiting]:
        """Records first, then bodies; under a flood of records still one body that is older than those left."""
        limits, records, bodies = self._limits, self._records, self._bodies
        isSpent = self.space.isSpent and self.space.refresh() is Level.ONLY_EXPUNGES
        group: list[_Waiting] = []
        while records and len(group) < limits.jobsPerCommitMax and rows.octets < limits.octetsPerCommitMax:
            waiting = records.popleft()
            self._runJob(waiting, rows, isSpent)
            group.append(waiting)
        bodyOctets = 0
        while bodies and (not records or bodies[0].number < records[0].number):
            isFull = bool(records) or len(group) >= limits.jobsPerCommitMax
            if bodyOctets and (isFull or bodyOctets + bodies[0].bodyOctets > limits.bodyOctetsPerCommitMax):
                break
            bodyOctets += bodies[0].bodyOctets
            waiting = bodies.popleft()
            self._bodyOctets -= waiting.bodyOctets
            self._runJob(waiting, rows, isSpent)
            group.append(waiting)
        return group

    def _runJob(self, waiting: _Waiting, rows: Overlay, isSpent: bool) -> None:
        try:
            waiting.result = waiting.job(rows)
            if isSpent and rows.isGrowth(GROWTH_OCTETS_MAX):
                raise StorageFull("only expunges")
            if waiting.ran is not None:
                rows.tell(self._ahead)
            rows.settle()
        except Exception:
            waiting.result = Failure()
            waiting.mayWait = False  # whoever wrote it is to hear of it soon
            rows.takeBack()

    def _deliver(self, group: list[_Waiting]) -> None:
        self.jobs += len(group)
        for waiting in group:
            waiting.done.callback(waiting.result)

    def _committed(self, problem: Exception | None) -> None:
        """The writer thread is done with the group in flight."""
        self.environment.turn += 1
        group, self._group = self._group, []
        self._isCrowded = len(group) >= CROWD_JOBS
        seconds = self.commitAgeSeconds()
        self._commitSince = None
        if problem is None:
            self._ahead = Ahead()
            self.commits += 1
            self.commitSeconds.observe(seconds)
            self._octetsSinceRefresh += self._groupOctets
            if self._octetsSinceRefresh > self.space.freeOctets >> 3:
                self._octetsSinceRefresh = 0
                self.space.refresh()
            self._deliver(group)
        elif self._survives(problem):
            self._ahead = Ahead()
            _refuse(group, StorageFull)
        else:  # what was shown is shown on, for as long as this node still answers
            self._breakDown(problem, group)
        freed, self._freed = self._freed, []
        for told in freed:
            told()
        self._goOn()

    def _goOn(self) -> None:
        if self._records or self._bodies or self._closing is not None:
            self._askTurn()

    def _survives(self, problem: Exception) -> bool:
        """Whether a commit failed only because the disk is full, and the store is usable again."""
        if not self.space.isExhausted(self._groupOctets):
            return False
        self._log.error("commit failed on a full disk: {problem}", problem=repr(problem))
        try:
            self.space.dropReserve()
            self.environment.reopen()
            self.space.refresh()
            return self.environment.lastTransaction() == self.environment.baseTransaction
        except Exception:
            self._log.failure("the store cannot be reopened")
            return False

    def _breakDown(self, problem: Exception, group: list[_Waiting]) -> None:
        self._log.critical("commit failed, the store is closed for writing: {problem}", problem=repr(problem))
        self._reason = problem
        self.environment.markSuspect()
        waiting = [*self._records, *self._bodies]
        self._records.clear()
        self._bodies.clear()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.callback(problem)
        _refuse(group, OutcomeUnknown)
        _refuse(waiting, Unavailable)

    def _stopped(self) -> None:
        self._thread.join()
        self.environment.close()
        assert self._closing is not None
        self._closing.callback(None)

    # --- on the writer's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while (changes := self._handover.get()) is not None:
            problem: Exception | None = None
            try:
                self.environment.commit(changes)
            except Exception as error:
                problem = error
            del changes
            self._reactor.callFromThread(self._committed, problem)
        self._reactor.callFromThread(self._stopped)


def _refuse(group: list[_Waiting], kind: type[Exception]) -> None:
    for waiting in group:
        waiting.done.errback(kind())


def _pass(result: None, done: Deferred[None]) -> None:
    done.callback(None)
