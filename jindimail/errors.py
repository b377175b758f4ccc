"""
The errors that cross layers, each with the answers that the edges give for it.

An error says whose fault it is; its class attributes hold the wire answers of SMTP (RFC 5321, RFC 3463),
IMAP (RFC 9051 §7.1, RFC 5530) and POP3 (RFC 2449 §8). No exception's own text ever reaches a client.
"""

from __future__ import annotations


class JindimailError(Exception):
    """The base of all of them."""

    smtpCode = 451
    smtpEnhanced = "4.3.0"
    smtpText = "local error in processing"
    imapStatus = "NO"
    imapCode = "SERVERBUG"
    imapText = "internal error"
    pop3Code = "SYS/TEMP"
    pop3Text = "internal error"


class ProtocolError(JindimailError):
    """The peer's syntax is wrong; the connection stays usable."""

    smtpCode = 500
    smtpEnhanced = "5.5.2"
    smtpText = "syntax error"
    imapStatus = "BAD"
    imapCode = ""
    imapText = "syntax error"
    pop3Code = ""
    pop3Text = "syntax error"


class Refusal(JindimailError):
    """Well-formed, but no; the same request will be refused again."""

    smtpCode = 550
    smtpEnhanced = "5.7.1"
    smtpText = "refused"
    imapCode = "CANNOT"
    imapText = "refused"
    pop3Code = "SYS/PERM"
    pop3Text = "refused"


class NoSuchUser(Refusal):
    """No account, alias or catch-all takes this address."""

    smtpEnhanced = "5.1.1"
    smtpText = "no such user here"


class RelayDenied(Refusal):
    """The address is in none of the array's domains, and this node sends nothing onward."""

    smtpEnhanced = "5.7.1"
    smtpText = "relaying denied: not a domain of this server"


class UserDisabled(Refusal):
    """The account exists, but an administrator disabled it."""

    smtpEnhanced = "5.2.1"
    smtpText = "mailbox disabled, not accepting messages"
    imapCode = "AUTHORIZATIONFAILED"
    imapText = "account disabled"
    pop3Code = "AUTH"
    pop3Text = "account disabled"


class OverQuota(Refusal):
    """The account's quota (octets or messages) would be exceeded."""

    smtpCode = 452
    smtpEnhanced = "4.2.2"
    smtpText = "mailbox full"
    imapCode = "OVERQUOTA"
    imapText = "quota exceeded"
    pop3Text = "quota exceeded"


class LargerThanQuota(OverQuota):
    """The message alone is larger than the account's whole quota: it will never fit."""

    smtpCode = 552
    smtpEnhanced = "5.2.3"
    smtpText = "message larger than the recipient's mailbox may be"


class MailLoop(Refusal):
    """The message has passed here too often."""

    smtpCode = 554
    smtpEnhanced = "5.4.6"
    smtpText = "mail loop detected"


class TooLarge(Refusal):
    """The message is larger than the limit."""

    smtpCode = 552
    smtpEnhanced = "5.3.4"
    smtpText = "message too large"
    imapCode = "TOOBIG"
    imapText = "message too large"


class NoSuchMailbox(Refusal):
    """No mailbox has this name."""

    imapCode = "NONEXISTENT"
    imapText = "no such mailbox"


class MailboxExists(Refusal):
    """A mailbox of this name is there already."""

    imapCode = "ALREADYEXISTS"
    imapText = "mailbox exists already"


class NotAllowed(Refusal):
    """The operation is not possible on this mailbox (INBOX cannot be deleted, say)."""

    imapText = "not possible"


class TooManyTargets(Refusal):
    """An address leads to more addresses, or through more aliases, than mail is filed for: rather for none than for some of them."""

    smtpEnhanced = "5.5.3"
    smtpText = "leads to too many addresses"


class HasInferiors(NotAllowed):
    """A mailbox with others below it is not deleted (RFC 9051 §6.3.5)."""

    imapCode = "HASCHILDREN"
    imapText = "there are mailboxes below it, delete those first"


class LimitReached(Refusal):
    """A bound of this server (keywords in a mailbox, mailboxes of an account, …)."""

    imapCode = "LIMIT"
    imapText = "limit reached"


class MailboxInUse(Refusal):
    """Another session holds the exclusive lock (POP3, RFC 1939 §3)."""

    imapCode = "INUSE"
    imapText = "mailbox in use"
    pop3Code = "IN-USE"
    pop3Text = "mailbox locked by another session"


class LockLost(JindimailError):
    """The exclusive lock went to another session, since this one's node was taken for dead."""

    imapCode = "INUSE"
    imapText = "lock lost"
    pop3Text = "lock lost, nothing was deleted"


class TooManySessions(JindimailError):
    """The user has as many sessions as one may have."""

    smtpCode = 454
    smtpEnhanced = "4.7.0"
    smtpText = "too many sessions of this user, try later"
    imapCode = "LIMIT"
    imapText = "too many sessions of this user, try later"
    pop3Text = "too many sessions of this user, try later"


class MailboxGone(Refusal):
    """The selected mailbox was deleted or has a new UIDVALIDITY; the session cannot go on with it."""

    imapCode = "NONEXISTENT"
    imapText = "mailbox deleted"
    pop3Text = "mailbox gone"


class AuthenticationFailed(Refusal):
    """Unknown user or wrong password; the two are never told apart."""

    smtpCode = 535
    smtpEnhanced = "5.7.8"
    smtpText = "authentication failed"
    imapCode = "AUTHENTICATIONFAILED"
    imapText = "authentication failed"
    pop3Code = "AUTH"
    pop3Text = "authentication failed"


class TooManyAttempts(JindimailError):
    """Too many failed logins from this address or for this account; try later."""

    smtpCode = 454
    smtpEnhanced = "4.7.0"
    smtpText = "too many failed attempts, try later"
    imapCode = "UNAVAILABLE"
    imapText = "too many failed attempts, try later"
    pop3Code = "LOGIN-DELAY"
    pop3Text = "too many failed attempts, try later"


class Unavailable(JindimailError):
    """A retry may work: no leader, no quorum, shutting down."""

    smtpCode = 451
    smtpEnhanced = "4.3.2"
    smtpText = "temporarily unavailable, try again"
    imapCode = "UNAVAILABLE"
    imapText = "temporarily unavailable"
    pop3Code = "SYS/TEMP"
    pop3Text = "temporarily unavailable"


class StorageFull(Unavailable):
    """Free space is below the level at which this operation is taken (design §4)."""

    smtpCode = 452
    smtpEnhanced = "4.3.1"
    smtpText = "insufficient system storage"
    imapCode = "OVERQUOTA"
    imapText = "insufficient storage"
    pop3Text = "insufficient storage"


class OutcomeUnknown(Unavailable):
    """The request may or may not have been committed, after all retries under one delivery id."""


class Corrupt(Unavailable):
    """A stored thing is not what was stored; repair is under way or needed."""

    imapCode = "CORRUPTION"
    imapText = "stored message is damaged"
    pop3Code = "SYS/PERM"
    pop3Text = "stored message is damaged"


class BodyTaken(JindimailError):
    """Another body has this one's id already. It comes under an id of its own when it is sent again."""


class ConfigError(JindimailError):
    """
    All problems of a configuration at once, each `section.key: what is wrong`.

    @ivar remains: the configuration with the defaults of the keys that are wrong, to look for further problems in; if there is any.
    """

    def __init__(self, problems: tuple[str, ...], remains: object = None) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.remains = remains


class NoSuchDomain(Refusal):
    """The array has no such domain."""

    smtpEnhanced = "5.1.2"
    smtpText = "no such domain here"


class NoSuchAlias(Refusal):
    """No alias has this address."""

    smtpText = "no such alias"


class AddressTaken(Refusal):
    """The address, or the domain, is there already."""

    smtpText = "there already"


class BadAddress(Refusal):
    """Not an address that this array could have."""

    smtpCode = 553
    smtpEnhanced = "5.1.3"
    smtpText = "not a valid address"
