"""An account in memory whose answers may be held back, and a portal for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from jindimail.errors import AuthenticationFailed, Corrupt, MailboxInUse, Unavailable
from jindimail.interfaces import IAccount, IMailbox
from jindimail.mailbox.queries import Changes
from jindimail.mailbox.sessions import Sessions
from jindimail.model import MailboxSummary, UidSet, Vanished
from jindimail.pop3.factory import Pop3Factory
from jindimail.pop3.limits import Limits
from jindimail.pop3.session import Pop3
from jindimail.store.records import MessageRow
from tests.support.wires import Wire

UID_VALIDITY = 1700000000


class Store:
    """What the accounts' sessions share: messages by UID, the lock, and what is held back."""

    def __init__(self, *messages: bytes) -> None:
        self.messages: dict[int, bytes] = dict(enumerate(messages, 1))
        self.vanished: list[int] = []
        self.lock = ""
        self.held: list[Callable[[], None]] = []
        self.isHolding = False
        self.isFailing = False
        self.expunged: list[UidSet] = []
        self.listeners: list[Callable[[], None]] = []
        self.octetsAsked: list[int] = []
        self.changesAsked = 0
        self.logouts = 0

    def answer(self, compute: Callable[[], Any]) -> Deferred[Any]:
        """What `compute` gives, now or at the release."""
        waiting: Deferred[Any] = Deferred()

        def fire() -> None:
            try:
                if self.isFailing:
                    raise Unavailable
                waiting.callback(compute())
            except Exception as error:
                waiting.errback(error)

        if self.isHolding:
            self.held.append(fire)
        else:
            fire()
        return waiting

    def hold(self) -> None:
        """Let all answers wait from now on."""
        self.isHolding = True

    def release(self) -> None:
        """Give the answers held back, and those that follow from them."""
        self.isHolding = False
        while self.held:
            self.held.pop(0)()

    def fail(self) -> None:
        """Let all from now on be unavailable."""
        self.isFailing = True

    def remove(self, uid: int) -> None:
        """Another session expunges a message."""
        del self.messages[uid]
        self.vanished.append(uid)
        for listener in self.listeners:
            listener()


@implementer(IMailbox)
class FakeMailbox:
    """INBOX."""

    mailboxId = 1
    uidValidity = UID_VALIDITY
    readOnly = False
    name = "INBOX"

    def __init__(self, store: Store) -> None:
        self.store = store

    def summary(self) -> Deferred[Any]:
        """See `IMailbox`."""
        return self.store.answer(
            lambda: MailboxSummary(
                mailboxId=1,
                name="INBOX",
                uidValidity=UID_VALIDITY,
                uidNext=1 + len(self.store.messages),
                highestModSeq=1 + len(self.store.vanished),
                messages=len(self.store.messages),
                unseen=0,
                deleted=0,
                octets=0,
            )
        )

    def rows(self) -> Deferred[Any]:
        """See `IMailbox`."""
        return self.store.answer(
            lambda: [
                MessageRow(
                    uid=uid,
                    bodyId=b"%016d" % uid,
                    prefix=0,
                    size=len(octets),
                    internalSeconds=0,
                    savedSeconds=0,
                    flags=0,
                    modSeq=1,
                )
                for uid, octets in self.store.messages.items()
            ]
        )

    def octets(
        self, row: MessageRow, start: int = 0, stop: int | None = None, isPiece: bool = False
    ) -> Deferred[Any]:
        """See `IMailbox`."""

        def read() -> bytes:
            octets = self.store.messages.get(row.uid)
            if octets is None:
                raise Corrupt  # its body went with it
            piece = octets[start:stop]
            self.store.octetsAsked.append(len(piece))
            return piece

        return self.store.answer(read)

    def changes(self, afterModSeq: int) -> Deferred[Any]:
        """See `IMailbox`."""
        self.store.changesAsked += 1
        gone = self.store.vanished[afterModSeq - 1 :]
        changes = tuple(
            Vanished(modSeq=afterModSeq + n, uids=UidSet.of([uid])) for n, uid in enumerate(gone, 1)
        )
        return succeed(Changes(changes=changes, modSeq=afterModSeq + len(gone)))

    def follow(self, listener: Callable[[], None]) -> Any:
        """See `IMailbox`."""
        store = self.store
        store.listeners.append(listener)

        class Following:
            def stop(self) -> None:
                store.listeners.remove(listener)

        return Following()


@implementer(IAccount)
class FakeAccount:
    """One session's account."""

    name = "anna@example.org"

    def __init__(self, store: Store) -> None:
        self.store = store
        self._locked = ""

    def lockPop(self, session: str) -> Deferred[Any]:
        """See `IAccount`."""

        def take() -> None:
            if self.store.lock:
                raise MailboxInUse
            self.store.lock = self._locked = session

        return self.store.answer(take)

    def unlockPop(
        self, session: str, mailbox: FakeMailbox | None = None, uids: UidSet | None = None
    ) -> Deferred[Any]:
        """See `IAccount`."""

        def drop() -> None:
            for uid in uids or ():
                self.store.messages.pop(uid, None)
            if uids:
                self.store.expunged.append(uids)
            if self.store.lock == session:
                self.store.lock = ""

        return self.store.answer(drop)

    def open(self, name: str, readOnly: bool = False) -> Deferred[Any]:
        """See `IAccount`."""
        assert name == "INBOX"
        return self.store.answer(lambda: FakeMailbox(self.store))

    def logout(self) -> None:
        """See `IAccount`."""
        self.store.logouts += 1
        if self._locked and self.store.lock == self._locked:
            self.store.lock = ""


class FakePortal:
    """Knows anna and her password with two spaces."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.peers: list[str] = []

    def login(self, credentials: Any, mind: object, *interfaces: Any) -> Deferred[Any]:
        """See `Portal`."""
        self.peers.append(credentials.peer)

        def check() -> Any:
            if (credentials.username, credentials.password) != (b"anna", b" a  secret"):
                raise AuthenticationFailed
            account = FakeAccount(self.store)
            return IAccount, account, account.logout

        return self.store.answer(check)


class Bed:
    """A factory of sessions over a store."""

    def __init__(self, *messages: bytes, **options: Any) -> None:
        self.store = Store(*messages)
        self.clock = Clock()
        self.window: int | None = options.pop("window", None)
        self.sessions = Sessions(
            seconds=self.clock.seconds, sessionsMax=options.pop("sessionsMax", 100), sessionsPerPeerMax=100
        )
        self.portal = FakePortal(self.store)
        options.setdefault("plaintextPasswords", True)
        options.setdefault("limits", Limits())
        self.peer = options.pop("peer", None)
        self.isTls = options.pop("isTls", False)
        self.factory = Pop3Factory(
            portal=self.portal,  # type: ignore[arg-type]
            sessions=self.sessions,
            reactor=self.clock,
            hostName="mail.example.org",
            **options,
        )

    def connect(self) -> tuple[Pop3, Wire]:
        """A new connection, greeted."""
        wire = Wire(isTls=self.isTls, windowOctets=self.window)
        protocol = self.factory.buildProtocol(self.peer)
        protocol.makeConnection(wire)
        return protocol, wire

    def loggedIn(self) -> tuple[Pop3, Wire]:
        """A new connection, logged in, its transport's memory cleared."""
        protocol, wire = self.connect()
        protocol.dataReceived(b"USER anna\r\nPASS  a  secret\r\n")
        assert wire.value().endswith(b" messages\r\n"), wire.value()
        wire.clear()
        return protocol, wire
