"""ID (RFC 2971): who is talking to whom; for logs and people, never for behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.imap4.syntax import Cursor, Malformed
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

FIELDS_MAX = 30


async def run(session: ImapSession, request: Request) -> Answer:
    """Read what the client says of itself, and say our name."""
    _skipFields(request.arguments)
    request.arguments.end()
    session.untagged(b'ID ("name" "jindimail")')
    return Answer(b"ID completed")


def _skipFields(cursor: Cursor) -> None:
    if cursor.text[cursor.at : cursor.at + 3].upper() == b"NIL":
        cursor.at += 3
        return
    if len(cursor.astrings()) > 2 * FIELDS_MAX:  # NIL is an atom
        raise Malformed
