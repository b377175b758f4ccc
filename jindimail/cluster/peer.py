"""
One other node as this node's links see it: its addresses in turn, and the two channels to it.

Control traffic has a connection of its own, so that nothing large ever delays a heartbeat (design §5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from jindimail.cluster.channel import Channel
from jindimail.cluster.dial import Dial
from jindimail.cluster.hello import CHANNELS, CONTROL, DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another node of the array: who it must prove to be, and where it listens (`host:port`)."""

    node: int
    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """
    What an operator is told of the links to a node.

    @ivar trouble: by channel (`control`, `data`), why there is no connection; empty if both are up.
    @ivar counters: by channel and name (`channel.Counters`).
    @ivar trips: by channel, the last round trip in seconds, where there was one.
    """

    node: int
    name: str
    addresses: tuple[str, ...]
    isUp: bool
    level: int
    incarnation: int
    octetsInFlight: int
    callsInFlight: int
    callsWaiting: int
    trouble: dict[str, str]
    counters: dict[str, dict[str, int]]
    trips: dict[str, float]


class PeerLinks:
    """Both channels to a peer; also its `INodeLink`."""

    def __init__(
        self,
        peer: Peer,
        *,
        clock: IReactorTime,
        dial: Callable[[Peer, int], Dial],
        endpoint: Callable[[str], IStreamClientEndpoint],
        draw: Callable[[int, int], int],
        changed: Callable[[int], object],
    ) -> None:
        self.peer = peer
        self._told: tuple[str, ...] = ()
        self._endpoint = endpoint
        self._tried = 0
        self.channels = tuple(
            Channel(
                clock=clock,
                node=peer.node,
                kind=kind,
                dial=lambda kind: dial(self.peer, kind),
                endpoint=self._nextEndpoint,
                draw=draw,
                changed=lambda: changed(peer.node),
            )
            for kind in (CONTROL, DATA)
        )

    @property
    def isUp(self) -> bool:
        """Whether both channels are."""
        control, data = self.channels
        return control.isUp and data.isUp

    def moved(self, peer: Peer) -> None:
        """The peer has other addresses, or another name, from now on."""
        if peer != self.peer:
            self.peer = peer
            self.poke()

    def told(self, addresses: tuple[str, ...]) -> None:
        """The peer says itself where it is reached; it is tried there as well, until it says otherwise."""
        self._told = addresses

    def send(self, messages: list[bytes]) -> None:
        """See `INodeLink`."""
        if messages:
            self.channels[CONTROL].send(messages)

    def sendBulk(self, messages: list[bytes]) -> None:
        """Like `send`, on the data channel: in order among themselves, and in nobody's way."""
        if messages:
            self.channels[DATA].send(messages)

    def call(self, method: str, payload: bytes, seconds: float) -> Deferred[bytes]:
        """See `ILinks`."""
        return self.channels[DATA].call(method, payload, seconds)

    def start(self) -> None:
        """Keep both connections."""
        for channel in self.channels:
            channel.start()

    def stop(self) -> None:
        """End both connections."""
        for channel in self.channels:
            channel.stop()

    def poke(self) -> None:
        """Try now, if there is no connection."""
        for channel in self.channels:
            channel.poke()

    def drop(self) -> None:
        """End the connections that are up, and make others."""
        for channel in self.channels:
            channel.drop()

    def look(self, now: float, wasAway: bool) -> None:
        """Is the peer still there?"""
        for channel in self.channels:
            channel.look(now, wasAway)

    def status(self, incarnation: int) -> PeerStatus:
        """What there is to say of it."""
        channels = dict(zip((CHANNELS[CONTROL], CHANNELS[DATA]), self.channels, strict=True))
        return PeerStatus(
            node=self.peer.node,
            name=self.peer.name,
            addresses=self.peer.addresses,
            isUp=self.isUp,
            level=min(channel.level for channel in self.channels),
            incarnation=incarnation,
            octetsInFlight=sum(channel.octetsInFlight for channel in self.channels),
            callsInFlight=sum(channel.callsInFlight for channel in self.channels),
            callsWaiting=sum(channel.callsWaiting for channel in self.channels),
            trouble={name: channel.trouble for name, channel in channels.items() if channel.trouble},
            counters={name: channel.counters.asMap() for name, channel in channels.items()},
            trips={name: each.tripSeconds for name, each in channels.items() if each.tripSeconds is not None},
        )

    def _nextEndpoint(self) -> IStreamClientEndpoint:
        addresses = list(dict.fromkeys((*self._told, *self.peer.addresses)))
        self._tried += 1
        return self._endpoint(addresses[self._tried % len(addresses)])
