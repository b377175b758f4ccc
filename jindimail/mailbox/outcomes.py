"""
What applying an entry answers: a closed union of values. Apply never raises; a refusal is an outcome.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from jindimail.errors import (
    JindimailError,
    LimitReached,
    MailboxExists,
    MailboxGone,
    MailboxInUse,
    NoSuchMailbox,
    NoSuchUser,
    NotAllowed,
    OutcomeUnknown,
    OverQuota,
    UserDisabled,
)
from jindimail.model import UidSet
from jindimail.store.records import FiledRecord

# Why an entry was refused; the names stand in stored delivery outcomes and never change.
REFUSALS: dict[str, type[JindimailError]] = {
    "noAccount": NoSuchUser,
    "disabled": UserDisabled,
    "overQuota": OverQuota,
    "noMailbox": NoSuchMailbox,
    "gone": MailboxGone,
    "exists": MailboxExists,
    "notAllowed": NotAllowed,
    "limit": LimitReached,
    "locked": MailboxInUse,
    "void": OutcomeUnknown,
}


@dataclass(frozen=True, slots=True)
class Done:
    """It is done; there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed; `code` is a key of REFUSALS."""

    code: str

    def error(self) -> JindimailError:
        """The error that a use-case raises for it."""
        return REFUSALS[self.code]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A bounded step was taken; propose the same again while `remaining` messages are left."""

    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxMade:
    """The mailbox (the last name of the path)."""

    mailboxId: int
    uidValidity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A delivery's outcome per filing, in order; the same for every repetition."""

    filings: tuple[FiledRecord, ...]
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsStored:
    """Which UIDs were changed, which not because of UNCHANGEDSINCE, and the MODSEQ (0: nothing changed)."""

    changed: UidSet
    modified: UidSet
    modSeq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """UIDPLUS: the source UIDs that existed and, pairwise in order, their new ones (RFC 4315 §3)."""

    uidValidity: int
    sources: UidSet
    targets: UidSet
    modSeq: int = 0  # of the source's change, for a move


@dataclass(frozen=True, slots=True, kw_only=True)
class Expunged:
    """The UIDs that are gone, and the MODSEQ (0: none)."""

    uids: UidSet
    modSeq: int


Outcome = Done | Refused | Steps | MailboxMade | Filed | FlagsStored | Copied | Expunged


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
class DomainsChanged:
    """The array's domains or settings changed."""

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("domains",)


Event = MailboxChanged | MailboxRemoved | MailboxNamesChanged | AccountChanged | DomainsChanged
