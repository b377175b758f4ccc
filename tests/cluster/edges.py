"""The edges of a node of a simulated array, with real protocol objects, and clients that wait for their answers."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from tempfile import mkdtemp
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.presence import Presence
from jindimail.delivery.delivery import Delivery
from jindimail.delivery.spool import Spool
from jindimail.directory.accounts import Directory
from jindimail.directory.credentials import IPeerPassword
from jindimail.directory.passwords import Passwords
from jindimail.directory.resolver import Resolver
from jindimail.errors import AuthenticationFailed
from jindimail.imap4.factory import ImapFactory
from jindimail.mailbox.poplock import PopLocks
from jindimail.mailbox.realm import MailRealm
from jindimail.mailbox.sessions import Sessions
from jindimail.model import Body, Envelope
from jindimail.pop3.factory import Pop3Factory
from jindimail.queue.runner import QueueRunner
from tests.cluster.world import World
from tests.support.wires import Wire

SECONDS = 1_800_000_000
PATIENCE_SECONDS = 40.0


@implementer(ICredentialsChecker)
class AnyPassword:
    """Whoever has an account gets in."""

    credentialInterfaces = (IPeerPassword,)

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._find(credentials.username.decode()))

    async def _find(self, user: str) -> Any:
        found = await self._resolver.account(user)
        if found is None:
            raise AuthenticationFailed
        bucket, account = found
        return bucket, account.accountId, account.record.addresses


class Edges:
    """What a node does for clients."""

    def __init__(self, world: World, node: int) -> None:
        self.world = world
        self.node = node
        share = world.shares[node]
        self.buckets: Any = share.buckets
        self.clock = world.clockOf(node)
        chance = Random(node)
        self.resolver = Resolver(self.buckets)
        self.directory = Directory(
            buckets=self.buckets,
            resolver=self.resolver,
            passwords=Passwords(inThread=maybeDeferred, key=b"k"),
            seconds=self.seconds,
            newId=lambda: chance.getrandbits(62),
        )
        self.delivery = Delivery(
            buckets=self.buckets, resolver=self.resolver, seconds=self.seconds, randomOctets=chance.randbytes
        )
        self.spool = spool = Spool(mkdtemp())
        self.queue = QueueRunner(
            buckets=self.buckets,
            delivery=self.delivery,
            spool=spool,
            clock=self.clock,
            seconds=self.seconds,
        )
        self.queue.start()
        presence = Presence(links=share.links, subject="session")
        locks = PopLocks(buckets=self.buckets, clock=self.clock, seconds=self.seconds, isGone=presence.isGone)
        realm = MailRealm(buckets=self.buckets, locks=locks, seconds=self.seconds)
        portal = Portal(realm, [AnyPassword(self.resolver)])
        sessions = Sessions(seconds=self.seconds, sessionsMax=100, sessionsPerPeerMax=100)
        presence.isHere = sessions.isThere
        common: dict[str, Any] = {
            "portal": portal,
            "sessions": sessions,
            "reactor": self.clock,
            "hostName": "mail.example.org",
            "plaintextPasswords": True,
        }
        self._pop3 = Pop3Factory(**common)
        self._imap = ImapFactory(delivery=self.delivery, spool=spool, **common)

    def seconds(self) -> float:
        """The wall clock."""
        return SECONDS + self.world.heap.now

    def deliver(self, octets: bytes, *recipients: str) -> list[Any]:
        """Have a message filed; an error or None a recipient."""
        return self.world.result(self._deliver(octets, recipients))

    async def _deliver(self, octets: bytes, recipients: tuple[str, ...]) -> Any:
        resolved = tuple([await self.delivery.resolve(each) for each in recipients])
        body = Body.ofOctets(self.delivery.newDeliveryId(), octets)
        envelope = Envelope(deliveryId=body.bodyId, sender="sender@example.net", recipients=resolved)
        return await self.delivery.deliver(envelope, body)

    def pop3(self, user: str) -> PopClient:
        """A POP3 session that asks for a login; `answer` is what came of it."""
        return PopClient(self.world, self._pop3, user)

    def imap(self, user: str) -> ImapClient:
        """An IMAP session, logged in."""
        return ImapClient(self.world, self._imap, user)


class Client:
    """One connection."""

    def __init__(self, world: World, factory: Any) -> None:
        self.world = world
        self.wire = Wire()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.wire)
        self.said()

    def said(self) -> bytes:
        """What the server said since the last time."""
        octets: bytes = self.wire.value()
        self.wire.clear()
        return octets

    def hear(self, isWhole: Callable[[bytes], object]) -> bytes:
        """What the server says, once it is whole."""
        self.world.until(lambda: isWhole(self.wire.value()), PATIENCE_SECONDS)
        return self.said()

    def lose(self) -> None:
        """The connection breaks."""
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def isConnected(self) -> bool:
        """Whether the server has left the connection as it is."""
        return not self.wire.disconnecting


class PopClient(Client):
    """A POP3 client."""

    def __init__(self, world: World, factory: Any, user: str) -> None:
        super().__init__(world, factory)
        self.protocol.dataReceived(b"USER " + user.encode() + b"\r\nPASS x\r\n")
        self._login = b""

    @property
    def answer(self) -> bytes:
        """The answer to PASS, once it is there."""
        if not self._login:
            _, _, self._login = self.hear(lambda said: said.count(b"\r\n") == 2).partition(b"\r\n")
        return self._login

    def ask(self, line: bytes) -> bytes:
        """The first line of the answer to a command."""
        self.protocol.dataReceived(line + b"\r\n")
        return self.hear(lambda said: b"\r\n" in said)


class ImapClient(Client):
    """An IMAP client."""

    def __init__(self, world: World, factory: Any, user: str) -> None:
        super().__init__(world, factory)
        self._number = 0
        assert b" OK " in self.ask(b"LOGIN " + user.encode() + b" x")

    def start(self, command: bytes) -> bytes:
        """Send a command; its tag."""
        self._number += 1
        tag = b"t%d" % self._number
        self.protocol.dataReceived(tag + b" " + command + b"\r\n")
        return tag

    def end(self, tag: bytes) -> bytes:
        """All that comes up to a tagged answer, and with it."""
        return self.hear(lambda said: b"\r\n" + tag + b" " in b"\r\n" + said and said.endswith(b"\r\n"))

    def ask(self, command: bytes) -> bytes:
        """All that a command is answered with."""
        return self.end(self.start(command))
