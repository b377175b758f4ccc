"""IDLE (RFC 2177): changes are told as they happen, until the client says DONE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jindimail.errors import Unavailable
from jindimail.imap4.syntax import Malformed
from jindimail.imap4.verbs import Answer, Request

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

RETRY_SECONDS = 1


async def run(session: ImapSession, request: Request) -> Answer:
    """Wait for the client's line, and meanwhile for changes."""
    request.arguments.end()
    session.send(b"+ idling\r\n")
    rest = _Rest()
    Deferred.fromCoroutine(session.line()).addBoth(rest.end)
    while rest.line is None:
        await _tell(session)
        if session.selection is not None:
            session.selection.changed().addCallback(rest.disturb)
        await rest.last()
    if isinstance(rest.line, Failure):
        rest.line.raiseException()
    if rest.line.upper() != b"DONE":
        raise Malformed
    return Answer(b"IDLE completed")


async def _tell(session: ImapSession) -> None:
    """Tell the news, as soon as they can be had: the client notices nothing of a bucket that changes its leader."""
    try:
        await session.tell(mayExpunge=True)
    except Unavailable:
        await session.breathe(RETRY_SECONDS)
    session.flush()


class _Rest:
    """A wait that a change disturbs and the client's line, or the loss of the connection, ends."""

    def __init__(self) -> None:
        self.line: bytes | Failure | None = None
        self._disturbed = False
        self._waiting: Deferred[None] | None = None

    def end(self, line: bytes | Failure) -> None:
        """The line has come."""
        self.line = line
        self.disturb()

    def disturb(self, _: None = None) -> None:
        """Something happened."""
        self._disturbed = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def last(self) -> None:
        """Until something happens, or has happened since this was asked last."""
        if not self._disturbed and self.line is None:
            self._waiting = Deferred()
            await self._waiting
        self._disturbed = False
