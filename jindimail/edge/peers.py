"""Who is at the other end of a connection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

_PEERS_MAX: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end."""

    address: str
    """Its IP address; empty for a local socket."""

    isLoopback: bool


_LOCAL: Final = Peer(address="", isLoopback=True)


def peerOf(address: Any) -> Peer:
    """The peer at a transport's address; a UNIX socket's is this machine."""
    host = getattr(address, "host", None)
    return _peerAt(host) if isinstance(host, str) else _LOCAL


@lru_cache(maxsize=_PEERS_MAX)
def _peerAt(host: str) -> Peer:
    try:
        ip: Any = ip_address(host.partition("%")[0])
    except ValueError:
        return Peer(address=host, isLoopback=False)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return Peer(address=str(ip), isLoopback=ip.is_loopback)
