"""What keeps the copies of bodies whole at one node, put together: repairs, reports of damage, sweeps and the scrub (design §6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.damage import Damage, Scrub
from jindimail.cluster.downtime import Downtime
from jindimail.cluster.ground import Ground
from jindimail.cluster.mender import Mender
from jindimail.cluster.mending import Mending
from jindimail.cluster.sweeping import Sweeping
from jindimail.replication.copies import Copies
from jindimail.replication.nodemessages import AskKept, TellKept
from jindimail.replication.repair import IBodyEntries, Repair
from jindimail.replication.sweep import Sweep


class Keeping:
    """
    All of them.

    @ivar downtime: for how long nodes have been down.
    @ivar parts: what is to be started and stopped.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        copies: Copies,
        entries: IBodyEntries,
        candidates: Callable[[int], Sequence[int]],
        load: Callable[[], float],
        counters: BucketCounters,
    ) -> None:
        """See the parts."""
        clock, store, groups, node = ground.clock, ground.store, ground.groups, ground.links.node
        userMap, events, buckets = ground.userMap, ground.events, len(ground.numbers) - 1
        self.downtime = Downtime(steady=clock.seconds, seconds=ground.seconds)
        self.sweep = Sweep(
            groups=groups, store=store, copies=copies, entries=entries, node=node, send=groups.send
        )
        groups.attend((AskKept, TellKept), self.sweep.received)
        repair = Repair(groups=groups, store=store, copies=copies, entries=entries, node=node)
        self.mending = Mending(
            clock=clock,
            groups=groups,
            userMap=userMap,
            events=events,
            mender=Mender(clock=clock, store=store, repair=repair, events=events, load=load),
            candidates=candidates,
            downSeconds=self.downtime.of,
        )
        self.damage = Damage(ground, mending=self.mending, counters=counters)
        sweeping = Sweeping(
            clock=clock,
            groups=groups,
            userMap=userMap,
            events=events,
            sweep=self.sweep,
            buckets=buckets,
            seconds=ground.seconds,
        )
        self.scrub = Scrub(
            clock=clock,
            store=store,
            userMap=userMap,
            buckets=buckets,
            report=self.damage.report,
            seconds=ground.seconds,
        )
        self.parts = (self.mending, sweeping, self.scrub)
