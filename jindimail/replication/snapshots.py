"""
Snapshots of a group's records: what belongs to them, and how they stand in a file.

Pure but for the rows and the file that it is given. A file is a run of blocks, each four octets of length and a MessagePack
array of (table, key, value). Bodies are not in it: they are copies, and a new replica has none (design §5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.model import ARRAY_GROUP
from jindimail.replication.durable import hardRecord, unpackLogRow
from jindimail.replication.entries import Snapshot
from jindimail.store.keys import (
    ADDRESS,
    ARRAY,
    BODYREF,
    CHANGE,
    DELIVERY,
    KEY_OCTETS_MAX,
    LOG,
    MAILBOX,
    MESSAGE,
    QUEUE,
    REQUEST,
    SUMMARY,
    USER,
    bucketKey,
    groupKey,
    logKey,
)

STATE_TABLES = (USER, ADDRESS, MAILBOX, MESSAGE, SUMMARY, BODYREF, CHANGE, DELIVERY, QUEUE)
BLOCK_OCTETS = 48 * 1024

Row = tuple[str, bytes, bytes]
Range = tuple[str, bytes, bytes]  # table, start, stop

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Row]).decode


def stateRanges(group: int) -> list[Range]:
    """Where the records of a group stand."""
    if group == ARRAY_GROUP:
        return [(ARRAY, b"\0", b"\xff" * KEY_OCTETS_MAX), (REQUEST, groupKey(group), groupKey(group + 1))]
    start, stop = bucketKey(group - 1), bucketKey(group)
    ranges = [(table, start, stop) for table in STATE_TABLES]
    return [*ranges, (REQUEST, groupKey(group), groupKey(group + 1))]


def stateRows(rows: IReadRows, group: int) -> Iterator[Row]:
    """All records of a group."""
    for table, start, stop in stateRanges(group):
        for key, value in rows.scan(table, start, stop):
            yield table, key, value


def snapshotOf(rows: IReadRows, group: int) -> Snapshot:
    """
    What the rows of a group, as these rows are, stand for.

    @raise Corrupt: the log does not hold the applied entry.
    """
    record = hardRecord(rows, group)
    term = record.baseTerm
    if record.applied != record.baseIndex:
        row = rows.get(LOG, logKey(group, record.applied))
        if row is None:
            raise Corrupt("the applied entry is not in the log")
        term = unpackLogRow(record.applied, row).term
    return Snapshot(record.applied, term, record.configurationIndex, record.configuration)


def writeSnapshot(rows: IReadRows, group: int, file: BinaryIO) -> Snapshot:
    """
    Write a group's records to a file, and say what they stand for: all as of one moment, that of `rows`.

    @raise Corrupt: the rows are not those of a complete replica.
    """
    snapshot = snapshotOf(rows, group)
    block: list[Row] = []
    octets = 0
    for row in stateRows(rows, group):
        block.append(row)
        octets += len(row[1]) + len(row[2])
        if octets >= BLOCK_OCTETS:
            _writeBlock(file, block)
            block, octets = [], 0
    if block:
        _writeBlock(file, block)
    file.seek(0)
    return snapshot


def _writeBlock(file: BinaryIO, block: Iterable[Row]) -> None:
    octets = _encode(block)
    file.write(len(octets).to_bytes(4, "big"))
    file.write(octets)


def readBlock(file: BinaryIO) -> list[Row]:
    """
    The next block; empty at the end.

    @raise Corrupt: the file is cut short, or is no snapshot.
    """
    head = file.read(4)
    if not head:
        return []
    size = int.from_bytes(head, "big")
    octets = file.read(size)
    if len(head) < 4 or len(octets) < size:
        raise Corrupt("a snapshot is cut short")
    try:
        return _decode(octets)
    except msgspec.MsgspecError as problem:
        raise Corrupt("a snapshot's block does not decode") from problem
