"""What all parts of a node's share in the array stand on: its replicas, its links, what it knows of the array, clocks and chance."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.events import Events
from jindimail.cluster.usermap import UserMap
from jindimail.interfaces import ILinks, IStateMachine, IStore
from jindimail.model import BUCKET_COUNT
from jindimail.replication.driver import Groups
from jindimail.replication.outputs import Settings
from jindimail.replication.transfers import SnapshotPlace, placeInMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """
    For those who put parts together; the parts themselves are given what they need of it.

    @ivar draw: gives an integer between its arguments, both included.
    @ivar seconds: the wall clock.
    @ivar numbers: of all groups of the array.
    @ivar place: where snapshots are made.
    @ivar events: what happened to the array, as seen here.
    @ivar groups: the node's replicas.
    """

    clock: IReactorTime
    store: IStore
    machine: IStateMachine
    links: ILinks
    incarnation: int
    draw: Callable[[int, int], int]
    seconds: Callable[[], float]
    numbers: Collection[int]
    place: SnapshotPlace
    events: Events
    userMap: UserMap
    groups: Groups

    def isOver(self, node: int, incarnation: int) -> bool:
        """Whether an incarnation of a node is known to have ended."""
        isAway = bool(self.userMap.nodes) and self.userMap.isAway(node)
        return isAway or self.links.incarnationOf(node) > incarnation


def layGround(
    *,
    clock: IReactorTime,
    store: IStore,
    machine: IStateMachine,
    links: ILinks,
    incarnation: int,
    draw: Callable[[int, int], int],
    settings: Settings | None = None,
    place: SnapshotPlace | None = None,
    seconds: Callable[[], float] | None = None,
    numbers: Collection[int] = range(BUCKET_COUNT + 1),
) -> Ground:
    """
    The ground of a node, whose replicas are heard over its links from now on.

    @param place: without it, snapshots are made in memory.
    @param seconds: without it, `clock` is the wall clock.
    """
    groups = Groups(
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
    links.attend(groups.received, groups.receivedBulk)
    return Ground(
        clock=clock,
        store=store,
        machine=machine,
        links=links,
        incarnation=incarnation,
        draw=draw,
        seconds=seconds or clock.seconds,
        numbers=numbers,
        place=place or placeInMemory(store),
        events=Events(node=links.node, seconds=seconds or clock.seconds),
        userMap=UserMap(links.node),
        groups=groups,
    )
