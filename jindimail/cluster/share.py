"""
This node's share in the array, put together bottom up: groups, copies, user map, buckets.

The stack of a running node and the tests of whole arrays in memory build the same one; what differs is passed in: the store, the links, time
and chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.buckets import Buckets
from jindimail.cluster.comparing import Comparing
from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.damage import Damage, Scrub
from jindimail.cluster.delivering import Delivering
from jindimail.cluster.elsewhere import Elsewhere, IWire
from jindimail.cluster.events import Events
from jindimail.cluster.followers import Followers
from jindimail.cluster.gossip import Gossip
from jindimail.cluster.governing import Governing
from jindimail.cluster.load import Report
from jindimail.cluster.mending import Mending
from jindimail.cluster.operations import Operations
from jindimail.cluster.placing import Placing
from jindimail.cluster.reading import Reading
from jindimail.cluster.recovery import Recovery
from jindimail.cluster.rejoining import Rejoining
from jindimail.cluster.router import Router
from jindimail.cluster.spill import candidates, spreadOf
from jindimail.cluster.stepping import Stepping
from jindimail.cluster.streams import Streams
from jindimail.cluster.subscriptions import Subscriptions
from jindimail.cluster.sweeping import Sweeping
from jindimail.cluster.tending import Tending
from jindimail.cluster.usermap import UserMap
from jindimail.interfaces import ILinks, IStateMachine, IStore
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT
from jindimail.replication.copies import Copies
from jindimail.replication.driver import Groups, placeInMemory
from jindimail.replication.nodemessages import (
    AskBody,
    AskKept,
    BodyPut,
    PutBody,
    TellBody,
    TellKept,
    TellTopics,
)
from jindimail.replication.outputs import Settings
from jindimail.replication.repair import IBodyEntries, Repair
from jindimail.replication.sweep import Sweep
from jindimail.replication.transfers import SnapshotPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    How far the array is.

    @ivar missing: groups that do not have the members that are wished for.
    @ivar owed: copies that bodies lack.
    @ivar moved: bodies that were repaired or moved since the nodes started.
    @ivar silent: nodes of which nothing was heard lately, so that they are not counted.
    """

    missing: int
    owed: int
    moved: int
    silent: tuple[int, ...]


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
        self._peers = peers
        self.gossip = Gossip(
            clock=clock,
            store=store,
            groups=self.groups,
            userMap=self.userMap,
            seconds=seconds or clock.seconds,
            cpuSeconds=cpuSeconds,
            freeShare=freeShare,
            describe=self._described,
        )
        self._keepBodies(clock, store, bodyEntries, seconds or clock.seconds, len(numbers) - 1)
        self._tend(clock, store, machine, seconds or clock.seconds, numbers)

    def _keepBodies(
        self,
        clock: IReactorTime,
        store: IStore,
        entries: IBodyEntries,
        seconds: Callable[[], float],
        buckets: int,
    ) -> None:
        """What restores, mends and sweeps copies of bodies."""
        groups, userMap, node = self.groups, self.userMap, self.links.node
        self.sweep = Sweep(
            groups=groups, store=store, copies=self.copies, entries=entries, node=node, send=groups.send
        )
        groups.attend((AskKept, TellKept), self.sweep.received)
        self.mending = Mending(
            clock=clock,
            groups=groups,
            userMap=userMap,
            events=self.events,
            repair=Repair(groups=groups, store=store, copies=self.copies, entries=entries, node=node),
            candidates=self.candidates,
            load=self.gossip.ownLoad,
            seconds=seconds,
        )
        self.damage = Damage(
            links=self.links, groups=groups, userMap=userMap, events=self.events, mending=self.mending
        )
        self.reading.damaged.append(self.damage.report)
        self._sweeping = Sweeping(
            clock=clock,
            groups=groups,
            userMap=userMap,
            events=self.events,
            sweep=self.sweep,
            buckets=buckets,
            seconds=seconds,
        )
        self.scrub = Scrub(
            clock=clock, store=store, userMap=userMap, buckets=buckets, report=self.damage.report
        )

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
        self.reading = Reading(links=links, copies=self.copies, counters=self.counters)
        return Buckets(
            groups=groups,
            store=store,
            machine=machine,
            node=links.node,
            incarnation=incarnation,
            elsewhere=elsewhere,
            delivering=delivering,
            reading=self.reading,
            isOver=self._isOver,
            followers=followers,
            level=lambda: self.userMap.level,
        )

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
            reports=self.gossip.fresh,
        )
        self.rejoining = Rejoining(
            clock=clock,
            store=store,
            links=self.links,
            groups=self.groups,
            userMap=self.userMap,
            events=self.events,
            numbers=numbers,
            peers=self._peers,
            renounced=lambda group, node: self.mending.doubt(group - 1, node),
            finished=self.scrub.hurry,
        )
        self._parts = (
            self._tending,
            self.rejoining,
            self._stepping,
            self._governing,
            self.gossip,
            self.mending,
            self._sweeping,
            self.scrub,
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

    def progress(self) -> Progress:
        """How far the array is with what it has to do, as far as is known here."""
        reports = self.gossip.fresh().values()
        return Progress(
            missing=sum(report.missing for report in reports),
            owed=sum(report.owed for report in reports),
            moved=sum(report.moved for report in reports),
            silent=tuple(sorted(set(self.userMap.living()) - {report.node for report in reports})),
        )

    def _described(self, report: Report) -> Report:
        """What this node adds to what it measures of itself."""
        return replace(
            report,
            led=len(self._stepping.led),
            missing=self._stepping.missing,
            owed=self.mending.owed,
            moved=self.mending.moved,
            holding=tuple((node, self._needs(node)) for node in self.userMap.draining()),
            revision=self.groups.appliedIndex(ARRAY_GROUP) or 0,
        )

    def _needs(self, node: int) -> int:
        """How many groups that are led here still need a node that is to be emptied."""
        return self._stepping.needs(node) + self.mending.needs(node)

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
