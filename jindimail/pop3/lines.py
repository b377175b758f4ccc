"""
Command lines out of octets (pure).

A line ends with CRLF; a lone LF is taken too, since people type at servers. The reader is at the same time the queue of
pipelined commands: lines that were fed and not yet taken stay in it as octets.
"""

from __future__ import annotations

from typing import Final

OVERLONG: Final = b"\n"
"""Stands in for a line that was longer than the bound, whose octets are dropped; no line contains LF."""


class LineReader:
    """Feed octets, take lines. It holds at most what was fed since the last line was taken."""

    __slots__ = ("_buffer", "_lineOctetsMax", "_start", "discardedOctets")

    def __init__(self, lineOctetsMax: int) -> None:
        self._lineOctetsMax = lineOctetsMax
        self._buffer = b""
        self._start = 0
        self.discardedOctets = 0
        """Octets dropped so far of an overlong line that has not ended."""

    @property
    def waitingOctets(self) -> int:
        """Octets fed and not yet taken."""
        return len(self._buffer) - self._start

    def feed(self, octets: bytes) -> None:
        """Take octets as they come from the network."""
        if self._start < len(self._buffer):
            self._buffer = self._buffer[self._start :] + octets
        else:
            self._buffer = octets
        self._start = 0

    def next(self) -> bytes | None:
        """The next line without its end, `OVERLONG`, or None when no line is complete."""
        start = self._start
        if start == len(self._buffer) and not self.discardedOctets:
            return None
        end = self._buffer.find(b"\n", start)
        if end < 0:
            self._dropOverlong()
            return None
        self._start = end + 1
        if self.discardedOctets or end + 1 - start > self._lineOctetsMax:
            self.discardedOctets = 0
            return OVERLONG
        if end > start and self._buffer[end - 1] == 13:
            end -= 1
        return self._buffer[start:end]

    def clear(self) -> None:
        """Drop everything that was fed (RFC 3207 §6's command injection, which POP3's STLS shares)."""
        self._buffer = b""
        self._start = 0
        self.discardedOctets = 0

    def _dropOverlong(self) -> None:
        pending = self.waitingOctets
        if self.discardedOctets or pending > self._lineOctetsMax:
            discarded = self.discardedOctets + pending
            self.clear()
            self.discardedOctets = discarded
