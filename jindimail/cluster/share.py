"""
This node's share in the array, put together bottom up: groups, copies, user map, buckets.

The stack of a running node and the tests of whole arrays in memory build the same one; what differs is passed in: the store, the links, time
and chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.buckets import Buckets
from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.elsewhere import Elsewhere, IWire
from jindimail.cluster.events import Events
from jindimail.cluster.governing import Governing
from jindimail.cluster.operations import Operations
from jindimail.cluster.router import Router
from jindimail.cluster.stepping import Stepping
from jindimail.cluster.tending import Tending
from jindimail.cluster.usermap import UserMap
from jindimail.interfaces import ILinks, IStateMachine, IStore
from jindimail.model import BUCKET_COUNT
from jindimail.replication.copies import Copies
from jindimail.replication.driver import Groups
from jindimail.replication.nodemessages import AskBody, BodyPut, PutBody, TellBody
from jindimail.replication.outputs import Settings
from jindimail.replication.transfers import SnapshotPlace


class Share:
    """
    What a node has of the array, and does for it.

    @ivar groups: its replicas.
    @ivar buckets: all buckets, wherever they are.
    @ivar events: what happened to the array, as seen here.
    @ivar counters: what its buckets have done.
    @ivar operations: what operators ask of the array.
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
        settings: Settings | None = None,
        place: SnapshotPlace | None = None,
        seconds: Callable[[], float] | None = None,
        arrayId: bytes = bytes(16),
        numbers: Collection[int] = range(BUCKET_COUNT + 1),
    ) -> None:
        """
        @param draw: gives an integer between its arguments, both included.
        @param wire: entries, queries, answers and outcomes as octets (`jindimail.mailbox.wire`).
        @param place: where snapshots are made; without it, in memory.
        @param seconds: the wall clock; without it, `clock` is one.
        @param numbers: of all groups of the array.
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
        self.copies = Copies(clock=clock, store=store, node=links.node, send=self.groups.send)
        self.groups.attend((PutBody, BodyPut, AskBody, TellBody), self.copies.received)
        self.router = Router(
            links=links,
            groups=self.groups,
            clock=clock,
            membersOf=self.userMap.membersOf,
            counters=self.counters,
        )
        elsewhere = Elsewhere(
            router=self.router,
            groups=self.groups,
            store=store,
            machine=machine,
            wire=wire,
            clock=clock,
            incarnation=incarnation,
        )
        self.buckets = Buckets(
            groups=self.groups,
            store=store,
            machine=machine,
            node=links.node,
            incarnation=incarnation,
            elsewhere=elsewhere,
        )
        self.operations = Operations(
            node=links.node,
            arrayId=arrayId,
            propose=partial(self.buckets.propose, None),
            read=store.read,
            seconds=seconds or clock.seconds,
            draw=draw,
        )
        self._tend(clock, store, machine, seconds or clock.seconds, numbers)

    def _tend(
        self,
        clock: IReactorTime,
        store: IStore,
        machine: IStateMachine,
        seconds: Callable[[], float],
        numbers: Collection[int],
    ) -> None:
        """What makes the array tend itself."""
        self._tending = Tending(
            clock=clock, store=store, groups=self.groups, userMap=self.userMap, events=self.events
        )
        self._stepping = Stepping(clock=clock, groups=self.groups, userMap=self.userMap, events=self.events)
        self._governing = Governing(
            clock=clock,
            groups=self.groups,
            machine=machine,
            userMap=self.userMap,
            events=self.events,
            refresh=self._tending.refresh,
            seconds=seconds,
            numbers=numbers,
            underWay=lambda: self._stepping.missing,
            leaderShare=lambda node: 1.0,
        )
        self._parts = (self._tending, self._stepping, self._governing)

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
        self.untend()
        return self.groups.stop()
