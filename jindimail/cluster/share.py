"""
This node's share in the array, put together bottom up: groups, copies, user map, buckets.

The stack of a running node and the tests of whole arrays in memory build the same one; what differs is passed in: the store, the links, time
and chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from jindimail.cluster.comparing import Comparing
from jindimail.cluster.elsewhere import IWire
from jindimail.cluster.foretelling import Foretelling
from jindimail.cluster.gossip import Gossip
from jindimail.cluster.ground import Ground
from jindimail.cluster.keeping import Keeping
from jindimail.cluster.operations import Operations
from jindimail.cluster.reach import Reach
from jindimail.cluster.recovery import Recovery
from jindimail.cluster.selftending import SelfTending
from jindimail.cluster.spill import apart, candidates, homeOf, spreadOf
from jindimail.errors import Unavailable
from jindimail.model import ARRAY_GROUP
from jindimail.replication.copies import Copies
from jindimail.replication.nodemessages import (
    AskBody,
    BodyPut,
    PutBody,
    TellBody,
)
from jindimail.replication.repair import IBodyEntries


class IOwnEntries(IBodyEntries, Protocol):
    """The entries that the array itself makes, though they are of the mail layer's kinds."""

    def renewUidValidities(self, floor: int) -> Any:
        """Give a bucket's mailboxes UIDVALIDITYs above a floor, some at a time; its outcome says how many `remaining`."""
        ...


class Share:
    """
    What a node has of the array, and does for it.

    @ivar groups: its replicas.
    @ivar buckets: all buckets, wherever they are.
    @ivar reading: bodies, wherever they are kept.
    @ivar events: what happened to the array, as seen here.
    @ivar counters: what its buckets have done.
    @ivar operations: what operators ask of the array.
    @ivar gossip: what nodes say of themselves.
    @ivar mending, sweep, scrub, damage: what keeps the copies of bodies whole.
    @ivar comparing: what `jindictl check --cluster` asks of all nodes.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        wire: IWire,
        bodyEntries: IOwnEntries,
        arrayId: bytes = bytes(16),
        cpuSeconds: Callable[[], float] = lambda: 0.0,
        waitedSeconds: Callable[[], float] = lambda: 0.0,
        freeShare: Callable[[], float] = lambda: 1.0,
        commits: Callable[[], tuple[int, int]] = lambda: (0, 0),
        peers: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        """
        @param wire: entries, queries, answers and outcomes as octets (`jindimail.mailbox.wire`).
        @param bodyEntries: the entries about bodies, encoded (`jindimail.mailbox.bodyentries`).
        @param cpuSeconds: the processor time that this process has taken (`time.process_time`).
        @param waitedSeconds: for how long its reactor has waited for the processor.
        @param freeShare: of the store's disk.
        @param commits: this node's incarnation, and how many commits its store has seen.
        @param peers: the other nodes, as far as they are known before the array has been heard.
        """
        self._ground = ground
        self.links, self.events = ground.links, ground.events
        self.userMap, self.groups = ground.userMap, ground.groups
        self.copies = self._copies(ground)
        self.gossip = Gossip(
            clock=ground.clock,
            store=ground.store,
            groups=ground.groups,
            userMap=ground.userMap,
            seconds=ground.seconds,
            cpuSeconds=cpuSeconds,
            waitedSeconds=waitedSeconds,
            freeShare=freeShare,
            commits=commits,
        )
        self._reachAll(wire)
        self._operate(bodyEntries, arrayId)
        self._tend(bodyEntries, peers)

    def _copies(self, ground: Ground) -> Copies:
        groups = ground.groups
        copies = Copies(
            clock=ground.clock,
            store=ground.store,
            node=ground.links.node,
            send=groups.send,
            isGone=ground.userMap.isGone,
        )
        groups.attend((PutBody, BodyPut, AskBody, TellBody), copies.received)
        ground.links.listen(lambda node, isUp: None if isUp else copies.lost(node))
        return copies

    def _reachAll(self, wire: IWire) -> None:
        reach = self._reach = Reach(
            self._ground,
            copies=self.copies,
            wire=wire,
            candidates=self.candidates,
            owe=lambda bucket, keepers: self.mending.owe(bucket, keepers),
        )
        self.counters, self.router, self.subscriptions = reach.counters, reach.router, reach.subscriptions
        self.reading, self.buckets = reach.reading, reach.buckets

    def _operate(self, entries: IOwnEntries, arrayId: bytes) -> None:
        """What operators may ask."""
        ground = self._ground
        self.comparing = Comparing(
            clock=ground.clock, groups=ground.groups, links=ground.links, place=ground.place
        )
        self.operations = Operations(
            node=ground.links.node,
            arrayId=arrayId,
            propose=partial(self.buckets.propose, None),
            read=ground.store.read,
            seconds=ground.seconds,
            draw=ground.draw,
        )
        self.foretelling = Foretelling(
            clock=ground.clock,
            links=ground.links,
            store=ground.store,
            groups=ground.groups,
            machine=ground.machine,
            userMap=ground.userMap,
        )
        self.operations.recovery = Recovery(
            clock=ground.clock,
            store=ground.store,
            links=ground.links,
            groups=ground.groups,
            userMap=ground.userMap,
            events=ground.events,
            foretelling=self.foretelling,
            numbers=ground.numbers,
            propose=self.buckets.propose,
            renewal=entries.renewUidValidities,
            seconds=ground.seconds,
        )

    def _tend(self, entries: IBodyEntries, peers: Callable[[], Iterable[int]]) -> None:
        """What makes the array tend itself."""
        keeping = Keeping(
            self._ground,
            copies=self.copies,
            entries=entries,
            candidates=self.candidates,
            load=self.gossip.ownLoad,
            counters=self.counters,
        )
        self.mending, self.damage = keeping.mending, keeping.damage
        self.sweep, self.scrub = keeping.sweep, keeping.scrub
        self.reading.damaged.append(self.damage.report)
        tending = SelfTending(
            self._ground, gossip=self.gossip, keeping=keeping, peers=peers, placing=self._reach.placing
        )
        self.rejoining = tending.rejoining
        self._parts = (*tending.parts, self.operations.recovery.validities)

    def candidates(self, bucket: int, first: Sequence[int] = ()) -> tuple[int, ...]:
        """The nodes to ask to keep a new body of a bucket, the best first (`spill`); of equally good ones of its home, `first`."""
        home = homeOf(bucket, self.userMap.home(bucket), first)
        others = [node for node in self.userMap.upAndFull() if node not in home]
        weights = {node: record.weight for node, record in self.userMap.nodes.items()}
        spread = spreadOf(bucket, others, self.userMap.settings.spread)
        found = candidates(home, spread, self.gossip.fresh(), weights, self._ground.draw)
        return apart(found, self.userMap.hostOf)

    async def catchUp(self) -> None:
        """
        Wait until this node's rows of the array's own group hold all that was acknowledged anywhere before; at most a second: where no
        majority can be asked, they stay what they are.
        """
        with suppress(Unavailable):
            await self.buckets.confirm(ARRAY_GROUP)

    def hearsMajority(self) -> bool:
        """Whether so many nodes are heard that the array can agree on anything; without them all that is known of it here may be old."""
        return self.router.hearing.mayAgree(ARRAY_GROUP)

    def start(self) -> Deferred[None]:
        """Load the groups; the Deferred fires when what they had is applied. From then on the array tends itself."""
        return self.groups.start().addCallback(self._started)

    def _started(self, _: None) -> None:
        for part in self._parts:
            part.start()

    def untend(self) -> None:
        """Leave the array as it is from now on: follow, say and move nothing."""
        for part in reversed(self._parts):
            part.stop()

    def stop(self) -> Deferred[None]:
        """Take nothing more; the Deferred fires when everything taken is durable, or failed."""
        self._reach.stop()
        self.untend()
        return self.groups.stop()
