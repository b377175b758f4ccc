"""What every session of a service stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.cred.portal import Portal

from jindimail.delivery.spool import Spool
from jindimail.interfaces import IDelivery
from jindimail.smtp.limits import SmtpLimits
from jindimail.smtp.partial import PartlyFiled
from jindimail.smtp.state import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The narrow dependencies of a session; one for all sessions of a service."""

    service: Service
    portal: Portal | None
    delivery: IDelivery
    partlyFiled: PartlyFiled
    spool: Spool
    hostName: str
    limits: SmtpLimits
    seconds: Callable[[], float]
    plaintextPasswords: bool
