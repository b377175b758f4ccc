"""COPY (RFC 3501 §6.4.7) and MOVE (RFC 6851), with COPYUID (RFC 4315 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.errors import NoSuchMailbox
from jindimail.imap4.names import decodeName
from jindimail.imap4.uploads import NoTarget
from jindimail.imap4.verbs import Answer, ReadOnly, Request
from jindimail.mailbox.outcomes import Copied

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """COPY: all of them or none."""
    copied = await _copy(session, request, isMove=False)
    return Answer(_copyUid(copied) + b"COPY completed")


async def move(session: ImapSession, request: Request) -> Answer:
    """MOVE: COPYUID comes untagged, before the EXPUNGEs (RFC 6851 §4.3)."""
    if session.selected.isExamined:
        raise ReadOnly
    copied = await _copy(session, request, isMove=True)
    if copied is not None and copied.sources:
        session.untagged(b"OK " + _copyUid(copied) + b"moved")
    return Answer(b"MOVE completed")


async def _copy(session: ImapSession, request: Request, *, isMove: bool) -> Copied | None:
    cursor, selection = request.arguments, session.selected
    ranges = cursor.sequenceSet()
    cursor.space()
    target = decodeName(cursor.astring())
    cursor.end()
    uids = selection.view.uidSet(session.spans(ranges, byUid=request.byUid))
    try:
        if not uids:
            await session.account.status(target)
            return None
        copied: Copied = await selection.mailbox.copy(uids, target, move=isMove)
    except NoSuchMailbox:
        raise NoTarget from None
    if isMove or copied.uidValidity == selection.uidValidity:
        selection.changedHere()
    return copied


def _copyUid(copied: Copied | None) -> bytes:
    """The response code; none when nothing was copied."""
    if copied is None or not copied.sources:
        return b""
    sources, targets = str(copied.sources).encode("ascii"), str(copied.targets).encode("ascii")
    return b"[COPYUID %d %b %b] " % (copied.uidValidity, sources, targets)
