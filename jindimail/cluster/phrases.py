"""
The three phrases of which nearly all traffic between nodes is made, written and read whole: messages, calls and their answers.

On the wire they are what Perspective Broker says (banana.py); but here the words around what is carried are ready-made octets,
and are looked for by a pattern, instead of being made and read one by one. Whatever is not such a phrase, or not there as a whole,
is left to `banana`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from jindimail.cluster.banana import LIST_ITEMS_MAX, STRING, STRING_OCTETS_MAX, encode, prefix

ROOT: Final = b"root"
TAKE, CALL, ANSWER = range(3)

Phrase = tuple[int, int, tuple[Any, ...]]  # which of the three, the request's number, the arguments

_PREFIXES: Final = [prefix(number) for number in range(1 << 14)]
_NUMBER: Final = rb"([\x00-\x7f]{1,5})"
_INT: Final = b"\x81"
_STRING: Final = b"\x82"


def _words(*values: Any) -> bytes:
    return b"".join(encode(value, True) for value in values)


def _list(items: int, *values: Any) -> bytes:
    """The beginning of a list of so many items."""
    return bytes((items, 0x80)) + _words(*values)


_STRINGS: Final = b"\x80" + _words(b"list")
_HEAD: Final = _list(7, b"message")
_TAIL: Final = _words([b"dictionary"])
_TAKE: Final = _words(ROOT, b"take", 0) + _list(2, b"tuple")
_CALL: Final = _words(ROOT, b"call", 1) + _list(4, b"tuple")
_ANSWER: Final = _list(3, b"answer")
_OUTCOME: Final = _list(3, b"tuple")

_readTake: Final = re.compile(
    re.escape(_HEAD) + _NUMBER + _INT + re.escape(_TAKE) + _NUMBER + re.escape(_STRINGS)
).match
_readCall: Final = re.compile(
    re.escape(_HEAD) + _NUMBER + _INT + re.escape(_CALL) + rb"([\x00-\x7f])" + _STRING
).match
_readCalled: Final = re.compile(_NUMBER + _INT + _NUMBER + re.escape(_STRINGS)).match
_readAnswer: Final = re.compile(
    re.escape(_ANSWER) + _NUMBER + _INT + re.escape(_OUTCOME) + _NUMBER + _INT + _NUMBER + re.escape(_STRINGS)
).match

_FIRST: Final = (_HEAD[0], _ANSWER[0])


# --- writing


def take(request: int, strings: list[bytes]) -> bytes:
    """Messages for the root's `take`; no answer is wanted."""
    parts = [_HEAD, prefix(request), _INT, _TAKE]
    _addStrings(parts, strings)
    parts.append(_TAIL)
    return b"".join(parts)


def call(request: int, method: bytes, milliseconds: int, strings: list[bytes]) -> bytes:
    """A call of the root's `call`."""
    parts = [
        _HEAD,
        prefix(request),
        _INT,
        _CALL,
        _PREFIXES[len(method)],
        _STRING,
        method,
        prefix(milliseconds),
        _INT,
    ]
    _addStrings(parts, strings)
    parts.append(_TAIL)
    return b"".join(parts)


def answer(request: int, outcome: int, strings: list[bytes]) -> bytes:
    """The answer to a call."""
    parts = [_ANSWER, prefix(request), _INT, _OUTCOME, _PREFIXES[outcome], _INT]
    _addStrings(parts, strings)
    return b"".join(parts)


def _addStrings(parts: list[bytes], strings: list[bytes]) -> None:
    parts += _PREFIXES[len(strings) + 1], _STRINGS
    for string in strings:
        length = len(string)
        parts += _PREFIXES[length] if length < 1 << 14 else prefix(length), _STRING, string


# --- reading


def read(buffer: bytes, position: int) -> tuple[Phrase, int] | None:
    """The phrase that stands at a place, whole, and where it ends; None: it is something else, or not all there."""
    if buffer[position] not in _FIRST:
        return None
    if match := _readTake(buffer, position):
        request, count = match.groups()
        return _closed(TAKE, request, (), buffer, match.end(), count)
    if match := _readAnswer(buffer, position):
        request, outcome, count = match.groups()
        found = _strings(buffer, match.end(), _number(count))
        return found and ((ANSWER, _number(request), (_number(outcome), found[0])), found[1])
    if match := _readCall(buffer, position):
        request, length = match.groups()
        start = match.end()
        stop = start + length[0]
        if rest := _readCalled(buffer, stop):
            milliseconds, count = rest.groups()
            return _closed(
                CALL, request, (buffer[start:stop], _number(milliseconds)), buffer, rest.end(), count
            )
    return None


def _closed(
    kind: int, request: bytes, arguments: tuple[Any, ...], buffer: bytes, position: int, count: bytes
) -> tuple[Phrase, int] | None:
    """A call of a method, whose strings begin at a place, and end before its tail."""
    found = _strings(buffer, position, _number(count))
    if found is None or not buffer.startswith(_TAIL, found[1]):
        return None
    return (kind, _number(request), (*arguments, found[0])), found[1] + len(_TAIL)


def _number(octets: bytes) -> int:
    if len(octets) == 1:
        return octets[0]
    number = 0
    for octet in reversed(octets):
        number = number << 7 | octet
    return number


def _strings(buffer: bytes, position: int, count: int) -> tuple[list[bytes], int] | None:
    """The strings of a list of `count` items, whose first was its kind; and where they end."""
    strings: list[bytes] = []
    end = len(buffer)
    if not 0 < count <= LIST_ITEMS_MAX:
        return None
    for _ in range(count - 1):
        length = shift = 0
        while position < end and (octet := buffer[position]) < 0x80 and shift < 28:
            length |= octet << shift
            shift += 7
            position += 1
        stop = position + 1 + length
        if stop > end or buffer[position] != STRING or length > STRING_OCTETS_MAX:
            return None
        strings.append(buffer[position + 1 : stop])
        position = stop
    return strings, position
