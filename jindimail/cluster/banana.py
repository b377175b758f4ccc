"""
Banana and jelly as node links speak them: the wire format of Twisted's, read and written at a third of the cost, within narrower bounds.

Twisted's decoder copies the rest of its buffer at each token, and its jelly looks every value up in several tables. The decoder here
keeps an offset; values of the basic types that links use are jellied by their type alone. There is no other way in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.spread.banana import Banana

PREFIX_OCTETS_MAX = 10
STRING_OCTETS_MAX = 64 * 1024
LIST_ITEMS_MAX = 4096
DEPTH_MAX = 16
ITEM_OCTETS = 64  # that an item takes in memory, beside a string's own
EXPRESSION_OCTETS_MAX = 8 * 1024 * 1024

LIST, INT, STRING, NEG, _, LONGINT, LONGNEG, VOCAB = range(0x80, 0x88)

_WORDS: list[bytes | None] = [Banana.incomingVocabulary.get(number) for number in range(128)]
_VOCABULARY = {word: bytes((number, VOCAB)) for word, number in Banana.outgoingVocabulary.items()}
_SMALL_INTS = [bytes((number, INT)) for number in range(128)]
_LARGEST_INT = 2**31 - 1

NOT_BASIC = object()


class Violation(Exception):
    """What came in is not within the bounds, or not the format."""


def prefix(number: int) -> bytes:
    """A number in base 128, the least first, as it stands before a type octet."""
    if number < 128:
        return bytes((number,))
    if number < 1 << 14:
        return bytes((number & 0x7F, number >> 7))
    octets = bytearray()
    while number:
        octets.append(number & 0x7F)
        number >>= 7
    return bytes(octets)


def encode(value: Any, hasVocabulary: bool) -> bytes:
    """
    A value of lists, byte strings and integers as it travels.

    @raise TypeError: it is of another type; Twisted's encoder may know it.
    """
    parts: list[bytes] = []
    _encode(value, parts.append, hasVocabulary)
    return b"".join(parts)


def _encode(value: Any, write: Callable[[bytes], object], hasVocabulary: bool) -> None:
    kind = type(value)
    if kind is bytes:
        word = _VOCABULARY.get(value) if hasVocabulary and len(value) < 16 else None
        if word is not None:
            write(word)
        else:
            write(prefix(len(value)) + b"\x82")
            write(value)
    elif kind is int:
        if 0 <= value < 128:
            write(_SMALL_INTS[value])
        elif value > 0:
            write(prefix(value) + (b"\x81" if value <= _LARGEST_INT else b"\x85"))
        else:
            write(prefix(-value) + (b"\x83" if -value <= _LARGEST_INT + 1 else b"\x86"))
    elif kind is list or kind is tuple:
        write(prefix(len(value)) + b"\x80")
        for each in value:
            _encode(each, write, hasVocabulary)
    else:
        raise TypeError(kind)


class Decoder:
    """Octets in, in any portions; expressions out."""

    __slots__ = ("_octets", "_rest", "_stack")

    def __init__(self) -> None:
        self._rest = b""
        self._octets = 0  # of the expression that is not complete yet
        self._stack: list[tuple[int, list[Any]]] = []

    @property
    def isBetween(self) -> bool:
        """Whether an expression begins with what comes next."""
        return not (self._rest or self._stack)

    def feed(self, octets: bytes) -> list[Any]:
        """
        The expressions that are complete now.

        @raise Violation: nothing more can be read.
        """
        buffer = self._rest + octets if self._rest else octets
        done: list[Any] = []
        position, end = 0, len(buffer)
        while position < end:
            start = position
            byte = buffer[position]
            number = shift = 0
            while byte < 0x80:
                number |= byte << shift
                shift += 7
                position += 1
                if position - start > PREFIX_OCTETS_MAX:
                    raise Violation("prefix")
                if position == end:
                    self._rest = buffer[start:]
                    return done
                byte = buffer[position]
            position += 1
            if byte == STRING:
                if number > STRING_OCTETS_MAX:
                    raise Violation("string")
                if end - position < number:
                    self._rest = buffer[start:]
                    return done
                self._octets += number
                self._add(buffer[position : position + number], done)
                position += number
            elif byte != LIST:
                self._add(_short(byte, number), done)
            elif number > LIST_ITEMS_MAX or len(self._stack) >= DEPTH_MAX:
                raise Violation("list")
            elif number:
                self._stack.append((number, []))
            else:
                self._add([], done)
        self._rest = b""
        return done

    def _add(self, item: Any, done: list[Any]) -> None:
        """One more item of the expression; the lists that it completes are items, too."""
        self._octets += ITEM_OCTETS
        if self._octets > EXPRESSION_OCTETS_MAX:
            raise Violation("expression")
        stack = self._stack
        while stack:
            size, items = stack[-1]
            items.append(item)
            if len(items) < size:
                return
            stack.pop()
            item = items
        self._octets = 0
        done.append(item)


def _short(byte: int, number: int) -> Any:
    """A value that is all in its prefix. Links send no floats."""
    if byte in (INT, LONGINT):
        return number
    if byte in (NEG, LONGNEG):
        return -number
    word = _WORDS[number] if byte == VOCAB and number < len(_WORDS) else None
    if word is None:
        raise Violation("type or vocabulary")
    return word


def jelly(value: Any) -> Any:
    """A value of bytes, integers, tuples and lists as jelly writes it; `NOT_BASIC` if there is anything else in it."""
    kind = type(value)
    if kind is bytes or kind is int:
        return value
    if kind is tuple or kind is list:
        items: list[Any] = [b"tuple" if kind is tuple else b"list"]
        for each in value:
            item = each if type(each) is bytes else jelly(each)
            if item is NOT_BASIC:
                return NOT_BASIC
            items.append(item)
        return items
    return [b"dictionary"] if value == {} else NOT_BASIC


def unjelly(value: Any) -> Any:
    """A value from what jelly wrote, if there is nothing in it but what `jelly` takes; otherwise `NOT_BASIC`."""
    kind = type(value)
    if kind is bytes or kind is int:
        return value
    if kind is not list or not value:
        return NOT_BASIC
    head = value[0]
    if head != b"tuple" and head != b"list":
        return {} if value == [b"dictionary"] else NOT_BASIC
    items: list[Any] = []
    for each in value[1:]:
        item = each if type(each) is bytes else unjelly(each)
        if item is NOT_BASIC:
            return NOT_BASIC
        items.append(item)
    return tuple(items) if head == b"tuple" else items
