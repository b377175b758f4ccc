"""What keeps the copies of bodies whole at one node, put together: repairs, reports of damage, sweeps and the scrub (design §6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.damage import Damage, Scrub
from jindimail.cluster.events import Events
from jindimail.cluster.mending import Mending
from jindimail.cluster.sweeping import Sweeping
from jindimail.cluster.usermap import UserMap
from jindimail.interfaces import ILinks, IStore
from jindimail.replication.copies import Copies
from jindimail.replication.driver import Groups
from jindimail.replication.nodemessages import AskKept, TellKept
from jindimail.replication.repair import IBodyEntries, Repair
from jindimail.replication.sweep import Sweep


class Keeping:
    """
    All of them.

    @ivar parts: what is to be started and stopped.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        links: ILinks,
        groups: Groups,
        copies: Copies,
        userMap: UserMap,
        events: Events,
        entries: IBodyEntries,
        candidates: Callable[[int], Sequence[int]],
        load: Callable[[], float],
        seconds: Callable[[], float],
        buckets: int,
    ) -> None:
        """See the parts."""
        node = links.node
        self.sweep = Sweep(
            groups=groups, store=store, copies=copies, entries=entries, node=node, send=groups.send
        )
        groups.attend((AskKept, TellKept), self.sweep.received)
        self.mending = Mending(
            clock=clock,
            groups=groups,
            userMap=userMap,
            events=events,
            repair=Repair(groups=groups, store=store, copies=copies, entries=entries, node=node),
            candidates=candidates,
            load=load,
            seconds=seconds,
        )
        self.damage = Damage(links=links, groups=groups, userMap=userMap, events=events, mending=self.mending)
        sweeping = Sweeping(
            clock=clock,
            groups=groups,
            userMap=userMap,
            events=events,
            sweep=self.sweep,
            buckets=buckets,
            seconds=seconds,
        )
        self.scrub = Scrub(
            clock=clock, store=store, userMap=userMap, buckets=buckets, report=self.damage.report
        )
        self.parts = (self.mending, sweeping, self.scrub)
