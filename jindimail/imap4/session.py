"""
An IMAP session: the states of RFC 3501 §3, and the carrying out of commands from the table.

The connection below takes care of order; here a command is checked against the table, run, and answered: first what the client
must be told of the selected mailbox, then the tagged response.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal

from jindimail.directory.credentials import PeerPassword
from jindimail.edge.connection import IConnectionFactory
from jindimail.edge.peers import Peer
from jindimail.errors import (
    AuthenticationFailed,
    Corrupt,
    JindimailError,
    MailboxGone,
    ProtocolError,
    StorageFull,
    TooManySessions,
    Unavailable,
)
from jindimail.imap4.commands.table import COMMANDS, UID_COMMANDS
from jindimail.imap4.connection import Connection
from jindimail.imap4.reader import Broken, Command, Offer
from jindimail.imap4.selection import Selection
from jindimail.imap4.syntax import Cursor, Ranges
from jindimail.imap4.uploads import Upload, offerUpload
from jindimail.imap4.verbs import (
    AUTHENTICATED,
    NOT_AUTHENTICATED,
    SELECTED,
    Answer,
    BadNumber,
    Request,
    UnknownCommand,
    Verb,
    WrongState,
)
from jindimail.imap4.view import Spans
from jindimail.interfaces import IAccount
from jindimail.mailbox.sessions import Session


class ISessionFactory(IConnectionFactory, Protocol):
    """What a session needs of its factory."""

    portal: Portal
    delivery: Any
    spool: Any
    tls: Any
    plaintextPasswords: bool


class ImapSession(Connection):
    """An IMAP4rev1 server session of an account of the array."""

    factory: ISessionFactory

    def __init__(self, factory: ISessionFactory, session: Session | None, peer: Peer) -> None:
        super().__init__(factory, session, peer)
        self.selection: Selection | None = None
        self.upload: Upload | None = None
        self.isCondstore = False
        self.loginFailures = 0

    # --- what is offered --------------------------------------------------------------------------------

    @property
    def phase(self) -> int:
        """The state, as the table of commands names it."""
        if self.account is None:
            return NOT_AUTHENTICATED
        return AUTHENTICATED if self.selection is None else SELECTED

    @property
    def mayStartTls(self) -> bool:
        """Whether STARTTLS is possible."""
        return self.factory.tls is not None and not self.isSecure

    @property
    def mayLogin(self) -> bool:
        """Whether a password may be sent now: under TLS, or where clear text was allowed on loopback."""
        return self.isSecure or (self.factory.plaintextPasswords and self.peer.isLoopback)

    def capabilities(self) -> dict[bytes, list[bytes] | None]:
        """What is true now (RFC 3501 §6.1.1)."""
        offered: dict[bytes, list[bytes] | None] = dict.fromkeys((b"LITERAL+", b"SASL-IR", b"ID", b"ENABLE"))
        if self.account is None:
            if self.mayStartTls:
                offered[b"STARTTLS"] = None
            if self.mayLogin:
                offered[b"AUTH"] = [b"PLAIN", b"LOGIN"]
            else:
                offered[b"LOGINDISABLED"] = None
            return offered
        offered.update(dict.fromkeys(_WHEN_LOGGED_IN))
        offered[b"APPENDLIMIT"] = [b"%d" % self.limits.messageOctetsMax]
        return offered

    def capabilityText(self) -> bytes:
        """The capabilities, as the response and the response code write them."""
        return b"CAPABILITY " + b" ".join(self.listCapabilities())  # type: ignore[no-untyped-call]

    def greet(self) -> None:
        """RFC 3501 §7.1.1."""
        self.untagged(b"OK [%b] %b ready" % (self.capabilityText(), self.factory.hostName))

    # --- commands ---------------------------------------------------------------------------------------

    async def perform(self, command: Command) -> None:
        """Carry a command out and answer it."""
        verb: Verb | None = None
        try:
            request, verb = self._resolve(command)
            if verb.isAboutMessages:
                with suppress(Unavailable):
                    await self.selected.require()
                await self._tellTaken(mayExpunge=False)  # no number before its EXISTS
            answer = await verb.run(self, request)
            isThere = await self._tellAfter(verb)
        except JindimailError as error:
            await self._refuse(command.tag, error, verb)
            return
        finally:
            self._dropUpload()
        self.countGood()
        if not answer.isAnswered:
            self.send(command.tag, b" OK ", answer.text, b"\r\n")
        if not isThere:
            self._leaveGone()

    def _resolve(self, command: Command) -> tuple[Request, Verb]:
        arguments, commands, name = Cursor(command.segments), COMMANDS, command.name
        if name == b"UID":
            commands, name = UID_COMMANDS, arguments.word()
            if not arguments.isAtEnd:
                arguments.space()
        verb = commands.get(name)
        if verb is None:
            raise UnknownCommand
        if not verb.states & self.phase:
            raise WrongState
        if self.session is not None:
            self.session.activity = name.decode("ascii")
        return Request(command.tag, arguments, verb.byUid), verb

    async def _refuse(self, tag: bytes, error: JindimailError, verb: Verb | None) -> None:
        if not isinstance(error, ProtocolError):
            self.countGood()
        if verb is not None and verb.isOnceForAll and _isPassing(error):
            self.bye(b"[UNAVAILABLE] temporarily unavailable, try again")
            return
        self.refuse(tag, error)
        if isinstance(error, MailboxGone) and self.selection is not None:
            self._leaveGone()

    def _leaveGone(self) -> None:
        self.unselect()
        self.bye(b"[NONEXISTENT] the selected mailbox is gone")

    async def tell(self, *, mayExpunge: bool, isFresh: bool = False) -> None:
        """Send what the client does not know of the selected mailbox."""
        selection = self.selection
        if selection is None:
            return
        await selection.refresh(isFresh)
        await self._tellTaken(mayExpunge=mayExpunge)

    async def _tellTaken(self, *, mayExpunge: bool) -> None:
        """Send what was taken in: also by a command that failed then, or whose own news could not be had."""
        for response in self.selected.updates(mayExpunge=mayExpunge):
            self.send(response)
            await self.share()

    async def _tellAfter(self, verb: Verb) -> bool:
        """Before the tagged answer; whether the selected mailbox is still there. What was carried out is not undone because news cannot be had."""
        try:
            await self.tell(mayExpunge=verb.mayExpunge)
        except MailboxGone:
            return False
        except Unavailable:
            pass
        return True

    async def offered(self, offer: Offer) -> None:
        """Decide about a literal: an APPEND's message goes to the spool, others are kept in memory."""
        try:
            if offer.name == b"APPEND":
                await offerUpload(self, offer)
            else:
                self.goAhead(offer)
                self._reader.keep()
        except JindimailError as error:
            self._dropUpload()
            self._reader.refuse()
            await self._refuse(offer.tag, error, COMMANDS.get(offer.name))

    def goAhead(self, offer: Offer) -> None:
        """Ask for a literal that the client waits to send."""
        if offer.synchronizing:
            self.send(b"+ OK\r\n")

    def keepLiteral(self) -> None:
        """The literal offered is kept in memory."""
        self._reader.keep()

    def streamLiteral(self, sink: Callable[[bytes], None]) -> None:
        """The literal offered goes to a sink."""
        self._reader.stream(sink)

    def _refuseBroken(self, event: Broken) -> None:
        self._dropUpload()
        super()._refuseBroken(event)

    def _dropUpload(self) -> None:
        upload, self.upload = self.upload, None
        if upload is not None:
            upload.discard()

    # --- login and selection ----------------------------------------------------------------------------

    async def login(self, username: bytes, password: bytes) -> Answer:
        """
        Become an account, if the portal says so.

        @raise AuthenticationFailed, TooManyAttempts, UserDisabled, Unavailable
        """
        credentials = PeerPassword(username, password, self.peer.address)
        avatar: Any
        try:
            _, avatar, logout = await self.factory.portal.login(credentials, None, IAccount)
        except (AuthenticationFailed, UnauthorizedLogin):
            self.loginFailures += 1
            if self.loginFailures >= self.limits.loginFailuresMax:
                self.leave(b"too many failed logins")
            raise AuthenticationFailed from None
        if self.isGone:
            logout()
            return Answer(b"", isAnswered=True)
        if self.session is not None:
            try:
                self.session.login(avatar.name)
            except TooManySessions:
                logout()
                raise
        self.account, self._onLogout = avatar, logout
        self._reader.bound(self.limits)
        self.timeOut = self.limits.idleSeconds
        self.setTimeout(self.timeOut)
        return Answer(b"[%b] logged in" % self.capabilityText())

    def startTls(self, tag: bytes) -> None:
        """Answer, and begin TLS with nothing in the buffer (RFC 3501 §6.2.1)."""
        self.send(tag, b" OK begin TLS\r\n")
        self.flush()
        self._reader.clear()
        self.isSecure = self.startedTLS = True
        self.transport.startTLS(self.factory.tls)

    @property
    def selected(self) -> Selection:
        """The selected mailbox; the table has seen to it that there is one."""
        assert self.selection is not None
        return self.selection

    def select(self, selection: Selection) -> None:
        """A mailbox is selected."""
        self.selection = selection
        if self.isCondstore:
            selection.enableCondstore()

    def enableCondstore(self) -> None:
        """The client knows of MODSEQs (RFC 7162 §3.1)."""
        if self.selection is not None and not self.isCondstore:
            self.untagged(b"OK [HIGHESTMODSEQ %d] highest" % self.selection.view.modSeq)
            self.selection.enableCondstore()
        self.isCondstore = True

    def spans(self, ranges: Ranges, *, byUid: bool) -> Spans:
        """
        The positions that a set means.

        @raise BadNumber: a message sequence number that no message has.
        """
        view = self.selected.view
        spans = view.spansOfUids(ranges) if byUid else view.spansOfNumbers(ranges)
        if spans is None:
            raise BadNumber
        return spans

    def unselect(self) -> None:
        """No mailbox is selected any more."""
        selection, self.selection = self.selection, None
        if selection is not None:
            selection.close()

    def ended(self) -> None:
        """The connection is lost."""
        self._dropUpload()
        self.unselect()
        if self._onLogout is not None:
            logout, self._onLogout = self._onLogout, None
            logout()


def _isPassing(error: JindimailError) -> bool:
    """Whether it is nobody's fault, and over in a while."""
    return isinstance(error, Unavailable) and not isinstance(error, (Corrupt, StorageFull))


_WHEN_LOGGED_IN = (
    b"APPENDLIMIT",
    b"CHILDREN",
    b"CONDSTORE",
    b"CREATE-SPECIAL-USE",
    b"IDLE",
    b"MOVE",
    b"NAMESPACE",
    b"SPECIAL-USE",
    b"UIDPLUS",
    b"UNSELECT",
)
