"""SEARCH: every key, alone and combined, with nothing read that need not be (RFC 3501 §6.4.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from jindimail.imap4 import criteria
from jindimail.imap4.criteria import HEADER, MESSAGE, ROW, SUMMARY, VIEW, Criterion
from jindimail.imap4.program import parseProgram
from jindimail.imap4.syntax import Cursor
from jindimail.imap4.view import View
from jindimail.message import search
from jindimail.model import DELETED, FLAGGED, SEEN
from jindimail.store.records import MessageRow
from tests.imap4.node import Node, countPauses

DAY = 86_400
FIRST = (
    b"From: Anna <anna@example.org>\r\nTo: bob@example.net\r\nCc: =?utf-8?q?J=C3=B6rg?= <j@example.net>\r\n"
    b"Subject: =?iso-8859-1?q?Gr=FC=DFe?= aus Berlin\r\nDate: Mon, 7 Feb 1994 23:52:25 -0800\r\n\r\nEin Text mit Inhalt\r\n"
)
SECOND = (
    b"From: bob@example.net\r\nBcc: hidden@example.net\r\nSubject: second\r\nX-Tag: one\r\nX-Tag: two\r\n"
    b"Date: Tue, 8 Feb 1994 10:00:00 +0000\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"PHA+SGVsbG8gPGI+V29ybGQ8L2I+IHp1csO8Y2s8L3A+\r\n"
)
THIRD = b"X-Empty:\r\n\r\n" + b"line of text\r\n" * 1000


@pytest.fixture(scope="module")
def node() -> Node:
    """Three messages with all kinds of flags."""
    node = Node()
    node.append(FIRST, flags=("\\Seen", "\\Answered"), seconds=DAY * 9000)
    node.append(SECOND, flags=("\\Flagged", "$Work"), seconds=DAY * 9001)
    node.append(THIRD, flags=("\\Deleted", "\\Draft", "\\Seen"), seconds=DAY * 9001 + 5)
    return node


def found(node: Node, program: bytes) -> list[int]:
    said = node.dialogue(b"a EXAMINE INBOX\r\nb SEARCH " + program + b"\r\n")
    said = said[said.index(b"a OK") :]
    lines = said.splitlines()
    assert lines[-1] == b"b OK SEARCH completed", said
    assert lines[1].startswith(b"* SEARCH"), said
    return [int(number) for number in lines[1].split()[2:]]


@pytest.mark.parametrize(
    ("program", "numbers"),
    [
        (b"ALL", [1, 2, 3]),
        (b"1,3", [1, 3]),
        (b"*", [3]),
        (b"2:*", [2, 3]),
        (b"7:9", []),
        (b"UID 1:2", [1, 2]),
        (b"UID 999:*", [3]),
        (b"ANSWERED", [1]),
        (b"UNANSWERED", [2, 3]),
        (b"DELETED", [3]),
        (b"UNDELETED", [1, 2]),
        (b"DRAFT", [3]),
        (b"UNDRAFT", [1, 2]),
        (b"FLAGGED", [2]),
        (b"UNFLAGGED", [1, 3]),
        (b"SEEN", [1, 3]),
        (b"UNSEEN", [2]),
        (b"KEYWORD $work", [2]),
        (b"UNKEYWORD $Work", [1, 3]),
        (b"KEYWORD $Other", []),
        (b"UNKEYWORD $Other", [1, 2, 3]),
        (b"NEW", []),
        (b"OLD", [1, 2, 3]),
        (b"RECENT", []),
        (b"LARGER 10000", [3]),
        (b"SMALLER 10000", [1, 2]),
        (b"BEFORE 24-Aug-1994", [1]),
        (b"ON 24-Aug-1994", [2, 3]),
        (b'SINCE "24-Aug-1994"', [2, 3]),
        (b"SENTBEFORE 8-Feb-1994", [1]),
        (b"SENTON 7-Feb-1994", [1]),
        (b"SENTSINCE 8-Feb-1994", [2]),
        (b"FROM anna", [1]),
        (b"FROM ANNA@EXAMPLE", [1]),
        (b"TO bob", [1]),
        (b"CC J\xc3\xb6rg".replace(b"J\xc3\xb6rg", b'"J\xc3\xb6rg"'), [1]),
        (b"BCC hidden", [2]),
        (b'CHARSET UTF-8 SUBJECT "GR\xc3\x9c\xc3\x9fE"', [1]),
        (b'CHARSET UTF-8 SUBJECT "gr\xc3\xbcsse aus"', [1]),
        (b"CHARSET US-ASCII SUBJECT second", [2]),
        (b"HEADER X-Tag two", [2]),
        (b'HEADER x-tag ""', [2]),
        (b'HEADER X-Empty ""', [3]),
        (b"HEADER X-Empty x", []),
        (b"BODY inhalt", [1]),
        (b'BODY "hello world"', [2]),
        (b'BODY "zur\xc3\xbcck"', [2]),
        (b"BODY PHA", []),
        (b"BODY berlin", []),
        (b"TEXT berlin", [1]),
        (b"TEXT text", [1, 2, 3]),
        (b"TEXT inhalt", [1]),
        (b"NOT SEEN", [2]),
        (b"NOT NOT SEEN", [1, 3]),
        (b"OR SEEN FLAGGED", [1, 2, 3]),
        (b"OR BODY inhalt OR SUBJECT second DELETED", [1, 2, 3]),
        (b"SEEN DELETED", [3]),
        (b"(SEEN (NOT DELETED))", [1]),
        (b"NOT (SEEN DELETED)", [1, 2]),
        (b"OR (FROM anna UNSEEN) (BODY hello)", [2]),
        (b"NOT BODY text", [2]),
        (b"SUBJECT {6+}\r\nsecond", [2]),
    ],
)
def test_everyKey(node: Node, program: bytes, numbers: list[int]) -> None:
    assert found(node, program) == numbers


def test_uidSearchAnswersUids() -> None:
    node = Node()
    for _ in range(3):
        node.append(b"x\r\n", flags=("\\Deleted",))
    said = node.dialogue(b"a SELECT INBOX\r\nb UID EXPUNGE 1\r\nc UID SEARCH ALL\r\nd SEARCH ALL\r\n")
    assert b"* SEARCH 2 3\r\nc OK" in said
    assert b"* SEARCH 1 2\r\nd OK" in said


def test_anEmptyMailboxIsSearchedInVain() -> None:
    assert found(Node(), b"1:* BODY x") == []


class _Counting:
    """Counts what is read of a mailbox."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self.octetsRead = 0
        self.rowsRead = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)

    async def octets(self, row: Any, start: int = 0, stop: int | None = None, isPiece: bool = False) -> bytes:
        octets: bytes = await self._mailbox.octets(row, start, stop)
        self.octetsRead += len(octets)
        return octets

    async def rowsOf(self, uids: Any) -> Any:
        rows = await self._mailbox.rowsOf(uids)
        self.rowsRead += len(rows)
        return rows


@pytest.mark.parametrize(
    ("program", "rows", "reads"),
    [
        (b"UNSEEN", 0, False),
        (b"BODY x 999 UNSEEN", 0, False),
        (b"OR BODY x ALL", 0, False),
        (b"UNSEEN LARGER 5", 1, False),
        (b"BODY x LARGER 999999", 3, False),
        (b"FROM x", 3, True),
    ],
)
def test_onlyWhatIsNeededIsRead(node: Node, program: bytes, rows: int, reads: bool) -> None:
    protocol, _ = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\na EXAMINE INBOX\r\n')
    counting = protocol.selection.mailbox = _Counting(protocol.selection.mailbox)
    protocol.dataReceived(b"b SEARCH " + program + b"\r\n")
    node.turn()
    assert counting.rowsRead == rows
    assert (counting.octetsRead > 0) is reads


def test_aLongSearchLetsTheReactorGoRoundAndEndsWithItsClient() -> None:
    node = Node()
    for _ in range(1200):
        node.append(b"Subject: x\r\n\r\n")
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\na EXAMINE INBOX\r\n')
    wire.clear()
    pauses = countPauses(protocol)
    protocol.dataReceived(b"b SEARCH SUBJECT x\r\n")
    assert wire.value() == b""
    node.turn()
    assert len(pauses) == 3
    assert wire.value().count(b" ") == 1200 + 4
    protocol.dataReceived(b"c SEARCH SUBJECT x\r\n")
    protocol.connectionLost(Failure(ConnectionLost()))
    node.turn()
    assert len(pauses) == 4


def test_aSearchOfLargeMessagesPausesBetweenThem() -> None:
    node = Node()
    for _ in range(4):
        node.append(b"Subject: x\r\n\r\n" + b"line\r\n" * 100_000)
    protocol, wire = node.login()
    protocol.dataReceived(b"a EXAMINE INBOX\r\n")
    pauses = countPauses(protocol)
    protocol.dataReceived(b"b SEARCH BODY nothing\r\n")
    node.turn()
    assert len(pauses) >= 5
    assert wire.value().endswith(b"* SEARCH\r\nb OK SEARCH completed\r\n")


def pausesOf(node: Node, command: bytes) -> int:
    """How often the reactor goes round while a command about the examined INBOX is answered with OK."""
    protocol, wire = node.login()
    protocol.dataReceived(b"a EXAMINE INBOX\r\n")
    node.turn()
    pauses = countPauses(protocol)
    protocol.dataReceived(b"b " + command + b"\r\n")
    for _ in range(1000):
        node.turn()
    assert b"\r\nb OK" in wire.value()
    return len(pauses)


def test_textIsAboutTheHeadersOfParts() -> None:
    """Which name attachments (RFC 9051 §6.4.4: "including MIME header fields")."""
    node = Node()
    node.append(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf; name=invoice.pdf\r\n\r\nx\r\n--b--\r\n"
    )
    node.append(FIRST)
    assert found(node, b"TEXT Invoice.pdf") == [1]
    assert found(node, b"NOT TEXT Invoice.pdf") == [2]
    assert found(node, b"BODY invoice.pdf") == []


@pytest.mark.parametrize("key", [b"TEXT nothing%d", b"HEADER X-%d nothing", b"BODY nothing%d"])
def test_aSearchForVeryMuchInOneMessagePausesAgainAndAgain(key: bytes) -> None:
    node = Node()
    node.append(b"X-Filler: nought\r\n" * 10_000 + b"\r\n" + b"line\r\n" * 20_000)
    assert pausesOf(node, b"SEARCH " + key % 1) < 10
    keys = b" ".join(b"OR " + key % number for number in range(200))
    assert pausesOf(node, b"SEARCH " + keys + b" NEW") > 3


def test_aHeaderIsDecodedOnceForAllThatIsSoughtInIt(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    monkeypatch.setattr(search, "decodeWords", lambda value: decoded.append(value) or value.decode())
    header = search.SoughtHeader(b"Subject: one\r\nX: two\r\n\r\n")
    assert [header.holds(needle) for needle in ("one", "two", "three")] == [True, True, False]
    assert [header.fieldHolds(b"x", needle) for needle in ("one", "two")] == [False, True]
    assert decoded == [b"one", b"two", b"two"]


def test_manyConditionsOnManyMessagesMakeMorePauses() -> None:
    node = Node()
    for _ in range(600):
        node.append(b"Subject: x\r\n\r\n")
    assert pausesOf(node, b"SEARCH " + b"UNFLAGGED " * 10 + b"UNSEEN") == 0
    assert pausesOf(node, b"SEARCH " + b"UNFLAGGED " * 900 + b"UNSEEN") > 3


def test_fieldsFarDownALongHeaderAreFound() -> None:
    node = Node()
    node.append(
        b"".join(b"X-%d: filler\r\n" % number for number in range(1000)) + b"Subject: deep\r\n\r\nbody\r\n"
    )
    assert found(node, b"SUBJECT deep") == [1]
    assert found(node, b"BODY deep") == []


# --- lazy evaluation ----------------------------------------------------------------------------------------


@dataclass
class Known:
    """Facts of a message, all of them, of which only those up to a level count."""

    level: int
    position: int
    uid: int
    flags: int
    modSeq: int
    size: int
    internalDay: int
    sentDay: int | None
    header: str
    body: str
    asked: list[int] = field(default_factory=list)

    def fieldHolds(self, name: bytes, needle: str) -> bool:
        assert self.level >= HEADER
        return needle in self.header

    def headerHolds(self, needle: str) -> bool:
        assert self.level >= HEADER
        return needle in self.header

    def bodyHolds(self, needle: str) -> bool:
        assert self.level >= MESSAGE
        return needle in self.body

    def partsHold(self, needle: str) -> bool:
        assert self.level >= MESSAGE
        return False


_LEAVES = st.sampled_from(
    [b"ALL", b"SEEN", b"UNSEEN", b"FLAGGED", b"DELETED", b"2:3", b"UID 5:*", b"LARGER 10", b"SMALLER 20", b"ON 2-Jan-1970", b"SINCE 3-Jan-1970",
     b"SENTON 2-Jan-1970", b"SUBJECT a", b"FROM b", b"BODY a", b"BODY c", b"TEXT b", b"TEXT d", b"NEW", b"MODSEQ 3"]
)  # fmt: skip
_PROGRAMS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda text: b"NOT " + text),
        st.tuples(inner, inner).map(lambda pair: b"OR %b %b" % pair),
        st.lists(inner, min_size=1, max_size=3).map(lambda texts: b"(" + b" ".join(texts) + b")"),
    ),
    max_leaves=8,
)
_MESSAGES = st.builds(
    Known,
    level=st.just(MESSAGE),
    position=st.integers(0, 3),
    uid=st.just(0),
    flags=st.sampled_from([0, SEEN, FLAGGED | SEEN, DELETED]),
    modSeq=st.integers(1, 5),
    size=st.sampled_from([5, 15, 25]),
    internalDay=st.integers(0, 3),
    sentDay=st.sampled_from([None, 0, 1, 2]),
    header=st.sampled_from(["", "a", "ab", "b d"]),
    body=st.sampled_from(["", "a", "c", "b c"]),
)


@settings(max_examples=500, deadline=None)
@given(_PROGRAMS, _MESSAGES)
def test_whatLittleIsKnownNeverLies(text: bytes, message: Known) -> None:
    """At every level the answer is the final one or unknown, and with everything known it is never unknown."""
    rows = [
        MessageRow(
            uid=uid, bodyId=b"", prefix=0, size=1, internalSeconds=0, savedSeconds=0, flags=0, modSeq=1
        )
        for uid in (1, 4, 5, 9)
    ]
    program = parseProgram(Cursor((text,)))
    bound = criteria.bind(program.criterion, View(rows, 1), lambda keyword: 0)
    final = bound.test(message)
    assert final is _plainly(bound, message)
    for level in (VIEW, ROW, SUMMARY, HEADER):
        message.level = level
        assert bound.test(message) in (final, None)


def _plainly(criterion: Criterion, message: Known) -> bool:
    """The dumb twin: all of it, in order."""
    if isinstance(criterion, criteria.Not):
        return not _plainly(criterion.criterion, message)
    if isinstance(criterion, criteria.AllOf):
        return False not in [_plainly(inner, message) for inner in criterion.criteria]
    if isinstance(criterion, criteria.AnyOf):
        return True in [_plainly(inner, message) for inner in criterion.criteria]
    return bool(criterion.test(message))
