"""
What two nodes tell each other when a connection begins, and whether each accepts the other.

Pure. The certificate says who the peer is; the hello says which life of it this is, and what it can speak. A peer of a lower
incarnation than was seen before runs on an old disk image (design §4), and so does a second life of one incarnation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from jindimail.cluster.authority import Identity
from jindimail.errors import ProtocolError, Refusal

FORMAT = 1
LEVELS = (1, 1)  # the protocol levels that this version speaks
LIFE_OCTETS = 8

CONTROL, DATA = 0, 1
CHANNELS = {CONTROL: "control", DATA: "data"}


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


class Unwelcome(Refusal):
    """A hello, or its answer, that is not accepted."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who speaks. `life` is drawn anew by each process; `levels` is the lowest and the highest that it speaks."""

    arrayId: bytes
    node: int
    incarnation: int
    life: bytes
    levels: tuple[int, int] = LEVELS

    def encode(self) -> tuple[Any, ...]:
        """As it travels: basic types only."""
        return (FORMAT, self.arrayId, self.node, self.incarnation, self.life, *self.levels)


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
    if len(arrayId) != 16 or len(life) != LIFE_OCTETS or node < 1 or incarnation < 0 or not 1 <= low <= high:
        raise ProtocolError("no hello")
    return Hello(arrayId=arrayId, node=node, incarnation=incarnation, life=life, levels=(low, high))


class Acquaintance:
    """What this node has seen of the others."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, bytes]] = {}

    def incarnation(self, node: int) -> int:
        """The highest that was seen; -1 for none."""
        return self._seen.get(node, (-1, b""))[0]

    def isNew(self, hello: Hello) -> bool:
        """Whether this is another life of a node than the one that was met."""
        return self._seen.get(hello.node, (-1, b""))[1] not in (b"", hello.life)

    def meet(self, hello: Hello) -> None:
        """
        Believe a peer, and remember it.

        @raise Unwelcome: it is older than what was seen.
        """
        incarnation, life = self._seen.get(hello.node, (-1, b""))
        if hello.incarnation < incarnation:
            raise Unwelcome(Reason.OLD_INCARNATION)
        if hello.incarnation == incarnation and life and life != hello.life:
            raise Unwelcome(Reason.TWO_LIVES)
        self._seen[hello.node] = hello.incarnation, hello.life

    def forget(self, nodes: Iterable[int]) -> None:
        """Nodes that are gone for good."""
        for node in nodes:
            self._seen.pop(node, None)


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
