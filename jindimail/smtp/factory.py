"""The factories of the three services: what they stand on, who is connected, and an orderly end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from jindimail.delivery.spool import Spool
from jindimail.interfaces import IDelivery, ISessions
from jindimail.smtp import state
from jindimail.smtp.limits import SmtpLimits
from jindimail.smtp.partial import PartlyFiled
from jindimail.smtp.protocol import SmtpProtocol
from jindimail.smtp.surroundings import Surroundings


class SmtpFactory(ServerFactory):
    """
    One of `smtp` (from other servers), `submission` (from users) and `lmtp` (from a server in front, which is trusted).

    `setLimits` and `tls` take effect for connections made afterwards. For implicit TLS wrap the factory.
    """

    noisy = False

    def __init__(
        self,
        *,
        service: str,
        delivery: IDelivery,
        spool: Spool,
        sessions: ISessions,
        reactor: IReactorTime,
        hostName: str,
        portal: Portal | None = None,
        tls: Any = None,
        limits: SmtpLimits | None = None,
        plaintextPasswords: bool = False,
    ) -> None:
        """
        `service` is a name of `state.SERVICES`; `portal` is needed for submission only; `tls` is what `startTLS` takes, or None.
        """
        self.sessions = sessions
        self.reactor: Any = reactor
        self.tls = tls
        self.isLeaving = False
        self._connections: set[SmtpProtocol] = set()
        self._gone: list[Deferred[None]] = []
        self.surroundings = Surroundings(
            service=state.SERVICES[service],
            portal=portal,
            delivery=delivery,
            partlyFiled=PartlyFiled(),
            spool=spool,
            hostName=hostName,
            limits=limits or SmtpLimits(),
            seconds=reactor.seconds,
            plaintextPasswords=plaintextPasswords,
        )

    def buildProtocol(self, addr: IAddress | None) -> SmtpProtocol:
        """A connection; whether it is admitted shows when it is made."""
        connection = SmtpProtocol(self)
        connection.factory = self
        self._connections.add(connection)
        return connection

    def setLimits(self, limits: SmtpLimits) -> None:
        """Other bounds, for connections made from now on."""
        self.surroundings = replace(self.surroundings, limits=limits)

    def forget(self, protocol: SmtpProtocol) -> None:
        """A connection is gone."""
        self._connections.discard(protocol)
        if not self._connections:
            gone, self._gone = self._gone, []
            for each in gone:
                each.callback(None)

    def closeWhenIdle(self) -> Deferred[None]:
        """
        Let connections finish the message they are at, then end them with 421; fires when all are gone.

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
