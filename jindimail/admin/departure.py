"""A node that stops leaves the array in order: others lead what it led, and know that it is down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from jindimail.cluster.arrayentries import SetNode
from jindimail.cluster.arrayrecords import DOWN, UP
from jindimail.cluster.share import Share

HAND_OVER_SECONDS = 3.0
GOODBYE_SECONDS = 0.5
HAND_OVERS_AT_ONCE = 8  # their elections are held together: the fewer, the shorter does each group wait
SUCCESSION_SECONDS = 0.5  # for one group's successor; then the next has its turn
SUCCESSION_LOOK_SECONDS = 0.005


class Departure:
    """One node's."""

    _log = Logger()

    def __init__(self, *, clock: IReactorTime, seconds: Callable[[], float], share: Share) -> None:
        """@param seconds: the wall clock."""
        self._clock = clock
        self._seconds = seconds
        self._share = share

    async def leave(self) -> None:
        """
        Let other nodes lead what this one leads, where they can, and tell the array that this node is down: nobody has to find out
        by its silence. Each within a bound.
        """
        if not any(map(self._share.links.isUp, self._share.userMap.living())):
            return
        await self._handOver()
        if self._share.userMap.nodes[self._share.links.node].state != UP:
            return
        down = SetNode(seconds=int(self._seconds()), node=self._share.links.node, was=UP, state=DOWN)
        told: Deferred[Any] = self._share.buckets.propose(None, down)
        told.addErrback(lambda _: self._log.info("the array was not told that this node stops"))
        late = deferLater(self._clock, GOODBYE_SECONDS, lambda: None)
        await DeferredList([told, late], fireOnOneCallback=True)  # what is cancelled would be tried again
        late.addErrback(lambda _: None).cancel()

    async def _handOver(self) -> None:
        until = self._clock.seconds() + HAND_OVER_SECONDS
        waiting = deque(self._share.groups.groups())
        asked: dict[int, float] = {}  # groups, and when
        while (waiting or asked) and (now := self._clock.seconds()) < until:
            for group, since in list(asked.items()):
                if not self._share.groups.leadingTerm(group) or now - since > SUCCESSION_SECONDS:
                    del asked[group]
            while waiting and len(asked) < HAND_OVERS_AT_ONCE:
                group = waiting.popleft()
                if self._askToLead(group):
                    asked[group] = now
            await deferLater(self._clock, SUCCESSION_LOOK_SECONDS)

    def _askToLead(self, group: int) -> bool:
        """Whether another node was asked to lead a group that this one leads."""
        status = self._share.groups.status(group) if self._share.groups.leadingTerm(group) else None
        if status is None:
            return False
        wish = self._share.userMap.wish(group)
        preferred = wish.voters if wish is not None else ()
        able = [
            node
            for _, node, isVoter, isWitness in status.members
            if isVoter and not isWitness and node != self._share.links.node and self._share.links.isUp(node)
        ]
        if not able:
            return False
        self._share.groups.transfer(group, min(able, key=lambda node: (node not in preferred[:1], node)))
        return True
