"""A site over a node whose parts are in memory, and clients of it without sockets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides

from jindimail.admin.livenode import LiveNode
from jindimail.admin.web import WebSite, webFactory
from jindimail.admin.websight import Sight
from jindimail.directory.checker import PasswordChecker
from tests.admin.live import liveNode
from tests.support.world import World

PASSWORD = "long enough"
HOST = "node.example"


class Address:
    """Where a client comes from."""

    def __init__(self, host: str) -> None:
        self.host = host


class Client:
    """One connection to a site, in memory."""

    def __init__(self, site: WebSite, peer: str = "127.0.0.1", isSecure: bool = False) -> None:
        channel = site.buildProtocol(Address(peer))  # type: ignore[arg-type]
        assert channel is not None
        self.channel = channel
        self.transport: Any = StringTransport(peerAddress=Address(peer))  # type: ignore[arg-type]
        if isSecure:
            directlyProvides(self.transport, ISSLTransport)
        channel.makeConnection(self.transport)

    def send(self, octets: bytes) -> bytes:
        """Send octets; what has been answered so far."""
        self.channel.dataReceived(octets)
        return self.answered

    @property
    def answered(self) -> bytes:
        """All that was answered."""
        return bytes(self.transport.value())

    @property
    def isClosed(self) -> bool:
        """Whether the site has ended the connection."""
        return bool(self.transport.disconnecting or self.transport.disconnected)


class WebWorld:
    """One node's site; `ada@example.org` may administer, `bob@example.org` may not."""

    def __init__(self) -> None:
        self.world = World()
        self.world.addUser("ada@example.org", PASSWORD, mayAdminister=True)
        self.world.addUser("bob@example.org", PASSWORD)
        self.node: LiveNode = liveNode(self.world)
        self.clock = Clock()
        self.node.checker = PasswordChecker(
            resolver=self.world.resolver,
            passwords=self.world.passwords,
            attempts=self.world.attempts,
            seconds=self.clock.seconds,
        )
        self.sight = Sight(self.node, clock=self.clock)
        self.site = webFactory(self.node, self.sight, reactor=self.clock)

    def get(self, path: str, *, cookie: str = "", peer: str = "127.0.0.1", isSecure: bool = False) -> bytes:
        """The answer to a GET."""
        sent = f"Cookie: {cookie}\r\n" if cookie else ""
        return self._once(peer, isSecure, f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{sent}\r\n".encode())

    def post(
        self,
        path: str,
        *,
        cookie: str = "",
        origin: str | None = f"http://{HOST}",
        peer: str = "127.0.0.1",
        isSecure: bool = False,
        **fields: str,
    ) -> bytes:
        """The answer to a form."""
        body = urlencode(fields)
        lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
        lines += [f"Cookie: {cookie}"] if cookie else []
        lines += [f"Origin: {origin}"] if origin is not None else []
        return self._once(peer, isSecure, "\r\n".join([*lines, "", body]).encode())

    def _once(self, peer: str, isSecure: bool, octets: bytes) -> bytes:
        client = Client(self.site, peer, isSecure)
        answer = client.send(octets)
        client.channel.connectionLost()
        return answer

    def logIn(self, address: str = "ada@example.org", password: str = PASSWORD, **more: Any) -> bytes:
        """The answer to the login form."""
        return self.post("/login", address=address, password=password, **more)

    def cookie(self) -> str:
        """The cookie of a new session of ada's."""
        return cookieOf(self.logIn())


def cookieOf(answer: bytes) -> str:
    """The cookie that an answer sets, as a browser sends it back."""
    lines = [line for line in answer.decode().split("\r\n") if line.startswith("Set-Cookie: ")]
    assert len(lines) == 1, answer
    return lines[0].removeprefix("Set-Cookie: ").partition(";")[0]
