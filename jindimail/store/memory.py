"""
Rows and a store in memory, for tests and simulations: the same contract as the real ones, stricter where it can be.

`MemoryRows` is pure. `MemoryStore` commits groups as the real writer does, but at once or on the turn of a given clock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.errors import Unavailable
from jindimail.interfaces import IRows, IStore
from jindimail.store.keys import KEY_OCTETS_MAX, TABLES
from jindimail.store.space import Level

T = TypeVar("T")
Ran = Callable[[Any], object]

_BAD_KEY = "a key has 1 to 511 octets"


class _Table:
    """One table: its values, its keys in order, and how often it was changed."""

    __slots__ = ("changes", "keys", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.changes = 0

    def set(self, key: bytes, value: bytes | None) -> bytes | None:
        """Set or (None) drop a value; the old one."""
        old = self.values.get(key)
        if value is not None:
            self.values[key] = value
            if old is None:
                insort(self.keys, key)
        elif old is not None:
            del self.values[key]
            del self.keys[bisect_left(self.keys, key)]
        self.changes += 1
        return old


@implementer(IRows)
class MemoryRows:
    """Ordered rows in memory. What is changed while it is being scanned raises, so that tests notice."""

    def __init__(self) -> None:
        self._tables = {name: _Table() for name in TABLES}
        self._undo: list[tuple[_Table, bytes, bytes | None]] | None = None

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        if not key:  # LMDB says so, too; under one that is too long there is nothing
            raise ValueError(_BAD_KEY)
        return self._tables[table].values.get(key)

    def has(self, table: str, key: bytes) -> bool:
        """Whether a key is there."""
        return key in self._tables[table].values

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Write a value, replacing any."""
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError("a value is octets")
        if not 0 < len(key) <= KEY_OCTETS_MAX:
            raise ValueError(_BAD_KEY)
        self._change(self._tables[table], key, bytes(value))

    def delete(self, table: str, key: bytes) -> bool:
        """Delete a key; whether it was there."""
        if not key:
            raise ValueError(_BAD_KEY)
        return self._change(self._tables[table], key, None) is not None

    def scan(
        self, table: str, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate `(key, value)` with start <= key < stop, ascending or descending."""
        rows = self._tables[table]
        changes, keys, values = rows.changes, rows.keys, rows.values
        indexes = range(bisect_left(keys, start), bisect_left(keys, stop))
        for index in reversed(indexes) if reverse else indexes:
            yield keys[index], values[keys[index]]
            if rows.changes != changes:
                raise RuntimeError(f"table {table!r} was changed while it was being scanned")

    def keys(self, table: str, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Iterate the keys alone with start <= key < stop, ascending."""
        return (key for key, _ in self.scan(table, start, stop))

    @contextmanager
    def transaction(self) -> Iterator[MemoryRows]:
        """Undo all that was changed inside if it raises."""
        undo: list[tuple[_Table, bytes, bytes | None]] = []
        self._undo = undo
        try:
            yield self
        except BaseException:
            self._undo = None
            for table, key, old in reversed(undo):
                table.set(key, old)
            raise
        finally:
            self._undo = None

    def snapshot(self) -> dict[str, dict[bytes, bytes]]:
        """A copy of all rows, for comparisons."""
        return {name: dict(table.values) for name, table in self._tables.items()}

    def _change(self, table: _Table, key: bytes, value: bytes | None) -> bytes | None:
        old = table.set(key, value)
        if self._undo is not None:
            self._undo.append((table, key, old))
        return old


class ICallLater(Protocol):
    """The part of IReactorTime that is needed here."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> object:
        """Call later."""
        ...


@implementer(IStore)
class MemoryStore:
    """
    A store in memory. Without a clock each write is done when `write` returns; with one, all writes that
    wait are committed together on the clock's next turn.
    """

    def __init__(self, clock: ICallLater | None = None, rows: MemoryRows | None = None) -> None:
        self.rows = MemoryRows() if rows is None else rows
        self.freeLevel = Level.PLENTY
        self.commits = 0
        self._clock = clock
        self._waiting: list[tuple[Callable[[MemoryRows], Any], Ran | None, Deferred[Any]]] = []
        self._failed: list[Deferred[Exception]] = []
        self._reason: Exception | None = None
        self._closed = False

    def write(
        self,
        job: Callable[[MemoryRows], T],
        bodyOctets: int = 0,
        ran: Ran | None = None,
        mayWait: bool = False,
    ) -> Deferred[T]:
        """Run a job, all or nothing; a Deferred of its result."""
        if self._closed or self._reason is not None:
            return fail(Unavailable("the store is closed"))
        done: Deferred[T] = Deferred()
        self._waiting.append((job, ran, done))
        if self._clock is None:
            self._commit()
        elif len(self._waiting) == 1:
            self._clock.callLater(0, self._commit)
        return done

    def begin(self) -> None:
        """See `IStore`: the clock's turn comes anyway."""

    def whenFree(self, told: Callable[[], object]) -> bool:
        """See `IStore`: a commit takes no time here."""
        return False

    @contextmanager
    def read(self) -> Iterator[MemoryRows]:
        """The committed rows."""
        if self._closed:
            raise Unavailable("the store is closed")
        yield self.rows

    readDurable = read

    def failed(self) -> Deferred[Exception]:
        """Fires once with the reason (an exception, as its result), after `breakDown`."""
        if self._reason is not None:
            return succeed(self._reason)
        waiter: Deferred[Exception] = Deferred()
        self._failed.append(waiter)
        return waiter

    def breakDown(self, error: Exception) -> None:
        """Act as after a failed commit: everything waiting fails with `error`, everything later is refused."""
        self._reason = error
        waiting, self._waiting = self._waiting, []
        for *_, done in waiting:
            done.errback(error)
        failed, self._failed = self._failed, []
        for waiter in failed:
            waiter.callback(self._reason)

    def close(self) -> Deferred[None]:
        """Commit what waits; nothing is taken any more."""
        self._closed = True
        self._commit()
        return succeed(None)

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        results = [(ran, done, self._run(job)) for job, ran, done in waiting]
        self.commits += bool(results)
        for ran, _, result in results:
            if ran is not None and not isinstance(result, Failure):
                ran(result)
        for _, done, result in results:
            done.callback(result)

    def _run(self, job: Callable[[MemoryRows], Any]) -> Any:
        try:
            with self.rows.transaction():
                return job(self.rows)
        except Exception:
            return Failure()
