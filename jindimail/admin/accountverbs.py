"""The verbs about domains, users and aliases: thin, over the directory's use-cases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import (
    NUMBER,
    OCTETS,
    PAGE_ROWS,
    SECRET,
    SWITCH,
    TEXTS,
    Argument,
    Report,
    verb,
)
from jindimail.directory.accounts import Domain
from jindimail.errors import NoSuchUser
from jindimail.model import BUCKET_COUNT

DOMAIN = Argument(name="domain", doc="the domain's name, example.org say")
ADDRESS = Argument(name="address", doc="the user's login name, ada@example.org say")
ALIAS = Argument(name="address", doc="the alias's address, sales@example.org say")
TARGETS = Argument(name="targets", doc="the addresses that it leads to", kind=TEXTS)
AFTER = Argument(name="after", doc="the page after this one", option=True, default="")
CATCH_ALL = Argument(
    name="catchAll", doc="the address that takes what nobody else does; '' for none", option=True
)
POSTMASTER = Argument(
    name="postmaster", doc="who reads postmaster@ of this domain; '' for nobody", option=True
)
QUOTA_OCTETS = Argument(
    name="quotaOctets", doc="most octets, 5G say; 0 for no limit", kind=OCTETS, option=True
)
QUOTA_MESSAGES = Argument(name="quotaMessages", doc="most messages; 0 for no limit", kind=NUMBER, option=True)
MAY_ADMINISTER = Argument(
    name="mayAdminister", doc="whether the user may log in to the web console", kind=SWITCH, option=True
)
PASSWORD = Argument(name="password", doc="the password", kind=SECRET)


# --- domains -----------------------------------------------------------------------------------------------


@verb("domain add", DOMAIN, CATCH_ALL, POSTMASTER, examples=("jindictl domain add example.org",))
async def addDomain(
    node: LiveNode, report: Report, *, domain: str, catchAll: str | None, postmaster: str | None
) -> dict[str, Any]:
    """Add a domain: from now on the array takes mail for its users."""
    added = await node.directory.addDomain(domain, catchAll=catchAll or "", postmaster=postmaster or "")
    return _domainRow(added)


@verb("domain list", AFTER, columns=("domain", "catchAll", "postmaster"), examples=("jindictl domain list",))
async def domains(node: LiveNode, report: Report, *, after: str = "") -> dict[str, Any]:
    """All domains of the array."""
    rest = [each for each in await node.directory.domains() if each.name > after]
    rows = [_domainRow(each) for each in rest[:PAGE_ROWS]]
    return {"rows": rows, "after": rows[-1]["domain"] if len(rest) > PAGE_ROWS else None}


def _domainRow(found: Domain) -> dict[str, Any]:
    return {"domain": found.name, "catchAll": found.catchAll, "postmaster": found.postmaster}


@verb("domain show", DOMAIN, examples=("jindictl domain show example.org",))
async def domain(node: LiveNode, report: Report, *, domain: str) -> dict[str, Any]:
    """One domain."""
    return _domainRow(await node.directory.domain(domain))


@verb(
    "domain set",
    DOMAIN,
    CATCH_ALL,
    POSTMASTER,
    examples=("jindictl domain set example.org --catch-all ada@example.org",),
)
async def setDomain(
    node: LiveNode, report: Report, *, domain: str, catchAll: str | None, postmaster: str | None
) -> dict[str, Any]:
    """Change what is given of a domain."""
    changed = await node.directory.setDomain(domain, catchAll=catchAll, postmaster=postmaster)
    return _domainRow(changed)


@verb(
    "domain remove",
    DOMAIN,
    confirm="Remove the domain {domain}? Mail to its addresses will be refused.",
    examples=("jindictl domain remove example.org",),
)
async def removeDomain(node: LiveNode, report: Report, *, domain: str) -> dict[str, Any]:
    """Drop a domain; its users and aliases must be gone before."""
    await node.directory.removeDomain(domain)
    return {"removed": domain}


@verb(
    "postmaster",
    Argument(name="address", doc="who shall read it", option=True),
    examples=("jindictl postmaster", "jindictl postmaster --address ada@example.org"),
)
async def postmaster(node: LiveNode, report: Report, *, address: str | None = None) -> dict[str, Any]:
    """Who reads postmaster@ of all domains that have none of their own; with --address, from now on that address."""
    if address is not None:
        await node.directory.setPostmaster(address)
    return {"postmaster": await node.directory.postmaster()}


# --- users -------------------------------------------------------------------------------------------------


@verb(
    "user add",
    ADDRESS,
    PASSWORD,
    QUOTA_OCTETS,
    QUOTA_MESSAGES,
    MAY_ADMINISTER,
    examples=(
        "jindictl user add ada@example.org",
        "jindictl user add ada@example.org --quota-octets 5G < password",
    ),
)
async def addUser(
    node: LiveNode,
    report: Report,
    *,
    address: str,
    password: str,
    quotaOctets: int | None = None,
    quotaMessages: int | None = None,
    mayAdminister: bool | None = None,
) -> dict[str, Any]:
    """Add a user with the default mailboxes."""
    user = await node.directory.addUser(
        address,
        password,
        quotaOctets=quotaOctets or 0,
        quotaMessages=quotaMessages or 0,
        mayAdminister=bool(mayAdminister),
    )
    return asdict(user)


@verb(
    "user list",
    Argument(name="domain", doc="only of this domain", option=True, default=""),
    AFTER,
    columns=("address", "enabled", "octets", "quotaOctets", "messages", "quotaMessages"),
    isSorted=True,
    examples=("jindictl user list --domain example.org",),
)
async def users(node: LiveNode, report: Report, *, domain: str = "", after: str = "") -> dict[str, Any]:
    """All users, with what they use."""
    return await _pageOf(node.directory.usersFrom(_bucket(after), domain or None))


@verb("user show", ADDRESS, examples=("jindictl user show ada@example.org",))
async def user(node: LiveNode, report: Report, *, address: str) -> dict[str, Any]:
    """One user, by any address that belongs to the account."""
    return asdict(await node.directory.user(address))


@verb(
    "user set",
    ADDRESS,
    Argument(name="enabled", doc="whether the user may log in and gets mail", kind=SWITCH, option=True),
    QUOTA_OCTETS,
    QUOTA_MESSAGES,
    MAY_ADMINISTER,
    examples=(
        "jindictl user set ada@example.org --no-enabled",
        "jindictl user set ada@example.org --may-administer",
        "jindictl user set ada@example.org --quota-octets 0",
    ),
)
async def setUser(
    node: LiveNode,
    report: Report,
    *,
    address: str,
    enabled: bool | None = None,
    quotaOctets: int | None = None,
    quotaMessages: int | None = None,
    mayAdminister: bool | None = None,
) -> dict[str, Any]:
    """Change what is given of a user."""
    user = await node.directory.setUser(
        address,
        enabled=enabled,
        quotaOctets=quotaOctets,
        quotaMessages=quotaMessages,
        mayAdminister=mayAdminister,
    )
    return asdict(user)


@verb("user passwd", ADDRESS, PASSWORD, examples=("jindictl user passwd ada@example.org",))
async def setPassword(node: LiveNode, report: Report, *, address: str, password: str) -> dict[str, Any]:
    """Change a user's password."""
    await node.directory.setPassword(address, password)
    return {"changed": address}


@verb(
    "user remove",
    ADDRESS,
    confirm="Remove {address} and all mail in the account?",
    examples=("jindictl user remove ada@example.org --yes",),
)
async def removeUser(node: LiveNode, report: Report, *, address: str) -> dict[str, Any]:
    """Remove a user with all mail, step by step; log in and delivery end at once."""
    total = 0
    with suppress(NoSuchUser):  # it may be half removed
        total = (await node.directory.user(address)).messages
    await node.directory.removeUser(
        address, lambda remaining: report(max(0, total - remaining), total, "removing messages")
    )
    return {"removed": address}


@verb(
    "quota",
    ADDRESS,
    QUOTA_OCTETS,
    QUOTA_MESSAGES,
    examples=("jindictl quota ada@example.org", "jindictl quota ada@example.org --quota-octets 10G"),
)
async def quota(
    node: LiveNode,
    report: Report,
    *,
    address: str,
    quotaOctets: int | None = None,
    quotaMessages: int | None = None,
) -> dict[str, Any]:
    """What a user uses and may use; with options, change what the user may use."""
    if quotaOctets is not None or quotaMessages is not None:
        found = await node.directory.setUser(address, quotaOctets=quotaOctets, quotaMessages=quotaMessages)
    else:
        found = await node.directory.user(address)
    return {
        "address": found.address,
        "octets": found.octets,
        "quotaOctets": found.quotaOctets,
        "messages": found.messages,
        "quotaMessages": found.quotaMessages,
    }


# --- aliases -----------------------------------------------------------------------------------------------


@verb(
    "alias add",
    ALIAS,
    TARGETS,
    examples=("jindictl alias add sales@example.org ada@example.org bob@example.org",),
)
async def addAlias(node: LiveNode, report: Report, *, address: str, targets: Sequence[str]) -> dict[str, Any]:
    """Add an alias of one or many addresses."""
    return asdict(await node.directory.aliases.add(address, targets))


@verb(
    "alias list",
    Argument(name="domain", doc="only of this domain", option=True, default=""),
    AFTER,
    columns=("address", "targets"),
    isSorted=True,
    examples=("jindictl alias list",),
)
async def aliases(node: LiveNode, report: Report, *, domain: str = "", after: str = "") -> dict[str, Any]:
    """All aliases, and where they lead."""
    return await _pageOf(node.directory.aliases.eachFrom(_bucket(after), domain or None))


@verb("alias show", ALIAS, examples=("jindictl alias show sales@example.org",))
async def alias(node: LiveNode, report: Report, *, address: str) -> dict[str, Any]:
    """One alias."""
    return asdict(await node.directory.aliases.find(address))


@verb("alias set", ALIAS, TARGETS, examples=("jindictl alias set sales@example.org bob@example.org",))
async def setAlias(node: LiveNode, report: Report, *, address: str, targets: Sequence[str]) -> dict[str, Any]:
    """Replace the addresses that an alias leads to."""
    return asdict(await node.directory.aliases.set(address, targets))


@verb(
    "alias remove",
    ALIAS,
    confirm="Remove the alias {address}?",
    examples=("jindictl alias remove sales@example.org",),
)
async def removeAlias(node: LiveNode, report: Report, *, address: str) -> dict[str, Any]:
    """Remove an alias."""
    await node.directory.aliases.remove(address)
    return {"removed": address}


LISTED_ROWS = 2_000  # of a page: all but few of the buckets that are asked at once stand on one


def _bucket(after: str) -> int:
    """The bucket that a page begins with."""
    return int(after) if after.isdecimal() else 0


async def _pageOf(found: AsyncIterator[tuple[int, Sequence[Any]]]) -> dict[str, Any]:
    """One page of what lies in all buckets: that of some of them, so that no bucket is asked for more than one page."""
    rows: list[Any] = []
    after = None
    async for bucket, some in found:
        rows += some
        if len(rows) >= LISTED_ROWS and bucket + 1 < BUCKET_COUNT:
            after = str(bucket + 1)
            break
    return {"rows": [asdict(each) for each in sorted(rows, key=lambda row: row.address)], "after": after}
