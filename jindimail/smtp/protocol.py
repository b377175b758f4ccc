"""
The shell of SMTP, submission and LMTP: Twisted's `ESMTP` with its reading and answering replaced (tests/smtp/test_stock.py).

Commands stand in a queue, which is the buffer itself: the next one is looked at when the one before it has been answered,
however long that takes, so replies come in order. Replies to commands that came together leave in one write. Reading stops while too
much waits, here or on its way to the client. Whoever has had the reactor for `TURN_SECONDS` lets it go round (edge/connection.py).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
    ITLSTransport,
)
from twisted.logger import Logger
from twisted.mail.smtp import ESMTP
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.edge.begin import begin
from jindimail.edge.connection import TURN_SECONDS
from jindimail.edge.pace import Pace
from jindimail.edge.peers import peerOf
from jindimail.smtp import reply
from jindimail.smtp.dialogue import CLOSE, NOTHING, Answer, Dialogue
from jindimail.smtp.surroundings import Surroundings


class IServing(Protocol):
    """What a connection needs of its factory."""

    surroundings: Surroundings
    sessions: Any
    tls: Any
    reactor: Any
    isLeaving: bool

    def connectionEnded(self, connection: SmtpProtocol) -> None:
        """The connection is lost."""
        ...


@implementer(IPushProducer, IHalfCloseableProtocol)
class SmtpProtocol(ESMTP):
    """One connection, of any of the three services."""

    log = Logger()
    noisy = False
    transport: Any

    def __init__(self, serving: IServing) -> None:
        ESMTP.__init__(self)
        self._serving = serving
        self._limits = serving.surroundings.limits
        self._dialogue: Dialogue | None = None
        self._session: Any = None
        self._buffer = b""
        self._at = 0  # where in the buffer the next command begins
        self._skippedOctets = 0  # of a line that is too long
        self._replies: list[bytes] = []
        self._isWorking = False
        self._isWaiting = False  # for the answer to a command
        self._isResting = False  # while others have their turn
        self._isClosed = False
        self._isLeaving = False
        self._inputEnded = False
        self._isProducing = False
        self._inputIsPaused = False
        self._outputIsFull = False
        self._pace = Pace(self._limits.idleSeconds)
        self._errandEnd = serving.reactor.seconds() + self._limits.errandSeconds

    # --- the connection ----------------------------------------------------------------------------------

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        """Timeouts run on the factory's clock."""
        call: IDelayedCall = self._serving.reactor.callLater(period, func)
        return call

    def connectionMade(self) -> None:
        """Ask for admission, and greet."""
        transport, serving = self.transport, self._serving
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        peer = peerOf(transport.getPeer())
        self._session = serving.sessions.admit(serving.surroundings.service.name, peer.address)
        if self._session is None or serving.isLeaving:
            transport.write(reply.BUSY)
            self._close()
            return
        self._session.disconnect = self.closeWhenIdle
        self._dialogue = Dialogue(
            serving.surroundings,
            peer,
            self._session,
            mayStartTls=serving.tls is not None and ITLSTransport.providedBy(transport),
            isEncrypted=ISSLTransport.providedBy(transport),
            describeTls=self._describeTls,
        )
        transport.registerProducer(self, True)
        self._isProducing = True
        ESMTP.setTimeout(self, self._limits.idleSeconds)
        transport.write(self._dialogue.greeting())

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Clean up; a message that is being delivered goes on."""
        self._isClosed = True
        self._buffer, self._replies = b"", []
        ESMTP.setTimeout(self, None)
        if self._dialogue is not None:
            self._dialogue.end()
        if self._session is not None:
            self._session.end()
        self._serving.connectionEnded(self)

    def closeWhenIdle(self) -> None:
        """Finish what is under way, then say 421 and close."""
        self._isLeaving = True
        if not self._isClosed and not self._isWorking:
            self._work()

    def timeoutConnection(self) -> None:
        """The client was silent for too long, or does not let us close; waiting for our own answer is not its fault."""
        if self._isClosed:
            self.transport.abortConnection()
        elif self._isWaiting:
            ESMTP.setTimeout(self, self._limits.idleSeconds)
        else:
            self.transport.write(reply.IDLE)
            self._close()

    def readConnectionLost(self) -> None:
        """The client sends no more; it still gets its answers."""
        self._inputEnded = True
        self._settleInput()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`; we never close one half only."""

    def _close(self) -> None:
        """Close when everything has been written, but in any case soon."""
        self._isClosed = True
        self._buffer, self._at = b"", 0
        self._resumeInput()  # TLS has to hear the other side's farewell
        if self._isProducing:
            self.transport.unregisterProducer()
        self.transport.loseConnection()
        ESMTP.setTimeout(self, self._limits.closeSeconds)

    # --- back-pressure -----------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """
        The client does not read its replies: no more of them, until it does.

        Reading goes on until enough waits here: TLS calls this too, while it has to read before it can write.
        """
        self._outputIsFull = True

    def resumeProducing(self) -> None:
        """The client reads again."""
        self._outputIsFull = False
        if not self._isClosed and not self._isWorking:
            self._work()

    def stopProducing(self) -> None:
        """See `IProducer`; `connectionLost` does it."""

    def _resumeInput(self) -> None:
        if self._inputIsPaused:
            self._inputIsPaused = False
            self.transport.resumeProducing()

    # --- reading and answering ---------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Take what came; answer what can be answered."""
        if self._isClosed:
            return
        if (
            self._dialogue is not None
            and self._dialogue.receiver is not None
            and self._pace.isKept(len(data))
        ):
            ESMTP.resetTimeout(self)
        self._buffer = self._buffer + data if self._buffer else data
        self._work()

    def _work(self) -> None:
        """Answer one command after the other, until one has to wait, none is left, or it is others' turn."""
        if self._isWorking or self._isResting:
            return
        self._isWorking = True
        seconds = self._serving.reactor.seconds
        until = seconds() + TURN_SECONDS
        while not (self._isWaiting or self._isClosed or self._outputIsFull):
            if self._isLeaving and self._mayLeave():
                self._answered(reply.LEAVING)
                self._flush()
                self._close()
                break
            try:
                answer = self._next()
            except Exception:
                self._broken(Failure())
                continue
            if answer is None:
                break
            if isinstance(answer, bytes):
                self._answered(answer)
            else:
                self._wait(answer)
            if seconds() >= until and not self._isWaiting:
                self._isResting = True
                self._serving.reactor.callLater(0, self._workOn)
                break
        self._isWorking = False
        self._flush()
        self._settleInput()

    def _workOn(self) -> None:
        self._isResting = False
        if not self._isClosed:
            self._work()

    def _mayLeave(self) -> bool:
        return self._dialogue is not None and self._dialogue.isIdle

    def _settleInput(self) -> None:
        """Stop or start reading, and end the session when its client has."""
        if self._isClosed:
            return
        mustWait = self._isWaiting or self._isResting or self._outputIsFull
        if self._inputEnded:
            if not mustWait:
                self._close()
            return
        if mustWait and len(self._buffer) - self._at > self._limits.pipelineOctetsMax:
            if not self._inputIsPaused:
                self._inputIsPaused = True
                self.transport.pauseProducing()
        else:
            self._resumeInput()

    def _next(self) -> Answer | None:
        """The answer to what comes next in the buffer; None if more has to come first."""
        dialogue = self._dialogue
        assert dialogue is not None
        if dialogue.receiver is not None:
            return self._nextBlock(dialogue)
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            return self._unfinished(dialogue)
        line = self._buffer[self._at : end]
        self._at = end + 1
        self._spoken(dialogue)
        if self._skippedOctets:
            self._skippedOctets = 0
            return dialogue.bad(reply.LINE_TOO_LONG)
        if len(line) >= self._limits.commandOctetsMax and not self._isAuthLine(dialogue, line):
            return dialogue.bad(reply.LINE_TOO_LONG)
        if line[-1:] != b"\r":
            return dialogue.bad(reply.BARE_LF)
        return dialogue.command(line[:-1])

    def _nextBlock(self, dialogue: Dialogue) -> Answer | None:
        """Hand a message what the buffer holds."""
        block = self._buffer[self._at :] if self._at else self._buffer
        self._buffer, self._at = b"", 0
        assert dialogue.receiver is not None
        rest = dialogue.receiver.feed(block)
        if rest is None:
            return dialogue.hangUp(reply.TOO_MUCH) if dialogue.isOverrun() else None
        self._buffer = rest
        self._errandEnd = self._serving.reactor.seconds() + self._limits.errandSeconds
        self._spoken(dialogue)
        return dialogue.received()

    def _spoken(self, dialogue: Dialogue) -> None:
        """The client is alive; a stranger that has brought no message for long gets no more time by commands."""
        if not dialogue.isStranger or self._serving.reactor.seconds() < self._errandEnd:
            ESMTP.resetTimeout(self)

    def _unfinished(self, dialogue: Dialogue) -> bytes | None:
        """Keep the beginning of a line, but not of one that is too long."""
        if self._at:
            self._buffer, self._at = self._buffer[self._at :], 0
        if self._skippedOctets or len(self._buffer) >= self._limits.authOctetsMax:
            self._skippedOctets += len(self._buffer)
            self._buffer = b""
        if self._skippedOctets > self._limits.junkOctetsMax:
            return dialogue.hangUp(reply.TOO_MUCH)
        return None

    def _isAuthLine(self, dialogue: Dialogue, line: bytes) -> bool:
        """Whether a line may be longer than others."""
        mayBe = dialogue.isAuthenticating or line[:5].upper() == b"AUTH "
        return mayBe and len(line) < self._limits.authOctetsMax

    def _wait(self, answer: Coroutine[Any, Any, bytes]) -> None:
        """Go on when the answer is there, which it often is at once."""
        self._isWaiting = True
        begin(answer, self._arrived, self._broken)

    def _arrived(self, answer: bytes) -> None:
        self._isWaiting = False
        if self._isClosed:
            return
        self._answered(answer)
        if not self._isWorking:
            self._work()

    def _broken(self, failure: Failure) -> None:
        """Something of ours raised what it should not: tell the operator, and the client as little as can be."""
        self.log.failure("{session} internal error", failure, session=getattr(self._session, "id", ""))
        if self._isClosed or self._dialogue is None:
            self._isWaiting = False
            return
        self._arrived(self._dialogue.trouble())

    def _answered(self, answer: bytes) -> None:
        """Put an answer on its way, and do what comes after it."""
        if answer:
            self._replies.append(answer)
        dialogue = self._dialogue
        if dialogue is None or dialogue.after == NOTHING:
            return
        self._flush()
        if dialogue.after == CLOSE:
            self._close()
        else:
            self._startTls(dialogue)

    def _flush(self) -> None:
        if self._replies:
            replies, self._replies = self._replies, []
            self.transport.write(b"".join(replies))

    def _startTls(self, dialogue: Dialogue) -> None:
        """Encrypt; what the client sent before it could know of that is thrown away (RFC 3207 §6)."""
        self._buffer, self._at = b"", 0
        self.transport.startTLS(self._serving.tls)
        dialogue.tlsStarted()

    def _describeTls(self) -> str:
        """Version and cipher, which are known by the time of the first command."""
        try:
            handle = self.transport.getHandle()
            return f"{handle.version()} {handle.cipher()[0]}"
        except (AttributeError, TypeError):
            return "TLS"
