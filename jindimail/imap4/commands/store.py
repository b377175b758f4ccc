"""STORE and UID STORE (RFC 3501 §6.4.6, §6.4.8; UNCHANGEDSINCE, RFC 7162 §3.1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jindimail.imap4.selection import Selection
from jindimail.imap4.syntax import Cursor, Malformed
from jindimail.imap4.verbs import Answer, ReadOnly, Request
from jindimail.imap4.view import Spans
from jindimail.mailbox.entries import ADD, REMOVE, REPLACE
from jindimail.mailbox.outcomes import FlagsStored
from jindimail.model import UidSet

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

_ACTIONS = {b"": REPLACE, b"+": ADD, b"-": REMOVE}


@dataclass(frozen=True, slots=True)
class Change:
    """What STORE is to do."""

    action: int
    flags: tuple[str, ...]
    isSilent: bool
    unchangedSince: int | None


async def run(session: ImapSession, request: Request) -> Answer:
    """Change flags, and tell what they are then."""
    cursor, selection = request.arguments, session.selected
    ranges = cursor.sequenceSet()
    cursor.space()
    change = _parseChange(cursor)
    spans = session.spans(ranges, byUid=request.byUid)
    if selection.isExamined:
        raise ReadOnly
    if change.unchangedSince is not None:
        session.enableCondstore()
    uids = selection.view.uidSet(spans)
    outcome = FlagsStored(changed=UidSet(), modified=UidSet(), modSeq=0)
    if uids:
        outcome = await selection.mailbox.storeFlags(uids, change.action, change.flags, change.unchangedSince)
        bits = await _bits(selection, change.flags)
        await selection.learnStored(spans, partial(_applied, change.action, bits), outcome)
    if not change.isSilent:
        await _tellAll(session, selection, spans, outcome.modified, withUid=request.byUid)
    return Answer(_text(selection, outcome.modified, byUid=request.byUid))


def _parseChange(cursor: Cursor) -> Change:
    unchangedSince = None
    if cursor.skip(b"("):
        if cursor.word() != b"UNCHANGEDSINCE":
            raise Malformed
        cursor.space()
        unchangedSince = cursor.number()
        cursor.expect(b")")
        cursor.space()
    sign = b"+" if cursor.skip(b"+") else b"-" if cursor.skip(b"-") else b""
    word = cursor.word()
    if word not in (b"FLAGS", b"FLAGS.SILENT"):
        raise Malformed
    cursor.space()
    flags = cursor.flags()
    cursor.end()
    return Change(_ACTIONS[sign], flags, word == b"FLAGS.SILENT", unchangedSince)


async def _bits(selection: Selection, flags: tuple[str, ...]) -> int:
    if not all(map(selection.bitOf, flags)):
        await selection.refreshKeywords()
    bits = 0
    for flag in flags:
        bits |= selection.bitOf(flag)
    return bits


def _applied(action: int, bits: int, flags: int) -> int:
    if action == REPLACE:
        return bits
    return flags | bits if action == ADD else flags & ~bits


async def _tellAll(
    session: ImapSession, selection: Selection, spans: Spans, modified: UidSet, *, withUid: bool
) -> None:
    """The flags of all messages in the set, changed or not (§6.4.6); those refused tell by MODIFIED."""
    view, refused = selection.view, frozenset(modified)
    session.send(*selection.newKeywords())
    for start, stop in spans:
        for position in range(start, stop):
            if view.isGone(position) or view.uids[position] in refused:
                continue
            view.told((position,))
            session.send(selection.flagsResponse(position, withUid=withUid))
            await session.share()


def _text(selection: Selection, modified: UidSet, *, byUid: bool) -> bytes:
    if modified:
        told = modified
        if not byUid:
            spans = selection.view.spansOfUids(modified.ranges)
            told = UidSet.ofRanges((start + 1, stop) for start, stop in spans)
        return b"[MODIFIED %b] STORE completed; some messages had changed" % str(told).encode("ascii")
    if selection.view.hasVanished:  # also what went meanwhile
        return b"[EXPUNGEISSUED] STORE completed; some messages are gone"
    return b"STORE completed"
