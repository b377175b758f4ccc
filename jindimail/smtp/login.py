"""A session's login, through `twisted.cred` (RFC 4954)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.logger import Logger

from jindimail.directory.credentials import PeerPassword
from jindimail.directory.sasl import Credentials
from jindimail.edge.peers import Peer
from jindimail.errors import AuthenticationFailed, JindimailError, TooManySessions, Unavailable, UserDisabled
from jindimail.interfaces import IAccount
from jindimail.smtp import reply
from jindimail.smtp.reply import replyOf
from jindimail.smtp.surroundings import Surroundings


class Login:
    """Who has logged in, and how often it was tried in vain."""

    log = Logger()

    def __init__(self, surroundings: Surroundings, peer: Peer, session: Any) -> None:
        self.account: Any = None
        self._surroundings = surroundings
        self._peer = peer
        self._session = session
        self._logout: Callable[[], None] | None = None
        self._failures = 0
        self._isOver = False

    @property
    def isExhausted(self) -> bool:
        """Whether it was tried in vain too often."""
        return self._failures >= self._surroundings.limits.failedLoginsMax

    async def attempt(self, credentials: Credentials) -> bytes:
        """The answer to a user name and password."""
        portal = self._surroundings.portal
        if portal is None:
            return reply.LOGIN_TROUBLE
        password = PeerPassword(credentials.username, credentials.password, self._peer.address)
        try:
            login: tuple[Any, Any, Callable[[], None]] = await portal.login(password, None, IAccount)
        except UnauthorizedLogin:
            return self.refuse(AuthenticationFailed())
        except JindimailError as error:
            return self.refuse(error)
        _, account, logout = login
        try:
            self._session.login(account.name)
        except TooManySessions as error:
            logout()
            return replyOf(error)
        self.account, self._logout = account, logout
        if self._isOver:
            self.logOff()
        return reply.AUTHENTICATED

    def refuse(self, error: JindimailError) -> bytes:
        """The answer to a login that failed."""
        self._failures += 1
        self.log.info(
            "{session} login refused to {peer}: {reason}",
            session=self._session.id,
            peer=self._peer.address,
            reason=type(error).__name__,
        )
        if isinstance(error, UserDisabled):
            return reply.DISABLED
        return reply.LOGIN_TROUBLE if isinstance(error, Unavailable) else replyOf(error)

    def logOff(self) -> None:
        """Nobody is logged in any more."""
        logout, self._logout, self.account = self._logout, None, None
        if logout is not None:
            logout()

    def end(self) -> None:
        """The session is over; a login that is still under way is logged off when it comes."""
        self._isOver = True
        self.logOff()
