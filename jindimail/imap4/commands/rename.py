"""RENAME (RFC 3501 §6.3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.names import decodeName
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Rename a mailbox with its inferiors; of INBOX the messages move."""
    cursor = request.arguments
    oldName = decodeName(cursor.astring())
    cursor.space()
    newName = decodeName(cursor.astring())
    cursor.end()
    await session.account.rename(oldName, newName)
    return Answer(b"RENAME completed")
