"""
A node below its edges: store, links, its share in the array, directory, delivery, realm, put together bottom up.

The service stands its edges on it; `jindictl init` opens it for as long as it takes to make the first domain and user,
so that these come into being by proposals like everything else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryFile
from time import process_time
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from jindimail.admin.aside import openOrReplaceStore
from jindimail.admin.departure import Departure
from jindimail.admin.eager import EagerEndpoint
from jindimail.admin.founded import requireFounded
from jindimail.admin.identity import addressesOf, credentialsFor, introduce
from jindimail.admin.nodefiles import readPeers, writeCredentials, writePeers
from jindimail.cluster.acquaintance import Acquaintance, Met, readMet, writeMet
from jindimail.cluster.arrayrecords import GONE
from jindimail.cluster.authority import Credentials, utc
from jindimail.cluster.buckets import Buckets
from jindimail.cluster.disowned import Disowned, isGivenUp
from jindimail.cluster.ground import layGround
from jindimail.cluster.headcounts import Headcounts
from jindimail.cluster.hearsay import Hearsay
from jindimail.cluster.hello import LEVELS, Hello
from jindimail.cluster.inviter import Inviter
from jindimail.cluster.links import Links
from jindimail.cluster.peer import Peer
from jindimail.cluster.presence import Presence
from jindimail.cluster.renewal import Renewal, serveRenewal
from jindimail.cluster.revival import isAlone
from jindimail.cluster.share import Share
from jindimail.config import Configuration
from jindimail.delivery.delivery import Delivery
from jindimail.delivery.spool import Spool
from jindimail.directory.accounts import Directory
from jindimail.directory.attempts import Attempts
from jindimail.directory.checker import PasswordChecker
from jindimail.directory.passwords import Passwords
from jindimail.directory.resolver import Resolver
from jindimail.errors import ConfigError, JindimailError
from jindimail.mailbox import wire
from jindimail.mailbox.bodyentries import BodyEntries
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.poplock import PopLocks
from jindimail.mailbox.realm import MailRealm
from jindimail.mailbox.sessions import Sessions
from jindimail.mailbox.upkeep import Upkeep
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT, bucketGroup
from jindimail.queue.runner import QueueRunner
from jindimail.replication.outputs import Settings
from jindimail.replication.transfers import SnapshotPlace
from jindimail.store.keys import GIVEN_UP_KEY, META
from jindimail.store.records import LIFE_OCTETS

ALL_GROUPS = (ARRAY_GROUP, *(bucketGroup(bucket) for bucket in range(BUCKET_COUNT)))
PAUSE_SECONDS = 0.02
LOOK_SECONDS = 0.1  # between looks at a group that does not answer yet
PATIENCE_SECONDS = 15.0  # for groups without a leader; then the node serves what it can
INTRODUCE_SECONDS = 5.0  # between attempts
CONNECT_SECONDS = 5.0
HASHING_THREADS_MAX = 4  # each keeps the memory of one hash, 19 MiB, for good
_ACCOUNT_ID_BITS = 63


def endpointOf(reactor: Any, address: str) -> IStreamClientEndpoint:
    """What connects to an address, `host:port`."""
    host, _, port = address.rpartition(":")
    return EagerEndpoint(HostnameEndpoint(reactor, host.strip("[]"), int(port), timeout=CONNECT_SECONDS))


def hashingThreads() -> ThreadPool:
    """
    Where passwords are hashed: a thread for each core, since more would only keep more memory. Of their own, so that a storm of logins does
    not keep snapshots and checks waiting.
    """
    pool = ThreadPool(0, min(HASHING_THREADS_MAX, len(os.sched_getaffinity(0))), "hashing")
    pool.start()
    return pool


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

    `seconds` is the wall clock; `chance` gives all that is random. Opening writes nothing but the incarnation, and credentials
    where there are none.
    """

    _log = Logger()

    def __init__(
        self,
        configuration: Configuration,
        *,
        reactor: Any,
        seconds: Callable[[], float],
        chance: Random,
        levels: tuple[int, int] = LEVELS,
    ) -> None:
        """
        Open the store.

        @param levels: the lowest and the highest that this node speaks; only tests give others.

        @raise ConfigError: there is none, it is another node's, or another process has it.
        """
        requireFounded(configuration)
        self._configuration = configuration
        self._directory = Path(configuration.node.dataDirectory)
        self._reactor = reactor
        self._seconds = seconds
        self._levels = levels
        self._isOpen = True
        self._disowned = Disowned()
        self._hashing = hashingThreads()
        self.store = openOrReplaceStore(self._directory, reactor=reactor, life=chance.randbytes(LIFE_OCTETS))
        self.meta = self.store.environment.meta
        try:
            if self.meta.name != configuration.node.name:
                raise ConfigError((f"node.name: the store is of node {self.meta.name}",))
            with self.store.read() as rows:
                credentials = credentialsFor(self._directory, self.meta, rows, utc(seconds()))
                met = readMet(rows)
                self.isGivenUp = rows.get(META, GIVEN_UP_KEY) is not None
            self._firstPeers = readPeers(self._directory)
        except BaseException:
            self.store.environment.close()
            raise
        self._linkUp(credentials, met, chance)
        self._share(chance)
        self._layAbove(chance)

    def _linkUp(self, credentials: Credentials, met: Met, chance: Random) -> None:
        self.links = Links(
            clock=self._reactor,
            mine=Hello(
                arrayId=self.meta.arrayId,
                node=self.meta.node,
                incarnation=self.meta.incarnation,
                life=self.meta.lives[-LIFE_OCTETS:],
                lives=self.meta.lives[:-LIFE_OCTETS],
                ends=self.meta.ends,
                levels=self._levels,
                addresses=addressesOf(self._configuration),
            ),
            credentials=credentials,
            endpoint=partial(endpointOf, self._reactor),
            draw=chance.randint,
            joining=Inviter(self._reactor, lambda applicant: self.operations.admit(applicant)),
            acquaintance=Acquaintance(met, self._remember),
        )
        self._renewal = Renewal(
            clock=self._reactor,
            seconds=self._seconds,
            links=self.links,
            credentials=credentials,
            ask=lambda: (self.meta.node, *filter(self.links.isUp, self.share.userMap.living())),
            keep=self._keepCredentials,
        )

    def _remember(self, *met: Any) -> None:
        """Another node was met; a store that does not take it stops the node anyway."""
        self.store.write(partial(writeMet, *met)).addErrback(
            lambda failure: failure.trap(JindimailError) and None
        )

    def _share(self, chance: Random) -> None:
        cluster = self._configuration.cluster
        environment = self.store.environment
        self._machine = MailMachine()
        ground = layGround(
            clock=self._reactor,
            store=self.store,
            machine=self._machine,
            links=self.links,
            incarnation=self.meta.incarnation,
            draw=chance.randint,
            settings=Settings(
                uncommittedEntriesMax=cluster.waitingEntries, memoryOctetsMax=cluster.logMemory
            ),
            place=SnapshotPlace(
                read=environment.snapshot,
                inThread=self.inThread,
                newFile=self._newFile,
            ),
            seconds=self._seconds,
        )
        self.share = Share(
            ground,
            wire=wire,
            bodyEntries=BodyEntries(self._seconds),
            arrayId=self.meta.arrayId,
            cpuSeconds=process_time,
            waitedSeconds=waitedSeconds,
            freeShare=lambda: self.store.space.freeShare,
            commits=self._commits,
            peers=lambda: [peer.node for peer in self._firstPeers],
        )
        self.groups = self.share.groups
        self.buckets: Buckets = self.share.buckets
        self.operations = self.share.operations
        serveRenewal(self.links, self.operations.issue)
        self.share.userMap.listen(self._nodesChanged)
        self.share.gossip.heard = lambda report: self.links.told(
            report.node, report.incarnation, report.commits
        )

    def _commits(self) -> tuple[int, int]:
        """This node's incarnation, and the last commit that is certainly on its disk; none of a store that took another's place only just now."""
        isNew = self.share.rejoining.isUnderWay
        return self.meta.incarnation, 0 if isNew else self.store.environment.baseTransaction

    def _layAbove(self, chance: Random) -> None:
        seconds = self._seconds
        resolver = Resolver(self.buckets)
        passwords = Passwords(
            inThread=partial(deferToThreadPool, self._reactor, self._hashing), key=os.urandom(32)
        )
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
        self.spool = Spool(str(self._directory / "spool"))
        self.queue = QueueRunner(
            buckets=self.buckets,
            delivery=self.delivery,
            spool=self.spool,
            clock=self._reactor,
            seconds=seconds,
        )
        failures = Hearsay(
            links=self.links,
            clock=self._reactor,
            subject="failedLogins",
            nodes=self.share.userMap.living,
            hear=lambda failure: self.checker.heard(failure),
        )
        self.checker = PasswordChecker(
            resolver=resolver,
            passwords=passwords,
            attempts=Attempts(),
            seconds=seconds,
            tell=failures.tell,
        )
        unhurried: Any = Unhurried(self.buckets, self._reactor)
        self._upkeep = Upkeep(buckets=unhurried, leads=self._leads, seconds=seconds)
        self._presence = Presence(links=self.links, subject="session")
        locks = PopLocks(
            buckets=self.buckets, clock=self._reactor, seconds=seconds, isGone=self._presence.isGone
        )
        realm = MailRealm(buckets=self.buckets, locks=locks, seconds=seconds)
        self.portal = Portal(realm, [self.checker])

    def countedElsewhere(self, sessions: Sessions) -> Sessions:
        """The node's sessions, which from now on know of those at other nodes, and these of them."""
        self._presence.isHere = sessions.isThere
        counts = Headcounts(
            links=self.links, clock=self._reactor, subject="userSessions", nodes=self.share.userMap.living
        )
        counts.mine, sessions.elsewhere = sessions.crowds, counts.elsewhere
        sessions.crowdChanged = counts.changed
        return sessions

    def inThread(self, job: Callable[[], Any]) -> Deferred[Any]:
        """A Deferred of a job's result, run in the reactor's thread pool."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), job)

    def _newFile(self) -> Any:
        return TemporaryFile(dir=self._directory)

    # --- the beginning

    async def start(self) -> None:
        """
        Load the groups, apply what was committed but not applied, and look for the other nodes, unless it is alone or was given up: then it has nothing
        to do with them, nor shall it help others that were given up, too, to a majority.

        @raise ConfigError: the founding was not finished.
        """
        await self.share.start()
        if not self.groups.groups() and not self._firstPeers:
            raise ConfigError(
                ("node.data-directory: its founding was not finished; remove it and found it again",)
            )
        self._nodesChanged()
        if not self.isAlone and not self.isGivenUp:
            self._meet()

    def _meet(self) -> None:
        """Be one of the array."""
        self.links.start()
        self._renewal.start()
        self.queue.start()

    @property
    def isAlone(self) -> bool:
        """
        Whether this node was restored alone, and has yet to found the array anew. Until then it has no links: what it says of its votes
        and its log is of the past.
        """
        with self.store.read() as rows:
            return isAlone(rows)

    async def founded(self) -> None:
        """Wait until the array was founded anew from this node (`cluster recover`), and be one of it."""
        while self._isOpen and self.isAlone:
            await deferLater(self._reactor, LOOK_SECONDS)
        if self._isOpen:
            self._meet()

    async def ready(self) -> None:
        """
        Wait until the array's own group has come here and knows this node, and until the groups that are here can be read;
        for what has no leader, not for long.
        """
        until = self._reactor.seconds() + PATIENCE_SECONDS
        while self._isOpen and not await self._isReadable(ARRAY_GROUP):
            if self._reactor.seconds() >= until and ARRAY_GROUP in self.groups.groups():
                break
            await deferLater(self._reactor, LOOK_SECONDS)
        await self._introduce()
        for group in self.groups.groups():
            while self._isOpen and self._reactor.seconds() < until and not await self._isReadable(group):
                await deferLater(self._reactor, LOOK_SECONDS)

    async def _isReadable(self, group: int) -> bool:
        try:
            await self.groups.readIndex(group)
        except JindimailError:
            return False
        return True

    async def _introduce(self) -> None:
        """Tell the array of this node, as soon as what it knows of it can be read here; again and again until it is done."""
        try:
            await self.groups.readIndex(ARRAY_GROUP)
            await introduce(
                self._configuration,
                buckets=self.buckets,
                store=self.store,
                credentials=self._renewal.credentials,
                seconds=int(self._seconds()),
                level=self._levels[1],
            )
        except JindimailError:
            if self._isOpen:
                again = deferLater(self._reactor, INTRODUCE_SECONDS, self._introduceLater)
                again.addErrback(lambda failure: self._log.failure("not introduced", failure))

    def _introduceLater(self) -> Deferred[None]:
        return ensureDeferred(self._introduce())

    # --- the other nodes

    def _nodesChanged(self) -> None:
        """
        Link up with the nodes that the array has. Those that this node was told of when it joined count until its rows say
        otherwise: rows that are behind must not cut off the node that they come from.
        """
        nodes = self.share.userMap.nodes
        peers = {peer.node: peer for peer in self._firstPeers}
        for number, record in nodes.items():
            peers[number] = Peer(node=number, name=record.name, addresses=record.addresses)
        gone = {number for number, record in nodes.items() if record.state == GONE}
        living = [
            peer for number, peer in sorted(peers.items()) if number != self.meta.node and number not in gone
        ]
        self.links.setPeers(living, gone)
        if tuple(living) != self._firstPeers:
            self._firstPeers = tuple(living)
            kept = self.inThread(partial(writePeers, self._directory, self._firstPeers))
            kept.addErrback(lambda failure: self._log.failure("the peers are not remembered", failure))

    async def _keepCredentials(self, credentials: Credentials) -> None:
        await self.inThread(partial(writeCredentials, self._directory, credentials))
        self.links.renew(credentials)

    @property
    def isWitness(self) -> bool:
        """Whether this node keeps no mail and serves no clients."""
        record = self.share.userMap.nodes.get(self.meta.node)
        return record is not None and record.weight == 0

    def seesRemoval(self) -> bool:
        """
        Whether this node is in the array no more: so say its rows, or the others, which then do not know it. That they gave it up for good is kept in
        the store.
        """
        record = self.share.userMap.nodes.get(self.meta.node)
        if self.isGivenUp or (record is not None and record.state == GONE):
            return True
        troubles = [peer.trouble.values() for peer in self.links.peers()]
        if isGivenUp(troubles):
            self.isGivenUp = True
            kept = self.store.write(lambda rows: rows.put(META, GIVEN_UP_KEY, b"\x01"))
            kept.addErrback(lambda failure: self._log.failure("being given up is not remembered", failure))
        return self._disowned.look(troubles, self._reactor.seconds())

    # --- while it runs

    async def keepUp(self) -> None:
        """Finish what crashes and refusals left half done ; for a quiet moment, again and again."""
        await self._upkeep.finish()

    def _leads(self, bucket: int) -> bool:
        return self.groups.leadingTerm(bucketGroup(bucket)) > 0

    # --- the end

    async def leave(self) -> None:
        """Let other nodes know, and lead, before this one is gone (`departure`)."""
        await Departure(clock=self._reactor, seconds=self._seconds, share=self.share).leave()

    async def close(self) -> None:
        """Finish what was proposed, commit it, and leave a clean store."""
        self.queue.stop()
        self._isOpen = False
        self._renewal.stop()
        await self.share.stop()
        self.links.stop()
        self._hashing.stop()
        await self.store.close()


def waitedSeconds() -> float:
    """For how long this process's first thread, the reactor's, has been ready and waited for a processor; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
