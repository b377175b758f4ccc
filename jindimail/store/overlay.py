"""
The rows of the next transaction: what its jobs have changed, above what is committed.

Pure. Jobs run on an overlay on the reactor's thread; the writer thread then gets the finished changes and does nothing but
put and commit them (docs/adr/0005-store-writer.md says why). Taking a job back is forgetting its changes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from zope.interface import implementer

from jindimail.interfaces import IKeys, IRows
from jindimail.store.keys import KEY_OCTETS_MAX, TABLES


class IBase(Protocol):
    """The committed rows below an overlay."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """A value or None."""
        ...

    def has(self, table: str, key: bytes) -> bool:
        """Whether a key is there."""
        ...

    def scan(self, table: str, start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        """Rows in order."""
        ...

    def keys(self, table: str, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Keys in order."""
        ...


Changes = list[tuple[str, list[tuple[bytes, bytes]], list[bytes]]]  # table, puts, deletes: each ascending

_MISSING: Final = object()
_TABLES: Final = frozenset(TABLES)


class _Changed(dict[bytes, bytes | None]):
    """What one table's keys were changed to (None: deleted); `order` has the keys sorted once a scan wanted them."""

    table = ""
    order: list[bytes] | None = None

    def between(self, start: bytes, stop: bytes) -> list[bytes]:
        """The changed keys with start <= key < stop, ascending."""
        if not self:
            return []
        order = self.order
        if order is None:
            order = self.order = sorted(self)
        return order[bisect_left(order, start) : bisect_left(order, stop)]


@implementer(IKeys)
class Above:
    """Committed rows below changes that are not."""

    __slots__ = ("_base", "_baseGet", "_changed")

    def __init__(self, base: IBase, changed: dict[str, _Changed]) -> None:
        self._changed = changed
        self.rebase(base)

    def rebase(self, base: IBase) -> None:
        """The same committed rows, read anew."""
        self._base = base
        self._baseGet: Callable[[str, bytes], bytes | None] = base.get

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        changed = self._changed.get(table)
        if changed is not None and key in changed:
            return changed[key]
        return self._baseGet(table, key)

    def scan(
        self, table: str, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate `(key, value)` with start <= key < stop, ascending or descending."""
        below = self._base.scan(table, start, stop, reverse)
        changed = self._changed.get(table)
        above = changed.between(start, stop) if changed is not None else None
        if changed is None or not above:
            return below
        if reverse:
            above.reverse()
        return _merged(below, above, changed, reverse)

    def keys(self, table: str, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Iterate the keys alone with start <= key < stop, ascending."""
        below = self._base.keys(table, start, stop)
        changed = self._changed.get(table)
        above = changed.between(start, stop) if changed is not None else None
        if changed is None or not above:
            return below
        rows = _merged(((key, b"") for key in below), above, changed, reverse=False)
        return (key for key, _ in rows)


class Ahead:
    """
    What jobs of the next transaction have changed that readers may see before it is committed.

    @ivar transaction: the number that it has; 0: it has not been begun.
    """

    __slots__ = ("_changed", "transaction")

    def __init__(self) -> None:
        self._changed: dict[str, _Changed] = {}
        self.transaction = 0

    def __bool__(self) -> bool:
        return bool(self._changed)

    def isBelow(self, transaction: int) -> bool:
        """Whether the rows of this transaction have it all, and what jobs changed after it in the same rows."""
        return 0 < self.transaction <= transaction

    def above(self, base: IBase) -> Above:
        """The rows with these changes."""
        return Above(base, self._changed)

    def touched(self, table: str) -> dict[bytes, bytes | None]:
        """What is ahead of a table, for more to be put there."""
        mine = self._changed.get(table)
        if mine is None:
            mine = self._changed[table] = _Changed()
        mine.order = None
        return mine


@implementer(IRows)
class Overlay(Above):
    """Rows that see their own changes; `octets` counts what was put, to bound a transaction."""

    __slots__ = ("_undo", "octets")

    def __init__(self, base: IBase) -> None:
        super().__init__(base, {})
        self._undo: list[tuple[_Changed, bytes, object]] = []
        self.octets = 0

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Write a value, replacing any. What LMDB would refuse is refused here, not at the commit."""
        if type(value) is not bytes or type(key) is not bytes:
            key, value = _octets(key), _octets(value)
        if not 0 < len(key) <= KEY_OCTETS_MAX:
            raise ValueError("a key has 1 to 511 octets")
        changed = self._changed.get(table)
        if changed is None:
            changed = self._touch(table)
        old = changed.get(key, _MISSING)
        if old is _MISSING and changed.order is not None:
            insort(changed.order, key)
        self._undo.append((changed, key, old))
        changed[key] = value
        self.octets += len(value)

    def delete(self, table: str, key: bytes) -> bool:
        """Delete a key; whether it was there."""
        changed = self._changed.get(table)
        if changed is None:
            changed = self._touch(table)
        old = changed.get(key, _MISSING)
        isNew = old is _MISSING
        if not (self._base.has(table, key) if isNew else old is not None):
            return False
        if isNew and changed.order is not None:
            insort(changed.order, key)
        self._undo.append((changed, key, old))
        changed[key] = None
        return True

    def tell(self, ahead: Ahead) -> None:
        """Let readers see at once what has been changed since `settle`."""
        mine: dict[str, dict[bytes, bytes | None]] = {}
        for changed, key, _ in self._undo:
            told = mine.get(changed.table)
            if told is None:
                told = mine[changed.table] = ahead.touched(changed.table)
            told[key] = changed[key]

    def settle(self) -> None:
        """A job is done: its changes stay."""
        self._undo.clear()

    def isGrowth(self, octetsMax: int) -> bool:
        """Whether the job since `settle` put more than so many octets, and deleted nothing."""
        octets = 0
        for changed, key, _ in self._undo:
            value = changed[key]
            if value is None:
                return False
            octets += len(value)
        return octets > octetsMax

    def takeBack(self) -> None:
        """A job failed: forget all that it changed since `settle`."""
        for changed, key, old in reversed(self._undo):
            if old is _MISSING:
                del changed[key]
                changed.order = None
            else:
                changed[key] = old  # type: ignore[assignment]
        self._undo.clear()

    def changes(self) -> Changes:
        """All changes, for the writer; no table is named that has none."""
        return [_split(table, changed) for table, changed in self._changed.items() if changed]

    @property
    def rows(self) -> int:
        """How many rows are put or deleted."""
        return sum(map(len, self._changed.values()))

    def _touch(self, table: str) -> _Changed:
        if table not in _TABLES:
            raise KeyError(table)
        changed = self._changed[table] = _Changed()
        changed.table = table
        return changed


def _octets(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("keys and values are octets")
    return bytes(value)


def _split(table: str, changed: _Changed) -> tuple[str, list[tuple[bytes, bytes]], list[bytes]]:
    if len(changed) == 1:
        ((key, value),) = changed.items()
        return (table, [], [key]) if value is None else (table, [(key, value)], [])
    puts = [(key, value) for key, value in changed.items() if value is not None]
    puts.sort()
    deletes = (
        [] if len(puts) == len(changed) else sorted(key for key, value in changed.items() if value is None)
    )
    return table, puts, deletes


def _merged(
    below: Iterator[tuple[bytes, bytes]], above: list[bytes], changed: _Changed, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """The rows below with those above in their places; `above` are keys in the order of the scan."""
    waiting = iter(above)
    next_ = next(waiting, None)
    for key, value in below:
        while next_ is not None and (next_ > key if reverse else next_ < key):
            if (mine := changed[next_]) is not None:
                yield next_, mine
            next_ = next(waiting, None)
        if next_ == key:
            continue
        yield key, value
    while next_ is not None:
        if (mine := changed[next_]) is not None:
            yield next_, mine
        next_ = next(waiting, None)
