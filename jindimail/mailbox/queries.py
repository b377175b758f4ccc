"""
Queries: what sessions and the directory read of a bucket, a closed union like the entries.

Pure values. `answer` (mailbox/answer.py) evaluates a query on the rows of any replica, so a query can cross to
another node just as an entry can. Every answer is bounded by the query.
"""

from __future__ import annotations

import msgspec

from jindimail.model import Change, MailboxSummary
from jindimail.store.records import (
    AccountRecord,
    AddressRecord,
    DomainRecord,
    MessageRow,
    QueueRecord,
    SummaryRecord,
    UsageRecord,
)

ROWS_PER_QUERY_MAX = 10_000


class Query(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag_field="kind"):
    """The base of all queries."""


class FindAddress(Query, frozen=True, kw_only=True, tag=1):
    """The record of a normalised address; answer `AddressRecord | None`."""

    address: str


class FindAccount(Query, frozen=True, kw_only=True, tag=2):
    """Answer `Account | None`."""

    accountId: int


class ListAccounts(Query, frozen=True, kw_only=True, tag=3):
    """Accounts of the bucket after an id, ascending; answer `tuple[Account, ...]`."""

    afterId: int = 0
    limit: int = 1000


class ListAddresses(Query, frozen=True, kw_only=True, tag=4):
    """Addresses of the bucket after one, ascending; answer `tuple[tuple[str, AddressRecord], ...]`."""

    after: str = ""
    limit: int = 1000


class ListMailboxes(Query, frozen=True, kw_only=True, tag=10):
    """All of an account's mailboxes by name; answer `Mailboxes`."""

    accountId: int


class FindMailbox(Query, frozen=True, kw_only=True, tag=11):
    """One mailbox by name; answer `MailboxSummary | None`."""

    accountId: int
    name: str


class ReadMailbox(Query, frozen=True, kw_only=True, tag=12):
    """One mailbox by id; answer `MailboxSummary | None`."""

    mailboxId: int


class ReadRows(Query, frozen=True, kw_only=True, tag=20):
    """Message rows of an inclusive UID range, ascending, at most `limit`; answer `tuple[MessageRow, ...]`."""

    mailboxId: int
    lowUid: int = 1
    highUid: int = 0xFFFFFFFF
    limit: int = ROWS_PER_QUERY_MAX


class ReadRowsOf(Query, frozen=True, kw_only=True, tag=21):
    """The rows of these UIDs that exist, ascending; answer `tuple[MessageRow, ...]`."""

    mailboxId: int
    ranges: tuple[tuple[int, int], ...]


class ReadChanges(Query, frozen=True, kw_only=True, tag=22):
    """Changes after a MODSEQ, at most `limit`; answer `Changes`. A mailbox that has another UIDVALIDITY than `uidValidity` is not there."""

    mailboxId: int
    afterModSeq: int
    limit: int = 1000
    uidValidity: int = 0  # 0: whatever it is


class ReadSummary(Query, frozen=True, kw_only=True, tag=23):
    """Answer `SummaryRecord | None`."""

    bodyId: bytes


class ReadOctets(Query, frozen=True, kw_only=True, tag=24):
    """
    Octets [start, stop) of a message as clients see it (prefix first); answer `bytes`. At most 1 MiB.

    A body that is read whole is verified; with `isPiece`, also one that is read in pieces.
    """

    bodyId: bytes
    prefix: int
    start: int
    stop: int
    isPiece: bool = False


class FindBody(Query, frozen=True, kw_only=True, tag=27):
    """Where the octets of a message are, and its prefix; answer `FoundBody | None`."""

    bodyId: bytes
    prefix: int


class FindLeftovers(Query, frozen=True, kw_only=True, tag=25):
    """
    What was begun and not finished: mailboxes and accounts whose removal stopped half way; answer `Leftovers`. Each list has at
    most `limit`.
    """

    limit: int = 100


class ListQueue(Query, frozen=True, kw_only=True, tag=26):
    """What waits in this bucket's queue behind a key, by its due time; answer `tuple[Queued, ...]`."""

    after: bytes = b""
    limit: int = 100


class ListDomains(Query, frozen=True, kw_only=True, tag=30):
    """All domains; answer `tuple[tuple[str, DomainRecord], ...]`. Asked of the array's own group."""


class ReadSetting(Query, frozen=True, kw_only=True, tag=31):
    """A setting's value, or ""; asked of the array's own group."""

    name: str


AnyQuery = (
    FindAddress
    | FindAccount
    | ListAccounts
    | ListAddresses
    | ListMailboxes
    | FindMailbox
    | ReadMailbox
    | ReadRows
    | ReadRowsOf
    | ReadChanges
    | ReadSummary
    | ReadOctets
    | FindBody
    | FindLeftovers
    | ListQueue
    | ListDomains
    | ReadSetting
)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its usage."""

    accountId: int
    record: AccountRecord
    usage: UsageRecord


class Mailboxes(msgspec.Struct, frozen=True, kw_only=True):
    """An account's mailboxes by name, and the subscribed names (of which some may have no mailbox)."""

    mailboxes: tuple[MailboxSummary, ...]
    subscriptions: tuple[str, ...]


class FoundBody(msgspec.Struct, frozen=True, kw_only=True):
    """A body as the bucket knows it, and the octets that go before it for one recipient."""

    size: int
    digest: bytes
    keepers: tuple[int, ...]
    prefix: bytes


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """`(account id, mailbox id)`s and account ids to finish with."""

    mailboxes: tuple[tuple[int, int], ...]
    accountIds: tuple[int, ...]


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits in a queue; `key` is its place there."""

    key: bytes
    dueSeconds: int
    bodyId: bytes
    target: int
    size: int
    digest: bytes
    record: QueueRecord


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """
    Changes in MODSEQ order, and the MODSEQ they bring the reader to.

    `resumable` is false when rows after the asked MODSEQ were dropped: read the mailbox anew. `exists` is false
    when the mailbox is gone.
    """

    changes: tuple[Change, ...]
    modSeq: int
    resumable: bool = True
    exists: bool = True


Answer = (
    AddressRecord
    | Account
    | Mailboxes
    | MailboxSummary
    | Changes
    | FoundBody
    | Leftovers
    | SummaryRecord
    | DomainRecord
    | bytes
    | str
    | tuple[MessageRow, ...]
    | tuple[Account, ...]
    | tuple[Queued, ...]
    | tuple[tuple[str, AddressRecord], ...]
    | tuple[tuple[str, DomainRecord], ...]
    | None
)
