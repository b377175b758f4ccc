"""
Who reads postmaster@ (RFC 5321 §4.5.1): an address of the array that an administrator named, or else the first user's, and whoever comes after.

Settings of the array, read as a majority has them. A domain may have a postmaster of its own, which is no business of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from jindimail.directory.addresses import untagged
from jindimail.directory.resolver import DEFAULT_POSTMASTER_SETTING, POSTMASTER_SETTING, Resolver
from jindimail.errors import NotAllowed, Refusal
from jindimail.interfaces import IBuckets
from jindimail.mailbox.queries import ReadSetting


class Postmaster:
    """The array's postmaster; `put(name, value)` proposes a setting."""

    def __init__(
        self, *, buckets: IBuckets, resolver: Resolver, put: Callable[[str, str], Awaitable[Any]]
    ) -> None:
        self._buckets = buckets
        self._resolver = resolver
        self._put = put

    async def address(self) -> str:
        """The address that was named, or ""."""
        return await self._setting(POSTMASTER_SETTING)

    async def name(self, address: str, *, isDefault: bool = False) -> None:
        """From now on it is this address; by default: because nobody named one."""
        await self._put(DEFAULT_POSTMASTER_SETTING, address if isDefault else "")
        await self._put(POSTMASTER_SETTING, address)

    async def isThere(self) -> bool:
        """Whether an address was named, and is one of the array."""
        address = await self.address()
        return bool(address) and await self._resolver.find(untagged(address), fresh=True) is not None

    async def isAt(self, address: str) -> bool:
        """Whether postmaster@ leads to this address."""
        return untagged(await self.address()) == address

    async def isOnly(self, bucket: int, accountId: int) -> bool:
        """Whether this account reads postmaster@, and nobody else does."""
        address = await self.address()
        if not address:
            return False
        try:
            readers = (await self._resolver.resolve(address)).targets
        except Refusal:
            return False
        return all((reader.bucket, reader.accountId) == (bucket, accountId) for reader in readers)

    async def handOn(self, successor: str) -> None:
        """
        Who reads it goes: whom nobody named has a successor whom nobody names; "": there is none.

        @raise NotAllowed: an administrator named it, or there is nobody to follow.
        """
        address = await self.address()
        if await self._setting(DEFAULT_POSTMASTER_SETTING) != address or not successor:
            raise leadsTo(address)
        await self.name(successor, isDefault=True)

    async def _setting(self, name: str) -> str:
        found: str = await self._buckets.query(None, ReadSetting(name=name), fresh=True)
        return found


def leadsTo(address: str) -> NotAllowed:
    """What is said to who would take away the address that postmaster@ leads to."""
    return NotAllowed(f"postmaster@ leads to {address}: name another first (jindictl postmaster)")
