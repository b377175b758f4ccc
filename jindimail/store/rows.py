"""Rows as they stand committed in LMDB, read under one short read transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import lmdb
from zope.interface import implementer

from jindimail.interfaces import IKeys

Tables = Mapping[str, "lmdb._Database"]


@implementer(IKeys)
class CommittedRows:
    """The rows as of one moment."""

    __slots__ = ("_get", "_tables", "_transaction")

    def __init__(self, transaction: lmdb.Transaction[bytes], tables: Tables) -> None:
        self._transaction = transaction
        self._tables = tables
        self._get = transaction.get

    def forget(self) -> None:
        """The moment is over. Who still refers to these rows, a traceback say, no longer holds one of LMDB's few readers."""
        del self._get, self._transaction

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._get(key, None, self._tables[table])

    def has(self, table: str, key: bytes) -> bool:
        """Whether a key is there; its value is not copied."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            return cursor.set_key(key)

    def scan(
        self, table: str, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate `(key, value)` with start <= key < stop, ascending or descending."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            if reverse:
                yield from _descend(cursor, start, stop)
            elif cursor.set_range(start) if start else cursor.first():
                for key, value in cursor.iternext():
                    if key >= stop:
                        return
                    yield key, value

    def entries(self, table: str) -> int:
        """How many rows a table has."""
        return self._transaction.stat(self._tables[table])["entries"]

    def keys(self, table: str, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Iterate the keys alone with start <= key < stop: no value is copied."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            if cursor.set_range(start) if start else cursor.first():
                for key in cursor.iternext(keys=True, values=False):
                    if key >= stop:
                        return
                    yield key


def _descend(cursor: lmdb.Cursor[bytes], start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not (cursor.prev() if cursor.set_range(stop) else cursor.last()):
        return
    for key, value in cursor.iterprev():
        if key < start:
            return
        yield key, value
