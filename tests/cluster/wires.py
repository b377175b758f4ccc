"""
Nodes with real links (TLS, Perspective Broker) over a network in memory, on one clock.

A connection can be cut without anybody being told (`blackhole`), one way or both, slowed, or reset; a node can be started anew, or be paused.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.authority import Authority, Credentials, Identity, foundAuthority, newRequest
from jindimail.cluster.hello import LEVELS, Hello
from jindimail.cluster.links import Links
from jindimail.cluster.peer import Peer

ARRAY_ID = bytes(range(16))
PIECE = 64 * 1024
STEP_SECONDS = 0.005
CERTIFIED_AT = datetime.now(UTC)


@implementer(ITCPTransport)
class End:
    """One end of a connection."""

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self.network = network
        self.address = address
        self.other: End | None = None
        self.protocol: Any = None
        self.buffer = bytearray()
        self.isClosing = self.isOver = self.isPaused = False
        self.producer: Any = None
        self.written = 0
        self._isLeaving = False

    def write(self, data: bytes) -> None:
        if not self.isOver and not self.isClosing:
            self.buffer += data
            self.written += len(data)
            self.leave()

    def writeSequence(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def leave(self) -> None:
        """Octets leave in pieces, one a delay, if the other side reads."""
        if not self._isLeaving and (self.buffer or self.isClosing):
            self._isLeaving = True
            delay = self.network.delay(self.address, self.other.address if self.other is not None else "")
            self.network.clock.callLater(delay, self._arrive)

    def _arrive(self) -> None:
        self._isLeaving = False
        other = self.other
        if other is None or self.isOver:
            return
        if self.network.isCut(self.address, other.address) or other.isPaused:
            return
        piece, self.buffer = bytes(self.buffer[:PIECE]), self.buffer[PIECE:]
        if piece:
            self.network.at(other.address, other._take, piece)
        if self.buffer:
            self.leave()
        elif self.isClosing:
            self._over(ConnectionDone())
            other._over(ConnectionDone())
        elif self.producer is not None and piece:
            self.network.at(self.address, self._produce)

    def _take(self, piece: bytes) -> None:
        if not self.isOver:
            try:
                self.protocol.dataReceived(piece)
            except Exception as problem:  # as a reactor does: log, and lose the connection
                self.network.raised.append(problem)
                self.abortConnection()

    def _produce(self) -> None:
        if self.producer is not None and not self.isOver:
            self.producer.resumeProducing()

    def loseConnection(self) -> None:
        self.isClosing = True
        self.leave()

    def abortConnection(self) -> None:
        if self.isOver or self.isClosing == "abort":
            return
        self.isClosing = "abort"  # type: ignore[assignment]
        self.network.clock.callLater(0, self._over, ConnectionLost())
        if self.other is not None and not self.network.isCut(self.address, self.other.address):
            self.network.clock.callLater(self.network.delaySeconds, self.other._over, ConnectionLost())

    def _over(self, reason: Exception) -> None:
        if not self.isOver:
            self.isOver = True
            self.network.ends.pop(self, None)
            self.network.at(self.address, self.protocol.connectionLost, Failure(reason))

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    getHost = getPeer


class ICallLater(Protocol):
    """What a network needs of a clock."""

    def callLater(self, delay: float, function: Callable[..., Any], *arguments: Any) -> Any: ...


class IProcess(Protocol):
    """Who gives a node its time."""

    def run(self, function: Callable[..., Any], *arguments: Any) -> None: ...


class MemoryNetwork:
    """
    Listening addresses, and the connections between them.

    @ivar slowSeconds: what a piece takes longer, by source and target.
    @ivar processes: by address, who has something happen at a node: now, or when it wakes; without one, now.
    @ivar chance: draws how long a piece takes, from half of the delay to half as much again; without it, the delay.
    """

    def __init__(self, clock: ICallLater, chance: random.Random | None = None) -> None:
        self.clock = clock
        self.chance = chance
        self.delaySeconds = 0.001
        self.slowSeconds: dict[tuple[str, str], float] = {}
        self.processes: dict[str, IProcess] = {}
        self.factories: dict[str, Any] = {}
        self.ends: dict[End, None] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.raised: list[Exception] = []
        self.attempts = 0

    def at(self, address: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Have something happen at a node."""
        process = self.processes.get(address)
        if process is None:
            function(*arguments)
        else:
            process.run(function, *arguments)

    def delay(self, source: str, target: str) -> float:
        """How long the next piece takes."""
        seconds = self.delaySeconds + self.slowSeconds.get((source, target), 0.0)
        return seconds if self.chance is None else seconds * (0.5 + self.chance.random())

    def isCut(self, source: str, target: str) -> bool:
        return (source, target) in self.cuts

    def blackhole(self, one: str, other: str) -> None:
        """Nothing gets through, and nobody is told."""
        self.cuts |= {(one, other), (other, one)}

    def heal(self) -> None:
        self.cuts.clear()
        self.slowSeconds.clear()
        for end in list(self.ends):
            end.leave()

    def endpoint(self, source: str) -> Callable[[str], Any]:
        return lambda address: _Endpoint(self, source, address)

    def reset(self, one: str, other: str) -> None:
        """All connections between two nodes break, on both sides."""
        for end in list(self.ends):
            if end.other is not None and {end.address, end.other.address} == {one, other}:
                end._over(ConnectionLost())

    def died(self, address: str) -> None:
        """A node is gone; its kernel resets its connections."""
        self.factories.pop(address, None)
        self.processes.pop(address, None)
        for end in list(self.ends):
            if end.address == address and end.other is not None:
                end.isOver = True
                self.ends.pop(end, None)
                if self.isCut(address, end.other.address):
                    continue  # nobody is told
                self.clock.callLater(self.delaySeconds, end.other._over, ConnectionLost())


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, network: MemoryNetwork, source: str, target: str) -> None:
        self.network, self.source, self.target = network, source, target

    def connect(self, factory: Any) -> Deferred[Any]:
        network = self.network
        network.attempts += 1
        if network.isCut(self.source, self.target) or network.isCut(self.target, self.source):
            return Deferred()
        if self.target not in network.factories:
            return fail(ConnectionRefusedError())
        near, far = End(network, self.source), End(network, self.target)
        near.other, far.other = far, near
        near.protocol = factory.buildProtocol(None)
        far.protocol = network.factories[self.target].buildProtocol(None)
        network.ends |= {near: None, far: None}
        network.at(self.target, far.protocol.makeConnection, far)
        near.protocol.makeConnection(near)
        return succeed(near.protocol)


class Array:
    """Nodes with links to each other; node n listens at `n:1`."""

    def __init__(self, nodes: tuple[int, ...] = (1, 2)) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.chance = random.Random(1)
        self.authority = Authority(*foundAuthority(ARRAY_ID, CERTIFIED_AT))
        self.nodes: dict[int, Links] = {}
        self.incarnations: dict[int, int] = {}
        self.got: list[tuple[int, int, list[bytes]]] = []
        self.gotBulk: list[tuple[int, int, list[bytes]]] = []
        self.peers = [Peer(node=node, name=f"n{node}", addresses=(f"{node}:1",)) for node in nodes]
        for node in nodes:
            self.start(node)

    def credentials(
        self,
        node: int,
        *,
        name: str = "",
        arrayId: bytes = ARRAY_ID,
        authority: Authority | None = None,
        at: datetime = CERTIFIED_AT,
    ) -> Credentials:
        """A node's certificate."""
        request, key = newRequest(name or f"n{node}")
        issuer = authority or self.authority
        identity = Identity(arrayId=arrayId, node=node, name=name or f"n{node}")
        return Credentials(
            certificate=issuer.issue(request, identity, at), key=key, authority=issuer.certificate
        )

    def start(self, node: int, **options: Any) -> Links:
        """Start a node, or start it anew; `options` change who it says that it is."""
        self.incarnations[node] = self.incarnations.get(node, 0) + 1
        mine = Hello(
            arrayId=options.get("arrayId", ARRAY_ID),
            node=node,
            incarnation=options.get("incarnation", self.incarnations[node]),
            life=options.get("life") or self.chance.randbytes(8),
            levels=options.get("levels", LEVELS),
            lives=options.get("lives", b""),
            addresses=options.get("addresses", ()),
        )
        links = Links(
            clock=self.clock,
            mine=mine,
            credentials=options.get("credentials") or self.credentials(node),
            endpoint=self.network.endpoint(f"{node}:1"),
            draw=self.chance.randint,
            joining=options.get("joining"),
            acquaintance=options.get("acquaintance"),
        )
        links.attend(
            lambda source, messages: self.got.append((source, node, messages)),
            lambda source, messages: self.gotBulk.append((source, node, messages)),
        )
        links.setPeers(self.peers)
        links.start()
        self.network.factories[f"{node}:1"] = links.factory
        self.nodes[node] = links
        return links

    def crash(self, node: int) -> None:
        """The process is gone."""
        self.network.died(f"{node}:1")
        links = self.nodes.pop(node)
        links._running = False
        links._pulse.stop()
        for peer in links._peers.values():
            for channel in peer.channels:
                channel._running = False
                if channel._retry is not None and channel._retry.active():
                    channel._retry.cancel()

    def run(self, seconds: float = 0.5) -> None:
        """Let time pass."""
        self.clock.pump([STEP_SECONDS] * max(1, round(seconds / STEP_SECONDS)))

    def result(self, deferred: Deferred[Any], seconds: float = 5.0) -> Any:
        """What a Deferred gives within some time."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        for _ in range(round(seconds / STEP_SECONDS)):
            if results:
                break
            self.clock.advance(STEP_SECONDS)
        assert results, "no result in time"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def trouble(self, node: int, peer: int) -> dict[str, str]:
        """What a node says of its connections to a peer."""
        return next(each.trouble for each in self.nodes[node].peers() if each.node == peer)
