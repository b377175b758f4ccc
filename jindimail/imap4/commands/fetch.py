"""FETCH and UID FETCH (RFC 3501 §6.4.5, §6.4.8; CHANGEDSINCE, RFC 7162 §3.1.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.fetching import Fetch
from jindimail.imap4.items import parsePlan
from jindimail.imap4.syntax import Cursor, Malformed
from jindimail.imap4.verbs import Answer, Request
from jindimail.imap4.view import Spans, View

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Send what is asked of the messages in the set."""
    cursor, selection = request.arguments, session.selected
    ranges = cursor.sequenceSet()
    cursor.space()
    plan = parsePlan(cursor)
    changedSince = None if cursor.isAtEnd else _parseChangedSince(cursor)
    cursor.end()
    spans = session.spans(ranges, byUid=request.byUid)
    if request.byUid:
        plan = plan.withItem(b"UID")
    if changedSince is not None:
        plan = plan.withItem(b"MODSEQ")
        spans = _changedSince(selection.view, spans, changedSince)
    if b"MODSEQ" in plan.items:
        session.enableCondstore()
    fetch = Fetch(session, selection, plan)
    await fetch.run(spans)
    if fetch.hasMissed:
        return Answer(b"[EXPUNGEISSUED] FETCH completed; some messages are gone")
    return Answer(b"FETCH completed")


def _parseChangedSince(cursor: Cursor) -> int:
    cursor.space()
    cursor.expect(b"(")
    if cursor.word() != b"CHANGEDSINCE":
        raise Malformed
    cursor.space()
    modSeq = cursor.number()
    cursor.expect(b")")
    return modSeq


def _changedSince(view: View, spans: Spans, modSeq: int) -> Spans:
    modSeqs = view.modSeqs
    return tuple(
        (position, position + 1)
        for start, stop in spans
        for position in range(start, stop)
        if modSeqs[position] > modSeq
    )
