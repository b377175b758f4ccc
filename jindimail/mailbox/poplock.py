"""
The POP3 locks that this node's sessions hold (RFC 1939 §4): records, so that they are exclusive in the whole array.

A lock that a session holds is taken over when its node's process is known to have ended, or says that it has no such session (it took the lock by a
request that came late, when it had given up): then exactly that holder's lock is dropped, and taking it is tried once more. Should the holder live all the same (it was paused, or cut off), it can delete nothing any
more: what QUIT deletes, it deletes only while the lock is the session's (docs/adr/0025-locks-and-limits-of-the-array.md).

A lock is named by its session, and behind a colon by which login of it: a login that came to nothing may give its lock back when the next one has succeeded.

A lock must not outlive its session. Giving it back is tried until it is committed, whatever a full disk or a lost leader
says in between; only the end of the node ends that, and with it the incarnation that the lock names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from jindimail.errors import MailboxInUse
from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import DropPopLock, TakePopLock
from jindimail.mailbox.outcomes import Locked, Refused
from jindimail.store.records import PopLockRecord

RETRY_SECONDS = 1.0
LOGIN_DELIMITER = ":"


IsGone = Callable[[int, str], Awaitable[bool]]


async def nobodySays(node: int, session: str) -> bool:
    """Nodes are not asked for their sessions."""
    return False


class PopLocks:
    """Takes and gives back; one for a node."""

    def __init__(
        self,
        *,
        buckets: IBuckets,
        clock: IReactorTime,
        seconds: Callable[[], float],
        isGone: IsGone = nobodySays,
    ) -> None:
        """@param isGone: whether a node says that it has no session of that name."""
        self._buckets = buckets
        self._isGone = isGone
        self._clock = clock
        self._seconds = seconds

    async def take(self, bucket: int, accountId: int, session: str) -> None:
        """
        Take the lock.

        @raise MailboxInUse: another session has it.
        """
        mine = self.of(session)
        entry = TakePopLock(
            seconds=int(self._seconds()),
            accountId=accountId,
            node=mine.node,
            incarnation=mine.incarnation,
            session=mine.session,
        )
        outcome = await self._buckets.propose(bucket, entry)
        if isinstance(outcome, Locked) and await self._isOver(outcome.holder, mine):
            await self._buckets.propose(bucket, self._dropping(accountId, outcome.holder))
            outcome = await self._buckets.propose(bucket, entry)
        if isinstance(outcome, Locked):
            raise MailboxInUse
        if isinstance(outcome, Refused):
            raise outcome.error()

    async def _isOver(self, lock: PopLockRecord, mine: PopLockRecord) -> bool:
        if self._buckets.isOver(lock.node, lock.incarnation):
            return True
        session = _sessionOf(lock)
        if (lock.node, lock.incarnation, session) == (mine.node, mine.incarnation, _sessionOf(mine)):
            return True
        return await self._isGone(lock.node, session)

    def of(self, session: str) -> PopLockRecord:
        """The lock, as a session of this node has it."""
        return PopLockRecord(node=self._buckets.node, incarnation=self._buckets.incarnation, session=session)

    def _dropping(self, accountId: int, lock: PopLockRecord) -> DropPopLock:
        return DropPopLock(
            seconds=int(self._seconds()),
            accountId=accountId,
            node=lock.node,
            incarnation=lock.incarnation,
            session=lock.session,
        )

    def drop(self, bucket: int, accountId: int, session: str) -> Deferred[None]:
        """Give the lock back, if it is this session's; fires as soon as the first attempt is over, the others go on."""
        entry = self._dropping(accountId, self.of(session))

        def again(_: Failure) -> None:
            self._clock.callLater(RETRY_SECONDS, attempt)

        def attempt() -> Deferred[None]:
            proposed: Deferred[object] = self._buckets.propose(bucket, entry)
            return proposed.addCallbacks(lambda _: None, again)

        return attempt()


def _sessionOf(lock: PopLockRecord) -> str:
    return lock.session.partition(LOGIN_DELIMITER)[0]
