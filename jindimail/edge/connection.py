"""
A connection of a mailbox protocol: octets in, answers out, one command at a time.

Theory of operation. Octets go into a reader, which is also the queue of pipelined commands: an event is taken from it only when the
command before is answered, so that answers cannot be out of order, whatever waits for what. What commands send is collected and
written in pieces. Two things hold the queue up: `_isBusy`, a command at work, and `isStalled`, a client that does not read (the
connection is its transport's streaming producer). While the queue is held up and long, the transport is not read.

All sessions share the reactor with each other and with the links between nodes: whoever has had it for `TURN_SECONDS` lets it go round.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.edge.limits import ConnectionLimits
from jindimail.edge.peers import Peer
from jindimail.errors import Corrupt, Unavailable
from jindimail.mailbox.sessions import Session

TURN_SECONDS: Final = 0.01
PATIENCE_SECONDS: Final = 60.0
PATIENCE_PAUSE_SECONDS: Final = 1.0

EventT = TypeVar("EventT", covariant=True)


class IReader(Protocol[EventT]):
    """Octets in, events out."""

    @property
    def waitingOctets(self) -> int:
        """Octets fed and not yet taken."""

    def feed(self, octets: bytes) -> None:
        """Take octets as they come."""

    def next(self) -> EventT | None:
        """What comes next; None if more has to come first."""

    def clear(self) -> None:
        """Drop everything that was fed."""


class IConnectionFactory(Protocol):
    """What a connection needs of its factory."""

    reactor: IReactorTime
    hostName: bytes

    @property
    def limits(self) -> ConnectionLimits:
        """The bounds of connections made from now on."""

    def connectionEnded(self, connection: Any) -> None:
        """The connection is lost."""


@implementer(IPushProducer, IHalfCloseableProtocol)
class MailboxConnection(TimeoutMixin):
    """The transport's side of a session, mixed into a protocol; subclasses say what an event is and how it is answered."""

    log = Logger()
    transport: Any
    factory: Any
    _reader: IReader[Any]
    account: Any = None

    def __init__(self, factory: IConnectionFactory, session: Session | None, peer: Peer) -> None:
        """`session` is None for a connection that is turned away."""
        self.factory = factory
        self.session = session
        self.peer = peer
        self.limits: Any = factory.limits
        self.isSecure = False
        self.isGone = False
        self.isStalled = False
        self._out: list[bytes] = []
        self._outOctets = 0
        self._isBusy = False
        self._isWorking = False
        self._isClosing = False
        self._isLeaving = False
        self._isReading = True
        self._hasEnded = False
        self._isResting = False
        self._turnSince = 0.0
        self._roomWanted: Deferred[None] | None = None
        self._badCommands = 0

    # --- What a protocol says ---------------------------------------------------------------------------

    def greet(self) -> None:
        """Send the greeting."""
        raise NotImplementedError

    def turnAway(self) -> None:
        """There are too many: say so and close."""
        raise NotImplementedError

    def take(self, event: Any) -> None:
        """Answer what the reader read, or begin to."""
        raise NotImplementedError

    def depart(self) -> None:
        """Say that the server closes the connection, and close."""
        raise NotImplementedError

    def tire(self) -> None:
        """The client was silent for too long: close."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is lost: let go of everything."""
        raise NotImplementedError

    # --- What happens to the connection -----------------------------------------------------------------

    def connectionMade(self) -> None:
        """Greet."""
        self.isSecure = ISSLTransport.providedBy(self.transport)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.setTimeout(self.limits.loginSeconds)
        if self.session is None:
            self.turnAway()
        else:
            self.session.disconnect = self.cutOff
            self.greet()
        self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whatever waits for the client waits no more; what is being committed goes on."""
        self.isGone = True
        self.setTimeout(None)
        self._out.clear()
        waiting, self._roomWanted = self._roomWanted, None
        if waiting is not None:
            waiting.errback(Failure(ConnectionDone()))
        self.ended()
        if self.session is not None:
            self.session.end()
        self.factory.connectionEnded(self)

    def dataReceived(self, data: bytes) -> None:
        """Queue what came in and work on it."""
        if not self._isClosing:
            self._reader.feed(data)
            self.work()

    def readConnectionLost(self) -> None:
        """The client sends no more: what it has sent is answered, then that is the end."""
        self._hasEnded = True
        self.work()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`; we never close one half only."""

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
        self.work()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` follows."""

    def closeWhenIdle(self) -> None:
        """Close the connection, once the command under way is answered; one that only waits for the client is not."""
        self._isLeaving = True
        self.work()

    # --- Commands ---------------------------------------------------------------------------------------

    def work(self) -> None:
        """Answer what waits, as far as the commands and the client let us."""
        if self._isWorking or self._isResting or self.isGone:
            return
        self._isWorking = True
        self._turnSince = self.factory.reactor.seconds()
        while not (self._isBusy or self.isStalled or self._isClosing):
            if self._isLeaving:
                self.depart()
                break
            event = self._reader.next()
            if event is None:
                if self._hasEnded:
                    self.close()
                break
            self.take(event)
            if self._hasHadItsTurn():
                self._isResting = True
                self.factory.reactor.callLater(0, self._workOn)
                break
        self._isWorking = False
        self.flush()
        self._regulate()

    def _workOn(self) -> None:
        self._isResting = False
        self.work()

    def _hasHadItsTurn(self) -> bool:
        return self.factory.reactor.seconds() - self._turnSince >= TURN_SECONDS  # type: ignore[no-any-return]

    def _regulate(self) -> None:
        """Read on only while the queue has room."""
        if self.isGone or self._isClosing or self._hasEnded:
            return
        isHeldUp = self._isBusy or self._isResting or self.isStalled
        wanted = not isHeldUp or self._reader.waitingOctets <= self.limits.inputOctetsMax
        if wanted != self._isReading:
            self._isReading = wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    # --- Answers ----------------------------------------------------------------------------------------

    def send(self, *octets: bytes) -> None:
        """Send octets of answers, soon."""
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

    async def room(self) -> None:
        """Wait until the client has taken what was written, and others have had their turn; fails when it goes away."""
        self.flush()
        if self.isGone:
            raise ConnectionDone
        if self.isStalled:
            self._roomWanted = Deferred()
            await self._roomWanted
            self._turnSince = self.factory.reactor.seconds()
        elif self._hasHadItsTurn():
            await self.breathe()

    async def share(self) -> None:
        """Between the steps of long work: like `room` if there is a reason to wait, nothing otherwise."""
        if self.isStalled or self._hasHadItsTurn():
            await self.room()

    async def breathe(self, seconds: float = 0) -> None:
        """Let the reactor do something else."""
        pause: Deferred[None] = Deferred()
        self.factory.reactor.callLater(seconds, pause.callback, None)
        await pause
        self._turnSince = self.factory.reactor.seconds()
        if self.isGone:
            raise ConnectionDone

    async def patiently(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """
        What is read in the middle of an answer, which can no longer be taken back: tried again while nobody answers, within a bound.

        @raise Corrupt: it is damaged, which waiting does not mend.
        """
        clock = self.factory.reactor
        until = clock.seconds() + PATIENCE_SECONDS
        while True:
            try:
                return await read()
            except Corrupt:
                raise
            except Unavailable:
                if clock.seconds() >= until:
                    raise
                await self.breathe(PATIENCE_PAUSE_SECONDS)

    def flush(self) -> None:
        """Write what is collected."""
        if self._out and not self.isGone:
            out, self._out, self._outOctets = self._out, [], 0
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    # --- The end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what is written and close; whoever does not let us is cut off."""
        if self._isClosing or self.isGone:
            return
        self.flush()
        self._isClosing = True
        self._reader.clear()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.setTimeout(self.limits.closeSeconds)

    def cutOff(self) -> None:
        """Drop the connection at once: the client must not take half an answer for a whole one."""
        self._isClosing = True
        self._out.clear()
        self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        """No command, or no progress, for too long; waiting for our own answer is not the client's fault."""
        if self._isClosing or self.isStalled:
            self.cutOff()
        elif self._isBusy:
            self.setTimeout(self.timeOut)
        else:
            self.tire()

    def callLater(self, period: float, func: Any) -> IDelayedCall:
        """`TimeoutMixin`'s clock."""
        call: IDelayedCall = self.factory.reactor.callLater(period, func)
        return call

    def setTimeout(self, period: int | None) -> None:
        """Close the connection after so many seconds without `resetTimeout`."""
        TimeoutMixin.setTimeout(self, period)

    def resetTimeout(self) -> None:
        """The client is alive. Before the login that counts for nothing: it has `loginSeconds` in all."""
        if self.account is not None or self._isClosing:
            TimeoutMixin.resetTimeout(self)

    @property
    def sessionId(self) -> str:
        """What logs call the session."""
        return self.session.id if self.session is not None else "refused"
