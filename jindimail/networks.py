"""What counts as one at the other end, for bounds on strangers. Pure."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

PEERS_REMEMBERED = 4096  # a peer's network is asked for at each of its connections, twice


@lru_cache(maxsize=PEERS_REMEMBERED)
def network(peer: str) -> str:
    """The network that counts as one peer: an IPv4 address, an IPv6 /64."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex(":", 2)
