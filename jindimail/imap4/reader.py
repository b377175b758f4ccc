"""
The reader: octets in, commands with their literals out; it never gets out of step (RFC 3501 §2.2, §4.3, RFC 7888).

`feed` octets, then take `next` until it is None. The session takes the next event only when the command before is done,
so that what was pipelined waits here, in order, and nothing is read in a state that the command before has yet to make.

A literal in the middle of a command is kept if it is small. The session is asked (`Offer`) about one that the client
waits to be allowed to send, and about every one in an APPEND: it answers `keep`, `stream` or `refuse`. What is refused but comes
all the same (a line too long, a non-synchronising literal) is read and dropped, so that its octets are never taken for commands; when
that would be absurdly much, the only event left is `Absurd`, and the connection must end.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from jindimail.imap4.limits import Limits

Segments = tuple[bytes, ...]
"""Text, literal, text, literal, …, text: the text before a literal ends in its announcement `{n}`; a streamed one is b""."""


@dataclass(frozen=True, slots=True)
class Command:
    """A complete command: its tag, its name in upper case, and the rest of it, without the space before."""

    tag: bytes
    name: bytes
    segments: Segments


@dataclass(frozen=True, slots=True)
class Offer:
    """A literal is announced: what came of its command so far, and whether the client waits for leave to send it."""

    tag: bytes
    name: bytes
    segments: Segments
    size: int
    synchronizing: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """A command that cannot be carried out; all of it has been read. The tag is b"" if there was none."""

    tag: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line asked for with `readLine`, without its line end."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Absurd:
    """So much is announced or sent that staying in step is not worth it; nothing more is read."""


Event = Command | Offer | Broken | Line | Absurd

TOO_LONG = "command too long"
NOT_CRLF = "lines end in CR LF"
NO_TAG = "a command is a tag, a space and a name"
NUL = "NUL is not allowed"

_START = re.compile(
    rb"([^\x00-\x20(){%*\"\\+\x7f-\xff]{1,255}) +([A-Za-z][A-Za-z0-9.]{0,31})(?: (.*))?\Z", re.DOTALL
)
_TAG = re.compile(rb"([^\x00-\x20(){%*\"\\+\x7f-\xff]{1,255})(?: |\Z)")
_LITERAL = re.compile(rb"\{(\d{1,20})(\+?)\}\Z")
_LITERAL_ANNOUNCEMENT_OCTETS_MAX = 24

_LINE, _WAITING, _KEEPING, _STREAMING, _DROPPING, _SKIPPING, _ENDED = range(7)


class Reader:
    """One connection's input."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._scanned = 0  # of the buffer, without a line end
        self._state = _LINE
        self._left = 0  # octets of the literal still to come
        self._skipped = 0
        self._rawLine = False
        self._sink: Callable[[bytes], None] | None = None
        # of the command under way
        self._tag = b""
        self._name = b""
        self._broken = ""
        self._silent = False
        self._begun = False
        self._textStart = 0
        self._segments: list[bytes] = []
        self._octets = 0
        self._synchronizing = False

    def bound(self, limits: Limits) -> None:
        """Other bounds, for what is read from now on."""
        self._limits = limits

    @property
    def waitingOctets(self) -> int:
        """How many octets wait to be read."""
        return len(self._buffer)

    @property
    def isBehindLiteral(self) -> bool:
        """Whether a literal has come, and not yet what follows it in its command."""
        return self._state == _LINE and bool(self._segments) and not self._buffer

    def feed(self, octets: bytes) -> None:
        """Octets that came in."""
        if self._state == _STREAMING and not self._buffer and len(octets) <= self._left:
            self._deliver(octets)
        elif self._state != _ENDED:
            self._buffer += octets

    def clear(self) -> None:
        """Forget what has not been read: what came in clear text before TLS counts for nothing (RFC 3501 §6.2.1)."""
        self._buffer.clear()
        self._scanned = 0

    def readLine(self) -> None:
        """The next line is no command but a `Line` (SASL, DONE)."""
        self._rawLine = True

    # --- answers to an Offer

    def keep(self) -> None:
        """The offered literal becomes part of the command."""
        assert self._state == _WAITING
        self._state = _KEEPING

    def stream(self, sink: Callable[[bytes], None]) -> None:
        """The offered literal goes to a sink as it comes; the command has b"" in its place."""
        assert self._state == _WAITING
        self._sink = sink
        self._state = _STREAMING

    def refuse(self) -> None:
        """
        The session answers the command now; whatever still comes of it is dropped without an event.

        A client that waits for leave sends nothing more of it.
        """
        assert self._state == _WAITING
        if self._synchronizing:
            self._forget()
        else:
            self._broken, self._silent = TOO_LONG, True
            self._state = _DROPPING

    # --- events

    def next(self) -> Event | None:
        """The next event, or None: more octets are needed, or an answer to the last `Offer`."""
        while True:
            state = self._state
            if state == _LINE:
                event, goOn = self._nextLine()
            elif state == _WAITING:
                return None
            elif state == _SKIPPING:
                event, goOn = self._skipLine()
            elif state == _ENDED:
                return None
            else:
                event, goOn = None, self._takeLiteral()
            if event is not None:
                return event
            if not goOn:
                return None

    def _nextLine(self) -> tuple[Event | None, bool]:
        buffer = self._buffer
        end = buffer.find(b"\n", self._scanned)
        lineMax = self._limits.lineOctetsMax
        if (end if end >= 0 else len(buffer)) > lineMax:
            self._broken = self._broken or TOO_LONG
            self._noteStart(bytes(buffer[:lineMax]))
            self._skipped = 0
            self._state = _SKIPPING
            return None, True
        if end < 0:
            self._scanned = len(buffer)
            return None, False
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        self._scanned = 0
        return self._endLine(line)

    def _skipLine(self) -> tuple[Event | None, bool]:
        """Drop a line that is too long, but look at its end: a literal may be announced there."""
        buffer = self._buffer
        end = buffer.find(b"\n", self._scanned)
        if self._skipped + (end if end >= 0 else len(buffer)) > self._limits.lineDiscardOctetsMax:
            return self._end(), True
        if end < 0:
            surplus = len(buffer) - _LITERAL_ANNOUNCEMENT_OCTETS_MAX - 1
            if surplus > 0:
                del buffer[:surplus]
                self._skipped += surplus
            self._scanned = len(buffer)
            return None, False
        line = bytes(buffer[max(0, end - _LITERAL_ANNOUNCEMENT_OCTETS_MAX) : end + 1])
        del buffer[: end + 1]
        self._scanned = 0
        self._state = _LINE
        if self._rawLine:
            return self._end(), True
        return self._endLine(line)

    def _endLine(self, line: bytes) -> tuple[Event | None, bool]:
        """A line is complete, with its line end."""
        if line.endswith(b"\r\n"):
            line = line[:-2]
        else:
            line = line[:-1]
            self._broken = self._broken or NOT_CRLF
        if self._rawLine:
            self._rawLine = False
            broken, self._broken = self._broken, ""
            return (Broken(b"", broken) if broken else Line(line)), True
        self._noteStart(line)
        if b"\0" in line:
            self._broken = self._broken or NUL
        announced = _LITERAL.search(line, max(0, len(line) - _LITERAL_ANNOUNCEMENT_OCTETS_MAX))
        if announced is None:
            return self._endCommand(line), True
        return self._announce(line, int(announced[1]), synchronizing=not announced[2])

    def _noteStart(self, line: bytes) -> None:
        """Read the tag and name off the first line of a command."""
        if self._begun:
            return
        self._begun = True
        match = _START.match(line)
        if match is None:
            tag = _TAG.match(line)
            self._tag = tag[1] if tag else b""
            self._broken = self._broken or NO_TAG
        else:
            self._tag, self._name = match[1], match[2].upper()
            self._textStart = match.start(3) if match[3] is not None else len(line)

    def _text(self, line: bytes) -> bytes:
        """The line, without tag and name if it is the first."""
        return line[self._textStart :] if not self._segments and not self._broken else line

    def _endCommand(self, line: bytes) -> Event | None:
        tag, name, broken, silent = self._tag, self._name, self._broken, self._silent
        segments = (*self._segments, self._text(line))
        self._forget()
        if not broken:
            return Command(tag, name, segments)
        return None if silent else Broken(tag, broken)

    def _announce(self, line: bytes, size: int, *, synchronizing: bool) -> tuple[Event | None, bool]:
        limits = self._limits
        if not synchronizing and size > limits.discardOctetsMax:
            return self._end(), True
        self._left, self._synchronizing = size, synchronizing
        mayStream = self._name == b"APPEND"
        if not self._broken:
            text = self._text(line)
            self._octets += len(text) + (0 if mayStream else size)
            isTooMuch = size > limits.literalOctetsMax and not mayStream
            if isTooMuch or self._octets > limits.commandOctetsMax:
                self._broken = TOO_LONG
            else:
                self._segments.append(text)
        if self._broken:
            return self._announceBroken(), True
        if synchronizing or mayStream:
            self._state = _WAITING
            return Offer(self._tag, self._name, tuple(self._segments), size, synchronizing), True
        self._state = _KEEPING
        return None, True

    def _announceBroken(self) -> Event | None:
        """A literal of a command that is refused anyway: answered now if the client waits, dropped if it comes."""
        if not self._synchronizing:
            self._state = _DROPPING
            return None
        tag, broken, silent = self._tag, self._broken, self._silent
        self._forget()
        return None if silent else Broken(tag, broken)

    def _takeLiteral(self) -> bool:
        """Take what there is of a literal; whether it is complete."""
        buffer = self._buffer
        count = min(self._left, len(buffer))
        if self._state == _KEEPING:
            if count < self._left:
                return False
            self._segments.append(bytes(buffer[:count]))
        elif self._state == _STREAMING and count:
            self._deliver(bytes(buffer[:count]))
            self._left += count
        del buffer[:count]
        self._left -= count
        if self._left:
            return False
        if self._state == _STREAMING:
            self._segments.append(b"")
            self._sink = None
        self._state = _LINE
        self._scanned = 0
        return True

    def _deliver(self, octets: bytes) -> None:
        assert self._sink is not None
        self._left -= len(octets)
        self._sink(octets)

    def _end(self) -> Event:
        self._state = _ENDED
        self._buffer.clear()
        self._sink = None
        return Absurd()

    def _forget(self) -> None:
        """Begin a new command."""
        self._state = _LINE
        self._tag = b""
        self._name = b""
        self._broken = ""
        self._silent = False
        self._begun = False
        self._textStart = 0
        self._segments = []
        self._octets = 0
        self._synchronizing = False
