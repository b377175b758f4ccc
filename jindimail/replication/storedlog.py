"""Reads a group's durable entries back from the store, for followers that are behind what stands in memory."""

from __future__ import annotations

from jindimail.errors import Corrupt
from jindimail.interfaces import IStore
from jindimail.replication.durable import unpackLogRow
from jindimail.replication.entries import Entry
from jindimail.store.keys import LOG, logKey, unpackLogKey


class StoredLog:
    """`IEntries` of one group over a store."""

    __slots__ = ("_group", "_store")

    def __init__(self, store: IStore, group: int) -> None:
        self._store = store
        self._group = group

    def read(self, low: int, high: int, octetsMax: int) -> list[Entry]:
        """
        Entries low <= index < high in order: at least one, then as many as `octetsMax` allows.

        @raise Corrupt: some are missing.
        """
        entries: list[Entry] = []
        octets = 0
        with self._store.read() as rows:
            for key, value in rows.scan(LOG, logKey(self._group, low), logKey(self._group, high)):
                octets += len(value)
                if entries and octets > octetsMax:
                    break
                entries.append(unpackLogRow(unpackLogKey(key)[1], value))
        if [entry.index for entry in entries] != list(range(low, low + len(entries))) or not entries:
            raise Corrupt("the log has a gap")
        return entries
