"""
The records' values. Every encoded record begins with one octet: the format version of its kind.

Pure. Cold records are msgspec structs in MessagePack arrays (a field is only ever added at the end, with a default);
the hot message row is a fixed struct of 51 octets.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import TypeVar

import msgspec

from jindimail.errors import Corrupt

FORMAT = b"\x01"
LIFE_OCTETS = 8
LIVES_OCTETS = 128 * LIFE_OCTETS  # of a node's last incarnations, the present one among them


class Record(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """The base of all records; immutable."""


class AccountRecord(Record, frozen=True, kw_only=True):
    """A user's account: `user` (bucket, account id)."""

    addresses: tuple[str, ...]  # the first is the login name
    credential: str  # argon2id in PHC form, or "" for none
    enabled: bool
    quotaOctets: int  # 0: no limit
    quotaMessages: int  # 0: no limit
    inboxId: int
    uidValidityLast: int  # the highest that any of its mailboxes ever had
    createdSeconds: int
    removed: bool = False  # being removed, step by step
    mayAdminister: bool = False


class UsageRecord(Record, frozen=True, kw_only=True):
    """What an account's messages take: `user` (bucket, account id, usage)."""

    octets: int
    messages: int


class FloorRecord(Record, frozen=True, kw_only=True):
    """The highest UIDVALIDITY of the accounts that were removed from a bucket: those made anew begin above it."""

    uidValidity: int


class ClocksRecord(Record, frozen=True, kw_only=True):
    """What proposers' clocks said in some of a bucket's last deliveries, the oldest first (mailbox/expiry.py)."""

    seconds: tuple[int, ...] = ()


class PopLockRecord(Record, frozen=True, kw_only=True):
    """Who holds an account's POP3 lock; void when the node's incarnation is over."""

    node: int
    incarnation: int
    session: str


class AddressRecord(Record, frozen=True, kw_only=True):
    """What an address leads to: one account (in any bucket), or an alias's targets: `address`."""

    bucket: int = 0
    accountId: int = 0  # 0: an alias
    targets: tuple[str, ...] = ()


class MailboxRecord(Record, frozen=True, kw_only=True):
    """A mailbox: `mailbox` (bucket, mailbox id)."""

    owner: int
    name: str
    uidValidity: int
    uidNext: int = 1
    highestModSeq: int = 1
    messages: int = 0
    unseen: int = 0
    deleted: int = 0  # messages flagged \Deleted
    octets: int = 0
    changeFloor: int = 1  # change rows with a MODSEQ up to this were dropped
    keywords: tuple[str, ...] = ()
    specialUse: str = ""
    removed: bool = False  # nameless, being emptied step by step


class BodyrefRecord(Record, frozen=True, kw_only=True):
    """A body as the bucket knows it: `bodyref` (bucket, body id)."""

    size: int
    digest: bytes
    references: int
    keepers: tuple[int, ...]  # node numbers, always explicit
    prefixes: int = 0  # per-recipient prefixes stored so far


class SummaryRecord(Record, frozen=True, kw_only=True):
    """What clients read of a message without its body, wire-ready: `summary` (bucket, body id)."""

    envelope: bytes  # IMAP ENVELOPE, parenthesised
    bodyStructure: bytes  # IMAP BODYSTRUCTURE, parenthesised
    headerOctets: int  # of the stored body, with the blank line, without a prefix
    messageId: bytes
    sentSeconds: int | None
    preview: str
    parts: bytes = b""  # message/'s compact part tree, or empty: parse on demand


class ChangeRecord(Record, frozen=True, kw_only=True):
    """One change of a mailbox: `change` (bucket, mailbox id, MODSEQ)."""

    kind: int  # ADDED, FLAGS, VANISHED
    ranges: tuple[tuple[int, int], ...]


ADDED, FLAGS, VANISHED = 1, 2, 3


class FiledRecord(Record, frozen=True, kw_only=True):
    """Where one filing of a delivery went, or why it did not."""

    accountId: int
    refused: str  # "" or a refusal of mailbox/outcomes.py
    mailboxId: int = 0
    uidValidity: int = 0
    uid: int = 0


class DeliveryRecord(Record, frozen=True, kw_only=True):
    """A delivery's stored outcome: `delivery` (bucket, delivery id); `void` refuses a late delivery."""

    seconds: int
    filed: tuple[
        FiledRecord, ...
    ]  # empty: nothing of it was filed here, it only waits here for other buckets
    void: bool = False
    queued: tuple[int, ...] = ()  # the buckets for which it was queued here
    index: int = 0  # of the entry


class WaitingRecord(Record, frozen=True, kw_only=True):
    """One filing that waits for its bucket."""

    accountId: int
    prefix: bytes
    address: str  # the recipient's, as its sender gave it


class QueueRecord(Record, frozen=True, kw_only=True):
    """A message that waits for a bucket: `queue` (bucket, due seconds, body id, target bucket)."""

    deliveryId: bytes  # under which the target bucket files it: the body's id, until that was refused
    sender: str
    waiting: tuple[WaitingRecord, ...]
    sinceSeconds: int
    reason: str = ""  # why it could not be filed the last time, a refusal of mailbox/outcomes.py


class RequestRecord(Record, frozen=True, kw_only=True):
    """What a request under an id came to: `request` (group, request id)."""

    outcome: bytes
    index: int = 0  # of the entry


class DomainRecord(Record, frozen=True, kw_only=True):
    """A domain of the array: `array`."""

    catchAll: str = ""  # an address that takes what no one else does
    postmaster: str = ""  # who reads postmaster@, always accepted


class MetaRecord(Record, frozen=True, kw_only=True):
    """
    Who this store belongs to: `meta` "node".

    @ivar lives: what was drawn for each of the last incarnations, the latest last (cluster/hello.py).
    @ivar ends: with how many commits each of those before the present one ended, in eight octets; 0 where that says nothing.
    """

    arrayId: bytes
    node: int
    name: str
    format: int
    incarnation: int
    lives: bytes = b""
    ends: bytes = b""


R = TypeVar("R", bound=Record)

_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Record], msgspec.msgpack.Decoder[Record]] = {}


def encode(record: Record) -> bytes:
    """A record as it is stored."""
    return FORMAT + _encode(record)


def decode(octets: bytes, kind: type[R]) -> R:
    """
    A stored record.

    @raise Corrupt: it is not of this kind, or of a format this version does not know.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    if octets[:1] != FORMAT:
        raise Corrupt(f"{kind.__name__} of unknown format")
    try:
        return decoder.decode(memoryview(octets)[1:])  # type: ignore[return-value]
    except msgspec.MsgspecError as problem:
        raise Corrupt(f"{kind.__name__} does not decode") from problem


class MessageRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The hot row of a message: `message` (bucket, mailbox id, UID); its UID stands in the key."""

    uid: int
    bodyId: bytes
    prefix: int  # which of the body's per-recipient prefixes, 0: none
    size: int  # octets as clients see them, prefix included
    internalSeconds: int
    savedSeconds: int
    flags: int  # system flags in the low octet, then the mailbox's keywords by position
    modSeq: int


_ROW = Layout(">B16sHIqIQQ")
_ROW_FORMAT = 1


def packRow(row: MessageRow) -> bytes:
    """A message row as it is stored."""
    return _ROW.pack(
        _ROW_FORMAT,
        row.bodyId,
        row.prefix,
        row.size,
        row.internalSeconds,
        row.savedSeconds,
        row.flags,
        row.modSeq,
    )


def unpackRow(uid: int, octets: bytes) -> MessageRow:
    """
    A stored message row.

    @raise Corrupt: it has another length or format.
    """
    if len(octets) != _ROW.size or octets[0] != _ROW_FORMAT:
        raise Corrupt("message row of unknown format")
    _, bodyId, prefix, size, internal, saved, flags, modSeq = _ROW.unpack(octets)
    return MessageRow(
        uid=uid,
        bodyId=bodyId,
        prefix=prefix,
        size=size,
        internalSeconds=internal,
        savedSeconds=saved,
        flags=flags,
        modSeq=modSeq,
    )
