"""APPEND (RFC 3501 §6.3.11), with APPENDUID (RFC 4315 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.errors import NoSuchMailbox
from jindimail.imap4.syntax import Malformed
from jindimail.imap4.uploads import NoTarget
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """File the message that has come in (`uploads`)."""
    upload = session.upload
    if upload is None or not request.arguments.endsAfterLiteral(upload.segmentCount):
        raise Malformed
    body = upload.finish()
    try:
        uidValidity, uid = await session.account.append(
            upload.mailbox, body, upload.flags, upload.internalSeconds
        )
    except NoSuchMailbox:
        raise NoTarget from None
    selection = session.selection
    if selection is not None and selection.uidValidity == uidValidity:
        selection.changedHere()
    return Answer(b"[APPENDUID %d %d] APPEND completed" % (uidValidity, uid))
