"""
A connection between nodes: TLS, then who is there, then the protocol that it is for.

Until the handshake is over nothing is read or said above TLS; after that this is the transport of what is above. A connection has a deadline for all that, and for being welcomed by
the protocol that follows, since a refused peer of TLS 1.3 sees a connection that succeeds and never answers.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.contexts import Contexts
from jindimail.networks import network
from jindimail.tls import TlsSide

WELCOME_SECONDS = 5.0
_TOGETHER_OCTETS = 32 * 1024  # so much does not wait for company
STRANGERS_MAX = 64  # connections that have not been welcomed yet

Enter = Callable[["Door"], Any]


@implementer(ITransport)
class Door(Protocol, TlsSide):
    """
    One connection. What is said in one turn of the reactor leaves together: one record of TLS, one send, one wake-up of the peer.

    @ivar enter: is given the door when the handshake is over, and gives the protocol that is behind it, or None to hang up.
    @ivar left: is called once with the door and the reason when the connection is over.
    """

    transport: Any

    def __init__(
        self,
        clock: IReactorTime,
        context: ssl.SSLContext,
        enter: Enter,
        left: Callable[[Door, Failure], object],
        *,
        isServer: bool = False,
    ) -> None:
        self._clock = clock
        self._context = context
        self._isServer = isServer
        self._enter = enter
        self._left = left
        self._inner: Any = None
        self._deadline: IDelayedCall | None = None
        self._isEnding = False
        self._said: list[bytes] = []  # in this turn
        self._saidOctets = 0
        self.isOpen = False
        self.isWelcome = False

    def connectionMade(self) -> None:
        """See IProtocol."""
        self.isOpen = True
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._deadline = self._clock.callLater(WELCOME_SECONDS, self.hangUp)
        self.wearTls(self._context, isServer=self._isServer)
        self.decrypt(b"")

    def welcome(self) -> None:
        """The peer is accepted; the deadline is no more."""
        self.isWelcome = True
        self._endDeadline()

    def hangUp(self) -> None:
        """End the connection now."""
        self._isEnding = True
        if self.isOpen:
            self.transport.abortConnection()

    # --- to and from the network

    def send(self, data: bytes) -> None:
        """See `TlsSide`."""
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol."""
        if not self._isEnding:
            self.decrypt(data)

    def deliver(self, octets: bytes) -> None:
        """See `TlsSide`."""
        self._inner.dataReceived(octets)

    def isDeaf(self) -> bool:
        """See `TlsSide`."""
        return self._isEnding

    def shaken(self) -> None:
        """See `TlsSide`."""
        self._inner = self._enter(self)
        if self._inner is None:
            self.hangUp()
        else:
            self._inner.makeConnection(self)

    def parted(self) -> None:
        """See `TlsSide`."""
        self.loseConnection()

    def broken(self) -> None:
        """See `TlsSide`."""
        self._isEnding = True
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """See IProtocol."""
        self._endDeadline()
        self.isOpen = False
        self._isEnding = True
        inner, self._inner = self._inner, None
        self._left(self, reason)  # first: whoever is told by the inner protocol must not use it any more
        if inner is not None:
            inner.connectionLost(reason)

    def _endDeadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    # --- the transport of what is behind the door

    def write(self, data: bytes) -> None:
        """See ITransport."""
        if self._isEnding:
            return
        if not self._said:
            self._clock.callLater(0, self._leave)
        self._said.append(data)
        self._saidOctets += len(data)
        if self._saidOctets >= _TOGETHER_OCTETS:
            self._leave()

    def _leave(self) -> None:
        """All that was said in a turn leaves."""
        said, self._said, self._saidOctets = self._said, [], 0
        if said and not self._isEnding:
            self.encrypt(said[0] if len(said) == 1 else b"".join(said))

    def writeSequence(self, pieces: Any) -> None:
        """See ITransport."""
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        """See ITransport; the peer is told."""
        if not self._isEnding:
            self._leave()
            self.bidFarewell()
            self._isEnding = True
            self.transport.loseConnection()

    def abortConnection(self) -> None:
        """See ITCPTransport."""
        self.hangUp()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See IConsumer: it is paused when the network takes no more."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """See IConsumer."""
        self.transport.unregisterProducer()

    def getPeer(self) -> IAddress:
        """See ITransport."""
        peer: IAddress = self.transport.getPeer()
        return peer

    def getHost(self) -> IAddress:
        """See ITransport."""
        host: IAddress = self.transport.getHost()
        return host


class Doors(Factory):
    """
    All connections that others open to this node.

    Of those that are not welcome yet one gives way to one too many, the oldest of the network that has most: strangers that hold all places open keep no node out.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, contexts: Contexts, enter: Enter) -> None:
        self._clock = clock
        self._contexts = contexts
        self._enter = enter
        self._open: dict[Door, str] = {}  # the oldest first; with the peer's network

    def buildProtocol(self, addr: Any) -> Protocol:
        """See IProtocolFactory."""
        strangers = [door for door in self._open if not door.isWelcome]
        if len(strangers) >= STRANGERS_MAX:
            crowds = Counter(self._open[door] for door in strangers)
            crowd = max(crowds, key=crowds.__getitem__)
            tooMany = next(door for door in strangers if self._open[door] == crowd)
            self._left(tooMany)
            tooMany.hangUp()
        door = Door(self._clock, self._contexts.server, self._enter, self._left, isServer=True)
        self._open[door] = network(getattr(addr, "host", ""))
        return door

    def _left(self, door: Door, reason: Failure | None = None) -> None:
        self._open.pop(door, None)

    def hangUp(self) -> None:
        """End all connections."""
        for door in list(self._open):
            door.hangUp()


class Calling(Factory):
    """What to connect with, once."""

    noisy = False

    def __init__(self, door: Door) -> None:
        self._door = door

    def buildProtocol(self, addr: Any) -> Protocol:
        """See IProtocolFactory."""
        return self._door
