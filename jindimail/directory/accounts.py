"""
The directory's use-cases, which `jindictl` and the manhole call: domains, users, passwords, quotas; and `aliases`.

An address's record stands in the bucket it hashes to; an account stays in the bucket where it was made. Everything that is read here is
confirmed by a majority: what one administrator was told is done, the next one sees, at whatever node.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

from jindimail.directory.addresses import canonicalAddress, canonicalDomain, domainOf, untagged
from jindimail.directory.aliases import Aliases
from jindimail.directory.book import Book
from jindimail.directory.everybucket import everyBucket
from jindimail.directory.passwords import Passwords
from jindimail.directory.postmaster import Postmaster
from jindimail.directory.removal import Removal
from jindimail.directory.resolver import Resolver
from jindimail.errors import (
    AddressTaken,
    BadAddress,
    NoSuchDomain,
    NoSuchUser,
    NotAllowed,
    Refusal,
    Unavailable,
)
from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import (
    CreateAccount,
    RemoveDomain,
    SetAccount,
    SetAddress,
    SetDomain,
)
from jindimail.mailbox.queries import Account
from jindimail.model import DEFAULT_MAILBOXES, bucketOf
from jindimail.store.records import AddressRecord, DomainRecord

PASSWORD_CHARACTERS_MIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account as administrators see it; never with its credential."""

    address: str
    addresses: tuple[str, ...]
    bucket: int
    accountId: int
    enabled: bool
    mayAdminister: bool
    hasPassword: bool
    quotaOctets: int
    quotaMessages: int
    octets: int
    messages: int
    createdSeconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain of the array."""

    name: str
    catchAll: str
    postmaster: str


class Directory:
    """
    Users and domains. `newId()` draws a random 63-bit account id.

    Raises `NoSuchUser`, `NoSuchDomain`, `NoSuchAlias`, `AddressTaken`, `BadAddress`, `NotAllowed`, `Unavailable`.

    @ivar aliases: the addresses that lead to others.
    """

    def __init__(
        self,
        *,
        buckets: IBuckets,
        resolver: Resolver,
        passwords: Passwords,
        seconds: Callable[[], float],
        newId: Callable[[], int],
    ) -> None:
        self._resolver = resolver
        self._passwords = passwords
        self._newId = newId
        self._book = book = Book(buckets=buckets, resolver=resolver, seconds=seconds)
        self._postmaster = Postmaster(buckets=buckets, resolver=resolver, put=book.putSetting)
        self._removal = Removal(buckets=buckets, resolver=resolver, propose=book.propose, seconds=seconds)
        self.aliases = Aliases(book, self._postmaster)

    # --- domains ---

    async def domains(self) -> list[Domain]:
        """All domains by name."""
        found = await self._resolver.domains(fresh=True)
        return [_domain(name, record) for name, record in sorted(found.items())]

    async def domain(self, name: str) -> Domain:
        """One domain."""
        name = canonicalDomain(name)
        record = (await self._resolver.domains(fresh=True)).get(name)
        if record is None:
            raise NoSuchDomain(name)
        return _domain(name, record)

    async def addDomain(self, name: str, catchAll: str = "", postmaster: str = "") -> Domain:
        """A new domain; `catchAll` and `postmaster` are addresses of the array, or empty."""
        return await self._putDomain(canonicalDomain(name), catchAll, postmaster, was=None)

    async def setDomain(
        self, name: str, catchAll: str | None = None, postmaster: str | None = None
    ) -> Domain:
        """Change a domain; None leaves what it has, an empty string takes it away."""
        was = await self.domain(name)
        return await self._putDomain(
            was.name,
            was.catchAll if catchAll is None else catchAll,
            was.postmaster if postmaster is None else postmaster,
            was=(was.catchAll, was.postmaster),
        )

    async def _putDomain(
        self, name: str, catchAll: str, postmaster: str, *, was: tuple[str, str] | None
    ) -> Domain:
        record = DomainRecord(
            catchAll=catchAll and await self._book.own(catchAll, name),
            postmaster=postmaster and await self._book.own(postmaster, name),
        )
        entry = SetDomain(
            seconds=self._book.now(),
            name=name,
            catchAll=record.catchAll,
            postmaster=record.postmaster,
            onlyNew=was is None,
            was=was,
        )
        await self._book.propose(None, entry, name)
        return _domain(name, record)

    async def removeDomain(self, name: str) -> None:
        """
        Drop a domain that has neither users nor aliases any more. Who adds one meanwhile looks afterwards whether the domain is still there,
        and this looks afterwards whether one was added: one of the two sees the other.
        """
        domain = await self.domain(name)
        await self._requireUnused(domain.name)
        await self._book.propose(None, RemoveDomain(seconds=self._book.now(), name=domain.name), domain.name)
        try:
            await self._requireUnused(domain.name)
        except NotAllowed:
            back = SetDomain(
                seconds=self._book.now(),
                name=domain.name,
                catchAll=domain.catchAll,
                postmaster=domain.postmaster,
                onlyNew=True,
            )
            with suppress(AddressTaken):
                await self._book.propose(None, back, domain.name)
            raise

    async def _requireUnused(self, domain: str) -> None:
        async for address, _ in self._allAddresses():
            if domainOf(address) == domain:
                raise NotAllowed(f"{address} is still there")

    async def setPostmaster(self, address: str) -> None:
        """Who reads postmaster@ of all domains that have none of their own: a user or an alias, no address that a catch-all takes."""
        address = await self._book.own(address)
        if await self._resolver.find(untagged(address), fresh=True) is None:
            raise NoSuchUser(address)
        try:
            await self._resolver.resolve(address)
        except Refusal as refusal:
            raise NotAllowed(f"{address}: {refusal.smtpText}") from None
        await self._postmaster.name(address)

    async def postmaster(self) -> str:
        """The array's postmaster, or ""."""
        return await self._postmaster.address()

    # --- users ---

    async def addUser(
        self,
        address: str,
        password: str | None = None,
        *,
        quotaOctets: int = 0,
        quotaMessages: int = 0,
        mayAdminister: bool = False,
    ) -> User:
        """
        A new account with the default mailboxes; without a password nobody can log in to it. The first one of an array is its postmaster,
        until somebody else is (RFC 5321 §4.5.1).
        """
        address = await self._book.own(address)
        credential = "" if password is None else await self._hash(password)
        bucket, accountId = bucketOf(address), self._newId()
        entry = CreateAccount(
            seconds=self._book.now(),
            accountId=accountId,
            addresses=(address,),
            credential=credential,
            quotaOctets=quotaOctets,
            quotaMessages=quotaMessages,
            mailboxes=DEFAULT_MAILBOXES,
            uidValidity=self._book.now(),
            mayAdminister=mayAdminister,
        )
        try:
            await self._book.propose(bucket, entry, address)
        except AddressTaken:
            if not await self._removal.finish(address):
                raise
            await self._book.propose(bucket, entry, address)
        if await self._book.isHomeless(address):
            await self._removal.remove(bucket, accountId, address)
            raise NoSuchDomain(domainOf(address))
        with suppress(
            Unavailable
        ):  # the user is there all the same; the next one that is made is tried again
            if not await self._postmaster.isThere():
                await self._postmaster.name(address, isDefault=True)
        return await self.user(address)

    async def user(self, address: str) -> User:
        """One account, by any of its addresses."""
        bucket, account = await self._find(address)
        return _user(bucket, account)

    async def users(self, domain: str | None = None) -> list[User]:
        """All accounts (of a domain), by address."""
        return sorted(
            [user async for _, some in self.usersFrom(0, domain) for user in some],
            key=lambda user: user.address,
        )

    async def usersFrom(self, first: int, domain: str | None = None) -> AsyncIterator[tuple[int, list[User]]]:
        """Each bucket from the first on, with its accounts (of a domain)."""
        wanted = None if domain is None else canonicalDomain(domain)
        async for bucket, accounts in everyBucket(self._book.accountsOf, first):
            yield (
                bucket,
                [
                    _user(bucket, account)
                    for account in accounts
                    if wanted is None or domainOf(account.record.addresses[0]) == wanted
                ],
            )

    async def setUser(
        self,
        address: str,
        *,
        enabled: bool | None = None,
        quotaOctets: int | None = None,
        quotaMessages: int | None = None,
        mayAdminister: bool | None = None,
    ) -> User:
        """Change an account; None leaves what it has, a quota of 0 is no limit."""
        bucket, account = await self._find(address)
        if enabled is False:
            await self._keepPostmaster(bucket, account)
        entry = SetAccount(
            seconds=self._book.now(),
            accountId=account.accountId,
            enabled=enabled,
            quotaOctets=quotaOctets,
            quotaMessages=quotaMessages,
            mayAdminister=mayAdminister,
        )
        await self._book.propose(bucket, entry, address)
        return await self.user(address)

    async def administrator(self, address: str) -> str | None:
        """
        The credential of an account that may administer now, to see whether it is still the same; None for others. As this node knows
        it: the status page is looked at when the array is in trouble, too.
        """
        try:
            found = await self._resolver.account(canonicalAddress(address))
        except BadAddress:
            return None
        if found is None:
            return None
        record = found[1].record
        return record.credential if record.enabled and record.mayAdminister else None

    async def setPassword(self, address: str, password: str) -> None:
        """Change a password; sessions that are logged in stay."""
        bucket, account = await self._find(address)
        credential = await self._hash(password)
        entry = SetAccount(seconds=self._book.now(), accountId=account.accountId, credential=credential)
        await self._book.propose(bucket, entry, address)

    async def removeUser(self, address: str, onProgress: Callable[[int], None] | None = None) -> None:
        """Remove an account with all its mail and addresses. It is disabled at once; the rest goes step by step."""
        try:
            bucket, account = await self._find(address)
        except NoSuchUser:
            if await self._removal.finish(canonicalAddress(address)):
                return
            raise
        await self._keepPostmaster(bucket, account)
        await self._removal.remove(bucket, account.accountId, address, onProgress)
        for one in account.record.addresses:
            if bucketOf(one) != bucket:  # else it went with the account, and may be another's by now
                await self._book.propose(
                    bucketOf(one), SetAddress(seconds=self._book.now(), address=one), one
                )

    async def _keepPostmaster(self, bucket: int, account: Account) -> None:
        """Somebody must read postmaster@: the last one who does can neither go nor be disabled, as long as there are others to hand it on to."""
        if not await self._postmaster.isOnly(bucket, account.accountId):
            return
        areOthers, successor = False, None
        async for _, users in self.usersFrom(0):
            others = [user for user in users if (user.bucket, user.accountId) != (bucket, account.accountId)]
            able = [user for user in (successor, *others) if user is not None and user.enabled]
            successor = min(able, key=lambda user: (not user.mayAdminister, user.address), default=None)
            areOthers = areOthers or bool(others)
        if areOthers:
            await self._postmaster.handOn("" if successor is None else successor.address)

    # --- within ---

    async def _find(self, address: str) -> tuple[int, Account]:
        found = await self._resolver.account(canonicalAddress(address), fresh=True)
        if found is None:
            raise NoSuchUser(address)
        return found

    async def _hash(self, password: str) -> str:
        if len(password) < PASSWORD_CHARACTERS_MIN:
            raise NotAllowed(f"a password has at least {PASSWORD_CHARACTERS_MIN} characters")
        return await self._passwords.hash(password.encode())

    async def _allAddresses(self) -> AsyncIterator[tuple[str, AddressRecord]]:
        async for _, found in everyBucket(self._book.addressesOf):
            for address, record in found:
                yield address, record


def _domain(name: str, record: DomainRecord) -> Domain:
    return Domain(name=name, catchAll=record.catchAll, postmaster=record.postmaster)


def _user(bucket: int, account: Account) -> User:
    record, usage = account.record, account.usage
    return User(
        address=record.addresses[0],
        addresses=record.addresses,
        bucket=bucket,
        accountId=account.accountId,
        enabled=record.enabled,
        mayAdminister=record.mayAdminister,
        hasPassword=bool(record.credential),
        quotaOctets=record.quotaOctets,
        quotaMessages=record.quotaMessages,
        octets=usage.octets,
        messages=usage.messages,
        createdSeconds=record.createdSeconds,
    )
