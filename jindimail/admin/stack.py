"""
A node below its edges: store, groups, buckets, directory, delivery, realm, put together bottom up.

The service stands its edges on it; `jindictl init` opens it for as long as it takes to make the first domain and user,
so that these come into being by proposals like everything else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from jindimail.cluster.buckets import Buckets
from jindimail.config import Configuration
from jindimail.delivery.delivery import Delivery
from jindimail.delivery.spool import Spool
from jindimail.directory.accounts import Directory
from jindimail.directory.attempts import Attempts
from jindimail.directory.checker import PasswordChecker
from jindimail.directory.passwords import Passwords
from jindimail.directory.resolver import Resolver
from jindimail.errors import ConfigError
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.realm import MailRealm
from jindimail.mailbox.upkeep import GRACE_SECONDS, Upkeep
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT, bucketGroup
from jindimail.replication.driver import Groups
from jindimail.replication.outputs import Settings
from jindimail.store.environment import storePath
from jindimail.store.opening import openStore

ALL_GROUPS = (ARRAY_GROUP, *(bucketGroup(bucket) for bucket in range(BUCKET_COUNT)))
PAUSE_SECONDS = 0.02
_ACCOUNT_ID_BITS = 63


def foundingCommand(configuration: Configuration) -> str:
    """The command that founds the configured node."""
    config = f" --config {configuration.path}" if configuration.path else ""
    return f"jindictl{config} init {configuration.node.dataDirectory}"


def requireFounded(configuration: Configuration) -> None:
    """
    A node never starts on an empty data directory: an unmounted disk must not found a second array (design §4).

    @raise ConfigError: it is empty, or not there.
    """
    directory = Path(configuration.node.dataDirectory)
    if storePath(directory).is_dir():
        return
    state = "holds no store" if directory.exists() else "does not exist"
    raise ConfigError(
        (
            f"node.data-directory: {directory} {state}. Is its disk mounted? "
            f"To found a new node there: {foundingCommand(configuration)}",
        )
    )


class Unhurried:
    """Buckets as work sees them that has time: clients come first between any two of its queries."""

    def __init__(self, buckets: Buckets, reactor: Any) -> None:
        self.propose = buckets.propose
        self._buckets = buckets
        self._reactor = reactor

    async def query(self, bucket: int | None, query: Any) -> Any:
        """See `IBuckets`."""
        await deferLater(self._reactor, PAUSE_SECONDS)
        return await self._buckets.query(bucket, query)


class Stack:
    """
    The opened node.

    `seconds` is the wall clock; `chance` gives all that is random. Opening writes nothing but the incarnation.
    """

    def __init__(
        self, configuration: Configuration, *, reactor: Any, seconds: Callable[[], float], chance: Random
    ) -> None:
        """
        Open the store.

        @raise ConfigError: there is none, it is another node's, or another process has it.
        """
        requireFounded(configuration)
        self._reactor = reactor
        self.store = openStore(Path(configuration.node.dataDirectory), reactor=reactor)
        self.meta = self.store.environment.meta
        if self.meta.name != configuration.node.name:
            self.store.close()
            raise ConfigError((f"node.name: the store is of node {self.meta.name}",))
        self._machine = MailMachine()
        cluster = configuration.cluster
        self.groups = Groups(
            clock=reactor,
            store=self.store,
            machine=self._machine,
            draw=chance.randint,
            settings=Settings(
                uncommittedEntriesMax=cluster.waitingEntries, memoryOctetsMax=cluster.logMemory
            ),
        )
        self._layAbove(configuration, reactor, seconds, chance)

    def _layAbove(
        self, configuration: Configuration, reactor: Any, seconds: Callable[[], float], chance: Random
    ) -> None:
        self.buckets = Buckets(
            groups=self.groups,
            store=self.store,
            machine=self._machine,
            node=self.meta.node,
            incarnation=self.meta.incarnation,
        )

        resolver = Resolver(self.buckets)
        passwords = Passwords(inThread=self.inThread, key=os.urandom(32))
        self.directory = Directory(
            buckets=self.buckets,
            resolver=resolver,
            passwords=passwords,
            seconds=seconds,
            newId=lambda: chance.getrandbits(_ACCOUNT_ID_BITS) or 1,
        )
        self.delivery = Delivery(
            buckets=self.buckets, resolver=resolver, seconds=seconds, randomOctets=chance.randbytes
        )
        self.spool = Spool(os.path.join(configuration.node.dataDirectory, "spool"))
        checker = PasswordChecker(
            resolver=resolver, passwords=passwords, attempts=Attempts(), seconds=seconds
        )
        unhurried: Any = Unhurried(self.buckets, reactor)
        self._upkeep = Upkeep(buckets=unhurried, seconds=seconds)
        self._sweptSeconds = 0
        self._seconds = seconds
        self.portal = Portal(MailRealm(buckets=self.buckets, clock=reactor, seconds=seconds), [checker])

    def inThread(self, job: Callable[[], Any]) -> Deferred[Any]:
        """A Deferred of a job's result, run in the reactor's thread pool."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), job)

    async def start(self) -> None:
        """
        Load the groups, apply what was committed but not applied, and wait until all of them can be read.

        @raise ConfigError: the founding was not finished.
        """
        await self.groups.start()
        if len(self.groups.groups()) < len(ALL_GROUPS):
            raise ConfigError(
                ("node.data-directory: its founding was not finished; remove it and found it again",)
            )
        for group in ALL_GROUPS:
            await self.groups.readIndex(group)

    async def keepUp(self) -> None:
        """Finish what crashes and refusals left half done since the last time; for a quiet moment, again and again."""
        began = int(self._seconds())
        await self._upkeep.sweep(self._sweptSeconds)
        self._sweptSeconds = began - 2 * GRACE_SECONDS

    async def close(self) -> None:
        """Finish what was proposed, commit it, and leave a clean store."""
        await self.groups.stop()
        await self.store.close()
