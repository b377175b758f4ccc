"""
Copies that are lost are restored, without being asked: at each bucket's leader (design §6).

A pass looks at all bodies of a bucket: first how many copies are owed, then one body after the other is mended. All led buckets have a pass when what
counts as lost changes (a node away for too long, to be emptied, gone, or new), and when this node begins to lead them, since debts are not written down;
those that owe copies have one whenever nodes come or go, and after each delivery that found too few keepers. Bodies whose keepers are no longer
home, or on one host although home is on several, move in the end, when nothing else is to be done. A few at a time, and slower the more this node is loaded: clients come first.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.cluster.downtime import DownSeconds
from jindimail.cluster.events import Events
from jindimail.cluster.mender import Mender
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.spill import apart
from jindimail.cluster.usermap import UserMap
from jindimail.errors import Unavailable
from jindimail.model import ARRAY_GROUP
from jindimail.replication.driver import Groups
from jindimail.replication.repair import Wanted
from jindimail.store.records import BodyrefRecord

LOOK_SECONDS = 1.0
BUCKETS_AT_ONCE = 2
SETTLE_SECONDS = 5.0  # after an election, before a first pass
RETRY_SECONDS = 5.0
OWING_SECONDS = 30.0  # after a delivery that found too few keepers although nobody is said to be away
HOMING_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart(Wanted):
    """What bodies shall have, new keepers on other hosts than those that stay, where there are any."""

    hostOf: Callable[[int], str]

    def fresh(self, record: BodyrefRecord) -> list[int]:
        """See `Wanted`."""
        return list(apart(Wanted.fresh(self, record), self.hostOf, self.live(record)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Homing(Apart):
    """The same for bodies that need nothing: of keepers on one host only the first counts, where another could stand on a host of its own."""

    def live(self, record: BodyrefRecord) -> tuple[int, ...]:
        """See `Wanted`."""
        kept = Wanted.live(self, record)
        byHost = {self.hostOf(node): node for node in reversed(kept)}
        if len(byHost) == len(kept) or not self._strangers(record, byHost):
            return kept
        return tuple(node for node in kept if node in byHost.values())

    def fresh(self, record: BodyrefRecord) -> list[int]:
        """See `Wanted`."""
        return self._strangers(
            record, {self.hostOf(node) for node in Wanted.live(self, record)}
        ) or Apart.fresh(self, record)

    def _strangers(self, record: BodyrefRecord, hosts: Container[str]) -> list[int]:
        """The new keepers there could be on other hosts."""
        return [node for node in Wanted.fresh(self, record) if self.hostOf(node) not in hosts]


@dataclass(frozen=True, slots=True)
class _Loss:
    """What counts as lost, and how many copies there shall be; a bucket is clean with respect to one of these."""

    nodes: frozenset[int]
    copies: int


class _Bucket:
    """A bucket that is led here."""

    __slots__ = ("clean", "doubted", "dueAt", "home", "isHome", "lost", "owed", "term")

    def __init__(self, term: int, dueAt: float) -> None:
        self.term = term
        self.dueAt: float | None = dueAt  # of the next pass
        self.clean: _Loss | None = None
        self.owed = 0
        self.lost = 0  # bodies whose keepers are all gone
        self.doubted: set[int] = set()  # nodes that have lost what they kept
        self.home: dict[int, str] = {}  # its nodes' hosts
        self.isHome = False  # whether all bodies are known to be there

    def settled(self, copies: int) -> None:
        """So many copies are owed no more: they were made, or cannot be."""
        self.owed = max(0, self.owed - copies)


class Mending:
    """The schedule of repairs at one node."""

    log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        groups: Groups,
        userMap: UserMap,
        events: Events,
        mender: Mender,
        candidates: Callable[[int], Sequence[int]],
        downSeconds: DownSeconds,
    ) -> None:
        """
        @param candidates: the nodes that may keep new bodies of a bucket, the best first.
        @param downSeconds: for how long a node has been down.
        """
        self._clock = clock
        self._groups = groups
        self._userMap = userMap
        self._events = events
        self._mender = mender
        self._candidates = candidates
        self._downSeconds = downSeconds
        self._buckets: dict[int, _Bucket] = {}
        self._running: set[int] = set()
        self._loss = _Loss(frozenset(), 0)
        self._up: frozenset[int] = frozenset()
        self._mapSeen: object = None
        self._isStopped = True
        self._pulse = Pulse(clock, LOOK_SECONDS, self._look)

    def start(self) -> None:
        """Begin."""
        self._isStopped = False
        self._pulse.start()

    def stop(self) -> None:
        """Begin no more bodies."""
        self._isStopped = True
        self._pulse.stop()

    @property
    def moved(self) -> int:
        """Bodies that were given new keepers since this node started."""
        return self._mender.moved

    @property
    def owed(self) -> int:
        """How many copies the bodies of led buckets are known to lack."""
        return sum(bucket.owed for bucket in self._buckets.values())

    def owe(self, number: int, keepers: Sequence[int]) -> None:
        """
        A body of a bucket was taken, and these keep it. Where they are too few, or some of them count as lost since they were asked to, the rest is
        owed, and seen to when there are nodes again: a pass may have looked at the bucket before the body was there.
        """
        bucket, owed = self._buckets.get(number), self._loss.copies - len(keepers)
        owed += sum(node in self._loss.nodes for node in keepers)
        if bucket is not None and owed > 0:
            bucket.owed += owed
            bucket.clean = None
            if bucket.dueAt is None:
                bucket.dueAt = self._clock.seconds() + OWING_SECONDS

    def doubt(self, number: int, node: int) -> None:
        """A node has lost what it kept: look whether it has the bodies of which it is a keeper."""
        bucket = self._buckets.get(number)
        if bucket is not None:
            bucket.doubted.add(node)
            bucket.clean = None
            self._makeDue([bucket], self._clock.seconds())

    def needs(self, node: int) -> int:
        """How many led buckets may have bodies of which a node that shall leave is a keeper."""
        return sum(
            bucket.clean is None or node not in bucket.clean.nodes for bucket in self._buckets.values()
        )

    # --- what is due

    def _look(self) -> None:
        if not self._userMap.nodes:
            return
        now = self._clock.seconds()
        self._seeLed(now)
        loss = self._lossNow()
        if loss != self._loss:
            self._loss = loss
            self._makeDue(self._buckets.values(), now)
        up = frozenset(self._userMap.upAndFull())
        if up != self._up:
            self._up = up
            self._makeDue((bucket for bucket in self._buckets.values() if bucket.owed), now)
        self._begin(now)

    def _seeLed(self, now: float) -> None:
        leading = self._groups.leading()
        for number in [number for number in self._buckets if number + 1 not in leading]:
            del self._buckets[number]
        for group, term in leading.items():
            known = self._buckets.get(group - 1)
            if group == ARRAY_GROUP:
                continue
            if known is None or known.term != term:
                self._buckets[group - 1] = _Bucket(term, now + SETTLE_SECONDS)
            elif self._mapSeen is self._userMap.nodes:
                continue
            self._seeHome(group - 1)
        self._mapSeen = self._userMap.nodes

    def _seeHome(self, number: int) -> None:
        bucket = self._buckets.get(number)
        if bucket is not None:
            members = filter(self._userMap.isFull, self._userMap.membersOf(number + 1))
            home = {node: self._userMap.hostOf(node) for node in members}
            if home != bucket.home:
                bucket.home, bucket.isHome = home, False

    def _makeDue(self, buckets: Iterable[_Bucket], now: float) -> None:
        for bucket in buckets:
            bucket.dueAt = now if bucket.dueAt is None else min(bucket.dueAt, now)

    def _lossNow(self) -> _Loss:
        nodes, settings = self._userMap.nodes, self._userMap.settings
        lost = frozenset(node for node in nodes if self._isLost(node))
        full = sum(not self._userMap.isLeaving(node) and self._userMap.isFull(node) for node in nodes)
        return _Loss(lost, min(settings.copies, max(1, full)))

    def _isLost(self, node: int) -> bool:
        """Whether a keeper does not count any more."""
        record = self._userMap.nodes.get(node)
        if record is None or self._userMap.isLeaving(node) or not record.weight:
            return True
        return self._downSeconds(node, record) >= self._userMap.settings.repairSeconds

    def _begin(self, now: float) -> None:
        """Begin passes: those that owe copies first, then those not known to be clean, then those whose bodies may not be home."""
        due = self._due(now)
        due.sort(key=lambda number: (-self._buckets[number].owed, number))
        if self._isAtRest():
            due = [number for number, bucket in self._buckets.items() if not bucket.isHome]
        for number in due:
            if len(self._running) >= BUCKETS_AT_ONCE:
                return
            if number not in self._running:
                self._running.add(number)
                bucket = self._buckets[number]
                work = Deferred.fromCoroutine(self._pass(number, bucket))
                work.addErrback(self._failed, bucket).addBoth(self._passed, number)

    def _isAtRest(self) -> bool:
        """Whether nothing is owed, and no pass has to be made: bodies that only go home keep nobody waiting."""
        return not self.owed and all(bucket.dueAt is None for bucket in self._buckets.values())

    def _due(self, now: float) -> list[int]:
        return [
            number
            for number, bucket in self._buckets.items()
            if bucket.dueAt is not None and bucket.dueAt <= now
        ]

    def _failed(self, failure: Failure, bucket: _Bucket) -> None:
        self.log.failure("a pass of repairs failed", failure)
        self._makeDue([bucket], self._clock.seconds() + RETRY_SECONDS)

    def _passed(self, _: object, number: int) -> None:
        self._running.discard(number)
        if self._due(self._clock.seconds()):
            self._pulse.soon()

    # --- a pass

    async def _pass(self, number: int, bucket: _Bucket) -> None:
        """One pass over a bucket; it comes again if anything could not be done."""
        if bucket.dueAt is None:
            bucket.isHome = await self._goHome(number, bucket)
            return
        loss, bucket.dueAt = self._loss, None
        isCurrent = partial(self._isCurrent, number, bucket)
        while bucket.doubted:
            await self._mender.restore(number, bucket.doubted.pop(), isCurrent)
        wanted = Apart(
            hostOf=self._userMap.hostOf,
            candidates=self._nodesFor(number),
            copies=loss.copies,
            isLost=lambda node: node in loss.nodes,
        )
        found = await self._mender.survey(number, wanted)
        lacking, bucket.owed = found.lacking, found.owed
        if found.lost > bucket.lost:
            self._events.add("bodiesLost", bucket=number, bodies=found.lost)
        bucket.lost = found.lost
        made, done = await self._mender.mend(number, lacking, wanted, isCurrent, bucket.settled)
        if made:
            self._events.add("copiesRepaired", bucket=number, bodies=made)
        # What was expunged meanwhile is not owed any more: count again.
        isSettled = not lacking or not bucket.owed
        if done == len(lacking) and found.after is None and isSettled:
            bucket.clean = loss if not bucket.owed else None
        else:
            self._makeDue([bucket], self._clock.seconds() + RETRY_SECONDS)

    def _isCurrent(self, number: int, bucket: _Bucket) -> bool:
        """Whether this node goes on, and leads the bucket in the same term."""
        return not self._isStopped and self._buckets.get(number) is bucket

    async def _goHome(self, number: int, bucket: _Bucket) -> bool:
        """Move bodies to home, if home is not pressed, and there to different hosts; whether all are there."""
        home = bucket.home
        nodes = [node for node in self._candidates(number)[: len(home)] if node in home]
        copies = min(self._loss.copies, len(nodes))
        if copies < self._loss.copies:
            return True  # as far as can be done now; a change of home asks again
        wanted = Homing(
            hostOf=self._userMap.hostOf,
            candidates=nodes,
            copies=copies,
            isLost=lambda node: node not in home,
        )
        found = await self._mender.survey(number, wanted)

        def goesOn() -> bool:
            return self._isCurrent(number, bucket) and self._isAtRest()

        made, done = await self._mender.mend(
            number, found.lacking, wanted, goesOn, bucket.settled, HOMING_PAUSE_SECONDS, most=1
        )
        if made:
            self._events.add("bodiesMoved", bucket=number, bodies=made)
        return found.after is None and done == len(found.lacking)

    def _nodesFor(self, number: int) -> list[int]:
        """The nodes that may be made keepers: as for new bodies, then any other that is up."""
        first = self._candidates(number)
        up = self._userMap.upAndFull()
        return [node for node in first if node in up] + [node for node in up if node not in first]

    # --- damage

    async def damaged(self, number: int, bodyId: bytes, node: int) -> bool:
        """
        A keeper's copy was found damaged or missing, as somebody says: this node leads the bucket and looks for itself; whether it was.

        @raise Unavailable: this node does not lead, or it could not be done now.
        """
        if not self._groups.leadingTerm(number + 1):
            raise Unavailable("another node leads")
        return await self._mender.replace(number, bodyId, node)
