"""
How a replica stands in the store: its hard row, its log rows; and how it is founded and loaded.

Pure. A hard row is rewritten with every transaction that applies entries of its group, so that the applied index and the
applied rows are never apart (design §5).
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct as Layout

import msgspec

from jindimail.errors import Corrupt, Refusal
from jindimail.interfaces import IReadRows, IRows
from jindimail.replication.configuration import Configuration, decodeConfiguration, foundingConfiguration
from jindimail.replication.entries import CONFIGURATION, Entry
from jindimail.replication.history import ConfigurationHistory
from jindimail.replication.log import IEntries, Log
from jindimail.replication.outputs import HardState
from jindimail.store.keys import HARD, LOG, groupKey, logKey, unpackLogKey
from jindimail.store.records import Record, decode, encode


class HardRecord(Record, frozen=True):
    """What a replica keeps beside its log: `hard` (group)."""

    replicaId: int  # 0: there is no replica here (any more), only the tombstone
    term: int
    vote: int
    applied: int
    baseIndex: int  # the log rows begin behind this
    baseTerm: int
    configurationIndex: int
    configuration: Configuration  # as of the applied index
    tombstone: int = 0  # replica ids up to this were removed from this node for ever
    installing: bool = False  # a snapshot is half written: neither serve nor campaign
    lastIndex: int = 0  # of the log when this was written


_LOG_ROW = Layout(">BBQ")
_LOG_FORMAT = 1


def packLogRow(entry: Entry) -> bytes:
    """A log row's value; the group and index stand in its key."""
    return _LOG_ROW.pack(_LOG_FORMAT, entry.kind, entry.term) + entry.data


def unpackLogRow(index: int, octets: bytes) -> Entry:
    """
    A stored log row.

    @raise Corrupt: it is too short, or of an unknown format.
    """
    if len(octets) < _LOG_ROW.size or octets[0] != _LOG_FORMAT:
        raise Corrupt("log row of unknown format")
    _, kind, term = _LOG_ROW.unpack_from(octets)
    return Entry(index, term, kind, octets[_LOG_ROW.size :])


def encodeHard(record: HardRecord) -> bytes:
    """A hard row's value."""
    return encode(record)


class Loaded(msgspec.Struct, frozen=True):
    """A replica as the store has it."""

    group: int
    record: HardRecord
    row: bytes | None  # as it is stored; None: not yet
    hard: HardState
    log: Log
    history: ConfigurationHistory


def foundGroups(rows: IRows, groups: Iterable[int], node: int) -> None:
    """
    Make the first replica, the sole voter, of each of these groups at a node.

    @raise Refusal: one is there already.
    """
    for group in groups:
        if rows.get(HARD, groupKey(group)) is not None:
            raise Refusal("the group is founded already")
        record = HardRecord(
            replicaId=1,
            term=0,
            vote=0,
            applied=0,
            baseIndex=0,
            baseTerm=0,
            configurationIndex=0,
            configuration=foundingConfiguration(node),
        )
        rows.put(HARD, groupKey(group), encodeHard(record))


def hardRecords(rows: IReadRows) -> Iterable[tuple[int, HardRecord]]:
    """All (group, hard record) of this node, by group."""
    for key, value in rows.scan(HARD, b"\0", b"\xff\xff\xff"):
        yield int.from_bytes(key, "big"), decode(value, HardRecord)


def blankReplica(group: int, replicaId: int, row: bytes | None, reader: IEntries) -> Loaded:
    """A learner's new replica, in a group of which this node has at most a tombstone (its hard row)."""
    tombstone = decode(row, HardRecord).tombstone if row is not None else 0
    record = HardRecord(
        replicaId=replicaId,
        term=0,
        vote=0,
        applied=0,
        baseIndex=0,
        baseTerm=0,
        configurationIndex=0,
        configuration=Configuration(),
        tombstone=tombstone,
    )
    return Loaded(
        group, record, row, HardState(), Log(reader=reader), ConfigurationHistory(0, Configuration())
    )


def buriedRecord(replicaId: int, *, erasing: bool) -> HardRecord:
    """What is left of a removed replica; `erasing`: its rows are not all deleted yet."""
    return HardRecord(
        replicaId=0,
        term=0,
        vote=0,
        applied=0,
        baseIndex=0,
        baseTerm=0,
        configurationIndex=0,
        configuration=Configuration(),
        tombstone=replicaId,
        installing=erasing,
    )


def hardRecord(rows: IReadRows, group: int) -> HardRecord:
    """
    The hard record of a group that has one.

    @raise Corrupt: it has none.
    """
    value = rows.get(HARD, groupKey(group))
    if value is None:
        raise Corrupt("the hard row is gone")
    return decode(value, HardRecord)


def loadReplica(rows: IReadRows, group: int, record: HardRecord, reader: IEntries | None) -> Loaded:
    """
    A replica from its hard row and log rows.

    @raise Corrupt: its log has a gap, or ends before what is applied.
    """
    places: list[tuple[int, int]] = []
    tail: list[Entry] = []
    history = ConfigurationHistory(record.configurationIndex, record.configuration)
    expected = record.baseIndex + 1
    for key, value in rows.scan(LOG, logKey(group, expected), logKey(group + 1, 0)):
        entry = unpackLogRow(unpackLogKey(key)[1], value)
        if entry.index != expected:
            raise Corrupt("the log has a gap")
        expected += 1
        places.append((entry.index, entry.term))
        if entry.index > record.applied:
            tail.append(entry)
            if entry.kind == CONFIGURATION:
                history.add(entry.index, decodeConfiguration(entry.data))
    if expected <= max(record.applied, record.lastIndex):
        raise Corrupt("the log has lost its end")
    log = Log(
        baseIndex=record.baseIndex,
        baseTerm=record.baseTerm,
        commit=record.applied,
        places=places,
        tail=tail,
        reader=reader,
    )
    row = rows.get(HARD, groupKey(group))
    return Loaded(group, record, row, HardState(record.term, record.vote), log, history)
