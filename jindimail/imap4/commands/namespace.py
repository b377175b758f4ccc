"""NAMESPACE (RFC 2342)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """One personal namespace without a prefix."""
    request.arguments.end()
    session.untagged(b'NAMESPACE (("" "/")) NIL NIL')
    return Answer(b"NAMESPACE completed")
