"""
Bodies get their keepers, then the entry that names them is proposed: the leader's side of a delivery (design §6).

An entry names only nodes whose copy is durable before it is proposed. The leader is the first choice, then the node that the mail came in at,
which keeps its copy while the octets travel and tells the leader when it is durable. With fewer nodes that answer than copies are
wanted, the delivery waits until the array has agreed that the missing ones are down, and goes on with what is possible then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.taken import requireFree, requireSame
from jindimail.cluster.usermap import UserMap
from jindimail.errors import OutcomeUnknown, Unavailable
from jindimail.interfaces import IGroups, ILinks, IStateMachine, IStore
from jindimail.model import bucketGroup
from jindimail.replication.copies import Copies, Source
from jindimail.replication.repair import bodyref

PLACE_SECONDS = 8.0
CHOSEN_MAX = 10_000
FRESH_SECONDS = 1.0  # for so long the order of candidates is not thought over again: as often as nodes tell how loaded they are
HOLD_SECONDS = 2.0

Arriving = Mapping[int, "Deferred[Any]"]
Candidates = Callable[..., Sequence[int]]


class Placing:
    """
    Places bodies of buckets that are led here.

    @ivar copies: what puts them there.
    """

    def __init__(
        self,
        *,
        links: ILinks,
        groups: IGroups,
        store: IStore,
        machine: IStateMachine,
        copies: Copies,
        userMap: UserMap,
        candidates: Candidates,
        clock: IReactorTime,
        owe: Callable[[int, Sequence[int]], object],
        counters: BucketCounters,
    ) -> None:
        """
        @param candidates: the nodes that may keep a body of a bucket, the best first, of equally good ones those that are named.
        @param owe: called with a bucket and the keepers of a body that came.
        """
        self.copies = copies
        self._userMap = userMap
        self._choose = candidates
        self._clock = clock
        self._chosen: dict[
            tuple[int, ...], tuple[float, Sequence[int]]
        ] = {}  # by bucket and those to be first: until when
        self._leaving: frozenset[int] = frozenset()
        self._underWay: Counter[frozenset[int]] = Counter()  # by the nodes that were leaving when they began
        self._digests: dict[tuple[int, bytes], bytes] = {}  # of the bodies that are under way
        userMap.listen(self._mapChanged)
        self._owe = owe
        self._links = links
        self._groups = groups
        self._store = store
        self._machine = machine
        self._counters = counters

    def needs(self, node: int) -> int:
        """How many deliveries are under way that may name a node as a keeper, though it is to be emptied: those that began before that was known here."""
        return sum(count for leaving, count in self._underWay.items() if node not in leaving)

    def _mapChanged(self) -> None:
        self._chosen.clear()
        self._leaving = frozenset(self._userMap.draining())

    def _candidates(self, bucket: int, *first: int) -> Sequence[int]:
        """The nodes that may keep a body of the bucket, the best first; of equally good ones, these."""
        key, now = (bucket, *first), self._clock.seconds()
        until, chosen = self._chosen.get(key, (0.0, ()))
        if until <= now:
            if len(self._chosen) >= CHOSEN_MAX:
                self._chosen.clear()
            chosen = self._choose(bucket, first)
            self._chosen[key] = now + FRESH_SECONDS, chosen
        return chosen

    def keepsAlone(self, bucket: int) -> bool:
        """Whether this node is the only one that may keep bodies of a bucket."""
        return len(self._userMap.nodes) <= 1 or tuple(self._candidates(bucket)) == (self._links.node,)

    def mayKeep(self, bucket: int, leader: int) -> bool:
        """Whether this node, where the mail came in, is to keep a copy, although another leads."""
        node = self._links.node
        return node in self._candidates(bucket, leader, node)[: self._userMap.settings.copies]

    async def place(self, bucket: int, entry: Any, source: Source, ingress: int, arriving: Arriving) -> Any:
        """
        The outcome of a delivery, whose body is at its keepers by then.

        @param ingress: the node that the mail came in at.
        @param arriving: by node, what fires when it has its copy without being sent one from here.
        @raise Unavailable: nothing was proposed; this node does not lead the bucket (all the while), or too few keep the body.
        @raise BodyTaken: another body has its id.
        """
        self.requireFree(bucket, entry)
        requireSame(bucket, entry, self._digests.setdefault((bucket, entry.bodyId), entry.digest))
        leaving = self._leaving
        self._underWay[leaving] += 1
        try:
            return await self._placed(bucket, entry, source, ingress, arriving)
        finally:
            self._digests.pop((bucket, entry.bodyId), None)
            self._underWay[leaving] -= 1
            if not self._underWay[leaving]:
                del self._underWay[leaving]

    def requireFree(self, bucket: int, entry: Any) -> None:
        """
        As far as this node knows no other body has the id of an entry's.

        @raise BodyTaken: one has.
        """
        with self._store.read() as rows:
            requireFree(rows, bucket, entry)

    async def _placed(self, bucket: int, entry: Any, source: Source, ingress: int, arriving: Arriving) -> Any:
        group = bucketGroup(bucket)
        term = self._groups.leadingTerm(group)
        if not term:
            raise Unavailable("another node leads")
        plan = partial(self._plan, bucket, ingress)
        keepers = await self.copies.place(
            bucket, entry.bodyId, source, plan, arriving, PLACE_SECONDS, isPatient=True
        )
        if self._groups.leadingTerm(group) != term:
            # Another leader did not know of these copies, and may have let them be swept.
            raise Unavailable("this node did not lead all the while")
        self._counters.deliveries += 1
        try:
            outcome = await self._groups.propose(group, self._machine.encode(entry, keepers), mayLag=True)
        finally:  # whoever waited for it may have gone away: it is committed all the same
            self._owe(bucket, keepers)
        if getattr(outcome, "repeated", False):
            await self._holdAgain(bucket, entry.bodyId, source)
        return outcome

    def _plan(self, bucket: int, ingress: int) -> tuple[Sequence[int], int]:
        """
        The candidates, and how many of them shall keep the body.

        @raise Unavailable: there are too few.
        """
        candidates, settings = self._candidates(bucket, self._links.node, ingress), self._userMap.settings
        copies = min(settings.copies, len(candidates))
        if copies < settings.minCopies:
            raise Unavailable("too few nodes are there to keep the body")
        return self._inOrder(bucket, candidates), copies

    def _inOrder(self, bucket: int, candidates: Sequence[int]) -> list[int]:
        """
        This node, then the ingress, then the others, where they are equally good; those that do not answer last.

        A node that is back, though the array still takes it for down, is better than one that does not answer. It is not counted upon: its link
        may be up only because nobody has noticed that it is not.
        """
        node, copies = self._links.node, self.copies
        down = self._userMap.downAtHome(bucket) if self._userMap.areAnyDown else ()
        back = [each for each in down if each not in candidates and self._isLinked(each)]

        def isAway(each: int) -> bool:
            return each != node and (copies.isSlow(each) or not self._isLinked(each))

        return sorted((*candidates, *back), key=isAway)

    def _isLinked(self, node: int) -> bool:
        return node == self._links.node or self._links.isUp(node)

    async def _holdAgain(self, bucket: int, bodyId: bytes, source: Source) -> None:
        """
        Before a stored outcome is repeated: its keepers must still have the body, and get it again if they have not. Those that are away are
        asked only if nobody else has it: mending sees to them.

        @raise OutcomeUnknown: none of them could be asked.
        """
        with self._store.read() as rows:
            record = bodyref(rows, bucket, bodyId)
        if record is None:
            return  # it is gone, or nobody took it
        held = 0
        for node in sorted(record.keepers, key=self._isLinked, reverse=True):
            if held and not self._isLinked(node):
                return
            try:
                if not await self.copies.holds(node, bucket, bodyId, record.size):
                    await self.copies.place(bucket, bodyId, source, partial(_only, node), {}, HOLD_SECONDS)
                    self._counters.restored += 1
                held += 1
            except Unavailable:
                continue
        if not held:
            raise OutcomeUnknown("no keeper answers")


def _only(node: int) -> tuple[Sequence[int], int]:
    return (node,), 1
