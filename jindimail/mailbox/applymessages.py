"""
Applying the entries that change messages. Pure; see `step` for what every change keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from jindimail.mailbox.entries import (
    ADD,
    REMOVE,
    CopyMessages,
    Deliver,
    Enqueue,
    Expunge,
    Filing,
    SetKeepers,
    StoreFlags,
    VoidDelivery,
)
from jindimail.mailbox.expiry import dropExpired
from jindimail.mailbox.outcomes import Copied, Done, Expunged, Filed, FlagsStored, Outcome, Refused
from jindimail.mailbox.step import Step, counted, fittingBits, flagBits, flagNames
from jindimail.model import DELETED, KEYWORDS_SHIFT, UidSet
from jindimail.store.bodies import deleteBody
from jindimail.store.keys import (
    BODYREF,
    DELIVERY,
    SUMMARY,
    USER,
    bodyrefKey,
    deliveryKey,
    popLockKey,
    prefixKey,
    summaryKey,
)
from jindimail.store.records import (
    ADDED,
    FLAGS,
    VANISHED,
    BodyrefRecord,
    DeliveryRecord,
    FiledRecord,
    MailboxRecord,
    MessageRow,
    decode,
    encode,
)

UID_MAX = 0xFFFFFFFF


def deliver(step: Step, entry: Deliver) -> Outcome:
    """File one body for all its recipients of this bucket, exactly once for one delivery id (design §7)."""
    rows, bucket, bodyId = step.rows, step.bucket, entry.bodyId
    key = deliveryKey(bucket, entry.deliveryId)
    stored = rows.get(DELIVERY, key)
    record = DeliveryRecord(seconds=entry.seconds, filed=())
    if stored is not None:
        record = decode(stored, DeliveryRecord)
        if record.void or record.filed:
            return _repeated(step, entry, record)
    prefixes: dict[bytes, int] = {b"": 0}
    filed = tuple([_file(step, entry, filing, prefixes) for filing in entry.filings])
    references = sum(not one.refused for one in filed)
    if references:
        _keepBody(step, entry, references, prefixes, record)
    elif not record.queued or step.bodyref(bodyId) is None:
        deleteBody(rows, bucket, bodyId)
    rows.put(DELIVERY, key, encode(replace(record, seconds=entry.seconds, filed=filed, index=step.index)))
    dropExpired(step, entry.seconds)
    return Filed(filings=filed)


def _repeated(step: Step, entry: Deliver, record: DeliveryRecord) -> Outcome:
    if step.rows.get(BODYREF, bodyrefKey(step.bucket, entry.bodyId)) is None:
        deleteBody(step.rows, step.bucket, entry.bodyId)  # the repetition may have brought the octets again
    if record.void:
        return Refused("void")
    return Filed(filings=record.filed, repeated=True)


def _file(step: Step, entry: Deliver, filing: Filing, prefixes: dict[bytes, int]) -> FiledRecord:
    accountId = filing.accountId
    account = step.account(accountId)
    if account is None:
        return FiledRecord(accountId=accountId, refused="noAccount")
    if not account.enabled and not filing.mailboxId:
        return FiledRecord(accountId=accountId, refused="disabled")
    size = entry.size + len(filing.prefix)
    if account.quotaOctets or account.quotaMessages:
        if 0 < account.quotaOctets < size:
            return FiledRecord(accountId=accountId, refused="tooLarge")
        usage = step.usage(accountId)
        if (account.quotaOctets and usage.octets + size > account.quotaOctets) or (
            account.quotaMessages and usage.messages + 1 > account.quotaMessages
        ):
            return FiledRecord(accountId=accountId, refused="overQuota")
    mailboxId = filing.mailboxId or account.inboxId
    mailbox = step.mailbox(mailboxId)
    if mailbox is None or mailbox.owner != accountId:
        return FiledRecord(accountId=accountId, refused="noMailbox")
    if mailbox.uidNext > UID_MAX:
        return FiledRecord(accountId=accountId, refused="limit")
    bits, keywords = fittingBits(mailbox.keywords, filing.flags) if filing.flags else (0, mailbox.keywords)
    uid = mailbox.uidNext
    row = MessageRow(
        uid=uid,
        bodyId=entry.bodyId,
        prefix=prefixes.setdefault(filing.prefix, len(prefixes)),
        size=size,
        internalSeconds=entry.seconds if filing.internalSeconds is None else filing.internalSeconds,
        savedSeconds=entry.seconds,
        flags=bits,
        modSeq=mailbox.highestModSeq + 1,
    )
    step.putMessage(mailboxId, row)
    grown = replace(counted(mailbox, (row,), 1), uidNext=uid + 1, keywords=keywords)
    step.changeMailbox(mailboxId, grown, ADDED, ((uid, uid),))
    step.addUsage(accountId, size, 1)
    return FiledRecord(
        accountId=accountId, refused="", mailboxId=mailboxId, uidValidity=mailbox.uidValidity, uid=uid
    )


def _keepBody(
    step: Step, entry: Deliver, references: int, prefixes: dict[bytes, int], record: DeliveryRecord
) -> None:
    bucket, bodyId = step.bucket, entry.bodyId
    known = step.bodyref(bodyId) if record.queued else None
    if known is None:
        newBody(step, entry, references, len(prefixes) - 1)
    else:  # it waits here for other buckets, and has no prefixes yet
        step.putBodyref(
            bodyId, replace(known, references=known.references + references, prefixes=len(prefixes) - 1)
        )
    for prefix, number in prefixes.items():
        if number:
            step.rows.put(SUMMARY, prefixKey(bucket, bodyId, number), prefix)


def newBody(step: Step, entry: Deliver | Enqueue, references: int, prefixes: int = 0) -> None:
    """Write what the bucket knows of a body that it had not yet."""
    record = BodyrefRecord(
        size=entry.size,
        digest=entry.digest,
        references=references,
        keepers=entry.keepers,
        prefixes=prefixes,
    )
    step.putBodyref(entry.bodyId, record)
    step.rows.put(SUMMARY, summaryKey(step.bucket, entry.bodyId), entry.summary)


def storeFlags(step: Step, entry: StoreFlags) -> Outcome:
    """STORE (RFC 9051 §6.4.6) with UNCHANGEDSINCE (RFC 7162 §3.1.3)."""
    mailbox = step.mailbox(entry.mailboxId)
    if mailbox is None:
        return Refused("gone")
    known = flagBits(mailbox.keywords, entry.flags, create=entry.action != REMOVE)
    if known is None:
        return Refused("limit")
    bits, keywords = known
    found = step.messages(entry.mailboxId, entry.ranges)
    limit = entry.unchangedSince
    modified = [row.uid for row in found if limit is not None and row.modSeq > limit]
    held = set(modified)
    was, now = [], []
    for row in found:
        flags = _changed(row.flags, entry.action, bits)
        if flags != row.flags and row.uid not in held:
            was.append(row)
            now.append(replace(row, flags=flags, modSeq=mailbox.highestModSeq + 1))
    if not now:
        return FlagsStored(changed=UidSet(), modified=UidSet.of(modified), modSeq=0)
    for row in now:
        step.putMessage(entry.mailboxId, row)
    changed = UidSet.of(row.uid for row in now)
    recounted = replace(counted(counted(mailbox, was, -1), now, 1), keywords=keywords)
    written = step.changeMailbox(entry.mailboxId, recounted, FLAGS, changed.ranges)
    return FlagsStored(changed=changed, modified=UidSet.of(modified), modSeq=written.highestModSeq)


def _changed(flags: int, action: int, bits: int) -> int:
    if action == ADD:
        return flags | bits
    return flags & ~bits if action == REMOVE else bits


def copyMessages(step: Step, entry: CopyMessages) -> Outcome:
    """COPY and MOVE within the bucket, by reference: all or none (RFC 9051 §6.4.7, RFC 6851)."""
    source, target = step.mailbox(entry.sourceId), step.mailbox(entry.targetId)
    if source is None:
        return Refused("gone")
    if target is None:
        return Refused("noMailbox")
    found = step.messages(entry.sourceId, entry.ranges)
    if not found:
        return Copied(uidValidity=target.uidValidity, sources=UidSet(), targets=UidSet())
    if target.uidNext + len(found) > UID_MAX:
        return Refused("limit")
    octets = sum(row.size for row in found)
    if not _hasRoom(
        step, target.owner, octets, len(found), moved=entry.move and source.owner == target.owner
    ):
        return Refused("overQuota")
    flags, keywords = _mappedFlags(source, target, found)
    first = target.uidNext
    copies = [
        replace(
            row,
            uid=first + at,
            flags=flags[row.flags],
            savedSeconds=entry.seconds,
            modSeq=target.highestModSeq + 1,
        )
        for at, row in enumerate(found)
    ]
    for row in copies:
        step.putMessage(entry.targetId, row)
        step.refer(row.bodyId, 1)
    grown = replace(counted(target, copies, 1), uidNext=first + len(copies), keywords=keywords)
    targets = UidSet(((first, first + len(copies) - 1),))
    step.changeMailbox(entry.targetId, grown, ADDED, targets.ranges)
    step.addUsage(target.owner, octets, len(copies))
    sources = UidSet.of(row.uid for row in found)
    gone = _remove(step, entry.sourceId, found) if entry.move else 0
    return Copied(uidValidity=target.uidValidity, sources=sources, targets=targets, modSeq=gone)


def _hasRoom(step: Step, accountId: int, octets: int, messages: int, *, moved: bool) -> bool:
    account = step.account(accountId)
    if account is None:
        return False
    if moved or not (account.quotaOctets or account.quotaMessages):
        return True
    usage = step.usage(accountId)
    return not (
        (account.quotaOctets and usage.octets + octets > account.quotaOctets)
        or (account.quotaMessages and usage.messages + messages > account.quotaMessages)
    )


def _mappedFlags(
    source: MailboxRecord, target: MailboxRecord, rows: Sequence[MessageRow]
) -> tuple[dict[int, int], tuple[str, ...]]:
    """The target's bits for each value of flags in these rows; keywords go by name, those without room get lost."""
    flags: dict[int, int] = {}
    keywords = target.keywords
    for value in sorted({row.flags for row in rows}):
        if value < 1 << KEYWORDS_SHIFT:
            flags[value] = value
            continue
        flags[value], keywords = fittingBits(keywords, flagNames(source.keywords, value))
    return flags, keywords


def expunge(step: Step, entry: Expunge) -> Outcome:
    """EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9)."""
    mailbox = step.mailbox(entry.mailboxId)
    if mailbox is None:
        return Refused("gone")
    if entry.lock is not None and step.popLock(mailbox.owner) != entry.lock:
        return Refused("lockLost")
    if entry.lock is not None and entry.unlock:
        step.rows.delete(USER, popLockKey(step.bucket, mailbox.owner))
    found = step.messages(entry.mailboxId, entry.ranges)
    if entry.onlyDeleted:
        found = [row for row in found if row.flags & DELETED]
    if not found:
        return Expunged(uids=UidSet(), modSeq=0)
    return Expunged(uids=UidSet.of(row.uid for row in found), modSeq=_remove(step, entry.mailboxId, found))


def _remove(step: Step, mailboxId: int, rows: Sequence[MessageRow]) -> int:
    """Remove rows of a mailbox; the MODSEQ of that change."""
    mailbox = step.mailbox(mailboxId)
    assert mailbox is not None
    step.dropMessages(mailboxId, rows)
    ranges = UidSet.of(row.uid for row in rows).ranges
    written = step.changeMailbox(mailboxId, counted(mailbox, rows, -1), VANISHED, ranges)
    step.addUsage(mailbox.owner, -sum(row.size for row in rows), -len(rows))
    return written.highestModSeq


def voidDelivery(step: Step, entry: VoidDelivery) -> Outcome:
    """Refuse a delivery for ever that has no outcome, so that its body may be swept (design §6)."""
    key = deliveryKey(step.bucket, entry.deliveryId)
    if step.rows.get(DELIVERY, key) is None:
        void = DeliveryRecord(seconds=entry.seconds, filed=(), void=True, index=step.index)
        step.rows.put(DELIVERY, key, encode(void))
    if step.rows.get(BODYREF, bodyrefKey(step.bucket, entry.deliveryId)) is None:
        deleteBody(step.rows, step.bucket, entry.deliveryId)
    return Done()


def setKeepers(step: Step, entry: SetKeepers) -> Outcome:
    """Compare-and-set of a body's keepers (design §6)."""
    record = step.bodyref(entry.bodyId)
    if record is not None and record.keepers == entry.old:
        step.putBodyref(entry.bodyId, replace(record, keepers=entry.new))
    return Done()
