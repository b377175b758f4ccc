"""
Answering queries from a replica's rows (see `queries`). Pure; every answer is bounded by its query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from jindimail.errors import Corrupt
from jindimail.interfaces import IKeys, IReadRows
from jindimail.mailbox import queries
from jindimail.mailbox.queries import (
    ROWS_PER_QUERY_MAX,
    Account,
    Answer,
    AnyQuery,
    Changes,
    FoundBody,
    Leftovers,
    Mailboxes,
)
from jindimail.model import Added, Change, FlagsChanged, MailboxSummary, UidSet, Vanished, isDigestOf
from jindimail.store.bodies import readOctets
from jindimail.store.keys import (
    ADDRESS,
    ARRAY,
    BODYREF,
    CHANGE,
    MAILBOX,
    MESSAGE,
    QUEUE,
    SUMMARY,
    USER,
    accountKey,
    addressKey,
    after,
    bodyrefKey,
    bucketKey,
    changeKey,
    domainKey,
    mailboxKey,
    messageKey,
    nameKey,
    prefixKey,
    settingKey,
    subscriptionKey,
    summaryKey,
    unpackQueueKey,
    usageKey,
)
from jindimail.store.records import (
    ADDED,
    FLAGS,
    AccountRecord,
    AddressRecord,
    BodyrefRecord,
    ChangeRecord,
    DomainRecord,
    MailboxRecord,
    MessageRow,
    QueueRecord,
    SummaryRecord,
    UsageRecord,
    decode,
    unpackRow,
)

_ACCOUNT_KEY_OCTETS = 10
OCTETS_PER_QUERY_MAX = 1 << 20


def answer(rows: IKeys, bucket: int, query: AnyQuery) -> Answer:
    """
    The answer of a query on one bucket's rows (the bucket is ignored by queries of the array's own group).

    @raise Corrupt: a record does not decode, or a body is not what was stored.
    """
    return _ANSWERS[type(query)](rows, bucket, query)


def _findAddress(rows: IReadRows, bucket: int, query: queries.FindAddress) -> AddressRecord | None:
    octets = rows.get(ADDRESS, addressKey(bucket, query.address))
    return None if octets is None else decode(octets, AddressRecord)


def _findAccount(rows: IReadRows, bucket: int, query: queries.FindAccount) -> Account | None:
    octets = rows.get(USER, accountKey(bucket, query.accountId))
    return None if octets is None else _account(rows, bucket, query.accountId, octets)


def _account(rows: IReadRows, bucket: int, accountId: int, octets: bytes) -> Account | None:
    record = decode(octets, AccountRecord)
    usage = rows.get(USER, usageKey(bucket, accountId))
    used = UsageRecord(octets=0, messages=0) if usage is None else decode(usage, UsageRecord)
    return None if record.removed else Account(accountId=accountId, record=record, usage=used)


def _listAccounts(rows: IReadRows, bucket: int, query: queries.ListAccounts) -> tuple[Account, ...]:
    found: list[Account] = []
    start, stop = accountKey(bucket, query.afterId) + b"\xff", after(bucketKey(bucket))
    for key, octets in rows.scan(USER, start, stop):
        if len(found) >= query.limit:
            break
        if len(key) == _ACCOUNT_KEY_OCTETS:
            account = _account(rows, bucket, int.from_bytes(key[2:], "big"), octets)
            if account is not None:
                found.append(account)
    return tuple(found)


def _listAddresses(
    rows: IReadRows, bucket: int, query: queries.ListAddresses
) -> tuple[tuple[str, AddressRecord], ...]:
    start = addressKey(bucket, query.after) + (b"\x00" if query.after else b"")
    scan = islice(rows.scan(ADDRESS, start, after(bucketKey(bucket))), query.limit)
    return tuple((key[2:].decode(), decode(octets, AddressRecord)) for key, octets in scan)


def _listMailboxes(rows: IReadRows, bucket: int, query: queries.ListMailboxes) -> Mailboxes:
    accountId = query.accountId
    subscribed = subscriptionKey(bucket, accountId, "")
    names = [key[len(subscribed) :].decode() for key, _ in rows.scan(USER, subscribed, after(subscribed))]
    isSubscribed = set(names)
    prefix = nameKey(bucket, accountId, "")
    found = []
    for _, octets in list(rows.scan(USER, prefix, after(prefix))):
        mailboxId = int.from_bytes(octets, "big")
        record = _mailbox(rows, bucket, mailboxId)
        if record is not None:
            found.append(_summary(mailboxId, record, record.name in isSubscribed))
    return Mailboxes(mailboxes=tuple(found), subscriptions=tuple(names))


def _mailbox(rows: IReadRows, bucket: int, mailboxId: int) -> MailboxRecord | None:
    octets = rows.get(MAILBOX, mailboxKey(bucket, mailboxId))
    record = None if octets is None else decode(octets, MailboxRecord)
    return None if record is None or record.removed else record


def _summary(mailboxId: int, record: MailboxRecord, subscribed: bool) -> MailboxSummary:
    return MailboxSummary(
        mailboxId=mailboxId,
        name=record.name,
        uidValidity=record.uidValidity,
        uidNext=record.uidNext,
        highestModSeq=record.highestModSeq,
        messages=record.messages,
        unseen=record.unseen,
        deleted=record.deleted,
        octets=record.octets,
        specialUse=record.specialUse,
        subscribed=subscribed,
        keywords=record.keywords,
    )


def _findMailbox(rows: IReadRows, bucket: int, query: queries.FindMailbox) -> MailboxSummary | None:
    octets = rows.get(USER, nameKey(bucket, query.accountId, query.name))
    return None if octets is None else _readMailboxId(rows, bucket, int.from_bytes(octets, "big"))


def _readMailbox(rows: IReadRows, bucket: int, query: queries.ReadMailbox) -> MailboxSummary | None:
    return _readMailboxId(rows, bucket, query.mailboxId)


def _readMailboxId(rows: IReadRows, bucket: int, mailboxId: int) -> MailboxSummary | None:
    record = _mailbox(rows, bucket, mailboxId)
    if record is None:
        return None
    subscribed = rows.get(USER, subscriptionKey(bucket, record.owner, record.name)) is not None
    return _summary(mailboxId, record, subscribed)


def _readRows(rows: IReadRows, bucket: int, query: queries.ReadRows) -> tuple[MessageRow, ...]:
    start = messageKey(bucket, query.mailboxId, query.lowUid)
    stop = messageKey(bucket, query.mailboxId, query.highUid) + b"\x00"
    scan = islice(rows.scan(MESSAGE, start, stop), min(query.limit, ROWS_PER_QUERY_MAX))
    fromBytes = int.from_bytes
    return tuple([unpackRow(fromBytes(key[-4:], "big"), octets) for key, octets in scan])


def _readRowsOf(rows: IReadRows, bucket: int, query: queries.ReadRowsOf) -> tuple[MessageRow, ...]:
    found: list[MessageRow] = []
    for low, high in query.ranges:
        if low == high:
            octets = rows.get(MESSAGE, messageKey(bucket, query.mailboxId, low))
            if octets is not None:
                found.append(unpackRow(low, octets))
        else:
            left = ROWS_PER_QUERY_MAX - len(found)
            part = queries.ReadRows(mailboxId=query.mailboxId, lowUid=low, highUid=high, limit=left)
            found.extend(_readRows(rows, bucket, part))
        if len(found) >= ROWS_PER_QUERY_MAX:
            break
    return tuple(found)


def _readChanges(rows: IReadRows, bucket: int, query: queries.ReadChanges) -> Changes:
    record = _mailbox(rows, bucket, query.mailboxId)
    if record is None or query.uidValidity not in (0, record.uidValidity):
        return Changes(changes=(), modSeq=query.afterModSeq, exists=False)
    if query.afterModSeq < record.changeFloor:
        return Changes(changes=(), modSeq=record.highestModSeq, resumable=False)
    start = changeKey(bucket, query.mailboxId, query.afterModSeq + 1)
    stop = changeKey(bucket, query.mailboxId, record.highestModSeq + 1)
    scan = islice(rows.scan(CHANGE, start, stop), query.limit)
    changes = tuple(_change(int.from_bytes(key[-8:], "big"), octets) for key, octets in scan)
    isWhole = len(changes) < query.limit
    return Changes(changes=changes, modSeq=record.highestModSeq if isWhole else changes[-1].modSeq)


def _change(modSeq: int, octets: bytes) -> Change:
    record = decode(octets, ChangeRecord)
    kind = Added if record.kind == ADDED else FlagsChanged if record.kind == FLAGS else Vanished
    return kind(modSeq=modSeq, uids=UidSet(record.ranges))


def _readSummary(rows: IReadRows, bucket: int, query: queries.ReadSummary) -> SummaryRecord | None:
    octets = rows.get(SUMMARY, summaryKey(bucket, query.bodyId))
    return None if octets is None else decode(octets, SummaryRecord)


def _readOctets(rows: IReadRows, bucket: int, query: queries.ReadOctets) -> bytes:
    """Octets of the prefix and then the body; a body read whole is verified against its digest (design §6)."""
    body = _findBody(rows, bucket, query)
    if body is None:
        raise Corrupt("body or prefix unknown")
    ahead, low, high = portionOf(query, body)
    octets = readOctets(rows, bucket, query.bodyId, low, high) if high > low else b""
    if len(octets) != high - low:
        raise Corrupt("body incomplete")
    if low == 0 and high == body.size and not isDigestOf(body.digest, octets):
        raise Corrupt("body has another digest")
    return ahead + octets if ahead else octets


def portionOf(query: queries.ReadOctets, body: FoundBody) -> tuple[bytes, int, int]:
    """What a query for octets asks of a message: octets of its prefix, and then a range of its body."""
    start, stop = query.start, min(query.stop, query.start + OCTETS_PER_QUERY_MAX)
    offset = len(body.prefix)
    low = max(0, start - offset)
    return body.prefix[start:stop], low, max(low, min(body.size, stop - offset))


def _findBody(rows: IReadRows, bucket: int, query: queries.FindBody | queries.ReadOctets) -> FoundBody | None:
    prefix: bytes | None = b""
    if query.prefix:
        prefix = rows.get(SUMMARY, prefixKey(bucket, query.bodyId, query.prefix))
    reference = rows.get(BODYREF, bodyrefKey(bucket, query.bodyId))
    if reference is None or prefix is None:
        return None
    body = decode(reference, BodyrefRecord)
    return FoundBody(size=body.size, digest=body.digest, keepers=body.keepers, prefix=prefix)


def _findLeftovers(rows: IKeys, bucket: int, query: queries.FindLeftovers) -> Leftovers:
    return Leftovers(
        mailboxes=tuple(islice(_halfRemovedMailboxes(rows, bucket), query.limit)),
        accountIds=tuple(islice(_halfRemovedAccounts(rows, bucket), query.limit)),
    )


def _halfRemovedMailboxes(rows: IKeys, bucket: int) -> Iterator[tuple[int, int]]:
    prefix = bucketKey(bucket)
    for key, octets in rows.scan(MAILBOX, prefix, after(prefix)):
        record = decode(octets, MailboxRecord)
        if record.removed:
            yield record.owner, int.from_bytes(key[2:], "big")


def _halfRemovedAccounts(rows: IKeys, bucket: int) -> Iterator[int]:
    prefix = bucketKey(bucket)
    for key, octets in rows.scan(USER, prefix, after(prefix)):
        if len(key) == _ACCOUNT_KEY_OCTETS and decode(octets, AccountRecord).removed:
            yield int.from_bytes(key[2:], "big")


def _listQueue(rows: IReadRows, bucket: int, query: queries.ListQueue) -> tuple[queries.Queued, ...]:
    start = query.after + b"\x00" if query.after else bucketKey(bucket)
    found = islice(rows.scan(QUEUE, start, after(bucketKey(bucket))), query.limit)
    return tuple(_queued(rows, key, octets) for key, octets in list(found))


def _queued(rows: IReadRows, key: bytes, octets: bytes) -> queries.Queued:
    bucket, dueSeconds, bodyId, target = unpackQueueKey(key)
    reference = rows.get(BODYREF, bodyrefKey(bucket, bodyId))
    if reference is None:
        raise Corrupt("body unknown")
    body = decode(reference, BodyrefRecord)
    return queries.Queued(
        key=key,
        dueSeconds=dueSeconds,
        bodyId=bodyId,
        target=target,
        size=body.size,
        digest=body.digest,
        record=decode(octets, QueueRecord),
    )


def _listDomains(
    rows: IReadRows, bucket: int, query: queries.ListDomains
) -> tuple[tuple[str, DomainRecord], ...]:
    prefix = domainKey("")
    return tuple(
        (key[1:].decode(), decode(octets, DomainRecord))
        for key, octets in rows.scan(ARRAY, prefix, after(prefix))
    )


def _readSetting(rows: IReadRows, bucket: int, query: queries.ReadSetting) -> str:
    return (rows.get(ARRAY, settingKey(query.name)) or b"").decode()


_ANSWERS: dict[type[queries.Query], Callable[[IKeys, int, Any], Answer]] = {
    queries.FindAddress: _findAddress,
    queries.FindAccount: _findAccount,
    queries.ListAccounts: _listAccounts,
    queries.ListAddresses: _listAddresses,
    queries.ListMailboxes: _listMailboxes,
    queries.FindMailbox: _findMailbox,
    queries.ReadMailbox: _readMailbox,
    queries.ReadRows: _readRows,
    queries.ReadRowsOf: _readRowsOf,
    queries.ReadChanges: _readChanges,
    queries.ReadSummary: _readSummary,
    queries.ReadOctets: _readOctets,
    queries.FindBody: _findBody,
    queries.FindLeftovers: _findLeftovers,
    queries.ListQueue: _listQueue,
    queries.ListDomains: _listDomains,
    queries.ReadSetting: _readSetting,
}
