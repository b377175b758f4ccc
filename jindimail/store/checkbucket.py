"""
Checking the records of one bucket against each other. Pure.

What must hold is what `mailbox/step.py` keeps: counts and usage are sums over the message rows, references count the rows (of
messages, and of mail that waits for other buckets) that name a body, `change` has a row for every MODSEQ in (changeFloor, HIGHESTMODSEQ] that names what changed then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby
from typing import TypeVar

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.model import BUCKET_COUNT, DELETED, INBOX, KEYWORDS_SHIFT, SEEN
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import (
    ADDRESS,
    BODYREF,
    CHANGE,
    FLOOR_TAG,
    HARD,
    MAILBOX,
    MESSAGE,
    NAME_TAG,
    POP_LOCK_TAG,
    QUEUE,
    QUEUE_KEY_OCTETS,
    SUBSCRIPTION_TAG,
    SUMMARY,
    USAGE_TAG,
    USER,
    accountKey,
    bodyrefKey,
    bucketKey,
    changeKey,
    groupKey,
    mailboxKey,
    nameKey,
    prefixKey,
    summaryKey,
    unpackQueueKey,
    usageKey,
)
from jindimail.store.records import (
    ADDED,
    FLAGS,
    VANISHED,
    AccountRecord,
    AddressRecord,
    BodyrefRecord,
    ChangeRecord,
    FloorRecord,
    MailboxRecord,
    MessageRow,
    PopLockRecord,
    QueueRecord,
    Record,
    SummaryRecord,
    UsageRecord,
    decode,
    unpackRow,
)

R = TypeVar("R", bound=Record)
Row = tuple[bytes, bytes]
_NONE = UsageRecord(octets=0, messages=0)


class BucketCheck:
    """One walk through the records of a bucket, under one read transaction."""

    def __init__(self, rows: IReadRows, bucket: int) -> None:
        self._rows = rows
        self._bucket = bucket
        self._accounts: dict[int, AccountRecord] = {}
        self._usages: dict[int, UsageRecord] = {}
        self._names: dict[tuple[int, str], int] = {}
        self._mailboxes: dict[int, MailboxRecord] = {}
        self._references: dict[bytes, int] = {}
        self._bodies: dict[bytes, BodyrefRecord] = {}
        self._taken: dict[int, list[int]] = {}

    def run(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        yield from self._readUsers()
        yield from self._readMailboxes()
        yield from self._readBodyrefs()
        yield from self._checkNames()
        yield from self._checkMessages()
        yield from self._checkQueue()
        yield from self._checkChanges()
        yield from self._checkUsage()
        yield from self._checkReferences()
        yield from self._checkSummaries()
        yield from self._checkAddresses()

    # --- reading what the rest refers to ---------------------------------------------------------------

    def _scan(self, table: str) -> Iterator[Row]:
        rows: Iterator[Row] = self._rows.scan(table, bucketKey(self._bucket), bucketKey(self._bucket + 1))
        return rows

    def _finding(self, kind: Kind, table: str, key: bytes, where: str, text: str) -> Finding:
        return Finding(kind, table, key, f"bucket {self._bucket}, {where}", text)

    def _decoded(self, table: str, key: bytes, value: bytes, kind: type[R]) -> R | Finding:
        try:
            return decode(value, kind)
        except Corrupt as problem:
            return self._finding(Kind.UNDECODABLE, table, key, f"table {table}", str(problem))

    def _readUsers(self) -> Iterator[Finding]:
        for key, value in self._scan(USER):
            finding = self._readUser(key, value)
            if finding is not None:
                yield finding

    def _readUser(self, key: bytes, value: bytes) -> Finding | None:
        accountId, tag = int.from_bytes(key[2:10], "big"), key[10:11]
        if len(key) < 10:
            return self._finding(Kind.UNDECODABLE, USER, key, "table user", "a key of unknown form")
        if not tag:
            account = self._decoded(USER, key, value, AccountRecord)
            if isinstance(account, Finding):
                return account
            self._accounts[accountId] = account
        elif tag == USAGE_TAG:
            usage = self._decoded(USER, key, value, UsageRecord)
            if isinstance(usage, Finding):
                return usage
            self._usages[accountId] = usage
        elif tag == NAME_TAG and len(value) == 8:
            self._names[accountId, key[11:].decode("utf-8", "replace")] = int.from_bytes(value, "big")
        elif tag == POP_LOCK_TAG:
            lock = self._decoded(USER, key, value, PopLockRecord)
            return lock if isinstance(lock, Finding) else None
        elif tag == FLOOR_TAG and not accountId:
            floor = self._decoded(USER, key, value, FloorRecord)
            return floor if isinstance(floor, Finding) else None
        elif tag != SUBSCRIPTION_TAG:
            return self._finding(Kind.UNDECODABLE, USER, key, self._who(accountId), "a row of unknown form")
        return None

    def _readMailboxes(self) -> Iterator[Finding]:
        for key, value in self._scan(MAILBOX):
            record = self._decoded(MAILBOX, key, value, MailboxRecord)
            if isinstance(record, Finding):
                yield record
            else:
                self._mailboxes[int.from_bytes(key[2:], "big")] = record

    def _readBodyrefs(self) -> Iterator[Finding]:
        for key, value in self._scan(BODYREF):
            record = self._decoded(BODYREF, key, value, BodyrefRecord)
            if isinstance(record, Finding):
                yield record
            else:
                self._bodies[key[2:]] = record

    def _who(self, accountId: int) -> str:
        account = self._accounts.get(accountId)
        name = account.addresses[0] if account and account.addresses else "?"
        return f"account {name} ({accountId})"

    def _which(self, mailboxId: int) -> str:
        record = self._mailboxes.get(mailboxId)
        return f"mailbox {record.name if record else '?'} ({mailboxId})"

    # --- accounts and mailboxes --------------------------------------------------------------------------

    def _checkNames(self) -> Iterator[Finding]:
        bucket = self._bucket
        for (accountId, name), mailboxId in self._names.items():
            record = self._mailboxes.get(mailboxId)
            if record is None or record.owner != accountId or record.name != name:
                text = f"the name {name!r} leads to mailbox {mailboxId}, which is not so named or not there"
                key = nameKey(bucket, accountId, name)
                yield self._finding(Kind.NAME_DANGLING, USER, key, self._who(accountId), text)
        for mailboxId, record in self._mailboxes.items():
            if record.removed:
                continue
            key, where = mailboxKey(bucket, mailboxId), self._which(mailboxId)
            if self._names.get((record.owner, record.name)) != mailboxId:
                yield self._finding(Kind.MAILBOX_NAMELESS, MAILBOX, key, where, "no name leads to it")
            if record.owner not in self._accounts:
                text = f"its owner {record.owner} is not there"
                yield self._finding(Kind.MAILBOX_OWNERLESS, MAILBOX, key, where, text)
        for accountId, account in self._accounts.items():
            inbox = self._names.get((accountId, INBOX))
            if not account.removed and (inbox != account.inboxId or inbox not in self._mailboxes):
                yield self._finding(
                    Kind.ACCOUNT_WITHOUT_INBOX,
                    USER,
                    accountKey(bucket, accountId),
                    self._who(accountId),
                    f"its INBOX {account.inboxId} is not there, or not so named",
                )

    def _checkUsage(self) -> Iterator[Finding]:
        for accountId in sorted({*self._usages, *self._taken, *(owner for owner, _ in self._names)}):
            key = usageKey(self._bucket, accountId)
            if accountId not in self._accounts:
                leftOver = all(
                    record.removed for record in self._mailboxes.values() if record.owner == accountId
                )
                if not (leftOver and accountId in self._taken):
                    text = "there is no account of this id"
                    yield self._finding(Kind.ACCOUNT_MISSING, USER, key, self._who(accountId), text)
                continue
            octets, messages = self._taken.get(accountId, (0, 0))
            usage = self._usages.get(accountId, _NONE)
            if (usage.octets, usage.messages) != (octets, messages):
                text = f"{usage.messages} messages, {usage.octets} octets; there are {messages}, {octets}"
                yield self._finding(Kind.USAGE_WRONG, USER, key, self._who(accountId), text)

    def _checkAddresses(self) -> Iterator[Finding]:
        for key, value in self._scan(ADDRESS):
            record = self._decoded(ADDRESS, key, value, AddressRecord)
            if isinstance(record, Finding):
                yield record
            elif record.accountId and not self._isThere(record.bucket, record.accountId):
                where = f"address {key[2:].decode('utf-8', 'replace')}"
                text = f"it leads to account {record.accountId} of bucket {record.bucket}, which is not there"
                yield self._finding(Kind.ADDRESS_DANGLING, ADDRESS, key, where, text)

    def _isThere(self, bucket: int, accountId: int) -> bool:
        if bucket == self._bucket:
            return accountId in self._accounts
        if self._rows.get(HARD, groupKey(bucket + 1)) is None:
            return True  # that bucket is other nodes'
        return self._rows.get(USER, accountKey(bucket, accountId)) is not None

    # --- messages ----------------------------------------------------------------------------------------

    def _checkMessages(self) -> Iterator[Finding]:
        seen = set()
        for mailboxId, group in groupby(self._scan(MESSAGE), _mailboxOf):
            seen.add(mailboxId)
            yield from self._checkMailbox(mailboxId, group)
        for mailboxId in self._mailboxes:
            if mailboxId not in seen:
                yield from self._checkMailbox(mailboxId, iter(()))

    def _checkMailbox(self, mailboxId: int, rows: Iterator[Row]) -> Iterator[Finding]:
        record = self._mailboxes.get(mailboxId)
        changes = _Changes(self._rows, self._bucket, mailboxId)
        messages = unseen = deleted = octets = 0
        for key, value in rows:
            where = f"{self._which(mailboxId)}, UID {int.from_bytes(key[10:], 'big')}"
            try:
                row = unpackRow(int.from_bytes(key[10:], "big"), value)
            except Corrupt as problem:
                yield self._finding(Kind.UNDECODABLE, MESSAGE, key, where, str(problem))
                continue
            messages += 1
            unseen += not row.flags & SEEN
            deleted += bool(row.flags & DELETED)
            octets += row.size
            for kind, text in self._wrongWith(row, record, changes):
                yield self._finding(kind, MESSAGE, key, where, text)
        if record is None:
            return
        has = (record.messages, record.unseen, record.deleted, record.octets)
        if has != (messages, unseen, deleted, octets):
            text = (
                f"messages, unseen, deleted, octets are {has}; there are {messages, unseen, deleted, octets}"
            )
            key = mailboxKey(self._bucket, mailboxId)
            yield self._finding(Kind.COUNTS_WRONG, MAILBOX, key, self._which(mailboxId), text)
        taken = self._taken.setdefault(record.owner, [0, 0])
        taken[0] += octets
        taken[1] += messages

    def _wrongWith(
        self, row: MessageRow, mailbox: MailboxRecord | None, changes: _Changes
    ) -> Iterator[tuple[Kind, str]]:
        self._references[row.bodyId] = self._references.get(row.bodyId, 0) + 1
        yield from self._wrongBody(row)
        if mailbox is None:
            yield Kind.MESSAGE_DANGLING, "there is no such mailbox"
            return
        if not 0 < row.uid < mailbox.uidNext:
            yield Kind.UID_TOO_HIGH, f"UIDNEXT is {mailbox.uidNext}"
        if row.modSeq > mailbox.highestModSeq:
            yield Kind.MODSEQ_TOO_HIGH, f"MODSEQ {row.modSeq}, HIGHESTMODSEQ is {mailbox.highestModSeq}"
        elif row.modSeq > mailbox.changeFloor and not changes.names(row.modSeq, row.uid):
            yield Kind.CHANGE_BROKEN, f"the change of MODSEQ {row.modSeq} does not name it"
        if row.flags >> KEYWORDS_SHIFT >> len(mailbox.keywords):
            yield Kind.KEYWORD_UNKNOWN, f"a keyword beyond the mailbox's {len(mailbox.keywords)}"

    def _wrongBody(self, row: MessageRow) -> Iterator[tuple[Kind, str]]:
        body = self._bodies.get(row.bodyId)
        if body is None:
            yield Kind.MESSAGE_DANGLING, f"body {row.bodyId.hex()} has no bodyref"
            return
        prefix: bytes | None = b""
        if row.prefix:
            prefix = self._rows.get(SUMMARY, prefixKey(self._bucket, row.bodyId, row.prefix))
        if prefix is None:
            yield Kind.MESSAGE_DANGLING, f"prefix {row.prefix} of body {row.bodyId.hex()} is not there"
        elif row.size != body.size + len(prefix):
            text = f"size {row.size}; prefix and body have {len(prefix)} and {body.size} octets"
            yield Kind.MESSAGE_SIZE_WRONG, text

    # --- mail that waits for other buckets ---------------------------------------------------------------

    def _checkQueue(self) -> Iterator[Finding]:
        for key, value in self._scan(QUEUE):
            if len(key) != QUEUE_KEY_OCTETS:
                yield self._finding(Kind.UNDECODABLE, QUEUE, key, "table queue", "a key of unknown form")
                continue
            _, _, bodyId, target = unpackQueueKey(key)
            where = f"body {bodyId.hex()} that waits for bucket {target}"
            self._references[bodyId] = self._references.get(bodyId, 0) + 1
            record = self._decoded(QUEUE, key, value, QueueRecord)
            if isinstance(record, Finding):
                yield record
            elif not record.waiting or not 0 <= target < BUCKET_COUNT:
                yield self._finding(Kind.QUEUE_BROKEN, QUEUE, key, where, "nobody waits, or for no bucket")
            if bodyId not in self._bodies:
                text = "its body has no bodyref"
                yield self._finding(Kind.QUEUE_BROKEN, QUEUE, key, where, text)

    # --- changes -----------------------------------------------------------------------------------------

    def _checkChanges(self) -> Iterator[Finding]:
        seen = set()
        for mailboxId, group in groupby(self._scan(CHANGE), _mailboxOf):
            seen.add(mailboxId)
            yield from self._checkChangesOf(mailboxId, group)
        for mailboxId in self._mailboxes:
            if mailboxId not in seen:
                yield from self._checkChangesOf(mailboxId, iter(()))

    def _checkChangesOf(self, mailboxId: int, rows: Iterator[Row]) -> Iterator[Finding]:
        mailbox = self._mailboxes.get(mailboxId)
        floor, highest = (mailbox.changeFloor, mailbox.highestModSeq) if mailbox else (0, 0)
        expected = floor + 1
        for key, value in rows:
            modSeq = int.from_bytes(key[10:], "big")
            where = f"{self._which(mailboxId)}, MODSEQ {modSeq}"
            if mailbox is None or not floor < modSeq <= highest:
                text = f"changes go from {floor + 1} to {highest}"
                yield self._finding(Kind.CHANGE_STRAY, CHANGE, key, where, text)
                continue
            if modSeq != expected:
                yield self._missingChanges(mailboxId, expected, modSeq - 1)
            expected = modSeq + 1
            problem = _wrongChange(value, mailbox.uidNext)
            if problem:
                yield self._finding(Kind.CHANGE_BROKEN, CHANGE, key, where, problem)
        if expected <= highest:
            yield self._missingChanges(mailboxId, expected, highest)

    def _missingChanges(self, mailboxId: int, first: int, last: int) -> Finding:
        key = changeKey(self._bucket, mailboxId, first)
        text = f"no change of MODSEQ {first}" + (f" to {last}" if last > first else "")
        return self._finding(Kind.CHANGE_MISSING, CHANGE, key, self._which(mailboxId), text)

    # --- bodies as the records know them ---------------------------------------------------------------------

    def _checkReferences(self) -> Iterator[Finding]:
        for bodyId, record in self._bodies.items():
            key, where = bodyrefKey(self._bucket, bodyId), f"body {bodyId.hex()}"
            count = self._references.get(bodyId, 0)
            if not count:
                text = f"nothing names it; it says {record.references} do"
                yield self._finding(Kind.BODYREF_UNUSED, BODYREF, key, where, text)
            elif count != record.references:
                text = f"{record.references} references; {count} messages and queue rows name it"
                yield self._finding(Kind.REFERENCES_WRONG, BODYREF, key, where, text)
            if self._rows.get(SUMMARY, summaryKey(self._bucket, bodyId)) is None:
                yield self._finding(Kind.SUMMARY_MISSING, BODYREF, key, where, "it has no summary")
            for number in range(1, record.prefixes + 1):
                if self._rows.get(SUMMARY, prefixKey(self._bucket, bodyId, number)) is None:
                    text = f"prefix {number} of {record.prefixes} is not there"
                    yield self._finding(Kind.PREFIX_MISSING, BODYREF, key, where, text)

    def _checkSummaries(self) -> Iterator[Finding]:
        for key, value in self._scan(SUMMARY):
            bodyId, number = key[2:18], int.from_bytes(key[18:], "big")
            where = f"body {bodyId.hex()}"
            body = self._bodies.get(bodyId)
            if len(key) == 18:
                if body is None:
                    text = "a summary of a body that has no bodyref"
                    yield self._finding(Kind.SUMMARY_ORPHAN, SUMMARY, key, where, text)
                summary = self._decoded(SUMMARY, key, value, SummaryRecord)
                if isinstance(summary, Finding):
                    yield summary
                elif body is not None and not 0 <= summary.headerOctets <= body.size:
                    text = f"a header of {summary.headerOctets} octets; the body has {body.size}"
                    yield self._finding(Kind.SUMMARY_BROKEN, SUMMARY, key, where, text)
            elif len(key) != 20:
                yield self._finding(Kind.UNDECODABLE, SUMMARY, key, where, "a key of unknown form")
            elif body is None or not 0 < number <= body.prefixes:
                text = f"prefix {number} of a body that has {body.prefixes if body else 'no bodyref'}"
                yield self._finding(Kind.PREFIX_ORPHAN, SUMMARY, key, where, text)


class _Changes:
    """The changes of one mailbox, to look up what they name."""

    __slots__ = ("_bucket", "_known", "_mailboxId", "_rows")

    def __init__(self, rows: IReadRows, bucket: int, mailboxId: int) -> None:
        self._rows = rows
        self._bucket = bucket
        self._mailboxId = mailboxId
        self._known: dict[int, tuple[tuple[int, int], ...] | None] = {}

    def names(self, modSeq: int, uid: int) -> bool:
        """Whether a change names a UID; one that is missing or broken is found elsewhere."""
        if modSeq not in self._known:
            self._known[modSeq] = self._read(modSeq)
        ranges = self._known[modSeq]
        if ranges is None:
            return True
        place = bisect_right(ranges, (uid, 1 << 32)) - 1
        return place >= 0 and ranges[place][0] <= uid <= ranges[place][1]

    def _read(self, modSeq: int) -> tuple[tuple[int, int], ...] | None:
        octets = self._rows.get(CHANGE, changeKey(self._bucket, self._mailboxId, modSeq))
        if octets is None or _wrongChange(octets, 1 << 33):
            return None
        record = decode(octets, ChangeRecord)
        return () if record.kind == VANISHED else record.ranges


def _mailboxOf(row: Row) -> int:
    return int.from_bytes(row[0][2:10], "big")


def _wrongChange(octets: bytes, uidNext: int) -> str:
    """What is wrong with a change row, or an empty text."""
    try:
        record = decode(octets, ChangeRecord)
    except Corrupt as problem:
        return str(problem)
    if record.kind not in (ADDED, FLAGS, VANISHED) or not record.ranges:
        return "it names no UIDs, or is of unknown kind"
    last = 0
    for low, high in record.ranges:
        if not last < low <= high < uidNext:
            return f"its UIDs do not ascend below UIDNEXT: {low}:{high}"
        last = high
    return ""
