"""The connections of a service: who is connected, and an orderly end."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from jindimail.edge.peers import Peer, peerOf


class IConnected(Protocol):
    """What a factory needs of its connections."""

    def closeWhenIdle(self) -> None:
        """Finish what is under way, then close."""


ConnectedT = TypeVar("ConnectedT", bound=IConnected)
LimitsT = TypeVar("LimitsT")


class Connections(ServerFactory, Generic[ConnectedT]):
    """A factory that knows its connections. For implicit TLS the listener puts TLS around it."""

    noisy = False

    def __init__(self) -> None:
        self.isLeaving = False
        self._connections: set[ConnectedT] = set()
        self._gone: list[Deferred[None]] = []

    def added(self, connection: ConnectedT) -> ConnectedT:
        """A connection was made; it is given back."""
        self._connections.add(connection)
        return connection

    def connectionEnded(self, connection: ConnectedT) -> None:
        """A connection is lost."""
        self._connections.discard(connection)
        if not self._connections:
            gone, self._gone = self._gone, []
            for each in gone:
                each.callback(None)

    def closeWhenIdle(self) -> Deferred[None]:
        """
        Let connections finish what they are at, then end them; fires when all are gone.

        Stop listening first; who connects all the same is turned away.
        """
        self.isLeaving = True
        if not self._connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        for connection in tuple(self._connections):
            connection.closeWhenIdle()
        return gone


class MailboxService(Connections[ConnectedT], Generic[ConnectedT, LimitsT]):
    """
    What the factories of IMAP and POP3 share.

    `tls` is what `startTLS` takes, or None: no STARTTLS. `plaintextPasswords` allows passwords before TLS to loopback peers.
    """

    service: str

    def __init__(
        self,
        *,
        portal: Portal,
        sessions: Any,
        reactor: IReactorTime,
        hostName: str,
        limits: LimitsT,
        tls: Any = None,
        plaintextPasswords: bool = False,
    ) -> None:
        super().__init__()
        self.portal = portal
        self.sessions = sessions
        self.reactor = reactor
        self.hostName = hostName.encode("ascii", "replace")
        self.limits = limits
        self.tls = tls
        self.plaintextPasswords = plaintextPasswords

    def buildProtocol(self, addr: IAddress | None) -> ConnectedT:  # type: ignore[override]
        """A session, or one that only says that there are too many."""
        peer = peerOf(addr)
        session = None if self.isLeaving else self.sessions.admit(self.service, peer.address or "local")
        return self.added(self.sessionOf(session, peer))

    def sessionOf(self, session: Any, peer: Peer) -> ConnectedT:
        """The protocol of a session that was admitted, or was not (None)."""
        raise NotImplementedError
