"""
An IMAP connection: the edge's connection (edge/connection.py) with IMAP's reader, whose events are commands, literals and lines.

A command is a coroutine; it may ask for a `line` of its own (SASL, DONE), and while it waits for one it is not at work.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.mail import imap4
from twisted.python.failure import Failure

from jindimail.edge.connection import IConnectionFactory, MailboxConnection
from jindimail.edge.pace import Pace
from jindimail.edge.peers import Peer
from jindimail.errors import JindimailError, ProtocolError
from jindimail.imap4 import answers
from jindimail.imap4.reader import Absurd, Broken, Command, Line, Offer, Reader
from jindimail.mailbox.sessions import Session

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)  # Linux has it
_SHUTTING_DOWN: Final = b"[UNAVAILABLE] server is shutting down"


class Connection(MailboxConnection, imap4.IMAP4Server):
    """The transport's side of a session; the subclass answers the commands."""

    def __init__(self, factory: IConnectionFactory, session: Session | None, peer: Peer) -> None:
        imap4.IMAP4Server.__init__(self)
        MailboxConnection.__init__(self, factory, session, peer)
        self._reader: Reader = Reader(self.limits.ofStrangers())
        self._pace = Pace(self.limits.idleSeconds)
        self._leavingText = _SHUTTING_DOWN
        self._lineWanted: Deferred[bytes] | None = None

    # --- What happens to the connection -----------------------------------------------------------------

    def turnAway(self) -> None:
        """RFC 3501 §7.1.5."""
        self.bye(b"[UNAVAILABLE] too many connections, try later")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever waits for a line waits no more."""
        waiting, self._lineWanted = self._lineWanted, None
        MailboxConnection.connectionLost(self, reason)
        if waiting is not None:
            waiting.errback(Failure(ConnectionDone()))

    def dataReceived(self, data: bytes) -> None:
        """Queue what came in and work on it."""
        if self._isClosing:
            return
        if self._pace.isKept(len(data)):
            self.resetTimeout()
        self._reader.feed(data)
        self.work()
        if self._reader.isBehindLiteral:
            self._acknowledgeAtOnce()

    def leave(self, text: bytes) -> None:
        """Close the connection after the command under way."""
        self._leavingText = text
        self._isLeaving = True

    def depart(self) -> None:
        """RFC 3501 §7.1.5."""
        self.bye(self._leavingText)

    def tire(self) -> None:
        """RFC 3501 §5.4."""
        self.bye(b"Autologout; idle for too long")

    # --- Commands ---------------------------------------------------------------------------------------

    def perform(self, command: Command) -> Coroutine[Any, Any, None]:
        """Carry a command out and answer it."""
        raise NotImplementedError

    def offered(self, offer: Offer) -> Coroutine[Any, Any, None]:
        """Keep, stream or refuse a literal (`_reader`)."""
        raise NotImplementedError

    def take(self, event: Command | Offer | Broken | Line | Absurd) -> None:
        """Answer what the reader read, or begin to."""
        self.resetTimeout()
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
        self._isBusy = True
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
        self.work()

    def _failed(self, failure: Failure, tag: bytes) -> None:
        """The outermost shell: what is no error of ours is logged, and the client learns that it was not its fault."""
        self._isBusy = False
        if self.isGone:
            return
        self.log.failure("command failed in session {session}", failure, session=self.sessionId)
        self.refuse(tag, JindimailError())
        self.work()

    async def line(self) -> bytes:
        """The client's next line, which is no command; fails when the client goes away."""
        if self.isGone:
            raise ConnectionDone
        self.flush()
        self._reader.readLine()
        waiting = self._lineWanted = Deferred()
        self._isBusy = False
        self.work()
        return await waiting

    # --- Answers ----------------------------------------------------------------------------------------

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

    def _acknowledgeAtOnce(self) -> None:
        """
        Let the kernel acknowledge what came without delay.

        Clients send a literal and the line end behind it in two pieces; with Nagle's algorithm on their side the second waits for
        the acknowledgement of the first, 40 ms for each APPEND.
        """
        handle = getattr(self.transport, "socket", None)
        if _QUICKACK is not None and isinstance(handle, socket.socket) and not self.isGone:
            handle.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def bye(self, text: bytes) -> None:
        """Say why, and close (RFC 3501 §7.1.5)."""
        if not self._isClosing:
            self.untagged(b"BYE " + text)
            self.close()
