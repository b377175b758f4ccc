"""
What the stock class gets wrong, each with the proof that it does and that ours does not.

Every promise is a function of a server; it holds for `Ours` and must fail for `Stock`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.mail import imap4
from twisted.mail.imap4 import parseIdList
from zope.interface import implementer

from jindimail.imap4.syntax import parseSequenceSet, resolveRanges
from tests.imap4.node import Node
from tests.support.wires import Wire

MESSAGES = (
    b"Received: one\r\nRECEIVED: two\r\nSubject: Hello\r\n\r\n" + b"0123456789" * 10 + b"\r\n",
    b"Subject: two\r\n\r\nx\r\n",
)


class Server:
    """What a promise is asked of: a connection that is logged in, unless told otherwise."""

    protocol: Any
    wire: Wire

    def send(self, octets: bytes) -> None:
        self.protocol.dataReceived(octets)

    def ask(self, octets: bytes) -> bytes:
        """What the server says to these octets."""
        self.wire.clear()
        self.send(octets)
        self.turn()
        return self.wire.value()

    def turn(self) -> None:
        """Let the reactor go round."""


class Ours(Server):
    """A session of ours."""

    def __init__(self, *, logsIn: bool = True) -> None:
        self.node = Node(tls=object())
        for message in MESSAGES:
            self.node.append(message)
        self.protocol, self.wire = self.node.connect()
        self.tried = self.node.checker.tried
        if logsIn:
            self.send(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\n')

    def holdSelect(self) -> Callable[[], None]:
        """SELECT waits, until what this returns is called."""
        account, waiting = self.protocol.account, Deferred[None]()
        openNow = account.open

        async def openLater(name: str, readOnly: bool = False) -> Any:
            await waiting
            return await openNow(name, readOnly)

        account.open = openLater
        return lambda: waiting.callback(None)

    def turn(self) -> None:
        self.node.turn()


@implementer(imap4.IMessage)
class StockMessage:
    """A message as the stock class takes it."""

    def __init__(self, uid: int, octets: bytes) -> None:
        self.uid = uid
        self.flags: set[str] = set()
        self._octets = octets

    def getUID(self) -> int:
        return self.uid

    def getFlags(self) -> list[str]:
        return sorted(self.flags)

    def getInternalDate(self) -> str:
        return "Mon, 7 Feb 1994 21:52:25 -0800"

    def getSize(self) -> int:
        return len(self._octets)

    def isMultipart(self) -> bool:
        return False

    def getHeaders(self, negate: bool, *names: str) -> dict[str, str]:
        header = self._octets.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        fields = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in header}
        wanted = {name.lower() if isinstance(name, str) else name.decode().lower() for name in names}
        return {name: value for name, value in fields.items() if (name in wanted) is not negate}

    def getBodyFile(self) -> Any:
        from io import BytesIO

        return BytesIO(self._octets.partition(b"\r\n\r\n")[2])


@implementer(imap4.IMailbox)
class StockMailbox:
    """The messages."""

    def __init__(self) -> None:
        self.messages = [StockMessage(uid, octets) for uid, octets in enumerate(MESSAGES, 1)]

    def getFlags(self) -> list[str]:
        return ["\\Seen"]

    def getUIDValidity(self) -> int:
        return 1

    def getUIDNext(self) -> int:
        return len(self.messages) + 1

    def getMessageCount(self) -> int:
        return len(self.messages)

    def getRecentCount(self) -> int:
        return 0

    def isWriteable(self) -> bool:
        return True

    def getHierarchicalDelimiter(self) -> str:
        return "/"

    def addListener(self, listener: object) -> None:
        """Nothing changes."""

    def removeListener(self, listener: object) -> None:
        """Nothing changes."""

    def requestStatus(self, names: list[str]) -> dict[str, int]:
        return imap4.statusRequestHelper(self, names)  # type: ignore[no-any-return]

    def getUnseenCount(self) -> int:
        return 1

    def addMessage(self, message: object, flags: object = (), date: object = None) -> Deferred[None]:
        return succeed(None)

    def fetch(self, messages: Any, uid: bool) -> list[tuple[int, StockMessage]]:
        messages.last = len(self.messages)
        return [
            (number, self.messages[number - 1]) for number in messages if 0 < number <= len(self.messages)
        ]

    def store(self, messages: Any, flags: list[str], mode: int, uid: bool) -> dict[int, list[str]]:
        return dict.fromkeys(messages, flags)


class StockAccount(imap4.MemoryAccount):
    """INBOX, and a SELECT that can be held."""

    waiting: Deferred[None] | None = None

    def __init__(self) -> None:
        super().__init__("anna")
        self.addMailbox("INBOX", StockMailbox())

    def select(self, name: str, readwrite: int = 1) -> Any:
        if self.waiting is not None:
            return self.waiting.addCallback(lambda _: self.mailboxes.get(name.upper()))
        return self.mailboxes.get(name.upper())


class Stock(Server):
    """A session of `twisted.mail.imap4.IMAP4Server`."""

    def __init__(self, *, logsIn: bool = True) -> None:
        self.tried: list[tuple[bytes, bytes]] = []
        self.account = StockAccount()
        self.wire = Wire()
        self._steps: list[Any] = []
        self.protocol = imap4.IMAP4Server(contextFactory=object(), scheduler=self._schedule)
        self.protocol.callLater = lambda period, call: None
        self.protocol.setTimeout = lambda period: None
        self.protocol.portal = Portal(self)  # type: ignore[arg-type]
        self.protocol.portal.login = self._login
        self.protocol.makeConnection(self.wire)
        self.protocol.canStartTLS = not logsIn
        if logsIn:
            self.send(b"a0 LOGIN anna x\r\n")

    def holdSelect(self) -> Callable[[], None]:
        waiting = self.account.waiting = Deferred()
        return lambda: waiting.callback(None)

    def turn(self) -> None:
        while self._steps:
            iterator, done = self._steps.pop(0)
            for step in iterator:
                while step is not None and not step.called:
                    self.wire.producer.resumeProducing()
            done.callback(None)

    def _schedule(self, iterator: Any) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._steps.append((iterator, done))
        return done

    def _login(self, credentials: Any, mind: object, *interfaces: object) -> Deferred[Any]:
        self.tried.append((credentials.username, credentials.password))
        return succeed((imap4.IAccount, self.account, lambda: None))


Kind = type[Ours] | type[Stock]


# --- the rows of twisted-stock that are marked "!" ----------------------------------------------------------


def whatCameInClearTextIsForgottenWithStarttls(kind: Kind) -> None:
    server = kind(logsIn=False)
    said = server.ask(b"a STARTTLS\r\nb LOGIN evil evil\r\nc CAPABILITY\r\n")
    assert server.wire.startedTls
    assert server.tried == []
    assert b"b " not in said
    assert b"c OK" not in said


def commandsAreAnsweredInOrder(kind: Kind) -> None:
    server = kind()
    release = server.holdSelect()
    said = server.ask(b"a SELECT INBOX\r\nb FETCH 1 FLAGS\r\nc NOOP\r\n")
    assert said == b""
    release()
    server.turn()
    tagged = [line[:4] for line in server.wire.value().splitlines() if line[:1] in b"abc"]
    assert tagged == [b"a OK", b"b OK", b"c OK"]


def aLiteralOf99GigabytesIsRefused(kind: Kind) -> None:
    said = kind().ask(b"a APPEND INBOX {99000000000}\r\n")
    assert b"+ " not in said
    assert b"a NO [TOOBIG]" in said


def deepParenthesesAreASyntaxError(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    said = server.ask(b"b SEARCH " + b"(" * 8_000 + b"ALL" + b")" * 8_000 + b"\r\n")
    assert said == b"b BAD syntax error\r\n"


def aLongSetIsTaken(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    uids = b",".join(b"%d" % uid for uid in range(1, 10_000, 2))
    assert len(uids) > 20_000
    said = server.ask(b"b UID FETCH " + uids + b" FLAGS\r\n")
    assert b"\r\nb OK" in said
    assert not server.wire.disconnecting


def quotedStringsHaveEscapes(kind: Kind) -> None:
    server = kind(logsIn=False)
    server.ask(b'a LOGIN "x\\"y" "p\\\\q"\r\n')
    assert server.tried == [(b'x"y', b"p\\q")]


# --- and others ---------------------------------------------------------------------------------------------


def aLiteralThatComesUnaskedKeepsStep(kind: Kind) -> None:
    said = kind().ask(b"a STATUS {5+}\r\nINBOX (MESSAGES)\r\nb NOOP\r\n")
    assert b"a OK" in said
    assert b"\r\nb OK" in said
    assert b"BAD" not in said


def anUnknownStatusItemIsAnswered(kind: Kind) -> None:
    assert b"a BAD" in kind().ask(b"a STATUS INBOX (FOO)\r\n")


def aMissingTargetMayBeCreated(kind: Kind) -> None:
    server = kind()
    assert b"a NO [TRYCREATE]" in server.ask(b"a APPEND Nowhere {3}\r\nabc\r\n")
    server.ask(b"b SELECT INBOX\r\n")
    assert b"c NO [TRYCREATE]" in server.ask(b"c COPY 1 Nowhere\r\n")


def selectTellsWhatClientsNeed(kind: Kind) -> None:
    said = kind().ask(b"a SELECT INBOX\r\n")
    for code in (b"[UIDNEXT 3]", b"[UNSEEN 1]", b"[PERMANENTFLAGS ("):
        assert code in said


def listOfNothingTellsTheDelimiter(kind: Kind) -> None:
    assert kind().ask(b'a LIST "" ""\r\n').startswith(b'* LIST (\\Noselect) "/" ""\r\n')


def theLastMessageIsAlsoARange(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    assert server.ask(b"b FETCH *:* UID\r\n").startswith(b"* 2 FETCH (UID 2)\r\n")


def readingSetsSeen(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    server.ask(b"b FETCH 2 BODY[TEXT]\r\n")
    assert b"\\Seen" in server.ask(b"c FETCH 2 FLAGS\r\n").splitlines()[0]


def partsOfSectionsAreCutOut(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    assert b"BODY[TEXT]<5> {10}\r\n5678901234)" in server.ask(b"b FETCH 1 BODY.PEEK[TEXT]<5.10>\r\n")


def headersComeAsTheyAre(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    header = MESSAGES[0].partition(b"0123")[0]
    assert b"BODY[HEADER] {%d}\r\n%b)" % (len(header), header) in server.ask(
        b"b FETCH 1 BODY.PEEK[HEADER]\r\n"
    )


def searchFindsSubjects(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    assert server.ask(b"b SEARCH SUBJECT hello\r\n").startswith(b"* SEARCH 1\r\n")


def searchAlwaysAnswers(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    assert server.ask(b"b SEARCH DELETED\r\n").startswith(b"* SEARCH\r\n")


def unknownCharsetsAreRefused(kind: Kind) -> None:
    server = kind()
    server.ask(b"a SELECT INBOX\r\n")
    assert server.ask(b"b SEARCH CHARSET X-FOO ALL\r\n").startswith(b"b NO [BADCHARSET (US-ASCII UTF-8)]")


def smallSegmentsAreNotHeldBack(kind: Kind) -> None:
    assert kind(logsIn=False).wire.noDelay


PROMISES = [
    whatCameInClearTextIsForgottenWithStarttls,
    commandsAreAnsweredInOrder,
    aLiteralOf99GigabytesIsRefused,
    deepParenthesesAreASyntaxError,
    aLongSetIsTaken,
    quotedStringsHaveEscapes,
    aLiteralThatComesUnaskedKeepsStep,
    anUnknownStatusItemIsAnswered,
    aMissingTargetMayBeCreated,
    selectTellsWhatClientsNeed,
    listOfNothingTellsTheDelimiter,
    theLastMessageIsAlsoARange,
    readingSetsSeen,
    partsOfSectionsAreCutOut,
    headersComeAsTheyAre,
    searchFindsSubjects,
    searchAlwaysAnswers,
    unknownCharsetsAreRefused,
    smallSegmentsAreNotHeldBack,
]


@pytest.mark.parametrize("promise", PROMISES)
def test_oursKeeps(promise: Callable[[Kind], None]) -> None:
    promise(Ours)


@pytest.mark.parametrize("promise", PROMISES)
def test_stockBreaks(promise: Callable[[Kind], None]) -> None:
    with pytest.raises((AssertionError, RecursionError)):
        promise(Stock)


def _steps(call: Callable[[], object]) -> int:
    """How many lines of Python are run."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def _scattered(count: int) -> bytes:
    return b",".join(b"%d" % number for number in range(1, 3 * count, 3))


def test_theWorkForASetGrowsWithItsLength() -> None:
    def ours(count: int) -> int:
        return _steps(lambda: resolveRanges(parseSequenceSet(_scattered(count)), 10_000))

    assert ours(400) < 2.2 * ours(200)


def test_stockWorksWithTheSquareOfIt() -> None:
    def stock(count: int) -> int:
        return _steps(lambda: parseIdList(_scattered(count)))

    assert stock(400) > 3.5 * stock(200)
