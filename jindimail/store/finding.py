"""What a check of the store finds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What is wrong; the values are what `jindictl check --json` prints."""

    UNREADABLE = "unreadable"  # LMDB itself cannot read a page
    UNDECODABLE = "undecodable"  # a record, or a key, that is of no known form
    CHUNK_MISSING = "chunk-missing"
    CHUNK_EXTRA = "chunk-extra"
    BODY_DAMAGED = "body-damaged"  # its octets are not those that came
    KEEPERS_MISSING = "keepers-missing"  # no node keeps the body
    BODY_ORPHAN = "body-orphan"  # no bodyref: on its way, or left by a crash until it is swept
    REFERENCES_WRONG = "references-wrong"
    BODYREF_UNUSED = "bodyref-unused"  # no message row names the body
    MESSAGE_DANGLING = "message-dangling"  # no bodyref, no prefix, or no mailbox
    MESSAGE_SIZE_WRONG = "message-size-wrong"
    SUMMARY_MISSING = "summary-missing"
    SUMMARY_BROKEN = "summary-broken"
    SUMMARY_ORPHAN = "summary-orphan"
    PREFIX_MISSING = "prefix-missing"
    PREFIX_ORPHAN = "prefix-orphan"
    UID_TOO_HIGH = "uid-too-high"
    MODSEQ_TOO_HIGH = "modseq-too-high"
    KEYWORD_UNKNOWN = "keyword-unknown"
    CHANGE_MISSING = "change-missing"
    CHANGE_BROKEN = "change-broken"
    CHANGE_STRAY = "change-stray"
    COUNTS_WRONG = "counts-wrong"
    USAGE_WRONG = "usage-wrong"
    NAME_DANGLING = "name-dangling"
    MAILBOX_NAMELESS = "mailbox-nameless"
    MAILBOX_OWNERLESS = "mailbox-ownerless"
    MAILBOX_BROKEN = "mailbox-broken"  # UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ or the special use cannot be
    ACCOUNT_MISSING = "account-missing"  # rows of an account that is not there
    ACCOUNT_WITHOUT_INBOX = "account-without-inbox"
    ADDRESS_DANGLING = "address-dangling"
    ADDRESS_MISSING = "address-missing"  # an account that its address does not lead to
    DOMAIN_MISSING = "domain-missing"  # an account of a domain that is not there
    DELIVERY_BROKEN = "delivery-broken"  # an outcome that cannot be, or points nowhere
    QUEUE_BROKEN = "queue-broken"  # mail that waits for nobody, or without its body
    ROW_STRAY = "row-stray"  # of a bucket that there is not
    LOG_BROKEN = "log-broken"  # its terms cannot be
    LOG_GAP = "log-gap"
    LOG_SHORT = "log-short"  # it ends before what is applied
    LOG_STRAY = "log-stray"  # rows of no replica, or from before the log's beginning

    @property
    def isWarning(self) -> bool:
        """Whether a sound store may show this: after a crash; or where a domain goes while a user of it comes."""
        return self in (Kind.BODY_ORPHAN, Kind.DOMAIN_MISSING)

    @property
    def isOfReplicas(self) -> bool:
        """Whether a replica cannot go on with it, whatever others have: the file, its records, or the log are not what was written."""
        return self in (
            Kind.UNREADABLE,
            Kind.UNDECODABLE,
            Kind.LOG_BROKEN,
            Kind.LOG_GAP,
            Kind.LOG_SHORT,
            Kind.LOG_STRAY,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    kind: Kind
    table: str
    key: bytes
    where: str  # "bucket 5, mailbox INBOX (258), UID 7"
    text: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.where}: {self.text} [{self.table} {self.key.hex()}]"
