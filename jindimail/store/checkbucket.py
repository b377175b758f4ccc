"""
Checking the records of one bucket against each other. Pure.

What must hold is what `mailbox/step.py` keeps: counts and usage are sums over the message rows, references count the rows (of
messages, and of mail that waits for other buckets) that name a body, `change` has a row for every MODSEQ in (changeFloor, HIGHESTMODSEQ] that names what changed then.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.model import BUCKET_COUNT, DELETED, INBOX, KEYWORDS_SHIFT, SEEN
from jindimail.store.bucketfacts import BucketFacts, Row
from jindimail.store.checkchanges import Changes, checkChanges, mailboxOf
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import (
    ADDRESS,
    BODYREF,
    HARD,
    MAILBOX,
    MESSAGE,
    QUEUE,
    QUEUE_KEY_OCTETS,
    SUMMARY,
    USER,
    accountKey,
    bodyrefKey,
    groupKey,
    mailboxKey,
    nameKey,
    prefixKey,
    summaryKey,
    unpackQueueKey,
    usageKey,
)
from jindimail.store.records import (
    AddressRecord,
    MailboxRecord,
    MessageRow,
    QueueRecord,
    SummaryRecord,
    UsageRecord,
    unpackRow,
)

_NONE = UsageRecord(octets=0, messages=0)


class BucketCheck(BucketFacts):
    """One check of a bucket."""

    def __init__(self, rows: IReadRows, bucket: int) -> None:
        super().__init__(rows, bucket)
        self._references: dict[bytes, int] = {}
        self._taken: dict[int, list[int]] = {}

    def run(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        yield from self.read()
        yield from self._checkNames()
        yield from self._checkMessages()
        yield from self._checkQueue()
        yield from checkChanges(self)
        yield from self._checkUsage()
        yield from self._checkReferences()
        yield from self._checkSummaries()
        yield from self._checkAddresses()

    # --- accounts and mailboxes --------------------------------------------------------------------------

    def _checkNames(self) -> Iterator[Finding]:
        bucket = self.bucket
        for (accountId, name), mailboxId in self.names.items():
            record = self.mailboxes.get(mailboxId)
            if record is None or record.owner != accountId or record.name != name:
                text = f"the name {name!r} leads to mailbox {mailboxId}, which is not so named or not there"
                key = nameKey(bucket, accountId, name)
                yield self.finding(Kind.NAME_DANGLING, USER, key, self.who(accountId), text)
        for mailboxId, record in self.mailboxes.items():
            if record.removed:
                continue
            key, where = mailboxKey(bucket, mailboxId), self.which(mailboxId)
            if self.names.get((record.owner, record.name)) != mailboxId:
                yield self.finding(Kind.MAILBOX_NAMELESS, MAILBOX, key, where, "no name leads to it")
            if record.owner not in self.accounts:
                text = f"its owner {record.owner} is not there"
                yield self.finding(Kind.MAILBOX_OWNERLESS, MAILBOX, key, where, text)
        for accountId, account in self.accounts.items():
            inbox = self.names.get((accountId, INBOX))
            if not account.removed and (inbox != account.inboxId or inbox not in self.mailboxes):
                yield self.finding(
                    Kind.ACCOUNT_WITHOUT_INBOX,
                    USER,
                    accountKey(bucket, accountId),
                    self.who(accountId),
                    f"its INBOX {account.inboxId} is not there, or not so named",
                )

    def _checkUsage(self) -> Iterator[Finding]:
        for accountId in sorted({*self.usages, *self._taken, *(owner for owner, _ in self.names)}):
            key = usageKey(self.bucket, accountId)
            if accountId not in self.accounts:
                leftOver = all(
                    record.removed for record in self.mailboxes.values() if record.owner == accountId
                )
                emptiedLater = self.usages.get(accountId, _NONE).messages < 0  # than the account went
                if not (leftOver and (accountId in self._taken or emptiedLater)):
                    text = "there is no account of this id"
                    yield self.finding(Kind.ACCOUNT_MISSING, USER, key, self.who(accountId), text)
                continue
            octets, messages = self._taken.get(accountId, (0, 0))
            usage = self.usages.get(accountId, _NONE)
            if (usage.octets, usage.messages) != (octets, messages):
                text = f"{usage.messages} messages, {usage.octets} octets; there are {messages}, {octets}"
                yield self.finding(Kind.USAGE_WRONG, USER, key, self.who(accountId), text)

    def _checkAddresses(self) -> Iterator[Finding]:
        for key, value in self.scan(ADDRESS):
            record = self.decoded(ADDRESS, key, value, AddressRecord)
            if isinstance(record, Finding):
                yield record
            elif record.accountId and not self._isThere(record.bucket, record.accountId):
                where = f"address {key[2:].decode('utf-8', 'replace')}"
                text = f"it leads to account {record.accountId} of bucket {record.bucket}, which is not there"
                yield self.finding(Kind.ADDRESS_DANGLING, ADDRESS, key, where, text)

    def _isThere(self, bucket: int, accountId: int) -> bool:
        if bucket == self.bucket:
            return accountId in self.accounts
        if self.rows.get(HARD, groupKey(bucket + 1)) is None:
            return True  # that bucket is other nodes'
        return self.rows.get(USER, accountKey(bucket, accountId)) is not None

    # --- messages ----------------------------------------------------------------------------------------

    def _checkMessages(self) -> Iterator[Finding]:
        seen = set()
        for mailboxId, group in groupby(self.scan(MESSAGE), mailboxOf):
            seen.add(mailboxId)
            yield from self._checkMailbox(mailboxId, group)
        for mailboxId in self.mailboxes:
            if mailboxId not in seen:
                yield from self._checkMailbox(mailboxId, iter(()))

    def _checkMailbox(self, mailboxId: int, rows: Iterator[Row]) -> Iterator[Finding]:
        record = self.mailboxes.get(mailboxId)
        changes = Changes(self.rows, self.bucket, mailboxId)
        messages = unseen = deleted = octets = 0
        for key, value in rows:
            where = f"{self.which(mailboxId)}, UID {int.from_bytes(key[10:], 'big')}"
            try:
                row = unpackRow(int.from_bytes(key[10:], "big"), value)
            except Corrupt as problem:
                yield self.finding(Kind.UNDECODABLE, MESSAGE, key, where, str(problem))
                continue
            messages += 1
            unseen += not row.flags & SEEN
            deleted += bool(row.flags & DELETED)
            octets += row.size
            for kind, text in self._wrongWith(row, record, changes):
                yield self.finding(kind, MESSAGE, key, where, text)
        if record is None:
            return
        has = (record.messages, record.unseen, record.deleted, record.octets)
        if has != (messages, unseen, deleted, octets):
            text = (
                f"messages, unseen, deleted, octets are {has}; there are {messages, unseen, deleted, octets}"
            )
            key = mailboxKey(self.bucket, mailboxId)
            yield self.finding(Kind.COUNTS_WRONG, MAILBOX, key, self.which(mailboxId), text)
        taken = self._taken.setdefault(record.owner, [0, 0])
        taken[0] += octets
        taken[1] += messages

    def _wrongWith(
        self, row: MessageRow, mailbox: MailboxRecord | None, changes: Changes
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
        body = self.bodies.get(row.bodyId)
        if body is None:
            yield Kind.MESSAGE_DANGLING, f"body {row.bodyId.hex()} has no bodyref"
            return
        prefix: bytes | None = b""
        if row.prefix:
            prefix = self.rows.get(SUMMARY, prefixKey(self.bucket, row.bodyId, row.prefix))
        if prefix is None:
            yield Kind.MESSAGE_DANGLING, f"prefix {row.prefix} of body {row.bodyId.hex()} is not there"
        elif row.size != body.size + len(prefix):
            text = f"size {row.size}; prefix and body have {len(prefix)} and {body.size} octets"
            yield Kind.MESSAGE_SIZE_WRONG, text

    # --- mail that waits for other buckets ---------------------------------------------------------------

    def _checkQueue(self) -> Iterator[Finding]:
        for key, value in self.scan(QUEUE):
            if len(key) != QUEUE_KEY_OCTETS:
                yield self.finding(Kind.UNDECODABLE, QUEUE, key, "table queue", "a key of unknown form")
                continue
            _, _, bodyId, target = unpackQueueKey(key)
            where = f"body {bodyId.hex()} that waits for bucket {target}"
            self._references[bodyId] = self._references.get(bodyId, 0) + 1
            record = self.decoded(QUEUE, key, value, QueueRecord)
            if isinstance(record, Finding):
                yield record
            elif not record.waiting or not 0 <= target < BUCKET_COUNT:
                yield self.finding(Kind.QUEUE_BROKEN, QUEUE, key, where, "nobody waits, or for no bucket")
            if bodyId not in self.bodies:
                text = "its body has no bodyref"
                yield self.finding(Kind.QUEUE_BROKEN, QUEUE, key, where, text)

    # --- bodies as the records know them ---------------------------------------------------------------------

    def _checkReferences(self) -> Iterator[Finding]:
        for bodyId, record in self.bodies.items():
            key, where = bodyrefKey(self.bucket, bodyId), f"body {bodyId.hex()}"
            count = self._references.get(bodyId, 0)
            if not count:
                text = f"nothing names it; it says {record.references} do"
                yield self.finding(Kind.BODYREF_UNUSED, BODYREF, key, where, text)
            elif count != record.references:
                text = f"{record.references} references; {count} messages and queue rows name it"
                yield self.finding(Kind.REFERENCES_WRONG, BODYREF, key, where, text)
            if self.rows.get(SUMMARY, summaryKey(self.bucket, bodyId)) is None:
                yield self.finding(Kind.SUMMARY_MISSING, BODYREF, key, where, "it has no summary")
            for number in range(1, record.prefixes + 1):
                if self.rows.get(SUMMARY, prefixKey(self.bucket, bodyId, number)) is None:
                    text = f"prefix {number} of {record.prefixes} is not there"
                    yield self.finding(Kind.PREFIX_MISSING, BODYREF, key, where, text)

    def _checkSummaries(self) -> Iterator[Finding]:
        for key, value in self.scan(SUMMARY):
            bodyId, number = key[2:18], int.from_bytes(key[18:], "big")
            where = f"body {bodyId.hex()}"
            body = self.bodies.get(bodyId)
            if len(key) == 18:
                if body is None:
                    text = "a summary of a body that has no bodyref"
                    yield self.finding(Kind.SUMMARY_ORPHAN, SUMMARY, key, where, text)
                summary = self.decoded(SUMMARY, key, value, SummaryRecord)
                if isinstance(summary, Finding):
                    yield summary
                elif body is not None and not 0 <= summary.headerOctets <= body.size:
                    text = f"a header of {summary.headerOctets} octets; the body has {body.size}"
                    yield self.finding(Kind.SUMMARY_BROKEN, SUMMARY, key, where, text)
            elif len(key) != 20:
                yield self.finding(Kind.UNDECODABLE, SUMMARY, key, where, "a key of unknown form")
            elif body is None or not 0 < number <= body.prefixes:
                text = f"prefix {number} of a body that has {body.prefixes if body else 'no bodyref'}"
                yield self.finding(Kind.PREFIX_ORPHAN, SUMMARY, key, where, text)
