"""
What calls between nodes carry: octets in pieces of at most 64 KiB, and outcomes.

Pure. A payload is octets; what they mean is the business of who calls and who answers. Errors travel as the name of the nearest
class of `errors`, never with their text.
"""

from __future__ import annotations

from typing import Any

from jindimail import errors
from jindimail.errors import ConfigError, JindimailError, OutcomeUnknown, ProtocolError

PIECE_OCTETS = 64 * 1024
PAYLOAD_OCTETS_MAX = 4 * 1024 * 1024
PIECES_MAX = PAYLOAD_OCTETS_MAX // PIECE_OCTETS

DONE, FAILED = 0, 1

_ONLY_OCTETS = {bytes}
_BY_NAME = {
    name.encode("ascii"): value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, JindimailError) and value is not ConfigError
}
_NAMES = {value: name for name, value in _BY_NAME.items()}


def slicePayload(payload: bytes) -> list[bytes]:
    """The pieces of a payload; none for an empty one."""
    if len(payload) > PAYLOAD_OCTETS_MAX:
        raise ValueError("a payload is at most 4 MiB")
    if len(payload) <= PIECE_OCTETS:
        return [payload] if payload else []
    return [payload[start : start + PIECE_OCTETS] for start in range(0, len(payload), PIECE_OCTETS)]


def joinPayload(pieces: Any) -> bytes:
    """
    A payload from its pieces.

    @raise ProtocolError: these are none.
    """
    if not arePieces(pieces) or len(pieces) > PIECES_MAX:
        raise ProtocolError("no payload")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def arePieces(pieces: Any) -> bool:
    """Whether this is a list of byte strings of at most 64 KiB each."""
    if type(pieces) is not list or not set(map(type, pieces)) <= _ONLY_OCTETS:
        return False
    return max(map(len, pieces), default=0) <= PIECE_OCTETS


def errorName(error: object) -> bytes:
    """The name by which an error travels; what is not ours is an internal error."""
    for each in type(error).__mro__:
        name = _NAMES.get(each)
        if name is not None:
            return name
    return b"JindimailError"


def errorOf(name: bytes) -> JindimailError:
    """The error of a name; what only a later version knows is an unknown outcome."""
    return _BY_NAME.get(name, OutcomeUnknown)()


def outcomeOf(answer: Any) -> bytes:
    """
    What an answer brings, `(DONE, pieces)` or `(FAILED, [name])`.

    @raise JindimailError: the error that the other side answered with.
    @raise ProtocolError: it is no answer (also if the other side said so).
    """
    if type(answer) is not tuple or len(answer) != 2 or answer[0] not in (DONE, FAILED):
        raise ProtocolError("no answer")
    payload = joinPayload(answer[1])
    if answer[0] == FAILED:
        raise errorOf(payload)
    return payload
