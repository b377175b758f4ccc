"""NOOP and CHECK (RFC 3501 §6.1.2, §6.4.1): the moment to learn what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Tell everything acknowledged anywhere before this."""
    request.arguments.end()
    await session.tell(mayExpunge=True, isFresh=True)
    return Answer(b"completed")
