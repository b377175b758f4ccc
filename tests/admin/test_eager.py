"""Eager connections deliver everything, in order, whatever the client's pace; over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from jindimail.admin.eager import EagerServer, makeEager

OCTETS = Random(1).randbytes(12_000_000)


class Speaker(Protocol):
    """Calls a function with its transport as soon as it is connected."""

    def __init__(self, speak: Callable[[EagerServer], None]) -> None:
        self.speak = speak
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Speak."""
        assert isinstance(self.transport, EagerServer)
        self.speak(self.transport)

    def connectionLost(self, reason: object) -> None:
        """The connection has ended."""
        self.ended.callback(None)


class Listener(Protocol):
    """Takes octets in, pausing again and again."""

    def __init__(self, pauseSeconds: float = 0.0) -> None:
        self.octets = bytearray()
        self.pauseSeconds = pauseSeconds
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """Take some, then make the other side wait."""
        self.octets += data
        if self.pauseSeconds and len(self.octets) < len(OCTETS) // 2:
            self.transport.pauseProducing()
            reactor.callLater(self.pauseSeconds, self.transport.resumeProducing)

    def connectionLost(self, reason: object) -> None:
        """All has come."""
        self.ended.callback(None)


@implementer(IPullProducer)
class Pieces:
    """A producer that writes one piece each time it is asked."""

    def __init__(self, transport: EagerServer) -> None:
        self.transport = transport
        self.position = 0

    def resumeProducing(self) -> None:
        """Write the next piece, or end."""
        piece = OCTETS[self.position : self.position + 300_000]
        self.position += len(piece)
        if piece:
            self.transport.write(piece)
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        """The connection is gone."""


@implementer(IPushProducer)
class Stream:
    """A producer that writes on and on, until it is paused."""

    def __init__(self, transport: EagerServer) -> None:
        self.transport = transport
        self.position = 0
        self.pauses = 0
        self.isPaused = False

    def start(self) -> None:
        """Begin, with what the kernel takes at once."""
        self.transport.registerProducer(self, True)
        self.transport.write(OCTETS[:7])
        assert not self.transport.dataBuffer and not self.transport._tempDataBuffer
        self.position = 7
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """Write until there is no room."""
        self.isPaused = False
        while not self.isPaused and self.position < len(OCTETS):
            piece = OCTETS[self.position : self.position + 50_000]
            self.position += len(piece)
            self.transport.write(piece)
        if self.position == len(OCTETS) and not self.isPaused:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """There is no room."""
        self.isPaused = True
        self.pauses += 1

    def stopProducing(self) -> None:
        """The connection is gone."""


class EagerTests(TestCase):
    """A server that speaks, and a client that listens."""

    async def hear(self, speak: Callable[[EagerServer], None], pauseSeconds: float = 0.0) -> bytes:
        """What a client hears of what a server says."""
        factory = Factory.forProtocol(lambda: Speaker(speak))
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        makeEager(port)
        client = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        listener = await connectProtocol(client, Listener(pauseSeconds))
        await listener.ended
        return bytes(listener.octets)

    async def test_manyWritesOfAllSizesArriveInOrder(self) -> None:
        def speak(transport: EagerServer) -> None:
            random, position = Random(2), 0
            while position < len(OCTETS):
                size = random.choice((1, 7, 1000, 70_000, 1_000_000))
                transport.write(OCTETS[position : position + size])
                position += size
            transport.loseConnection()

        assert await self.hear(speak, pauseSeconds=0.002) == OCTETS

    async def test_aWriteThatTheKernelTakesWholeIsNotBuffered(self) -> None:
        def speak(transport: EagerServer) -> None:
            transport.write(b"hello")
            assert not transport.dataBuffer and not transport._tempDataBuffer
            transport.write(b"")
            transport.loseConnection()

        assert await self.hear(speak) == b"hello"

    async def test_aPullProducerIsAskedUntilItEnds(self) -> None:
        def speak(transport: EagerServer) -> None:
            transport.registerProducer(Pieces(transport), False)

        assert await self.hear(speak, pauseSeconds=0.002) == OCTETS

    async def test_aStreamingProducerWritesAtOnceAndIsPausedByASlowClient(self) -> None:
        streams: list[Stream] = []

        def speak(transport: EagerServer) -> None:
            streams.append(Stream(transport))
            streams[0].start()

        assert await self.hear(speak, pauseSeconds=0.002) == OCTETS
        assert streams[0].pauses > 0

    async def test_nothingIsSentAfterTheConnectionWasGivenUp(self) -> None:
        def speak(transport: EagerServer) -> None:
            transport.write(b"first")
            transport.loseConnection()
            transport.abortConnection()
            transport.write(b"second")

        assert b"second" not in await self.hear(speak)

    async def test_aClientThatIsGoneEndsTheConnectionAsEver(self) -> None:
        speakers: list[Speaker] = []

        def build() -> Speaker:
            speakers.append(Speaker(lambda transport: None))
            return speakers[0]

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(build))
        self.addCleanup(port.stopListening)
        makeEager(port)
        client = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        listener = await connectProtocol(client, Listener())
        listener.transport.abortConnection()
        await listener.ended
        for _ in range(3):
            speakers[0].transport.write(b"is anybody there?")
        await speakers[0].ended

    async def test_aConnectionThatIsRefusedOrFailsHarmsNoOther(self) -> None:
        answers = [None, ZeroDivisionError(), Speaker(lambda transport: transport.loseConnection())]

        class Choosy(Factory):
            def buildProtocol(self, addr: object) -> Protocol | None:  # type: ignore[override]
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Choosy())
        self.addCleanup(port.stopListening)
        makeEager(port)
        client = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        listeners = [await connectProtocol(client, Listener()) for _ in range(3)]
        await listeners[0].ended
        await listeners[2].ended
        listeners[1].transport.abortConnection()
        assert not answers
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    async def test_aCrowdIsTakenInAFewTurnsAndASingleClientInOne(self) -> None:
        speakers: list[Speaker] = []

        def made() -> Speaker:
            speakers.append(Speaker(lambda transport: None))
            return speakers[-1]

        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(made)
        )
        self.addCleanup(port.stopListening)
        makeEager(port)
        port.stopReading()
        counts = []
        for crowd in (45, 1, 1):
            clients = [socket.create_connection(("127.0.0.1", port.getHost().port), 5) for _ in range(crowd)]
            before = len(speakers)
            while len(speakers) < before + crowd:
                port.doRead()
                counts.append(len(speakers) - before)
            for client in clients:
                client.close()
        assert counts == [1, 3, 7, 15, 31, 45, 1, 1]
        for speaker in speakers:
            speaker.transport.abortConnection()
