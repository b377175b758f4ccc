"""LOGIN (RFC 3501 §6.2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.verbs import Answer, Request, TlsRequired

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Check user name and password."""
    cursor = request.arguments
    user = cursor.astring()
    cursor.space()
    password = cursor.astring()
    cursor.end()
    if not session.mayLogin:
        raise TlsRequired
    return await session.login(user, password)
