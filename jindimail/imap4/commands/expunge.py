"""EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.selection import Selection
from jindimail.imap4.verbs import Answer, ReadOnly, Request
from jindimail.imap4.view import Spans
from jindimail.model import DELETED

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Remove for ever the messages marked deleted: all, or with UID those in the set."""
    cursor, selection = request.arguments, session.selected
    ranges = cursor.sequenceSet() if request.byUid else None
    cursor.end()
    if selection.isExamined:
        raise ReadOnly
    await selection.refresh(isFresh=True)
    view = selection.view
    await removeDeleted(selection, view.everything() if ranges is None else view.spansOfUids(ranges))
    return Answer(b"EXPUNGE completed")


async def removeDeleted(selection: Selection, spans: Spans) -> None:
    """Remove of these positions the messages marked deleted; durable when it returns."""
    flags = selection.view.flags
    marked = tuple(
        (position, position + 1)
        for start, stop in spans
        for position in range(start, stop)
        if flags[position] & DELETED
    )
    uids = selection.view.uidSet(marked)
    if uids:
        await selection.mailbox.expunge(uids, onlyDeleted=True)
        selection.changedHere()
