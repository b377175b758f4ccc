"""
Hearing of what happens in groups that have no replica here, from a member that tells.

A node subscribes at one member for each group that somebody here follows, and renews that every few seconds; topics come as one-way messages
with the turn's traffic. Events are only hints. So whatever makes it doubtful that all have come (a connection lost, a member gone, a gap in the count, a replica
that appears here or goes) is answered in one way: subscribe, here or elsewhere, and then call everybody who follows the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.calls import FollowAnswer, FollowCall, decodeCall, encodeCall
from jindimail.cluster.followers import Followers, Topic
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.router import Router
from jindimail.errors import Unavailable
from jindimail.interfaces import IGroups, ILinks
from jindimail.replication.nodemessages import NodeMessage, TellTopics
from jindimail.replication.status import SnapshotInstalled

FOLLOW = "follow"
RENEW_SECONDS = 2.0
LEASE_SECONDS = 10.0
ANSWER_SECONDS = 1.0
RETRY_SECONDS = 0.1
HERE = 0


class Subscriptions:
    """
    What this node hears from others, and tells them.

    @ivar sources: by followed group, the node that tells of it; HERE: this node's own replica.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        links: ILinks,
        groups: IGroups,
        router: Router,
        followers: Followers,
        send: Callable[[int, NodeMessage], None],
    ) -> None:
        self.sources: dict[int, int] = {}
        self._clock = clock
        self._links = links
        self._groups = groups
        self._router = router
        self._followers = followers
        self._send = send
        self._heard: dict[int, int] = {}  # by node, the count of its last message
        self._answered: dict[int, int] = {}  # by node, the count that it had at the last renewal
        self._leases: dict[int, dict[int, float]] = {}  # by group and node, until when
        self._told: dict[int, int] = {}  # by node, the count of the last message to it
        self._pulse = Pulse(clock, RENEW_SECONDS, self._renew)
        self._isRunning = False
        followers.wanted = self._wanted
        links.listen(self._linkChanged)
        links.serve(FOLLOW, self._subscribed)
        groups.listen(self._committed)

    def stop(self) -> None:
        """Ask nothing more."""
        self._isRunning = False
        self._pulse.stop()

    # --- hearing

    def _wanted(self, group: int) -> None:
        """Somebody begins to follow a group."""
        if self._groups.appliedIndex(group):
            self.sources[group] = HERE
        if not self._isRunning:
            self._isRunning = True
            self._pulse.start()
        elif group not in self.sources:
            self._pulse.soon()

    def _linkChanged(self, node: int, isUp: bool) -> None:
        if not isUp and node in self.sources.values():
            self._doubt(node)

    def _doubt(self, node: int) -> None:
        """What a node tells may not have come."""
        self._heard.pop(node, None)
        self._answered.pop(node, None)
        for group, source in list(self.sources.items()):
            if source == node:
                del self.sources[group]
        self._pulse.soon()

    async def _renew(self) -> None:
        """Keep a source for each followed group; again at once while there are any without."""
        shunned: set[int] = set()
        wanted = self._followers.groups()
        for group in [group for group in self.sources if group not in wanted]:
            del self.sources[group]
        while self._isRunning and wanted:
            asked = self._toAsk(wanted, shunned)
            for node, groups in asked.items():
                await self._subscribe(node, groups, shunned)
            wanted = [group for group in self._followers.groups() if group not in self.sources]
            if not asked:
                shunned.clear()
                await self._router.pause(RETRY_SECONDS)

    def _toAsk(self, wanted: Iterable[int], shunned: set[int]) -> dict[int, list[int]]:
        """Which nodes to subscribe at for which groups; those that have a replica here by now need none."""
        asked: dict[int, list[int]] = {}
        for group in wanted:
            source = self.sources.get(group)
            if self._groups.appliedIndex(group):
                self.sources[group] = HERE
                if source != HERE:
                    self._followers.tellGroup(group)
                continue
            if not source or source in shunned:
                source = next(
                    (node for node in self._router.membersInOrder(group) if node not in shunned), None
                )
            if source:
                asked.setdefault(source, []).append(group)
        return asked

    async def _subscribe(self, node: int, groups: list[int], shunned: set[int]) -> None:
        try:
            octets = await self._links.call(
                node, FOLLOW, encodeCall(FollowCall(tuple(groups))), ANSWER_SECONDS
            )
            answer: FollowAnswer = decodeCall(octets, FollowAnswer)
        except Unavailable:
            self._doubt(node)
            shunned.add(node)
            return
        isDoubtful = self._answered.get(node, 0) > self._heard.setdefault(node, answer.count)
        self._answered[node] = answer.count
        for group, index in answer.groups:
            self._router.seen.saw(group, index)
            if self.sources.get(group) != node or isDoubtful:
                self.sources[group] = node
                self._followers.tellGroup(group)
        if len(answer.groups) < len(groups):
            shunned.add(node)
            for group in set(groups).difference(group for group, _ in answer.groups):
                self.sources.pop(group, None)

    def received(self, node: int, message: NodeMessage) -> None:
        """A node tells of something."""
        if not isinstance(message, TellTopics):
            return
        before = self._heard.get(node, message.count - 1)
        self._heard[node] = max(before, message.count)
        self._router.seen.saw(message.group, message.index)
        self._router.counters.heard += len(message.topics)
        if message.count > before + 1:
            self._doubt(node)  # some between were lost
        elif message.topics:
            self._followers.tell(tuple(topic) for topic in message.topics)
        else:
            self._followers.tellGroup(message.group)

    # --- telling

    def _subscribed(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        """Another node follows groups; those are answered whose replica here hears of what happens."""
        call: FollowCall = decodeCall(payload, FollowCall)
        until = self._clock.seconds() + LEASE_SECONDS
        accepted: list[tuple[int, int]] = []
        for group in call.groups:
            index = self._groups.appliedIndex(group)
            if index and self._groups.leaderOf(group):
                self._leases.setdefault(group, {})[node] = until
                accepted.append((group, index))
        return encodeCall(FollowAnswer(tuple(accepted), self._told.get(node, 0)))

    def _committed(self, group: int, index: int, events: Sequence[Any]) -> None:
        leases = self._leases.get(group)
        if not leases and not self._followers.areAny:
            return
        if SnapshotInstalled in map(type, events):
            self._followers.tellGroup(group)
            topics: tuple[Topic, ...] = ()
        else:
            topics = tuple(dict.fromkeys([event.topic for event in events]))
            self._followers.tell(topics)
        if leases:
            self._tell(group, index, topics, leases)

    def _tell(self, group: int, index: int, topics: tuple[Topic, ...], leases: dict[int, float]) -> None:
        now = self._clock.seconds()
        for node, until in list(leases.items()):
            if until < now:
                del leases[node]
                continue
            count = self._told[node] = self._told.get(node, 0) + 1
            self._router.counters.told += len(topics)
            self._send(node, TellTopics(group, index, count, topics))
