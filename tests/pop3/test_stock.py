"""
What the stock class gets wrong and loses mail by, each with the proof that it does and that ours does not.

Every promise is a function of a server; it holds for `Ours` and must fail for `Stock`.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.mail import pop3
from zope.interface import implementer

from tests.pop3.fakes import Bed
from tests.pop3.test_stuffing import ended, unstuffed
from tests.support.wires import Wire


class Ours:
    """A session of ours; its storage keeps CRLF."""

    def __init__(self, message: bytes) -> None:
        bed = Bed(message, b"two\r\n")
        self.hold, self.release = bed.store.hold, bed.store.release
        self.protocol, self.wire = bed.connect()

    def isDeleted(self, number: int) -> bool:
        return number not in self._messages

    @property
    def _messages(self) -> dict[int, bytes]:
        store: Any = self.protocol.factory
        messages: dict[int, bytes] = store.portal.store.messages
        return messages

    def send(self, octets: bytes) -> None:
        self.protocol.dataReceived(octets)


@implementer(pop3.IMailbox)
class StockMailbox:
    """Two messages, kept with LF as the stock class wants them; deletions are durable when `sync` fires."""

    def __init__(self, server: Stock, *messages: bytes) -> None:
        self._server = server
        self._messages = [message.replace(b"\r\n", b"\n") for message in messages]
        self._marked: set[int] = set()
        self.deleted: set[int] = set()

    def listMessages(self, i: int | None = None) -> Any:
        sizes = [len(message) for message in self._messages]
        return sizes if i is None else sizes[i]

    def getMessage(self, i: int) -> BytesIO:
        return BytesIO(self._messages[i])

    def getUidl(self, i: int) -> bytes:
        return b"%d" % i

    def deleteMessage(self, i: int) -> None:
        self._marked.add(i + 1)

    def undeleteMessages(self) -> None:
        self._marked.clear()

    def sync(self) -> Deferred[None]:
        return self._server.answer(lambda: self.deleted.update(self._marked))


class Stock:
    """A session of `twisted.mail.pop3.POP3`, its iterations run at once."""

    def __init__(self, message: bytes) -> None:
        self._held: list[Callable[[], None]] = []
        self._isHolding = False
        self.mailbox = StockMailbox(self, message, b"two\r\n")
        self.wire = Wire()
        self.protocol = pop3.POP3()
        self.protocol.schedule = lambda lines: succeed(list(lines))
        self.protocol.callLater = lambda period, call: None
        self.protocol.portal = Portal(self)  # type: ignore[arg-type]
        self.protocol.portal.login = self._login  # type: ignore[method-assign, assignment]
        self.protocol.makeConnection(self.wire)

    def isDeleted(self, number: int) -> bool:
        return number in self.mailbox.deleted

    def hold(self) -> None:
        self._isHolding = True

    def release(self) -> None:
        self._isHolding = False
        while self._held:
            self._held.pop(0)()

    def answer(self, compute: Callable[[], Any]) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self._held.append(lambda: waiting.callback(compute()))
        if not self._isHolding:
            self.release()
        return waiting

    def send(self, octets: bytes) -> None:
        self.protocol.dataReceived(octets)
        while self.wire.producer is not None:
            self.wire.producer.resumeProducing()

    def _login(self, credentials: object, mind: object, *interfaces: object) -> Deferred[Any]:
        return self.answer(lambda: (pop3.IMailbox, self.mailbox, lambda: None))


LOGIN = b"USER anna\r\nPASS  a  secret\r\n"


def loggedIn(kind: type[Ours] | type[Stock], message: bytes) -> Ours | Stock:
    server = kind(message)
    server.send(LOGIN)
    server.wire.clear()
    return server


def messagesArriveWhole(kind: type[Ours] | type[Stock], message: bytes) -> None:
    server = loggedIn(kind, message)
    server.send(b"RETR 1\r\n")
    _, _, response = server.wire.value().partition(b"\r\n")
    assert unstuffed(response) == ended(message)


def quitAnswersAfterTheDeletion(kind: type[Ours] | type[Stock], message: bytes) -> None:
    server = loggedIn(kind, message)
    server.send(b"DELE 1\r\n")
    server.wire.clear()
    server.hold()
    server.send(b"QUIT\r\n")
    assert not server.isDeleted(1)
    assert server.wire.value() == b""
    server.release()
    assert server.isDeleted(1)
    assert server.wire.value().startswith(b"+OK")


def aBadCommandSilencesNoOther(kind: type[Ours] | type[Stock], message: bytes) -> None:
    server = loggedIn(kind, message)
    server.hold()
    server.send(b"RETR 1\r\nNOPE\r\nNOOP\r\n")
    server.release()
    assert server.wire.value().endswith(b"+OK\r\n")
    assert b"-ERR" in server.wire.value()


def pipelinedLoginWaitsForTheRealm(kind: type[Ours] | type[Stock], message: bytes) -> None:
    server = kind(message)
    server.wire.clear()
    server.hold()
    server.send(LOGIN + b"STAT\r\n")
    server.release()
    assert b"-ERR" not in server.wire.value()
    assert server.wire.value().splitlines()[-1].startswith(b"+OK 2 ")


FIRST_DOT = b".\r\nthe rest\r\n"
DOT_ON_A_LINE_AT_A_CHUNK = b"x" * 16_383 + b"\r\n.\r\nthe rest\r\n"
PROMISES = [
    (messagesArriveWhole, FIRST_DOT),
    (messagesArriveWhole, DOT_ON_A_LINE_AT_A_CHUNK),
    (quitAnswersAfterTheDeletion, b"one\r\n"),
    (aBadCommandSilencesNoOther, b"one\r\n"),
    (pipelinedLoginWaitsForTheRealm, b"one\r\n"),
]
IDS = ["firstDot", "dotAtChunk", "quit", "badCommand", "pipelinedLogin"]


@pytest.mark.parametrize(("promise", "message"), PROMISES, ids=IDS)
def test_oursKeepsThePromise(promise: Any, message: bytes) -> None:
    promise(Ours, message)


@pytest.mark.parametrize(("promise", "message"), PROMISES, ids=IDS)
def test_stockBreaksThePromise(promise: Any, message: bytes) -> None:
    with pytest.raises(Exception) as caught:
        promise(Stock, message)
    assert caught.type.__name__ in {"AssertionError", "POP3Error"}, caught


@pytest.mark.parametrize("message", [b"one\r\n", b"x" * 40_000 + b"\r\n"])
def test_theStockBedItselfIsSound(message: bytes) -> None:
    messagesArriveWhole(Stock, message)
