"""The contract of `IGroups`, over a store in memory and over the real one."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jindimail.errors import Corrupt, OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IGroups
from jindimail.replication.driver import Groups
from jindimail.replication.durable import HardRecord, foundGroups, packLogRow, unpackLogRow
from jindimail.replication.entries import EMPTY, Entry
from jindimail.replication.ticks import REST_SECONDS
from jindimail.store.keys import ADDRESS, HARD, LOG, SUMMARY, groupKey, logKey, unpackLogKey
from jindimail.store.memory import MemoryStore
from jindimail.store.records import decode
from tests.replication.nodes import Sums, applied, stateKey

GROUPS = 257


def hardOf(store: Any, group: int) -> HardRecord:
    """The hard row of a group."""
    with store.read() as rows:
        return decode(rows.get(HARD, groupKey(group)), HardRecord)


def logOf(store: Any, group: int) -> list[Any]:
    """The log rows of a group."""
    with store.read() as rows:
        return [
            unpackLogRow(unpackLogKey(key)[1], value)
            for key, value in rows.scan(LOG, logKey(group, 0), logKey(group + 1, 0))
        ]


class OneVoterGroupsTests(SynchronousTestCase):
    """A node whose groups have one voter, over a store in memory whose commits wait for the clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.events: list[tuple[int, int, Any]] = []
        with self.store.rows.transaction() as rows:
            foundGroups(rows, range(GROUPS), 7)
        self.groups = self.startedOn(self.store)

    def startedOn(self, store: MemoryStore) -> Groups:
        """A driver over a store."""
        groups = Groups(clock=self.clock, store=store, machine=Sums(), draw=random.Random(1).randint)
        groups.listen(lambda group, index, events: self.events.append((group, index, events)))
        started = groups.start()
        self.advance()
        self.successResultOf(started)
        return groups

    def advance(self) -> None:
        """Let turns and commits pass."""
        self.clock.advance(0)

    def done(self, deferred: Deferred[Any]) -> Any:
        """The result of a proposal, once turns have passed."""
        self.advance()
        return self.successResultOf(deferred)

    def test_providesTheInterface(self) -> None:
        verifyObject(IGroups, self.groups)

    def test_allGroupsBeginTheirTermInOneTransaction(self) -> None:
        self.assertEqual(self.store.commits, 1)
        for group in (0, 1, 256):
            record = hardOf(self.store, group)
            self.assertEqual((record.term, record.vote, record.applied), (1, 1, 1))
            self.assertEqual([entry.kind for entry in logOf(self.store, group)], [EMPTY])

    def test_outcomeComesAfterTheCommitAndNotBefore(self) -> None:
        deferred = self.groups.propose(3, b"a")
        self.assertNoResult(deferred)
        self.groups._turns.turn()
        self.assertNoResult(deferred)
        self.assertEqual(applied(self.store, 3), b"")
        self.advance()
        self.assertEqual(self.successResultOf(deferred), (2, 1))
        self.assertEqual(applied(self.store, 3), b"a;")
        self.assertEqual(hardOf(self.store, 3).applied, 2)

    def test_proposalsOfATurnShareOneCommitAndKeepTheirOrder(self) -> None:
        commits = self.store.commits
        several = [self.groups.propose(group, b"%d" % n) for n in range(5) for group in (1, 2)]
        outcomes = self.done(gatherResults(several))
        self.assertEqual(self.store.commits, commits + 1)
        self.assertEqual(outcomes, [(n + 2, n + 1) for n in range(5) for _ in (1, 2)])
        self.assertEqual(applied(self.store, 2), b"0;1;2;3;4;")

    def test_latenessOfTicksIsTheLagOfTheLoop(self) -> None:
        lags = self.groups.lagSeconds
        self.clock.pump([0.0005] * 802)
        ticks, inTime = lags.total, lags.counts[0]
        self.assertEqual((inTime, ticks), (2, 2))
        self.clock.advance(REST_SECONDS + 0.3)
        self.assertEqual((lags.total, lags.counts[0]), (ticks + 1, inTime))
        self.assertAlmostEqual(lags.sum, 0.3, 2)

    def test_turnsArePipelined(self) -> None:
        first = self.groups.propose(1, b"a")
        self.groups._turns.turn()
        second = self.groups.propose(1, b"b")
        self.groups._turns.turn()
        self.assertNoResult(first)
        self.assertEqual(self.done(gatherResults([first, second])), [(2, 1), (3, 2)])

    def test_listenersHearOfEventsInOrderAndNotOfNone(self) -> None:
        self.done(gatherResults([self.groups.propose(4, entry) for entry in (b"a", b"quiet", b"b")]))
        self.assertEqual(self.events, [(4, 2, (b"a",)), (4, 4, (b"b",))])

    def test_failingListenerHarmsNobody(self) -> None:
        self.groups.listen(lambda group, index, events: 1 / 0)
        self.assertEqual(self.done(self.groups.propose(4, b"a")), (2, 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_beforeRunsAheadInTheSameTransaction(self) -> None:
        def before(rows: Any) -> None:
            self.assertIsNone(rows.get(LOG, logKey(5, 2)))
            rows.put(SUMMARY, b"body", b"octets")

        commits = self.store.commits
        self.done(self.groups.propose(5, b"a", before))
        self.assertEqual(self.store.rows.get(SUMMARY, b"body"), b"octets")
        self.assertEqual(self.store.commits, commits + 1)

    def test_failingBeforeFailsItsProposalOnly(self) -> None:
        def before(rows: Any) -> None:
            raise OSError("the spool is gone")

        failing = self.groups.propose(5, b"a", before)
        passing = self.groups.propose(5, b"b")
        self.assertEqual(self.done(passing), (3, 1))
        self.failureResultOf(failing, OSError)
        self.assertEqual(applied(self.store, 5), b"b;")
        self.assertEqual([entry.kind for entry in logOf(self.store, 5)], [EMPTY, EMPTY, 0])
        self.startedOn(self.store)
        self.assertEqual(applied(self.store, 5), b"b;")

    def test_manyBodiesDoNotWaitForTheTurn(self) -> None:
        several = [self.groups.propose(1, b"a", lambda rows: None) for _ in range(40)]
        self.done(gatherResults(several))
        self.assertEqual(self.successResultOf(several[-1]), (41, 40))

    def test_readIndexCoversWhatWasAcknowledged(self) -> None:
        index, _ = self.done(self.groups.propose(9, b"a"))
        self.assertEqual(self.done(self.groups.readIndex(9)), index)

    def test_unknownGroupIsUnavailable(self) -> None:
        self.failureResultOf(self.groups.propose(1000, b"a"), Unavailable)
        self.failureResultOf(self.groups.readIndex(1000), Unavailable)

    def test_restartGoesOnBehindWhatWasCommitted(self) -> None:
        self.done(gatherResults([self.groups.propose(1, b"%d" % n) for n in range(3)]))
        self.done(self.groups.stop())
        again = self.startedOn(self.store)
        self.assertEqual(hardOf(self.store, 1).term, 2)
        self.assertEqual(self.done(again.propose(1, b"x")), (6, 4))
        self.assertEqual(applied(self.store, 1), b"0;1;2;x;")

    def test_restartAppliesWhatWasLoggedButNotApplied(self) -> None:
        self.done(self.groups.propose(1, b"a"))
        before = self.store.rows.get(HARD, groupKey(1)), self.store.rows.get(ADDRESS, stateKey(1))
        self.done(gatherResults([self.groups.propose(1, b"b"), self.groups.propose(1, b"c")]))
        with self.store.rows.transaction() as rows:  # as if applying had not been written
            rows.put(HARD, groupKey(1), before[0])
            rows.put(ADDRESS, stateKey(1), before[1])
        commits = self.store.commits
        self.startedOn(self.store)
        self.assertEqual(self.store.commits, commits + 1)
        self.assertEqual(applied(self.store, 1), b"a;b;c;")
        self.assertEqual(hardOf(self.store, 1).applied, 5)

    def test_nothingIsAppliedTwiceByARestart(self) -> None:
        self.done(self.groups.propose(1, b"a"))
        for _ in range(3):
            self.startedOn(self.store)
        self.assertEqual(applied(self.store, 1), b"a;")

    def test_logIsTruncatedAndRestartable(self) -> None:
        for n in range(500):
            self.done(self.groups.propose(1, b"quiet%d" % n))
        rows = logOf(self.store, 1)
        self.assertLessEqual(len(rows), 130)
        self.assertGreaterEqual(len(rows), 64)
        self.assertEqual(rows[-1].index, 501)
        again = self.startedOn(self.store)
        self.assertEqual(self.done(again.propose(1, b"x"))[1], 501)

    def test_logOfLargeEntriesIsTruncatedByOctets(self) -> None:
        for _ in range(30):
            self.done(self.groups.propose(1, b"quiet" + bytes(100_000)))
        self.assertLessEqual(len(logOf(self.store, 1)), 8)

    def test_memoryHoldsNoEntriesThatAreApplied(self) -> None:
        for n in range(10):
            self.done(self.groups.propose(1, b"%d" % n))
        self.assertEqual(self.groups._replicas[1].raft.log._tail, [])

    def test_commitErrorStopsTheDriver(self) -> None:
        underWay = self.groups.propose(1, b"a")
        self.groups._turns.turn()
        queued = self.groups.propose(1, b"b")
        self.store.breakDown(OutcomeUnknown("EIO"))
        self.failureResultOf(underWay, OutcomeUnknown)
        self.failureResultOf(queued, OutcomeUnknown)
        self.failureResultOf(self.groups.propose(1, b"c"), Unavailable)
        self.failureResultOf(self.groups.readIndex(1), Unavailable)
        self.successResultOf(self.groups.stop())
        self.assertEqual(applied(self.store, 1), b"")

    def test_startOnABrokenStoreFails(self) -> None:
        groups = Groups(clock=self.clock, store=self.store, machine=Sums(), draw=random.Random(1).randint)
        self.store.breakDown(OutcomeUnknown("EIO"))
        self.failureResultOf(groups.start(), Unavailable)

    def test_fullDiskFailsWhatWasUnderWayAndTheGroupsGoOn(self) -> None:
        self.done(self.groups.propose(1, b"a"))
        full, write = [True], self.store.write

        def writing(job: Any) -> Deferred[Any]:
            if full.pop():
                full.append(False)
                return fail(StorageFull())
            full.append(False)
            return write(job)

        self.patch(self.store, "write", writing)
        refused = self.groups.propose(1, b"b")
        other = self.groups.propose(2, b"b")
        self.advance()
        self.failureResultOf(refused, StorageFull)
        self.failureResultOf(other, StorageFull)
        self.failureResultOf(self.groups.propose(1, b"c"), Unavailable)
        self.assertEqual(self.done(self.groups.propose(3, b"x")), (2, 1))
        self.clock.advance(1)
        self.assertEqual(self.done(self.groups.propose(1, b"d"))[1], 2)
        self.assertEqual(applied(self.store, 1), b"a;d;")
        self.startedOn(self.store)

    def test_turnBehindOneThatWasNotWrittenIsNotWrittenEither(self) -> None:
        self.groups.propose(1, b"raise").addErrback(lambda _: None)
        self.groups._turns.turn()
        behind = self.groups.propose(1, b"b")
        beside = self.groups.propose(2, b"c")
        self.groups._turns.turn()
        apart = self.groups.propose(3, b"d")
        self.groups._turns.turn()
        self.advance()
        self.failureResultOf(behind, Unavailable)
        self.failureResultOf(beside, Unavailable)
        self.assertEqual(self.successResultOf(apart), (2, 1))
        self.assertEqual((applied(self.store, 1), applied(self.store, 2)), (b"", b""))
        self.clock.advance(1)
        self.assertEqual(self.done(self.groups.propose(1, b"e"))[1], 1)
        self.assertEqual(self.done(self.groups.propose(2, b"e"))[1], 1)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_replicaWhoseTurnsAlwaysRaiseIsLeftAlone(self) -> None:
        with self.store.rows.transaction() as rows:  # an entry that was logged, but cannot be applied
            rows.put(LOG, logKey(1, 2), packLogRow(Entry(2, 1, 0, b"raise")))
        groups = self.startedOn(self.store)
        self.clock.pump([1] * 5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertIsNone(groups.status(1))
        self.failureResultOf(groups.propose(1, b"a"), Unavailable)
        self.assertEqual(self.done(groups.propose(2, b"a")), (3, 1))

    def test_logThatLostItsEndIsNotLoaded(self) -> None:
        self.done(self.groups.propose(1, b"a"))
        with self.store.rows.transaction() as rows:
            rows.delete(LOG, logKey(1, 2))
        groups = Groups(clock=self.clock, store=self.store, machine=Sums(), draw=random.Random(1).randint)
        self.assertRaises(Corrupt, groups.start)

    def test_stopWaitsForWhatIsUnderWay(self) -> None:
        deferred = self.groups.propose(1, b"a")
        stopped = self.groups.stop()
        self.assertNoResult(stopped)
        self.assertEqual(self.done(deferred), (2, 1))
        self.successResultOf(stopped)
        self.failureResultOf(self.groups.propose(1, b"b"), Unavailable)

    def test_proposalsUnderWayAreBounded(self) -> None:
        several = [self.groups.propose(1, b"a") for _ in range(5000)]
        for refused in several[4096:]:
            self.failureResultOf(refused, Unavailable)
        self.assertEqual(self.done(several[0]), (2, 1))
        self.assertEqual(self.done(self.groups.propose(1, b"b"))[1], 4097)

    def test_statusTellsTheMembers(self) -> None:
        status = self.groups.status(1)
        assert status is not None
        self.assertEqual(status.role, "leader")
        self.assertEqual(status.members, ((1, 7, True, False),))
        self.assertEqual(len(self.groups.groups()), GROUPS)
