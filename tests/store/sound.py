"""A sound store: what the real state machine and replicas write, for checks, backups and corruptions."""

from __future__ import annotations

from jindimail.interfaces import IRows
from jindimail.mailbox import entries
from jindimail.mailbox.machine import MailMachine
from jindimail.model import bucketGroup, bucketOf, digestOf
from jindimail.replication.durable import foundGroups, hardRecord, packLogRow
from jindimail.replication.entries import NORMAL, Entry
from jindimail.store.bodies import putBody
from jindimail.store.keys import CHUNK_OCTETS, HARD, LOG, groupKey, logKey
from jindimail.store.records import SummaryRecord, WaitingRecord, encode

ADDRESS = "alice@example.org"
OTHER = "bob@example.org"
BUCKET = bucketOf(ADDRESS)
OTHER_BUCKET = bucketOf(OTHER)
ACCOUNT_ID = 77
SMALL_ID, LARGE_ID, SHARED_ID, WAITING_ID = b"s" * 16, b"t" * 16, b"u" * 16, b"w" * 16
SMALL = b"Subject: small\r\n\r\nhello\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 9000
SHARED = b"Subject: shared\r\n\r\nto both\r\n"
NODE = 1
SUMMARY = encode(
    SummaryRecord(
        envelope=b"()", bodyStructure=b"()", headerOctets=0, messageId=b"", sentSeconds=None, preview=""
    )
)
assert len(LARGE) > 2 * CHUNK_OCTETS


class Array:
    """Applies entries as one-voter groups do: log row, effects, hard row."""

    def __init__(self, rows: IRows) -> None:
        self._rows = rows
        self._machine = MailMachine()
        foundGroups(rows, {bucketGroup(BUCKET), bucketGroup(OTHER_BUCKET), 0}, NODE)

    def apply(self, bucket: int | None, entry: entries.AnyEntry) -> object:
        """Propose, commit and apply."""
        from msgspec.structs import replace

        group = 0 if bucket is None else bucketGroup(bucket)
        hard = hardRecord(self._rows, group)
        index = hard.applied + 1
        data = entries.encodeEntry(entry)
        self._rows.put(LOG, logKey(group, index), packLogRow(Entry(index, 1, NORMAL, data)))
        outcome, _ = self._machine.apply(self._rows, group, index, data)
        self._rows.put(HARD, groupKey(group), encode(replace(hard, term=1, applied=index, lastIndex=index)))
        return outcome

    def deliver(self, bodyId: bytes, octets: bytes, filings: tuple[entries.Filing, ...]) -> object:
        """A delivery with its body."""
        putBody(self._rows, BUCKET, bodyId, octets)
        return self.apply(
            BUCKET,
            entries.Deliver(
                seconds=1000,
                deliveryId=bodyId,
                bodyId=bodyId,
                size=len(octets),
                digest=digestOf(octets),
                keepers=(NODE,),
                summary=SUMMARY,
                filings=filings,
            ),
        )


def fillSound(rows: IRows) -> None:
    """Accounts, mailboxes, messages with and without prefixes, flags, copies, expunges."""
    array = Array(rows)
    array.apply(None, entries.SetDomain(seconds=1, name="example.org"))
    for bucket, address, accountId in ((BUCKET, ADDRESS, ACCOUNT_ID), (OTHER_BUCKET, OTHER, 78)):
        array.apply(
            bucket,
            entries.CreateAccount(
                seconds=1,
                accountId=accountId,
                addresses=(address,),
                credential="",
                quotaOctets=0,
                quotaMessages=0,
                mailboxes=(("Sent", "\\Sent"),),
                uidValidity=100,
            ),
        )
    array.apply(
        OTHER_BUCKET,
        entries.SetAddress(seconds=1, address="alias@example.org", bucket=BUCKET, accountId=ACCOUNT_ID),
    )
    plain = entries.Filing(accountId=ACCOUNT_ID)
    array.deliver(SMALL_ID, SMALL, (plain,))
    array.deliver(LARGE_ID, LARGE, (plain,))
    prefixed = entries.Filing(accountId=ACCOUNT_ID, prefix=b"Delivered-To: alice@example.org\r\n")
    array.deliver(SHARED_ID, SHARED, (plain, prefixed))
    array.deliver(b"v" * 16, b"gone soon", (plain,))
    inbox, sent = 1 << 8, 1 << 8 | 1
    array.apply(
        BUCKET,
        entries.StoreFlags(
            seconds=2, mailboxId=inbox, ranges=((1, 2),), action=entries.ADD, flags=("\\Seen", "$Work")
        ),
    )
    array.apply(
        BUCKET, entries.CopyMessages(seconds=2, sourceId=inbox, ranges=((1, 1), (3, 4)), targetId=sent)
    )
    array.apply(BUCKET, entries.Expunge(seconds=3, mailboxId=inbox, ranges=((5, 5),), onlyDeleted=False))
    array.apply(BUCKET, entries.Subscribe(seconds=3, accountId=ACCOUNT_ID, name="Gone", subscribed=True))
    putBody(rows, OTHER_BUCKET, WAITING_ID, SMALL)
    array.apply(
        OTHER_BUCKET,
        entries.Enqueue(
            seconds=3,
            bodyId=WAITING_ID,
            size=len(SMALL),
            digest=digestOf(SMALL),
            keepers=(NODE,),
            summary=SUMMARY,
            target=BUCKET,
            sender=OTHER,
            waiting=(WaitingRecord(accountId=ACCOUNT_ID, prefix=b"", address=ADDRESS),),
            dueSeconds=3,
        ),
    )
    array.apply(
        BUCKET,
        entries.TakePopLock(seconds=3, accountId=ACCOUNT_ID, node=NODE, incarnation=1, session="s"),
    )
