"""The contract of IBuckets, kept by buckets in memory and by those on replicated groups and a real store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from shutil import rmtree

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from jindimail.cluster.buckets import PIECE_OCTETS, RIDING_OCTETS_MAX, Buckets
from jindimail.cluster.memory import memoryBuckets
from jindimail.errors import StorageFull
from jindimail.interfaces import IBuckets
from jindimail.mailbox.entries import ADD, SetDomain, StoreFlags
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.outcomes import Done, Filed, Refused
from jindimail.mailbox.queries import FindMailbox, ListDomains, ReadChanges, ReadOctets, ReadRows
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT, bucketGroup
from jindimail.replication.driver import Groups
from jindimail.replication.durable import foundGroups
from jindimail.store.environment import Environment, found
from jindimail.store.space import Level, Space
from jindimail.store.writer import Writer
from tests.cluster.mail import BUCKET, NOW, account, bodyName, delivery
from tests.cluster.world import World

TURNS_MAX = 10_000


class BucketsContract:
    """What every provider keeps."""

    buckets: Buckets

    def deliver(self, name: int, octets: bytes) -> Deferred[Filed]:
        """Deliver a body."""
        return self.buckets.propose(BUCKET, *delivery(name, octets))

    def createAccount(self) -> Deferred[Done]:
        """Make the account."""
        return self.buckets.propose(BUCKET, account())

    async def until(self, isSo: Callable[[], object]) -> None:
        """A node that is not the one where it happens hears of it a little later."""
        for _ in range(TURNS_MAX):
            if isSo():
                return
            await deferLater(reactor, 0)
        raise AssertionError("it never came")

    def test_itProvidesTheInterface(self) -> None:
        verifyObject(IBuckets, self.buckets)

    async def test_whatIsAnsweredIsThere(self) -> None:
        assert await self.createAccount() == Done()
        assert await self.createAccount() == Refused("exists")
        filed = (await self.deliver(1, b"x: y\r\n\r\nbody\r\n")).filings[0]
        rows = await self.buckets.query(BUCKET, ReadRows(mailboxId=filed.mailboxId), fresh=True)
        assert [row.uid for row in rows] == [filed.uid]
        read = ReadOctets(bodyId=rows[0].bodyId, prefix=0, start=0, stop=99)
        assert await self.buckets.query(BUCKET, read) == b"x: y\r\n\r\nbody\r\n"

    async def test_deliveriesUnderWayTogetherAllGetTheirOwnUid(self) -> None:
        await self.createAccount()
        waiting = [self.deliver(name, b"body %d" % name) for name in range(1, 101)]
        uids = [(await one).filings[0].uid for one in waiting]
        assert uids == list(range(1, 101))

    async def test_aLargeBodyIsThereBeforeItsEntry(self) -> None:
        await self.createAccount()
        octets = bytes(range(256)) * (4 * RIDING_OCTETS_MAX // 256) * 3 + b"end"
        filed = (await self.deliver(1, octets)).filings[0]
        row = (await self.buckets.query(BUCKET, ReadRows(mailboxId=filed.mailboxId)))[0]
        read = b""
        while len(read) < row.size:
            query = ReadOctets(bodyId=row.bodyId, prefix=0, start=len(read), stop=row.size)
            read += await self.buckets.query(BUCKET, query)
        assert read == octets

    async def test_followersHearOfChangesUntilTheyStop(self) -> None:
        await self.createAccount()
        inbox = await self.buckets.query(BUCKET, FindMailbox(accountId=1, name="INBOX"))
        heard: list[int] = []
        following = self.buckets.follow(BUCKET, inbox.mailboxId, lambda: heard.append(1))
        await self.deliver(1, b"x")
        await self.until(lambda: heard)
        changes = await self.buckets.query(BUCKET, ReadChanges(mailboxId=inbox.mailboxId, afterModSeq=1))
        assert len(changes.changes) == 1
        following.stop()
        following.stop()
        count = len(heard)
        store = StoreFlags(
            seconds=NOW, mailboxId=inbox.mailboxId, ranges=((1, 1),), action=ADD, flags=("\\Seen",)
        )
        await self.buckets.propose(BUCKET, store)
        assert len(heard) == count

    async def test_theArraysOwnGroupHasDomains(self) -> None:
        heard: list[int] = []
        self.buckets.followTopic(("domains",), lambda: heard.append(1))
        assert await self.buckets.propose(None, SetDomain(seconds=NOW, name="example.org")) == Done()
        assert [name for name, _ in await self.buckets.query(None, ListDomains(), fresh=True)] == [
            "example.org"
        ]
        await self.until(lambda: heard)
        assert await self.buckets.propose(BUCKET, SetDomain(seconds=NOW, name="x.org")) == Refused(
            "notAllowed"
        )

    async def test_aFullDiskTakesNoBodies(self) -> None:
        await self.createAccount()
        self.fill()
        assert not self.buckets.maySpool()
        await self.assertFailure(self.deliver(1, b"x"), StorageFull)


class MemoryBucketsTests(BucketsContract, TestCase):
    """In memory."""

    def setUp(self) -> None:
        self.buckets = memoryBuckets(MailMachine())

    def fill(self) -> None:
        """Let there be no room."""
        self.buckets._store.freeLevel = Level.NO_BODIES


class StoredBucketsTests(BucketsContract, TestCase):
    """On groups and a store."""

    async def setUp(self) -> None:
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(rmtree, directory)
        found(directory, name="one")
        environment = Environment(directory)
        meta = environment.begin()
        self.space = Space(environment.path)
        store = Writer(environment, self.space, reactor=reactor)
        self.addCleanup(store.close)
        await store.write(lambda rows: foundGroups(rows, range(BUCKET_COUNT + 1), 1))
        machine = MailMachine()
        groups = Groups(clock=reactor, store=store, machine=machine, draw=Random(1).randint)
        self.addCleanup(groups.stop)
        await groups.start()
        self.buckets = Buckets(
            groups=groups, store=store, machine=machine, node=meta.node, incarnation=meta.incarnation
        )

    def fill(self) -> None:
        """Let there be no room."""
        self.space.level = Level.NO_BODIES

    async def test_aRepetitionThatIsRefusedHalfWayLeavesTheBodyThatWasFiled(self) -> None:
        await self.createAccount()
        octets = bytes(range(256)) * (2 * PIECE_OCTETS // 256)
        assert isinstance(await self.deliver(1, octets), Filed)
        again = self.deliver(1, octets)  # its first piece is on its way
        self.fill()
        await self.assertFailure(again, StorageFull)
        await self.createAccount()  # what was written before is written
        read = b""
        while len(read) < len(octets):
            query = ReadOctets(bodyId=bodyName(1), prefix=0, start=len(read), stop=len(octets))
            read += await self.buckets.query(BUCKET, query)
        assert read == octets


class ArrayBucketsTests(BucketsContract):
    """On a node of an array in memory, whose first three nodes have everything; its time passes with the reactor's turns."""

    node: int

    def setUp(self) -> None:
        groups = ARRAY_GROUP, bucketGroup(BUCKET)
        self.world = World(groups=groups)
        self.world.found()
        self.world.spread((1, 2, 3), groups, (4,))
        self.buckets = self.world.shares[self.node].buckets
        passing = LoopingCall(self.world.run, 0.002)
        passing.start(0)
        self.addCleanup(passing.stop)

    def fill(self) -> None:
        """Let there be no room."""
        self.buckets._store.freeLevel = Level.NO_BODIES


class LeadersBucketsTests(ArrayBucketsTests, TestCase):
    """At the node that leads everything."""

    node = 1


class FollowersBucketsTests(ArrayBucketsTests, TestCase):
    """At a node that leads nothing."""

    node = 2


class GuestsBucketsTests(ArrayBucketsTests, TestCase):
    """At a node without any replica."""

    node = 4
