"""Sections of messages, as clients see them: with the header lines that differ by recipient (RFC 3501 §6.4.5, §7.4.2)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.errors import Corrupt, Unavailable
from jindimail.imap4.fetching import SMALL_OCTETS
from jindimail.model import UidSet
from jindimail.store.records import MessageRow
from tests.imap4.node import ADDRESS, Node
from tests.support.world import now

HEADER = (
    b"From: a@b.example\r\nSubject: Parts\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=xx\r\nX-Folded: one\r\n two\r\n\r\n"
)
FIRST = b"Content-Type: text/plain\r\nX-Part: 1\r\n\r\nfirst part"
INNER = b"Subject: inner\r\nContent-Type: multipart/alternative; boundary=yy\r\n\r\n--yy\r\n\r\nplain\r\n--yy\r\nContent-Type: text/html\r\n\r\n<b>\r\n--yy--"
SECOND = b"Content-Type: message/rfc822\r\n\r\n" + INNER
TEXT = b"preamble\r\n--xx\r\n" + FIRST + b"\r\n--xx\r\n" + SECOND + b"\r\n--xx--\r\nepilogue\r\n"


@pytest.fixture
def node() -> Node:
    """A message that was delivered, so that it has a prefix."""
    node = Node()
    node.world.deliver(HEADER + TEXT, ADDRESS)
    return node


def fetched(node: Node, items: bytes) -> dict[bytes, bytes | None]:
    """The literals of the first message by their labels, and NIL as None."""
    said = node.dialogue(b"a EXAMINE INBOX\r\nb FETCH 1 " + items + b"\r\n")
    assert b"\r\nb OK" in said, said[-200:]
    said = said[said.index(b"* 1 FETCH (") + 11 :]
    found: dict[bytes, bytes | None] = {}
    while match := re.match(rb" ?([A-Z0-9.]+(?:\[[^]]*\](?:<\d+>)?)?) (?:NIL|\{(\d+)\}\r\n)", said):
        at = match.end()
        size = int(match[2] or 0)
        found[match[1]] = said[at : at + size] if match[2] else None
        said = said[at + size :]
    assert said.startswith(b")\r\nb OK"), said
    return found


def test_sectionsAreWhatTheyAreCalled(node: Node) -> None:
    found = fetched(
        node,
        b"(BODY[] BODY[HEADER] BODY[TEXT] BODY[1] BODY[1.MIME] BODY[2] BODY[2.MIME] BODY[2.HEADER] BODY[2.TEXT] BODY[2.1] BODY[2.2.MIME]"
        b" BODY[2.2] BODY[3] BODY[1.1] BODY[1.HEADER] RFC822 RFC822.HEADER RFC822.TEXT)",
    )
    whole = found[b"BODY[]"]
    assert whole is not None
    prefix = whole[: -len(HEADER + TEXT)]
    assert b"Delivered-To: anna@example.org\r\n" in prefix
    assert whole == prefix + HEADER + TEXT == found[b"RFC822"]
    assert found[b"BODY[HEADER]"] == prefix + HEADER == found[b"RFC822.HEADER"]
    assert found[b"BODY[TEXT]"] == TEXT == found[b"RFC822.TEXT"]
    assert found[b"BODY[1]"] == b"first part"
    assert found[b"BODY[1.MIME]"] == b"Content-Type: text/plain\r\nX-Part: 1\r\n\r\n"
    assert found[b"BODY[2]"] == INNER
    assert found[b"BODY[2.MIME]"] == b"Content-Type: message/rfc822\r\n\r\n"
    assert found[b"BODY[2.HEADER]"] == INNER[: INNER.index(b"--yy")]
    assert found[b"BODY[2.TEXT]"] == INNER[INNER.index(b"--yy") :]
    assert found[b"BODY[2.1]"] == b"plain"
    assert found[b"BODY[2.2.MIME]"] == b"Content-Type: text/html\r\n\r\n"
    assert found[b"BODY[2.2]"] == b"<b>"
    assert found[b"BODY[3]"] is found[b"BODY[1.1]"] is found[b"BODY[1.HEADER]"] is None


def test_headerFieldsKeepOrderCaseAndFolds(node: Node) -> None:
    found = fetched(
        node,
        b"(BODY[HEADER.FIELDS (X-FOLDED delivered-to from)] BODY[HEADER.FIELDS.NOT (Received Return-Path Delivered-To)]"
        b" BODY[2.HEADER.FIELDS (Subject)] BODY[HEADER.FIELDS (None)] BODY[HEADER.FIELDS (From)]<6.3>)",
    )
    assert list(found.values()) == [
        b"Delivered-To: anna@example.org\r\nFrom: a@b.example\r\nX-Folded: one\r\n two\r\n\r\n",
        HEADER,
        b"Subject: inner\r\n\r\n",
        b"\r\n",
        b"a@b",
    ]


def test_sizeIsWhatBodyBrings(node: Node) -> None:
    whole = fetched(node, b"BODY[]")[b"BODY[]"]
    assert whole is not None
    said = node.dialogue(b"a EXAMINE INBOX\r\nb FETCH 1 RFC822.SIZE\r\n")
    assert b"* 1 FETCH (RFC822.SIZE %d)\r\n" % len(whole) in said


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_partialsAreSlices(data: st.DataObject) -> None:
    node = Node()
    octets = b"Subject: x\r\n\r\n" + bytes(range(1, 256)) * data.draw(st.sampled_from([1, 300, 1500]))
    node.append(octets)
    ends = st.one_of(
        st.integers(0, len(octets) + 20), st.sampled_from([0, SMALL_OCTETS, SMALL_OCTETS + 1, 2**40])
    )
    offset, count = data.draw(ends), data.draw(ends.filter(bool))
    found = fetched(node, b"BODY.PEEK[]<%d.%d>" % (offset, count))
    assert found == {b"BODY[]<%d>" % offset: octets[offset : offset + count]}


@pytest.mark.parametrize(
    "octets", [b"", b"\r\n", b"no header", b"\r\n\r\n\r\n", b"A: b", b"A: b\r\n", b"A: b\r\n\r\n", b"\n\nx"]
)
def test_messagesWithoutMuchOfOne(octets: bytes) -> None:
    node = Node()
    node.append(octets)
    found = fetched(node, b"(BODY[] BODY[HEADER] BODY[TEXT] BODY[1] BODY[1.MIME])")
    assert found[b"BODY[]"] == octets
    assert (found[b"BODY[HEADER]"] or b"") + (found[b"BODY[TEXT]"] or b"") == octets


def test_bodySetsSeenOnceForAllAndTellsIt() -> None:
    node = Node()
    for flags in ((), ("\\Seen",), ()):
        node.append(b"x\r\n", flags=flags)
    said = node.dialogue(b"a SELECT INBOX\r\nb FETCH 1:3 BODY[TEXT]\r\nc FETCH 1:3 (FLAGS)\r\nd NOOP\r\n")
    said = said[said.index(b"a OK") :]
    assert said.count(b"FLAGS (\\Seen)") == 5
    assert b"* 2 FETCH (BODY[TEXT] {3}\r\nx\r\n)\r\n" in said
    assert said.endswith(b"c OK FETCH completed\r\nd OK completed\r\n")


def test_peekSetsNothing() -> None:
    node = Node()
    node.append(b"x\r\n")
    said = node.dialogue(b"a SELECT INBOX\r\nb FETCH 1 (BODY.PEEK[] RFC822.HEADER)\r\nc FETCH 1 FLAGS\r\n")
    assert b"* 1 FETCH (FLAGS ())\r\n" in said


def test_aDamagedMessageHarmsNoOther() -> None:
    node = Node()
    for number in range(3):
        node.append(b"Subject: %d\r\n\r\nx\r\n" % number)
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\na SELECT INBOX\r\n')
    mailbox = protocol.selection.mailbox
    octets, summaryOf = mailbox.octets, mailbox.summaryOf

    async def damagedOctets(
        row: object, start: int = 0, stop: int | None = None, isPiece: bool = False
    ) -> object:
        if row.uid == 2:  # type: ignore[attr-defined]
            raise Corrupt
        return await octets(row, start, stop)

    async def damagedSummary(row: object) -> object:
        if row.uid == 2:  # type: ignore[attr-defined]
            raise Corrupt
        return await summaryOf(row)

    mailbox.octets = damagedOctets
    wire.clear()
    protocol.dataReceived(b"b FETCH 1:3 BODY.PEEK[TEXT]\r\n")
    assert wire.value() == (
        b"* 1 FETCH (BODY[TEXT] {3}\r\nx\r\n)\r\n* 3 FETCH (BODY[TEXT] {3}\r\nx\r\n)\r\nb NO [CORRUPTION] stored message is damaged\r\n"
    )
    mailbox.octets, mailbox.summaryOf = octets, damagedSummary
    wire.clear()
    protocol.dataReceived(b"c FETCH 1:3 (UID ENVELOPE)\r\nd SEARCH TEXT x\r\n")
    assert wire.value().count(b"* ") == 2
    assert b"\r\nc NO [CORRUPTION]" in wire.value()


@pytest.mark.parametrize("what", ["BODY.PEEK[]", "ENVELOPE"])
def test_aMessageThatIsRemovedWhileItIsReadIsNotDamaged(what: str) -> None:
    """Its body goes with it, behind the back of who has read its row."""
    node = Node()
    for number in range(3):
        node.append(b"Subject: %d\r\n\r\nx\r\n" % number)
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    mailbox, box = protocol.selection.mailbox, now(node.account.open("INBOX"))
    summaryOf = mailbox.summaryOf

    async def late(row: MessageRow) -> object:
        if row.uid == 2:
            await box.expunge(UidSet.of([2]), onlyDeleted=False)
        return await summaryOf(row)

    mailbox.summaryOf = late
    wire.clear()
    protocol.dataReceived(f"b FETCH 1:3 {what}\r\n".encode())
    said = wire.value()
    assert b"* 1 FETCH" in said
    assert b"* 2 FETCH" not in said
    assert b"* 3 FETCH" in said
    assert said.endswith(b"b OK [EXPUNGEISSUED] FETCH completed; some messages are gone\r\n")


@pytest.mark.parametrize("what", ["BODY.PEEK[]", "ENVELOPE"])
@pytest.mark.parametrize("verb", ["FETCH", "UID FETCH"])
def test_whatCannotBeHadNowEndsTheSession(verb: str, what: str) -> None:
    """Clients take NO for the message's own fault, and never ask for it again (docs/adr/0053)."""
    node = Node()
    for number in range(3):
        node.append(b"Subject: %d\r\n\r\nx\r\n" % number)
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    mailbox = protocol.selection.mailbox
    summaryOf = mailbox.summaryOf

    async def away(row: object) -> object:
        if row.uid == 2:  # type: ignore[attr-defined]
            raise Unavailable
        return await summaryOf(row)

    mailbox.summaryOf = away
    wire.clear()
    protocol.dataReceived(f"b {verb} 1:3 {what}\r\nc NOOP\r\n".encode())
    said = wire.value()
    assert said.endswith(b"* BYE [UNAVAILABLE] temporarily unavailable, try again\r\n")
    assert b"\r\nb " not in said and b"\r\nc " not in said
    assert wire.disconnecting


def test_aLiteralThatCannotBeFinishedEndsTheConnection() -> None:
    """Half a literal cannot be taken back."""
    node = Node()
    node.append(b"x" * 3_000_000)
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\na SELECT INBOX\r\n')
    octets = protocol.selection.mailbox.octets

    async def damaged(row: object, start: int = 0, stop: int | None = None, isPiece: bool = False) -> object:
        if start > 1_000_000:
            raise Corrupt
        return await octets(row, start, stop)

    protocol.selection.mailbox.octets = damaged
    protocol.dataReceived(b"b FETCH 1 BODY.PEEK[]\r\nc NOOP\r\n")
    assert wire.aborted
    assert b"b NO" not in wire.value()


def test_manyMessagesAreAnsweredInFewWrites() -> None:
    node = Node()
    for number in range(700):
        node.append(b"Subject: %d\r\n\r\n" % number)
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\na SELECT INBOX\r\n')
    for items in (b"FLAGS", b"(UID RFC822.SIZE INTERNALDATE)", b"(UID ENVELOPE BODYSTRUCTURE BODY)"):
        before = wire.writes
        wire.clear()
        protocol.dataReceived(b"b FETCH 1:* " + items + b"\r\n")
        assert [int(line.split()[1]) for line in wire.value().splitlines()[:-1]] == list(range(1, 701))
        assert wire.writes - before <= 12


def test_aScatteredSetIsReadInFewQueries() -> None:
    node = Node()
    for _ in range(1200):
        node.append(b"A: b\r\n\r\n", flags=("\\Seen",))
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    queries: list[object] = []
    rowsOf = protocol.selection.mailbox.rowsOf

    async def counted(uids: object) -> object:
        queries.append(uids)
        return await rowsOf(uids)

    protocol.selection.mailbox.rowsOf = counted
    odd = b",".join(b"%d" % uid for uid in range(1, 1200, 2))
    wire.clear()
    protocol.dataReceived(b"b UID FETCH " + odd + b" RFC822.SIZE\r\n")
    assert wire.value().count(b" FETCH ") == 601
    assert len(queries) == 2
    protocol.dataReceived(b"c UID FETCH 1,3:1199 (FLAGS RFC822.SIZE)\r\n")
    assert wire.value().endswith(
        b"* 1199 FETCH (UID 1199 FLAGS (\\Seen) RFC822.SIZE 8)\r\nc OK FETCH completed\r\n"
    )
    assert len(queries) == 5


def test_fieldsAreChosenFromABoundedHeader() -> None:
    """All of a header is served, but fields are sought in its first 256 KiB only."""
    node = Node()
    filler = b"X-Filler: " + b"x" * 990 + b"\r\n"
    node.append(b"Subject: first\r\n" + filler * 300 + b"Subject: last\r\n\r\nbody\r\n")
    found = fetched(node, b"(BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (Subject)])")
    header, subject = found.values()
    assert header is not None
    assert header.endswith(b"Subject: last\r\n\r\n")
    assert subject == b"Subject: first\r\n\r\n"


def test_manySectionsAreNotReadAheadAllAtOnce() -> None:
    node = Node()
    octets = b"Subject: x\r\n\r\n" + b"0123456789abcdef" * 4000
    node.append(octets)
    protocol, wire = node.login(windowOctets=100_000)
    protocol.dataReceived(b"a EXAMINE INBOX\r\n")
    wire.clear()
    wire.drain()
    items = b" ".join(b"BODY.PEEK[]<%d.64000>" % offset for offset in range(60))
    protocol.dataReceived(b"b FETCH 1 (" + items + b")\r\n")
    most = 0
    while b"b OK" not in wire.value():
        most = max(most, wire.bufferedOctets)
        wire.drain()
    assert most < 600_000
    assert wire.value().count(b"{64000}") == 15
    assert wire.value().count(b" BODY[]<") + 1 == 60


def test_withCondstoreTheNewModSeqComesWithSeen() -> None:
    """RFC 7162 §3.1."""
    node = Node()
    node.append(b"x\r\n")
    node.append(b"y\r\n")
    said = node.dialogue(
        b"a SELECT INBOX (CONDSTORE)\r\nb FETCH 1 BODY[]\r\nc FETCH 2 (FLAGS MODSEQ BODY[])\r\n"
    )
    assert b"* 1 FETCH (BODY[] {3}\r\nx\r\n FLAGS (\\Seen) MODSEQ (4))\r\n" in said
    assert b"* 2 FETCH (FLAGS (\\Seen) MODSEQ (5) BODY[] {3}\r\ny\r\n)\r\n" in said
