"""Finishing what a crash or a refusal left half done: orphaned bodies, mailboxes and accounts half removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import DeleteMailbox, RemoveAccount, VoidDelivery
from jindimail.mailbox.queries import FindLeftovers, Leftovers
from jindimail.model import BUCKET_COUNT

GRACE_SECONDS = 3600  # a delivery that is under way is younger than this
STEPS_MAX = 10_000  # of one bucket in one round


class Upkeep:
    """
    Goes through the buckets. A body is swept only after its delivery was made void in the log (design §6), so a
    delivery that comes late is refused, not half lost. Accounts come before mailboxes, which they own.
    """

    log = Logger()

    def __init__(self, *, buckets: IBuckets, seconds: Callable[[], float]) -> None:
        self._buckets = buckets
        self._seconds = seconds
        self.swept = 0
        self.finished = 0

    async def sweep(self, sinceSeconds: int, graceSeconds: int = GRACE_SECONDS) -> None:
        """All buckets, one after the other; orphans only among bodies that came since a time."""
        for bucket in range(BUCKET_COUNT):
            await self._sweepBucket(bucket, sinceSeconds, graceSeconds)

    async def _sweepBucket(self, bucket: int, sinceSeconds: int, graceSeconds: int) -> None:
        now = int(self._seconds())
        query = FindLeftovers(fromSeconds=sinceSeconds, toSeconds=now - graceSeconds)
        for _ in range(STEPS_MAX):
            found: Leftovers = await self._buckets.query(bucket, query)
            entries: list[Any] = [VoidDelivery(seconds=now, deliveryId=one) for one in found.bodyIds]
            entries += [RemoveAccount(seconds=now, accountId=one) for one in found.accountIds]
            if not found.accountIds:
                entries += [
                    DeleteMailbox(seconds=now, accountId=owner, mailboxId=one)
                    for owner, one in found.mailboxes
                ]
            if not entries:
                return
            for entry in entries:
                await self._buckets.propose(bucket, entry)
            self.swept += len(found.bodyIds)
            self.finished += len(entries) - len(found.bodyIds)
            if found.bodyIds:
                self.log.info(
                    "Swept {count} orphaned bodies of bucket {bucket}",
                    count=len(found.bodyIds),
                    bucket=bucket,
                )
