"""
TLS on an eager connection (eager.py): what one piece of input brings about leaves in one write, at once.

Twisted's own `startTLS` makes a factory for each connection, gathers small writes until the next turn of the reactor, and declares
for each connection one by one which interfaces it provides, at about 90 microseconds. Here the class says that, the
factory is shared, and nothing is gathered beyond the input that is being worked on: our protocols join their replies themselves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

_CONTEXTS_MAX = 4
_HELD_OCTETS_MAX = 8192  # with a full record still less than what one flush takes


class EagerTls(TLSMemoryBIOProtocol):
    """The TLS layer between an eager connection and its protocol, whose transport stays the connection."""

    _isHolding = False
    _heldOctets = 0

    def makeConnection(self, transport: Any) -> None:
        """Begin the handshake; `transport` is what lies beneath."""
        self._tlsConnection = self.factory._creatorCallable(self)
        self._appSendBuffer: list[bytes] = []
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self._checkHandshakeStatus()  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Take octets from beneath; what they bring about is sent when all is done, but for what is much."""
        self._isHolding, self._heldOctets = True, 0
        try:
            TLSMemoryBIOProtocol.dataReceived(self, data)
        finally:
            self._isHolding = False
            if self._tlsConnection is not None:
                self._flushSendBIO()

    def _write(self, bytes: bytes) -> None:
        self._heldOctets += len(bytes)
        if self._heldOctets > _HELD_OCTETS_MAX:
            self._isHolding = False
        TLSMemoryBIOProtocol._write(self, bytes)

    def _flushSendBIO(self) -> None:
        if not self._isHolding:
            TLSMemoryBIOProtocol._flushSendBIO(self)

    def _shutdownTLS(self) -> None:
        self._isHolding = False
        TLSMemoryBIOProtocol._shutdownTLS(self)

    def _tlsShutdownFinished(self, reason: Any) -> None:
        self._isHolding = False
        TLSMemoryBIOProtocol._tlsShutdownFinished(self, reason)


@lru_cache(maxsize=_CONTEXTS_MAX)
def tlsFactory(context: Any) -> TLSMemoryBIOFactory:
    """The factory of all server connections with a context (IOpenSSLServerConnectionCreator, IOpenSSLContextFactory)."""
    return TLSMemoryBIOFactory(context, False, Factory())


class TlsFromTheStart(Factory):
    """
    Implicit TLS around a factory (RFC 8314 §3): the same `startTLS` that STARTTLS ends in, before the protocol has a transport.
    """

    noisy = False

    def __init__(self, inner: Any, context: Any) -> None:
        self.inner = inner
        self._context = context

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        """The inner factory's protocol, behind TLS."""
        protocol = self.inner.buildProtocol(addr)
        return None if protocol is None else _Opening(protocol, self._context)

    def doStart(self) -> None:
        """The inner factory begins."""
        self.inner.doStart()

    def doStop(self) -> None:
        """The inner factory ends."""
        self.inner.doStop()


class _Opening(Protocol):
    """Stands for a protocol until its connection is made."""

    def __init__(self, protocol: Any, context: Any) -> None:
        self._protocol = protocol
        self._context = context

    def makeConnection(self, transport: Any) -> None:
        """Put TLS between the connection and its protocol, and connect that."""
        transport.protocol = self._protocol
        transport.startTLS(self._context)
        self._protocol.makeConnection(transport)
