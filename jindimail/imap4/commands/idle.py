"""IDLE (RFC 2177): changes are told as they happen, until the client says DONE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

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
    done = Deferred.fromCoroutine(session.line())
    try:
        while not done.called:
            await _tell(session)
            await _either(done, session.selection.changed() if session.selection is not None else Deferred())
    except BaseException:
        done.addErrback(lambda _: None)
        raise
    if (await done).upper() != b"DONE":
        raise Malformed
    return Answer(b"IDLE completed")


async def _tell(session: ImapSession) -> None:
    """Tell the news, as soon as they can be had: the client notices nothing of a bucket that changes its leader."""
    try:
        await session.tell(mayExpunge=True)
    except Unavailable:
        await session.breathe(RETRY_SECONDS)
    session.flush()


async def _either(done: Deferred[bytes], changed: Deferred[None]) -> None:
    """Until the client has spoken, or the mailbox changed."""
    awake: Deferred[None] = Deferred()

    def wake(result: object) -> object:
        if not awake.called:
            awake.callback(None)
        return result

    if not done.called:
        done.addBoth(wake)
        changed.addCallback(wake)
        await awake
