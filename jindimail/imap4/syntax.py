"""
The tokens of IMAP's grammar, read off a command by a cursor (RFC 3501 §9).

Every method reads one thing at the cursor and moves behind it, in time linear in what it reads, or raises `Malformed`.
Lists are read by loops, never by recursion.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from jindimail.errors import ProtocolError
from jindimail.message.dates import parseInternalDate, parseSearchDate
from jindimail.model import SYSTEM_FLAGS

STAR = 0
"""`*` in a sequence set: the highest number there is."""

NUMBER_MAX = 0xFFFFFFFF
LIST_ITEMS_MAX = 10_000
KEYWORD_OCTETS_MAX = 255

Ranges = tuple[tuple[int, int], ...]

_ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\]\x7f-\xff]+")
_ASTRING = re.compile(rb"[^\x00-\x20(){%*\"\\\x7f-\xff]+")
_LIST_MAILBOX = re.compile(rb"[^\x00-\x20(){\"\\\x7f-\xff]+")
_QUOTED = re.compile(rb'"([^"\\\x00\r\n]*+(?:\\["\\][^"\\\x00\r\n]*+)*)"')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_LITERAL = re.compile(rb"\{\d{1,20}\+?\}\Z")
_NUMBER = re.compile(rb"\d{1,20}")
_SET = re.compile(rb"[0-9*:,]+")
_RANGE = re.compile(rb"([1-9]\d{0,9}|\*)(?::([1-9]\d{0,9}|\*))?\Z")
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9.\-]*")
_OPENING = re.compile(rb"\( *")
_CLOSING = re.compile(rb" *\)")
_END = re.compile(rb" *\Z")
_FLAG = re.compile(rb"\\?[^\x00-\x20(){%*\"\\\]\x7f-\xff]+")

_SYSTEM_NAMES = {name.encode("ascii").lower(): name for name in SYSTEM_FLAGS}


T = TypeVar("T")


class Malformed(ProtocolError):
    """The client's command does not follow the grammar."""


class Cursor:
    """A place in a command."""

    __slots__ = ("_index", "_segments", "at", "text")

    def __init__(self, segments: tuple[bytes, ...]) -> None:
        self._segments = segments
        self._index = 0
        self.text = segments[0]
        self.at = 0
        while self.skip(b" "):
            pass

    @property
    def isAtEnd(self) -> bool:
        """Whether nothing is left but blanks, which are forgiven."""
        return self._index + 1 >= len(self._segments) and _END.match(self.text, self.at) is not None

    @property
    def isAtLastLiteral(self) -> bool:
        """Whether what comes next is the announcement of the last literal, which is still to come."""
        return self._index + 1 >= len(self._segments) and _LITERAL.match(self.text, self.at) is not None

    def expectLastLiteral(self) -> None:
        """The announcement of the last literal must stand here."""
        if not self.isAtLastLiteral:
            raise Malformed

    def endsAfterLiteral(self, segmentCount: int) -> bool:
        """Whether the command ends with the literal announced at the end of so many segments."""
        return len(self._segments) == segmentCount + 2 and not self._segments[-1]

    def end(self) -> None:
        """Nothing may be left."""
        if not self.isAtEnd:
            raise Malformed

    def has(self, token: bytes) -> bool:
        """Whether this stands at the cursor."""
        return self.text.startswith(token, self.at)

    def skip(self, token: bytes) -> bool:
        """Move behind a token if it stands here."""
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def expect(self, token: bytes) -> None:
        """Move behind a token that must stand here."""
        if not self.skip(token):
            raise Malformed

    def space(self) -> None:
        """One space; several are forgiven."""
        self.expect(b" ")
        while self.skip(b" "):
            pass

    def skipOpening(self) -> bool:
        """Move behind a parenthesis that opens, if it stands here. Blanks inside parentheses are forgiven: Dovecot and aioimaplib send some."""
        return self._skips(_OPENING)

    @property
    def isAtClosing(self) -> bool:
        """Whether a parenthesis that closes is next."""
        return _CLOSING.match(self.text, self.at) is not None

    def skipClosing(self) -> bool:
        """Move behind a parenthesis that closes, if it is next."""
        return self._skips(_CLOSING)

    def _skips(self, pattern: re.Pattern[bytes]) -> bool:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found is not None

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        """What matches at the cursor."""
        found = pattern.match(self.text, self.at)
        if found is None:
            raise Malformed
        self.at = found.end()
        return found

    def word(self) -> bytes:
        """A name of the grammar (a search key, a fetch item), in upper case."""
        return self.match(_WORD)[0].upper()

    def atom(self) -> bytes:
        """An atom."""
        return self.match(_ATOM)[0]

    def number(self) -> int:
        """A number below 2^63."""
        number = int(self.match(_NUMBER)[0])
        if number >= 1 << 63:
            raise Malformed
        return number

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self.has(b'"'):
            octets = self.match(_QUOTED)[1]
            return _ESCAPE.sub(rb"\1", octets) if b"\\" in octets else octets
        self.match(_LITERAL)
        if self._index + 2 >= len(self._segments):
            raise Malformed
        literal = self._segments[self._index + 1]
        self._index += 2
        self.text = self._segments[self._index]
        self.at = 0
        return literal

    def astring(self) -> bytes:
        """An atom that may hold `]`, or a string."""
        return self.string() if self.text[self.at : self.at + 1] in (b'"', b"{") else self.match(_ASTRING)[0]

    def listMailbox(self) -> bytes:
        """A pattern of LIST: an atom with wildcards and `]`, or a string."""
        return (
            self.string()
            if self.text[self.at : self.at + 1] in (b'"', b"{")
            else self.match(_LIST_MAILBOX)[0]
        )

    def flag(self) -> str:
        """A flag that a client may set: a system flag as RFC 3501 writes it, or a keyword."""
        octets = self.match(_FLAG)[0]
        if octets[:1] != b"\\" and len(octets) <= KEYWORD_OCTETS_MAX:
            return octets.decode("ascii")
        name = _SYSTEM_NAMES.get(octets.lower())
        if name is None:
            raise Malformed
        return name

    def listOf(self, read: Callable[[Cursor], T]) -> tuple[T, ...]:
        """Any number of things in parentheses."""
        if not self.skipOpening():
            raise Malformed
        found: list[T] = []
        while not self.skipClosing():
            if found:
                self.space()
            found.append(read(self))
            if len(found) > LIST_ITEMS_MAX:
                raise Malformed
        return tuple(found)

    def flagList(self) -> tuple[str, ...]:
        """Flags in parentheses."""
        return _unique(self.listOf(Cursor.flag))

    def flags(self) -> tuple[str, ...]:
        """Flags in parentheses, or bare (STORE)."""
        if self.has(b"("):
            return self.flagList()
        flags = [self.flag()]
        while not self.isAtEnd:
            self.space()
            flags.append(self.flag())
        return _unique(flags)

    def sequenceSet(self) -> Ranges:
        """A sequence set as ranges in any order; `*` is STAR."""
        return parseSequenceSet(self.match(_SET)[0])

    def isSequenceSet(self) -> bool:
        """Whether a sequence set begins here."""
        return self.text[self.at : self.at + 1] in _SET_STARTS

    def words(self) -> tuple[bytes, ...]:
        """Names in parentheses, in upper case."""
        return self.listOf(Cursor.word)

    def attributes(self) -> tuple[bytes, ...]:
        """Names with a backslash, in parentheses, in lower case (RFC 6154); there may be none."""
        return self.listOf(lambda cursor: cursor.match(_FLAG)[0].lower())

    def astrings(self) -> tuple[bytes, ...]:
        """Strings in parentheses."""
        return self.listOf(Cursor.astring)

    def dateTime(self) -> int:
        """A quoted date and time, in seconds since the epoch; what was before counts as the epoch itself."""
        instant = parseInternalDate(self.string())
        if instant is None:
            raise Malformed
        return max(instant.epochSeconds, 0)

    def date(self) -> int:
        """A date, bare or quoted, in days since the epoch."""
        day = parseSearchDate(self.astring())
        if day is None:
            raise Malformed
        return day


_SET_STARTS = tuple(b"%d" % digit for digit in range(10)) + (b"*",)


def _unique(flags: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flags))


def parseSequenceSet(octets: bytes) -> Ranges:
    """
    Ranges of a sequence set, in linear time; `*` is STAR.

    @raise Malformed: it is none.
    """
    ranges = []
    for item in octets.split(b","):
        match = _RANGE.match(item)
        if match is None:
            raise Malformed
        first, last = match.groups()
        low = STAR if first == b"*" else int(first)
        high = low if last is None else STAR if last == b"*" else int(last)
        if low > NUMBER_MAX or high > NUMBER_MAX:
            raise Malformed
        ranges.append((low, high))
    return tuple(ranges)


def resolveRanges(ranges: Ranges, highest: int) -> Ranges:
    """The ranges with `*` replaced, each low to high, ascending, merged (`559:*` means `*:559`, RFC 3501 §6.4.8)."""
    settled = []
    for first, last in ranges:
        low, high = first or highest, last or highest
        settled.append((low, high) if low <= high else (high, low))
    settled.sort()
    merged: list[tuple[int, int]] = []
    for low, high in settled:
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)
