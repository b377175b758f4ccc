"""Ports that are bound early, opened late, closed, and opened again."""

from __future__ import annotations

import fcntl
import shutil
import socket
import sys
import tempfile
import termios
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from bench.target import freePorts
from jindimail.admin.listening import Listening
from tests.support.node import HOST

CROWD = 120  # more than Twisted's backlog, fewer than any kernel's least


class Greeting(Protocol):
    """Says hello, and hangs up."""

    def connectionMade(self) -> None:
        """See `Protocol`."""
        assert self.transport is not None
        self.transport.write(b"hello")
        self.transport.loseConnection()


class Caller(Protocol):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol`."""
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        """See `Protocol`."""
        self.ended.callback(None)


async def call(client: str) -> str:
    """What becomes of a connection."""
    caller = Caller()
    try:
        await connectProtocol(clientFromString(reactor, client), caller)
    except ConnectError:
        return "refused"
    await caller.ended
    return caller.heard.decode() or "hung up on"


def connected(port: int, count: int) -> int:
    """How many of so many clients at once get a connection, and are in the server's queue: what they send is acknowledged."""
    clients = [socket.create_connection((HOST, port), 5) for _ in range(count)]
    for client in clients:
        client.sendall(b"x")
    unsent = [
        int.from_bytes(fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)), sys.byteorder) for client in clients
    ]
    for client in clients:
        client.close()
    return unsent.count(0)


class ListeningTests(TestCase):
    """A service that opens, closes, and opens again."""

    async def bound(self, server: str) -> Listening:
        """The service `mail`, bound."""
        listening = Listening()
        await listening.bind("mail", serverFromString(reactor, server), server)
        self.addCleanup(lambda: Deferred.fromCoroutine(listening.stop()))
        return listening

    async def test_aClosedServiceRefusesAndKeepsItsPort(self) -> None:
        (port,) = freePorts(1)
        listening = await self.bound(f"tcp:{port}:interface={HOST}")
        client = f"tcp:{HOST}:{port}"
        for _ in range(2):
            listening.close(["mail", "unheard of"])
            listening.close(["mail"])
            assert listening.addresses() == {}
            assert await call(client) == "refused"
            listening.accept("mail", Factory.forProtocol(Greeting))
            assert listening.addresses() == {"mail": (f"{HOST}:{port}",)}
            assert await call(client) == "hello"

    async def test_manyClientsWaitForANodeThatIsNotReady(self) -> None:
        """One that the kernel has no room for would believe that it is connected, and hear nothing."""
        (port,) = freePorts(1)
        listening = await self.bound(f"tcp:{port}:interface={HOST}")
        assert await deferToThread(connected, port, CROWD) == CROWD
        listening.close(["mail"])
        listening.accept("mail", Factory.forProtocol(Greeting))
        listening._ports["mail"][0].stopReading()
        assert await deferToThread(connected, port, CROWD) == CROWD

    async def test_aClosedUnixSocketHangsUp(self) -> None:
        place = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, place)
        path = Path(place) / "mail"
        listening = await self.bound(f"unix:{path}")
        for _ in range(2):
            listening.close(["mail"])
            assert await call(f"unix:{path}") == "hung up on"
            listening.accept("mail", Factory.forProtocol(Greeting))
            assert await call(f"unix:{path}") == "hello"

    async def test_aSocketFileThatIsGoneKeepsNoOtherPortFromItsEnd(self) -> None:
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        (port,) = freePorts(1)
        listening = await self.bound(f"unix:{directory}/socket")
        server = f"tcp:{port}:interface={HOST}"
        await listening.bind("web", serverFromString(reactor, server), server)
        (directory / "socket").unlink()
        await listening.stop()
        assert await call(f"tcp:{HOST}:{port}") == "refused"
