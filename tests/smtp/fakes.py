"""A delivery in memory, a transport that can pretend TLS, and a client's side of a session."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from jindimail.delivery.spool import Spool
from jindimail.errors import AuthenticationFailed, JindimailError, NoSuchUser, RelayDenied
from jindimail.interfaces import IAccount, IDelivery
from jindimail.mailbox.sessions import Sessions
from jindimail.model import Body, Envelope, Recipient, Target
from jindimail.smtp.factory import SmtpFactory
from jindimail.smtp.limits import SmtpLimits

NOW = 1_800_000_000


@implementer(IDelivery)
class FakeDelivery:
    """Takes mail for example.org, but for `nobody@`; answers at once, or when told if `isSlow`."""

    def __init__(self) -> None:
        self.isSlow = False
        self.isFull = False
        self.waiting: list[Deferred[None]] = []
        self.delivered: list[tuple[Envelope, bytes]] = []
        self.outcomes: dict[str, JindimailError] = {}
        self.refusals: dict[str, Exception] = {}
        self.deliveries = 0
        self.sizes: list[int] = []

    def maySpool(self) -> bool:
        return not self.isFull

    def newDeliveryId(self) -> bytes:
        self.deliveries += 1
        return self.deliveries.to_bytes(16, "big")

    async def resolve(self, address: str, octets: int = 0) -> Recipient:
        await self.turn()
        self.sizes.append(octets)
        if address in self.refusals:
            raise self.refusals[address]
        if address.startswith("nobody"):
            raise NoSuchUser
        if address != "postmaster" and not address.endswith("@example.org"):
            raise RelayDenied
        target = Target(bucket=1, accountId=1, address=address)
        return Recipient(address=address, targets=(target,))

    async def deliver(self, envelope: Envelope, body: Body) -> list[JindimailError | None]:
        await self.turn()
        octets = b"".join(body.source.pieces(65536))
        assert len(octets) == body.size
        outcomes = [self.outcomes.get(recipient.address) for recipient in envelope.recipients]
        if None in outcomes:
            self.delivered.append((envelope, octets))
        return outcomes

    def turn(self) -> Deferred[None]:
        if not self.isSlow:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self.waiting.append(waiting)
        return waiting

    def goOn(self) -> None:
        self.waiting.pop(0).callback(None)


class FakeAccount:
    name = "joe@example.org"
    addresses = ("joe@example.org", "joseph@example.org")

    async def owns(self, address: str) -> bool:
        return address.lower().replace("+tag", "") in self.addresses


class FakePortal:
    """Knows joe, whose password is `secret`."""

    def __init__(self) -> None:
        self.logouts = 0
        self.logins: list[Any] = []
        self.error: Exception | None = None

    def login(self, credentials: Any, mind: object, *interfaces: Any) -> Deferred[Any]:
        assert interfaces == (IAccount,)
        self.logins.append(credentials)
        if self.error is not None:
            return fail(self.error)
        if (credentials.username, credentials.password) == (b"joe@example.org", b"secret"):
            return succeed((IAccount, FakeAccount(), self.logout))
        return fail(AuthenticationFailed())

    def logout(self) -> None:
        self.logouts += 1


@implementer(ITLSTransport)
class FakeTransport(StringTransport):
    """Pretends to start TLS, and to abort; shows how often it was written to."""

    def __init__(self, peer: Any = None) -> None:
        super().__init__(peerAddress=peer)
        self.writes = 0
        self.tls: Any = None
        self.isAborted = False

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)

    def startTLS(self, context: Any, normal: bool = True) -> None:
        self.tls = context
        directlyProvides(self, ISSLTransport)

    def abortConnection(self) -> None:
        self.isAborted = True
        self.disconnecting = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.noDelay = enabled

    def getHandle(self) -> Any:
        return self

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256


class Bed:
    """A service with its fakes, and connections to it."""

    def __init__(
        self,
        directory: Path,
        service: str = "smtp",
        tls: Any = "context",
        plaintextPasswords: bool = False,
        sessionsMax: int = 100,
        **limits: Any,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.delivery = FakeDelivery()
        self.portal = FakePortal()
        self.spool = Spool(str(directory / "spool"))
        self.sessions = Sessions(seconds=self.clock.seconds, sessionsMax=sessionsMax, sessionsPerPeerMax=1000)
        portal: Any = self.portal
        self.factory = SmtpFactory(
            service=service,
            delivery=self.delivery,
            spool=self.spool,
            sessions=self.sessions,
            reactor=self.clock,
            seconds=self.clock.seconds,
            hostName="mx.example.org",
            portal=portal,
            tls=tls,
            limits=replace(SmtpLimits(), **limits),
            plaintextPasswords=plaintextPasswords,
        )

    def connect(self, transport: FakeTransport | None = None) -> Wire:
        return Wire(self, transport or FakeTransport())


class Wire:
    """The client's side of one connection."""

    def __init__(self, bed: Bed, transport: FakeTransport) -> None:
        self.bed = bed
        self.transport = transport
        self.protocol = bed.factory.buildProtocol(None)
        self.protocol.makeConnection(transport)
        self.greeting = self.read()

    def read(self) -> bytes:
        """What the server said since the last time."""
        said = self.transport.value()
        self.transport.clear()
        return said

    def say(self, *pieces: bytes) -> bytes:
        """Send octets, each piece as one segment; what the server says to them."""
        for piece in pieces:
            if self.transport.disconnecting:
                break
            self.protocol.dataReceived(piece)
        return self.read()

    def ask(self, *lines: bytes) -> bytes:
        """Send lines together; what the server says to them."""
        return self.say(b"".join(line + b"\r\n" for line in lines))

    def codes(self, *lines: bytes) -> list[str]:
        return codes(self.ask(*lines))

    def login(self, user: bytes = b"joe@example.org", password: bytes = b"secret") -> bytes:
        return self.ask(b"AUTH PLAIN " + b64encode(b"\0" + user + b"\0" + password))

    def lose(self) -> None:
        """The connection breaks."""
        self.protocol.connectionLost(Failure(ConnectionLost()))


def codes(said: bytes) -> list[str]:
    """The codes of replies with their enhanced ones: `250 2.1.0`."""
    found = re.findall(rb"^(\d{3}) (\d\.\d{1,3}\.\d{1,3} )?", said, re.MULTILINE)
    return [b" ".join(code).strip().decode() for code in found]
