"""Node links over real sockets on loopback, with the real reactor."""

from __future__ import annotations

import random
import socket
from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.trial.unittest import TestCase

from jindimail.admin.eager import EagerClient, EagerEndpoint, EagerServer, makeEager
from jindimail.cluster.authority import Authority, Credentials, Identity, foundAuthority, newRequest
from jindimail.cluster.hello import Hello
from jindimail.cluster.incoming import UNREAD_OCTETS_END
from jindimail.cluster.links import Links
from jindimail.cluster.peer import Peer
from jindimail.cluster.streams import Streams
from jindimail.errors import OutcomeUnknown, Unavailable

ARRAY_ID = bytes(16)
NOW = datetime.now(UTC)
AUTHORITY = Authority(*foundAuthority(ARRAY_ID, NOW))


def endpoint(address: str) -> TCP4ClientEndpoint:
    host, _, port = address.rpartition(":")
    return TCP4ClientEndpoint(reactor, host, int(port), timeout=5)


def freePort() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        port: int = each.getsockname()[1]
        return port


class Sockets(TestCase):
    """Two nodes in one process."""

    timeout = 30
    endpoint = staticmethod(endpoint)

    async def setUp(self) -> None:  # type: ignore[override]
        self.nodes: dict[int, Links] = {}
        self.listening: dict[int, Any] = {}
        self.numbers = {node: freePort() for node in (1, 2)}
        self.got: list[Any] = []
        for node in (1, 2):
            await self.start(node)
        await self.up()

    async def tearDown(self) -> None:  # type: ignore[override]
        for node in list(self.nodes):
            await self.stop(node)

    async def start(self, node: int, incarnation: int = 1) -> Links:
        request, key = newRequest(f"n{node}")
        identity = Identity(arrayId=ARRAY_ID, node=node, name=f"n{node}")
        links = self.nodes[node] = Links(
            clock=reactor,  # type: ignore[arg-type]
            mine=Hello(arrayId=ARRAY_ID, node=node, incarnation=incarnation, life=random.randbytes(8)),
            credentials=Credentials(
                certificate=AUTHORITY.issue(request, identity, NOW),
                key=key,
                authority=AUTHORITY.certificate,
            ),
            endpoint=self.endpoint,
            draw=random.randint,
        )
        links.attend(lambda source, messages: self.got.append(messages), lambda source, messages: None)
        links.serve("echo", lambda node, payload, seconds: payload)
        links.serve("never", lambda node, payload, seconds: Deferred())
        links.setPeers(
            Peer(node=number, name=f"n{number}", addresses=(f"127.0.0.1:{port}",))
            for number, port in self.numbers.items()
        )
        server = TCP4ServerEndpoint(reactor, self.numbers[node], interface="127.0.0.1")
        self.listening[node] = await self.listen(server, links.factory)
        links.start()
        return links

    async def listen(self, server: IStreamServerEndpoint, factory: IProtocolFactory) -> Any:
        return await server.listen(factory)

    async def stop(self, node: int) -> None:
        await self.listening.pop(node).stopListening()
        self.nodes.pop(node).stop()
        await self.until(lambda: not any(links._incoming.get((node, 0)) for links in self.nodes.values()))

    async def up(self) -> None:
        await self.until(lambda: self.nodes[1].isUp(2) and self.nodes[2].isUp(1))

    async def until(self, isTrue: Any) -> None:
        """Turn the reactor until something holds; the test's time-out bounds it."""
        while not isTrue():
            turn: Deferred[None] = Deferred()
            reactor.callLater(0.01, turn.callback, None)  # type: ignore[attr-defined]
            await turn

    async def test_callsAndMessagesArrive(self) -> None:
        self.nodes[1].send(2, [b"a", bytes(65536)])
        payload = random.randbytes(1_000_000)
        calls = [self.nodes[1].call(2, "echo", payload, 20.0) for _ in range(20)]
        for answer in await gatherResults(calls):
            self.assertEqual(answer, payload)
        await self.until(lambda: self.got == [[b"a", bytes(65536)]])

    async def test_streamsArrive(self) -> None:
        pieces = [random.randbytes(100_000) for _ in range(50)]
        taken: list[bytes] = []

        class Receiver:
            def take(self, octets: bytes) -> None:
                taken.append(octets)

            def end(self) -> bytes:
                return b"%d" % sum(map(len, taken))

            def lost(self) -> None:
                raise AssertionError

        streams = {node: Streams(clock=reactor, links=self.nodes[node]) for node in (1, 2)}  # type: ignore[arg-type]
        streams[2].serve("body", lambda node, head: Receiver())
        self.assertEqual(await streams[1].send(2, "body", b"", pieces, 10.0), b"5000000")
        self.assertEqual(b"".join(taken), b"".join(pieces))
        for each in streams.values():
            each.stop()

    async def test_nodeThatStopsAndReturnsIsFoundAgain(self) -> None:
        waiting = self.nodes[1].call(2, "never", b"", 20.0)
        await self.stop(2)
        await self.assertFailure(waiting, OutcomeUnknown)
        await self.assertFailure(self.nodes[1].call(2, "echo", b"", 20.0), Unavailable)
        await self.start(2, incarnation=2)
        await self.up()
        self.assertEqual(await self.nodes[1].call(2, "echo", b"again", 20.0), b"again")

    async def test_answersThatNobodyReadsAreBounded(self) -> None:
        """Node 1 stops reading; its further calls are refused before the answers fill node 2's memory."""
        self.nodes[2].serve("large", lambda node, payload, seconds: bytes(4_000_000))
        dial = self.nodes[1]._peers[2].channels[1]._up
        assert dial is not None
        transport: Any = dial._door.transport
        transport.pauseProducing()
        calls = [self.nodes[1].call(2, "large", b"", 20.0) for _ in range(40)]
        await self.until(lambda: self.nodes[2]._incoming[1, 1]._unreadOctets > 16_000_000)
        unread = self.nodes[2]._incoming[1, 1]._unreadOctets
        self.assertLess(unread, 30_000_000)
        transport.resumeProducing()
        results = await gatherResults([call.addErrback(lambda failure: failure.type) for call in calls])
        self.assertIn(Unavailable, results)
        self.assertIn(bytes(4_000_000), results)
        self.assertEqual(self.nodes[2]._incoming[1, 1]._unreadOctets, 0)

    async def test_whoReadsNoAnswersAndGoesOnAskingIsHungUpOn(self) -> None:
        """A refusal is an answer, too."""
        self.nodes[2].serve("large", lambda node, payload, seconds: bytes(4_000_000))
        dial = self.nodes[1]._peers[2].channels[1]._up
        incoming = self.nodes[2]._incoming[1, 1]
        assert dial is not None
        transport: Any = dial._door.transport
        transport.pauseProducing()
        calls = [self.nodes[1].call(2, "large", b"", 20.0) for _ in range(40)]
        await self.until(lambda: incoming._isPaused and incoming._unreadOctets > 16_000_000)
        asked = 0
        while incoming._unreadOctets <= UNREAD_OCTETS_END and asked < 1_000_000:
            incoming._call(b"large", 20_000, [b""])
            asked += 1
        self.assertLess(asked, 1_000_000)
        await self.until(lambda: self.nodes[2]._incoming.get((1, 1)) is not incoming)
        transport.resumeProducing()
        await gatherResults([call.addErrback(lambda failure: failure.type) for call in calls])


class EagerSockets(Sockets):
    """The same on connections as a running node makes them (`admin.eager`)."""

    endpoint = staticmethod(lambda address: EagerEndpoint(endpoint(address)))  # type: ignore[assignment]

    async def listen(self, server: IStreamServerEndpoint, factory: IProtocolFactory) -> Any:
        port = await server.listen(factory)
        makeEager(port)
        return port

    async def test_bothSidesAreEager(self) -> None:
        dial = self.nodes[1]._peers[2].channels[0]._up
        (incoming,) = (each for (node, kind), each in self.nodes[2]._incoming.items() if kind == 0)
        assert dial is not None
        assert isinstance(dial._door.transport, EagerClient)
        assert isinstance(incoming._door.transport, EagerServer)

    async def test_aMessageLeavesAtOnce(self) -> None:
        """Without a turn of the reactor, and without asking it."""
        dial = self.nodes[1]._peers[2].channels[0]._up
        assert dial is not None
        transport: Any = dial._door.transport
        transport.startWriting = lambda: self.fail("the reactor was asked")
        self.nodes[1].send(2, [b"now"])
        self.assertFalse(transport.dataBuffer or transport._tempDataBuffer)
        del transport.startWriting
        await self.until(lambda: self.got == [[b"now"]])
