"""A disk that is really full: what is acknowledged stays, expunges go on, and writing goes on when there is room."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from jindimail.errors import StorageFull
from jindimail.interfaces import IRows
from jindimail.store.environment import Environment, found
from jindimail.store.keys import MESSAGE
from jindimail.store.space import Level, Space
from jindimail.store.writer import Writer
from tests.store.places import smallDisk

VALUE = bytes(range(256)) * 120  # 30 KB, so that pages side by side are needed


class FullDiskTests(TestCase):
    """A store on a file system of 16 MiB."""

    octets = 16 << 20

    def setUp(self) -> None:
        self.place = smallDisk(self, self.octets)
        found(self.place / "data", name="n")
        self.open()

    def open(self) -> None:
        self.environment = Environment(self.place / "data")
        self.space = Space(self.environment.path, insideOctets=self.environment.freeOctets)
        self.store = Writer(self.environment, self.space, reactor=reactor)
        self.addCleanup(self.store.close)

    async def put(self, number: int, **arguments: Any) -> None:
        await self.store.write(lambda rows: rows.put(MESSAGE, b"%06d" % number, VALUE), **arguments)

    async def fill(self) -> int:
        """Write until it is refused; how many were written."""
        for number in range(10_000):
            try:
                await self.put(number)
            except StorageFull:
                return number
        raise AssertionError("the disk was never full")

    async def expunge(self, first: int, last: int) -> None:
        def job(rows: IRows) -> None:
            for number in range(first, last):
                self.assertTrue(rows.delete(MESSAGE, b"%06d" % number))

        await self.store.write(job)

    def numbers(self) -> list[int]:
        with self.store.read() as rows:
            found = list(rows.scan(MESSAGE, b"0", b"A"))
        self.assertTrue(all(value == VALUE for _, value in found))
        return [int(key) for key, _ in found]

    async def test_fullDiskRefusesAndLosesNothing(self) -> None:
        written = await self.fill()
        self.assertGreater(written, 300)
        self.assertEqual(self.numbers(), list(range(written)))
        self.assertNoResult(self.store.failed())
        self.assertFalse(self.space.reservePath.exists())
        await self.store.close()
        self.open()
        self.assertEqual(self.numbers(), list(range(written)))

    async def test_expungesWorkOnAFullDiskAndMakeRoom(self) -> None:
        written = await self.fill()
        for first in range(0, 100, 10):
            await self.expunge(first, first + 10)
        self.assertEqual(self.numbers(), list(range(100, written)))
        for number in range(50):
            await self.put(number)
        self.assertEqual(len(self.numbers()), written - 50)
        self.assertNoResult(self.store.failed())

    async def test_expungesWorkHoweverOftenTheDiskWasFull(self) -> None:
        for _ in range(5):
            written = await self.fill()
            for _ in range(20):
                with self.assertRaises(StorageFull):
                    while True:
                        await self.put(written)
                        written += 1
            await self.expunge(0, len(self.numbers()))
            self.assertEqual(self.numbers(), [])
        self.assertNoResult(self.store.failed())

    async def test_spaceTakenByOthersIsRefusedAndGivenBackIsUsed(self) -> None:
        for number in range(20):
            await self.put(number)
        filler = self.place / "filler"
        with open(filler, "wb", buffering=0) as file, self.assertRaises(OSError):
            while True:
                file.write(bytes(1 << 16))
        self.space.refresh()
        self.assertIs(self.store.freeLevel, Level.ONLY_EXPUNGES)
        with self.assertRaises(StorageFull):
            await self.put(20, bodyOctets=len(VALUE))
        refused = 0
        for number in range(20, 40):
            try:
                await self.put(number)
            except StorageFull:
                refused += 1
        self.assertGreater(refused, 0)
        await self.expunge(0, 10)
        filler.unlink()
        self.space.refresh()
        self.assertIs(self.store.freeLevel, Level.PLENTY)
        self.assertTrue(self.space.reservePath.exists())
        await self.put(40, bodyOctets=len(VALUE))
        self.assertEqual(self.numbers()[:10], list(range(10, 20)))

    async def test_incarnationIsCountedOnAFullDisk(self) -> None:
        await self.fill()
        before = self.environment.meta.incarnation
        await self.store.close()
        self.open()
        self.assertEqual(self.environment.begin().incarnation, before + 1)
