"""STARTTLS (RFC 3501 §6.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.errors import ProtocolError
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


class NoTls(ProtocolError):
    """TLS is on already, or not offered."""

    imapText = "STARTTLS is not possible now"


async def run(session: ImapSession, request: Request) -> Answer:
    """Begin TLS; octets that came in clear text behind the command are forgotten, not executed inside TLS."""
    request.arguments.end()
    if not session.mayStartTls:
        raise NoTls
    session.startTls(request.tag)
    return Answer(b"", isAnswered=True)
