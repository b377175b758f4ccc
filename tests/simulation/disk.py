"""
A simulated disk with LMDB's manners: an `IStore` over `MemoryRows`.

What a job wrote is durable when its commit ends, not before: a crash in between loses all of it, or, if it comes between
the sync and the reactor hearing of it, keeps all of it and nobody knows. A commit can be slow, stuck, refused for lack of
space, or fail, after which it is not known what the disk holds and the store takes nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.errors import OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IStore
from jindimail.store.keys import HARD
from jindimail.store.memory import MemoryRows
from jindimail.store.overlay import Ahead, Overlay
from jindimail.store.space import Level
from jindimail.store.writer import KEPT_SECONDS
from tests.simulation.clock import NodeClock

Job = Callable[[Any], Any]


class _Job:
    """A job, and later its result."""

    __slots__ = ("done", "job", "mayWait", "ran", "result")

    def __init__(self, job: Job, ran: Callable[[Any], object] | None, mayWait: bool) -> None:
        self.job = job
        self.ran = ran
        self.mayWait = mayWait
        self.done: Deferred[Any] = Deferred()
        self.result: Any = None


class WatchedRows(MemoryRows):
    """Rows that note which replicas' hard rows were written."""

    def __init__(self) -> None:
        super().__init__()
        self.hardKeys: set[bytes] = set()

    def put(self, table: str, key: bytes, value: bytes) -> None:
        if table == HARD:
            self.hardKeys.add(key)
        super().put(table, key, value)

    def delete(self, table: str, key: bytes) -> bool:
        if table == HARD:
            self.hardKeys.add(key)
        return super().delete(table, key)


class Disk:
    """What survives a crash, and the troubles that come from outside."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.rows = WatchedRows()
        self.syncSeconds = 0.002
        self.isStuck = False
        self.isFull = False
        self.mustFail = False
        self.commits = 0

    def latency(self) -> float:
        """How long the next sync takes."""
        return self.syncSeconds * (0.5 + self.chance.random()) + (
            0.02 if self.chance.random() < 0.01 else 0.0
        )


@implementer(IStore)
class DiskStore:
    """
    The store of one incarnation of a node.

    @param settle: called when a job has run, with whether it holds, and whether that is told before it is durable.
    @param wrote: called in the moment that a commit is durable, before anybody at the node knows; or, with False, has failed.
    @param boundary: called at places where a crash can come; it may end the clock.
    """

    def __init__(
        self,
        disk: Disk,
        clock: NodeClock,
        settle: Callable[[bool, bool], None] = lambda isGood, isTold: None,
        wrote: Callable[[bool], None] = lambda isGood: None,
        boundary: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.disk = disk
        self._clock = clock
        self._settle = settle
        self._wrote = wrote
        self._boundary = boundary
        self._waiting: list[_Job] = []
        self._bodies: list[_Job] = []
        self._ran: list[_Job] = []  # on `_rows`, and not committed
        self._rows = Overlay(disk.rows)
        self._ahead = Ahead()
        self._isAsked = self._isCommitting = self._isDue = False
        self._reason: Exception | None = None
        self._failed: list[Deferred[Exception]] = []
        self._freed: list[Callable[[], object]] = []
        self._closed: Deferred[None] | None = None
        self._began = 0.0

    @property
    def freeLevel(self) -> Level:
        """`IStore`."""
        return Level.ONLY_EXPUNGES if self.disk.isFull else Level.PLENTY

    @property
    def commitAgeSeconds(self) -> float:
        """How long the present commit has taken so far."""
        return self._clock.seconds() - self._began if self._isCommitting else 0.0

    def write(
        self, job: Job, bodyOctets: int = 0, ran: Callable[[Any], object] | None = None, mayWait: bool = False
    ) -> Deferred[Any]:
        """`IStore`."""
        if self._reason is not None or self._closed is not None:
            return fail(Unavailable("the store is closed"))
        written = _Job(job, ran, mayWait)
        (self._bodies if bodyOctets else self._waiting).append(written)
        self._ask()
        return written.done

    def begin(self) -> None:
        """`IStore`: the end of the turn comes anyway."""

    def whenFree(self, told: Callable[[], object]) -> bool:
        """`IStore`."""
        if self._isCommitting:
            self._freed.append(told)
        return self._isCommitting

    @contextmanager
    def read(self) -> Iterator[Any]:
        """`IStore`."""
        yield self._ahead.above(self.disk.rows)

    @contextmanager
    def readDurable(self) -> Iterator[MemoryRows]:
        """`IStore`."""
        yield self.disk.rows

    def failed(self) -> Deferred[Exception]:
        """`IStore`."""
        waiter: Deferred[Exception] = Deferred()
        if self._reason is not None:
            waiter.callback(self._reason)
        else:
            self._failed.append(waiter)
        return waiter

    def close(self) -> Deferred[None]:
        """`IStore`."""
        self._closed = Deferred()
        self._isDue = True
        self._ask()
        return self._closed

    # --- commits

    def _ask(self) -> None:
        if not self._isAsked and not self._isCommitting:
            self._isAsked = True
            self._clock.callLater(0, self._begin)

    def _begin(self) -> None:
        """Run what has come until now; what may wait is kept for company."""
        self._isAsked = False
        if self._isCommitting or self._reason is not None:
            return
        jobs, self._waiting = [*self._waiting, *self._bodies[:8]], []
        self._bodies = self._bodies[8:]
        for job in jobs:
            self._run(job)
        self._ran += jobs
        if self._ran and (self._isDue or not all(job.mayWait for job in self._ran)):
            self._isDue = self._closed is not None
            self._isCommitting = True
            self._began = self._clock.seconds()
            self._clock.callLater(self.disk.latency(), self._sync)
        elif self._ran and len(self._ran) == len(jobs):
            self._clock.callLater(KEPT_SECONDS, self._keptLong)
        elif not self._ran and self._closed is not None and not self._closed.called:
            self._closed.callback(None)
        for job in jobs:
            if job.ran is not None and not isinstance(job.result, Failure) and not self._clock.isOver:
                job.ran(job.result)

    def _keptLong(self) -> None:
        if self._ran and not self._isCommitting:
            self._isDue = True
            self._ask()

    def _run(self, job: _Job) -> None:
        try:
            if self.disk.isFull:
                raise StorageFull("the disk is full")
            job.result = job.job(self._rows)
            if job.ran is not None:
                self._rows.tell(self._ahead)
            self._rows.settle()
            self._settle(True, job.ran is not None)
        except Exception:
            job.result = Failure()
            job.mayWait = False
            self._rows.takeBack()
            self._settle(False, False)

    def _sync(self) -> None:
        """The disk decides."""
        disk = self.disk
        if disk.isStuck:
            self._clock.callLater(0.05, self._sync)
            return
        self._boundary("before commit")
        if self._clock.isOver:
            return
        if disk.mustFail:
            if disk.chance.random() < 0.5:
                self._put()  # it is there after all; nobody can know
            self._breakDown()
            return
        if disk.isFull:
            for job in self._ran:
                job.result = Failure(StorageFull("the disk is full"))
            self._wrote(False)
        else:
            disk.commits += 1
            self._put()
        self._boundary("after commit")
        self._clock.callLater(0.0001, self._answer)

    def _put(self) -> None:
        rows = self.disk.rows
        for table, puts, deletes in self._rows.changes():
            for key in deletes:
                rows.delete(table, key)
            for key, value in puts:
                rows.put(table, key, value)
        self._ahead = Ahead()
        self._wrote(True)

    def _answer(self) -> None:
        self._isCommitting = False
        jobs, self._ran = self._ran, []
        self._rows, self._ahead = Overlay(self.disk.rows), Ahead()
        if self._waiting or self._bodies or self._closed is not None:
            self._ask()
        for job in jobs:
            if self._clock.isOver:
                return
            job.done.callback(job.result)
        self._tellFreed()

    def _tellFreed(self) -> None:
        freed, self._freed = self._freed, []
        for told in freed:
            if not self._clock.isOver:
                told()

    def _breakDown(self) -> None:
        self._reason = OutcomeUnknown("the commit failed")
        jobs = self._ran + self._waiting + self._bodies
        self._ran, self._waiting, self._bodies = [], [], []
        for job in jobs:
            job.done.errback(self._reason)
        failed, self._failed = self._failed, []
        for waiter in failed:
            waiter.callback(self._reason)
        self._tellFreed()
