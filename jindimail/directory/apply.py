"""
Applying the entries about accounts, addresses, locks and domains. Pure; see `mailbox.step`.
"""

from __future__ import annotations

from msgspec.structs import replace

from jindimail.interfaces import IRows
from jindimail.mailbox.applymailboxes import empty, names, putNew
from jindimail.mailbox.entries import (
    CreateAccount,
    DropPopLock,
    RemoveAccount,
    RemoveDomain,
    SetAccount,
    SetAddress,
    SetDomain,
    SetSetting,
    TakePopLock,
)
from jindimail.mailbox.outcomes import (
    AccountChanged,
    DomainsChanged,
    Done,
    Event,
    Locked,
    MailboxRemoved,
    Outcome,
    Refused,
    Steps,
)
from jindimail.mailbox.step import Step
from jindimail.model import INBOX, bucketOf
from jindimail.store.keys import (
    ADDRESS,
    ARRAY,
    USER,
    accountKey,
    addressKey,
    after,
    domainKey,
    nameKey,
    popLockKey,
    settingKey,
    subscriptionKey,
)
from jindimail.store.records import (
    AccountRecord,
    AddressRecord,
    DomainRecord,
    PopLockRecord,
    decode,
    encode,
)


def createAccount(step: Step, entry: CreateAccount) -> Outcome:
    """An account with INBOX and its first mailboxes, and those of its addresses that hash to this bucket."""
    rows, bucket, accountId = step.rows, step.bucket, entry.accountId
    here = [address for address in entry.addresses if bucketOf(address) == bucket]
    if rows.get(USER, accountKey(bucket, accountId)) is not None:
        return Refused("exists")
    if any(rows.get(ADDRESS, addressKey(bucket, address)) is not None for address in here):
        return Refused("exists")
    wanted = ((INBOX, ""), *entry.mailboxes)
    validity = max(entry.uidValidity, step.uidValidityFloor() + 1)
    made = [
        putNew(step, accountId, ordinal, name, use, validity + ordinal)
        for ordinal, (name, use) in enumerate(wanted)
    ]
    for name, _ in wanted:
        rows.put(USER, subscriptionKey(bucket, accountId, name), b"")
    step.putAccount(
        accountId,
        AccountRecord(
            addresses=entry.addresses,
            credential=entry.credential,
            enabled=True,
            quotaOctets=entry.quotaOctets,
            quotaMessages=entry.quotaMessages,
            inboxId=made[0],
            uidValidityLast=validity + len(made) - 1,
            createdSeconds=entry.seconds,
            mayAdminister=entry.mayAdminister,
        ),
    )
    step.addUsage(accountId, 0, 0)
    for address in here:
        record = AddressRecord(bucket=bucket, accountId=accountId)
        rows.put(ADDRESS, addressKey(bucket, address), encode(record))
    step.events.append(AccountChanged(bucket, accountId))
    return Done()


def setAccount(step: Step, entry: SetAccount) -> Outcome:
    """Change an account's settings."""
    record = step.account(entry.accountId)
    if record is None:
        return Refused("noAccount")
    fields = ("addresses", "credential", "enabled", "quotaOctets", "quotaMessages", "mayAdminister")
    wanted = {name: getattr(entry, name) for name in fields}
    changes = {name: value for name, value in wanted.items() if value is not None}
    step.putAccount(entry.accountId, replace(record, **changes))
    step.events.append(AccountChanged(step.bucket, entry.accountId))
    return Done()


def removeAccount(step: Step, entry: RemoveAccount) -> Outcome:
    """Disable at once, then one mailbox's bounded step at a time, then all else; addresses elsewhere are the use-case's."""
    bucket, accountId = step.bucket, entry.accountId
    octets = step.rows.get(USER, accountKey(bucket, accountId))
    if octets is None:
        return Refused("noAccount")
    record = decode(octets, AccountRecord)
    if not record.removed:
        step.putAccount(accountId, replace(record, removed=True, enabled=False))
        step.events.append(AccountChanged(bucket, accountId))
    first = next(names(step, accountId, ""), None)
    if first is not None:
        return Steps(remaining=_emptyNamed(step, accountId, *first) + 1)
    prefix = accountKey(bucket, accountId)
    for key, _ in list(step.rows.scan(USER, prefix, after(prefix))):
        step.rows.delete(USER, key)
    for address in record.addresses:
        _dropAddress(step, address, accountId)
    step.raiseUidValidityFloor(record.uidValidityLast)
    return Steps(remaining=0)


def _dropAddress(step: Step, address: str, accountId: int) -> None:
    """Drop an address of this bucket, if it still leads to the account."""
    key = addressKey(step.bucket, address)
    octets = step.rows.get(ADDRESS, key) if bucketOf(address) == step.bucket else None
    if octets is None:
        return
    record = decode(octets, AddressRecord)
    if (record.bucket, record.accountId) == (step.bucket, accountId):
        step.rows.delete(ADDRESS, key)


def _emptyNamed(step: Step, accountId: int, name: str, mailboxId: int) -> int:
    """
    A bounded step of emptying a mailbox; its name goes last, so that the next step finds it again. A session that was deleting it at the
    same time may have emptied it.
    """
    mailbox = step.mailbox(mailboxId)
    if mailbox is not None:
        step.putMailbox(mailboxId, replace(mailbox, removed=True))
        step.events.append(MailboxRemoved(step.bucket, mailboxId))
    left = 0 if step.anyMailbox(mailboxId) is None else empty(step, mailboxId)
    if not left:
        step.rows.delete(USER, nameKey(step.bucket, accountId, name))
    return left


def setAddress(step: Step, entry: SetAddress) -> Outcome:
    """Point an address somewhere, or drop it."""
    key = addressKey(step.bucket, entry.address)
    if not entry.accountId and not entry.targets:
        step.rows.delete(ADDRESS, key)
        return Done()
    if entry.onlyNew and step.rows.get(ADDRESS, key) is not None:
        return Refused("exists")
    record = AddressRecord(bucket=entry.bucket, accountId=entry.accountId, targets=entry.targets)
    step.rows.put(ADDRESS, key, encode(record))
    return Done()


def takePopLock(step: Step, entry: TakePopLock) -> Outcome:
    """The exclusive lock of a POP3 session (RFC 1939 §4); one of an earlier incarnation of its node is void."""
    if step.account(entry.accountId) is None:
        return Refused("noAccount")
    held = step.popLock(entry.accountId)
    mine = PopLockRecord(node=entry.node, incarnation=entry.incarnation, session=entry.session)
    if held is not None:
        isOver = held.node == entry.node and held.incarnation < entry.incarnation
        if held != mine and not isOver:
            return Locked(holder=held)
    step.rows.put(USER, popLockKey(step.bucket, entry.accountId), encode(mine))
    return Done()


def dropPopLock(step: Step, entry: DropPopLock) -> Outcome:
    """Give the lock back, if it is still this session's."""
    mine = PopLockRecord(node=entry.node, incarnation=entry.incarnation, session=entry.session)
    if step.popLock(entry.accountId) == mine:
        step.rows.delete(USER, popLockKey(step.bucket, entry.accountId))
    return Done()


def setDomain(rows: IRows, entry: SetDomain) -> tuple[Outcome, list[Event]]:
    """Add or change a domain of the array."""
    key = domainKey(entry.name)
    octets = rows.get(ARRAY, key)
    if entry.onlyNew and octets is not None:
        return Refused("exists"), []
    if entry.was is not None:
        known = None if octets is None else decode(octets, DomainRecord)
        if known is None or entry.was != (known.catchAll, known.postmaster):
            return Refused("changed"), []
    rows.put(ARRAY, key, encode(DomainRecord(catchAll=entry.catchAll, postmaster=entry.postmaster)))
    return Done(), [DomainsChanged()]


def removeDomain(rows: IRows, entry: RemoveDomain) -> tuple[Outcome, list[Event]]:
    """Drop a domain."""
    return (
        (Done(), [DomainsChanged()])
        if rows.delete(ARRAY, domainKey(entry.name))
        else (Refused("noMailbox"), [])
    )


def setSetting(rows: IRows, entry: SetSetting) -> tuple[Outcome, list[Event]]:
    """Set or drop a replicated setting."""
    if entry.value:
        rows.put(ARRAY, settingKey(entry.name), entry.value.encode())
    else:
        rows.delete(ARRAY, settingKey(entry.name))
    return Done(), [DomainsChanged()]
