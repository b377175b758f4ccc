"""A whole mail system in memory, without a disk or a reactor: real use-cases and state machine over `memoryBuckets`."""

from __future__ import annotations

from collections.abc import Coroutine
from itertools import count
from random import Random
from typing import Any, TypeVar

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from jindimail.cluster.memory import memoryBuckets
from jindimail.delivery.delivery import Delivery
from jindimail.directory.accounts import Directory, User
from jindimail.directory.attempts import Attempts
from jindimail.directory.checker import PasswordChecker
from jindimail.directory.passwords import Passwords
from jindimail.directory.resolver import Resolver
from jindimail.mailbox.account import Account
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.poplock import PopLocks
from jindimail.mailbox.realm import MailRealm
from jindimail.mailbox.sessions import Sessions
from jindimail.model import Body, Envelope
from jindimail.store.memory import MemoryStore

T = TypeVar("T")
PASSWORD = "correct horse"


def now(waiting: Coroutine[Any, Any, T] | Deferred[T]) -> T:
    """The result of what is done already; raises its error, or AssertionError if it is not done."""
    deferred = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "not done yet"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


class World:
    """One array with the domain example.org; its clock stands still unless a test advances it."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.random = Random(1)
        self.store = MemoryStore() if store is None else store
        self.rows = self.store.rows
        self.buckets = memoryBuckets(MailMachine(), self.store)
        self.resolver = Resolver(self.buckets)
        self.passwords = Passwords(inThread=maybeDeferred, key=b"k" * 32)
        self.attempts = Attempts()
        seconds = self.clock.seconds
        ids = count(1)
        self.directory = Directory(
            buckets=self.buckets,
            resolver=self.resolver,
            passwords=self.passwords,
            seconds=seconds,
            newId=lambda: next(ids),
        )
        self.delivery = Delivery(
            buckets=self.buckets, resolver=self.resolver, seconds=seconds, randomOctets=self.random.randbytes
        )
        checker = PasswordChecker(
            resolver=self.resolver, passwords=self.passwords, attempts=self.attempts, seconds=seconds
        )
        locks = PopLocks(buckets=self.buckets, clock=self.clock, seconds=seconds)
        self.portal = Portal(MailRealm(buckets=self.buckets, locks=locks, seconds=seconds), [checker])
        self.sessions = Sessions(seconds=seconds, sessionsMax=1000, sessionsPerPeerMax=100)
        now(self.directory.addDomain("example.org"))

    def addUser(self, address: str = "alice@example.org", password: str | None = None, **quota: int) -> User:
        """A user; without a password none is hashed, which is quick."""
        return now(self.directory.addUser(address, password, **quota))

    def account(self, user: User) -> Account:
        """The user's account, as a session has it."""
        return Account(
            buckets=self.buckets,
            locks=PopLocks(buckets=self.buckets, clock=self.clock, seconds=self.clock.seconds),
            seconds=self.clock.seconds,
            bucket=user.bucket,
            accountId=user.accountId,
            addresses=user.addresses,
        )

    def body(self, octets: bytes) -> Body:
        """A body with a fresh delivery id."""
        return Body.ofOctets(self.delivery.newDeliveryId(), octets)

    def deliver(self, octets: bytes, *recipients: str, sender: str = "sender@example.net") -> list[Any]:
        """Deliver a message; an error or None per recipient."""
        resolved = tuple(now(self.delivery.resolve(recipient)) for recipient in recipients)
        body = self.body(octets)
        envelope = Envelope(deliveryId=body.bodyId, sender=sender, recipients=resolved)
        return now(self.delivery.deliver(envelope, body))
