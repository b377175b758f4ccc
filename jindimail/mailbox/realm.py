"""The realm of `twisted.cred`: from an avatar id to an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.portal import IRealm
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jindimail.interfaces import IAccount, IBuckets
from jindimail.mailbox.account import Account
from jindimail.mailbox.poplock import IsGone, PopLocks, nobodySays


@implementer(IRealm)
class MailRealm:
    """Cluster-aware: whichever node the session is on, the account's bucket answers."""

    def __init__(
        self,
        *,
        buckets: IBuckets,
        clock: IReactorTime,
        seconds: Callable[[], float],
        isGone: IsGone = nobodySays,
    ) -> None:
        """@param isGone: whether a node says that it has no session of that name."""
        self._buckets = buckets
        self._locks = PopLocks(buckets=buckets, clock=clock, seconds=seconds, isGone=isGone)
        self._seconds = seconds

    def requestAvatar(  # type: ignore[override]  # IRealm says bytes; our checker answers a tuple
        self, avatarId: tuple[int, int, tuple[str, ...]], mind: object, *interfaces: Any
    ) -> tuple[Any, Account, Callable[[], None]]:
        """`(IAccount, account, logout)`; see `IRealm`."""
        if IAccount not in interfaces:
            raise NotImplementedError("only IAccount")
        bucket, accountId, addresses = avatarId
        account = Account(
            buckets=self._buckets,
            locks=self._locks,
            seconds=self._seconds,
            bucket=bucket,
            accountId=accountId,
            addresses=addresses,
        )
        return IAccount, account, account.logout
