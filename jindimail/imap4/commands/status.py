"""STATUS (RFC 3501 §6.3.10; RFC 7162 §3.1.7; RFC 7889 §3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jindimail.imap4 import answers
from jindimail.imap4.names import decodeName
from jindimail.imap4.syntax import Malformed
from jindimail.imap4.verbs import Answer, Request
from jindimail.model import MailboxSummary

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

_ITEMS: dict[bytes, Callable[[MailboxSummary], int]] = {
    b"MESSAGES": lambda summary: summary.messages,
    b"RECENT": lambda summary: 0,
    b"UIDNEXT": lambda summary: summary.uidNext,
    b"UIDVALIDITY": lambda summary: summary.uidValidity,
    b"UNSEEN": lambda summary: summary.unseen,
    b"HIGHESTMODSEQ": lambda summary: summary.highestModSeq,
}


async def run(session: ImapSession, request: Request) -> Answer:
    """Tell the counts of a mailbox, as of now anywhere."""
    cursor = request.arguments
    name = decodeName(cursor.astring())
    cursor.space()
    items = cursor.words()
    cursor.end()
    if not items or not all(item in _ITEMS or item == b"APPENDLIMIT" for item in items):
        raise Malformed
    if b"HIGHESTMODSEQ" in items:
        session.enableCondstore()
    summary = await session.account.status(name)
    told = [
        b"%b %d"
        % (item, session.limits.messageOctetsMax if item == b"APPENDLIMIT" else _ITEMS[item](summary))
        for item in items
    ]
    session.untagged(b"STATUS %b (%b)" % (answers.mailbox(summary.name), b" ".join(told)))
    return Answer(b"STATUS completed")
