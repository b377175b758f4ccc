"""
The entries of the replicated log: requests with everything uncertain settled (design §5).

Ids, times, credentials and a new mailbox's UIDVALIDITY are drawn by the proposer and stand in the entry; UIDs, MODSEQs, flags,
quota, references and delivery outcomes are computed when it is applied. An op kind's tag and meaning never change.

Pure. An encoded entry is one format octet, then a MessagePack array that begins with the tag.
"""

from __future__ import annotations

from typing import Any

import msgspec

from jindimail.cluster.arrayentries import AnyArrayEntry
from jindimail.errors import Corrupt
from jindimail.store.records import PopLockRecord, WaitingRecord

FORMAT = b"\x01"
UIDS_PER_ENTRY_MAX = 5_000  # a longer STORE, COPY or EXPUNGE becomes several entries

Ranges = tuple[tuple[int, int], ...]


class Entry(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag_field="kind"):
    """The base of all entries; `seconds` is the proposer's clock."""

    seconds: int


class Noop(Entry, frozen=True, kw_only=True, tag=0):
    """Nothing; a new leader's first entry."""


# --- accounts and addresses ---


class CreateAccount(Entry, frozen=True, kw_only=True, tag=1):
    """An account with INBOX and these further mailboxes, and its first address if that hashes to this bucket."""

    accountId: int
    addresses: tuple[str, ...]
    credential: str
    quotaOctets: int
    quotaMessages: int
    mailboxes: tuple[tuple[str, str], ...]  # name, special use
    uidValidity: int
    mayAdminister: bool = False


class SetAccount(Entry, frozen=True, kw_only=True, tag=2):
    """Change what is not None."""

    accountId: int
    addresses: tuple[str, ...] | None = None
    credential: str | None = None
    enabled: bool | None = None
    quotaOctets: int | None = None
    quotaMessages: int | None = None
    mayAdminister: bool | None = None


class RemoveAccount(Entry, frozen=True, kw_only=True, tag=3):
    """Disable the account at once, then empty it a bounded step at a time; outcome `Steps`."""

    accountId: int


class SetAddress(Entry, frozen=True, kw_only=True, tag=4):
    """Point an address at an account or at targets, or drop it; refused `exists` if `onlyNew` and taken."""

    address: str
    bucket: int = 0
    accountId: int = 0
    targets: tuple[str, ...] = ()
    onlyNew: bool = False


# --- mailboxes ---


class CreateMailbox(Entry, frozen=True, kw_only=True, tag=10):
    """A mailbox, and its missing superiors (RFC 9051 §6.3.4)."""

    accountId: int
    name: str
    specialUse: str
    uidValidity: int


class DeleteMailbox(Entry, frozen=True, kw_only=True, tag=11):
    """
    Take the name away at once, then empty the mailbox a bounded step at a time; outcome `Steps`.

    @ivar name: what it was called when this was decided; refused `noMailbox` if it is called otherwise by now.
    """

    accountId: int
    mailboxId: int
    name: str = ""


class RenameMailbox(Entry, frozen=True, kw_only=True, tag=12):
    """Rename a mailbox and all its inferiors; superiors of the new name are made."""

    accountId: int
    oldName: str
    newName: str
    uidValidity: int


class Subscribe(Entry, frozen=True, kw_only=True, tag=13):
    """Subscribe to a name, or no longer; the mailbox need not exist."""

    accountId: int
    name: str
    subscribed: bool


class RenewUidValidities(Entry, frozen=True, kw_only=True, tag=14):
    """
    Give mailboxes whose UIDVALIDITY is below a floor another, a bounded number at a time; outcome `Steps`. After a forced recovery,
    since UIDs may be given again for other messages than those that are lost.
    """

    floor: int


# --- messages ---


class Filing(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """One row that a delivery makes."""

    accountId: int
    mailboxId: int = 0  # 0: the account's INBOX
    prefix: bytes = b""  # per-recipient header lines, part of the message as clients see it
    flags: tuple[str, ...] = ()
    internalSeconds: int | None = None  # None: the entry's


class Deliver(Entry, frozen=True, kw_only=True, tag=20):
    """One body, filed for all its recipients in this bucket; exactly once for one delivery id."""

    deliveryId: bytes
    bodyId: bytes
    size: int
    digest: bytes
    keepers: tuple[int, ...]
    summary: bytes  # an encoded SummaryRecord
    filings: tuple[Filing, ...]


class StoreFlags(Entry, frozen=True, kw_only=True, tag=21):
    """Set, add or remove flags of these UIDs; with `unchangedSince`, only of rows not changed since (RFC 7162 §3.1.3)."""

    mailboxId: int
    ranges: Ranges
    action: int  # REPLACE, ADD, REMOVE
    flags: tuple[str, ...]
    unchangedSince: int | None = None


REPLACE, ADD, REMOVE = 0, 1, 2


class CopyMessages(Entry, frozen=True, kw_only=True, tag=22):
    """Copy by reference within the bucket, or move (RFC 6851): all or none."""

    sourceId: int
    ranges: Ranges
    targetId: int
    move: bool = False


class Expunge(Entry, frozen=True, kw_only=True, tag=23):
    """
    Remove these UIDs; with `onlyDeleted`, of those the ones flagged \\Deleted.

    With `lock`, only if that is the owner's POP3 lock, which is given back if `unlock`.
    """

    mailboxId: int
    ranges: Ranges
    onlyDeleted: bool = True
    lock: PopLockRecord | None = None
    unlock: bool = False


# --- bodies ---


class VoidDelivery(Entry, frozen=True, kw_only=True, tag=30):
    """Commit that this delivery never came, unless it did: its body may be swept, a late delivery is refused (design §6)."""

    deliveryId: bytes


class SetKeepers(Entry, frozen=True, kw_only=True, tag=31):
    """Compare-and-set of a body's keepers; does nothing if the body is gone or has others."""

    bodyId: bytes
    old: tuple[int, ...]
    new: tuple[int, ...]


# --- mail that waits for another bucket ---


class Enqueue(Entry, frozen=True, kw_only=True, tag=35):
    """Keep a body for the recipients of a bucket that does not answer (design §7); once for a delivery and a target."""

    bodyId: bytes
    size: int
    digest: bytes
    keepers: tuple[int, ...]
    summary: bytes
    target: int  # a bucket
    sender: str
    waiting: tuple[WaitingRecord, ...]
    dueSeconds: int


class Requeue(Entry, frozen=True, kw_only=True, tag=36):
    """Let a queued message wait on, under another delivery id, if it still waits as `dueSeconds` says."""

    bodyId: bytes
    target: int
    dueSeconds: int
    deliveryId: bytes
    waiting: tuple[WaitingRecord, ...]
    nextSeconds: int
    reason: str


class Dequeue(Entry, frozen=True, kw_only=True, tag=37):
    """A queued message need not wait any longer, if it still waits as `dueSeconds` says."""

    bodyId: bytes
    target: int
    dueSeconds: int


# --- locks ---


class TakePopLock(Entry, frozen=True, kw_only=True, tag=40):
    """Take the POP3 lock; `Locked` while another session holds it. Locks of a node's ended incarnations do not count for that node."""

    accountId: int
    node: int
    incarnation: int
    session: str


class DropPopLock(Entry, frozen=True, kw_only=True, tag=41):
    """Give the POP3 lock back, if it is still this session's."""

    accountId: int
    node: int
    incarnation: int
    session: str


# --- the array's own group ---


class SetDomain(Entry, frozen=True, kw_only=True, tag=50):
    """
    Add or change a domain.

    @ivar was: its catch-all and its postmaster, when this was decided; refused `changed` if they are others by now.
    """

    name: str
    catchAll: str = ""
    postmaster: str = ""
    onlyNew: bool = False
    was: tuple[str, str] | None = None


class RemoveDomain(Entry, frozen=True, kw_only=True, tag=51):
    """Drop a domain."""

    name: str


class SetSetting(Entry, frozen=True, kw_only=True, tag=52):
    """Set a replicated setting; an empty value drops it."""

    name: str
    value: str


class Once(Entry, frozen=True, kw_only=True, tag=70):
    """
    Another entry (its octets), applied once however often this comes; each time the outcome is the first one's.

    The id begins with the seconds of the proposer's clock, so that those of one time stand together.
    """

    requestId: bytes
    entry: bytes


AnyEntry = (
    Noop
    | CreateAccount
    | SetAccount
    | RemoveAccount
    | SetAddress
    | CreateMailbox
    | DeleteMailbox
    | RenameMailbox
    | Subscribe
    | RenewUidValidities
    | Deliver
    | StoreFlags
    | CopyMessages
    | Expunge
    | VoidDelivery
    | SetKeepers
    | Enqueue
    | Requeue
    | Dequeue
    | TakePopLock
    | DropPopLock
    | SetDomain
    | RemoveDomain
    | SetSetting
    | Once
    | AnyArrayEntry
)

# The kinds that came after level 1, with the level that brought them: they are not proposed before all nodes know them.
LEVELS: dict[type[Any], int] = {}

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[AnyEntry] = msgspec.msgpack.Decoder(AnyEntry)


def encodeEntry(entry: AnyEntry) -> bytes:
    """An entry as it stands in the log."""
    return FORMAT + _encode(entry)


def decodeEntry(octets: bytes) -> AnyEntry:
    """
    An entry of the log.

    @raise Corrupt: it is of no kind that this version knows.
    """
    if octets[:1] != FORMAT:
        raise Corrupt("entry of unknown format")
    try:
        return _decoder.decode(memoryview(octets)[1:])
    except msgspec.MsgspecError as problem:
        raise Corrupt("entry does not decode") from problem
