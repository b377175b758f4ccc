"""Free space: levels, the reserve, refreshing."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jindimail.store.space import RESERVE_OCTETS_MAX, Level, Space, levelOf
from tests.store.places import temporaryPath

GIBI = 1 << 30


class FakeDisk:
    """A file system of one size whose free space the test sets; the reserve takes of it."""

    def __init__(self, path: Path, total: int = 100 * GIBI) -> None:
        self.path = path
        self.total = total
        self.others = 0  # what others take
        self.reserve = 0
        self.isFailing = False

    def statvfs(self, path: Path) -> Any:
        reserve = self.reserve if (self.path / "reserve").exists() else 0
        free = max(0, self.total - self.others - reserve)
        return SimpleNamespace(
            f_bavail=free // 4096, f_bfree=free // 4096, f_blocks=self.total // 4096, f_frsize=4096
        )

    def preallocate(self, descriptor: int, start: int, octets: int) -> None:
        if self.isFailing:
            raise OSError(28, "no space")
        self.reserve = octets


class SpaceTests(SynchronousTestCase):
    """Levels on a disk that is said to be so full."""

    def setUp(self) -> None:
        self.path = temporaryPath(self)
        self.path.mkdir()
        self.disk = FakeDisk(self.path)
        self.inside = 0

    def space(self) -> Space:
        return Space(
            self.path,
            insideOctets=lambda: self.inside,
            statvfs=self.disk.statvfs,
            preallocate=self.disk.preallocate,
        )

    def fill(self, share: float) -> None:
        self.disk.others = int(self.disk.total * (1 - share))

    def test_levelsChangeAtTenAndFivePerCent(self) -> None:
        expected = {
            1.0: Level.PLENTY,
            0.10: Level.PLENTY,
            0.0999: Level.NO_BODIES,
            0.05: Level.NO_BODIES,
            0.0499: Level.ONLY_EXPUNGES,
            0.0: Level.ONLY_EXPUNGES,
        }
        self.assertEqual({share: levelOf(share) for share in expected}, expected)

    def test_levelFollowsTheDisk(self) -> None:
        space = self.space()
        self.assertIs(space.level, Level.PLENTY)
        for share, level in ((0.08, Level.NO_BODIES), (0.03, Level.ONLY_EXPUNGES), (0.5, Level.PLENTY)):
            self.fill(share)
            self.assertIs(space.refresh(), level)
            self.assertIs(space.level, level)

    def test_higherLevelsHaveRoomForMore(self) -> None:
        self.assertLess(Level.ONLY_EXPUNGES, Level.NO_BODIES)
        self.assertLess(Level.NO_BODIES, Level.PLENTY)

    def test_levelIsRefreshedOnceASecondUntilStopped(self) -> None:
        clock, space = Clock(), self.space()
        space.start(clock)
        self.fill(0.03)
        clock.advance(0.9)
        self.assertIs(space.level, Level.PLENTY)
        clock.advance(0.2)
        self.assertIs(space.level, Level.ONLY_EXPUNGES)
        self.fill(0.5)
        clock.advance(1)
        self.assertIs(space.level, Level.PLENTY)
        space.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
        space.stop()

    def test_reserveIsLaidByAndIsBounded(self) -> None:
        space = self.space()
        self.assertTrue(space.reservePath.exists())
        self.assertEqual(self.disk.reserve, RESERVE_OCTETS_MAX)
        self.assertEqual(space.reservePath.stat().st_mode & 0o777, 0o600)

    def test_reserveOfASmallDiskIsASmallShare(self) -> None:
        self.disk.total = GIBI
        self.space()
        self.assertEqual(self.disk.reserve, GIBI // 50)

    def test_reserveReallyTakesSpace(self) -> None:
        space = Space(self.path, statvfs=self.disk.statvfs)
        self.assertEqual(space.reservePath.stat().st_size, RESERVE_OCTETS_MAX)
        self.assertGreaterEqual(space.reservePath.stat().st_blocks * 512, RESERVE_OCTETS_MAX)

    def test_droppedReserveIsGoneAndComesBackWhenThereIsRoom(self) -> None:
        space = self.space()
        self.disk.others = self.disk.total
        self.assertTrue(space.dropReserve())
        self.assertFalse(space.dropReserve())
        space.refresh()
        self.assertFalse(space.reservePath.exists())
        self.fill(0.5)
        space.refresh()
        self.assertTrue(space.reservePath.exists())

    def test_reserveThatCannotBeLaidByLeavesNoFile(self) -> None:
        self.disk.isFailing = True
        space = self.space()
        self.assertFalse(space.reservePath.exists())
        self.assertIs(space.level, Level.PLENTY)

    def test_reserveWhoseFileCannotBeMadeIsNoneAndIsTriedAgain(self) -> None:
        """There may be room and no inode, or no descriptor, left."""
        self.path.joinpath("reserve").symlink_to(self.path / "nowhere" / "reserve")
        space = self.space()
        self.assertFalse(space.hasReserve)
        self.assertIs(space.level, Level.PLENTY)
        space.reservePath.unlink()
        space.refresh()
        self.assertTrue(space.hasReserve)

    def test_whatIsFreeInsideTheStoreCounts(self) -> None:
        space = self.space()
        self.fill(0.02)
        self.assertIs(space.refresh(), Level.ONLY_EXPUNGES)
        self.inside = 20 * GIBI
        self.assertIs(space.refresh(), Level.PLENTY)

    def test_exhaustedDiskWithoutReserveTakesNoBodiesWhateverIsFreeInside(self) -> None:
        space = self.space()
        self.inside = 20 * GIBI
        self.disk.others = self.disk.total
        self.assertIs(space.refresh(), Level.PLENTY)
        space.dropReserve()
        self.assertIs(space.refresh(), Level.NO_BODIES)

    def test_exhaustionIsAFreeSpaceNearZeroForWhatWasNeeded(self) -> None:
        space = self.space()
        self.disk.others = self.disk.total - self.disk.reserve - (8 << 20)
        self.assertFalse(space.isExhausted())
        self.assertTrue(space.isExhausted(4 << 20))
        self.disk.others = self.disk.total - self.disk.reserve - (512 << 10)
        self.assertTrue(space.isExhausted())

    def test_realDiskIsMeasured(self) -> None:
        space = Space(self.path, preallocate=self.disk.preallocate)
        disk = os.statvfs(self.path)
        self.assertLessEqual(space.totalOctets, disk.f_blocks * disk.f_frsize)
        self.assertGreaterEqual(space.totalOctets, space.freeOctets)
        self.assertGreater(space.freeOctets, 0)
