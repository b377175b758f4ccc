"""
Free disk space: its levels, and the reserve file that makes room on a full disk (design §4).

LMDB's file never shrinks, so what is free inside it counts as free. When the disk itself is exhausted and the reserve is
spent, bodies are refused whatever is free inside, because they need pages side by side and may make the file grow.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

RESERVE_OCTETS_MAX = 64 << 20
RESERVE_SHARE = 50  # of the disk: 2 %
EXHAUSTED_OCTETS = 1 << 20
REFRESH_SECONDS = 1.0
NO_BODIES_SHARE = 0.10
ONLY_EXPUNGES_SHARE = 0.05


class Level(IntEnum):
    """What there is room for; a higher level has room for all that a lower one has."""

    ONLY_EXPUNGES = 0  # below 5 % free: expunges, votes and configuration
    NO_BODIES = 1  # below 10 % free: no new bodies
    PLENTY = 2


def levelOf(share: float) -> Level:
    """The level of a share of free space."""
    if share < ONLY_EXPUNGES_SHARE:
        return Level.ONLY_EXPUNGES
    return Level.NO_BODIES if share < NO_BODIES_SHARE else Level.PLENTY


class Space:
    """The free space of the file system that holds a store, measured once a second."""

    _log = Logger()

    def __init__(
        self,
        path: Path,
        *,
        insideOctets: Callable[[], int] = lambda: 0,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
        preallocate: Callable[[int, int, int], None] = os.posix_fallocate,
    ) -> None:
        self.level = Level.PLENTY
        self.freeOctets = 0
        self.freeShare = 1.0  # what is free inside the store counts
        self.totalOctets = 0
        self.hasReserve = False
        self.reservePath = path / "reserve"
        self._path = path
        self._insideOctets = insideOctets
        self._statvfs = statvfs
        self._preallocate = preallocate
        self._call: IDelayedCall | None = None
        self.refresh()

    def refresh(self) -> Level:
        """Measure, lay the reserve by if there is room for it, and tell the level."""
        self._measure()
        self.hasReserve = self.reservePath.exists()
        if not self.hasReserve and self.freeOctets > 2 * self._reserveOctets() > 0:
            self.hasReserve = self._layBy()
        share = (self.freeOctets + self._insideOctets()) / max(1, self.totalOctets)
        self.freeShare = min(1.0, share)
        level = levelOf(share)
        if not self.hasReserve and self.freeOctets < EXHAUSTED_OCTETS:
            level = min(level, Level.NO_BODIES)
        if level != self.level:
            self._log.warn(
                "free disk space of {path}: {percent:.1f} %, {freeLevel}",
                path=str(self._path),
                percent=share * 100,
                freeLevel=level.name,
            )
        self.level = level
        return level

    @property
    def isSpent(self) -> bool:
        """Whether what is left is for expunges alone: the level is the lowest and the reserve is gone."""
        return self.level is Level.ONLY_EXPUNGES and not self.hasReserve

    def isExhausted(self, neededOctets: int = 0) -> bool:
        """Whether the disk is so full that a commit of so many octets may have failed for that."""
        self._measure()
        return self.freeOctets < EXHAUSTED_OCTETS + 2 * neededOctets

    def dropReserve(self) -> bool:
        """Give the reserve's room to the store; whether there was one."""
        try:
            os.truncate(self.reservePath, 0)
            self.reservePath.unlink()
        except FileNotFoundError:
            return False
        return True

    def start(self, clock: IReactorTime) -> None:
        """Refresh once a second."""
        self._call = clock.callLater(REFRESH_SECONDS, self._again, clock)

    def stop(self) -> None:
        """Refresh no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _again(self, clock: IReactorTime) -> None:
        self.start(clock)
        self.refresh()

    def _measure(self) -> None:
        disk = self._statvfs(self._path)
        self.freeOctets = disk.f_bavail * disk.f_frsize
        self.totalOctets = (disk.f_blocks - disk.f_bfree + disk.f_bavail) * disk.f_frsize

    def _reserveOctets(self) -> int:
        return min(RESERVE_OCTETS_MAX, self.totalOctets // RESERVE_SHARE)

    def _layBy(self) -> bool:
        try:
            descriptor = os.open(self.reservePath, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # no inode is left, or no descriptor
            return False
        try:
            self._preallocate(descriptor, 0, self._reserveOctets())
        except OSError:
            self.reservePath.unlink()
            return False
        finally:
            os.close(descriptor)
        self._measure()
        return True
