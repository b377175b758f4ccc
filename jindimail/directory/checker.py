"""The one checker of passwords, for all protocols (`twisted.cred`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from jindimail.directory.addresses import canonicalAddress
from jindimail.directory.attempts import Attempts
from jindimail.directory.credentials import IPeerPassword, PeerPassword
from jindimail.directory.passwords import Passwords
from jindimail.directory.resolver import Resolver
from jindimail.errors import (
    AuthenticationFailed,
    BadAddress,
    JindimailError,
    TooManyAttempts,
    Unavailable,
    UserDisabled,
)
from jindimail.mailbox.queries import Account
from jindimail.networks import network


@implementer(ICredentialsChecker)
class PasswordChecker:
    """
    Checks a `PeerPassword`; the avatar id is `(bucket, account id, addresses)`.

    An unknown user and a wrong password take the same time and give the same answer. What an administrator was told is done (another
    password, an account disabled or removed) holds at all nodes: a majority is asked at each login (docs/adr/0054).

    @ivar outcomes: logins by what became of them: `ok`, or the name of the error they were refused with.
    """

    log = Logger()
    credentialInterfaces = (IPeerPassword,)

    def __init__(
        self,
        *,
        resolver: Resolver,
        passwords: Passwords,
        attempts: Attempts,
        seconds: Callable[[], float],
        tell: Callable[[tuple[str, ...]], None] = lambda failure: None,
    ) -> None:
        """
        @param tell: is called with (peer's network, user) of each failed login, so that other nodes count it, too (`heard`).
        """
        self._resolver = resolver
        self._passwords = passwords
        self._attempts = attempts
        self._seconds = seconds
        self._tell = tell
        self.outcomes: Counter[str] = Counter()

    def requestAvatarId(self, credentials: Any) -> Any:
        """See `ICredentialsChecker`; fails with the refusals of `errors`."""
        return Deferred.fromCoroutine(self._counted(credentials))

    async def _counted(self, credentials: PeerPassword) -> tuple[int, int, tuple[str, ...]]:
        try:
            found = await self._check(credentials)
        except JindimailError as error:
            self.outcomes[type(error).__name__] += 1
            raise
        self.outcomes["ok"] += 1
        return found

    async def _check(self, credentials: PeerPassword) -> tuple[int, int, tuple[str, ...]]:
        found = None
        try:
            user = canonicalAddress(credentials.username.decode("utf-8"))
            found = await self._account(user, mayLag=credentials.mayLag)
        except (BadAddress, UnicodeDecodeError):
            user = ""
        credential = found[1].record.credential if found is not None else ""
        if not credential or not self._passwords.isKnown(credential, credentials.password):
            await self._verify(user, credential, credentials)
        assert found is not None
        bucket, account = found
        if not account.record.enabled:
            raise UserDisabled
        return bucket, account.accountId, account.record.addresses

    async def _account(self, user: str, *, mayLag: bool) -> tuple[int, Account] | None:
        try:
            return await self._resolver.account(user, fresh=True)
        except Unavailable:
            if not mayLag:
                raise
        return await self._resolver.account(user)

    async def _verify(self, user: str, credential: str, credentials: PeerPassword) -> None:
        """Verify a password that is not remembered."""
        if not self._attempts.mayTry(credentials.peer, user, self._seconds()):
            raise TooManyAttempts
        if not await self._passwords.verify(credential, credentials.password):
            self._attempts.failed(credentials.peer, user, self._seconds())
            self._tell((network(credentials.peer), user))
            self.log.info("Login of {user} from {peer} failed", user=user, peer=credentials.peer)
            raise AuthenticationFailed

    def heard(self, failure: tuple[str, ...]) -> None:
        """A login failed at another node."""
        if len(failure) == 2:
            self._attempts.failed(*failure, self._seconds())
