"""
The state of the array, gathered, for the status page and `jindictl cluster status`: each node tells of itself, and any node asks all others.

A node answers the method `status` whether or not it has a web listener. All are asked at once, with one deadline: a node that does not
answer costs a second and is shown as silent. What was gathered serves everybody who asks within the next second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.admin.livenode import LiveNode
from jindimail.admin.nodeverbs import residentOctets, versionText
from jindimail.admin.webhistory import NOTHING, SLOT_SECONDS, Classes, History, Totals
from jindimail.admin.webstatus import ArrayStatus, EventStatus, LedGroup, NodeStatus, SilentNode
from jindimail.cluster.arrayrecords import GONE
from jindimail.cluster.hello import CHANNELS, CONTROL
from jindimail.counts import Histogram
from jindimail.replication.status import GroupStatus

METHOD = "status"
ASK_SECONDS = 1.0
FRESH_SECONDS = 1.0
EVENTS_MAX = 50

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(NodeStatus).decode


class Sight:
    """A node's view of itself and of the array."""

    _log = Logger()

    def __init__(self, node: LiveNode, *, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._history = History(self._totals())
        self._cpu = (clock.seconds(), time.process_time())
        self._cpuShare = 0.0
        self._sampling = LoopingCall(self._sample)
        self._sampling.clock = clock
        self._gathering: list[Deferred[ArrayStatus]] | None = None
        self._gathered: tuple[float, ArrayStatus] | None = None

    def start(self) -> None:
        """Keep the history, and answer other nodes."""
        self._sampling.start(SLOT_SECONDS, now=False)
        if self._node.links is not None:
            self._node.links.serve(METHOD, lambda node, payload, seconds: _encode(self.own()))

    def stop(self) -> None:
        """Keep the history no more."""
        if self._sampling.running:
            self._sampling.stop()

    # --- this node

    @property
    def hearsMajority(self) -> bool:
        """See `LiveNode`."""
        return self._node.hearsMajority

    def own(self) -> NodeStatus:
        """What this node tells of itself."""
        node = self._node
        groups = [status for status in map(node.groups.status, node.groups.groups()) if status is not None]
        space = getattr(node.store, "space", None)
        report = node.ownReport()
        return NodeStatus(
            node=node.configuration.node.name,
            number=node.meta.node,
            state=node.state,
            hearsMajority=node.hearsMajority,
            version=versionText(),
            incarnation=node.meta.incarnation,
            uptimeSeconds=int(node.seconds()) - node.startedSeconds,
            weight=self._weight(),
            load=None if report is None else report.strain,
            copiesOwed=None if report is None else report.owed,
            bodiesMoved=0 if report is None else report.moved,
            groupsIncomplete=0 if report is None else report.missing,
            cpuShare=self._cpuShare,
            residentOctets=residentOctets(),
            freeOctets=space.freeOctets if space is not None else 0,
            sizeOctets=space.totalOctets if space is not None else 0,
            storage=node.store.freeLevel.name.lower(),
            replicas=len(groups),
            leaderless=sum(not status.leader for status in groups),
            waiting=sum(status.waiting for status in groups),
            leads=tuple(_led(status) for status in groups if status.role == "leader"),
            sessions=self._sessions(),
            peersDown=tuple(peer.name for peer in self._peers() if not peer.isUp),
            trips={
                peer.name: round(peer.trips[CHANNELS[CONTROL]], 6)
                for peer in self._peers()
                if CHANNELS[CONTROL] in peer.trips
            },
            certificateEnds=node.certificateEnds(),
            events=tuple(self._events()),
            slots=self._history.slots,
        )

    def _weight(self) -> int:
        record = self._records().get(self._node.meta.node)
        return 100 if record is None else int(record.weight)

    def _records(self) -> Any:
        return {} if self._node.share is None else self._node.share.userMap.nodes

    def _peers(self) -> Iterable[Any]:
        return () if self._node.links is None else self._node.links.peers()

    def _sessions(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for session in self._node.sessions:
            counts[session.protocol] = counts.get(session.protocol, 0) + 1
        return counts

    def _events(self) -> Iterable[EventStatus]:
        if self._node.share is None:
            return
        for event, _ in zip(self._node.share.events, range(EVENTS_MAX), strict=False):
            yield EventStatus(
                seconds=event.seconds,
                node=self._node.configuration.node.name,
                kind=event.kind,
                text=event.text,
            )

    def _totals(self) -> Totals:
        node = self._node
        delivery = NOTHING
        for each in node.deliveries.values():
            delivery = tuple(map(int.__add__, delivery, each.seconds.counts))
        return Totals(
            filed=sum(each.messages for each in node.deliveries.values()),
            delivery=delivery,
            commit=_classes(getattr(node.store, "commitSeconds", None)),
            lag=_classes(getattr(node.groups, "lagSeconds", None)),
        )

    def _sample(self) -> None:
        now, used = self._clock.seconds(), time.process_time()
        since, before = self._cpu
        self._cpu = now, used
        self._cpuShare = (used - before) / max(0.001, now - since)
        self._history.sample(self._node.seconds(), self._totals())

    # --- the array

    def array(self) -> Deferred[ArrayStatus]:
        """What all nodes tell, at most a second old."""
        done: Deferred[ArrayStatus] = Deferred()
        if self._gathered is not None and self._clock.seconds() - self._gathered[0] < FRESH_SECONDS:
            done.callback(self._gathered[1])
        elif self._gathering is not None:
            self._gathering.append(done)
        else:
            self._gathering = [done]
            Deferred.fromCoroutine(self._gather()).addBoth(self._told)
        return done

    def _told(self, result: ArrayStatus | Failure) -> None:
        waiting, self._gathering = self._gathering or [], None
        if isinstance(result, ArrayStatus):
            self._gathered = (self._clock.seconds(), result)
        for done in waiting:
            done.callback(result)

    async def _gather(self) -> ArrayStatus:
        own = self._node.meta.node
        others = {
            number: record
            for number, record in sorted(self._records().items())
            if number != own and record.state != GONE
        }
        asked = [self._node.links.call(number, METHOD, b"", ASK_SECONDS) for number in others]
        answers = await DeferredList(asked, consumeErrors=True)
        nodes = [self.own()]
        silent: list[SilentNode] = []
        for (number, record), (isAnswered, answer) in zip(others.items(), answers, strict=True):
            status = self._read(record.name, answer) if isAnswered else None
            if status is None:
                unheard = self._node.unheardSeconds(number)
                silent.append(
                    SilentNode(node=record.name, number=number, state=record.state, unheardSeconds=unheard)
                )
            else:
                nodes.append(status)
        return ArrayStatus(
            seconds=self._node.seconds(),
            asked=self._node.configuration.node.name,
            nodes=tuple(sorted(nodes, key=lambda status: status.number)),
            silent=tuple(silent),
        )

    def _read(self, name: str, answer: bytes) -> NodeStatus | None:
        try:
            return _decode(answer)
        except msgspec.MsgspecError:
            self._log.warn("node {name} tells a status that cannot be read", name=name)
            return None


def _led(status: GroupStatus) -> LedGroup:
    members = status.members
    return LedGroup(
        status.group,
        status.term,
        tuple(node for _, node, isVoter, _ in members if isVoter),
        tuple(node for _, node, isVoter, _ in members if not isVoter),
    )


def _classes(histogram: Histogram | None) -> Classes:
    return NOTHING if histogram is None else tuple(histogram.counts)
