"""A POP3 connection: the edge's connection (edge/connection.py) with lines as its events, and POP3's replies."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from twisted.mail import pop3
from twisted.python.failure import Failure

from jindimail.directory import sasl
from jindimail.edge.begin import begin
from jindimail.edge.connection import IConnectionFactory, MailboxConnection
from jindimail.edge.peers import Peer
from jindimail.errors import JindimailError, ProtocolError, Unavailable
from jindimail.mailbox.sessions import Session
from jindimail.pop3.lines import OVERLONG, LineReader

_DISCARDED_OCTETS_MAX: Final = 1_048_576


class LineTooLong(ProtocolError):
    """A command beyond the bound of RFC 2449 §4."""

    pop3Text = "line too long"


class Connection(MailboxConnection, pop3.POP3):
    """The transport's side of a session; subclasses answer the commands."""

    timeOut: int

    def __init__(self, factory: IConnectionFactory, session: Session | None, peer: Peer) -> None:
        MailboxConnection.__init__(self, factory, session, peer)
        self._reader: LineReader = LineReader(max(self.limits.lineOctetsMax, sasl.lineOctetsMax + 2))

    # --- What happens to the connection -----------------------------------------------------------------

    def greet(self) -> None:
        """Greet, without a timestamp: APOP is not offered."""
        self.successResponse(b"%b POP3 server ready" % self.factory.hostName)

    def turnAway(self) -> None:
        """RFC 3206 §4."""
        self.failResponse(b"[SYS/TEMP] too many connections, try later")
        self.close()

    def depart(self) -> None:
        """RFC 3206 §4."""
        self.refuse(Unavailable())
        self.close()

    def tire(self) -> None:
        """Close without a word (RFC 1939 §3)."""
        self.close()

    # --- Commands ---------------------------------------------------------------------------------------

    def state_COMMAND(self, line: bytes) -> None:
        """Answer a command; a bad one is refused and harms no other."""
        if len(line) > self.limits.lineOctetsMax and line[:5].upper() != b"AUTH ":
            raise LineTooLong
        self.wait(self.processCommand(*line.split(b" ")))

    def state_AUTH(self, line: bytes) -> None:
        """The client's answer to a SASL challenge."""
        raise NotImplementedError

    def processCommand(self, command: bytes, *args: bytes) -> Coroutine[Any, Any, None] | None:
        """Carry a command out: at once, or give the coroutine that does."""
        raise NotImplementedError

    def lineReceived(self, line: bytes) -> None:
        """A line, as command or as what the state awaits."""
        try:
            if self.state == "COMMAND":
                self.state_COMMAND(line)
            else:
                self.state_AUTH(line)
        except JindimailError as error:
            self.refuse(error)
        except Exception:
            self.log.failure("command failed in session {session}", session=self.sessionId)
            self.refuse(JindimailError())

    def wait(self, coroutine: Coroutine[Any, Any, None] | None) -> None:
        """Take no other command until the coroutine of this one is done."""
        if coroutine is not None:
            self._isBusy = True
            begin(coroutine, self._commandDone, self._commandFailed)

    def _commandDone(self, _: None) -> None:
        self._isBusy = False
        self.work()

    def _commandFailed(self, failure: Failure) -> None:
        if self.isGone:
            self._isBusy = False
            return
        error = failure.value
        if not isinstance(error, JindimailError):
            self.log.failure("command failed in session {session}", failure, session=self.sessionId)
            error = JindimailError()
        self.refuse(error)
        self._commandDone(None)

    def take(self, event: bytes) -> None:
        """Answer a line."""
        self.resetTimeout()
        if event == OVERLONG:
            self.refuse(LineTooLong())
        else:
            self.lineReceived(event)

    def _regulate(self) -> None:
        """Read on only while the queue has room, and no line is without end."""
        if self._reader.discardedOctets > _DISCARDED_OCTETS_MAX and not self._isClosing:
            self.refuse(LineTooLong())
            self.close()
        else:
            super()._regulate()

    # --- Replies ----------------------------------------------------------------------------------------

    def successResponse(self, message: bytes = b"") -> None:
        """`+OK` with a text."""
        self._badCommands = 0
        self.send(b"+OK %b\r\n" % message if message else b"+OK\r\n")

    def failResponse(self, message: bytes = b"") -> None:
        """`-ERR` with a text."""
        self.send(b"-ERR %b\r\n" % message)

    def refuse(self, error: JindimailError) -> None:
        """`-ERR` with an error's response code (RFC 2449 §8, RFC 3206) and text, never the exception's own."""
        code = b"[%b] " % error.pop3Code.encode("ascii") if error.pop3Code else b""
        self.failResponse(code + error.pop3Text.encode("ascii"))
        if isinstance(error, ProtocolError):
            self._badCommands += 1
            if self._badCommands >= self.limits.badCommandsMax:
                self.close()
