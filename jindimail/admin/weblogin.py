"""
Who may look: administrators log in with their mail password, through `twisted.cred` and the checker that all protocols share.

A session is a random token in a cookie that scripts cannot read and other sites cannot send; the node keeps only its digest, in memory, for one
working day at most. Every half minute it asks anew whether the account still may administer and has the same password. A password
is taken over TLS or on loopback only, and a form only from this site's own pages (Origin, RFC 6454).
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import Interface, implementer

from jindimail.admin.webrequest import Asked
from jindimail.directory.accounts import Directory
from jindimail.directory.credentials import PeerPassword
from jindimail.errors import JindimailError, NotAllowed, TooManyAttempts, Unavailable

SESSIONS_MAX = 64
SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 30 * 60
RECHECK_SECONDS = 30
TOKEN_OCTETS = 32
FIELD_CHARACTERS_MAX = 1024

WRONG = "The address or the password is wrong."
NOT_ADMINISTRATOR = "This account may not administer the array."
TOO_MANY = "Too many attempts; wait a little."
LATER = "The array cannot check this now; try again."
LONELY = "This node hears no majority of the array: nobody can log in here until it does. On this machine, `jindictl cluster status` tells more."
NEEDS_TLS = "From another machine passwords are taken over TLS only: see [listen] webs."
ELSEWHERE = "This form was sent by another site."


class IAdministrator(Interface):
    """The avatar of an account that may administer."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may administer, and the credential with which that was so."""

    address: str
    credential: str


@implementer(IRealm)
class AdministratorRealm:
    """From an avatar id of the checker to an administrator."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        """See `IRealm`; fails with NotAllowed for whoever may not administer."""
        if IAdministrator not in interfaces:
            raise NotImplementedError("only IAdministrator")
        return Deferred.fromCoroutine(self._avatar(avatarId[2][0]))

    async def _avatar(self, address: str) -> Any:
        credential = await self._directory.administrator(address)
        if credential is None:
            raise NotAllowed
        return IAdministrator, Administrator(address, credential), lambda: None


class WebSession:
    """An administrator's session."""

    __slots__ = ("administrator", "bornSeconds", "checkedSeconds", "usedSeconds")

    def __init__(self, administrator: Administrator, now: float) -> None:
        self.administrator = administrator
        self.bornSeconds = self.checkedSeconds = self.usedSeconds = now

    def isOver(self, now: float) -> bool:
        """Whether it is too old, or was not used for too long."""
        return now - self.bornSeconds >= SESSION_SECONDS or now - self.usedSeconds >= IDLE_SECONDS


class LoginRefused(Exception):
    """Why nobody was let in, for people to read."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Logins:
    """The sessions of a node's console; each node has its own."""

    _log = Logger()

    def __init__(
        self,
        *,
        nodeName: str,
        checker: ICredentialsChecker,
        directory: Directory,
        seconds: Callable[[], float],
    ) -> None:
        self._name = (
            f"jindimail-{nodeName}"  # cookies know hosts, not ports: two nodes on one machine have two
        )
        self._directory = directory
        self._portal = Portal(AdministratorRealm(directory), [checker])
        self._seconds = seconds
        self._sessions: OrderedDict[bytes, WebSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    async def session(self, asked: Asked) -> WebSession | None:
        """The session that a request belongs to, if it still holds."""
        key = _keyOf(asked.cookies.get(self._cookieName(asked), ""))
        session, now = self._sessions.get(key), self._seconds()
        if session is None:
            return None
        if session.isOver(now) or not await self._stillMay(session, now):
            self._sessions.pop(key, None)
            return None
        session.usedSeconds = now
        return session

    async def _stillMay(self, session: WebSession, now: float) -> bool:
        if now - session.checkedSeconds < RECHECK_SECONDS:
            return True
        session.checkedSeconds = now
        administrator = session.administrator
        try:
            return await self._directory.administrator(administrator.address) == administrator.credential
        except Unavailable:
            return True  # the page is wanted most when something is away

    async def logIn(self, asked: Asked) -> str:
        """
        The cookie of a new session, for the user name and password in the form.

        @raise LoginRefused: why not.
        """
        if not isOwnForm(asked):
            raise LoginRefused(403, ELSEWHERE)
        if not mayLogIn(asked):
            raise LoginRefused(403, NEEDS_TLS)
        username, password = asked.form.get("address", ""), asked.form.get("password", "")
        if not username or not password or max(len(username), len(password)) > FIELD_CHARACTERS_MAX:
            raise LoginRefused(403, WRONG)
        administrator = await self._verified(
            PeerPassword(username.encode(), password.encode(), asked.peer.address, mayLag=True)
        )
        self._log.info(
            "console: {user} is in, from {peer}", user=administrator.address, peer=asked.peer.address
        )
        token = secrets.token_urlsafe(TOKEN_OCTETS)
        self._sessions[_keyOf(token)] = WebSession(administrator, self._seconds())
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return self._cookie(asked, token, SESSION_SECONDS)

    async def _verified(self, password: PeerPassword) -> Administrator:
        try:
            login: Any = await self._portal.login(password, None, IAdministrator)
        except TooManyAttempts:
            raise LoginRefused(429, TOO_MANY) from None
        except NotAllowed:
            self._log.info("console: {user} may not administer", user=password.username)
            raise LoginRefused(403, NOT_ADMINISTRATOR) from None
        except Unavailable:
            raise LoginRefused(503, LATER) from None
        except (JindimailError, UnauthorizedLogin):
            raise LoginRefused(403, WRONG) from None
        administrator: Administrator = login[1]
        return administrator

    def logOut(self, asked: Asked) -> str:
        """
        End a request's session; the cookie that makes the browser forget it.

        @raise LoginRefused: another site asks for it.
        """
        if not isOwnForm(asked):
            raise LoginRefused(403, ELSEWHERE)
        self._sessions.pop(_keyOf(asked.cookies.get(self._cookieName(asked), "")), None)
        return self._cookie(asked, "", 0)

    def _cookieName(self, asked: Asked) -> str:
        return f"__Host-{self._name}" if asked.isSecure else self._name

    def _cookie(self, asked: Asked, token: str, seconds: int) -> str:
        secure = "; Secure" if asked.isSecure else ""
        return (
            f"{self._cookieName(asked)}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
        )


def mayLogIn(asked: Asked) -> bool:
    """Whether a password may cross this connection."""
    return asked.isSecure or asked.peer.isLoopback


def isOwnForm(asked: Asked) -> bool:
    """Whether a form comes from a page of this site; programs that are no browsers name no origin."""
    try:
        return asked.origin is None or (bool(asked.host) and urlsplit(asked.origin).netloc == asked.host)
    except ValueError:
        return False


def _keyOf(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "replace"), digest_size=16).digest()
