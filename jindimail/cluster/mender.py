"""
Looking through the bodies of a bucket that is led here, and mending those that lack copies, one after the other (design §6).

When that is to be done is said elsewhere (`mending`). It is done a few rows or one body at a time, and slower the more this node is loaded: clients come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jindimail.cluster.events import Events
from jindimail.errors import Corrupt, JindimailError
from jindimail.replication.repair import Looked, Repair, Wanted

PAUSE_SECONDS = 0.01  # between two looks, or bodies
LOADED_PAUSE_SECONDS = 0.25  # at full load
FAILURES_MAX = 3  # in one pass
LACKING_MAX = 10_000  # of one pass; the next finds the rest


class Mender:
    """
    One node's.

    @ivar moved: bodies that were given new keepers, or sound copies, since this node started.
    """

    def __init__(
        self, *, clock: IReactorTime, repair: Repair, events: Events, load: Callable[[], float]
    ) -> None:
        """@param load: of this node, 0 to 1."""
        self._clock = clock
        self._repair = repair
        self._events = events
        self._load = load
        self.moved = 0

    async def survey(self, number: int, wanted: Wanted) -> Looked:
        """A bucket's bodies, as `Repair.look` tells of them; `after` is not None where not all were looked at."""
        lacking: list[bytes] = []
        owed = lost = 0
        after: bytes | None = b""
        while after is not None and len(lacking) < LACKING_MAX:
            looked = self._repair.look(number, wanted, after)
            lacking += looked.lacking
            owed += looked.owed
            lost += looked.lost
            after = looked.after
            if after is not None:
                await self._pause(PAUSE_SECONDS)
        return Looked(lacking, owed, lost, after)

    async def mend(
        self,
        number: int,
        lacking: Sequence[bytes],
        wanted: Wanted,
        isCurrent: Callable[[], bool],
        mended: Callable[[], object],
        pauseSeconds: float = PAUSE_SECONDS,
    ) -> int:
        """
        Mend bodies, as far as that can be done now; how many there is nothing more to do for.

        @param isCurrent: whether to go on.
        @param mended: is called for each body that got what it lacked.
        """
        done = failures = 0
        for bodyId in lacking:
            if failures >= FAILURES_MAX or not isCurrent():
                break
            try:
                isMended = await self._repair.mend(number, bodyId, wanted)
            except Corrupt:
                self._events.add("bodyLost", bucket=number, body=bodyId.hex())
                failures += 1
            except JindimailError:
                failures += 1
            else:
                done += 1
                if isMended:
                    self.moved += 1
                    mended()
            await self._pause(pauseSeconds)
        return done

    async def restore(self, number: int, node: int, isCurrent: Callable[[], bool]) -> None:
        """Put again what a node has lost of a bucket's bodies."""
        everything = Wanted(candidates=(), copies=0, isLost=lambda keeper: keeper == node)
        for bodyId in (await self.survey(number, everything)).lacking:
            if not isCurrent():
                return
            try:
                self.moved += await self._repair.replace(number, bodyId, node)
            except JindimailError:
                continue  # the next pass of repairs, or the scrub, sees to it
            await self._pause(PAUSE_SECONDS)

    async def replace(self, number: int, bodyId: bytes, node: int) -> None:
        """
        A keeper's copy was found damaged or missing, as somebody says: look, and put it anew.

        @raise Unavailable: it could not be done now.
        """
        try:
            if await self._repair.replace(number, bodyId, node):
                self._events.add("bodyMended", bucket=number, body=bodyId.hex(), at=node)
        except Corrupt:
            self._events.add("bodyLost", bucket=number, body=bodyId.hex(), at=node)

    async def _pause(self, seconds: float) -> None:
        await deferLater(self._clock, seconds + LOADED_PAUSE_SECONDS * min(1.0, self._load()))
