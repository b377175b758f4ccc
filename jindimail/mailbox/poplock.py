"""
The POP3 locks that this node's sessions hold (RFC 1939 §4): records, so that they are exclusive in the whole array.

A lock must not outlive its session. Giving it back is tried until it is committed, whatever a full disk or a lost leader
says in between; only the end of the node ends that, and with it the incarnation that the lock names.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import DropPopLock, TakePopLock
from jindimail.mailbox.outcomes import Refused

RETRY_SECONDS = 1.0


class PopLocks:
    """Takes and gives back; one for a node."""

    def __init__(self, *, buckets: IBuckets, clock: IReactorTime, seconds: Callable[[], float]) -> None:
        self._buckets = buckets
        self._clock = clock
        self._seconds = seconds

    async def take(self, bucket: int, accountId: int, session: str) -> None:
        """
        Take the lock.

        @raise MailboxInUse: another session has it.
        """
        entry = TakePopLock(
            seconds=int(self._seconds()),
            accountId=accountId,
            node=self._buckets.node,
            incarnation=self._buckets.incarnation,
            session=session,
        )
        outcome = await self._buckets.propose(bucket, entry)
        if isinstance(outcome, Refused):
            raise outcome.error()

    def drop(self, bucket: int, accountId: int, session: str) -> Deferred[None]:
        """Give the lock back, if it is this session's; fires as soon as the first attempt is over, the others go on."""
        entry = DropPopLock(
            seconds=int(self._seconds()),
            accountId=accountId,
            node=self._buckets.node,
            incarnation=self._buckets.incarnation,
            session=session,
        )

        def again(_: Failure) -> None:
            self._clock.callLater(RETRY_SECONDS, attempt)

        def attempt() -> Deferred[None]:
            proposed: Deferred[object] = self._buckets.propose(bucket, entry)
            return proposed.addCallbacks(lambda _: None, again)

        return attempt()
