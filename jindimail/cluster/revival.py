"""
What a store says that a backup has brought back: whether it was alone, and how its replicas begin anew (docs/adr/0039). Pure.

A replica of the past has forgotten votes that it gave and entries that it acknowledged. Nobody relied on them if it was the only member of its groups;
in an array others did, and what they count on must not come to life again beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from jindimail.cluster.arrayrecords import GONE, readNodes
from jindimail.errors import Corrupt
from jindimail.interfaces import IKeys, IReadRows
from jindimail.replication.configuration import Configuration, decodeConfiguration
from jindimail.replication.durable import HardRecord, encodeHard, hardRecords, unpackLogRow
from jindimail.replication.entries import CONFIGURATION
from jindimail.store.keys import ALONE_KEY, HARD, LOG, META, groupKey, logKey, unpackLogKey
from jindimail.store.overlay import Changes


def isAlone(rows: IReadRows) -> bool:
    """Whether this store was restored alone, and the array has not been founded anew from it yet."""
    return rows.get(META, ALONE_KEY) is not None


def othersOf(rows: IReadRows, node: int) -> tuple[str, ...]:
    """The names of all other nodes that the array has, or any of a node's groups; of one that is not known by name, the number."""
    nodes = dict(readNodes(rows))
    found = {number for number, record in nodes.items() if record.state != GONE}
    for group, record in hardRecords(rows):
        for configuration in _configurations(rows, group, record):
            found.update(member.node for member in configuration.members)
    return tuple(nodes[each].name if each in nodes else str(each) for each in sorted(found - {node}))


def _configurations(rows: IReadRows, group: int, record: HardRecord) -> Iterator[Configuration]:
    """A replica's members, as applied and as they stand in the log behind that."""
    yield record.configuration
    for key, value in rows.scan(LOG, logKey(group, record.applied + 1), logKey(group + 1, 0)):
        entry = unpackLogRow(unpackLogKey(key)[1], value)
        if entry.kind == CONFIGURATION:
            yield decodeConfiguration(entry.data)


def forgetApplied(rows: IKeys) -> Changes:
    """
    The changes by which every log begins behind what is applied. What a restore does to the rows stands in no log: a new replica must be
    made of these rows, as a snapshot, and never of the entries that led to them.

    @raise Corrupt: an entry is missing.
    """
    hard: list[tuple[bytes, bytes]] = []
    deletes: list[bytes] = []
    for group, record in hardRecords(rows):
        if record.applied <= record.baseIndex:
            continue
        last = rows.get(LOG, logKey(group, record.applied))
        if last is None:
            raise Corrupt("the log has a gap")
        term = unpackLogRow(record.applied, last).term
        based = replace(record, baseIndex=record.applied, baseTerm=term)
        hard.append((groupKey(group), encodeHard(based)))
        deletes += rows.keys(LOG, logKey(group, 0), logKey(group, record.applied + 1))
    return [(HARD, hard, []), (LOG, [], deletes)]
