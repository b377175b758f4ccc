"""
TLS on an eager connection (eager.py): `startTls` makes the connection one of another class; its protocol stays, and so does everything below.

Between them stands `tls.TlsSide`. A connection that ends says so and is closed at once.
"""

from __future__ import annotations

import ssl
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IProtocol, ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as ProtocolBase
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.admin.eager import EagerServer
from jindimail.tls import TlsSide

_EARLY_OCTETS_MAX = 65536  # written before the handshake is done: greetings, farewells


class IServerTls(Protocol):
    """What `startTLS` takes."""

    context: ssl.SSLContext


@implementer(ISSLTransport)
class EagerTlsServer(EagerServer, TlsSide):
    """A server's side of a TLS connection. Plain until `startTls` made it so: it has no `__init__` of its own."""

    _early: bytes
    _isLeaving: bool

    def received(self, data: bytes) -> None:
        """See `EagerServer.received`."""
        if not self.disconnecting:
            self.decrypt(data)

    def deliver(self, octets: bytes) -> None:
        """See `TlsSide`."""
        self.protocol.dataReceived(octets)

    def isDeaf(self) -> bool:
        """See `TlsSide`."""
        return bool(self.disconnecting or self._isLeaving or self._aborting)

    def shaken(self) -> None:
        """See `TlsSide`."""
        early, self._early = self._early, b""
        if early:
            self.write(early)
        if self._isLeaving:
            self.parted()

    def parted(self) -> None:
        """See `TlsSide`: a farewell is answered."""
        self._isLeaving = True
        if self.connected:
            self.bidFarewell()
        EagerServer.loseConnection(self)

    def broken(self) -> None:
        """See `TlsSide`."""
        self._isLeaving = True
        EagerServer.loseConnection(self)

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        if not data or self.disconnecting or not self.connected:
            return
        if self._isEstablished:
            self.encrypt(data)
        else:
            self._early = (self._early + data)[:_EARLY_OCTETS_MAX]

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`; the other side is told."""
        if self._isLeaving or self.disconnecting:
            return
        self._isLeaving = True
        if self._early:
            return  # until the handshake is done
        if self.producer is None:
            self.parted()

    def unregisterProducer(self) -> None:
        """See `ITransport.unregisterProducer`."""
        EagerServer.unregisterProducer(self)  # type: ignore[no-untyped-call]
        if self._isLeaving and not self.disconnecting:
            self.parted()

    def readConnectionLost(self, reason: Failure) -> None:
        """The end of the octets: under TLS that is the end of the connection."""
        self.connectionLost(reason)

    def getHandle(self) -> Any:
        """The TLS connection (`ssl.SSLObject`)."""
        return self.tls

    def getPeerCertificate(self) -> Any:
        """The client's certificate, which we do not ask for."""
        return None


def startTls(connection: EagerServer, server: IServerTls) -> None:
    """Encrypt a connection from here on; the handshake is the client's to begin."""
    secure: Any = connection
    secure.__class__ = EagerTlsServer
    secure._early = b""
    secure._isLeaving = False
    secure.wearTls(server.context, isServer=True)


class TlsFromTheStart(Factory):
    """
    Implicit TLS around a factory (RFC 8314 §3): the same `startTLS` that STARTTLS ends in, before the protocol has a transport.
    """

    noisy = False

    def __init__(self, inner: Any, server: IServerTls) -> None:
        self.inner = inner
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        """The inner factory's protocol, behind TLS."""
        protocol = self.inner.buildProtocol(addr)
        return None if protocol is None else _Opening(protocol, self._server)

    def doStart(self) -> None:
        """The inner factory begins."""
        self.inner.doStart()

    def doStop(self) -> None:
        """The inner factory ends."""
        self.inner.doStop()


class _Opening(ProtocolBase):
    """Stands for a protocol until its connection is made."""

    def __init__(self, protocol: Any, server: IServerTls) -> None:
        self._protocol = protocol
        self._server = server

    def makeConnection(self, transport: Any) -> None:
        """Put TLS between the connection and its protocol, and connect that."""
        transport.protocol = self._protocol
        transport.startTLS(self._server)
        self._protocol.makeConnection(transport)
