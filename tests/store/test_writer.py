"""The writer: group commit, order, failures, bounds."""

from __future__ import annotations

import errno
from typing import Any

import lmdb
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from jindimail.errors import OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IRows
from jindimail.store.environment import Environment, found
from jindimail.store.keys import BODY, META
from jindimail.store.overlay import Changes
from jindimail.store.space import Level, Space
from jindimail.store.writer import KEPT_OCTETS_MAX, KEPT_SECONDS, LINGER_TURNS, Writer, WriterLimits
from tests.store.contracts import StoreContract
from tests.store.places import temporaryPath


class FailingEnvironment(Environment):
    """An environment whose next commits can be made to fail, and that keeps what it was given."""

    def __init__(self, directory: Any) -> None:
        super().__init__(directory)
        self.problems: list[Exception | None] = []
        self.committed: list[Changes] = []
        self.reopened = 0
        self.reachesTheFile = False

    def commit(self, changes: Changes) -> None:
        problem = self.problems.pop(0) if self.problems else None
        self.committed.append(changes)
        self.baseTransaction = self.lastTransaction()
        if problem is None or self.reachesTheFile:
            super().commit(changes)
        if problem is not None:
            raise problem

    def reopen(self) -> None:
        super().reopen()
        self.reopened += 1


class FakeSpace(Space):
    """Free space as the test says."""

    exhausted = False
    dropped = 0

    def isExhausted(self, neededOctets: int = 0) -> bool:
        return self.exhausted

    def dropReserve(self) -> bool:
        self.dropped += 1
        return True

    def refresh(self) -> Level:
        self.freeOctets = 1 << 40
        return self.level


class WriterFixture(TestCase):
    """A writer on a real reactor."""

    limits: WriterLimits | None = None

    def setUp(self) -> None:
        directory = temporaryPath(self)
        found(directory, name="n")
        self.environment = FailingEnvironment(directory)
        self.space = FakeSpace(self.environment.path)
        self.store = Writer(self.environment, self.space, reactor=reactor, limits=self.limits)
        self.addCleanup(self.store.close)

    def put(self, key: bytes, value: bytes = b"v", **arguments: Any) -> Deferred[None]:
        return self.store.write(lambda rows: rows.put(META, key, value), **arguments)

    def value(self, key: bytes) -> bytes | None:
        with self.store.read() as rows:
            return rows.get(META, key)


class WriterContractTests(StoreContract, WriterFixture):
    """The writer keeps the contract of a store."""


class WriterTests(WriterFixture):
    """What the writer does beside the contract."""

    async def test_writesOfOneTurnShareOneCommit(self) -> None:
        await gatherResults([self.put(b"%d" % each) for each in range(100)])
        self.assertEqual(self.store.commits, 1)
        self.assertEqual(self.store.jobs, 100)

    async def test_writesDuringACommitShareTheNext(self) -> None:
        more: list[Deferred[None]] = []
        first = self.put(b"a").addCallback(lambda _: more.extend(self.put(b"%d" % each) for each in range(9)))
        await first
        await gatherResults(more)
        self.assertEqual(self.store.commits, 2)

    async def test_whoAsksWhileATransactionIsUnderWayIsToldBeforeTheNextBegins(self) -> None:
        told: list[int] = []
        more: list[Deferred[None]] = []

        def free() -> None:
            told.append(self.store.commits)
            more.append(self.put(b"c"))
            self.store.begin()

        self.assertFalse(self.store.whenFree(free))
        first = self.put(b"a")
        self.store.begin()
        self.assertTrue(self.store.whenFree(free))
        await gatherResults([first, self.put(b"b")])
        await gatherResults(more)
        self.assertEqual(told, [1])
        self.assertEqual(self.store.commits, 2)
        self.assertFalse(self.store.whenFree(free))

    async def test_whoWaitsForTheEndOfATransactionIsToldWhenItFails(self) -> None:
        self.environment.problems = [lmdb.DiskError("no")]
        told: Deferred[None] = Deferred()
        waiting = self.assertFailure(self.put(b"a"), OutcomeUnknown)
        self.store.begin()
        self.assertTrue(self.store.whenFree(lambda: told.callback(None)))
        await told
        self.assertTrue(self.store.isBroken)
        await waiting

    async def test_resultsComeAfterTheSync(self) -> None:
        seen: list[bytes | None] = []
        await self.put(b"k").addCallback(lambda _: seen.append(self.value(b"k")))
        self.assertEqual(seen, [b"v"])
        self.assertEqual(len(self.environment.committed), 1)

    async def test_jobsThatChangeNothingNeedNoCommit(self) -> None:
        await self.put(b"k")
        self.assertEqual(await self.store.write(lambda rows: rows.get(META, b"k")), b"v")
        self.assertEqual(self.store.commits, 1)

    async def test_jobDoesNotRunUntilTheTurnEnds(self) -> None:
        ran: list[int] = []
        waiting = self.store.write(lambda rows: ran.append(1))
        self.assertEqual(ran, [])
        await waiting
        self.assertEqual(ran, [1])

    async def test_bodiesComeAfterRecordsInATransaction(self) -> None:
        order: list[str] = []
        await gatherResults(
            [
                self.store.write(lambda rows: order.append("body"), bodyOctets=100),
                self.store.write(lambda rows: order.append("record")),
            ]
        )
        self.assertEqual(order, ["record", "body"])

    async def test_atMostAMebibyteOfBodiesInATransaction(self) -> None:
        waiting = [
            self.store.write(
                lambda rows, each=each: rows.put(BODY, b"%d" % each, bytes(400 << 10)), bodyOctets=400 << 10
            )
            for each in range(5)
        ]
        await gatherResults(waiting)
        sizes = [
            sum(len(value) for _, puts, _ in changes for _, value in puts)
            for changes in self.environment.committed
        ]
        self.assertEqual([size >> 10 for size in sizes], [800, 800, 400])

    async def test_keyThatLmdbWouldRefuseHarmsOnlyItsJob(self) -> None:
        good = self.put(b"good")
        bad = self.put(b"k" * 512)
        await good
        with self.assertRaises(ValueError):
            await bad
        self.assertEqual(self.value(b"good"), b"v")

    async def test_failedCommitIsFatal(self) -> None:
        self.environment.problems = [lmdb.Error("commit")]
        failed = self.store.failed()
        inFlight = self.put(b"a")
        queued: list[Deferred[None]] = []
        reactor.callLater(0, lambda: queued.append(self.put(b"b")))  # type: ignore[attr-defined]
        with self.assertRaises(OutcomeUnknown):
            await inFlight
        with self.assertRaises(Unavailable):
            await self.put(b"c")
        self.assertIsInstance(await failed, lmdb.Error)
        self.assertIsInstance(await self.store.failed(), lmdb.Error)
        for each in queued:
            with self.assertRaises(Unavailable):
                await each
        self.assertEqual(len(self.environment.committed), 1)
        self.assertIsNone(self.value(b"a"))

    async def test_everythingThatWaitedForAFailedCommitFails(self) -> None:
        self.environment.problems = [OSError(errno.EIO, "I/O error")]
        inFlight = self.put(b"a")
        self.store._turn()
        waiting = self.put(b"b")
        with self.assertRaises(OutcomeUnknown):
            await inFlight
        with self.assertRaises(Unavailable):
            await waiting
        self.assertEqual(len(self.environment.committed), 1)

    async def test_failedStoreCanBeClosed(self) -> None:
        self.environment.problems = [lmdb.Error("commit")]
        with self.assertRaises(OutcomeUnknown):
            await self.put(b"a")
        await self.store.close()

    async def test_fullDiskFailsOnlyItsJobsWhateverTheErrno(self) -> None:
        for problem in (lmdb.DiskError("put", errno.ENOSPC), lmdb.Error("commit", errno.EIO)):
            self.environment.problems = [problem]
            self.space.exhausted = True
            with self.assertRaises(StorageFull):
                await self.put(b"a")
            self.space.exhausted = False
            await self.put(b"b")
        self.assertEqual((self.space.dropped, self.environment.reopened), (2, 2))
        self.assertEqual((self.value(b"a"), self.value(b"b")), (None, b"v"))
        self.assertNoResult(self.store.failed())

    async def test_fullDiskIsFatalIfTheFileChangedAllTheSame(self) -> None:
        await self.put(b"before")
        self.environment.problems = [lmdb.Error("commit", errno.EIO)]
        self.environment.reachesTheFile = True
        self.space.exhausted = True
        with self.assertRaises(OutcomeUnknown):
            await self.put(b"a")
        with self.assertRaises(Unavailable):
            await self.put(b"b")

    async def test_unreopenableStoreIsFatal(self) -> None:
        self.environment.problems = [lmdb.Error("commit", errno.EIO)]
        self.space.exhausted = True
        self.patch(self.environment, "reopen", _raiseEio)
        with self.assertRaises(OutcomeUnknown):
            await self.put(b"a")
        self.assertIsInstance(await self.store.failed(), lmdb.Error)
        self.flushLoggedErrors(OSError)

    async def test_bodiesAreRefusedWhenSpaceIsLowAndRecordsAreNot(self) -> None:
        for level in (Level.NO_BODIES, Level.ONLY_EXPUNGES):
            self.space.level = level
            with self.assertRaises(StorageFull):
                await self.put(b"body", bodyOctets=10)
            await self.put(b"record")
        self.assertEqual(self.store.freeLevel, Level.ONLY_EXPUNGES)

    async def test_whenTheReserveIsSpentOnlyExpungesAndSmallThingsAreTaken(self) -> None:
        await self.put(b"old")
        self.space.level, self.space.hasReserve = Level.ONLY_EXPUNGES, True
        await self.put(b"with reserve", bytes(20_000))
        self.space.hasReserve = False
        with self.assertRaises(StorageFull):
            await self.put(b"large", bytes(20_000))
        await self.put(b"small", bytes(1000))

        def expunge(rows: IRows) -> None:
            rows.delete(META, b"old")
            rows.put(META, b"log", bytes(20_000))

        await self.store.write(expunge)
        self.assertIsNone(self.value(b"large"))
        self.assertIsNone(self.value(b"old"))

    async def test_failedCommitLeavesWordForTheNextStart(self) -> None:
        await self.put(b"a")
        self.assertFalse(self.environment.suspectPath.exists())
        self.environment.problems = [lmdb.Error("commit")]
        with self.assertRaises(OutcomeUnknown):
            await self.put(b"a")
        self.assertTrue(self.environment.suspectPath.exists())

    async def test_commitAgeIsThatOfTheTransactionInFlight(self) -> None:
        self.assertEqual(self.store.commitAgeSeconds(), 0)
        waiting = self.put(b"k")
        self.store._turn()
        self.assertGreaterEqual(self.store.commitAgeSeconds(), 0)
        self.assertIsNotNone(self.store._commitSince)
        await waiting
        self.assertEqual(self.store.commitAgeSeconds(), 0)

    async def test_closingTwiceIsHarmless(self) -> None:
        first, second = self.store.close(), self.store.close()
        await first
        await second
        await self.store.close()


class BoundsTests(WriterFixture):
    """What may wait is bounded."""

    limits = WriterLimits(
        jobsWaitingMax=3, bodyOctetsWaitingMax=100, jobsPerCommitMax=2, octetsPerCommitMax=50
    )

    async def test_tooManyWaitingJobsAreRefused(self) -> None:
        waiting = [self.put(b"%d" % each) for each in range(3)]
        with self.assertRaises(Unavailable):
            await self.put(b"more")
        await gatherResults(waiting)
        await self.put(b"later")

    async def test_tooManyWaitingOctetsAreRefused(self) -> None:
        waiting = self.put(b"a", bodyOctets=60)
        with self.assertRaises(Unavailable):
            await self.put(b"b", bodyOctets=60)
        await self.put(b"record")
        await waiting
        await self.put(b"b", bodyOctets=60)

    async def test_transactionTakesSoManyJobs(self) -> None:
        await gatherResults([self.put(b"%d" % each) for each in range(3)])
        self.assertEqual(self.store.commits, 2)

    async def test_transactionTakesSoManyOctets(self) -> None:
        await gatherResults([self.put(b"a", bytes(60)), self.put(b"b")])
        self.assertEqual(self.store.commits, 2)


class OrderTests(WriterFixture):
    """Which jobs a transaction takes when it cannot take all."""

    limits = WriterLimits(jobsPerCommitMax=2)

    async def order(self, names: list[str]) -> list[str]:
        ran: list[str] = []

        def write(name: str) -> Deferred[None]:
            return self.store.write(lambda rows: ran.append(name), bodyOctets=10 * name.startswith("body"))

        await gatherResults([write(name) for name in names])
        return ran

    async def test_floodOfRecordsDoesNotStarveABodyThatIsOlder(self) -> None:
        self.assertEqual(await self.order(["body", "1", "2", "3"]), ["1", "2", "body", "3"])

    async def test_bodyDoesNotOvertakeARecord(self) -> None:
        self.assertEqual(await self.order(["1", "2", "3", "body"]), ["1", "2", "3", "body"])


class ScriptedReactor(Clock):
    """A clock that also takes calls from threads, and makes them when told."""

    def __init__(self) -> None:
        super().__init__()
        self.fromThreads: list[tuple[Any, ...]] = []

    def callFromThread(self, *call: Any) -> None:
        self.fromThreads.append(call)


class TurnTests(SynchronousTestCase):
    """The writer's turns, one by one, with a thread that never starts."""

    def setUp(self) -> None:
        directory = temporaryPath(self)
        found(directory, name="n")
        self.environment = Environment(directory)
        self.addCleanup(self.environment.close)
        self.reactor = ScriptedReactor()
        self.patch(Writer, "_run", lambda writer: None)
        self.store = Writer(self.environment, FakeSpace(self.environment.path), reactor=self.reactor)

    def test_nothingIsAnsweredBeforeTheCommitHasReturned(self) -> None:
        waiting = self.store.write(lambda rows: rows.put(META, b"k", b"v"))
        self.reactor.advance(0)
        self.reactor.advance(10)
        self.assertNoResult(waiting)
        self.assertEqual(self.store.commitAgeSeconds(), 10)
        self.store._committed(None)
        self.successResultOf(waiting)

    def test_oneTransactionIsInFlightAtATime(self) -> None:
        self.store.write(lambda rows: rows.put(META, b"a", b"v"))
        self.reactor.advance(0)
        ran: list[bytes | None] = []
        self.store.write(lambda rows: ran.append(rows.get(META, b"a")))
        self.reactor.advance(0)
        self.assertEqual(ran, [])
        self.environment.commit(self.store._handover.get_nowait() or [])
        self.store._committed(None)
        self.reactor.advance(0)
        self.assertEqual(ran, [b"v"])

    def test_whereManyWriteTheNextTransactionWaitsForCompany(self) -> None:
        for key in range(9):
            self.store.write(lambda rows, key=key: rows.put(META, b"%d" % key, b"v"))
        self.reactor.advance(0)
        self.environment.commit(self.store._handover.get_nowait() or [])
        turns: list[Any] = []  # of the reactor, asked for; a clock would have all of them at once
        self.patch(self.reactor, "callLater", lambda seconds, turn: turns.append(turn))
        self.store._committed(None)
        waiting = []
        for key in range(LINGER_TURNS):
            waiting.append(self.store.write(lambda rows, key=key: rows.put(META, b"b%d" % key, b"v")))
            self.store.begin()
            turns.pop()()
            self.assertTrue(self.store._handover.empty())
        turns.pop()()
        self.environment.commit(self.store._handover.get_nowait() or [])
        self.store._committed(None)
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(self.store.commits, 2)

    def test_whereFewWriteTheNextTransactionBeginsAtOnce(self) -> None:
        for count in range(3):
            waiting = self.store.write(lambda rows, count=count: rows.put(META, b"%d" % count, b"v"))
            self.store.begin()
            self.commit()
            self.successResultOf(waiting)

    # --- what is certain before it is durable

    def apply(self, key: bytes, value: bytes | None = b"v", ran: Any = lambda _: None) -> Deferred[Any]:
        """A job that applies what is committed already."""

        def job(rows: IRows) -> None:
            if value is None:
                rows.delete(META, key)
            else:
                rows.put(META, key, value)

        return self.store.write(job, ran=ran, mayWait=True)

    def read(self, key: bytes) -> tuple[bytes | None, bytes | None]:
        """(what readers see, what is durable)."""
        with self.store.read() as rows, self.store.readDurable() as durable:
            return rows.get(META, key), durable.get(META, key)

    def keys(self) -> list[bytes]:
        with self.store.read() as rows:
            keys = list(rows.keys(META, b"\0", b"\xff"))
            self.assertEqual(keys, [key for key, _ in rows.scan(META, b"\0", b"\xff")])
        return [key for key in keys if key != b"node"]

    def commit(self) -> None:
        """The writer thread does what it was handed."""
        changes = self.store._handover.get_nowait()
        assert changes is not None
        self.environment.commit(changes)
        self.store._committed(None)
        self.reactor.advance(0)

    def test_whatMayWaitIsSeenAtOnceAndCommittedWithTheNext(self) -> None:
        waiting = self.apply(b"a")
        self.reactor.advance(0)
        self.assertEqual(self.read(b"a"), (b"v", None))
        self.assertTrue(self.store._handover.empty())
        self.store.write(lambda rows: rows.put(META, b"b", rows.get(META, b"a") or b""))
        self.reactor.advance(0)
        self.assertEqual((self.read(b"a"), self.read(b"b")), ((b"v", None), (None, None)))
        self.assertNoResult(waiting)
        self.commit()
        self.successResultOf(waiting)
        self.assertEqual((self.read(b"a"), self.read(b"b")), ((b"v", b"v"), (b"v", b"v")))
        self.assertEqual(self.store.commits, 1)

    def test_inTheMomentOfACommitReadersSeeAllOfItOrNothing(self) -> None:
        """Nobody has been told yet; what was seen ahead must not lie above what a later job made of it."""
        self.apply(b"a", b"1")
        self.store.write(lambda rows: (rows.put(META, b"a", b"2"), rows.put(META, b"b", b"2")))
        self.reactor.advance(0)
        self.assertEqual((self.read(b"a"), self.read(b"b")), ((b"1", None), (None, None)))
        self.environment.commit(self.store._handover.get_nowait() or [])
        self.assertEqual((self.read(b"a"), self.read(b"b")), ((b"2", b"2"), (b"2", b"2")))

    def test_afterAFatalCommitReadersDoNotGoBack(self) -> None:
        waiting = self.apply(b"a")
        self.store.write(lambda rows: rows.put(META, b"b", b"v")).addErrback(lambda _: None)
        self.reactor.advance(0)
        self.store._committed(lmdb.Error("commit"))
        self.failureResultOf(waiting, OutcomeUnknown)
        self.assertEqual(self.read(b"a"), (b"v", None))

    def test_aJobThatMayNotWaitTakesItAlongThoughItChangesNothing(self) -> None:
        self.apply(b"a")
        self.reactor.advance(0)
        waiting = self.store.write(lambda rows: None)
        self.reactor.advance(0)
        self.assertNoResult(waiting)
        self.commit()
        self.successResultOf(waiting)
        self.assertEqual(self.read(b"a"), (b"v", b"v"))

    def test_whatMayWaitIsCommittedAfterAWhileOfItsOwnAccord(self) -> None:
        waiting = self.apply(b"a")
        self.reactor.advance(0)
        self.reactor.advance(KEPT_SECONDS)
        self.reactor.advance(0)
        self.commit()
        self.successResultOf(waiting)

    def test_whatWasKeptLaterIsKeptOn(self) -> None:
        self.apply(b"a")
        self.reactor.advance(0)
        self.reactor.advance(KEPT_SECONDS * 0.7)
        self.store.write(lambda rows: rows.put(META, b"b", b"v"))
        self.reactor.advance(0)
        self.commit()
        self.apply(b"c")
        self.reactor.advance(0)
        self.reactor.advance(KEPT_SECONDS * 0.3)
        self.reactor.advance(0)
        self.assertTrue(self.store._handover.empty())
        self.reactor.advance(KEPT_SECONDS)
        self.reactor.advance(0)
        self.commit()
        self.assertEqual(self.read(b"c"), (b"v", b"v"))

    def test_closingCommitsWhatWasKept(self) -> None:
        waiting = self.apply(b"a")
        self.reactor.advance(0)
        self.store.close()
        self.reactor.advance(0)
        self.commit()
        self.successResultOf(waiting)
        self.assertIsNone(self.store._handover.get_nowait())

    def test_muchThatMayWaitDoesNot(self) -> None:
        self.apply(b"a", bytes(KEPT_OCTETS_MAX))
        self.reactor.advance(0)
        self.commit()

    def test_readersSeeWhatIsDeletedAndPutAheadOfTheCommit(self) -> None:
        for key in (b"a", b"b"):
            self.store.write(lambda rows, key=key: rows.put(META, key, b"old"))
        self.reactor.advance(0)
        self.commit()
        self.apply(b"a", None)
        self.apply(b"c")
        self.reactor.advance(0)
        self.assertEqual(self.keys(), [b"b", b"c"])
        self.apply(b"a", b"again")
        self.reactor.advance(0)
        self.assertEqual(self.keys(), [b"a", b"b", b"c"])

    def test_whoIsToldMayWriteMoreAndIsToldOfThatLater(self) -> None:
        told: list[bytes] = []

        def tell(key: bytes) -> None:
            told.append(key)
            if key == b"a":
                self.apply(b"c", ran=lambda _: tell(b"c"))
                self.store.begin()

        self.apply(b"a", ran=lambda _: tell(b"a"))
        self.apply(b"b", ran=lambda _: tell(b"b"))
        self.reactor.advance(0)
        self.reactor.advance(0)
        self.assertEqual(told, [b"a", b"b", b"c"])

    def test_whatWasAheadOfACommitDoesNotHideWhatIsWrittenAfterIt(self) -> None:
        self.apply(b"a", b"1")
        self.store.write(lambda rows: rows.put(META, b"b", b"v"))
        self.reactor.advance(0)
        self.commit()
        self.store.write(lambda rows: rows.put(META, b"a", b"2"))
        self.reactor.advance(0)
        self.commit()
        self.apply(b"c")
        self.reactor.advance(0)
        self.assertEqual(self.read(b"c"), (b"v", None))
        self.assertEqual(self.read(b"a"), (b"2", b"2"))

    def test_whatDidNotGetDurableOnAFullDiskIsSeenNoMore(self) -> None:
        assert isinstance(self.store.space, FakeSpace)
        waiting = self.apply(b"a")
        self.store.write(lambda rows: rows.put(META, b"b", b"v")).addErrback(lambda _: None)
        self.reactor.advance(0)
        self.environment.baseTransaction = self.environment.lastTransaction()
        self.store.space.exhausted = True
        self.store._committed(lmdb.Error("commit"))
        self.failureResultOf(waiting, StorageFull)
        self.assertEqual(self.read(b"a"), (None, None))


def _raiseEio() -> None:
    raise OSError(errno.EIO, "I/O error")
