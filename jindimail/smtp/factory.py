"""The factories of the three services: what they stand on, who is connected, and an orderly end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.interfaces import IAddress, IReactorTime

from jindimail.delivery.spool import Spool
from jindimail.edge.connections import Connections
from jindimail.interfaces import IDelivery, ISessions
from jindimail.smtp import state
from jindimail.smtp.limits import SmtpLimits
from jindimail.smtp.partial import PartlyFiled
from jindimail.smtp.protocol import SmtpProtocol
from jindimail.smtp.surroundings import Surroundings


class SmtpFactory(Connections[SmtpProtocol]):
    """
    One of `smtp` (from other servers), `submission` (from users) and `lmtp` (from a server in front, which is trusted).

    `setLimits` and `tls` take effect for connections made afterwards.
    """

    def __init__(
        self,
        *,
        service: str,
        delivery: IDelivery,
        spool: Spool,
        sessions: ISessions,
        reactor: IReactorTime,
        seconds: Callable[[], float],
        hostName: str,
        portal: Portal | None = None,
        tls: Any = None,
        limits: SmtpLimits | None = None,
        plaintextPasswords: bool = False,
    ) -> None:
        """
        `service` is a name of `state.SERVICES`; `portal` is needed for submission only; `tls` is what `startTLS` takes, or None;
        `seconds` is the wall clock.
        """
        super().__init__()
        self.sessions = sessions
        self.reactor: Any = reactor
        self.tls = tls
        self.surroundings = Surroundings(
            service=state.SERVICES[service],
            portal=portal,
            delivery=delivery,
            partlyFiled=PartlyFiled(),
            spool=spool,
            hostName=hostName,
            limits=limits or SmtpLimits(),
            seconds=seconds,
            plaintextPasswords=plaintextPasswords,
        )

    def buildProtocol(self, addr: IAddress | None) -> SmtpProtocol:
        """A connection; whether it is admitted shows when it is made."""
        connection = SmtpProtocol(self)
        connection.factory = self
        return self.added(connection)

    def setLimits(self, limits: SmtpLimits) -> None:
        """Other bounds, for connections made from now on."""
        self.surroundings = replace(self.surroundings, limits=limits)
