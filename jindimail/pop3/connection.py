"""
A POP3 connection: lines in, replies out, one command at a time.

Theory of operation. Octets go into the `LineReader`, which is also the queue of pipelined commands (RFC 2449 §6.6): a line
is taken from it only when the command before is done, so replies cannot be reordered, whatever waits for what. What
commands reply is collected and written once per turn. Two things hold the queue up: `_isBusy`, a command that waits for the
account, and `_isStalled`, a client that does not read (the connection is its transport's streaming producer). While the
queue is held up and full, the transport is not read.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.mail import pop3
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.directory import sasl
from jindimail.errors import JindimailError, ProtocolError, Unavailable
from jindimail.mailbox.sessions import Session
from jindimail.pop3.limits import Limits
from jindimail.pop3.lines import OVERLONG, LineReader

_FLUSH_OCTETS: Final = 32_768
_DISCARDED_OCTETS_MAX: Final = 1_048_576


class LineTooLong(ProtocolError):
    """A command beyond the bound of RFC 2449 §4."""

    pop3Text = "line too long"


class IConnectionFactory(Protocol):
    """What a connection needs of its factory."""

    reactor: IReactorTime
    limits: Limits
    hostName: bytes

    def connectionEnded(self, connection: Connection) -> None:
        """The connection is lost."""


@implementer(IPushProducer)
class Connection(pop3.POP3):
    """The transport's side of a session; subclasses answer the commands."""

    log = Logger()
    factory: IConnectionFactory  # type: ignore[assignment]
    transport: Any
    timeOut: int

    def __init__(self, factory: IConnectionFactory, session: Session | None, peer: str) -> None:
        self.factory = factory
        self.session = session
        self.peer = peer
        self.limits = factory.limits
        self.isSecure = False
        self.isGone = False
        self._reader = LineReader(max(factory.limits.lineOctetsMax, sasl.lineOctetsMax + 2))
        self._out: list[bytes] = []
        self._outOctets = 0
        self._isBusy = False
        self._isStalled = False
        self._isWorking = False
        self._isClosing = False
        self._isLeaving = False
        self._isReading = True
        self._room: Deferred[None] | None = None
        self._badCommands = 0

    # --- What happens to the connection -----------------------------------------------------------------

    def connectionMade(self) -> None:
        """Greet, without a timestamp: APOP is not offered."""
        self.isSecure = ISSLTransport.providedBy(self.transport)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.setTimeout(self.limits.loginSeconds)
        if self.session is None:
            self.failResponse(b"[SYS/TEMP] too many connections, try later")
            self.close()
        else:
            self.session.disconnect = self.cutOff
            self.successResponse(b"%b POP3 server ready" % self.factory.hostName)
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The session is over; nothing is deleted but by QUIT (RFC 1939 §6)."""
        self.isGone = True
        self.setTimeout(None)
        room, self._room = self._room, None
        if room is not None:
            room.errback(Failure(ConnectionDone()))
        if self.session is not None:
            self.session.end()
        self.factory.connectionEnded(self)

    def dataReceived(self, data: bytes) -> None:
        """Queue what came in and work on it."""
        if self._isClosing:
            return
        self._reader.feed(data)
        self._work()

    def pauseProducing(self) -> None:
        """The transport is full: the client does not read as fast as we write."""
        self._isStalled = True

    def resumeProducing(self) -> None:
        """The client has taken what was written."""
        self._isStalled = False
        self.resetTimeout()
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)
        self._work()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` follows."""

    def closeWhenIdle(self) -> None:
        """Close the connection, once the command under way is answered."""
        self._isLeaving = True
        self._work()

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
            Deferred.fromCoroutine(coroutine).addCallbacks(self._commandDone, self._commandFailed)

    def _commandDone(self, _: None) -> None:
        self._isBusy = False
        self._work()

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

    def _work(self) -> None:
        """Answer what waits, as far as the account and the client let us."""
        if self._isWorking or self.isGone:
            return
        self._isWorking = True
        while not (self._isBusy or self._isStalled or self._isClosing):
            if self._isLeaving:
                self.refuse(Unavailable())
                self.close()
                break
            line = self._reader.next()
            if line is None:
                break
            self.resetTimeout()
            if line == OVERLONG:
                self.refuse(LineTooLong())
            else:
                self.lineReceived(line)
        self._isWorking = False
        self._flush()
        self._regulate()

    def _regulate(self) -> None:
        """Read on only while the queue has room."""
        if self.isGone or self._isClosing:
            return
        if self._reader.discardedOctets > _DISCARDED_OCTETS_MAX:
            self.refuse(LineTooLong())
            self.close()
            return
        wanted = self._reader.pendingOctets <= self.limits.pendingOctetsMax
        if wanted != self._isReading:
            self._isReading = wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    # --- Replies ----------------------------------------------------------------------------------------

    def reply(self, *octets: bytes) -> None:
        """Write octets of a reply, soon."""
        self._out += octets
        for piece in octets:
            self._outOctets += len(piece)
        if self._outOctets >= _FLUSH_OCTETS:
            self._flush()

    def successResponse(self, message: bytes = b"") -> None:
        """`+OK` with a text."""
        self._badCommands = 0
        self.reply(b"+OK %b\r\n" % message if message else b"+OK\r\n")

    def failResponse(self, message: bytes = b"") -> None:
        """`-ERR` with a text."""
        self.reply(b"-ERR %b\r\n" % message)

    def sendLine(self, line: bytes) -> None:
        """A line of a reply."""
        self.reply(line, b"\r\n")

    def refuse(self, error: JindimailError) -> None:
        """`-ERR` with an error's response code (RFC 2449 §8, RFC 3206) and text, never the exception's own."""
        code = b"[%b] " % error.pop3Code.encode("ascii") if error.pop3Code else b""
        self.failResponse(code + error.pop3Text.encode("ascii"))
        if isinstance(error, ProtocolError):
            self._badCommands += 1
            if self._badCommands >= self.limits.badCommandsMax:
                self.close()

    async def room(self) -> None:
        """Wait until the client has taken what was written; fails when it goes away."""
        self._flush()
        if self.isGone:
            raise ConnectionDone
        if self._isStalled:
            self._room = Deferred()
            await self._room

    def _flush(self) -> None:
        if self._out and not self.isGone:
            out, self._out, self._outOctets = self._out, [], 0
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    # --- The end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what is written and close; whoever does not let us is cut off."""
        if self._isClosing or self.isGone:
            return
        self._flush()
        self._isClosing = True
        self._reader.clear()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.setTimeout(self.limits.closeSeconds)

    def cutOff(self) -> None:
        """Drop the connection at once: the client must not take a truncated reply for a whole one."""
        self._isClosing = True
        self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        """No command, or no progress, for too long: close without a word (RFC 1939 §3)."""
        if self._isClosing or self._isStalled:
            self.cutOff()
        elif self._isBusy:
            self.setTimeout(self.timeOut)
        else:
            self.close()

    def callLater(self, period: float, func: Any) -> IDelayedCall:
        """`TimeoutMixin`'s clock."""
        return self.factory.reactor.callLater(period, func)

    def setTimeout(self, period: int | None) -> None:
        """Close the connection after so many seconds without `resetTimeout`."""
        TimeoutMixin.setTimeout(self, period)

    def resetTimeout(self) -> None:
        """The client is alive."""
        TimeoutMixin.resetTimeout(self)

    @property
    def sessionId(self) -> str:
        """What logs call the session."""
        return self.session.id if self.session is not None else "refused"
