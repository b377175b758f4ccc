"""DELETE (RFC 3501 §6.3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.names import decodeName
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Remove a mailbox with its messages. If it is the selected one, no mailbox is selected after it."""
    cursor = request.arguments
    name = decodeName(cursor.astring())
    cursor.end()
    selection = session.selection
    summary = await session.account.status(name)
    await session.account.delete(name)
    if selection is not None and selection.mailbox.mailboxId == summary.mailboxId:
        session.unselect()
    return Answer(b"DELETE completed")
