"""Checking what a bucket says of deliveries: where their messages went, and what it still holds for other buckets. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.model import BUCKET_COUNT, bucketGroup
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import DELIVERY, HARD, MAILBOX, bucketKey, groupKey, mailboxKey
from jindimail.store.records import DeliveryRecord, FiledRecord, MailboxRecord, Record, decode

_ORDINAL_BITS = 8  # a mailbox's id is the index of the entry that made it, and its place there


class HardPlaces(Record, frozen=True):
    """What a check reads of a replica's `hard` row; the fields are those of `replication.durable.HardRecord`, in order."""

    replicaId: int
    term: int
    vote: int
    applied: int
    baseIndex: int
    baseTerm: int
    configurationIndex: int
    configuration: Any
    tombstone: int = 0
    installing: bool = False
    lastIndex: int = 0


def checkDeliveries(rows: IReadRows, bucket: int) -> Iterator[Finding]:
    """Outcomes that cannot be; what was filed may be gone since, with its mailbox and its account."""
    lastIndex = _lastIndex(rows, bucket)
    for key, value in rows.scan(DELIVERY, bucketKey(bucket), bucketKey(bucket + 1)):
        where = f"bucket {bucket}, delivery {key[2:].hex()}"
        try:
            record = decode(value, DeliveryRecord)
        except Corrupt as problem:
            yield Finding(Kind.UNDECODABLE, DELIVERY, key, where, str(problem))
            continue
        for wrong in _wrongWith(rows, bucket, record, lastIndex):
            yield Finding(Kind.DELIVERY_BROKEN, DELIVERY, key, where, wrong)


def _lastIndex(rows: IReadRows, bucket: int) -> int:
    """The last index that was applied; without a sound hard row, one that is never reached."""
    octets = rows.get(HARD, groupKey(bucketGroup(bucket)))
    try:
        return decode(octets, HardPlaces).applied if octets is not None else 1 << 62
    except Corrupt:
        return 1 << 62


def _wrongWith(rows: IReadRows, bucket: int, record: DeliveryRecord, lastIndex: int) -> Iterator[str]:
    if record.void and (record.filed or record.queued):
        yield "it is void, and was filed or queued all the same"
    if not (record.void or record.filed or record.queued):
        yield "it says nothing"
    for target in record.queued:
        if not 0 <= target < BUCKET_COUNT or target == bucket:
            yield f"it waited for bucket {target}"
    for filed in record.filed:
        if not filed.refused:
            wrong = _pointsNowhere(rows, bucket, filed, lastIndex)
            if wrong:
                yield wrong


def _pointsNowhere(rows: IReadRows, bucket: int, filed: FiledRecord, lastIndex: int) -> str:
    if not filed.mailboxId or not filed.uid:
        return "it was filed, and in no mailbox"
    if filed.mailboxId >> _ORDINAL_BITS > lastIndex:
        return f"it was filed in mailbox {filed.mailboxId}, which never was"
    octets = rows.get(MAILBOX, mailboxKey(bucket, filed.mailboxId))
    try:
        mailbox = decode(octets, MailboxRecord) if octets is not None else None
    except Corrupt:
        return ""  # found elsewhere
    if mailbox is None:
        return ""
    if mailbox.owner != filed.accountId:
        return f"it was filed in mailbox {filed.mailboxId}, which is another account's"
    if filed.uidValidity == mailbox.uidValidity and filed.uid >= mailbox.uidNext:
        return f"it was filed as UID {filed.uid}; UIDNEXT is {mailbox.uidNext}"
    return ""
