"""CAPABILITY (RFC 3501 §6.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Tell what is offered now."""
    request.arguments.end()
    session.untagged(session.capabilityText())
    return Answer(b"CAPABILITY completed")
