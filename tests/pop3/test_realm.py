"""Sessions on the real realm, over the real state machine in memory."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.memory import memoryBuckets
from jindimail.directory.credentials import IPeerPassword
from jindimail.errors import Unavailable
from jindimail.mailbox.account import Account
from jindimail.mailbox.entries import ADD, REMOVE, CreateAccount, DropPopLock, RenewUidValidities
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.outcomes import Done
from jindimail.mailbox.poplock import RETRY_SECONDS, PopLocks
from jindimail.mailbox.realm import MailRealm
from jindimail.mailbox.sessions import Sessions
from jindimail.model import Body, UidSet, bucketOf
from jindimail.pop3.factory import Pop3Factory
from tests.pop3.test_stuffing import unstuffed
from tests.support.script import Script
from tests.support.wires import Wire

ADDRESS = "anna@example.org"
BUCKET = bucketOf(ADDRESS)
MESSAGES = (b"A: 1\r\n\r\n.dot\r\n", b"", b"A: 3\r\n\r\n" + b".\r\nx\r\n" * 150_000)


def resultOf(awaitable: Any) -> Any:
    """What an awaitable gives that does not wait."""
    results: list[Any] = []
    deferred = awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(awaitable)
    deferred.addCallback(results.append)
    assert results, deferred
    return results[0]


@implementer(ICredentialsChecker)
class AnyPassword:
    """Lets anna in."""

    credentialInterfaces = (IPeerPassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        return succeed((BUCKET, 1, (ADDRESS,)))


class Node:
    """An account with messages, and POP3 sessions on it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.buckets = memoryBuckets(MailMachine())
        made = CreateAccount(
            seconds=1,
            accountId=1,
            addresses=(ADDRESS,),
            credential="",
            quotaOctets=0,
            quotaMessages=0,
            mailboxes=(),
            uidValidity=1_700_000_000,
        )
        assert resultOf(self.buckets.propose(BUCKET, made)) == Done()
        locks = PopLocks(buckets=self.buckets, clock=self.clock, seconds=self.clock.seconds)
        self.account = Account(
            buckets=self.buckets,
            locks=locks,
            seconds=self.clock.seconds,
            bucket=BUCKET,
            accountId=1,
            addresses=(ADDRESS,),
        )
        for number, message in enumerate(MESSAGES, 1):
            resultOf(self.account.append("INBOX", Body.ofOctets(b"%016d" % number, message)))
        self.inbox = resultOf(self.account.open("INBOX"))
        portal = Portal(
            MailRealm(buckets=self.buckets, locks=locks, seconds=self.clock.seconds), [AnyPassword()]
        )
        self.factory = Pop3Factory(
            portal=portal,
            sessions=Sessions(seconds=self.clock.seconds, sessionsMax=9, sessionsPerPeerMax=9),
            reactor=self.clock,
            hostName="mail.example.org",
            plaintextPasswords=True,
        )

    def connect(self) -> tuple[Any, Wire]:
        wire = Wire()
        protocol = self.factory.buildProtocol(None)
        protocol.makeConnection(wire)
        return protocol, wire

    def run(self, text: str) -> None:
        renew = RenewUidValidities(seconds=1, floor=self.inbox.uidValidity + 1)
        hooks = {"renew": lambda: resultOf(self.buckets.propose(BUCKET, renew))}
        expunge = {f"expunge{uid}": lambda uid=uid: resultOf(self.expunge(uid)) for uid in (1, 2)}
        Script(self.connect, {"copy1": self.copy, "flags": self.flags, **hooks, **expunge}).run(text)

    def expunge(self, uid: int) -> Any:
        return self.inbox.expunge(UidSet.of([uid]), onlyDeleted=False)

    def flags(self) -> None:
        """So many changes that the first are dropped."""
        for action in [ADD, REMOVE] * 100:
            resultOf(self.inbox.storeFlags(UidSet.of([3]), action, ["\\Seen"]))
        assert not resultOf(self.inbox.changes(5)).resumable

    def copy(self) -> None:
        """Another row keeps the body of message 1."""
        resultOf(self.account.create("Kept"))
        resultOf(self.inbox.copy(UidSet.of([1]), "Kept"))


@pytest.fixture
def node() -> Node:
    """A node with three messages."""
    return Node()


LOGIN = r"""
S/ \+OK .*
C: USER anna
C: PASS x
S: +OK send PASS
S: +OK 3 messages
"""


def test_messagesComeOutAsTheyWentIn(node: Node) -> None:
    for number, message in enumerate(MESSAGES, 1):
        protocol, wire = node.connect()
        protocol.dataReceived(b"USER anna\r\nPASS x\r\n")
        wire.clear()
        protocol.dataReceived(b"RETR %d\r\n" % number)
        head, _, response = wire.value().partition(b"\r\n")
        assert head == b"+OK %d octets" % len(message)
        assert unstuffed(response) == message
        protocol.connectionLost(Failure(ConnectionLost()))


def test_deletionsAreThere(node: Node) -> None:
    node.run(LOGIN + "C: DELE 1\nC: DELE 3\nC: QUIT\nS: +OK\nS: +OK\nS: +OK bye\nCLOSED\nLOST\n")
    assert [row.uid for row in resultOf(node.inbox.rows())] == [2]


def test_aLostConnectionGivesTheLockBackAndDeletesNothing(node: Node) -> None:
    node.run(
        LOGIN
        + r"""
C: DELE 1
S: +OK
SESSION 2
S/ \+OK .*
C: USER anna
C: PASS x
S: +OK send PASS
S: -ERR [IN-USE] mailbox locked by another session
SESSION 1
LOST
SESSION 2
C: USER anna
C: PASS x
S: +OK send PASS
S: +OK 3 messages
"""
    )


def test_aRefusedLoginLeavesTheOthersLock(node: Node) -> None:
    refused = "S/ .*\nC: USER anna\nC: PASS x\nS: +OK send PASS\nS/ -ERR \\[IN-USE\\] .*\n"
    node.run(LOGIN + f"SESSION 2\n{refused}LOST\nSESSION 3\n{refused}")


def test_aLockThatAnEarlierLoginOfTheSessionCouldNotGiveBackIsNotTheLaterOnes(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose = node.buckets.propose
    monkeypatch.setattr(node.buckets, "query", lambda *_, **__: fail(Unavailable()))
    monkeypatch.setattr(
        node.buckets,
        "propose",
        lambda bucket, entry, body=None: (
            fail(Unavailable()) if isinstance(entry, DropPopLock) else propose(bucket, entry, body)
        ),
    )
    protocol, wire = node.connect()
    protocol.dataReceived(b"USER anna@example.org\r\nPASS x\r\n")
    assert b"-ERR [SYS/TEMP]" in wire.value()  # the lock was taken, and then INBOX could not be read
    monkeypatch.undo()
    node.clock.advance(RETRY_SECONDS / 2)
    wire.clear()
    protocol.dataReceived(b"USER anna@example.org\r\nPASS x\r\n")
    assert b"+OK 3 messages" in wire.value()
    node.clock.advance(RETRY_SECONDS)
    other, wire = node.connect()
    other.dataReceived(b"USER anna@example.org\r\nPASS x\r\n")
    assert b"-ERR [IN-USE]" in wire.value()


@pytest.mark.parametrize("before", ["", "DO copy1\n"])
def test_whatAnotherSessionExpungedIsRefused(node: Node, before: str) -> None:
    node.run(
        LOGIN
        + before
        + r"""
DO expunge1
C: RETR 1
C: RETR 2
C: DELE 1
C: QUIT
S: -ERR no such message
S: +OK 0 octets
S: .
S: +OK
S: +OK bye
"""
    )


def test_underANewUidValidityNothingIsReadOrDeleted(node: Node) -> None:
    node.run(
        LOGIN
        + r"""
C: DELE 1
S: +OK
DO renew
C: RETR 2
S: -ERR [SYS/PERM] mailbox gone
C: QUIT
S: -ERR [SYS/PERM] mailbox gone
CLOSED
"""
    )
    assert [row.uid for row in resultOf(node.inbox.rows())] == [1, 2, 3]


def test_vanishedMessagesAreLearntWhenTheChangesAreDropped(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jindimail.mailbox.step.CHANGES_KEPT", 1)
    node.run(
        LOGIN
        + r"""
DO expunge1
DO flags
C: RETR 1
C: TOP 1 0
C: RETR 2
S: -ERR no such message
S: -ERR no such message
S: +OK 0 octets
S: .
"""
    )


def test_aMaildropWhoseChangesWereDroppedIsReadOnce(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jindimail.mailbox.step.CHANGES_KEPT", 1)
    protocol, wire = node.connect()
    protocol.dataReceived(b"USER anna@example.org\r\nPASS x\r\n")
    node.flags()
    read: list[object] = []
    rows = protocol.mailbox.rows

    async def counted() -> Any:
        read.append(None)
        return await rows()

    monkeypatch.setattr(protocol.mailbox, "rows", counted)
    for _ in range(3):
        protocol.dataReceived(b"RETR 1\r\n")
        resultOf(node.inbox.storeFlags(UidSet.of([1]), ADD, ("\\Seen",)))
        resultOf(node.inbox.storeFlags(UidSet.of([1]), REMOVE, ("\\Seen",)))
    assert wire.value().count(b"+OK 14 octets") == 3
    assert len(read) == 1
