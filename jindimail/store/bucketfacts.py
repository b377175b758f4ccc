"""What the records of one bucket say, read so that they can be checked against each other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import (
    BODYREF,
    CLOCKS_TAG,
    FLOOR_TAG,
    MAILBOX,
    NAME_TAG,
    POP_LOCK_TAG,
    SUBSCRIPTION_TAG,
    USAGE_TAG,
    USER,
    bucketKey,
)
from jindimail.store.records import (
    AccountRecord,
    BodyrefRecord,
    ClocksRecord,
    FloorRecord,
    MailboxRecord,
    PopLockRecord,
    Record,
    UsageRecord,
    decode,
)

R = TypeVar("R", bound=Record)
Row = tuple[bytes, bytes]

_OF_NO_ACCOUNT: dict[bytes, type[Record]] = {FLOOR_TAG: FloorRecord, CLOCKS_TAG: ClocksRecord}


class BucketFacts:
    """
    What one walk through a bucket finds, under one read transaction.

    @ivar names: mailbox numbers by account and name.
    """

    def __init__(self, rows: IReadRows, bucket: int) -> None:
        self.rows = rows
        self.bucket = bucket
        self.accounts: dict[int, AccountRecord] = {}
        self.usages: dict[int, UsageRecord] = {}
        self.names: dict[tuple[int, str], int] = {}
        self.mailboxes: dict[int, MailboxRecord] = {}
        self.bodies: dict[bytes, BodyrefRecord] = {}

    def read(self) -> Iterator[Finding]:
        """Read it; what does not decode is found."""
        yield from self._readUsers()
        yield from self._readMailboxes()
        yield from self._readBodyrefs()

    def scan(self, table: str) -> Iterator[Row]:
        """The bucket's rows of a table."""
        rows: Iterator[Row] = self.rows.scan(table, bucketKey(self.bucket), bucketKey(self.bucket + 1))
        return rows

    def finding(self, kind: Kind, table: str, key: bytes, where: str, text: str) -> Finding:
        """Something that is wrong with a row."""
        return Finding(kind, table, key, f"bucket {self.bucket}, {where}", text)

    def decoded(self, table: str, key: bytes, value: bytes, kind: type[R]) -> R | Finding:
        """A record, or the finding that it is none."""
        try:
            return decode(value, kind)
        except Corrupt as problem:
            return self.finding(Kind.UNDECODABLE, table, key, f"table {table}", str(problem))

    def _readUsers(self) -> Iterator[Finding]:
        for key, value in self.scan(USER):
            finding = self._readUser(key, value)
            if finding is not None:
                yield finding

    def _readUser(self, key: bytes, value: bytes) -> Finding | None:
        accountId, tag = int.from_bytes(key[2:10], "big"), key[10:11]
        if len(key) < 10:
            return self.finding(Kind.UNDECODABLE, USER, key, "table user", "a key of unknown form")
        if not tag:
            account = self.decoded(USER, key, value, AccountRecord)
            if isinstance(account, Finding):
                return account
            self.accounts[accountId] = account
        elif tag == USAGE_TAG:
            usage = self.decoded(USER, key, value, UsageRecord)
            if isinstance(usage, Finding):
                return usage
            self.usages[accountId] = usage
        elif tag == NAME_TAG and len(value) == 8:
            self.names[accountId, key[11:].decode("utf-8", "replace")] = int.from_bytes(value, "big")
        elif tag == POP_LOCK_TAG:
            lock = self.decoded(USER, key, value, PopLockRecord)
            return lock if isinstance(lock, Finding) else None
        elif not accountId and tag in _OF_NO_ACCOUNT:
            record = self.decoded(USER, key, value, _OF_NO_ACCOUNT[tag])
            return record if isinstance(record, Finding) else None
        elif tag != SUBSCRIPTION_TAG:
            return self.finding(Kind.UNDECODABLE, USER, key, self.who(accountId), "a row of unknown form")
        return None

    def _readMailboxes(self) -> Iterator[Finding]:
        for key, value in self.scan(MAILBOX):
            record = self.decoded(MAILBOX, key, value, MailboxRecord)
            if isinstance(record, Finding):
                yield record
            else:
                self.mailboxes[int.from_bytes(key[2:], "big")] = record

    def _readBodyrefs(self) -> Iterator[Finding]:
        for key, value in self.scan(BODYREF):
            record = self.decoded(BODYREF, key, value, BodyrefRecord)
            if isinstance(record, Finding):
                yield record
            else:
                self.bodies[key[2:]] = record

    def who(self, accountId: int) -> str:
        """An account as findings name it."""
        account = self.accounts.get(accountId)
        name = account.addresses[0] if account and account.addresses else "?"
        return f"account {name} ({accountId})"

    def which(self, mailboxId: int) -> str:
        """A mailbox as findings name it."""
        record = self.mailboxes.get(mailboxId)
        return f"mailbox {record.name if record else '?'} ({mailboxId})"
