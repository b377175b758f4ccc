"""
What the array's own group keeps of nodes, replicas wished for, invitations and the authority: `array` (tag, key) (design §9).

Pure. Domains and settings stand in the same table under other tags (store/keys.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jindimail.interfaces import IReadRows
from jindimail.store.keys import ARRAY, after
from jindimail.store.records import Record, decode

NODE_TAG = b"n"
WISH_TAG = b"w"
INVITE_TAG = b"i"
AUTHORITY_KEY = b"a"

# A node's states. Only a node that is UP gets new replicas; one that is DRAINING or GONE loses those it has.
JOINING, UP, DOWN, DRAINING, GONE = "joining", "up", "down", "draining", "gone"
STATES = (JOINING, UP, DOWN, DRAINING, GONE)


class NodeRecord(Record, frozen=True, kw_only=True):
    """A node of the array; its number and name are never reused."""

    name: str
    addresses: tuple[str, ...]  # host:port of its cluster listeners
    host: str  # copies and voters go to different hosts where there are any
    weight: int = 100  # 0: a witness
    state: str = JOINING
    level: int = 1  # of protocols and records
    sinceSeconds: int = 0  # when the state began


class WishRecord(Record, frozen=True, kw_only=True):
    """Which nodes shall have a group's replicas. Only a wish: the group's own log is the truth about its members."""

    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()


class InviteRecord(Record, frozen=True, kw_only=True):
    """An invitation, kept under its secret's hash."""

    expiresSeconds: int
    usedBy: int = 0  # a node number: it is spent
    requestHash: bytes = b""  # of the key that it admitted


class AuthorityRecord(Record, frozen=True, kw_only=True):
    """The array's certificate authority, both PEM."""

    certificate: bytes
    key: bytes


def levelOf(nodes: Mapping[int, NodeRecord]) -> int:
    """The level that all nodes of the array know, whether they are up or not: the log holds nothing that is newer."""
    return min((record.level for record in nodes.values() if record.state != GONE), default=1)


def nodeKey(node: int) -> bytes:
    """A node by its number."""
    return NODE_TAG + node.to_bytes(4, "big")


def wishKey(group: int) -> bytes:
    """A group's wish."""
    return WISH_TAG + group.to_bytes(2, "big")


def inviteKey(secretHash: bytes) -> bytes:
    """An invitation."""
    return INVITE_TAG + secretHash


def readNodes(rows: IReadRows) -> Iterator[tuple[int, NodeRecord]]:
    """All nodes there ever were, by number."""
    for key, octets in rows.scan(ARRAY, NODE_TAG, after(NODE_TAG)):
        yield int.from_bytes(key[1:], "big"), decode(octets, NodeRecord)


def readWishes(rows: IReadRows) -> Iterator[tuple[int, WishRecord]]:
    """All wishes by group."""
    for key, octets in rows.scan(ARRAY, WISH_TAG, after(WISH_TAG)):
        yield int.from_bytes(key[1:], "big"), decode(octets, WishRecord)


def readInvites(rows: IReadRows) -> Iterator[tuple[bytes, InviteRecord]]:
    """All invitations by their secrets' hashes."""
    for key, octets in rows.scan(ARRAY, INVITE_TAG, after(INVITE_TAG)):
        yield key[1:], decode(octets, InviteRecord)


def readAuthority(rows: IReadRows) -> AuthorityRecord | None:
    """The authority, once there is one."""
    octets = rows.get(ARRAY, AUTHORITY_KEY)
    return None if octets is None else decode(octets, AuthorityRecord)
