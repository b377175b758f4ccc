"""The realm of `twisted.cred`: from an avatar id to an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.portal import IRealm
from zope.interface import implementer

from jindimail.interfaces import IAccount, IBuckets
from jindimail.mailbox.account import Account
from jindimail.mailbox.poplock import PopLocks


@implementer(IRealm)
class MailRealm:
    """Cluster-aware: whichever node the session is on, the account's bucket answers."""

    def __init__(self, *, buckets: IBuckets, locks: PopLocks, seconds: Callable[[], float]) -> None:
        self._buckets = buckets
        self._locks = locks
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
