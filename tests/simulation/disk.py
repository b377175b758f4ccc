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
from jindimail.store.space import Level
from tests.simulation.clock import NodeClock

Job = Callable[[MemoryRows], Any]


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

    @param wrote: called for each job of a commit in the moment that it is durable, before anybody at the node knows; or
        has been undone.
    @param boundary: called at places where a crash can come; it may end the clock.
    """

    def __init__(
        self,
        disk: Disk,
        clock: NodeClock,
        wrote: Callable[[bool], None] = lambda isGood: None,
        boundary: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.disk = disk
        self._clock = clock
        self._wrote = wrote
        self._boundary = boundary
        self._waiting: list[tuple[Job, Deferred[Any]]] = []
        self._bodies: list[tuple[Job, Deferred[Any]]] = []
        self._isCommitting = False
        self._reason: Exception | None = None
        self._failed: list[Deferred[Exception]] = []
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

    def write(self, job: Job, bodyOctets: int = 0) -> Deferred[Any]:
        """`IStore`."""
        if self._reason is not None or self._closed is not None:
            return fail(Unavailable("the store is closed"))
        done: Deferred[Any] = Deferred()
        (self._bodies if bodyOctets else self._waiting).append((job, done))
        if not self._isCommitting:
            self._begin()
        return done

    def begin(self) -> None:
        """`IStore`: it has begun, if it can."""

    @contextmanager
    def read(self) -> Iterator[MemoryRows]:
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
        if not self._isCommitting:
            self._closed.callback(None)
        return self._closed

    # --- commits

    def _begin(self) -> None:
        self._isCommitting = True
        self._began = self._clock.seconds()
        self._clock.callLater(self.disk.latency(), self._sync)

    def _sync(self) -> None:
        """The group takes in what has come until now; then the disk decides."""
        disk = self.disk
        if disk.isStuck:
            self._clock.callLater(0.05, self._sync)
            return
        self._boundary("before commit")
        if self._clock.isOver:
            return
        jobs, self._waiting = self._waiting, []
        if self._bodies:
            jobs = jobs + self._bodies[:8]
            self._bodies = self._bodies[8:]
        if disk.mustFail:
            if disk.chance.random() < 0.5:
                self._run(jobs)  # it is there after all; nobody can know
            self._breakDown(jobs)
            return
        disk.commits += 1
        results = self._run(jobs)
        self._boundary("after commit")
        self._clock.callLater(0.0001, self._answer, jobs, results)

    def _run(self, jobs: list[tuple[Job, Deferred[Any]]]) -> list[Any]:
        results: list[Any] = []
        for job, _ in jobs:
            if self.disk.isFull:
                results.append(Failure(StorageFull("the disk is full")))
                continue
            try:
                with self.disk.rows.transaction():
                    results.append(job(self.disk.rows))
                self._wrote(True)
            except Exception:
                self._wrote(False)
                results.append(Failure())
        return results

    def _answer(self, jobs: list[tuple[Job, Deferred[Any]]], results: list[Any]) -> None:
        self._isCommitting = False
        if self._waiting or self._bodies:
            self._begin()
        elif self._closed is not None and not self._closed.called:
            self._closed.callback(None)
        for (_, done), result in zip(jobs, results, strict=True):
            if self._clock.isOver:
                return
            done.callback(result)

    def _breakDown(self, jobs: list[tuple[Job, Deferred[Any]]]) -> None:
        self._reason = OutcomeUnknown("the commit failed")
        jobs, self._waiting, self._bodies = jobs + self._waiting + self._bodies, [], []
        for _, done in jobs:
            done.errback(self._reason)
        failed, self._failed = self._failed, []
        for waiter in failed:
            waiter.callback(self._reason)
