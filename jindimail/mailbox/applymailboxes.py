"""
Applying the entries that make, rename and remove mailboxes. Pure; see `step` for what every change keeps.

A mailbox's id is the log index of the entry that made it and its place in that entry: unique in its bucket, never reused.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from jindimail.mailbox.entries import (
    CreateMailbox,
    DeleteMailbox,
    RenameMailbox,
    RenewUidValidities,
    Subscribe,
)
from jindimail.mailbox.outcomes import (
    Done,
    MailboxMade,
    MailboxNamesChanged,
    MailboxRemoved,
    Outcome,
    Refused,
    Steps,
)
from jindimail.mailbox.step import Step, counted
from jindimail.model import HIERARCHY_DELIMITER, INBOX
from jindimail.store.keys import (
    CHANGE,
    MAILBOX,
    MESSAGE,
    USER,
    after,
    bucketKey,
    changeKey,
    mailboxKey,
    messageKey,
    nameKey,
    subscriptionKey,
    unpackMailboxKey,
)
from jindimail.store.records import AccountRecord, MailboxRecord, decode

MAILBOXES_PER_ACCOUNT_MAX = 10_000
SUBSCRIPTIONS_PER_ACCOUNT_MAX = 20_000
NAME_OCTETS_MAX = 400  # a name stands in a key of at most 511 octets
MESSAGES_PER_STEP = 1_000
MAILBOXES_PER_STEP = 500
_ORDINAL_BITS = 8
DEPTH_MAX = 1 << (_ORDINAL_BITS - 1)


def createMailbox(step: Step, entry: CreateMailbox) -> Outcome:
    """CREATE (RFC 9051 §6.3.4)."""
    account = step.account(entry.accountId)
    if account is None:
        return Refused("noAccount")
    if idOf(step, entry.accountId, entry.name):
        return Refused("exists")
    if entry.name.count(HIERARCHY_DELIMITER) >= DEPTH_MAX or _isFull(step, entry.accountId):
        return Refused("limit")
    made = makePath(step, entry.accountId, account, entry.name, entry.specialUse, entry.uidValidity)
    step.events.append(MailboxNamesChanged(step.bucket, entry.accountId))
    return made


def makePath(
    step: Step, accountId: int, account: AccountRecord, name: str, specialUse: str, uidValidity: int
) -> MailboxMade:
    """Make a mailbox and those of its superiors that are missing; UIDVALIDITYs rise in the account."""
    validity = max(uidValidity, account.uidValidityLast + 1)
    parts = name.split(HIERARCHY_DELIMITER)
    paths = [HIERARCHY_DELIMITER.join(parts[: depth + 1]) for depth in range(len(parts))]
    missing = [path for path in paths if not idOf(step, accountId, path)]
    mailboxId = 0
    for ordinal, path in enumerate(missing):
        mailboxId = putNew(
            step, accountId, ordinal, path, specialUse if path == name else "", validity + ordinal
        )
    last = validity + len(missing) - 1
    step.putAccount(accountId, replace(account, uidValidityLast=last))
    return MailboxMade(mailboxId=mailboxId, uidValidity=last)


def putNew(step: Step, accountId: int, ordinal: int, name: str, specialUse: str, uidValidity: int) -> int:
    """Write a new, empty mailbox and its name; its id."""
    mailboxId = step.index << _ORDINAL_BITS | ordinal
    record = MailboxRecord(owner=accountId, name=name, uidValidity=uidValidity, specialUse=specialUse)
    step.putMailbox(mailboxId, record)
    step.rows.put(USER, nameKey(step.bucket, accountId, name), mailboxId.to_bytes(8, "big"))
    return mailboxId


def idOf(step: Step, accountId: int, name: str) -> int:
    """The id of a mailbox by name, 0 if there is none."""
    octets = step.rows.get(USER, nameKey(step.bucket, accountId, name))
    return 0 if octets is None else int.from_bytes(octets, "big")


def deleteMailbox(step: Step, entry: DeleteMailbox) -> Outcome:
    """DELETE (RFC 9051 §6.3.5): the name at once, the messages step by step."""
    record = step.anyMailbox(entry.mailboxId)
    if record is None or record.owner != entry.accountId:
        return Refused("noMailbox")
    if not record.removed:
        if entry.name and record.name != entry.name:
            return Refused("noMailbox")
        if record.name == INBOX or any(_inferiors(step, entry.accountId, record.name)):
            return Refused("notAllowed")
        unname(step, entry.mailboxId, record)
    return Steps(remaining=empty(step, entry.mailboxId))


def unname(step: Step, mailboxId: int, record: MailboxRecord) -> None:
    """Take a mailbox's name away; sessions that have it open end."""
    step.rows.delete(USER, nameKey(step.bucket, record.owner, record.name))
    step.putMailbox(mailboxId, replace(record, removed=True))
    step.events.append(MailboxRemoved(step.bucket, mailboxId))
    step.events.append(MailboxNamesChanged(step.bucket, record.owner))


def empty(step: Step, mailboxId: int) -> int:
    """Remove up to MESSAGES_PER_STEP messages of a nameless mailbox, with the last also the mailbox; how many are left."""
    record = step.anyMailbox(mailboxId)
    assert record is not None
    found = step.messages(mailboxId, _firstRanges(step, mailboxId))
    step.dropMessages(mailboxId, found)
    step.addUsage(record.owner, -sum(row.size for row in found), -len(found))
    left = counted(record, found, -1)
    if left.messages:
        step.putMailbox(mailboxId, left)
        return left.messages
    for modSeq in range(record.changeFloor + 1, record.highestModSeq + 1):
        step.rows.delete(CHANGE, changeKey(step.bucket, mailboxId, modSeq))
    step.rows.delete(MAILBOX, mailboxKey(step.bucket, mailboxId))
    return 0


def _firstRanges(step: Step, mailboxId: int) -> tuple[tuple[int, int], ...]:
    """A UID range that holds the first MESSAGES_PER_STEP messages at most."""
    first = last = 0
    count = 0
    start = messageKey(step.bucket, mailboxId, 0)
    stop = messageKey(step.bucket, mailboxId, 0xFFFFFFFF) + b"\x00"
    for key, _ in step.rows.scan(MESSAGE, start, stop):
        last = int.from_bytes(key[-4:], "big")
        first = first or last
        count += 1
        if count == MESSAGES_PER_STEP:
            break
    return ((first, last),) if count else ()


def renameMailbox(step: Step, entry: RenameMailbox) -> Outcome:
    """RENAME with all inferiors (RFC 9051 §6.3.6); INBOX is the use-case's, which moves its messages."""
    account = step.account(entry.accountId)
    if account is None:
        return Refused("noAccount")
    oldName, newName = entry.oldName, entry.newName
    mailboxId = idOf(step, entry.accountId, oldName)
    if not mailboxId:
        return Refused("noMailbox")
    if oldName == INBOX or newName.startswith(oldName + HIERARCHY_DELIMITER):
        return Refused("notAllowed")
    if idOf(step, entry.accountId, newName):
        return Refused("exists")
    if newName.count(HIERARCHY_DELIMITER) >= DEPTH_MAX:
        return Refused("limit")
    moved = [(oldName, mailboxId), *_inferiors(step, entry.accountId, oldName)]
    if any(
        len(newName.encode()) + len(name.encode()) - len(oldName.encode()) > NAME_OCTETS_MAX
        for name, _ in moved
    ):
        return Refused("limit")
    parent = newName.rpartition(HIERARCHY_DELIMITER)[0]
    if parent and not idOf(step, entry.accountId, parent):
        makePath(step, entry.accountId, account, parent, "", entry.uidValidity)
    for name, oneId in moved:
        record = step.anyMailbox(oneId)
        assert record is not None
        renamed = newName + name[len(oldName) :]
        step.rows.delete(USER, nameKey(step.bucket, entry.accountId, name))
        step.rows.put(USER, nameKey(step.bucket, entry.accountId, renamed), oneId.to_bytes(8, "big"))
        step.putMailbox(oneId, replace(record, name=renamed))
    step.events.append(MailboxNamesChanged(step.bucket, entry.accountId))
    return Done()


def subscribe(step: Step, entry: Subscribe) -> Outcome:
    """SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8)."""
    if step.account(entry.accountId) is None:
        return Refused("noAccount")
    key = subscriptionKey(step.bucket, entry.accountId, entry.name)
    if not entry.subscribed:
        step.rows.delete(USER, key)
        return Done()
    prefix = subscriptionKey(step.bucket, entry.accountId, "")
    if sum(1 for _ in step.rows.scan(USER, prefix, after(prefix))) >= SUBSCRIPTIONS_PER_ACCOUNT_MAX:
        return Refused("limit")
    step.rows.put(USER, key, b"")
    return Done()


def names(step: Step, accountId: int, prefix: str) -> Iterator[tuple[str, int]]:
    """The account's mailboxes whose names begin with `prefix`: name and id."""
    start = nameKey(step.bucket, accountId, prefix)
    cut = len(nameKey(step.bucket, accountId, ""))
    for key, octets in step.rows.scan(USER, start, after(start)):
        yield key[cut:].decode(), int.from_bytes(octets, "big")


def _inferiors(step: Step, accountId: int, name: str) -> list[tuple[str, int]]:
    return list(names(step, accountId, name + HIERARCHY_DELIMITER))


def _isFull(step: Step, accountId: int) -> bool:
    return sum(1 for _ in names(step, accountId, "")) >= MAILBOXES_PER_ACCOUNT_MAX


def renewUidValidities(step: Step, entry: RenewUidValidities) -> Outcome:
    """Mailboxes get UIDVALIDITYs above a floor; sessions that have them open end."""
    old = [
        (mailboxId, record)
        for key, octets in step.rows.scan(MAILBOX, bucketKey(step.bucket), bucketKey(step.bucket + 1))
        if (record := decode(octets, MailboxRecord)).uidValidity < entry.floor and not record.removed
        for _, mailboxId in [unpackMailboxKey(key)]
    ]
    for mailboxId, record in old[:MAILBOXES_PER_STEP]:
        account = step.account(record.owner)
        last = 0 if account is None else account.uidValidityLast
        validity = max(entry.floor, last + 1)
        if account is not None:
            step.putAccount(record.owner, replace(account, uidValidityLast=validity))
        step.putMailbox(mailboxId, replace(record, uidValidity=validity))
        step.events.append(MailboxRemoved(step.bucket, mailboxId))
    return Steps(remaining=len(old[MAILBOXES_PER_STEP:]))
