"""
What is added at the top of a message that needs it, as its first octets come in. Pure.

A message whose first line is no header field gets the empty line that keeps our own fields apart from its text. A submitted message
gets the Date and Message-ID that it lacks (RFC 6409 §8).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

lineOctetsMax: Final = 998
"""Octets of a first line that is waited for, to see whether it is a field."""

headerOctetsMax: Final = 64 * 1024
"""Octets of a submitted message's header that are waited for; a longer one is taken for complete."""

_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_UNDECIDED: Final = re.compile(rb"[!-9;-~]*[ \t]*\Z")
_DATE: Final = re.compile(rb"^date[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID: Final = re.compile(rb"^message-id[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Top:
    """Stands before `write` until enough of the message is there to see what it lacks."""

    __slots__ = ("_added", "_held", "_isOpen", "_write")

    def __init__(self, write: Callable[[bytes], None], added: tuple[bytes, bytes] | None = None) -> None:
        """`added` are the Date and Message-ID fields of a submitted message, to be used if they are missing."""
        self._write = write
        self._added = added
        self._held = b""
        self._isOpen = False

    def write(self, octets: bytes) -> None:
        """Take the next octets of the message."""
        if self._isOpen:
            self._write(octets)
            return
        self._held += octets
        if self._isDecided():
            self.finish()

    def finish(self) -> None:
        """No more is to come, or none is needed: write what was held back."""
        if self._isOpen:
            return
        self._isOpen = True
        held, self._held = self._held, b""
        before = self._before(held)
        self._write(before + held if before else held)

    def _isDecided(self) -> bool:
        held = self._held
        if self._added is None or _FIELD.match(held) is None:
            return len(held) > lineOctetsMax or _UNDECIDED.match(held) is None
        return len(held) > headerOctetsMax or b"\r\n\r\n" in held

    def _before(self, held: bytes) -> bytes:
        """What goes before the octets that the message begins with."""
        isHeader = _FIELD.match(held) is not None
        added = b"" if self._added is None else _missing(held if isHeader else b"", self._added)
        return added if isHeader or held.startswith(b"\r\n") else added + b"\r\n"


def _missing(held: bytes, added: tuple[bytes, bytes]) -> bytes:
    """Those of the Date and Message-ID fields that the header lacks."""
    header = held.partition(b"\r\n\r\n")[0]
    date, messageId = added
    return (b"" if _DATE.search(header) else date) + (b"" if _MESSAGE_ID.search(header) else messageId)
