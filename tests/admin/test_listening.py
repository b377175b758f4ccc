"""Ports that are bound early, opened late, closed, and opened again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from bench.target import freePorts
from jindimail.admin.listening import Listening
from tests.support.node import HOST


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
