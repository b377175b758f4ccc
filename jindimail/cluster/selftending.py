"""What makes the array tend itself at one node, put together: it follows group 0, carries wishes out, governs where it leads, and tells how it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from jindimail.cluster.gossip import Gossip
from jindimail.cluster.governing import Governing
from jindimail.cluster.ground import Ground
from jindimail.cluster.keeping import Keeping
from jindimail.cluster.load import Report
from jindimail.cluster.placing import Placing
from jindimail.cluster.rejoining import Rejoining
from jindimail.cluster.stepping import Stepping
from jindimail.cluster.tending import Tending
from jindimail.model import ARRAY_GROUP


class SelfTending:
    """
    All of it.

    @ivar parts: what is to be started and stopped.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        gossip: Gossip,
        keeping: Keeping,
        peers: Callable[[], Iterable[int]],
        placing: Placing,
    ) -> None:
        """See the parts."""
        clock, store, groups = ground.clock, ground.store, ground.groups
        userMap, events = ground.userMap, ground.events
        self._groups = groups
        self._userMap = userMap
        self._mending = keeping.mending
        self._placing = placing
        tending = Tending(clock=clock, store=store, groups=groups, userMap=userMap, events=events)
        self._stepping = Stepping(
            clock=clock, groups=groups, userMap=userMap, events=events, load=gossip.ownLoad
        )
        governing = Governing(
            clock=clock,
            groups=groups,
            machine=ground.machine,
            userMap=userMap,
            events=events,
            refresh=tending.refresh,
            seconds=ground.seconds,
            numbers=ground.numbers,
            reports=gossip.fresh,
            downSeconds=keeping.downtime.of,
        )
        self.rejoining = Rejoining(
            clock=clock,
            store=store,
            links=ground.links,
            groups=groups,
            userMap=userMap,
            events=events,
            numbers=ground.numbers,
            peers=peers,
            renounced=lambda group, node: self._mending.doubt(group - 1, node),
            finished=keeping.scrub.hurry,
        )
        gossip.describe = self._described
        self.parts = (tending, self.rejoining, self._stepping, governing, gossip, *keeping.parts)

    def _described(self, report: Report) -> Report:
        """What this node adds to what it measures of itself."""
        return replace(
            report,
            led=len(self._stepping.led),
            missing=self._stepping.missing,
            owed=self._mending.owed,
            moved=self._mending.moved,
            holding=tuple((node, self._needs(node)) for node in self._userMap.draining()),
            revision=self._groups.appliedIndex(ARRAY_GROUP),
        )

    def _needs(self, node: int) -> int:
        """How many groups that are led here, and deliveries to them, still need a node that is to be emptied."""
        return self._stepping.needs(node) + self._mending.needs(node) + self._placing.needs(node)
