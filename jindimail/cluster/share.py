"""
This node's share in the array, put together bottom up: groups, copies, user map, buckets.

The stack of a running node and the tests of whole arrays in memory build the same one; what differs is passed in: the store, the links, time
and chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.buckets import Buckets
from jindimail.cluster.comparing import Comparing
from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.delivering import Delivering
from jindimail.cluster.elsewhere import Elsewhere, IWire
from jindimail.cluster.events import Events
from jindimail.cluster.followers import Followers
from jindimail.cluster.gossip import Gossip
from jindimail.cluster.keeping import Keeping
from jindimail.cluster.operations import Operations
from jindimail.cluster.placing import Placing
from jindimail.cluster.reading import Reading
from jindimail.cluster.recovery import Recovery
from jindimail.cluster.router import Router
from jindimail.cluster.selftending import SelfTending
from jindimail.cluster.spill import candidates, spreadOf
from jindimail.cluster.streams import Streams
from jindimail.cluster.subscriptions import Subscriptions
from jindimail.cluster.usermap import UserMap
from jindimail.cluster.verified import Verified
from jindimail.errors import Unavailable
from jindimail.interfaces import ILinks, IStateMachine, IStore
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT
from jindimail.replication.copies import Copies
from jindimail.replication.driver import Groups
from jindimail.replication.nodemessages import (
    AskBody,
    BodyPut,
    PutBody,
    TellBody,
    TellTopics,
)
from jindimail.replication.outputs import Settings
from jindimail.replication.repair import IBodyEntries
from jindimail.replication.transfers import SnapshotPlace, placeInMemory


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
        *,
        clock: IReactorTime,
        store: IStore,
        machine: IStateMachine,
        links: ILinks,
        incarnation: int,
        draw: Callable[[int, int], int],
        wire: IWire,
        bodyEntries: IOwnEntries,
        settings: Settings | None = None,
        place: SnapshotPlace | None = None,
        seconds: Callable[[], float] | None = None,
        arrayId: bytes = bytes(16),
        numbers: Collection[int] = range(BUCKET_COUNT + 1),
        cpuSeconds: Callable[[], float] = lambda: 0.0,
        freeShare: Callable[[], float] = lambda: 1.0,
        peers: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        """
        @param draw: gives an integer between its arguments, both included.
        @param wire: entries, queries, answers and outcomes as octets (`jindimail.mailbox.wire`).
        @param bodyEntries: the entries about bodies, encoded (`jindimail.mailbox.bodyentries`).
        @param place: where snapshots are made; without it, in memory.
        @param seconds: the wall clock; without it, `clock` is one.
        @param numbers: of all groups of the array.
        @param cpuSeconds: the processor time that this process has taken (`time.process_time`).
        @param freeShare: of the store's disk.
        @param peers: the other nodes, as far as they are known before the array has been heard.
        """
        self.links = links
        self.events = Events(node=links.node, seconds=seconds or clock.seconds)
        self.counters = BucketCounters()
        self.userMap = UserMap(links.node)
        self.groups = Groups(
            clock=clock,
            store=store,
            machine=machine,
            draw=draw,
            settings=settings,
            node=links.node,
            incarnation=incarnation,
            link=links.link,
            place=place,
        )
        links.attend(self.groups.received, self.groups.receivedBulk)
        self.comparing = Comparing(
            clock=clock, groups=self.groups, links=links, place=place or placeInMemory(store)
        )
        self.copies = Copies(clock=clock, store=store, node=links.node, send=self.groups.send)
        self.groups.attend((PutBody, BodyPut, AskBody, TellBody), self.copies.received)
        self.gossip = Gossip(
            clock=clock,
            store=store,
            groups=self.groups,
            userMap=self.userMap,
            seconds=seconds or clock.seconds,
            cpuSeconds=cpuSeconds,
            freeShare=freeShare,
        )
        self.router = Router(
            links=links,
            groups=self.groups,
            clock=clock,
            membersOf=self.userMap.membersOf,
            counters=self.counters,
        )
        self.streams = Streams(clock=clock, links=links)
        self.buckets = self._buckets(clock, store, machine, wire, incarnation)
        self.operations = Operations(
            node=links.node,
            arrayId=arrayId,
            propose=partial(self.buckets.propose, None),
            read=store.read,
            seconds=seconds or clock.seconds,
            draw=draw,
        )
        self.operations.recovery = Recovery(
            clock=clock,
            links=links,
            groups=self.groups,
            userMap=self.userMap,
            events=self.events,
            numbers=numbers,
            propose=self.buckets.propose,
            renewal=bodyEntries.renewUidValidities,
            seconds=seconds or clock.seconds,
        )
        self._draw = draw
        self._tend(clock, store, machine, bodyEntries, seconds or clock.seconds, numbers, peers)

    def _tend(
        self,
        clock: IReactorTime,
        store: IStore,
        machine: IStateMachine,
        entries: IBodyEntries,
        seconds: Callable[[], float],
        numbers: Collection[int],
        peers: Callable[[], Iterable[int]],
    ) -> None:
        """What makes the array tend itself."""
        keeping = Keeping(
            clock=clock,
            store=store,
            links=self.links,
            groups=self.groups,
            copies=self.copies,
            userMap=self.userMap,
            events=self.events,
            entries=entries,
            candidates=self.candidates,
            load=self.gossip.ownLoad,
            seconds=seconds,
            buckets=len(numbers) - 1,
        )
        self.mending, self.damage = keeping.mending, keeping.damage
        self.sweep, self.scrub = keeping.sweep, keeping.scrub
        self.reading.damaged.append(self.damage.report)
        tending = SelfTending(
            clock=clock,
            store=store,
            machine=machine,
            links=self.links,
            groups=self.groups,
            userMap=self.userMap,
            events=self.events,
            gossip=self.gossip,
            keeping=keeping,
            seconds=seconds,
            numbers=numbers,
            peers=peers,
        )
        self.rejoining, self._parts = tending.rejoining, tending.parts

    def _buckets(
        self,
        clock: IReactorTime,
        store: IStore,
        machine: IStateMachine,
        wire: IWire,
        incarnation: int,
    ) -> Buckets:
        """The buckets, here and elsewhere, and their bodies."""
        links, groups, userMap = self.links, self.groups, self.userMap
        elsewhere = Elsewhere(
            router=self.router,
            groups=groups,
            store=store,
            machine=machine,
            wire=wire,
            clock=clock,
            incarnation=incarnation,
        )
        placing = Placing(
            clock=clock,
            links=links,
            groups=groups,
            store=store,
            machine=machine,
            copies=self.copies,
            userMap=userMap,
            candidates=self.candidates,
            owe=lambda bucket, kept: self.mending.owe(bucket, kept),
            counters=self.counters,
        )
        delivering = Delivering(
            groups=groups,
            store=store,
            machine=machine,
            wire=wire,
            router=self.router,
            streams=self.streams,
            placing=placing,
        )
        followers = Followers()
        self.subscriptions = Subscriptions(
            clock=clock,
            links=links,
            groups=groups,
            router=self.router,
            followers=followers,
            send=groups.send,
        )
        groups.attend((TellTopics,), self.subscriptions.received)
        verified = Verified(clock=clock, store=store, links=links)
        self.reading = Reading(links=links, copies=self.copies, counters=self.counters, verified=verified)
        return Buckets(
            groups=groups,
            store=store,
            machine=machine,
            node=links.node,
            incarnation=incarnation,
            elsewhere=elsewhere,
            delivering=delivering,
            reading=self.reading,
            verified=verified,
            isOver=self._isOver,
            followers=followers,
            level=lambda: self.userMap.level,
        )

    def _isOver(self, node: int, incarnation: int) -> bool:
        """Whether an incarnation of a node is known to have ended."""
        isAway = bool(self.userMap.nodes) and self.userMap.isAway(node)
        return isAway or self.links.incarnationOf(node) > incarnation

    def candidates(self, bucket: int, first: Sequence[int] = ()) -> tuple[int, ...]:
        """The nodes to ask to keep a new body of a bucket, the best first (`spill`); of equally good ones of its home, `first`."""
        home = self.userMap.home(bucket)
        home = tuple(dict.fromkeys((*(node for node in first if node in home), *home)))
        others = [node for node in self.userMap.upAndFull() if node not in home]
        weights = {node: record.weight for node, record in self.userMap.nodes.items()}
        spread = spreadOf(bucket, others, self.userMap.settings.spread)
        return candidates(home, spread, self.gossip.fresh(), weights, self._draw)

    async def catchUp(self) -> None:
        """
        Wait until this node's rows of the array's own group hold all that was acknowledged anywhere before; at most a second: where no
        majority can be asked, they stay what they are.
        """
        with suppress(Unavailable):
            await self.buckets.confirm(ARRAY_GROUP)

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
        self.router.stop()
        self.streams.stop()
        self.subscriptions.stop()
        self.untend()
        return self.groups.stop()
