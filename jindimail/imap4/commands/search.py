"""SEARCH and UID SEARCH (RFC 3501 §6.4.4, §6.4.8; MODSEQ, RFC 7162 §3.1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.program import parseProgram
from jindimail.imap4.searching import search
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Tell which messages meet the program, always with an untagged SEARCH, be it empty."""
    selection = session.selected
    program = parseProgram(request.arguments)
    if program.asksModSeq:
        session.enableCondstore()
    view = selection.view
    found = await search(session, selection, program.criterion)
    numbers = [view.uids[position] for position in found] if request.byUid else [at + 1 for at in found]
    highest = max((view.modSeqs[position] for position in found), default=0)
    modSeq = b" (MODSEQ %d)" % highest if program.asksModSeq and found else b""
    session.send(b"* SEARCH", b"".join([b" %d" % number for number in numbers]), modSeq, b"\r\n")
    return Answer(b"SEARCH completed")
