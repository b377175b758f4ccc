"""
What applying an entry answers: a closed union of values. Apply never raises; a refusal is an outcome.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from jindimail.errors import (
    JindimailError,
    LargerThanQuota,
    LimitReached,
    LockLost,
    MailboxExists,
    MailboxGone,
    NoSuchMailbox,
    NoSuchUser,
    NotAllowed,
    OutcomeUnknown,
    OverQuota,
    Unavailable,
    UserDisabled,
)
from jindimail.model import UidSet
from jindimail.store.records import FiledRecord, PopLockRecord

# Why an entry was refused; the names stand in stored delivery outcomes and never change.
REFUSALS: dict[str, type[JindimailError]] = {
    "noAccount": NoSuchUser,
    "disabled": UserDisabled,
    "overQuota": OverQuota,
    "tooLarge": LargerThanQuota,
    "noMailbox": NoSuchMailbox,
    "gone": MailboxGone,
    "exists": MailboxExists,
    "notAllowed": NotAllowed,
    "limit": LimitReached,
    "lockLost": LockLost,
    "void": OutcomeUnknown,
    "changed": Unavailable,
}


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done; there is nothing to tell."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Nothing was changed; `code` is a key of REFUSALS."""

    code: str

    def error(self) -> JindimailError:
        """The error that a use-case raises for it."""
        return REFUSALS[self.code]()


class Locked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing was changed, since another session holds the lock."""

    holder: PopLockRecord


class Steps(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A bounded step was taken; propose the same again while `remaining` messages are left."""

    remaining: int


class MailboxMade(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The mailbox (the last name of the path)."""

    mailboxId: int
    uidValidity: int


class Filed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A delivery's outcome per filing, in order; the same for every repetition."""

    filings: tuple[FiledRecord, ...]
    repeated: bool = False


class FlagsStored(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Which UIDs were changed, which not because of UNCHANGEDSINCE, and the MODSEQ (0: nothing changed)."""

    changed: UidSet
    modified: UidSet
    modSeq: int


class Copied(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """UIDPLUS: the source UIDs that existed and, pairwise in order, their new ones (RFC 4315 §3)."""

    uidValidity: int
    sources: UidSet
    targets: UidSet
    modSeq: int = 0  # of the source's change, for a move


class Expunged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The UIDs that are gone, and the MODSEQ (0: none)."""

    uids: UidSet
    modSeq: int


Outcome = Done | Refused | Locked | Steps | MailboxMade | Filed | FlagsStored | Copied | Expunged


# --- events: what a commit tells the node's own subscribers -----------------------------------------------


@dataclass(frozen=True, slots=True)
class MailboxChanged:
    """A mailbox has changes up to this MODSEQ; read them from `change`."""

    bucket: int
    mailboxId: int
    modSeq: int

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("mailbox", self.bucket, self.mailboxId)


@dataclass(frozen=True, slots=True)
class MailboxRemoved:
    """A mailbox is gone; sessions that selected it end."""

    bucket: int
    mailboxId: int

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("mailbox", self.bucket, self.mailboxId)


@dataclass(frozen=True, slots=True)
class MailboxNamesChanged:
    """An account's list of mailboxes changed."""

    bucket: int
    accountId: int

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("names", self.bucket, self.accountId)


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """An account was made, changed or removed (credentials, quota, enabled)."""

    bucket: int
    accountId: int

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("account", self.bucket, self.accountId)


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """Mail began to wait in a bucket's queue, or its time changed."""

    bucket: int

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("queue", self.bucket)


@dataclass(frozen=True, slots=True)
class DomainsChanged:
    """The array's domains or settings changed."""

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("domains",)


Event = MailboxChanged | MailboxRemoved | MailboxNamesChanged | AccountChanged | QueueChanged | DomainsChanged
