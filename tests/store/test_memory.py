"""The store in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from jindimail.errors import OutcomeUnknown, Unavailable
from jindimail.store.keys import MESSAGE, META
from jindimail.store.memory import MemoryRows, MemoryStore
from tests.store.contracts import RowsContract, StoreContract


class MemoryRowsTests(RowsContract, SynchronousTestCase):
    """Rows in memory keep the contract."""

    def setUp(self) -> None:
        self.rows = MemoryRows()

    def test_changeDuringAScanIsNoticed(self) -> None:
        self.rows.put(MESSAGE, b"a", b"1")
        self.rows.put(MESSAGE, b"b", b"2")
        with self.assertRaises(RuntimeError):
            for key, _ in self.rows.scan(MESSAGE, b"a", b"z"):
                self.rows.delete(MESSAGE, key)

    def test_raisingTransactionIsUndoneCompletely(self) -> None:
        self.rows.put(META, b"a", b"1")
        self.rows.put(META, b"b", b"2")
        before = self.rows.snapshot()
        with self.assertRaises(LookupError), self.rows.transaction() as rows:
            rows.put(META, b"a", b"changed")
            rows.put(META, b"a", b"again")
            rows.delete(META, b"b")
            rows.put(META, b"c", b"3")
            raise LookupError
        self.assertEqual(self.rows.snapshot(), before)
        self.assertEqual([key for key, _ in self.rows.scan(META, b"", b"\xff")], [b"a", b"b"])


class MemoryStoreTests(StoreContract, TestCase):
    """A store in memory keeps the contract."""

    def setUp(self) -> None:
        self.store = MemoryStore()

    def test_withAClockAGroupIsCommittedOnItsNextTurn(self) -> None:
        clock = Clock()
        store = MemoryStore(clock)
        waiting = [store.write(lambda rows: rows.put(META, b"k", b"v")) for _ in range(3)]
        for each in waiting:
            self.assertNoResult(each)
        with store.read() as rows:
            self.assertIsNone(rows.get(META, b"k"))
        clock.advance(0)
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(store.commits, 1)

    def test_brokenDownStoreFailsWhatWaitsAndRefusesWhatComes(self) -> None:
        store = MemoryStore(Clock())
        waiting = store.write(lambda rows: rows.put(META, b"k", b"v"))
        failed = store.failed()
        store.breakDown(OutcomeUnknown("commit"))
        self.failureResultOf(waiting, OutcomeUnknown)
        self.failureResultOf(store.write(lambda rows: None), Unavailable)
        self.assertIsInstance(self.successResultOf(failed), OutcomeUnknown)
        self.assertIsInstance(self.successResultOf(store.failed()), OutcomeUnknown)
