"""Removing an account step by step, and going on with a removal that stopped half way: its outcome was unknown, or its node died."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from jindimail.directory.resolver import Resolver
from jindimail.errors import NoSuchUser
from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import RemoveAccount
from jindimail.mailbox.queries import FindAccount


class Removal:
    """
    Removals of accounts; upkeep finishes those that nobody comes back to.

    @param propose: proposes an entry in a bucket about an address.
    """

    def __init__(
        self,
        *,
        buckets: IBuckets,
        resolver: Resolver,
        propose: Callable[[int, Any, str], Awaitable[Any]],
        seconds: Callable[[], float],
    ) -> None:
        self._buckets = buckets
        self._resolver = resolver
        self._propose = propose
        self._seconds = seconds

    async def remove(
        self, bucket: int, accountId: int, address: str, onProgress: Callable[[int], None] | None = None
    ) -> None:
        """
        It is disabled at once; the rest goes a bounded step at a time.

        @raise NoSuchUser: it is not there.
        """
        remaining: int | None = None
        while remaining != 0:
            entry = RemoveAccount(seconds=int(self._seconds()), accountId=accountId)
            try:
                outcome = await self._propose(bucket, entry, address)
            except NoSuchUser:
                if remaining is None:
                    raise
                return  # upkeep has come by, and taken the last steps
            remaining = outcome.remaining
            if onProgress is not None:
                onProgress(remaining)

    async def finish(self, address: str) -> bool:
        """Whether the account of a canonical address was half removed; it is gone then."""
        record = await self._resolver.find(address, fresh=True)
        if record is None or not record.accountId:
            return False
        account = await self._buckets.query(record.bucket, FindAccount(accountId=record.accountId), True)
        if account is not None:
            return False
        with suppress(NoSuchUser):  # somebody else finished it
            await self.remove(record.bucket, record.accountId, address)
        return True
