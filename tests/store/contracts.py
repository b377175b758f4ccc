"""The contracts of `IRows` and `IStore`, which every provider passes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from jindimail.errors import Unavailable
from jindimail.interfaces import IReadRows, IRows, IStore
from jindimail.store.keys import KEY_OCTETS_MAX, MESSAGE, META, TABLES


class RowsContract:
    """What ordered rows promise. A provider's test class gives `rows` in `setUp`."""

    def test_providesTheInterface(self: SynchronousTestCase) -> None:
        verifyObject(IRows, self.rows)

    def test_missingKeyReadsAsNone(self: SynchronousTestCase) -> None:
        self.assertIsNone(self.rows.get(META, b"k"))

    def test_readsItsOwnWrite(self: SynchronousTestCase) -> None:
        self.rows.put(META, b"k", b"v")
        self.assertEqual(self.rows.get(META, b"k"), b"v")

    def test_valuesAreOctetsThatOutliveTheirBuffer(self: SynchronousTestCase) -> None:
        buffer = bytearray(b"value")
        self.rows.put(META, b"k", memoryview(buffer)[1:])
        buffer[:] = b"-----"
        self.assertEqual(self.rows.get(META, b"k"), b"alue")
        self.assertIs(type(self.rows.get(META, b"k")), bytes)

    def test_putReplaces(self: SynchronousTestCase) -> None:
        self.rows.put(META, b"k", b"v" * 3000)
        self.rows.put(META, b"k", b"w")
        self.assertEqual(self.rows.get(META, b"k"), b"w")

    def test_emptyValueIsAValue(self: SynchronousTestCase) -> None:
        self.rows.put(META, b"k", b"")
        self.assertEqual(self.rows.get(META, b"k"), b"")
        self.assertTrue(self.rows.delete(META, b"k"))

    def test_deleteTellsWhetherItWasThere(self: SynchronousTestCase) -> None:
        self.rows.put(META, b"k", b"v")
        self.assertIs(self.rows.delete(META, b"k"), True)
        self.assertIs(self.rows.delete(META, b"k"), False)
        self.assertIsNone(self.rows.get(META, b"k"))

    def test_tablesAreApart(self: SynchronousTestCase) -> None:
        for table in TABLES:
            self.rows.put(table, b"k", table.encode())
        self.rows.delete(META, b"k")
        self.assertEqual(
            [self.rows.get(table, b"k") for table in TABLES if table != META],
            [table.encode() for table in TABLES if table != META],
        )

    def test_emptyAndOverlongKeysAreRefused(self: SynchronousTestCase) -> None:
        for key in (b"", b"k" * (KEY_OCTETS_MAX + 1)):
            with self.assertRaises(Exception):  # noqa: B017
                self.rows.put(META, key, b"v")
        self.rows.put(META, b"k" * KEY_OCTETS_MAX, b"v")
        self.assertEqual(self.rows.get(META, b"k" * KEY_OCTETS_MAX), b"v")

    def test_underAnOverlongKeyThereIsNothing(self: SynchronousTestCase) -> None:
        """Whoever looks for a name that clients made up need not know how long a key may be."""
        for length in (KEY_OCTETS_MAX + 1, 4 * KEY_OCTETS_MAX):
            key = b"k" * length
            self.assertIsNone(self.rows.get(META, key))
            self.assertIs(self.rows.delete(META, key), False)
            self.assertEqual(list(self.rows.scan(META, key, key + b"k")), [])
            self.assertEqual(list(self.rows.scan(META, key, key + b"k", True)), [])

    def test_noKeyIsEmpty(self: SynchronousTestCase) -> None:
        for ask in (self.rows.get, self.rows.delete):
            with self.assertRaises(Exception):  # noqa: B017
                ask(META, b"")

    def test_unknownTableIsRefused(self: SynchronousTestCase) -> None:
        with self.assertRaises(KeyError):
            self.rows.put("nosuchtable", b"k", b"v")

    def _fill(self: SynchronousTestCase) -> None:
        for key in (b"b", b"d", b"a", b"c\xff\xff", b"c"):
            self.rows.put(MESSAGE, key, key * 2)

    def _keys(self: SynchronousTestCase, start: bytes, stop: bytes, reverse: bool = False) -> list[bytes]:
        found = list(self.rows.scan(MESSAGE, start, stop, reverse))
        self.assertTrue(all(value == key * 2 for key, value in found))
        return [key for key, _ in found]

    def test_scanAscendsFromStartToBeforeStop(self: SynchronousTestCase) -> None:
        self._fill()
        self.assertEqual(self._keys(b"b", b"d"), [b"b", b"c", b"c\xff\xff"])

    def test_scanDescends(self: SynchronousTestCase) -> None:
        self._fill()
        self.assertEqual(self._keys(b"b", b"d", reverse=True), [b"c\xff\xff", b"c", b"b"])

    def test_scanToTheVeryEndAndFromTheVeryStart(self: SynchronousTestCase) -> None:
        self._fill()
        everything = [b"a", b"b", b"c", b"c\xff\xff", b"d"]
        self.assertEqual(self._keys(b"", b"\xff"), everything)
        self.assertEqual(self._keys(b"", b"\xff", reverse=True), everything[::-1])

    def test_scanBoundsNeedNotExist(self: SynchronousTestCase) -> None:
        self._fill()
        self.assertEqual(self._keys(b"aa", b"c\x00"), [b"b", b"c"])
        self.assertEqual(self._keys(b"aa", b"c\x00", reverse=True), [b"c", b"b"])

    def test_scanOfNothing(self: SynchronousTestCase) -> None:
        self.assertEqual(self._keys(b"a", b"z"), [])
        self.assertEqual(self._keys(b"a", b"z", reverse=True), [])
        self._fill()
        for start, stop in ((b"e", b"z"), (b"b", b"b"), (b"d", b"a"), (b"bb", b"c")):
            self.assertEqual(self._keys(start, stop), [])
            self.assertEqual(self._keys(start, stop, reverse=True), [])

    def test_scanMayBeLeftEarlyAndRowsChangedAfterwards(self: SynchronousTestCase) -> None:
        self._fill()
        self.assertEqual(next(iter(self.rows.scan(MESSAGE, b"b", b"z")))[0], b"b")
        self.rows.delete(MESSAGE, b"b")
        self.assertEqual(next(iter(self.rows.scan(MESSAGE, b"b", b"z")))[0], b"c")


class StoreContract:
    """What a store promises. A provider's test class gives `store` in `setUp`, and closes it."""

    def _value(self: TestCase, key: bytes) -> bytes | None:
        with self.store.read() as rows:
            return rows.get(META, key)

    def test_providesTheInterface(self: TestCase) -> None:
        verifyObject(IStore, self.store)
        with self.store.read() as rows:
            verifyObject(IReadRows, rows)

    async def test_writeAnswersTheJobsResultOnceItCanBeRead(self: TestCase) -> None:
        def job(rows: IRows) -> str:
            rows.put(META, b"k", b"v")
            return "result"

        self.assertEqual(await self.store.write(job), "result")
        self.assertEqual(self._value(b"k"), b"v")

    async def test_whatIsCertainIsToldInOrderAndReadAtOnce(self: TestCase) -> None:
        told: list[tuple[bytes, bytes | None]] = []

        def put(rows: IRows, value: bytes) -> bytes:
            rows.put(META, b"k", value)
            return value

        waiting = [
            self.store.write(
                lambda rows, value=value: put(rows, value),
                ran=lambda result: told.append((result, self._value(b"k"))),
            )
            for value in (b"1", b"2")
        ]
        self.assertEqual([await each for each in waiting], [b"1", b"2"])
        self.assertEqual([result for result, _ in told], [b"1", b"2"])
        self.assertTrue(all(seen is not None and seen >= result for result, seen in told), told)
        with self.store.readDurable() as rows:
            self.assertEqual(rows.get(META, b"k"), b"2")

    async def test_whatRaisesIsNotToldOf(self: TestCase) -> None:
        told: list[Any] = []

        def job(rows: IRows) -> None:
            rows.put(META, b"k", b"v")
            raise ValueError

        with self.assertRaises(ValueError):
            await self.store.write(job, ran=told.append, mayWait=True)
        self.assertEqual((told, self._value(b"k")), ([], None))

    async def test_jobsRunInOrderAndSeeEarlierOnes(self: TestCase) -> None:
        def job(rows: IRows) -> int:
            count = int(rows.get(META, b"count") or b"0") + 1
            rows.put(META, b"count", b"%d" % count)
            return count

        waiting = [self.store.write(job) for _ in range(50)]
        self.assertEqual([await each for each in waiting], list(range(1, 51)))

    async def test_resultsArriveInTheOrderOfWrites(self: TestCase) -> None:
        arrived: list[int] = []
        waiting = [
            self.store.write(lambda rows, each=each: each).addCallback(arrived.append) for each in range(50)
        ]
        for each in waiting:
            await each
        self.assertEqual(arrived, list(range(50)))

    async def test_raisingJobLeavesNoRowsAndHarmsNoOther(self: TestCase) -> None:
        def good(rows: IRows, key: bytes) -> None:
            rows.put(META, key, b"v")
            rows.put(META, b"both", (rows.get(META, b"both") or b"") + key)

        def bad(rows: IRows) -> None:
            rows.put(META, b"both", b"bad")
            rows.put(META, b"bad", b"v")
            rows.delete(META, b"first")
            raise LookupError("no")

        waiting = [
            self.store.write(lambda rows: good(rows, b"first")),
            self.store.write(bad),
            self.store.write(lambda rows: good(rows, b"last")),
        ]
        await waiting[0]
        with self.assertRaises(LookupError):
            await waiting[1]
        await waiting[2]
        self.assertIsNone(self._value(b"bad"))
        self.assertEqual(self._value(b"first"), b"v")
        self.assertEqual(self._value(b"both"), b"firstlast")

    async def test_jobWithABodyIsWritten(self: TestCase) -> None:
        await self.store.write(lambda rows: rows.put(META, b"body", b"o" * 1000), bodyOctets=1000)
        self.assertEqual(self._value(b"body"), b"o" * 1000)

    async def test_closeCommitsWhatWasAcceptedAndTakesNoMore(self: TestCase) -> None:
        waiting = [self.store.write(lambda rows, each=each: each) for each in range(10)]
        closed = self.store.close()
        with self.assertRaises(Unavailable):
            await self.store.write(lambda rows: None)
        self.assertEqual([await each for each in waiting], list(range(10)))
        await closed

    async def test_aClosedStoreIsUnavailableToWhoeverStillReads(self: TestCase) -> None:
        await self.store.close()
        for read in (self.store.read, self.store.readDurable):
            with self.assertRaises(Unavailable), read():
                pass

    async def test_soundStoreHasNotFailed(self: TestCase) -> None:
        await self.store.write(lambda rows: None)
        self.assertNoResult(self.store.failed())
