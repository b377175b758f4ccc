"""ENABLE (RFC 5161)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Switch on what is known; what is not is passed over."""
    cursor = request.arguments
    wanted = [cursor.atom().upper()]
    while not cursor.isAtEnd:
        cursor.space()
        wanted.append(cursor.atom().upper())
    enabled = b""
    if b"CONDSTORE" in wanted:
        session.enableCondstore()
        enabled = b" CONDSTORE"
    session.untagged(b"ENABLED" + enabled)
    return Answer(b"ENABLE completed")
