"""
`jindictl check`: walk all records of a store, and read all bodies.

Each bucket's records are read under one read transaction, its bodies 64 MiB at a time, so that a check of a live store
keeps no pages from reuse for long. Meant for a thread; yields what it finds while it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice

import lmdb

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.model import BUCKET_COUNT
from jindimail.store.checkaccounts import checkAccounts
from jindimail.store.checkbodies import checkBodies
from jindimail.store.checkbucket import BucketCheck
from jindimail.store.checkdeliveries import HardPlaces, checkDeliveries
from jindimail.store.environment import NODE_KEY
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import (
    ADDRESS,
    ARRAY,
    BODY,
    BODYREF,
    CHANGE,
    CLUSTER_TAGS,
    DELIVERY,
    DOMAIN_TAG,
    HARD,
    LOG,
    MAILBOX,
    MESSAGE,
    META,
    QUEUE,
    SETTING_TAG,
    SUMMARY,
    USER,
    bucketKey,
    groupKey,
    logKey,
    unpackLogKey,
)
from jindimail.store.records import DomainRecord, MetaRecord, Record, decode

FINDINGS_PER_STEP_MAX = 10_000
_LOG_ROW_OCTETS_MIN = 10  # format, kind, term in eight octets (replication/durable.py)
_BUCKET_TABLES = (
    BODY,
    BODYREF,
    USER,
    ADDRESS,
    MAILBOX,
    MESSAGE,
    SUMMARY,
    CHANGE,
    DELIVERY,
    QUEUE,
)
_LAST = b"\xff" * 16

Snapshot = Callable[[], AbstractContextManager[IReadRows]]
Progress = Callable[[int, int, str], None]  # steps done, steps in all, what is next


def check(snapshot: Snapshot, progress: Progress | None = None) -> Iterator[Finding]:
    """
    Everything that is wrong with a store; nothing, if it is sound.

    `snapshot` is `Environment.snapshot`. What is written meanwhile does not disturb.
    """
    report = progress or _silent
    total = 2 + 2 * BUCKET_COUNT
    report(0, total, "the array")
    node = _nodeOf(snapshot)
    yield from _step(snapshot, checkArray)
    report(1, total, "logs")
    yield from _step(snapshot, checkLogs)
    yield from _step(snapshot, checkStrays)
    for bucket in range(BUCKET_COUNT):
        report(2 + 2 * bucket, total, f"bucket {bucket}: records")
        yield from _step(snapshot, lambda rows, bucket=bucket: BucketCheck(rows, bucket).run())  # type: ignore[misc]
        yield from _step(snapshot, lambda rows, bucket=bucket: checkAccounts(rows, bucket))  # type: ignore[misc]
        yield from _step(snapshot, lambda rows, bucket=bucket: checkDeliveries(rows, bucket))  # type: ignore[misc]
        report(3 + 2 * bucket, total, f"bucket {bucket}: bodies")
        yield from _checkBodiesOf(snapshot, bucket, node)
    report(total, total, "done")


def _step(snapshot: Snapshot, look: Callable[[IReadRows], Iterable[Finding]]) -> list[Finding]:
    """What is found under one read transaction."""
    found: list[Finding] = []
    try:
        with snapshot() as rows:
            found.extend(islice(look(rows), FINDINGS_PER_STEP_MAX))
    except lmdb.Error as problem:
        found.append(Finding(Kind.UNREADABLE, "", b"", "the store's file", str(problem)))
    return found


def _checkBodiesOf(snapshot: Snapshot, bucket: int, node: int) -> Iterator[Finding]:
    afterId: bytes | None = b""

    def look(rows: IReadRows) -> list[Finding]:
        nonlocal afterId
        start, afterId = afterId or b"", None
        findings, afterId = checkBodies(rows, bucket, node, afterId=start)
        return findings

    while afterId is not None:
        yield from _step(snapshot, look)


def _nodeOf(snapshot: Snapshot) -> int:
    try:
        with snapshot() as rows:
            return decode(rows.get(META, NODE_KEY) or b"", MetaRecord).node
    except (Corrupt, lmdb.Error):
        return 0


def checkArray(rows: IReadRows) -> Iterator[Finding]:
    """The records of the array's own group, and of the node."""
    try:
        decode(rows.get(META, NODE_KEY) or b"", MetaRecord)
    except Corrupt as problem:
        yield Finding(Kind.UNDECODABLE, META, NODE_KEY, "the node", str(problem))
    for key, value in rows.scan(ARRAY, b"\x00", _LAST):
        where = repr(key)[2:-1]
        try:
            if key[:1] == DOMAIN_TAG:
                decode(value, DomainRecord)
            elif key[:1] == SETTING_TAG:
                value.decode()
            elif key[:1] in CLUSTER_TAGS:
                decode(value, Record)
            else:
                raise Corrupt("a row of unknown form")
        except (Corrupt, UnicodeDecodeError) as problem:
            yield Finding(Kind.UNDECODABLE, ARRAY, key, f"the array's {where}", str(problem))


def checkStrays(rows: IReadRows) -> Iterator[Finding]:
    """Rows of buckets that there are not."""
    for table in _BUCKET_TABLES:
        for key, _ in rows.scan(table, bucketKey(BUCKET_COUNT), _LAST):
            bucket = int.from_bytes(key[:2], "big")
            yield Finding(Kind.ROW_STRAY, table, key, f"bucket {bucket}", f"a row of table {table}")


def checkLogs(rows: IReadRows) -> Iterator[Finding]:
    """The replicas of this node and their logs."""
    replicas: dict[int, HardPlaces] = {}
    broken: set[int] = set()
    for key, value in rows.scan(HARD, b"\x00", _LAST):
        group = int.from_bytes(key, "big")
        try:
            replicas[group] = decode(value, HardPlaces)
        except Corrupt as problem:
            broken.add(group)
            yield Finding(Kind.UNDECODABLE, HARD, key, f"group {group}", str(problem))
    whole = {group: replica for group, replica in replicas.items() if not replica.installing}
    for group in sorted(whole):
        yield from _checkLog(rows, group, whole[group])
    half = replicas.keys() - whole.keys()  # will be erased before anything else
    for group in _groupsWithLogs(rows):
        if group not in broken | half and (group not in whole or not whole[group].replicaId):
            text = "log rows of a group that has no replica here"
            yield Finding(Kind.LOG_STRAY, LOG, logKey(group, 0), f"group {group}", text)


def _checkLog(rows: IReadRows, group: int, replica: HardPlaces) -> Iterator[Finding]:
    where = f"group {group}"
    expected, lastTerm = replica.baseIndex + 1, replica.baseTerm
    for key, value in rows.scan(LOG, logKey(group, 0), logKey(group, (1 << 64) - 1)):
        index = unpackLogKey(key)[1]
        if index <= replica.baseIndex:
            text = f"index {index}; the log begins behind {replica.baseIndex}"
            yield Finding(Kind.LOG_STRAY, LOG, key, where, text)
            continue
        if index != expected:
            text = f"no entries from {expected} to {index - 1}"
            yield Finding(Kind.LOG_GAP, LOG, logKey(group, expected), where, text)
        if len(value) < _LOG_ROW_OCTETS_MIN or value[0] != 1:
            yield Finding(Kind.UNDECODABLE, LOG, key, where, f"entry {index} is of unknown format")
        else:
            term = int.from_bytes(value[2:10], "big")
            if not lastTerm <= term <= replica.term:
                text = f"entry {index} is of term {term}, after {lastTerm}; the replica's is {replica.term}"
                yield Finding(Kind.LOG_BROKEN, LOG, key, where, text)
            lastTerm = term
        expected = index + 1
    needed = max(replica.applied, replica.lastIndex)
    if replica.replicaId and expected <= needed:
        text = f"the log ends with {expected - 1}, applied is {replica.applied}, it went to {needed}"
        yield Finding(Kind.LOG_SHORT, HARD, groupKey(group), where, text)


def _groupsWithLogs(rows: IReadRows) -> Iterator[int]:
    start = logKey(0, 0)
    while True:
        row = next(iter(rows.scan(LOG, start, _LAST)), None)
        if row is None:
            return
        group = unpackLogKey(row[0])[0]
        yield group
        if group == 0xFFFF:
            return
        start = logKey(group + 1, 0)


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
