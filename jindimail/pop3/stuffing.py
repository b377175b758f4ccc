"""
Multi-line responses (RFC 1939 §3): dot-stuffing, and TOP's excerpt of a message (RFC 1939 §7). Pure.

Both are fed a message in pieces cut anywhere, and know the octets before a piece only by the end of the last one.

A dot after a bare LF is stuffed too (APPEND takes such messages): most clients read lines up to LF, whatever stands
before it, and would take that dot for the end, and what follows for answers.
"""

from __future__ import annotations

import re
from typing import Final

_LINE_END: Final = b"\r\n"
_BLANK: Final = re.compile(rb"\n\r?\n")


def stuffed(message: bytes) -> bytes:
    """A whole message as it stands in a multi-line response, with the final line end and dot."""
    octets = message.replace(b"\n.", b"\n..")
    first = b"." if octets.startswith(b".") else b""
    if octets.endswith(_LINE_END) or not octets:
        return b"%b%b.\r\n" % (first, octets)
    return b"%b%b\r\n.\r\n" % (first, octets)


class Stuffer:
    """The same for a message in pieces: `stuff` each, then `end`."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = _LINE_END

    def stuff(self, piece: bytes) -> bytes:
        """The piece with a dot before each dot that begins a line."""
        octets = piece.replace(b"\n.", b"\n..")
        if self._tail.endswith(b"\n") and piece.startswith(b"."):
            octets = b"." + octets
        self._tail = (self._tail + piece[-2:])[-2:]
        return octets

    def end(self) -> bytes:
        """What follows the last piece: a line end where the message has none, and the final dot."""
        return b".\r\n" if self._tail == _LINE_END else b"\r\n.\r\n"


class Excerpt:
    """TOP: the header, the blank line and the first lines of the body, out of a message in pieces."""

    __slots__ = ("_lines", "_tail", "isComplete")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._tail: bytes | None = _LINE_END  # None: the blank line is behind us
        self.isComplete = False
        """Whether nothing more is wanted."""

    def cut(self, piece: bytes) -> bytes:
        """The part of the piece that belongs to the excerpt."""
        start = 0
        if self._tail is not None:
            joined = self._tail + piece
            blank = _BLANK.search(joined)
            if blank is None:
                self._tail = joined[-2:]
                return piece
            start = blank.end() - len(self._tail)
            self._tail = None
        return piece[: self._bodyEnd(piece, start)]

    def _bodyEnd(self, piece: bytes, start: int) -> int:
        """Where the wanted lines end in the piece."""
        found = piece.count(b"\n", start)
        if found < self._lines:
            self._lines -= found
            return len(piece)
        self.isComplete = True
        while self._lines:
            start = piece.index(b"\n", start) + 1
            self._lines -= 1
        return start


def isWithin(octets: bytes, lines: int) -> bool:
    """Whether an excerpt with so many lines lies within the first octets of its message."""
    excerpt = Excerpt(lines)
    excerpt.cut(octets)
    return excerpt.isComplete
