"""
The message of an APPEND on its way in (RFC 3501 §6.3.11): judged before the client sends it, then spooled.

What can be known before the literal comes is answered before: a missing mailbox, a message too large, a full quota. The client
of a synchronising literal then need not send it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jindimail.errors import JindimailError, NoSuchMailbox, Refusal, TooLarge
from jindimail.imap4.names import decodeName
from jindimail.imap4.reader import Offer
from jindimail.imap4.syntax import Cursor
from jindimail.imap4.verbs import WrongState

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


class NoTarget(NoSuchMailbox):
    """There is no such mailbox, but the client may create it."""

    imapCode = "TRYCREATE"


class HasNul(Refusal):
    """A literal holds no NUL (RFC 3501 §9, CHAR8)."""

    imapCode = "CANNOT"
    imapText = "the message holds a NUL octet"


class Empty(Refusal):
    """Nothing is no message; a client that gives an APPEND up sends an empty literal (RFC 3502)."""

    imapCode = "CANNOT"
    imapText = "an empty message cannot be appended"


class Upload:
    """One message being appended."""

    def __init__(
        self,
        mailbox: str,
        flags: tuple[str, ...],
        internalSeconds: int | None,
        segmentCount: int,
        spooled: Any,
    ) -> None:
        self.segmentCount = segmentCount  # of the command, up to the message
        self.mailbox = mailbox
        self.flags = flags
        self.internalSeconds = internalSeconds
        self._spooled = spooled
        self._error: JindimailError | None = None

    def write(self, octets: bytes) -> None:
        """Octets of the message. What goes wrong is told by `finish`; the literal is read to its end all the same."""
        if self._error is not None:
            return
        if b"\0" in octets:
            self._error = HasNul()
            return
        try:
            self._spooled.write(octets)
        except JindimailError as error:
            self._error = error

    def finish(self) -> Any:
        """
        The `model.Body`.

        @raise JindimailError: it could not be kept.
        """
        if self._error is not None:
            raise self._error
        return self._spooled.finish()

    def discard(self) -> None:
        """Give its room back."""
        self._spooled.discard()


async def offerUpload(session: ImapSession, offer: Offer) -> None:
    """
    Take a literal of an APPEND: of the mailbox's name, or the message.

    @raise JindimailError: the command is refused.
    """
    cursor = Cursor(offer.segments)
    if session.account is None:
        raise WrongState
    if cursor.isAtLastLiteral or session.upload is not None:
        if offer.size > session.limits.literalOctetsMax:
            raise TooLarge
        session.goAhead(offer)
        session.keepLiteral()
        return
    mailbox, flags, internalSeconds = parseStart(cursor)
    if offer.size > session.limits.messageOctetsMax:
        raise TooLarge
    if offer.size == 0:
        raise Empty
    try:
        await session.account.status(mailbox)
    except NoSuchMailbox:
        raise NoTarget from None
    await session.account.mayAppend(offer.size)
    if session.isGone:  # meanwhile: nobody would give the room back
        return
    spooled = session.factory.spool.begin(session.factory.delivery.newDeliveryId())
    session.upload = Upload(mailbox, flags, internalSeconds, len(offer.segments), spooled)
    session.goAhead(offer)
    session.streamLiteral(session.upload.write)


def parseStart(cursor: Cursor) -> tuple[str, tuple[str, ...], int | None]:
    """Mailbox, flags and internal date, up to the announcement of the message."""
    mailbox = decodeName(cursor.astring())
    cursor.space()
    flags: tuple[str, ...] = ()
    internalSeconds = None
    if cursor.has(b"("):
        flags = cursor.flagList()
        cursor.space()
    if cursor.has(b'"'):
        internalSeconds = cursor.dateTime()
        cursor.space()
    cursor.expectLastLiteral()
    return mailbox, flags, internalSeconds
