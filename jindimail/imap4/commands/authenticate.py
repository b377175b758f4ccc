"""AUTHENTICATE (RFC 3501 §6.2.2), with the initial response of SASL-IR (RFC 4959)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.directory import sasl
from jindimail.imap4.verbs import Answer, Request, TlsRequired

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession


async def run(session: ImapSession, request: Request) -> Answer:
    """Carry the SASL exchange to its end."""
    cursor = request.arguments
    mechanism = cursor.atom().decode("ascii")
    response = None
    if not cursor.isAtEnd:
        cursor.space()
        response = cursor.text[cursor.at :]
    if not session.mayLogin:
        raise TlsRequired
    exchange = sasl.begin(mechanism)
    step = exchange.step(response)
    while isinstance(step, sasl.Challenge):
        session.send(b"+ ", step.line, b"\r\n")
        step = exchange.step(await session.line())
    return await session.login(step.username, step.password)
