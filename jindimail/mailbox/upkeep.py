"""Finishing what a crash or a refusal left half done: mailboxes and accounts half removed. (Bodies: `cluster.sweeping`.)"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from jindimail.errors import Unavailable
from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import DeleteMailbox, RemoveAccount
from jindimail.mailbox.queries import FindLeftovers, Leftovers
from jindimail.model import BUCKET_COUNT

STEPS_MAX = 10_000  # of one bucket in one round


class Upkeep:
    """Goes through the buckets that this node leads. Accounts come before mailboxes, which they own."""

    def __init__(
        self, *, buckets: IBuckets, leads: Callable[[int], bool], seconds: Callable[[], float]
    ) -> None:
        """
        @param leads: whether this node leads a bucket: another's are finished by another.
        """
        self._buckets = buckets
        self._leads = leads
        self._seconds = seconds
        self.finished = 0

    async def finish(self) -> None:
        """All led buckets, one after the other; one that cannot be finished now keeps none of the others waiting."""
        for bucket in range(BUCKET_COUNT):
            if self._leads(bucket):
                with suppress(Unavailable):
                    await self._finishBucket(bucket)

    async def _finishBucket(self, bucket: int) -> None:
        now = int(self._seconds())
        for _ in range(STEPS_MAX):
            found: Leftovers = await self._buckets.query(bucket, FindLeftovers())
            entries: list[Any] = [RemoveAccount(seconds=now, accountId=one) for one in found.accountIds]
            if not found.accountIds:
                entries = [
                    DeleteMailbox(seconds=now, accountId=owner, mailboxId=one)
                    for owner, one in found.mailboxes
                ]
            if not entries:
                return
            for entry in entries:
                await self._buckets.propose(bucket, entry)
            self.finished += len(entries)
