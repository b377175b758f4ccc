"""Aliases: addresses that lead to others. An alias's record stands in the bucket that its address hashes to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from jindimail.directory.addresses import canonicalAddress, canonicalDomain, domainOf
from jindimail.directory.book import Book
from jindimail.directory.everybucket import everyBucket
from jindimail.directory.postmaster import Postmaster, leadsTo
from jindimail.errors import NoSuchAlias, NoSuchDomain, NotAllowed, Refusal
from jindimail.mailbox.entries import SetAddress
from jindimail.model import bucketOf

ALIAS_TARGETS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """
    An alias and where it leads.

    @ivar warnings: of targets that take no mail.
    """

    address: str
    targets: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Aliases:
    """All aliases of the array; errors as `accounts.Directory`."""

    def __init__(self, book: Book, postmaster: Postmaster) -> None:
        self._book = book
        self._postmaster = postmaster

    async def eachFrom(self, first: int, domain: str | None = None) -> AsyncIterator[tuple[int, list[Alias]]]:
        """Each bucket from the first on, with its aliases (of a domain)."""
        wanted = None if domain is None else canonicalDomain(domain)
        async for bucket, found in everyBucket(self._book.addressesOf, first):
            yield (
                bucket,
                [
                    Alias(address=address, targets=record.targets)
                    for address, record in found
                    if not record.accountId and (wanted is None or domainOf(address) == wanted)
                ],
            )

    async def find(self, address: str) -> Alias:
        """One alias."""
        address = canonicalAddress(address)
        record = await self._book.resolver.find(address, fresh=True)
        if record is None or record.accountId:
            raise NoSuchAlias(address)
        return Alias(address=address, targets=record.targets)

    async def add(self, address: str, targets: Sequence[str]) -> Alias:
        """A new alias of one or many addresses of the array."""
        return await self._put(await self._book.own(address), targets, onlyNew=True)

    async def set(self, address: str, targets: Sequence[str]) -> Alias:
        """Replace an alias's targets."""
        known = await self.find(address)
        if await self._postmaster.isAt(known.address) and len(await self._unheard(targets)) == len(targets):
            raise NotAllowed(f"postmaster@ leads to {known.address}, and these take no mail")
        return await self._put(known.address, targets, onlyNew=False)

    async def _put(self, address: str, targets: Sequence[str], *, onlyNew: bool) -> Alias:
        book = self._book
        own = tuple(dict.fromkeys([await book.own(target) for target in targets]))
        if not own or len(own) > ALIAS_TARGETS_MAX or address in own:
            raise NotAllowed("an alias leads to 1 to 500 other addresses")
        entry = SetAddress(seconds=book.now(), address=address, targets=own, onlyNew=onlyNew)
        await book.propose(bucketOf(address), entry, address)
        if await book.isHomeless(address):
            await self._drop(address)
            raise NoSuchDomain(domainOf(address))
        warnings = await self._unheard(own) or await self._unheard((address,))
        return Alias(address=address, targets=own, warnings=warnings)

    async def _unheard(self, targets: Sequence[str]) -> tuple[str, ...]:
        """What is told of an alias's targets that take no mail now; they may come to be later."""
        found = []
        for target in targets:
            try:
                await self._book.resolver.resolve(target)
            except Refusal as refusal:
                found.append(f"{target}: {refusal.smtpText}")
        return tuple(found)

    async def remove(self, address: str) -> None:
        """Drop an alias."""
        alias = await self.find(address)
        if await self._postmaster.isAt(alias.address):
            raise leadsTo(alias.address)
        await self._drop(alias.address)

    async def _drop(self, address: str) -> None:
        await self._book.propose(
            bucketOf(address), SetAddress(seconds=self._book.now(), address=address), address
        )
