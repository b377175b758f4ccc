"""The factory of POP3 connections: what they are given, how they are bounded, how they end."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from jindimail.pop3.connection import Connection
from jindimail.pop3.limits import Limits
from jindimail.pop3.session import Pop3

_PEERS_MAX = 1024


class Pop3Factory(ServerFactory):
    """
    Makes POP3 sessions.

    `tls` is what `startTLS` takes, or None: no STLS. `plaintextPasswords` allows passwords before TLS to loopback peers.
    Implicit TLS (pop3s) is the listener's to put around it.
    """

    noisy = False

    def __init__(
        self,
        *,
        portal: Portal,
        sessions: Any,
        reactor: IReactorTime,
        hostName: str,
        tls: Any = None,
        plaintextPasswords: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.portal = portal
        self.sessions = sessions
        self.reactor = reactor
        self.hostName = hostName.encode("ascii", "replace")
        self.tls = tls
        self.plaintextPasswords = plaintextPasswords
        self.limits = limits or Limits()
        self._connections: set[Connection] = set()
        self._idle: list[Deferred[None]] = []
        self._isClosing = False

    def buildProtocol(self, addr: IAddress | None) -> Pop3:  # type: ignore[override]
        """A session, or one that only says that there are too many."""
        peer = str(getattr(addr, "host", "local"))
        session = None if self._isClosing else self.sessions.admit("pop3", peer)
        connection = Pop3(self, session, peer, isLoopback(peer))
        self._connections.add(connection)
        return connection

    def connectionEnded(self, connection: Connection) -> None:
        """A connection is lost."""
        self._connections.discard(connection)
        if not self._connections:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def closeWhenIdle(self) -> Deferred[None]:
        """End all sessions after the command under way; fires when the last connection is gone."""
        self._isClosing = True
        if not self._connections:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        for connection in tuple(self._connections):
            connection.closeWhenIdle()
        return waiting


@lru_cache(maxsize=_PEERS_MAX)
def isLoopback(peer: str) -> bool:
    """Whether a peer is this machine: a loopback address, or a UNIX socket's `local`."""
    if peer == "local":
        return True
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
