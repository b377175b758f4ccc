"""What every session of a service stands on, and who is at its other end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from twisted.cred.portal import Portal

from jindimail.delivery.spool import Spool
from jindimail.interfaces import IDelivery
from jindimail.smtp.limits import SmtpLimits
from jindimail.smtp.partial import PartlyFiled
from jindimail.smtp.state import Service

_PEERS_MAX = 1024


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end."""

    address: str
    """Its IP address; empty for a local socket."""

    isLoopback: bool


def peerOf(address: Any) -> Peer:
    """The peer at a transport's address."""
    host = getattr(address, "host", None)
    if not isinstance(host, str):
        return Peer(address="", isLoopback=True)
    return _peerAt(host)


@lru_cache(maxsize=_PEERS_MAX)
def _peerAt(host: str) -> Peer:
    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        return Peer(address=host, isLoopback=False)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Peer(address=str(ip), isLoopback=ip.is_loopback)
