"""
Joining an array: what `jindictl join` does on the new node's machine, before the node ever runs.

The request and its key are written down before anybody is asked, so that an attempt whose answer was lost is repeated as the same one
(`join-request.pem`); the token's secret is of no use to any other. The store comes last, whole or not at all: as long as there is none, joining can
be tried again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from jindimail.admin.certificates import replacePrivately
from jindimail.admin.founding import giveAway, makeKeys
from jindimail.admin.identity import addressesOf
from jindimail.admin.nodefiles import pemParts, writeCredentials, writePeers
from jindimail.admin.stack import endpointOf
from jindimail.cluster.authority import newRequest, utc
from jindimail.cluster.joining import Joined, join
from jindimail.cluster.token import Token
from jindimail.config import Configuration
from jindimail.errors import ConfigError
from jindimail.store.environment import found, storePath

REQUEST = "join-request.pem"

Ask = Callable[..., Awaitable[Joined]]


def requireJoinable(configuration: Configuration) -> None:
    """
    A node joins with an empty data directory, or with what an earlier attempt left there.

    @raise ConfigError: it cannot join.
    """
    directory = Path(configuration.node.dataDirectory)
    problems = []
    isOwn = not directory.exists() or not any(directory.iterdir()) or (directory / REQUEST).exists()
    if storePath(directory).exists() or not isOwn:
        problems.append(f"node.data-directory: {directory} is not empty; a node joins with an empty one")
    if not configuration.listen.cluster:
        problems.append("listen.cluster: must be given, where the other nodes reach this one")
    if problems:
        raise ConfigError(tuple(problems))


async def joinArray(configuration: Configuration, token: Token, reactor: Any, ask: Ask = join) -> Joined:
    """
    Join the array of a token, and make the data directory of the node that is then to be started.

    @raise JoinRefused: the array says no.
    @raise NotOurs: whoever answers is not of the token's array.
    @raise Unavailable: nobody answers.
    """
    requireJoinable(configuration)
    directory = Path(configuration.node.dataDirectory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    cluster = configuration.cluster
    joined = await ask(
        token,
        name=configuration.node.name,
        addresses=addressesOf(configuration),
        clock=reactor,
        endpoint=partial(endpointOf, reactor),
        now=utc(time.time()),
        labels={"host": cluster.host, "weight": str(cluster.weight)},
        request=_request(directory, configuration.node.name),
    )
    admission = joined.admission
    writeCredentials(directory, joined.credentials)
    writePeers(directory, admission.peers)
    makeKeys(configuration)
    found(directory, name=configuration.node.name, node=admission.node, arrayId=admission.arrayId)
    (directory / REQUEST).unlink()
    giveAway(configuration)
    return joined


def _request(directory: Path, name: str) -> tuple[bytes, bytes]:
    """The request and key of an earlier attempt, or new ones, written down."""
    path = directory / REQUEST
    if path.exists():
        request, key = pemParts(path, 2)
        return request, key
    request, key = newRequest(name)
    replacePrivately(path, request + key)
    return request, key
