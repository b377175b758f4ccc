"""
Checking that mail and clients find their way: accounts by their addresses and domains, mailboxes by their numbers. Pure.

It looks over the border of a bucket: an address may hash to another one, and domains are the array's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.model import SPECIAL_USES, bucketGroup, bucketOf
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import (
    ADDRESS,
    ARRAY,
    HARD,
    MAILBOX,
    USER,
    accountKey,
    addressKey,
    bucketKey,
    domainKey,
    groupKey,
    mailboxKey,
)
from jindimail.store.records import AccountRecord, AddressRecord, MailboxRecord, Record, decode

R = TypeVar("R", bound=Record)
_ARRAY_GROUP = 0


def checkAccounts(rows: IReadRows, bucket: int) -> Iterator[Finding]:
    """What keeps a bucket's accounts from being found; records that do not decode are found elsewhere (`checkbucket`)."""
    accounts = dict(_records(rows, USER, bucket, AccountRecord))
    for accountId, account in accounts.items():
        if not account.removed:
            yield from _checkAddresses(rows, bucket, accountId, account)
    for mailboxId, mailbox in _records(rows, MAILBOX, bucket, MailboxRecord):
        wrong = _wrongNumber(mailbox, accounts.get(mailbox.owner))
        if wrong:
            where = f"bucket {bucket}, mailbox {mailbox.name} ({mailboxId})"
            yield Finding(Kind.MAILBOX_BROKEN, MAILBOX, mailboxKey(bucket, mailboxId), where, wrong)


def _records(rows: IReadRows, table: str, bucket: int, kind: type[R]) -> Iterator[tuple[int, R]]:
    """Those records of a bucket whose key is an id and nothing more."""
    for key, value in rows.scan(table, bucketKey(bucket), bucketKey(bucket + 1)):
        if len(key) == 10:
            try:
                yield int.from_bytes(key[2:], "big"), decode(value, kind)
            except Corrupt:
                continue


def _checkAddresses(
    rows: IReadRows, bucket: int, accountId: int, account: AccountRecord
) -> Iterator[Finding]:
    where = f"bucket {bucket}, account {account.addresses[0] if account.addresses else '?'} ({accountId})"
    if not account.addresses:
        yield Finding(Kind.ADDRESS_MISSING, USER, accountKey(bucket, accountId), where, "it has no address")
    for address in account.addresses:
        home = bucketOf(address)
        key = addressKey(home, address)
        if _isHere(rows, bucketGroup(home)) and not _leadsTo(rows.get(ADDRESS, key), bucket, accountId):
            text = f"its address {address} does not lead to it"
            yield Finding(Kind.ADDRESS_MISSING, ADDRESS, key, where, text)
        domain = domainKey(address.rpartition("@")[2])
        if _isHere(rows, _ARRAY_GROUP) and rows.get(ARRAY, domain) is None:
            text = f"the domain of {address} is not there"
            yield Finding(Kind.DOMAIN_MISSING, ARRAY, domain, where, text)


def _isHere(rows: IReadRows, group: int) -> bool:
    """Whether this node has a replica of a group; the records of others are other nodes' to check."""
    return rows.get(HARD, groupKey(group)) is not None


def _leadsTo(octets: bytes | None, bucket: int, accountId: int) -> bool:
    if octets is None:
        return False
    try:
        record = decode(octets, AddressRecord)
    except Corrupt:
        return True  # found elsewhere
    return (record.bucket, record.accountId) == (bucket, accountId)


def _wrongNumber(mailbox: MailboxRecord, owner: AccountRecord | None) -> str:
    """What is wrong with the numbers that clients hold a mailbox to, or an empty text."""
    if not 0 < mailbox.uidValidity < 1 << 32:
        return f"UIDVALIDITY is {mailbox.uidValidity}"
    if owner is not None and mailbox.uidValidity > owner.uidValidityLast:
        return f"UIDVALIDITY is {mailbox.uidValidity}, the account's highest was {owner.uidValidityLast}"
    if not 0 < mailbox.uidNext <= 1 << 32:
        return f"UIDNEXT is {mailbox.uidNext}"
    if mailbox.highestModSeq < max(1, mailbox.changeFloor):
        return f"HIGHESTMODSEQ is {mailbox.highestModSeq}, changes were dropped up to {mailbox.changeFloor}"
    if mailbox.specialUse and mailbox.specialUse not in SPECIAL_USES:
        return f"its special use is {mailbox.specialUse!r}"
    return ""
