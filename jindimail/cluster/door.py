"""
The first moments of a connection between nodes: TLS, then who is there, then the protocol that it is for.

Until the handshake is over nothing is read or said above TLS. A connection has a deadline for all that, and for being welcomed by
the protocol that follows, since a refused peer of TLS 1.3 sees a connection that succeeds and never answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.contexts import Contexts, JoinContext

WELCOME_SECONDS = 5.0
STRANGERS_MAX = 64  # connections that have not been welcomed yet

Enter = Callable[["Door"], Any]


@implementer(IHandshakeListener)
class Door(Protocol):
    """
    One connection.

    @ivar enter: is given the door when the handshake is over, and gives the protocol that is behind it, or None to hang up.
    @ivar left: is called once with the door and the reason when the connection is over.
    """

    def __init__(self, clock: IReactorTime, enter: Enter, left: Callable[[Door, Failure], object]) -> None:
        self._clock = clock
        self._enter = enter
        self._left = left
        self._inner: Any = None
        self._deadline: IDelayedCall | None = None
        self.isOpen = False
        self.isWelcome = False

    def connectionMade(self) -> None:
        """See IProtocol."""
        self.isOpen = True
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._deadline = self._clock.callLater(WELCOME_SECONDS, self.hangUp)

    def handshakeCompleted(self) -> None:
        """See IHandshakeListener."""
        if self._inner is None:
            self._inner = self._enter(self)
            if self._inner is None:
                self.hangUp()
            else:
                self._inner.makeConnection(self.transport)

    def welcome(self) -> None:
        """The peer is accepted; the deadline is no more."""
        self.isWelcome = True
        self._endDeadline()

    def hangUp(self) -> None:
        """End the connection now."""
        transport: Any = self.transport
        if self.isOpen:
            transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol."""
        if self._inner is not None:
            self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """See IProtocol."""
        self._endDeadline()
        self.isOpen = False
        inner, self._inner = self._inner, None
        self._left(self, reason)  # first: whoever is told by the inner protocol must not use it any more
        if inner is not None:
            inner.connectionLost(reason)

    def _endDeadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


class _Closed(Protocol):
    """What there is beyond the bound."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


class Doors(Factory):
    """All connections that others open to this node."""

    noisy = False

    def __init__(self, clock: IReactorTime, enter: Enter) -> None:
        self._clock = clock
        self._enter = enter
        self._open: set[Door] = set()

    def buildProtocol(self, addr: Any) -> Protocol:
        """See IProtocolFactory."""
        if sum(not door.isWelcome for door in self._open) >= STRANGERS_MAX:
            return _Closed()
        door = Door(self._clock, self._enter, lambda door, _: self._open.discard(door))
        self._open.add(door)
        return door

    def hangUp(self) -> None:
        """End all connections."""
        for door in list(self._open):
            door.hangUp()


class _One(Factory):
    noisy = False

    def __init__(self, door: Door) -> None:
        self._door = door

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._door


def serving(contexts: Contexts, doors: Doors, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """What to listen with."""
    return TLSMemoryBIOFactory(contexts, False, doors, clock)


def calling(contexts: Contexts | JoinContext, door: Door, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """What to connect with, once."""
    return TLSMemoryBIOFactory(contexts, True, _One(door), clock)
