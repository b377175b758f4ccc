"""The AUTHORIZATION state (RFC 1939 §4): CAPA, STLS, USER and PASS, AUTH; every reply about passwords is here."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from twisted.cred.error import LoginDenied, LoginFailed
from twisted.cred.portal import Portal

from jindimail.directory import sasl
from jindimail.directory.credentials import PeerPassword
from jindimail.edge.connection import IConnectionFactory
from jindimail.edge.peers import Peer
from jindimail.errors import AuthenticationFailed, ProtocolError, Refusal
from jindimail.interfaces import IAccount
from jindimail.mailbox.poplock import LOGIN_DELIMITER
from jindimail.mailbox.sessions import Session
from jindimail.model import INBOX
from jindimail.pop3.connection import Connection
from jindimail.pop3.maildrop import Maildrop


class TlsRequired(Refusal):
    """No password is taken in the clear (RFC 2595 §2.1)."""

    pop3Code = ""
    pop3Text = "TLS required, use STLS first"


class NoTls(Refusal):
    """STLS without a certificate, or under TLS already."""

    pop3Code = ""
    pop3Text = "not possible"


class UserFirst(ProtocolError):
    """PASS without USER."""

    pop3Text = "USER first"


class IAuthorizingFactory(IConnectionFactory, Protocol):
    """What the login needs of the factory."""

    portal: Portal
    tls: Any
    plaintextPasswords: bool


class Authorization(Connection):
    """Logs a client in: an account, its exclusive lock and a snapshot of its INBOX."""

    factory: IAuthorizingFactory  # type: ignore[assignment]

    def __init__(self, factory: IAuthorizingFactory, session: Session | None, peer: Peer) -> None:
        super().__init__(factory, session, peer)
        self.mailbox: Any = None
        self.maildrop = Maildrop(0, ())
        self._logout: Any = None
        self._exchange: sasl.Exchange | None = None
        self._failedLogins = 0
        self._logins = 0
        self._lock = ""
        self._modSeq = 0
        self._follower: Any = None
        self._isChanged = False
        self._mayUseClearPassword = peer.isLoopback and factory.plaintextPasswords

    @property
    def mayUsePassword(self) -> bool:
        """Whether a password may cross this connection."""
        return self.isSecure or self._mayUseClearPassword

    @property
    def mayStartTls(self) -> bool:
        """Whether STLS is offered."""
        return self.factory.tls is not None and not self.isSecure and self.account is None

    # --- Commands ---------------------------------------------------------------------------------------

    def do_CAPA(self) -> None:
        """RFC 2449 §5."""
        self.successResponse(b"capabilities follow")
        self.send(b"\r\n".join(self.listCapabilities()), b"\r\n.\r\n")

    def listCapabilities(self) -> list[bytes]:
        """
        What CAPA lists. UTF8 (RFC 6856) is not: it obliges the server to downgrade messages for clients that did not ask.
        """
        capabilities = [
            b"TOP",
            b"UIDL",
            b"RESP-CODES",
            b"AUTH-RESP-CODE",
            b"PIPELINING",
            b"EXPIRE NEVER",
            b"IMPLEMENTATION jindimail",
        ]
        if self.mayUsePassword:
            capabilities += [b"USER", b"SASL " + " ".join(sasl.MECHANISMS).encode("ascii")]
        if self.mayStartTls:
            capabilities.append(b"STLS")
        return capabilities

    def do_STLS(self) -> None:
        """RFC 2595 §4: whatever was sent before TLS is forgotten, pipelined commands too."""
        if not self.mayStartTls:
            raise NoTls
        self.successResponse(b"begin TLS")
        self.flush()
        self._reader.clear()
        self._userIs = None
        self.isSecure = True
        self.transport.startTLS(self.factory.tls)

    def do_USER(self, user: bytes) -> None:
        """RFC 1939 §7; the name is looked at with the password only."""
        self._requirePassword()
        self._userIs = user
        self.successResponse(b"send PASS")

    def do_PASS(self, password: bytes, *words: bytes) -> Coroutine[Any, Any, None]:
        """RFC 1939 §7; the password is the whole rest of the line, with its spaces."""
        self._requirePassword()
        user, self._userIs = self._userIs, None
        if user is None:
            raise UserFirst
        return self._login(user, b" ".join((password, *words)))

    def do_AUTH(
        self, args: bytes | None = None, initial: bytes | None = None
    ) -> Coroutine[Any, Any, None] | None:
        """RFC 5034; without a mechanism it lists them, as RFC 1734's clients expect."""
        self._requirePassword()
        if args is None:
            self.successResponse(b"mechanisms follow")
            self.send(*(b"%b\r\n" % name.encode("ascii") for name in sasl.MECHANISMS), b".\r\n")
            return None
        self._exchange = sasl.begin(args.decode("ascii", "replace"))
        return self._step(initial)

    def state_AUTH(self, line: bytes) -> None:
        """The client's answer to a challenge."""
        self.state = "COMMAND"
        self.wait(self._step(line))

    def _step(self, response: bytes | None) -> Coroutine[Any, Any, None] | None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        step = exchange.step(response)
        if isinstance(step, sasl.Credentials):
            return self._login(step.username, step.password)
        self._exchange = exchange
        self.state = "AUTH"
        self.send(b"+ %b\r\n" % step.line)
        return None

    def _requirePassword(self) -> None:
        if not self.mayUsePassword:
            raise TlsRequired

    # --- The login --------------------------------------------------------------------------------------

    async def _login(self, username: bytes, password: bytes) -> None:
        try:
            _, account, logout = await self._authenticated(username, password)
        except AuthenticationFailed as error:
            self._failedLogins += 1
            self.refuse(error)
            if self._failedLogins >= self.limits.loginFailuresMax:
                self.close()
            return
        try:
            if self.session is not None:
                self.session.login(account.name)
            mailbox, modSeq, maildrop = await self._opened(account)
        except BaseException:
            logout()
            raise
        if self.isGone:
            logout()
            return
        self.account, self.mailbox, self.maildrop, self._modSeq = account, mailbox, maildrop, modSeq
        self._logout = logout
        self._follower = mailbox.follow(self._mailboxChanged)
        self.setTimeout(self.limits.idleSeconds)
        if self.session is not None:
            self.session.activity = "logged in"
        self.log.info("session {session}: {user} logged in", session=self.sessionId, user=account.name)
        self.successResponse(b"%d messages" % maildrop.count)

    def closeWhenIdle(self) -> None:
        """Nothing is lost with a client that is not logged in, nor reads, nor has finished its TLS handshake."""
        if self.account is None and self.isStalled and not self._isBusy:
            self.cutOff()
        else:
            super().closeWhenIdle()

    def ended(self) -> None:
        """The lock is given back, whatever ended the connection; nothing is deleted but by QUIT (RFC 1939 §6)."""
        if self._follower is not None:
            self._follower.stop()
        self.maildrop = Maildrop(
            0, ()
        )  # large, and this session stays until the collector comes for its cycles
        logout, self._logout = self._logout, None
        if logout is not None:
            logout()

    def _mailboxChanged(self) -> None:
        self._isChanged = True

    async def _authenticated(self, username: bytes, password: bytes) -> Any:
        """The portal's answer, its refusals as ours."""
        try:
            return await self.factory.portal.login(
                PeerPassword(username, password, self.peer.address), None, IAccount
            )
        except (LoginFailed, LoginDenied):
            raise AuthenticationFailed from None

    async def _opened(self, account: Any) -> tuple[Any, int, Maildrop]:
        """INBOX under the exclusive lock (RFC 1939 §3), and what is in it."""
        self._logins += 1
        self._lock = f"{self.sessionId}{LOGIN_DELIMITER}{self._logins}"
        await account.lockPop(self._lock)
        mailbox = await account.open(INBOX)
        summary = await mailbox.summary()
        return mailbox, summary.highestModSeq, Maildrop(mailbox.uidValidity, await mailbox.rows())
