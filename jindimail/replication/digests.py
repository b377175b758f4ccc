"""
Digests of a group's records, and what is to be said when replicas have different ones. Pure but for the rows that it is given.

Replicas that applied the same entries hold the same rows (raft's state machine safety, and apply is deterministic), so of two at one index the
digests are equal, table by table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from jindimail.interfaces import IReadRows
from jindimail.replication.durable import hardRecord
from jindimail.replication.snapshots import stateRanges
from jindimail.store.keys import HARD, groupKey

DIGEST_OCTETS = 16


class TableDigest(msgspec.Struct, frozen=True, array_like=True):
    """A table's rows of one group: how many, and their digest."""

    rows: int
    digest: bytes


class GroupDigest(msgspec.Struct, frozen=True, array_like=True):
    """
    A replica's records by table, at its applied index.

    @ivar applied: 0: there is no complete replica.
    @ivar tables: empty if only the index was wanted, or the rows are of another one.
    """

    applied: int
    tables: dict[str, TableDigest] = {}


def digestOfGroup(rows: IReadRows, group: int, index: int) -> GroupDigest:
    """
    The digest of a group's records, if they are those of an applied index (0: of any).

    The index and the records are read from the same moment, since they are written in one transaction.
    """
    if rows.get(HARD, groupKey(group)) is None:
        return GroupDigest(0)
    record = hardRecord(rows, group)
    if not record.replicaId or record.installing:
        return GroupDigest(0)
    if index not in (0, record.applied):
        return GroupDigest(record.applied)
    tables = {table: _digest(rows, table, start, stop) for table, start, stop in stateRanges(group)}
    return GroupDigest(record.applied, tables)


def _digest(rows: IReadRows, table: str, start: bytes, stop: bytes) -> TableDigest:
    digest = blake2b(digest_size=DIGEST_OCTETS)
    count = 0
    for key, value in rows.scan(table, start, stop):
        digest.update(b"%d %d " % (len(key), len(value)) + key + value)
        count += 1
    return TableDigest(count, digest.digest())


@dataclass(frozen=True, slots=True)
class Difference:
    """A table in which replicas differ: the nodes, put together by what they have, the largest party first."""

    table: str
    parties: tuple[tuple[TableDigest, tuple[int, ...]], ...]


def differences(digests: Mapping[int, GroupDigest]) -> list[Difference]:
    """Where the digests of nodes, all at one index, differ."""
    found = []
    for table in sorted({table for digest in digests.values() for table in digest.tables}):
        parties: dict[TableDigest, list[int]] = {}
        for node, digest in sorted(digests.items()):
            parties.setdefault(digest.tables.get(table, TableDigest(0, b"")), []).append(node)
        if len(parties) > 1:
            ordered = sorted(parties.items(), key=lambda party: (-len(party[1]), party[1]))
            found.append(Difference(table, tuple((digest, tuple(nodes)) for digest, nodes in ordered)))
    return found
