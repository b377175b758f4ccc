"""
An IMAP connection: octets in, responses out, one command at a time.

Theory of operation. Octets go into the `Reader`, which is also the queue of pipelined commands: an event is taken from it only when
the command before is answered (RFC 3501 §5.5), so that answers cannot be out of order, whatever waits for what. A command is a
coroutine; it may ask for a `line` of its own (SASL, DONE). What commands send is collected and written in pieces. Two things hold the
queue up: `_isBusy`, a command at work, and `_isStalled`, a client that does not read (the connection is its transport's streaming
producer). While the queue is held up and long, the transport is not read.
"""

from __future__ import annotations

import socket
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
from twisted.mail import imap4
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.errors import JindimailError, ProtocolError
from jindimail.imap4 import answers
from jindimail.imap4.limits import Limits
from jindimail.imap4.reader import Absurd, Broken, Command, Line, Offer, Reader
from jindimail.mailbox.sessions import Session

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)  # Linux has it
_TOO_MANY: Final = b"[UNAVAILABLE] too many connections, try later"


class IConnectionFactory(Protocol):
    """What a connection needs of its factory."""

    reactor: IReactorTime
    limits: Limits
    hostName: bytes

    def connectionEnded(self, connection: Connection) -> None:
        """The connection is lost."""


@implementer(IPushProducer)
class Connection(imap4.IMAP4Server):
    """The transport's side of a session; the subclass answers the commands."""

    log = Logger()
    factory: IConnectionFactory
    transport: Any

    def __init__(self, factory: IConnectionFactory, session: Session | None, peer: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.factory = factory
        self.session = session
        self.peer = peer
        self.limits = factory.limits
        self.isSecure = False
        self.isGone = False
        self._reader = Reader(factory.limits)
        self._out: list[bytes] = []
        self._outOctets = 0
        self._isBusy = False
        self.isStalled = False
        self._isWorking = False
        self._isClosing = False
        self._leavingText = b""
        self._isReading = True
        self._roomWanted: Deferred[None] | None = None
        self._lineWanted: Deferred[bytes] | None = None
        self._badCommands = 0

    # --- What happens to the connection -----------------------------------------------------------------

    def connectionMade(self) -> None:
        """Greet."""
        self.tags = {}
        self.isSecure = ISSLTransport.providedBy(self.transport)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.setTimeout(self.limits.loginSeconds)
        if self.session is None:
            self.bye(_TOO_MANY)
            return
        self.session.disconnect = self.cutOff
        self.greet()
        self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whatever waits for the client waits no more; what is being committed goes on."""
        self.isGone = True
        self.setTimeout(None)
        self._out.clear()
        for waiting in (self._roomWanted, self._lineWanted):
            if waiting is not None:
                waiting.errback(Failure(ConnectionDone()))
        self._roomWanted = self._lineWanted = None
        self.ended()
        if self.session is not None:
            self.session.end()
        self.factory.connectionEnded(self)

    def dataReceived(self, data: bytes) -> None:
        """Queue what came in and work on it."""
        if self._isClosing:
            return
        self.resetTimeout()
        self._reader.feed(data)
        self._work()
        if self._reader.isBehindLiteral:
            self._acknowledgeAtOnce()

    def pauseProducing(self) -> None:
        """The transport is full: the client does not read as fast as we write."""
        self.isStalled = True

    def resumeProducing(self) -> None:
        """The client has taken what was written."""
        self.isStalled = False
        self.resetTimeout()
        waiting, self._roomWanted = self._roomWanted, None
        if waiting is not None:
            waiting.callback(None)
        self._work()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` follows."""

    def closeWhenIdle(self) -> None:
        """Close the connection, once the command under way is answered; one that only waits for the client is not."""
        self.leave(b"[UNAVAILABLE] server is shutting down")
        self._work()

    def leave(self, text: bytes) -> None:
        """Close the connection after the command under way."""
        self._leavingText = text

    # --- Commands ---------------------------------------------------------------------------------------

    def perform(self, command: Command) -> Coroutine[Any, Any, None]:
        """Carry a command out and answer it."""
        raise NotImplementedError

    def offered(self, offer: Offer) -> Coroutine[Any, Any, None]:
        """Keep, stream or refuse a literal (`_reader`)."""
        raise NotImplementedError

    def greet(self) -> None:
        """Send the greeting (RFC 3501 §7.1)."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is lost: let go of everything."""
        raise NotImplementedError

    def _work(self) -> None:
        """Answer what waits, as far as the commands and the client let us."""
        if self._isWorking or self.isGone:
            return
        self._isWorking = True
        while not (self.isStalled or self._isClosing or (self._isBusy and self._lineWanted is None)):
            if self._leavingText:
                self.bye(self._leavingText)
                break
            event = self._reader.next()
            if event is None:
                break
            self._take(event)
        self._isWorking = False
        self.flush()
        self._regulate()

    def _take(self, event: Command | Offer | Broken | Line | Absurd) -> None:
        match event:
            case Command():
                self._start(event.tag, self.perform(event))
            case Offer():
                self._start(event.tag, self.offered(event))
            case Line():
                self._giveLine(event.octets)
            case Broken():
                self._refuseBroken(event)
            case Absurd():
                self.bye(b"[TOOBIG] that is too much")

    def _giveLine(self, octets: bytes) -> None:
        waiting, self._lineWanted = self._lineWanted, None
        assert waiting is not None
        waiting.callback(octets)

    def _refuseBroken(self, event: Broken) -> None:
        if self._lineWanted is not None:
            self._giveLine(b"\0")  # neither DONE nor base64
            return
        self.send(event.tag or b"*", b" BAD ", event.reason.encode("ascii"), b"\r\n")
        self.countBad()

    def _start(self, tag: bytes, coroutine: Coroutine[Any, Any, None]) -> None:
        self._isBusy = True
        Deferred.fromCoroutine(coroutine).addCallback(self._done).addErrback(self._failed, tag)

    def _done(self, _: None) -> None:
        self._isBusy = False
        self._work()

    def _failed(self, failure: Failure, tag: bytes) -> None:
        """The outermost shell: what is no error of ours is logged, and the client learns that it was not its fault."""
        self._isBusy = False
        if self.isGone:
            return
        self.log.failure("command failed in session {session}", failure, session=self.sessionId)
        self.refuse(tag, JindimailError())
        self._work()

    def _regulate(self) -> None:
        """Read on only while the queue has room."""
        if self.isGone or self._isClosing:
            return
        isHeldUp = self.isStalled or (self._isBusy and self._lineWanted is None)
        wanted = not isHeldUp or self._reader.waitingOctets <= self.limits.inputOctetsMax
        if wanted != self._isReading:
            self._isReading = wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    async def line(self) -> bytes:
        """The client's next line, which is no command; fails when the client goes away."""
        if self.isGone:
            raise ConnectionDone
        self.flush()
        self._reader.readLine()
        waiting = self._lineWanted = Deferred()
        self._work()
        return await waiting

    # --- Answers ----------------------------------------------------------------------------------------

    def send(self, *octets: bytes) -> None:
        """Send octets of responses, soon."""
        if self._isClosing:
            return
        self._out += octets
        for piece in octets:
            self._outOctets += len(piece)
        if self._outOctets >= self.limits.outputOctets:
            self.flush()

    def sendLine(self, line: bytes) -> None:
        """Send a line."""
        self.send(line, b"\r\n")

    def untagged(self, text: bytes) -> None:
        """Send an untagged response."""
        self.send(b"* ", text, b"\r\n")

    def refuse(self, tag: bytes, error: JindimailError) -> None:
        """The tagged answer to a command that was not carried out."""
        state, text = answers.status(error)
        self.send(tag, b" ", state, b" ", text, b"\r\n")
        if isinstance(error, ProtocolError):
            self.countBad()

    def countBad(self) -> None:
        """One more bad command in a row: after too many the peer is no mail client."""
        self._badCommands += 1
        if self._badCommands >= self.limits.badCommandsMax:
            self.bye(b"too many bad commands")

    def countGood(self) -> None:
        """A command was understood."""
        self._badCommands = 0

    async def room(self) -> None:
        """Wait until the client has taken what was written; fails when it goes away."""
        self.flush()
        if self.isGone:
            raise ConnectionDone
        if self.isStalled:
            self._roomWanted = Deferred()
            await self._roomWanted

    async def breathe(self, seconds: float = 0) -> None:
        """Let the reactor do something else."""
        pause: Deferred[None] = Deferred()
        self.factory.reactor.callLater(seconds, pause.callback, None)
        await pause
        if self.isGone:
            raise ConnectionDone

    def flush(self) -> None:
        """Write what is collected."""
        if self._out and not self.isGone:
            out, self._out, self._outOctets = self._out, [], 0
            self.transport.write(b"".join(out))

    def _acknowledgeAtOnce(self) -> None:
        """
        Let the kernel acknowledge what came without delay.

        Clients send a literal and the line end behind it in two pieces; with Nagle's algorithm on their side the second waits for
        the acknowledgement of the first, 40 ms for each APPEND.
        """
        handle = getattr(self.transport, "socket", None)
        if _QUICKACK is not None and isinstance(handle, socket.socket) and not self.isGone:
            handle.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    # --- The end ----------------------------------------------------------------------------------------

    def bye(self, text: bytes) -> None:
        """Say why, and close (RFC 3501 §7.1.5)."""
        if not self._isClosing:
            self.untagged(b"BYE " + text)
            self.close()

    def close(self) -> None:
        """Send what is written and close; whoever does not let us is cut off."""
        if self._isClosing or self.isGone:
            return
        self.flush()
        self._isClosing = True
        self._reader.clear()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.setTimeout(self.limits.goodbyeSeconds)

    def cutOff(self) -> None:
        """Drop the connection at once: the client must not take half a response for a whole one."""
        self._isClosing = True
        self._out.clear()
        self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        """No command, or no progress, for too long (RFC 3501 §5.4)."""
        if self._isClosing or self.isStalled:
            self.cutOff()
        elif self._isBusy and self._lineWanted is None:
            self.setTimeout(self.timeOut)
        else:
            self.bye(b"Autologout; idle for too long")

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
