"""
What the directory's use-cases have in common: entries about addresses, whole tables of all buckets, and whether an address may be one of the array.

What is read here is confirmed by a majority.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from jindimail.directory.addresses import canonicalAddress, domainOf
from jindimail.directory.resolver import Resolver
from jindimail.errors import AddressTaken, NoSuchDomain, Unavailable
from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import SetSetting
from jindimail.mailbox.outcomes import Refused
from jindimail.mailbox.queries import Account, ListAccounts, ListAddresses
from jindimail.store.records import AddressRecord

PAGE = 500


class Book:
    """All addresses and accounts of the array."""

    def __init__(self, *, buckets: IBuckets, resolver: Resolver, seconds: Callable[[], float]) -> None:
        self.resolver = resolver
        self._buckets = buckets
        self._seconds = seconds

    def now(self) -> int:
        """The wall clock, in whole seconds."""
        return int(self._seconds())

    async def propose(self, bucket: int | None, entry: Any, what: str) -> Any:
        """
        The outcome of an entry about something.

        @raise AddressTaken: that is there already.
        """
        outcome = await self._buckets.propose(bucket, entry)
        if isinstance(outcome, Refused):
            raise AddressTaken(what) if outcome.code == "exists" else outcome.error()
        return outcome

    async def putSetting(self, name: str, value: str) -> None:
        """Change a setting of the array."""
        await self.propose(None, SetSetting(seconds=self.now(), name=name, value=value), value)

    async def own(self, address: str, newDomain: str = "") -> str:
        """The canonical form of an address in one of the array's domains, or in one that is about to be."""
        address = canonicalAddress(address)
        if domainOf(address) != newDomain and await self._hasNoDomain(address):
            raise NoSuchDomain(domainOf(address))
        return address

    async def isHomeless(self, address: str) -> bool:
        """Whether the domain of an address that was made a moment ago was removed meanwhile, as far as can be told."""
        with suppress(Unavailable):
            return await self._hasNoDomain(address)
        return False

    async def _hasNoDomain(self, address: str) -> bool:
        return domainOf(address) not in await self.resolver.domains(fresh=True)

    async def accountsOf(self, bucket: int) -> list[Account]:
        """All accounts of a bucket."""
        return await self._pages(
            bucket, lambda last: ListAccounts(afterId=last.accountId if last else 0, limit=PAGE)
        )

    async def addressesOf(self, bucket: int) -> list[tuple[str, AddressRecord]]:
        """All addresses of a bucket."""
        return await self._pages(
            bucket, lambda last: ListAddresses(after=last[0] if last else "", limit=PAGE)
        )

    async def _pages(self, bucket: int, after: Callable[[Any], Any]) -> list[Any]:
        """All rows of a bucket: `after(row)` asks for those behind a row, of None for the first."""
        found: list[Any] = []
        page = PAGE
        while page == PAGE:
            query = after(found[-1] if found else None)
            rows: Sequence[Any] = await self._buckets.query(bucket, query, fresh=True)
            page = len(rows)
            found.extend(rows)
        return found
