"""How a node reaches all buckets, wherever they are, put together: whom it asks, what it delivers, reads and follows elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jindimail.cluster.buckets import Buckets
from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.delivering import Delivering
from jindimail.cluster.elsewhere import Elsewhere, IWire
from jindimail.cluster.followers import Followers
from jindimail.cluster.ground import Ground
from jindimail.cluster.placing import Placing
from jindimail.cluster.reading import Reading
from jindimail.cluster.router import Router
from jindimail.cluster.streams import Streams
from jindimail.cluster.subscriptions import Subscriptions
from jindimail.cluster.verified import Verified
from jindimail.replication.copies import Copies
from jindimail.replication.nodemessages import TellTopics


class Reach:
    """
    All of it.

    @ivar counters: what the buckets have done.
    @ivar buckets: all buckets.
    @ivar reading: bodies, wherever they are kept.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        copies: Copies,
        wire: IWire,
        candidates: Callable[..., Sequence[int]],
        owe: Callable[[int, Sequence[int]], object],
    ) -> None:
        """See the parts."""
        self.counters = BucketCounters()
        self.router = Router(
            links=ground.links,
            groups=ground.groups,
            clock=ground.clock,
            membersOf=ground.userMap.membersOf,
            votersOf=ground.userMap.votersOf,
            counters=self.counters,
        )
        self.streams = Streams(clock=ground.clock, links=ground.links)
        followers = Followers()
        self.subscriptions = self._subscriptions(ground, followers)
        verified = Verified(clock=ground.clock, store=ground.store, links=ground.links)
        self.reading = Reading(links=ground.links, copies=copies, counters=self.counters, verified=verified)
        self.placing = self._placing(ground, copies, candidates, owe)
        self.buckets = Buckets(
            groups=ground.groups,
            store=ground.store,
            machine=ground.machine,
            node=ground.links.node,
            incarnation=ground.incarnation,
            elsewhere=self._elsewhere(ground, wire),
            delivering=self._delivering(ground, wire, self.placing),
            reading=self.reading,
            verified=verified,
            isOver=ground.isOver,
            followers=followers,
            level=lambda: ground.userMap.level,
        )

    def _elsewhere(self, ground: Ground, wire: IWire) -> Elsewhere:
        return Elsewhere(
            router=self.router,
            groups=ground.groups,
            store=ground.store,
            machine=ground.machine,
            wire=wire,
            clock=ground.clock,
            incarnation=ground.incarnation,
        )

    def _placing(
        self,
        ground: Ground,
        copies: Copies,
        candidates: Callable[..., Sequence[int]],
        owe: Callable[[int, Sequence[int]], object],
    ) -> Placing:
        return Placing(
            clock=ground.clock,
            links=ground.links,
            groups=ground.groups,
            store=ground.store,
            machine=ground.machine,
            copies=copies,
            userMap=ground.userMap,
            candidates=candidates,
            owe=owe,
            counters=self.counters,
        )

    def _delivering(self, ground: Ground, wire: IWire, placing: Placing) -> Delivering:
        return Delivering(
            groups=ground.groups,
            store=ground.store,
            machine=ground.machine,
            wire=wire,
            router=self.router,
            streams=self.streams,
            placing=placing,
        )

    def _subscriptions(self, ground: Ground, followers: Followers) -> Subscriptions:
        subscriptions = Subscriptions(
            clock=ground.clock,
            links=ground.links,
            groups=ground.groups,
            router=self.router,
            followers=followers,
            send=ground.groups.send,
        )
        ground.groups.attend((TellTopics,), subscriptions.received)
        return subscriptions

    def stop(self) -> None:
        """Take nothing more."""
        self.router.stop()
        self.streams.stop()
        self.subscriptions.stop()
