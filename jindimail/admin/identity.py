"""
Who this node is to the others: its credentials when it starts, and what the array's own group knows of it.

The first node makes the array's authority, and is its first member. A store that was founded by a version without arrays gets
both at its next start; a store that was restored from a backup gets new credentials from the authority in its own rows.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from jindimail.admin.certificates import replacePrivately
from jindimail.admin.nodefiles import AUTHORITY_KEY, readCredentials, writeCredentials
from jindimail.cluster.arrayentries import AdmitNode, SetAuthority, SetNode
from jindimail.cluster.arrayrecords import NodeRecord, readAuthority, readNodes
from jindimail.cluster.authority import Authority, Credentials, Identity, foundAuthority, isDue, newRequest
from jindimail.config import Configuration
from jindimail.errors import ConfigError
from jindimail.interfaces import IBuckets, IReadRows, IStore
from jindimail.model import ARRAY_GROUP
from jindimail.store.keys import HARD, groupKey
from jindimail.store.records import MetaRecord

FIRST_NODE = 1


def credentialsFor(directory: Path, meta: MetaRecord, rows: IReadRows, now: datetime) -> Credentials:
    """
    What this node speaks with: what it has, else what the array's authority gives it, else, on the first node, a new authority's. What
    is due for renewal (or over: the node was off for months) is renewed from the authority in its own rows, if that is there.

    @raise ConfigError: this node has none, and nobody here can give it any.
    """
    credentials = readCredentials(directory)
    if credentials is None or (isDue(credentials.certificate, now) and readAuthority(rows) is not None):
        authority = _authority(directory, meta, rows, now)
        request, key = newRequest(meta.name)
        identity = Identity(arrayId=meta.arrayId, node=meta.node, name=meta.name)
        certificate = authority.issue(request, identity, now)
        credentials = Credentials(certificate=certificate, key=key, authority=authority.certificate)
        writeCredentials(directory, credentials)
    return credentials


def _authority(directory: Path, meta: MetaRecord, rows: IReadRows, now: datetime) -> Authority:
    kept = readAuthority(rows)
    if kept is not None:
        return Authority(kept.certificate, kept.key)
    if meta.node != FIRST_NODE or rows.get(HARD, groupKey(ARRAY_GROUP)) is None:
        raise ConfigError((f"{directory}: the node's credentials are gone; it has to join again",))
    certificate, key = foundAuthority(meta.arrayId, now)
    replacePrivately(directory / AUTHORITY_KEY, key)
    return Authority(certificate, key)


async def introduce(
    configuration: Configuration,
    *,
    buckets: IBuckets,
    store: IStore,
    credentials: Credentials,
    seconds: int,
    level: int,
) -> None:
    """
    See to it that the array knows its authority, and this node as it is configured now.

    @raise Unavailable: the array's own group does not answer.
    """
    keyPath = Path(configuration.node.dataDirectory) / AUTHORITY_KEY
    with store.read() as rows:
        hasAuthority = readAuthority(rows) is not None
        nodes = dict(readNodes(rows))
    if not hasAuthority and keyPath.exists():
        key = keyPath.read_bytes()
        await buckets.propose(None, SetAuthority(seconds=seconds, certificate=credentials.authority, key=key))
    if not nodes:
        await buckets.propose(None, _firstNode(configuration, seconds, level))
    elif buckets.node in nodes:
        await _update(configuration, nodes[buckets.node], buckets, seconds, level)
    keyPath.unlink(missing_ok=True)


def _firstNode(configuration: Configuration, seconds: int, level: int) -> AdmitNode:
    cluster = configuration.cluster
    return AdmitNode(
        seconds=seconds,
        secretHash=b"",
        name=configuration.node.name,
        addresses=addressesOf(configuration),
        host=cluster.host,
        weight=cluster.weight,
        level=level,
    )


async def _update(
    configuration: Configuration, known: NodeRecord, buckets: IBuckets, seconds: int, level: int
) -> None:
    """What differs from what the array knows of this node is changed there; its weight is the array's own."""
    now: dict[str, Any] = {
        "addresses": addressesOf(configuration),
        "host": configuration.cluster.host,
        "level": level,
    }
    changed = {name: value for name, value in now.items() if getattr(known, name) != value}
    if changed:
        await buckets.propose(None, SetNode(seconds=seconds, node=buckets.node, **changed))


def addressesOf(configuration: Configuration) -> tuple[str, ...]:
    """Where the other nodes reach this one; nowhere, if it does not listen for them."""
    return (configuration.cluster.address,) if configuration.listen.cluster else ()
