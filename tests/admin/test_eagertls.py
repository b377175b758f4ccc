"""TLS on eager connections carries everything, in order, encrypted and at the client's pace; over real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from jindimail.admin.certificates import ReloadableCertificate, selfSigned
from jindimail.admin.eager import EagerServer, makeEager
from jindimail.admin.eagertls import TlsFromTheStart
from jindimail.config import Tls

ANSWER_OCTETS = 200_000
SECONDS = 20


@implementer(IPushProducer)
class Server(Protocol):
    """Starts TLS at `T`; answers `b` with much, `s` with a word in two writes, `q` with a word and the end."""

    transport: Any

    def __init__(self, certificate: ReloadableCertificate, greeting: bytes = b"") -> None:
        self.certificate = certificate
        self.greeting = greeting
        self.pauses = 0
        self.ended: Deferred[None] = Deferred()
        self.bufferedMax = 0
        self.isPaused = False
        self.waiting = b""

    def connectionMade(self) -> None:
        """Produce, as all of our protocols do."""
        self.hasBegunSecure = ISSLTransport.providedBy(self.transport)
        self.transport.registerProducer(self, True)
        if self.greeting:
            self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        """Work on what came, while the client reads."""
        self.waiting += data
        self.work()

    def work(self) -> None:
        """One command after the other."""
        while self.waiting and not self.isPaused:
            command, self.waiting = self.waiting[:1], self.waiting[1:]
            if command == b"T":
                self.transport.write(b"go")
                self.waiting = b""
                self.transport.startTLS(self.certificate)
            elif command == b"b":
                self.transport.write(b"x" * ANSWER_OCTETS)
            elif command == b"s":
                self.transport.write(b"wo")
                self.transport.write(b"rd")
            else:
                self.transport.unregisterProducer()
                self.transport.write(b"bye")
                self.transport.loseConnection()
            waiting = len(self.transport.dataBuffer) + self.transport._tempDataLen
            self.bufferedMax = max(self.bufferedMax, waiting)

    def pauseProducing(self) -> None:
        """The client does not read."""
        self.isPaused = True
        self.pauses += 1

    def resumeProducing(self) -> None:
        """It does again."""
        self.isPaused = False
        self.work()

    def stopProducing(self) -> None:
        """The connection is gone."""

    def connectionLost(self, reason: object) -> None:
        """The connection has ended."""
        self.ended.callback(None)


class Client:
    """A blocking client, in a thread."""

    def __init__(self, port: int) -> None:
        self.plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def encrypt(self, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
        """Ask for TLS, and start it."""
        self.context.maximum_version = maximum
        self.plain.sendall(b"T")
        assert self.plain.recv(2) == b"go"
        return self.begin()

    def begin(self) -> ssl.SSLSocket:
        """Start TLS without asking."""
        return self.context.wrap_socket(self.plain)


def read(secure: ssl.SSLSocket, octets: int) -> bytes:
    """Exactly so many octets, or those up to the end."""
    found = bytearray()
    while len(found) < octets and (piece := secure.recv(octets - len(found))):
        found += piece
    return bytes(found)


class EagerTlsTests(TestCase):
    """A server that starts TLS, and a client that speaks it."""

    async def converse(
        self, talk: Callable[[Client], None], *, isImplicit: bool = False, greeting: bytes = b""
    ) -> Server:
        """Let a client talk to a server; the server, when the connection has ended."""
        certificate, key = selfSigned("mail.test", datetime.now(UTC))
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "cert.pem").write_bytes(certificate)
        (folder / "key.pem").write_bytes(key)
        reloadable = ReloadableCertificate(
            Tls(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"))
        )
        servers: list[Server] = []

        def build() -> Server:
            servers.append(Server(reloadable, greeting))
            return servers[0]

        factory = Factory.forProtocol(build)
        if isImplicit:
            factory = TlsFromTheStart(factory, reloadable)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        makeEager(port)
        await deferToThread(lambda: talk(Client(port.getHost().port)))
        await servers[0].ended
        assert isinstance(servers[0].transport, EagerServer)
        assert ISSLTransport.providedBy(servers[0].transport)
        return servers[0]

    async def test_shortAndLongAnswersComeEncryptedAndInOrder(self) -> None:
        def talk(client: Client) -> None:
            secure = client.encrypt()
            secure.sendall(b"sbs")
            assert read(secure, ANSWER_OCTETS + 8) == b"word" + b"x" * ANSWER_OCTETS + b"word"
            secure.sendall(b"s")
            assert read(secure, 4) == b"word"
            secure.sendall(b"q")
            assert read(secure, 100) == b"bye"
            secure.close()

        await self.converse(talk)

    async def test_theSameWithTls12(self) -> None:
        def talk(client: Client) -> None:
            secure = client.encrypt(ssl.TLSVersion.TLSv1_2)
            secure.sendall(b"bsq")
            assert read(secure, ANSWER_OCTETS + 100) == b"x" * ANSWER_OCTETS + b"wordbye"
            secure.close()

        await self.converse(talk)

    async def test_implicitTlsIsTheSameLayerFromTheFirstOctetOn(self) -> None:
        def talk(client: Client) -> None:
            secure = client.begin()
            secure.sendall(b"sb")
            assert read(secure, ANSWER_OCTETS + 4) == b"word" + b"x" * ANSWER_OCTETS
            secure.sendall(b"q")
            assert read(secure, 100) == b"bye"
            secure.close()

        server = await self.converse(talk, isImplicit=True)
        assert server.hasBegunSecure

    async def test_whatIsWrittenBeforeTheHandshakeComesAfterIt(self) -> None:
        def talk(client: Client) -> None:
            secure = client.begin()
            assert read(secure, 8) == b"greeting"
            secure.sendall(b"q")
            assert read(secure, 100) == b"bye"
            secure.close()

        await self.converse(talk, isImplicit=True, greeting=b"greeting")

    async def test_aFarewellIsAnsweredAndEndsTheConnection(self) -> None:
        def talk(client: Client) -> None:
            secure = client.encrypt()
            secure.sendall(b"s")
            assert read(secure, 4) == b"word"
            plain = secure.unwrap()
            assert plain.recv(100) == b""
            plain.close()

        await self.converse(talk)

    async def test_implicitTlsWithACleartextClientEndsTheConnection(self) -> None:
        def talk(client: Client) -> None:
            client.plain.sendall(b"EHLO example.org\r\n" * 3)
            while client.plain.recv(100):
                pass

        await self.converse(talk, isImplicit=True)

    async def test_aClientThatDoesNotReadStopsTheAnswersToWhatItSentAtOnce(self) -> None:
        def talk(client: Client) -> None:
            secure = client.encrypt()
            secure.sendall(b"b" * 100 + b"q")
            assert len(read(secure, 100 * ANSWER_OCTETS + 100)) == 100 * ANSWER_OCTETS + 3
            secure.close()

        server = await self.converse(talk)
        assert server.pauses > 0
        assert server.bufferedMax < 4 * ANSWER_OCTETS

    async def test_aClientThatVanishesInTheHandshakeEndsTheConnection(self) -> None:
        def talk(client: Client) -> None:
            client.plain.sendall(b"T")
            assert client.plain.recv(2) == b"go"
            client.plain.close()

        await self.converse(talk)

    async def test_octetsThatAreNoHandshakeEndTheConnection(self) -> None:
        def talk(client: Client) -> None:
            client.plain.sendall(b"T")
            assert client.plain.recv(2) == b"go"
            client.plain.sendall(b"MAIL FROM:<a@b.test>\r\n")
            while client.plain.recv(100):
                pass

        await self.converse(talk)
