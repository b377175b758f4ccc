"""
Receivers of a message's octets: DATA (RFC 5321 §4.5.2) and BDAT (RFC 3030), block by block. Pure.

A block is looked at as a whole, never line by line. DATA ends at CRLF.CRLF and nowhere else: what might be the beginning of
that is held back until the next block decides. A bare CR or LF, or a NUL, spoils the message, which is then read to its
end and refused, so that what one server takes for the end of a message is never taken for something else by the next one
("SMTP smuggling"). Lines may be of any length: mail comes out octet for octet as it came in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jindimail.errors import JindimailError, Refusal, StorageFull, TooLarge

_END: Final = b"\r\n.\r\n"


class BareLineEnd(Refusal):
    """CR and LF must come together (RFC 5321 §2.3.8)."""

    smtpCode = 554
    smtpEnhanced = "5.6.0"
    smtpText = "message contains a bare CR or LF; lines must end in CRLF"
    imapText = "message contains a bare CR or LF"


class NulOctet(Refusal):
    """NUL must not appear in a message (RFC 5322 §4, RFC 5321 §4.5.2)."""

    smtpCode = 554
    smtpEnhanced = "5.6.0"
    smtpText = "message contains NUL"
    imapText = "message contains NUL"


class Content:
    """What comes in, checked and counted on its way to `write`; after a fault nothing more is written."""

    __slots__ = ("_octetsMax", "_write", "fault", "octets")

    def __init__(self, write: Callable[[bytes], None], octetsMax: int) -> None:
        self._write = write
        self._octetsMax = octetsMax
        self.octets = 0
        self.fault: type[JindimailError] | None = None
        """Why the message is refused, if it is."""

    def add(self, octets: bytes) -> None:
        """Take octets that do not end between CR and LF."""
        self.octets += len(octets)
        # Single octets are replaced by memchr: a third of the time of counting CRLF and comparing with CR and LF.
        if octets.replace(b"\r", b"").replace(b"\n", b"\r\n") != octets:
            self._note(BareLineEnd)
        elif b"\0" in octets:
            self._note(NulOctet)
        elif self.octets > self._octetsMax:
            self._note(TooLarge)
        elif octets and self.fault is None:
            try:
                self._write(octets)
            except StorageFull:
                self._note(StorageFull)

    def _note(self, fault: type[JindimailError]) -> None:
        """Of several faults the worst is told, so that it does not depend on the cutting into blocks."""
        if self.fault is None or _WORST.index(fault) < _WORST.index(self.fault):
            self.fault = fault


_WORST: Final[tuple[type[JindimailError], ...]] = (BareLineEnd, NulOctet, TooLarge, StorageFull)


class DataReceiver:
    """The octets after 354: `feed` blocks until it answers what follows the message."""

    __slots__ = ("_held", "_isFirst", "content")

    def __init__(self, content: Content) -> None:
        self.content = content
        self._held = b"\r\n"  # as if a line had ended before the message
        self._isFirst = True

    def feed(self, block: bytes) -> bytes | None:
        """Take a block; None while the message goes on, or the octets after its end (perhaps none)."""
        block = self._held + block
        end = block.find(_END)
        if end >= 0:
            self._take(block[: end + 2])
            return block[end + 5 :]
        held = _heldBack(block)
        self._held = block[len(block) - held :]
        self._take(block[: len(block) - held])
        return None

    def _take(self, octets: bytes) -> None:
        """Remove the dots that the client stuffed, and the line end that we put before the message."""
        octets = octets.replace(b"\r\n.", b"\r\n")
        if self._isFirst and octets:
            self._isFirst = False
            octets = octets[2:]
        self.content.add(octets)


def _heldBack(block: bytes) -> int:
    """How many of the last octets may be the beginning of the end."""
    for count in (4, 3, 2, 1):
        if block.endswith(_END[:count]):
            return count
    return 0


class ChunkReceiver:
    """The octets of one BDAT chunk; several share one `Content` and what was held back between them."""

    __slots__ = ("_left", "content", "held", "isLast")

    def __init__(self, content: Content, octets: int, isLast: bool, held: bytes = b"") -> None:
        self.content = content
        self.isLast = isLast
        self.held = held
        """A CR at the end, whose LF may be in the next chunk."""
        self._left = octets

    def feed(self, block: bytes) -> bytes | None:
        """Take a block; None while the chunk goes on, or the octets after its end (perhaps none)."""
        taken = block[: self._left]
        self._left -= len(taken)
        self._take(self.held + taken)
        return None if self._left else block[len(taken) :]

    def _take(self, octets: bytes) -> None:
        mayGoOn = self._left > 0 or not self.isLast
        self.held = b"\r" if mayGoOn and octets.endswith(b"\r") else b""
        self.content.add(octets[: len(octets) - len(self.held)])


Receiver = DataReceiver | ChunkReceiver
