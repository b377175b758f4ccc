"""SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2; RFC 7162 §3.1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4 import answers
from jindimail.imap4.names import decodeName
from jindimail.imap4.selection import Selection
from jindimail.imap4.syntax import Cursor, Malformed
from jindimail.imap4.verbs import Answer, Request
from jindimail.model import KEYWORDS_MAX

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """SELECT: read and write."""
    return await _open(session, request.arguments, isExamined=False)


async def examine(session: ImapSession, request: Request) -> Answer:
    """EXAMINE: read only."""
    return await _open(session, request.arguments, isExamined=True)


async def _open(session: ImapSession, cursor: Cursor, *, isExamined: bool) -> Answer:
    name = decodeName(cursor.astring())
    asksCondstore = _parseParameters(cursor)
    session.unselect()  # also when the new one cannot be opened (§6.3.1)
    mailbox = await session.account.open(name, readOnly=isExamined)
    selection = await Selection.open(mailbox, session.breathe)
    if asksCondstore:
        session.isCondstore = True
    session.select(selection)
    session.send(*_responses(selection))
    return Answer(b"[READ-ONLY] examined" if isExamined else b"[READ-WRITE] selected")


def _parseParameters(cursor: Cursor) -> bool:
    """Whether CONDSTORE is asked for."""
    if cursor.isAtEnd:
        return False
    cursor.space()
    words = cursor.words()
    cursor.end()
    if any(word != b"CONDSTORE" for word in words):
        raise Malformed
    return bool(words)


def _responses(selection: Selection) -> list[bytes]:
    view = selection.view
    more = (b"\\*",) if len(selection.keywords) < KEYWORDS_MAX else ()  # new keywords can be made (§7.1)
    permanent = b"()" if selection.isExamined else answers.allFlags(selection.keywords, *more)
    lines = [
        b"* FLAGS %b\r\n" % answers.allFlags(selection.keywords),
        b"* OK [PERMANENTFLAGS %b] flags that are kept\r\n" % permanent,
        b"* %d EXISTS\r\n" % len(view),
        b"* 0 RECENT\r\n",
    ]
    unseen = selection.firstUnseen()
    if unseen:
        lines.append(b"* OK [UNSEEN %d] first unseen\r\n" % unseen)
    lines.append(b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % selection.uidValidity)
    lines.append(b"* OK [UIDNEXT %d] next UID\r\n" % selection.uidNext)
    lines.append(b"* OK [HIGHESTMODSEQ %d] highest\r\n" % view.modSeq)
    return lines
