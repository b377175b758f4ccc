"""
One step of a bucket's state machine: typed access to the rows that an entry may touch, and the events it causes.

Pure. All of `apply` goes through this, so that counts, usage, change rows and references are kept in one place:

- every change of a mailbox raises its HIGHESTMODSEQ by exactly one and writes the `change` row of that MODSEQ;
- `change` rows stand for every MODSEQ in (changeFloor, HIGHESTMODSEQ], at most about CHANGES_KEPT of them;
- a body's references are the message rows that name it; with the last one go bodyref, summary, prefixes and octets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from jindimail.interfaces import IRows
from jindimail.mailbox.outcomes import Event, MailboxChanged
from jindimail.model import DELETED, KEYWORDS_MAX, KEYWORDS_SHIFT, SEEN, SYSTEM_FLAGS
from jindimail.store.bodies import deleteBody
from jindimail.store.keys import (
    BODYREF,
    CHANGE,
    MAILBOX,
    MESSAGE,
    SUMMARY,
    USER,
    accountKey,
    bodyrefKey,
    changeKey,
    mailboxKey,
    messageKey,
    popLockKey,
    prefixKey,
    summaryKey,
    uidValidityFloorKey,
    usageKey,
)
from jindimail.store.records import (
    AccountRecord,
    BodyrefRecord,
    ChangeRecord,
    FloorRecord,
    MailboxRecord,
    MessageRow,
    PopLockRecord,
    UsageRecord,
    decode,
    encode,
    packRow,
    unpackRow,
)

CHANGES_KEPT = 10_000
_TRIM_BATCH = 64
_SYSTEM_BITS = {name.lower(): bit for name, bit in SYSTEM_FLAGS.items()}


class Step:
    """The rows of one bucket, while one entry is applied."""

    __slots__ = ("bucket", "events", "index", "rows")

    def __init__(self, rows: IRows, bucket: int, index: int) -> None:
        self.rows = rows
        self.bucket = bucket
        self.index = index
        self.events: list[Event] = []

    # --- accounts ---

    def account(self, accountId: int) -> AccountRecord | None:
        """The account, unless it is being removed."""
        octets = self.rows.get(USER, accountKey(self.bucket, accountId))
        record = None if octets is None else decode(octets, AccountRecord)
        return None if record is None or record.removed else record

    def putAccount(self, accountId: int, record: AccountRecord) -> None:
        """Write an account."""
        self.rows.put(USER, accountKey(self.bucket, accountId), encode(record))

    def usage(self, accountId: int) -> UsageRecord:
        """What the account's messages take."""
        octets = self.rows.get(USER, usageKey(self.bucket, accountId))
        return UsageRecord(octets=0, messages=0) if octets is None else decode(octets, UsageRecord)

    def addUsage(self, accountId: int, octets: int, messages: int) -> None:
        """Add to (or take from) the account's usage."""
        was = self.usage(accountId)
        now = UsageRecord(octets=was.octets + octets, messages=was.messages + messages)
        self.rows.put(USER, usageKey(self.bucket, accountId), encode(now))

    def popLock(self, accountId: int) -> PopLockRecord | None:
        """Who holds the account's POP3 lock."""
        octets = self.rows.get(USER, popLockKey(self.bucket, accountId))
        return None if octets is None else decode(octets, PopLockRecord)

    def uidValidityFloor(self) -> int:
        """The highest UIDVALIDITY that any removed account of this bucket had."""
        octets = self.rows.get(USER, uidValidityFloorKey(self.bucket))
        return 0 if octets is None else decode(octets, FloorRecord).uidValidity

    def raiseUidValidityFloor(self, uidValidity: int) -> None:
        """An account that had this UIDVALIDITY is removed."""
        if uidValidity > self.uidValidityFloor():
            self.rows.put(
                USER, uidValidityFloorKey(self.bucket), encode(FloorRecord(uidValidity=uidValidity))
            )

    # --- mailboxes ---

    def mailbox(self, mailboxId: int) -> MailboxRecord | None:
        """The mailbox, unless it is being removed."""
        record = self.anyMailbox(mailboxId)
        return None if record is None or record.removed else record

    def anyMailbox(self, mailboxId: int) -> MailboxRecord | None:
        """The mailbox, even if it is being removed."""
        octets = self.rows.get(MAILBOX, mailboxKey(self.bucket, mailboxId))
        return None if octets is None else decode(octets, MailboxRecord)

    def putMailbox(self, mailboxId: int, record: MailboxRecord) -> None:
        """Write a mailbox without a change of its messages."""
        self.rows.put(MAILBOX, mailboxKey(self.bucket, mailboxId), encode(record))

    def changeMailbox(
        self, mailboxId: int, record: MailboxRecord, kind: int, ranges: tuple[tuple[int, int], ...]
    ) -> MailboxRecord:
        """Write a mailbox whose messages changed under MODSEQ `record.highestModSeq + 1`, and that change."""
        bucket, modSeq = self.bucket, record.highestModSeq + 1
        self.rows.put(
            CHANGE, changeKey(bucket, mailboxId, modSeq), encode(ChangeRecord(kind=kind, ranges=ranges))
        )
        floor = record.changeFloor
        if modSeq - floor >= CHANGES_KEPT + _TRIM_BATCH:
            for dropped in range(floor + 1, floor + _TRIM_BATCH + 1):
                self.rows.delete(CHANGE, changeKey(bucket, mailboxId, dropped))
            floor += _TRIM_BATCH
        changed = replace(record, highestModSeq=modSeq, changeFloor=floor)
        self.putMailbox(mailboxId, changed)
        self.events.append(MailboxChanged(bucket, mailboxId, modSeq))
        return changed

    # --- message rows ---

    def messages(self, mailboxId: int, ranges: Iterable[tuple[int, int]]) -> list[MessageRow]:
        """The rows of these UID ranges that exist, ascending within each range."""
        found: list[MessageRow] = []
        for low, high in ranges:
            start, stop = (
                messageKey(self.bucket, mailboxId, low),
                messageKey(self.bucket, mailboxId, high) + b"\x00",
            )
            if low == high:
                octets = self.rows.get(MESSAGE, start)
                if octets is not None:
                    found.append(unpackRow(low, octets))
            else:
                scan = self.rows.scan(MESSAGE, start, stop)
                found.extend(unpackRow(int.from_bytes(key[-4:], "big"), octets) for key, octets in scan)
        return found

    def putMessage(self, mailboxId: int, row: MessageRow) -> None:
        """Write a message row."""
        self.rows.put(MESSAGE, messageKey(self.bucket, mailboxId, row.uid), packRow(row))

    def dropMessages(self, mailboxId: int, rows: Sequence[MessageRow]) -> None:
        """Delete message rows, and each body that nothing refers to any more."""
        for row in rows:
            self.rows.delete(MESSAGE, messageKey(self.bucket, mailboxId, row.uid))
            self.refer(row.bodyId, -1)

    # --- bodies ---

    def bodyref(self, bodyId: bytes) -> BodyrefRecord | None:
        """The body as the bucket knows it."""
        octets = self.rows.get(BODYREF, bodyrefKey(self.bucket, bodyId))
        return None if octets is None else decode(octets, BodyrefRecord)

    def putBodyref(self, bodyId: bytes, record: BodyrefRecord) -> None:
        """Write what the bucket knows of a body."""
        self.rows.put(BODYREF, bodyrefKey(self.bucket, bodyId), encode(record))

    def refer(self, bodyId: bytes, references: int) -> None:
        """Add to a body's references; at zero the body goes in the same step (design §6)."""
        record = self.bodyref(bodyId)
        if record is None:
            return
        left = record.references + references
        if left > 0:
            self.putBodyref(bodyId, replace(record, references=left))
            return
        bucket, delete = self.bucket, self.rows.delete
        delete(BODYREF, bodyrefKey(bucket, bodyId))
        delete(SUMMARY, summaryKey(bucket, bodyId))
        for number in range(1, record.prefixes + 1):
            delete(SUMMARY, prefixKey(bucket, bodyId, number))
        deleteBody(self.rows, bucket, bodyId, record.size)


def flagBits(
    keywords: tuple[str, ...], names: Iterable[str], create: bool
) -> tuple[int, tuple[str, ...]] | None:
    """
    The bits of flag names, and the keywords with those made that were missing; None when there is no room for them.

    Without `create`, unknown keywords have no bits. Flag names are case-insensitive (RFC 9051 §2.3.2).
    """
    bits = 0
    positions: dict[str, int] | None = None
    for name in names:
        bit = _SYSTEM_BITS.get(name.lower())
        if bit is not None:
            bits |= bit
            continue
        if positions is None:
            positions = {keyword.lower(): position for position, keyword in enumerate(keywords)}
        position = positions.get(name.lower())
        if position is None:
            if not create:
                continue
            if len(keywords) >= KEYWORDS_MAX:
                return None
            position = positions[name.lower()] = len(keywords)
            keywords = (*keywords, name)
        bits |= 1 << (KEYWORDS_SHIFT + position)
    return bits, keywords


def fittingBits(keywords: tuple[str, ...], names: Iterable[str]) -> tuple[int, tuple[str, ...]]:
    """Like `flagBits`, but keywords that there is no room for are left out (RFC 9051 §6.4.7: flags SHOULD be kept)."""
    bits = 0
    for name in names:
        known = flagBits(keywords, (name,), create=True)
        if known is not None:
            bits, keywords = bits | known[0], known[1]
    return bits, keywords


def flagNames(keywords: tuple[str, ...], bits: int) -> tuple[str, ...]:
    """The names of flag bits: system flags first, then keywords by position."""
    system = tuple(name for name, bit in SYSTEM_FLAGS.items() if bits & bit)
    if bits < 1 << KEYWORDS_SHIFT:
        return system
    return system + tuple(
        keyword for position, keyword in enumerate(keywords) if bits >> (KEYWORDS_SHIFT + position) & 1
    )


def counted(record: MailboxRecord, rows: Sequence[MessageRow], sign: int) -> MailboxRecord:
    """A mailbox's counts with these rows added (sign 1) or taken away (sign -1)."""
    unseen = deleted = octets = 0
    for row in rows:
        unseen += not row.flags & SEEN
        deleted += bool(row.flags & DELETED)
        octets += row.size
    return replace(
        record,
        messages=record.messages + sign * len(rows),
        unseen=record.unseen + sign * unseen,
        deleted=record.deleted + sign * deleted,
        octets=record.octets + sign * octets,
    )
