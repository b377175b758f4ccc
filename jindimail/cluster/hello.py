"""
What two nodes tell each other when a connection begins, and whether each accepts the other.

Pure. The certificate says who the peer is; the hello says which life of it this is, which lives its store remembers, what it can speak, and where it is
reached (what follows from its lives: acquaintance.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from jindimail.cluster.authority import Identity
from jindimail.cluster.token import ADDRESSES_MAX
from jindimail.errors import ProtocolError, Refusal
from jindimail.kinds import readAddress
from jindimail.store.records import LIFE_OCTETS, LIVES_OCTETS

FORMAT = 1
_MISSING = (b"", b"", ())  # what versions before did not say: lives, ends, addresses
LEVELS = (1, 1)  # the protocol levels that this version speaks

CONTROL, DATA = 0, 1
CHANNELS = {CONTROL: "control", DATA: "data"}
INCARNATION_MAX = 2**63 - 1  # the store keeps 64 bits


class Reason(IntEnum):
    """Why a peer was refused."""

    WELCOME = 0
    WRONG_ARRAY = 1
    WRONG_NODE = 2
    UNKNOWN_NODE = 3
    OLD_INCARNATION = 4
    TWO_LIVES = 5
    NO_LEVEL = 6
    NOT_UNDERSTOOD = 7
    OLD_COPY = 8
    GONE = 9  # given up for good, which an array never takes back


class Unwelcome(Refusal):
    """A hello, or its answer, that is not accepted."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """
    Who speaks. `life` is drawn anew by each process; `levels` is the lowest and the highest that it speaks.

    @ivar lives: those of the incarnations just before this one, as this node's store remembers them, the latest last.
    @ivar ends: with how many commits of its store each of these ended, in as many octets; 0: that says nothing.
    @ivar addresses: where it is reached as it is configured now. What the array has agreed on may be older, and cannot be changed by a node that nobody reaches.
    """

    arrayId: bytes
    node: int
    incarnation: int
    life: bytes
    levels: tuple[int, int] = LEVELS
    lives: bytes = b""
    ends: bytes = b""
    addresses: tuple[str, ...] = ()

    def lifeOf(self, incarnation: int) -> bytes:
        """The life that an incarnation of this node was, as it remembers; empty: it does not reach back so far."""
        return _fromTheEnd(self.lives + self.life, self.incarnation - incarnation)

    def endOf(self, incarnation: int) -> int:
        """With how many commits an incarnation of this node ended, as it remembers; 0: it does not."""
        return int.from_bytes(_fromTheEnd(self.ends, self.incarnation - 1 - incarnation), "big")

    def encode(self) -> tuple[Any, ...]:
        """As it travels: basic types only."""
        return (
            FORMAT,
            self.arrayId,
            self.node,
            self.incarnation,
            self.life,
            *self.levels,
            self.lives,
            self.ends,
            tuple(address.encode("ascii") for address in self.addresses),
        )


def _fromTheEnd(octets: bytes, back: int) -> bytes:
    """Of as many octets as a life has each, the one so many before the last; empty: there are not so many."""
    end = len(octets) - LIFE_OCTETS * back
    return octets[max(0, end - LIFE_OCTETS) : max(0, end)]


def decodeHello(fields: Any) -> Hello:
    """
    A hello as it came in; fields that a later version adds are ignored.

    @raise ProtocolError: it is none.
    """
    kinds = (int, bytes, int, int, bytes, int, int)
    if not isinstance(fields, tuple | list) or len(fields) < len(kinds):
        raise ProtocolError("no hello")
    if any(type(field) is not kind for field, kind in zip(fields, kinds, strict=False)):
        raise ProtocolError("no hello")
    _, arrayId, node, incarnation, life, low, high = fields[: len(kinds)]
    said = (*fields[len(kinds) :], *_MISSING[len(fields) - len(kinds) :])
    lives, ends, addresses = said[: len(_MISSING)]
    if len(arrayId) != 16 or len(life) != LIFE_OCTETS or node < 1 or not 1 <= low <= high:
        raise ProtocolError("no hello")
    if not 0 <= incarnation <= INCARNATION_MAX:
        raise ProtocolError("no hello")
    for each in (lives, ends):
        if type(each) is not bytes or len(each) > LIVES_OCTETS or len(each) % LIFE_OCTETS:
            raise ProtocolError("no hello")
    return Hello(
        arrayId=arrayId,
        node=node,
        incarnation=incarnation,
        life=life,
        levels=(low, high),
        lives=lives,
        ends=ends,
        addresses=_decodeAddresses(addresses),
    )


def _decodeAddresses(fields: Any) -> tuple[str, ...]:
    """
    Addresses as they came in.

    @raise ProtocolError: there are too many, or one is none.
    """
    if not isinstance(fields, tuple | list) or len(fields) > ADDRESSES_MAX:
        raise ProtocolError("no hello")
    try:
        return tuple(readAddress(field.decode("ascii")) for field in fields)
    except (AttributeError, ValueError) as problem:
        raise ProtocolError("no hello") from problem


def judgeHello(mine: Hello, hello: Hello, identity: Identity) -> int:
    """
    The protocol level to speak with a peer whose certificate has this identity.

    @raise Unwelcome: the peer is not who its certificate says, of another array, or speaks no common level.
    """
    if identity.arrayId != mine.arrayId or hello.arrayId != mine.arrayId:
        raise Unwelcome(Reason.WRONG_ARRAY)
    if identity.node != hello.node or hello.node == mine.node:
        raise Unwelcome(Reason.WRONG_NODE)
    level = min(mine.levels[1], hello.levels[1])
    if level < max(mine.levels[0], hello.levels[0]):
        raise Unwelcome(Reason.NO_LEVEL)
    return level
