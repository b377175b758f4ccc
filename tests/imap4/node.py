"""IMAP sessions on the real realm, over the real state machine in memory."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Mapping
from tempfile import mkdtemp
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from jindimail.delivery.spool import Spool
from jindimail.directory.credentials import IPeerPassword
from jindimail.errors import AuthenticationFailed
from jindimail.imap4.factory import ImapFactory
from jindimail.imap4.limits import Limits
from jindimail.mailbox.poplock import PopLocks
from jindimail.mailbox.realm import MailRealm
from tests.support.script import Script
from tests.support.wires import Wire
from tests.support.world import World, now

ADDRESS = "anna@example.org"
PASSWORD = 'se"cret\\'

GREETING = r"S/ \* OK \[CAPABILITY IMAP4rev1 .*AUTH=PLAIN AUTH=LOGIN\] mail.example.org ready"
LOGIN = (
    GREETING
    + r"""
C: a0 LOGIN anna@example.org "se\\"cret\\\\"
S/ a0 OK \[CAPABILITY IMAP4rev1 .*\] logged in
"""
)
SELECTED = (
    LOGIN
    + r"""
C: a1 SELECT INBOX
S* a1 OK [READ-WRITE] selected
"""
)


@implementer(ICredentialsChecker)
class OnePassword:
    """Knows anna's, and forgets nothing."""

    credentialInterfaces = (IPeerPassword,)

    def __init__(self, avatarId: Any) -> None:
        self.avatarId = avatarId
        self.tried: list[tuple[bytes, bytes]] = []
        self.waiting: Deferred[Any] | None = None

    def requestAvatarId(self, credentials: Any) -> Any:
        self.tried.append((credentials.username, credentials.password))
        if self.waiting is not None:
            return self.waiting.addCallback(lambda _: self.avatarId)
        if (credentials.username, credentials.password) != (ADDRESS.encode(), PASSWORD.encode()):
            raise AuthenticationFailed
        return succeed(self.avatarId)


def countPauses(protocol: Any, meanwhile: Callable[[], object] = lambda: None) -> list[object]:
    """One item for each time that a session lets the reactor go round from now on; what happens then."""
    pauses: list[object] = []
    breathe = protocol.breathe

    async def counted() -> None:
        pauses.append(None)
        meanwhile()
        await breathe()

    protocol.breathe = counted
    return pauses


class Node:
    """An account, and IMAP sessions on it."""

    def __init__(
        self, limits: Limits | None = None, tls: Any = None, plaintextPasswords: bool = True
    ) -> None:
        self.world = World()
        self.clock = self.world.clock
        user = self.world.addUser(ADDRESS)
        self.account = self.world.account(user)
        self.checker = OnePassword((user.bucket, user.accountId, user.addresses))
        locks = PopLocks(buckets=self.world.buckets, clock=self.clock, seconds=self.clock.seconds)
        self.realm = MailRealm(buckets=self.world.buckets, locks=locks, seconds=self.clock.seconds)
        place = mkdtemp()
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        self.factory = ImapFactory(
            portal=Portal(self.realm, [self.checker]),
            delivery=self.world.delivery,
            spool=Spool(place),
            sessions=self.world.sessions,
            reactor=self.clock,
            hostName="mail.example.org",
            tls=tls,
            plaintextPasswords=plaintextPasswords,
            limits=limits,
        )

    def connect(self, peer: str | None = None, **arguments: Any) -> tuple[Any, Wire]:
        wire = Wire(**arguments)
        protocol = self.factory.buildProtocol(IPv4Address("TCP", peer, 1) if peer else None)
        protocol.makeConnection(wire)
        return protocol, wire

    def run(
        self, text: str, hooks: Mapping[str, Callable[[], object]] | None = None, **arguments: Any
    ) -> None:
        """Run a script; `DO turn` lets the reactor go round."""
        known: dict[str, Callable[[], object]] = {"turn": self.turn, **(hooks or {})}
        Script(lambda: self.connect(**arguments), known).run(text)

    def turn(self) -> None:
        """Everything that was put off happens."""
        for _ in range(100):
            self.clock.advance(0)

    def append(
        self,
        octets: bytes,
        mailbox: str = "INBOX",
        flags: tuple[str, ...] = (),
        seconds: int | None = 1_000_000_000,
    ) -> int:
        """File a message; its UID."""
        return int(now(self.account.append(mailbox, self.world.body(octets), flags, seconds))[1])

    def login(self, **arguments: Any) -> tuple[Any, Wire]:
        """A connection that is logged in."""
        protocol, wire = self.connect(**arguments)
        protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\n')
        wire.clear()
        return protocol, wire

    def dialogue(self, octets: bytes, **arguments: Any) -> bytes:
        """What the server says to a logged-in client that sends these octets in one piece."""
        protocol, wire = self.login(**arguments)
        protocol.dataReceived(octets)
        self.turn()
        return wire.value()
