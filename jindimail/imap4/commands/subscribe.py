"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.6, §6.3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.names import decodeName
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """SUBSCRIBE."""
    return await _set(session, request, isSubscribed=True)


async def unsubscribe(session: ImapSession, request: Request) -> Answer:
    """UNSUBSCRIBE."""
    return await _set(session, request, isSubscribed=False)


async def _set(session: ImapSession, request: Request, *, isSubscribed: bool) -> Answer:
    cursor = request.arguments
    name = decodeName(cursor.astring())
    cursor.end()
    await session.account.subscribe(name, isSubscribed)
    return Answer(b"completed")
