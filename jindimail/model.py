"""
The values that all layers speak: addresses, flags, uid sets, changes, bodies.

Pure. Units stand last in names; times are whole seconds since the epoch in UTC unless a name says `Milliseconds`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Protocol

import msgspec

BUCKET_COUNT = 256
ARRAY_GROUP = 0  # the array's own group; bucket b is group b + 1

# The low byte of a message row's flag bits (RFC 9051 §2.3.2); the rest are the mailbox's keywords.
SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = 1, 2, 4, 8, 16
SYSTEM_FLAGS = {
    "\\Seen": SEEN,
    "\\Answered": ANSWERED,
    "\\Flagged": FLAGGED,
    "\\Deleted": DELETED,
    "\\Draft": DRAFT,
}
KEYWORDS_SHIFT = 8
KEYWORDS_MAX = 56

INBOX = "INBOX"
HIERARCHY_DELIMITER = "/"
SPECIAL_USES = ("\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash")
DEFAULT_MAILBOXES = (
    ("Sent", "\\Sent"),
    ("Drafts", "\\Drafts"),
    ("Trash", "\\Trash"),
    ("Junk", "\\Junk"),
    ("Archive", "\\Archive"),
)


def bucketGroup(bucket: int) -> int:
    """The replication group of a bucket."""
    return bucket + 1


def normaliseAddress(address: str) -> str:
    """An address as it is hashed and looked up: NFC, lower case (design §2)."""
    return unicodedata.normalize("NFC", address).lower()


class Digesting(Protocol):
    """A hash that is being made."""

    def update(self, octets: bytes, /) -> None:
        """Take octets."""

    def digest(self) -> bytes:
        """The hash of all that were taken."""


def bucketOf(address: str) -> int:
    """The bucket that an address hashes to; fixed for ever."""
    digest = blake2b(normaliseAddress(address).encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKET_COUNT


def digestOf(octets: bytes) -> bytes:
    """The digest that stands beside a body and only verifies it: SHA-256 (docs/adr/0031)."""
    return sha256(octets).digest()


def digesting(digest: bytes | None = None) -> Digesting:
    """What makes a body's digest piece by piece, in the way in which `digest` was made: in older stores BLAKE2b of 16 octets."""
    return blake2b(digest_size=16) if digest is not None and len(digest) == 16 else sha256()


def isDigestOf(digest: bytes, octets: bytes) -> bool:
    """Whether octets are those that a body's digest was made of."""
    hashing = digesting(digest)
    hashing.update(octets)
    return hashing.digest() == digest


class UidSet:
    """
    An immutable set of UIDs as ascending, disjoint, non-adjacent inclusive ranges.

    Cheap for the sets that mail clients make (few ranges), whatever their size.
    """

    __slots__ = ("ranges",)

    def __init__(self, ranges: tuple[tuple[int, int], ...] = ()) -> None:
        self.ranges = ranges

    @classmethod
    def of(cls, uids: Iterable[int]) -> UidSet:
        """The set of these UIDs, in any order, with or without repetitions."""
        return cls.ofRanges((uid, uid) for uid in uids)

    @classmethod
    def ofRanges(cls, ranges: Iterable[tuple[int, int]]) -> UidSet:
        """The set of these inclusive ranges, in any order, overlapping or not."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted(ranges):
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, int) and any(low <= uid <= high for low, high in self.ranges)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UidSet) and other.ranges == self.ranges

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __repr__(self) -> str:
        return f"UidSet({self})"

    def __str__(self) -> str:
        """The set as IMAP writes it: `1:5,9` (RFC 9051, sequence-set)."""
        return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in self.ranges)


# --- Changes: what a mailbox's sessions are told, a closed union --------------------------------------------


class Added(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Messages were added with these UIDs (fetch their rows)."""

    modSeq: int
    uids: UidSet


class FlagsChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Flags or keywords of these UIDs changed (fetch their rows)."""

    modSeq: int
    uids: UidSet


class Vanished(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """These UIDs are gone and will never return (RFC 7162 §3.2.10)."""

    modSeq: int
    uids: UidSet


Change = Added | FlagsChanged | Vanished


# --- Bodies ------------------------------------------------------------------------------------------------


class IPieces(Protocol):
    """The octets of a body, read piece by piece, as often as needed."""

    def pieces(self, octetsMax: int) -> Iterator[bytes]:
        """Yield the body in order, in pieces of exactly `octetsMax` octets but for the last."""
        ...


class OctetPieces(msgspec.Struct, frozen=True):
    """A body that stands in memory."""

    octets: bytes

    def pieces(self, octetsMax: int) -> Iterator[bytes]:
        """Yield slices of the octets."""
        for start in range(0, len(self.octets), octetsMax):
            yield self.octets[start : start + octetsMax]


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A message's octets on their way into the store, named by the delivery that brings them."""

    bodyId: bytes
    size: int
    digest: bytes
    source: IPieces

    @classmethod
    def ofOctets(cls, bodyId: bytes, octets: bytes) -> Body:
        """A body held in memory."""
        return cls(bodyId=bodyId, size=len(octets), digest=digestOf(octets), source=OctetPieces(octets))


# --- The envelope of a delivery ----------------------------------------------------------------------------


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One account that an address leads to."""

    bucket: int
    accountId: int
    address: str  # the account's own address at the end of aliases


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope recipient as given, and the accounts it leads to."""

    address: str
    targets: tuple[Target, ...]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An SMTP or LMTP transaction's envelope (RFC 5321 §2.3.1)."""

    deliveryId: bytes
    sender: str  # "" is the null reverse-path
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxSummary:
    """What LIST and STATUS tell of a mailbox."""

    mailboxId: int
    name: str
    uidValidity: int
    uidNext: int
    highestModSeq: int
    messages: int
    unseen: int
    deleted: int
    octets: int
    specialUse: str = ""
    subscribed: bool = False
    keywords: tuple[str, ...] = field(default=())
