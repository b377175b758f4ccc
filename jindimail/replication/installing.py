"""
Erasing a replica's records, and putting a snapshot's in their place: in bounded steps, each a transaction.

A crash between any two steps leaves `installing` in the hard row, so that the replica is not loaded: it is erased and made blank
first (`recover`). Only the last step sets the applied index (design §5).
"""

from __future__ import annotations

from typing import Any, BinaryIO

import msgspec
from twisted.internet.defer import Deferred

from jindimail.interfaces import IRows, IStore
from jindimail.replication.configuration import Configuration
from jindimail.replication.durable import HardRecord, encodeHard
from jindimail.replication.entries import Snapshot
from jindimail.replication.snapshots import Row, readBlock, stateRanges
from jindimail.store.keys import HARD, LOG, groupKey, logKey

STEP_ROWS = 500
STEP_OCTETS = 512 * 1024


def _eraseSome(rows: IRows, group: int) -> bool:
    """Delete some of a group's log rows and records; whether there were any."""
    doomed: list[tuple[str, bytes]] = []
    for table, start, stop in [(LOG, logKey(group, 0), logKey(group + 1, 0)), *stateRanges(group)]:
        for key, _ in rows.scan(table, start, stop):
            doomed.append((table, key))
            if len(doomed) == STEP_ROWS:
                break
        if len(doomed) == STEP_ROWS:
            break
    for table, key in doomed:
        rows.delete(table, key)
    return bool(doomed)


def _putHard(group: int, record: HardRecord) -> Any:
    row = encodeHard(record)

    def job(rows: IRows) -> bytes:
        rows.put(HARD, groupKey(group), row)
        return row

    return job


def _putRows(some: list[Row]) -> Any:
    def job(rows: IRows) -> None:
        for table, key, value in some:
            rows.put(table, key, value)

    return job


async def erase(store: IStore, group: int) -> None:
    """Delete all log rows and records of a group, step by step."""
    while await store.write(lambda rows: _eraseSome(rows, group)):
        pass


async def recover(store: IStore, group: int, record: HardRecord) -> None:
    """
    Finish what a crash, or the removal of a replica, left half done: the rows go, and the replica is blank, or a tombstone.

    The term and the vote stay: a blank replica is as good as one that has not heard of anything yet.
    """
    await erase(store, group)
    blank = msgspec.structs.replace(
        record,
        applied=0,
        baseIndex=0,
        baseTerm=0,
        lastIndex=0,
        configurationIndex=0,
        configuration=Configuration(),
        installing=False,
    )
    await store.write(_putHard(group, blank))


async def install(store: IStore, group: int, record: HardRecord, snapshot: Snapshot, file: BinaryIO) -> bytes:
    """
    Put a snapshot in the place of a replica's log and records; the new hard row.

    @param record: the replica's hard record as it is.
    @raise Corrupt: the file is damaged; the replica is not complete then.
    """
    await store.write(_putHard(group, msgspec.structs.replace(record, installing=True)))
    await erase(store, group)
    while True:
        some = _nextRows(file)
        if not some:
            break
        await store.write(_putRows(some))
    complete = msgspec.structs.replace(
        record,
        applied=snapshot.index,
        baseIndex=snapshot.index,
        baseTerm=snapshot.term,
        lastIndex=snapshot.index,
        configurationIndex=snapshot.configurationIndex,
        configuration=snapshot.configuration,
        installing=False,
    )
    row: bytes = await store.write(_putHard(group, complete))
    return row


def _nextRows(file: BinaryIO) -> list[Row]:
    some: list[Row] = []
    octets = 0
    while octets < STEP_OCTETS:
        block = readBlock(file)
        if not block:
            break
        some.extend(block)
        octets += sum(len(value) for _, _, value in block)
    return some


def started(work: Any) -> Deferred[Any]:
    """A coroutine of this module, begun."""
    return Deferred.fromCoroutine(work)
