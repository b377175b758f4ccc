"""CREATE (RFC 3501 §6.3.3), with the special use of RFC 6154 §3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.errors import Refusal
from jindimail.imap4.names import decodeName
from jindimail.imap4.syntax import Cursor, Malformed
from jindimail.imap4.verbs import Answer, Request
from jindimail.model import SPECIAL_USES

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

_BY_NAME = {use.lower().encode("ascii"): use for use in SPECIAL_USES}


class NoSuchUse(Refusal):
    """Not a special use that a mailbox here can have (RFC 6154 §3)."""

    imapCode = "USEATTR"
    imapText = "special use not supported"


async def run(session: ImapSession, request: Request) -> Answer:
    """Make a mailbox, and its superiors that are missing."""
    cursor = request.arguments
    name = decodeName(cursor.astring())
    use = "" if cursor.isAtEnd else _parseUse(cursor)
    cursor.end()
    await session.account.create(name, use)
    return Answer(b"CREATE completed")


def _parseUse(cursor: Cursor) -> str:
    cursor.space()
    cursor.expect(b"(")
    if cursor.word() != b"USE":
        raise Malformed
    cursor.space()
    uses = cursor.attributes()
    cursor.expect(b")")
    if len(uses) > 1 or any(use not in _BY_NAME for use in uses):
        raise NoSuchUse
    return _BY_NAME[uses[0]] if uses else ""
