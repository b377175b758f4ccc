"""
Founding a group anew, by force, from one replica that is left: when a majority of its voters is lost for good (design §10).

Pure. The replica gets a new id, far above all that were ever given, and is the only member; all others' ids are tombstones by that. Its log stays, so that
whatever it had is committed now, acknowledged or not; changes of members that stand in it and are not applied yet are made void.
"""

from __future__ import annotations

import msgspec

from jindimail.errors import Refusal
from jindimail.interfaces import IRows
from jindimail.replication.configuration import Configuration, Member, decodeConfiguration
from jindimail.replication.durable import encodeHard, hardRecord, packLogRow, unpackLogRow
from jindimail.replication.entries import CONFIGURATION, EMPTY, Entry
from jindimail.store.keys import HARD, LOG, groupKey, logKey, unpackLogKey

LEAP = 1_000  # ids that the lost ones may have given meanwhile


def refound(rows: IRows, group: int, node: int, replicaId: int, term: int) -> None:
    """
    Make the replica with this id, at this node, the only member of its group.

    @param term: at least the highest of any replica that is left.
    @raise Refusal: it is not here (any more), or not complete.
    """
    record = hardRecord(rows, group)
    if record.replicaId != replicaId or record.installing:
        raise Refusal("not the replica that was looked at")
    nextId = record.configuration.nextId
    start, stop = logKey(group, record.applied + 1), logKey(group + 1, 0)
    for key, value in list(rows.scan(LOG, start, stop)):
        entry = unpackLogRow(unpackLogKey(key)[1], value)
        if entry.kind == CONFIGURATION:
            nextId = max(nextId, decodeConfiguration(entry.data).nextId)
            rows.put(LOG, key, packLogRow(Entry(entry.index, entry.term, EMPTY, b"")))
    newId = nextId + LEAP
    founded = msgspec.structs.replace(
        record,
        replicaId=newId,
        term=max(record.term, term),
        vote=0,
        configuration=Configuration((Member(newId, node, voter=True),), newId + 1),
        tombstone=max(record.tombstone, replicaId),
    )
    rows.put(HARD, groupKey(group), encodeHard(founded))
