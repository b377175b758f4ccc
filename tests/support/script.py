r"""
Multi-session protocol scripts: what clients send and servers answer, as text.

    # a comment
    S: +OK ready             the next line of the server, exactly
    S/ \+OK [0-9]+ octets    the next line of the server, as a regular expression that matches all of it
    S* .                     lines of the server up to and including this one, whatever they are
    C: USER anna             a line of the client; \x00, \r, \t and \\ may stand in it
    C> 4 octets              octets of the client without a line end
    SESSION 2                go on with (or begin) another connection
    CLOSED                   the server has closed the connection
    OPEN                     it has not
    LOST                     the client's connection is lost
    DO name                  call the hook of this name

Client lines that follow each other are sent in one piece (pipelined). Whatever the server says must be in the script: when
the client speaks, when the session changes and at the end, nothing may be left over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.support.wires import Wire


class ScriptError(AssertionError):
    """The server did something else than the script says."""


class IConnect(Protocol):
    """Makes a connected server protocol."""

    def __call__(self) -> tuple[Any, Wire]:
        """The protocol, and the transport it is connected to."""
        ...


@dataclass
class _Session:
    protocol: Any
    wire: Wire
    taken: int = 0
    toSend: bytes = field(default=b"")

    def line(self) -> bytes | None:
        octets = self.wire.value()
        end = octets.find(b"\r\n", self.taken)
        if end < 0:
            return None
        line, self.taken = octets[self.taken : end], end + 2
        return line


class Script:
    """Runs a script against connections; `hooks` are what `DO` may call."""

    def __init__(self, connect: IConnect, hooks: Mapping[str, Callable[[], object]] | None = None) -> None:
        self._connect = connect
        self._hooks = dict(hooks or {})
        self._sessions: dict[str, _Session] = {}
        self._current = ""
        self._where = ""

    def run(self, text: str) -> None:
        """Run a script; raises `ScriptError` at its first line that does not hold."""
        self._begin("1")
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if line and not line.startswith("#"):
                self._where = f"line {number}: {line}"
                self._step(line)
        self._where = "end of script"
        self._send()
        for name in self._sessions:
            self._current = name
            self._nothingLeft()

    def _step(self, line: str) -> None:
        kind, rest = line[:2], line[3:]
        if kind == "C:" or kind == "C>":
            if not self._session.toSend:
                self._nothingLeft()
            self._session.toSend += _octets(rest) + (b"\r\n" if kind == "C:" else b"")
            return
        self._send()
        if kind == "S:":
            self._expect(lambda got: got == _octets(rest))
        elif kind == "S/":
            pattern = re.compile(rest.encode())
            self._expect(lambda got: pattern.fullmatch(got) is not None)
        elif kind == "S*":
            while self._next() != _octets(rest):
                pass
        else:
            self._command(*line.split())

    def _command(self, word: str, argument: str = "") -> None:
        if word == "SESSION":
            self._begin(argument)
        elif word == "CLOSED":
            self._nothingLeft()
            if not self._session.wire.disconnecting:
                raise ScriptError(f"{self._where}: the connection is open")
        elif word == "OPEN":
            if self._session.wire.disconnecting:
                raise ScriptError(f"{self._where}: the connection is closed")
        elif word == "LOST":
            self._session.protocol.connectionLost(Failure(ConnectionDone()))
        elif word == "DO":
            self._hooks[argument]()
        else:
            raise ScriptError(f"{self._where}: not a script line")

    @property
    def _session(self) -> _Session:
        return self._sessions[self._current]

    def _begin(self, name: str) -> None:
        self._current = name
        if name not in self._sessions:
            self._sessions[name] = _Session(*self._connect())

    def _send(self) -> None:
        session = self._session
        octets, session.toSend = session.toSend, b""
        if octets:
            session.protocol.dataReceived(octets)

    def _expect(self, isRight: Callable[[bytes], bool]) -> None:
        got = self._next()
        if not isRight(got):
            raise ScriptError(f"{self._where}\n  but got: {got!r}")

    def _next(self) -> bytes:
        got = self._session.line()
        if got is None:
            raise ScriptError(f"{self._where}\n  but the server said nothing")
        return got

    def _nothingLeft(self) -> None:
        rest = self._session.wire.value()[self._session.taken :]
        if rest:
            raise ScriptError(f"{self._where}\n  but before it session {self._current} got: {rest!r}")


def _octets(text: str) -> bytes:
    escaped = re.compile(r"\\(x[0-9a-fA-F]{2}|r|t|\\)")
    return escaped.sub(_unescaped, text).encode("utf-8", "surrogateescape")


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    if code.startswith("x"):
        value = int(code[1:], 16)
        return chr(value) if value < 128 else chr(0xDC00 + value)
    return {"r": "\r", "t": "\t", "\\": "\\"}[code]
