"""
TLS on an eager connection (eager.py): what one piece of input brings about leaves in one write, at once.

Theory of operation. `startTls` makes the connection one of another class; its protocol stays, and so does everything below.
Between them stand two buffers of OpenSSL's: what the network brings is put into the one, and decrypted until there is no whole record left;
what the protocol writes is encrypted into the other, which is sent when all the input has been worked on, or when it holds much.
Twisted's own layer does the same for four times the calls: it makes a protocol and a producer's membrane for each connection.

A connection that ends says so (`close_notify`) and is closed at once; nobody waits for the other side's farewell (RFC 8446 §6.1).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IProtocol, ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as ProtocolBase
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.admin.eager import EagerServer

_READ_OCTETS = 65536
_WRITE_OCTETS = 65536
_HELD_OCTETS_MAX = 8192  # with a full record still less than what one flush takes
_EARLY_OCTETS_MAX = 65536  # written before the handshake is done: greetings, farewells


class IServerTls(Protocol):
    """What `startTLS` takes."""

    context: ssl.SSLContext


@implementer(ISSLTransport)
class EagerTlsServer(EagerServer):
    """A server's side of a TLS connection. Plain until `startTls` made it so: it has no `__init__` of its own."""

    _tls: ssl.SSLObject
    _in: ssl.MemoryBIO
    _out: ssl.MemoryBIO
    _early: bytes
    _isEstablished: bool
    _isHolding: bool
    _isLeaving: bool

    def received(self, data: bytes) -> None:
        """Take octets from the network; what they bring about is sent when all is done, but for what is much."""
        if self.disconnecting:
            return
        self._in.write(data)
        self._isHolding = True
        try:
            self._takeIn()
        except ssl.SSLError:  # the other side does not speak TLS, or has ended it without a word
            self._isLeaving = True
            self._isHolding = False
            self._flush()
            EagerServer.loseConnection(self)
        finally:
            self._isHolding = False
            self._flush()

    def _takeIn(self) -> None:
        tls, waiting = self._tls, self._in
        if not self._isEstablished and not self._shake():
            return
        while not (self.disconnecting or self._isLeaving or self._aborting):
            try:
                octets = tls.read(_READ_OCTETS)
            except ssl.SSLWantReadError:
                return
            if not octets:  # the other side's farewell
                self._farewell()
                return
            self.protocol.dataReceived(octets)
            if not waiting.pending and not tls.pending():
                return

    def _shake(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._isEstablished = True
        early, self._early = self._early, b""
        if early:
            self.write(early)
        if self._isLeaving:
            self._farewell()
        return True

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        if not data or self.disconnecting or not self.connected:
            return
        if not self._isEstablished:
            self._early = (self._early + data)[:_EARLY_OCTETS_MAX]
            return
        for piece in (data,) if len(data) <= _WRITE_OCTETS else _pieces(data):
            self._tls.write(piece)
            if not self._isHolding or self._out.pending > _HELD_OCTETS_MAX:
                self._flush()

    def _flush(self) -> None:
        if self._out.pending:
            self.send(self._out.read())

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`; the other side is told."""
        if self._isLeaving or self.disconnecting:
            return
        self._isLeaving = True
        if self._early:
            return  # until the handshake is done
        if self.producer is None:
            self._farewell()

    def unregisterProducer(self) -> None:
        """See `ITransport.unregisterProducer`."""
        EagerServer.unregisterProducer(self)  # type: ignore[no-untyped-call]
        if self._isLeaving and not self.disconnecting:
            self._farewell()

    def _farewell(self) -> None:
        self._isLeaving = True
        if self._isEstablished and self.connected:
            with suppress(ssl.SSLError):  # it waits for the other side's, which we do not
                self._tls.unwrap()
            self._flush()
        EagerServer.loseConnection(self)

    def readConnectionLost(self, reason: Failure) -> None:
        """The end of the octets: under TLS that is the end of the connection."""
        self.connectionLost(reason)

    def getHandle(self) -> Any:
        """The TLS connection (`ssl.SSLObject`)."""
        return self._tls

    def getPeerCertificate(self) -> Any:
        """The client's certificate, which we do not ask for."""
        return None


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _WRITE_OCTETS):
        yield data[start : start + _WRITE_OCTETS]


def startTls(connection: EagerServer, server: IServerTls) -> None:
    """Encrypt a connection from here on; the handshake is the client's to begin."""
    tls: Any = connection
    tls.__class__ = EagerTlsServer
    tls._in, tls._out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls._tls = server.context.wrap_bio(tls._in, tls._out, server_side=True)
    tls._early = b""
    tls._isEstablished = tls._isHolding = tls._isLeaving = False


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
