"""
What nodes call each other for about groups: errands for a group's leader, and queries for its members.

Pure. What an errand's words mean is known to who sends and who carries it out; an answer bears the applied index that it is true of.
"""

from __future__ import annotations

from typing import Any

import msgspec

from jindimail.errors import Corrupt


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all of them."""


class Errand(Call, frozen=True, gc=False):
    """Something for a group's leader; one that is not it passes it on, once, if it may."""

    group: int
    mayPass: bool
    words: bytes


class Report(Call, frozen=True, gc=False):
    """An errand's outcome; or, without words: nothing was done, since another node (0: unknown which) leads."""

    leader: int
    index: int
    words: bytes | None


class QueryCall(Call, frozen=True, gc=False):
    """A query for a member that has applied at least an index; `fresh`: confirmed by a majority."""

    group: int
    query: bytes
    fresh: bool
    minIndex: int


class QueryAnswer(Call, frozen=True, gc=False):
    """An answer, and the applied index of the rows that it was read from."""

    index: int
    answer: bytes


class FollowCall(Call, frozen=True, gc=False):
    """The sender wants to hear of what happens in these groups, for a while."""

    groups: tuple[int, ...]


class FollowAnswer(Call, frozen=True, gc=False):
    """(group, applied index) of those that the sender tells of, and how many messages it has told the other so far."""

    groups: tuple[tuple[int, int], ...]
    count: int


NOT_KEPT, KEPT, ARRIVING = (
    0,
    1,
    2,
)  # what the ingress has of the body: nothing, a durable copy, one that it will tell of


class Delivery(Call, frozen=True, gc=False):
    """A delivery for its bucket's leader: the entry, whose keepers the leader settles, and the body, if it is not streamed."""

    entry: bytes
    octets: bytes
    ingress: int
    keeps: int
    attempt: int  # under which the ingress tells that its copy is durable


_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Call], Any] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (Errand, Report, Delivery, FollowCall, FollowAnswer, QueryCall, QueryAnswer)
}


def encodeCall(call: Call) -> bytes:
    """A call's or an answer's octets."""
    return _encode(call)


def decodeCall(octets: bytes, kind: type[Call]) -> Any:
    """
    A call or an answer of this kind.

    @raise Corrupt: it is none.
    """
    try:
        return _decoders[kind].decode(octets)
    except msgspec.MsgspecError as problem:
        raise Corrupt("another node's words do not decode") from problem
