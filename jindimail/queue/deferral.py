"""Letting recipients wait whose bucket does not answer: in the queue of any bucket that does (design §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from twisted.logger import Logger

from jindimail.errors import StorageFull, Unavailable
from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import Enqueue
from jindimail.mailbox.outcomes import Done
from jindimail.model import BUCKET_COUNT, Body
from jindimail.store.records import WaitingRecord

ATTEMPTS_MAX: Final = 4
DEADLINE_SECONDS: Final = (
    5.0  # then no further bucket is tried: one that does not answer takes ten, and the client waits
)
LED_TRIED_MAX: Final = (
    2  # of the buckets that this node leads: if two of them take nothing, the node is cut off
)


class Deferral:
    """Queues what cannot be filed now."""

    log = Logger()

    def __init__(self, *, buckets: IBuckets, seconds: Callable[[], float]) -> None:
        self._buckets = buckets
        self._seconds = seconds

    async def defer(
        self,
        *,
        body: Body,
        summary: bytes,
        sender: str,
        target: int,
        waiting: tuple[WaitingRecord, ...],
        answering: Sequence[int],
    ) -> bool:
        """
        Queue a message for the recipients of a target bucket; whether a bucket took it, durably.

        @param answering: buckets that answered just now, and have the body already.
        """
        began = self._seconds()
        for bucket in islice(self._candidates(body.bodyId, target, answering), ATTEMPTS_MAX):
            if self._seconds() - began > DEADLINE_SECONDS:
                break
            entry = Enqueue(
                seconds=int(began),
                bodyId=body.bodyId,
                size=body.size,
                digest=body.digest,
                keepers=(),
                summary=summary,
                target=target,
                sender=sender,
                waiting=waiting,
                dueSeconds=int(began),
            )
            try:
                outcome = await self._buckets.propose(bucket, entry, body)
            except StorageFull:
                return False
            except Unavailable:
                continue
            if isinstance(outcome, Done):
                self.log.info(
                    "message {delivery} waits in bucket {bucket} for {count} recipients of bucket {target}",
                    delivery=body.bodyId.hex(),
                    bucket=bucket,
                    count=len(waiting),
                    target=target,
                )
                return True
        return False

    def _candidates(self, bodyId: bytes, target: int, answering: Sequence[int]) -> Iterator[int]:
        """Buckets to try, each once: the message's own, some that this node leads, then any."""
        led = islice((each for each in self._buckets.led() if each not in answering), LED_TRIED_MAX)
        first = int.from_bytes(bodyId[-4:], "big")
        anywhere = ((first + step) % BUCKET_COUNT for step in range(BUCKET_COUNT))
        seen = {target}
        for bucket in (*answering, *led, *anywhere):
            if bucket not in seen and self._buckets.isReachable(bucket):
                seen.add(bucket)
                yield bucket
