"""CLOSE (RFC 3501 §6.4.2) and UNSELECT (RFC 3691)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.commands.expunge import removeDeleted
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """CLOSE: remove what is marked deleted, without a word of it, unless the mailbox was examined."""
    request.arguments.end()
    selection = session.selected
    if not selection.isExamined:
        await selection.refresh(isFresh=True)
        await removeDeleted(selection, selection.view.everything())
    session.unselect()
    return Answer(b"CLOSE completed")


async def unselect(session: ImapSession, request: Request) -> Answer:
    """UNSELECT: remove nothing."""
    request.arguments.end()
    session.unselect()
    return Answer(b"UNSELECT completed")
