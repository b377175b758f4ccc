"""The contract of `IGroups` over the real store: LMDB, a writer thread, the reactor."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from jindimail.replication.driver import Groups
from jindimail.replication.durable import HardRecord, foundGroups
from jindimail.replication.snapshots import readBlock, writeSnapshot
from jindimail.store.environment import Environment, found
from jindimail.store.keys import HARD, LOG, SUMMARY, groupKey, logKey
from jindimail.store.records import decode
from jindimail.store.space import Space
from jindimail.store.writer import Writer
from tests.replication.nodes import Sums, applied

GROUPS = 257


class RealStoreTests(TestCase):
    """A node whose groups have one voter."""

    timeout = 30

    def setUp(self) -> Deferred[Any]:
        self.directory = Path(self.mktemp())
        found(self.directory, name="n")
        self.store: Writer = self.opened()
        self.events: list[tuple[int, int, Any]] = []
        founded = self.store.write(lambda rows: foundGroups(rows, range(GROUPS), 1))
        return founded.addCallback(lambda _: self.begin())

    def tearDown(self) -> Deferred[Any]:
        return self.groups.stop().addCallback(lambda _: self.store.close())

    def opened(self) -> Writer:
        """The store, opened."""
        self.environment = Environment(self.directory)
        return Writer(self.environment, Space(self.environment.path), reactor=reactor)

    def begin(self) -> Deferred[None]:
        """Groups, started."""
        self.groups = Groups(clock=reactor, store=self.store, machine=Sums(), draw=random.Random(1).randint)  # type: ignore[arg-type]
        self.groups.listen(lambda group, index, events: self.events.append((group, index, events)))
        return self.groups.start()

    async def again(self) -> None:
        """Stop, close, open, start."""
        await self.groups.stop()
        await self.store.close()
        self.store = self.opened()
        await self.begin()

    async def test_proposalsAreCommittedAppliedAndTold(self) -> None:
        several = [self.groups.propose(group, b"%d" % number) for number in range(5) for group in (1, 2)]
        outcomes = await gatherResults(several)
        self.assertEqual(outcomes, [(number + 2, number + 1) for number in range(5) for _ in (1, 2)])
        self.assertEqual(applied(self.store, 2), b"0;1;2;3;4;")
        self.assertEqual(
            [event for event in self.events if event[0] == 1], [(1, n + 2, (b"%d" % n,)) for n in range(5)]
        )
        self.assertEqual(await self.groups.readIndex(1), 6)

    async def test_restartGoesOnWhereItStopped(self) -> None:
        await self.groups.propose(0, b"a")
        await self.again()
        self.assertEqual(await self.groups.propose(0, b"b"), (4, 2))
        self.assertEqual(applied(self.store, 0), b"a;b;")

    async def test_restartAppliesWhatWasOnlyLogged(self) -> None:
        await self.groups.propose(1, b"a")
        with self.store.read() as rows:
            hard = rows.get(HARD, groupKey(1))
        await self.groups.propose(1, b"b")

        def forgetApplying(rows: Any) -> None:
            rows.put(HARD, groupKey(1), hard)

        await self.groups.stop()
        await self.store.write(forgetApplying)
        await self.begin()
        self.assertEqual(applied(self.store, 1), b"a;b;b;")  # `Sums` tells that it was applied from there on
        with self.store.read() as rows:
            self.assertEqual(decode(rows.get(HARD, groupKey(1)) or b"", HardRecord).applied, 4)

    async def test_theSoleVoterTellsOfNothingBeforeItIsDurable(self) -> None:
        told: list[bool] = []
        self.patch(self.environment, "commit", lambda changes: told.append(done.called))
        done = self.groups.propose(1, b"a")
        await done
        self.assertEqual((told, self.events), ([False], [(1, 2, (b"a",))]))
        self.assertEqual(applied(self.store, 1), b"")  # nothing was written, and readers saw nothing either

    async def test_bodyRidesInTheTransactionOfItsEntry(self) -> None:
        await self.groups.propose(1, b"a", lambda rows: rows.put(SUMMARY, b"body", b"octets"))
        with self.store.read() as rows:
            self.assertEqual(rows.get(SUMMARY, b"body"), b"octets")

    async def test_logIsTruncated(self) -> None:
        for _ in range(40):
            await gatherResults([self.groups.propose(1, b"quiet") for _ in range(10)])
        with self.store.read() as rows:
            kept = len(list(rows.scan(LOG, logKey(1, 0), logKey(2, 0))))
        self.assertTrue(64 <= kept <= 150, kept)
        await self.again()
        self.assertEqual((await self.groups.propose(1, b"x"))[1], 401)

    async def test_snapshotIsReadAsOfOneMoment(self) -> None:
        await self.groups.propose(2, b"a")
        with self.environment.snapshot() as rows:
            await self.groups.propose(2, b"b")
            with (self.directory / "snapshot").open("w+b") as file:
                snapshot = writeSnapshot(rows, 2, file)
                [(_, _, value)] = readBlock(file)
        self.assertEqual((snapshot.index, value[8:]), (2, b"a;"))
