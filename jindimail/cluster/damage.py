"""
Damaged copies of bodies: who finds one tells the bucket's leader, who mends it; and the scrub that looks for them (design §6).

The scrub reads every body that this node is said to keep, within a month by default: what its records name is there, and has the right digest. It keeps
to a timetable by bucket, which the calendar gives, so that a node that is started anew every week comes to all of them, too; and catches up a little at a
time, so that it is never noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.ground import Ground
from jindimail.cluster.mending import Mending
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.usermap import UserMap
from jindimail.errors import Corrupt, JindimailError
from jindimail.interfaces import IStore
from jindimail.model import bucketGroup
from jindimail.store.bodies import verify
from jindimail.store.keys import BODYREF, bodyrefKey, bucketKey, unpackBodyKey
from jindimail.store.records import BodyrefRecord, decode

DAMAGED = "body.damaged"
TELL_SECONDS = 10.0
REPORTS_MAX = 64  # under way; what is beyond is found again
LOOK_SECONDS = 1.0
OCTETS_A_LOOK = 4 << 20
BODIES_A_LOOK = 200
DAY_SECONDS = 86_400
_YES = b"1"  # it was damaged


class Damaged(msgspec.Struct, frozen=True, array_like=True):
    """A copy that is not what it should be."""

    bucket: int
    bodyId: bytes
    node: int


class Damage:
    """Reports of damage, to the leaders that mend it."""

    def __init__(self, ground: Ground, *, mending: Mending, counters: BucketCounters) -> None:
        self._counters = counters
        self._links = ground.links
        self._groups = ground.groups
        self._userMap = ground.userMap
        self._events = ground.events
        self._mending = mending
        self._underWay: set[Damaged] = set()
        ground.links.serve(DAMAGED, self._told)

    def report(self, bucket: int, bodyId: bytes, node: int) -> None:
        """
        A node's copy of a body was found damaged or missing. That is news only if the leader finds so, too: this node's replica may be behind, and the
        message expunged.
        """
        damaged = Damaged(bucket, bodyId, node)
        if damaged in self._underWay or len(self._underWay) >= REPORTS_MAX:
            return
        self._underWay.add(damaged)
        telling = Deferred.fromCoroutine(self._tell(damaged))
        telling.addErrback(lambda failure: failure.trap(JindimailError) and None)
        telling.addBoth(lambda _: self._underWay.discard(damaged))

    async def _tell(self, damaged: Damaged) -> None:
        group = bucketGroup(damaged.bucket)
        leader = self._groups.leaderOf(group) or self._userMap.membersOf(group)[0]
        payload = msgspec.msgpack.encode(damaged)
        if await self._links.call(leader, DAMAGED, payload, TELL_SECONDS) == _YES:
            self._counters.damaged += 1
            self._events.add("bodyDamaged", bucket=damaged.bucket, body=damaged.bodyId.hex(), at=damaged.node)

    async def _told(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        try:
            damaged = msgspec.msgpack.decode(payload, type=Damaged)
        except msgspec.MsgspecError as problem:
            raise Corrupt("no report of damage") from problem
        isDamaged = await self._mending.damaged(damaged.bucket, damaged.bodyId, damaged.node)
        return _YES if isDamaged else b""


class Scrub:
    """
    One node's scrub.

    @ivar read: bodies that were looked at since this node started.
    @ivar place: the bucket that it is at.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        userMap: UserMap,
        buckets: int,
        report: Callable[[int, bytes, int], Any],
        seconds: Callable[[], float],
    ) -> None:
        """@param seconds: the wall clock, by which the timetable goes on over a restart."""
        self._clock = clock
        self._seconds = seconds
        self._store = store
        self._userMap = userMap
        self._count = buckets
        self._report = report
        self._begunAt = clock.seconds()
        self._after = b""
        self._isHurried = False
        self._pulse = Pulse(clock, LOOK_SECONDS, self.look)
        self.place = 0
        self.read = 0

    def start(self) -> None:
        """Begin at the bucket whose time it is."""
        passed = self._seconds() % self._round()
        self._begunAt = self._clock.seconds() - passed
        self.place = int(passed / self._round() * self._count)
        self._pulse.start()

    def stop(self) -> None:
        """End."""
        self._pulse.stop()

    def hurry(self) -> None:
        """This node may have lost bodies: look at all of them now, as fast as is bearable."""
        self.place, self._after = 0, b""
        self._begunAt = self._clock.seconds()
        self._isHurried = True

    def look(self) -> None:
        """Look at some bodies, if the timetable says so."""
        round_ = self._round()
        if self.place >= self._count:
            self._isHurried = False
            if self._clock.seconds() - self._begunAt < round_:
                return
            self.place, self._begunAt = 0, self._clock.seconds()
        octets = bodies = 0
        while octets < OCTETS_A_LOOK and bodies < BODIES_A_LOOK:
            due = (self._clock.seconds() - self._begunAt) / round_ * self._count
            if self.place >= self._count or (self.place > due and not self._isHurried):
                return
            octets += self._next()
            bodies += 1

    def _round(self) -> float:
        return self._userMap.settings.scrubDays * DAY_SECONDS

    def _next(self) -> int:
        """Look at the next body; how many octets that took."""
        bucket = self.place
        with self._store.read() as rows:
            start = bodyrefKey(bucket, self._after) + b"\0" if self._after else bucketKey(bucket)
            row = next(iter(rows.scan(BODYREF, start, bucketKey(bucket + 1))), None)
            if row is None:
                self.place, self._after = bucket + 1, b""
                return 0
            self._after = unpackBodyKey(row[0])[1]
            record = decode(row[1], BodyrefRecord)
            if self._userMap.node not in record.keepers:
                return 0
            self.read += 1
            try:
                verify(rows, bucket, self._after, record.size, record.digest)
            except Corrupt:
                self._report(bucket, self._after, self._userMap.node)
        return record.size
