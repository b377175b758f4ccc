"""
Looking through the bodies of a bucket that is led here, and mending those that lack copies (design §6).

When that is to be done is said elsewhere (`mending`). It is done a few rows or bodies at a time, fewer and slower the more this node is loaded: clients come
first. A body takes two commits, one after the other, so that only several at a time are as quick as the disks; large ones fill a link as well as the disk,
and are mended one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jindimail.cluster.events import Events
from jindimail.cluster.load import atOnce
from jindimail.errors import Corrupt, JindimailError
from jindimail.interfaces import IStore
from jindimail.replication.repair import Looked, Repair, Wanted, bodyref
from jindimail.store.records import BodyrefRecord

PAUSE_SECONDS = 0.01  # between two looks, or bodies
LOADED_PAUSE_SECONDS = 0.25  # at full load
BODIES_AT_ONCE = 8  # of a bucket, at rest; one where it is busy
WAIT_SECONDS = 0.25  # until it is seen whether more may be mended at a time again
LARGE_OCTETS = 64 << 10  # more is mended one after the other
FAILURES_MAX = 3  # in one pass
LACKING_MAX = 10_000  # of one pass; the next finds the rest
LOST_MAX = 10_000  # lost bodies that are remembered


class Mender:
    """
    One node's.

    @ivar moved: bodies that were given new keepers, or sound copies, since this node started.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        repair: Repair,
        events: Events,
        load: Callable[[], float],
    ) -> None:
        """@param load: of this node, 0 to 1."""
        self._clock = clock
        self._store = store
        self._repair = repair
        self._events = events
        self._load = load
        self._places: dict[int, bytes] = {}  # by bucket: the body at which a pass was given up
        self._lost: set[tuple[int, bytes]] = set()  # bodies that were told of
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
        settled: Callable[[int], object],
        pauseSeconds: float = PAUSE_SECONDS,
        most: int = BODIES_AT_ONCE,
    ) -> tuple[int, int]:
        """
        Mend bodies, as far as that can be done now; how many got what they lacked, and how many there is nothing more to do for (these, and those that are
        lost, too). After some failures it is
        given up, and goes on behind them the next time: bodies whose keepers are away just now stand in no other's way.

        @param isCurrent: whether to go on.
        @param settled: is called with how many copies are owed no more.
        @param most: how many at a time.
        """
        made = done = failures = 0
        last = self._places.pop(number, b"")
        lacking = sorted(lacking, key=lambda bodyId: bodyId <= last)

        async def one(bodyId: bytes) -> None:
            nonlocal made, done, failures, last
            last = bodyId
            try:
                isMended = await self._repair.mend(number, bodyId, wanted)
            except Corrupt:  # all that kept it were asked: there is nothing that could be copied
                self._tellLost(number, bodyId)
                done += 1
                settled(self._owed(number, bodyId, wanted))
            except JindimailError:
                failures += 1
            else:
                done += 1
                if isMended:
                    made += 1
                    self.moved += 1
                    settled(1)

        def goesOn() -> bool:
            return failures < FAILURES_MAX and isCurrent()

        await self._each(number, lacking, one, goesOn, pauseSeconds, most)
        if failures >= FAILURES_MAX:
            self._places[number] = last
        return made, done

    async def restore(self, number: int, node: int, isCurrent: Callable[[], bool]) -> None:
        """Put again what a node has lost of a bucket's bodies."""

        async def one(bodyId: bytes) -> None:
            try:
                self.moved += await self._repair.replace(number, bodyId, node)
            except JindimailError:
                return  # the next pass of repairs, or the scrub, sees to it

        everything = Wanted(candidates=(), copies=0, isLost=lambda keeper: keeper == node)
        lacking = (await self.survey(number, everything)).lacking
        await self._each(number, lacking, one, isCurrent, PAUSE_SECONDS, BODIES_AT_ONCE)

    async def _each(
        self,
        number: int,
        bodyIds: Sequence[bytes],
        work: Callable[[bytes], Coroutine[Deferred[Any], Any, None]],
        goesOn: Callable[[], bool],
        pauseSeconds: float,
        most: int,
    ) -> None:
        """Do some work for each of a bucket's bodies, for as many at a time as this node's load lets it."""
        left = deque(bodyIds)
        large = DeferredLock()

        async def some(place: int) -> None:
            while left and goesOn():
                if place >= atOnce(self._load(), most, 1):
                    await self._pause(WAIT_SECONDS)
                    continue
                bodyId = left.popleft()
                if self._isLarge(number, bodyId):
                    await large.run(work, bodyId)
                else:
                    await work(bodyId)
                await self._pause(pauseSeconds)

        places = range(min(most, len(left)))
        await gatherResults([Deferred.fromCoroutine(some(place)) for place in places], consumeErrors=True)

    def _isLarge(self, number: int, bodyId: bytes) -> bool:
        record = self._record(number, bodyId)
        return record is not None and record.size > LARGE_OCTETS

    def _owed(self, number: int, bodyId: bytes, wanted: Wanted) -> int:
        record = self._record(number, bodyId)
        return 0 if record is None else max(0, wanted.copies - len(wanted.live(record)))

    def _record(self, number: int, bodyId: bytes) -> BodyrefRecord | None:
        with self._store.read() as rows:
            return bodyref(rows, number, bodyId)

    async def replace(self, number: int, bodyId: bytes, node: int) -> bool:
        """
        A keeper's copy was found damaged or missing, as somebody says: look, and put it anew; whether it was so.

        @raise Unavailable: it could not be done now.
        """
        try:
            wasDamaged = await self._repair.replace(number, bodyId, node)
        except Corrupt:
            self._tellLost(number, bodyId)
            return True
        if wasDamaged:
            self._events.add("bodyMended", bucket=number, body=bodyId.hex(), at=node)
        return wasDamaged

    def _tellLost(self, number: int, bodyId: bytes) -> None:
        """No sound copy of a body is left: whoever asks for it again finds so again; told of it is once, lest nothing else be among the events."""
        if len(self._lost) >= LOST_MAX:
            self._lost.clear()
        if (number, bodyId) not in self._lost:
            self._lost.add((number, bodyId))
            self._events.add("bodyLost", bucket=number, body=bodyId.hex())

    async def _pause(self, seconds: float) -> None:
        await deferLater(self._clock, seconds + LOADED_PAUSE_SECONDS * min(1.0, self._load()))
