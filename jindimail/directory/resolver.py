"""From an envelope address to the accounts that it leads to: exact, `+tag`, postmaster, catch-all, aliases."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from jindimail.directory.addresses import canonicalAddress, domainOf, untagged
from jindimail.errors import (
    BadAddress,
    JindimailError,
    LargerThanQuota,
    NoSuchUser,
    OverQuota,
    Refusal,
    RelayDenied,
    TooManyTargets,
    Unavailable,
    UserDisabled,
)
from jindimail.interfaces import IBuckets
from jindimail.mailbox.queries import Account, FindAccount, FindAddress, ListDomains, ReadSetting
from jindimail.model import Recipient, Target, bucketOf
from jindimail.store.records import AddressRecord, DomainRecord

ALIAS_DEPTH_MAX = 10
TARGETS_MAX = 1_000
POSTMASTER = "postmaster"
POSTMASTER_SETTING = "postmaster"
DEFAULT_POSTMASTER_SETTING = "postmaster by default"  # the same address, if no administrator has named it


class Resolver:
    """
    Looks addresses up. The domains are kept in memory and read anew when they change.

    What this node knows may be a moment old; a refusal is for ever. So nobody is refused but by what a majority confirms. More than a moment
    old it may not be, either: a node that is cut off from a bucket's leader would go on for hours with where an alias led before.

    `postmaster@` every domain is always accepted (RFC 5321 §4.5.1): it goes to an account or alias of that name, else to the
    domain's postmaster, else to the array's setting `postmaster`, also when the one before takes no mail now.
    """

    def __init__(self, buckets: IBuckets) -> None:
        self._buckets = buckets
        self._domains: dict[str, DomainRecord] | None = None
        self._postmaster = ""
        self._revision = 0  # of the domains: what was read before a change is not kept
        buckets.followTopic(("domains",), self._forget)

    def _forget(self) -> None:
        self._revision += 1
        self._domains = None

    async def domains(self, fresh: bool = False) -> dict[str, DomainRecord]:
        """The array's domains by canonical name."""
        if self._domains is not None and not fresh:
            return self._domains
        revision = self._revision
        found: dict[str, DomainRecord] = dict(await self._buckets.query(None, ListDomains(), fresh))
        postmaster: str = await self._buckets.query(None, ReadSetting(name=POSTMASTER_SETTING))
        self._postmaster = postmaster
        if revision == self._revision:
            self._domains = found
        return found

    async def find(self, address: str, fresh: bool = False) -> AddressRecord | None:
        """The record of a canonical address, exactly."""
        found: AddressRecord | None = await self._ask(bucketOf(address), FindAddress(address=address), fresh)
        return found

    async def account(self, address: str, fresh: bool = False) -> tuple[int, Account] | None:
        """The bucket and account that an address belongs to; None for aliases and unknown ones."""
        record = await self.find(address, fresh)
        if record is None or not record.accountId:
            return None
        fresh = fresh and record.bucket != bucketOf(address)  # what is read after a fresh answer is no older
        query = FindAccount(accountId=record.accountId)
        found: Account | None = await self._ask(record.bucket, query, fresh)
        return None if found is None else (record.bucket, found)

    async def _ask(self, bucket: int, query: Any, fresh: bool) -> Any:
        """What this node knows if that is a moment old at most; else, where a majority may answer, what that confirms."""
        if not fresh and self._buckets.mayBeOld(bucket):
            with suppress(Unavailable):
                return await self._buckets.query(bucket, query, True, mayLag=True)
        return await self._buckets.query(bucket, query, fresh, mayLag=True)

    async def resolve(self, address: str, octets: int = 0) -> Recipient:
        """
        An envelope recipient, of a message of so many octets (0: unknown).

        @raise BadAddress, RelayDenied, NoSuchUser: there is no such recipient.
        @raise TooManyTargets: it leads to more addresses than a message is filed for.
        @raise UserDisabled, OverQuota, LargerThanQuota: of all the accounts it leads to, none takes the message now.
        """
        try:
            return await self._resolve(address, octets, fresh=False)
        except Refusal:
            return await self._resolve(address, octets, fresh=True)

    async def _resolve(self, address: str, octets: int, *, fresh: bool) -> Recipient:
        canonical = await self._envelopeAddress(address, fresh)
        try:
            return await self._lead(address, canonical, octets, fresh)
        except Refusal:
            if not self._postmaster or not untagged(canonical).startswith(POSTMASTER + "@"):
                raise
        return await self._lead(address, self._postmaster, octets, fresh)

    async def _lead(self, address: str, canonical: str, octets: int, fresh: bool) -> Recipient:
        """Where an address leads, by way of aliases."""
        targets: list[Target] = []
        refusals: list[JindimailError] = []
        seen: set[str] = {canonical}
        level = [canonical]
        for _ in range(ALIAS_DEPTH_MAX):
            further: list[str] = []
            for one in level:
                await self._follow(one, octets, fresh, targets, refusals, further)
            level = [one for one in dict.fromkeys(further) if one not in seen]
            seen.update(level)
            if not level or len(seen) > TARGETS_MAX:
                break
        if level:
            raise TooManyTargets
        if not targets:
            raise refusals[0] if refusals else NoSuchUser()
        return Recipient(
            address=address, targets=tuple({(t.bucket, t.accountId): t for t in targets}.values())
        )

    async def _envelopeAddress(self, address: str, fresh: bool) -> str:
        domains = await self.domains(fresh)
        if address.lower() == POSTMASTER and self._postmaster:
            return self._postmaster
        try:
            canonical = canonicalAddress(address)
        except BadAddress:
            raise NoSuchUser from None
        if domainOf(canonical) not in domains:
            raise RelayDenied
        return canonical

    async def _follow(
        self,
        address: str,
        octets: int,
        fresh: bool,
        targets: list[Target],
        refusals: list[JindimailError],
        further: list[str],
    ) -> None:
        """Add what one address leads to: a target, a refusal, or addresses to follow further."""
        domain = (await self.domains()).get(domainOf(address))
        if domain is None:
            refusals.append(RelayDenied())
            return
        record = await self._nearest(address, domain, fresh)
        if record is None:
            refusals.append(NoSuchUser())
        elif isinstance(record, str):
            further.append(record)
        elif not record.accountId:
            further.extend(record.targets)
        else:
            query = FindAccount(accountId=record.accountId)
            found: Account | None = await self._ask(record.bucket, query, fresh)
            refusal = _refusal(found, octets)
            if refusal is not None or found is None:
                refusals.append(refusal or NoSuchUser())
            else:
                targets.append(Target(bucket=record.bucket, accountId=record.accountId, address=address))

    async def _nearest(self, address: str, domain: DomainRecord, fresh: bool) -> AddressRecord | str | None:
        """The record that takes an address, or another address that does."""
        record = await self.find(address, fresh)
        base = untagged(address)
        if record is None and base != address:
            record = await self.find(base, fresh)
        if record is not None:
            return record
        if base.startswith(POSTMASTER + "@"):
            return domain.postmaster or self._postmaster or None
        return domain.catchAll or None


def _refusal(account: Account | None, octets: int) -> JindimailError | None:
    """Why an account takes no message of so many octets now; a lone full mailbox is full for an empty one too."""
    if account is None:
        return NoSuchUser()
    record, usage = account.record, account.usage
    if not record.enabled:
        return UserDisabled()
    if 0 < record.quotaOctets < octets:
        return LargerThanQuota()
    isFull = (record.quotaOctets and usage.octets + max(1, octets) > record.quotaOctets) or (
        record.quotaMessages and usage.messages >= record.quotaMessages
    )
    return OverQuota() if isFull else None
