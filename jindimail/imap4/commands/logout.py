"""LOGOUT (RFC 3501 §6.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Say goodbye and close."""
    request.arguments.end()
    session.unselect()
    session.untagged(b"BYE see you")
    session.send(request.tag, b" OK LOGOUT completed\r\n")
    session.close()
    return Answer(b"", isAnswered=True)
