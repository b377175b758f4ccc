"""
Filing the mail that waits in queues, as soon as the buckets that it is for answer (design §7).

The node that leads a bucket looks after its queue. A bucket that is waited for is asked, at growing intervals, whether it answers, and at once when enough of
its nodes are heard again; when it does, all that waits for it is filed, one message after the other, each under the delivery id that it came with: what had been filed unheard is
so not filed twice. Nothing is written while a bucket is silent.

A bucket may refuse recipients: those that are full wait on, under the next id, since a delivery's outcome stands for ever; the others,
and all that waited for too long, are told to the sender where that is one of ours, else to the postmaster. Outcomes outlive the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.delivery.spool import Spool, Spooled
from jindimail.errors import BodyTaken, Corrupt, JindimailError, OverQuota, StorageFull, Unavailable
from jindimail.interfaces import IBuckets, IDelivery
from jindimail.mailbox.entries import Dequeue, Filing, Requeue
from jindimail.mailbox.filing import deliverEntry
from jindimail.mailbox.outcomes import REFUSALS, Filed, Refused
from jindimail.mailbox.queries import ListQueue, Queued, ReadOctets, ReadSummary
from jindimail.model import BUCKET_COUNT, Body, digestOf
from jindimail.queue.lasting import Lasting
from jindimail.queue.notices import Notices, Reasons
from jindimail.store.records import SummaryRecord, WaitingRecord, encode

KEPT_SECONDS: Final = 5 * 86400  # outcomes are kept for 7 days
SURE_SECONDS: Final = 3600  # for so long a message has to look as old as that: clocks may be wrong
ROUND_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 60.0  # at all queues: those of buckets that came to be led here
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 10.0
LATER_SECONDS: Final = 900
TARGETS_AT_ONCE: Final = 64
ROWS_AT_ONCE: Final = 100
_PIECE_OCTETS: Final = 1 << 19
_TIME_OCTETS: Final = 6  # that an id begins with


class Target:
    """A bucket that mail waits for, as this node knows it."""

    __slots__ = ("isBusy", "nextSeconds", "pauseSeconds")

    def __init__(self) -> None:
        self.isBusy = False
        self.pauseSeconds = 0.0
        self.nextSeconds = 0.0


class QueueRunner:
    """
    Looks after the queues of the buckets that this node leads.

    @param clock: one that nobody sets; `seconds` is the wall clock.
    @ivar filed: messages that were filed from a queue, since the start.
    """

    log = Logger()

    def __init__(
        self,
        *,
        buckets: IBuckets,
        delivery: IDelivery,
        spool: Spool,
        clock: IReactorTime,
        seconds: Callable[[], float],
    ) -> None:
        self._buckets = buckets
        self._spool = spool
        self._clock = clock
        self._seconds = seconds
        self._notices = Notices(delivery=delivery, fetch=self._fetched)
        self._stirred: set[int] = set(range(BUCKET_COUNT))
        self._lookedSeconds = clock.seconds()
        self._places: dict[int, bytes] = {}  # by bucket: the row that the last round ended with
        self._targets: dict[int, Target] = {}
        self._overdue = Lasting(steady=clock.seconds, seconds=SURE_SECONDS)
        self._following = [
            buckets.followTopic(("queue", bucket), partial(self._stirred.add, bucket))
            for bucket in range(BUCKET_COUNT)
        ]
        self._loop = LoopingCall(self._round)
        self._loop.clock = clock
        self.filed = 0

    def start(self) -> None:
        """Begin; harmless twice."""
        if not self._loop.running:
            self._loop.start(ROUND_SECONDS, now=False).addErrback(self._failed)

    def stop(self) -> None:
        """Begin nothing more."""
        for following in self._following:
            following.stop()
        if self._loop.running:
            self._loop.stop()

    # --- rounds

    def _round(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.look()).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(JindimailError):
            self.log.failure("a round through the queues failed", failure)

    async def look(self) -> None:
        """One round: begin what is due, without waiting for its end."""
        now = self._clock.seconds()
        if now - self._lookedSeconds >= LOOK_SECONDS:
            self._lookedSeconds = now
            self._stirred.update(range(BUCKET_COUNT))
        if not self._stirred:
            return
        due: dict[int, list[tuple[int, Queued]]] = {}
        for bucket in self._buckets.led():
            if bucket in self._stirred:
                with suppress(Unavailable):  # it is led no longer; another node looks after it
                    await self._collect(bucket, due)
        for target, rows in due.items():
            self._begin(target, rows)
        for target in [each for each, state in self._targets.items() if each not in due and not state.isBusy]:
            del self._targets[target]

    async def _collect(self, bucket: int, due: dict[int, list[tuple[int, Queued]]]) -> None:
        """A page of a bucket's queue; the next round goes on behind it, so that nothing long due hides the rest."""
        place = self._places.pop(bucket, b"")
        query = ListQueue(after=place, limit=ROWS_AT_ONCE)
        found: tuple[Queued, ...] = await self._buckets.query(bucket, query)
        if len(found) == ROWS_AT_ONCE:
            self._places[bucket] = found[-1].key
        elif not found and not place:
            self._stirred.discard(bucket)
        now = int(self._seconds())
        for row in found:
            if (
                row.dueSeconds <= now or row.dueSeconds > now + LATER_SECONDS
            ):  # nothing waits for longer: a clock was ahead
                due.setdefault(row.target, []).append((bucket, row))

    def _begin(self, target: int, rows: list[tuple[int, Queued]]) -> None:
        state = self._targets.setdefault(target, Target())
        busy = sum(each.isBusy for each in self._targets.values())
        if state.isBusy or self._clock.seconds() < state.nextSeconds or busy >= TARGETS_AT_ONCE:
            return
        state.isBusy = True
        Deferred.fromCoroutine(self._serve(target, rows)).addCallbacks(
            lambda _: self._served(state), partial(self._notServed, target, state)
        )

    def _served(self, state: Target) -> None:
        state.isBusy = False
        state.pauseSeconds = 0.0

    def _notServed(self, target: int, state: Target, failure: Failure) -> None:
        state.isBusy = False
        longest = LONGEST_PAUSE_SECONDS if self._buckets.isReachable(target) else FIRST_PAUSE_SECONDS
        state.pauseSeconds = min(longest, max(FIRST_PAUSE_SECONDS, 2 * state.pauseSeconds))
        state.nextSeconds = self._clock.seconds() + state.pauseSeconds
        if not failure.check(Unavailable):
            self.log.failure("what waits for bucket {target} cannot be filed", failure, target=target)

    # --- a bucket

    async def _serve(self, target: int, rows: list[tuple[int, Queued]]) -> None:
        """
        File what waits for a bucket, if it answers; what waited for too long is given up, whether it does or not.

        @raise Unavailable: not all of it could be done. No message waits because another cannot be read, or nobody be told of it.
        """
        problem: Unavailable | None = None
        overdue = [each for each in rows if self._isOverdue(*each)]
        for bucket, row in overdue:
            reason = row.record.reason or Unavailable.smtpText
            lost = {each.address: f"5.4.7 {reason}" for each in row.record.waiting}
            try:
                await self._giveUp(bucket, row, lost)
            except Unavailable as error:
                problem = error
        rows = [each for each in rows if each not in overdue]
        if rows:
            await self._requireAnswer(target)
        for bucket, row in rows:
            try:
                await self._file(bucket, row)
            except Corrupt:
                await self._unreadable(bucket, row, Failure())
            except BodyTaken:
                await self._wait(bucket, row, row.record.waiting, 0, row.record.reason)
            except StorageFull:
                raise
            except Unavailable as error:
                problem = error
                await self._requireAnswer(target)
        if problem is not None:
            raise problem

    async def _requireAnswer(self, target: int) -> None:
        if not self._buckets.isReachable(target):
            raise Unavailable("too few of its nodes are heard")
        await self._buckets.query(target, ListQueue(limit=1), fresh=True)

    async def _unreadable(self, bucket: int, row: Queued, failure: Failure) -> None:
        """
        A message cannot be read now. It goes on under the same id: under this one it may have been filed unheard.

        Where leadership has just changed hands, another node may have been done with it meanwhile: then all is well.
        """
        entry = self._requeue(row, row.record.waiting, LATER_SECONDS, Corrupt.pop3Text, row.record.deliveryId)
        if not isinstance(await self._buckets.propose(bucket, entry), Refused):
            self.log.failure("message {delivery} cannot be filed now", failure, delivery=row.bodyId.hex())

    def _isOverdue(self, bucket: int, row: Queued, keptSeconds: int = KEPT_SECONDS) -> bool:
        """Whether a message waited for too long, by the clocks of the node that queued it and of this one, for so long that neither is wrong for a moment."""
        isOld = int(self._seconds()) - row.record.sinceSeconds > keptSeconds
        return self._overdue.holds((bucket, row.bodyId, row.target, keptSeconds), isOld)

    async def _file(self, bucket: int, row: Queued) -> None:
        """File one message, and see to those of its recipients that were refused."""
        spooled = await self._fetched(bucket, row)
        try:
            body = spooled.finish()
            await self._filed(bucket, row, body, await self._propose(bucket, row, body))
        finally:
            spooled.discard()

    async def _filed(self, bucket: int, row: Queued, body: Body, outcome: Any) -> None:
        if isinstance(outcome, Refused):  # void: under this id it never came, and never will
            await self._wait(bucket, row, row.record.waiting, 0, row.record.reason)
            return
        assert isinstance(outcome, Filed)
        pairs = list(zip(row.record.waiting, outcome.filings, strict=True))
        full = tuple(each for each, filed in pairs if _isPassing(filed.refused))
        lost = {each.address: _reason(filed.refused) for each, filed in pairs if _isLasting(filed.refused)}
        self.filed += 1
        if lost and not await self._isTold(bucket, row, lost, body):
            return
        if full:
            await self._wait(bucket, row, full, LATER_SECONDS, OverQuota.smtpText)
        else:
            await self._dequeue(bucket, row)

    async def _propose(self, bucket: int, row: Queued, body: Body) -> Any:
        summary: SummaryRecord | None = await self._buckets.query(bucket, ReadSummary(bodyId=row.bodyId))
        if summary is None:
            raise Corrupt("a queued body has no summary")
        filings = tuple(Filing(accountId=each.accountId, prefix=each.prefix) for each in row.record.waiting)
        entry = deliverEntry(body, encode(summary), filings, int(self._seconds()))
        return await self._buckets.propose(row.target, entry, body)

    async def _fetched(self, bucket: int, row: Queued) -> Spooled:
        """
        A queued body, sound as a whole, in the spool, under the delivery id that it shall have.

        @raise Corrupt: it is damaged.
        """
        spooled = self._spool.begin(row.record.deliveryId)
        try:
            for start in range(0, row.size, _PIECE_OCTETS):
                stop = min(row.size, start + _PIECE_OCTETS)
                query = ReadOctets(bodyId=row.bodyId, prefix=0, start=start, stop=stop)
                spooled.write(await self._buckets.query(bucket, query))
            if spooled.finish().digest != row.digest:
                raise Corrupt("a queued body has another digest")
        except BaseException:
            spooled.discard()
            raise
        return spooled

    # --- the end of it

    async def _wait(
        self, bucket: int, row: Queued, waiting: tuple[WaitingRecord, ...], seconds: int, reason: str
    ) -> None:
        entry = self._requeue(row, waiting, seconds, reason, _nextId(row.record.deliveryId))
        await self._buckets.propose(bucket, entry)

    def _requeue(
        self, row: Queued, waiting: tuple[WaitingRecord, ...], seconds: int, reason: str, deliveryId: bytes
    ) -> Requeue:
        now = int(self._seconds())
        return Requeue(
            seconds=now,
            bodyId=row.bodyId,
            target=row.target,
            dueSeconds=row.dueSeconds,
            deliveryId=deliveryId,
            waiting=waiting,
            nextSeconds=now + seconds,
            reason=reason,
        )

    async def _dequeue(self, bucket: int, row: Queued) -> None:
        entry = Dequeue(
            seconds=int(self._seconds()), bodyId=row.bodyId, target=row.target, dueSeconds=row.dueSeconds
        )
        await self._buckets.propose(bucket, entry)

    async def _giveUp(self, bucket: int, row: Queued, reasons: Reasons) -> None:
        if await self._isTold(bucket, row, reasons):
            await self._dequeue(bucket, row)

    async def _isTold(self, bucket: int, row: Queued, reasons: Reasons, body: Body | None = None) -> bool:
        """Tell of it; while the postmaster's mailbox is full, the message waits on as it is, for as long again as it waited for its recipients."""
        mayWait = not self._isOverdue(bucket, row, 2 * KEPT_SECONDS)
        if await self._notices.tell(bucket, row, reasons, body, mayWait=mayWait):
            return True
        waiting, reason = row.record.waiting, row.record.reason
        await self._buckets.propose(
            bucket, self._requeue(row, waiting, LATER_SECONDS, reason, row.record.deliveryId)
        )
        return False


def _nextId(deliveryId: bytes) -> bytes:
    """
    The id under which a message goes on that cannot be filed under this one. One that waits in two buckets, because the first did not say that it took
    it, goes on under the same id in both.
    """
    return deliveryId[:_TIME_OCTETS] + digestOf(deliveryId)[: len(deliveryId) - _TIME_OCTETS]


def _isPassing(refused: str) -> bool:
    return refused in ("overQuota", "disabled")


def _isLasting(refused: str) -> bool:
    return bool(refused) and not _isPassing(refused)


def _reason(refused: str) -> str:
    error = REFUSALS[refused]
    return f"{error.smtpEnhanced} {error.smtpText}"
