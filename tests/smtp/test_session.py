"""What a session answers, command by command."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from jindimail.errors import JindimailError, OverQuota, StorageFull, Unavailable, UserDisabled
from tests.smtp.fakes import Bed, FakeTransport, Wire, codes

MESSAGE = b"Subject: hello\r\n\r\nHello.\r\n"


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


@pytest.fixture
def wire(bed: Bed) -> Wire:
    return bed.connect()


def greeted(bed: Bed) -> Wire:
    wire = bed.connect()
    wire.ask(b"EHLO client.example.net")
    return wire


def test_greetingNamesHostAndProtocol(wire: Wire) -> None:
    assert wire.greeting == b"220 mx.example.org ESMTP jindimail\r\n"


def test_ehloListsTheExtensions(wire: Wire) -> None:
    said = wire.ask(b"EHLO client.example.net").decode().splitlines()
    assert said[0] == "250-mx.example.org greets 192.168.1.1"
    assert [line[4:] for line in said[1:]] == [
        "PIPELINING",
        "SIZE 67108864",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "HELP",
        "STARTTLS",
    ]
    assert said[-1].startswith("250 ")


def test_withoutACertificateThereIsNoStarttls(tmp_path: Path) -> None:
    wire = Bed(tmp_path, tls=None).connect()
    assert b"STARTTLS" not in wire.ask(b"EHLO a")
    assert wire.codes(b"STARTTLS") == ["454 4.7.0"]


def test_aMessageIsDeliveredWithItsTrace(bed: Bed, wire: Wire) -> None:
    assert wire.codes(b"EHLO client.example.net") == ["250"]
    assert wire.codes(b"MAIL FROM:<a@example.net>") == ["250 2.1.0"]
    assert wire.codes(b"RCPT TO:<joe@example.org>") == ["250 2.1.5"]
    assert wire.codes(b"DATA") == ["354"]
    assert wire.say(MESSAGE + b".\r\n") == b"250 2.0.0 Ok: filed as 00000000000000000000000000000001\r\n"
    assert wire.codes(b"QUIT") == ["221 2.0.0"]
    assert wire.transport.disconnecting
    ((envelope, octets),) = bed.delivery.delivered
    assert envelope.sender == "a@example.net"
    assert [recipient.address for recipient in envelope.recipients] == ["joe@example.org"]
    assert octets == (
        b"Received: from client.example.net ([192.168.1.1])\r\n"
        b"\tby mx.example.org with ESMTP\r\n"
        b"\tid 00000000000000000000000000000001; Fri, 15 Jan 2027 08:00:00 +0000\r\n" + MESSAGE
    )
    assert (bed.spool.messages, bed.spool.octets) == (0, 0)


def test_noDelayIsSet(wire: Wire) -> None:
    assert wire.transport.noDelay


def test_aPipelinedGroupIsAnsweredInOneWrite(bed: Bed) -> None:
    wire = greeted(bed)
    before = wire.transport.writes
    answers = wire.codes(
        b"MAIL FROM:<a@b.c>", b"RCPT TO:<joe@example.org>", b"RCPT TO:<nobody@example.org>", b"DATA"
    )
    assert answers == ["250 2.1.0", "250 2.1.5", "550 5.1.1", "354"]
    assert wire.transport.writes == before + 1


def test_severalMessagesInOneSegmentAreKeptApart(bed: Bed) -> None:
    wire = greeted(bed)
    envelope = b"MAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"
    one = envelope + b"Subject: 1\r\n\r\n..\r\n.\r\n"
    said = wire.say(one + envelope + b"Subject: 2\r\n\r\n.\r\nQUIT\r\n")
    message = ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0"]
    assert codes(said) == [*message, *message, "221 2.0.0"]
    bodies = [octets.partition(b"Subject")[2] for _, octets in bed.delivery.delivered]
    assert bodies == [b": 1\r\n\r\n.\r\n", b": 2\r\n\r\n"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"NOOP", "250 2.0.0"),
        (b"noop with words", "250 2.0.0"),
        (b"RSET", "250 2.0.0"),
        (b"RSET now", "501 5.5.4"),
        (b"HELP", "214 2.0.0"),
        (b"HELP MAIL", "214 2.0.0"),
        (b"VRFY joe", "252 2.5.0"),
        (b"VRFY", "501 5.5.4"),
        (b"EXPN list", "502 5.5.1"),
        (b"QUIT", "221 2.0.0"),
        (b"QUIT now", "501 5.5.4"),
        (b"TURN", "500 5.5.1"),
        (b"", "500 5.5.1"),
        (b"   ", "500 5.5.1"),
        (b"LHLO a", "500 5.5.1"),
        (b"AUTH PLAIN", "500 5.5.1"),
        (b"EHLO", "501 5.5.4"),
        (b"HELO", "501 5.5.4"),
        (b"EHLO two words", "501 5.5.4"),
        (b"EHLO " + b"x" * 256, "501 5.5.4"),
        (b"HELO a", "250"),
        (b"ehlo [127.0.0.1]", "250"),
        (b"MAIL FROM:<a@b.c>", "503 5.5.1"),
        (b"RCPT TO:<a@b.c>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"BDAT 0 LAST", "503 5.5.1"),
        (b"NOOP\0", "500 5.5.2"),
        (b"NO\rOP", "500 5.5.2"),
        (b"\xff\xfe\x80", "500 5.5.2"),
        (b"\xc3\xa9", "500 5.5.1"),
        (b"NOOP \x1b[31m", "500 5.5.2"),
    ],
)
def test_commandBeforeTheGreeting(wire: Wire, line: bytes, expected: str) -> None:
    assert wire.codes(line) == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"RCPT TO:<joe@example.org>"], "503 5.5.1"),
        ([b"DATA"], "503 5.5.1"),
        ([b"MAIL FROM:<a@b.c>", b"DATA"], "503 5.5.1"),
        ([b"MAIL FROM:<a@b.c>", b"MAIL FROM:<a@b.c>"], "503 5.5.1"),
        ([b"MAIL FROM:<a@b.c>", b"RCPT TO:<joe@example.org>", b"MAIL FROM:<a@b.c>"], "503 5.5.1"),
        ([b"MAIL FROM:<a@b.c>", b"RCPT TO:<nobody@example.org>", b"DATA"], "503 5.5.1"),
        ([b"MAIL FROM:<a@b.c>", b"RCPT TO:<joe@example.org>", b"DATA now"], "501 5.5.4"),
        ([b"MAIL FROM:<a@b.c>", b"RSET", b"RCPT TO:<joe@example.org>"], "503 5.5.1"),
        ([b"MAIL FROM:<a@b.c>", b"EHLO again", b"RCPT TO:<joe@example.org>"], "503 5.5.1"),
        ([b"MAIL FROM:<a@b.c>", b"RSET", b"MAIL FROM:<a@b.c>"], "250 2.1.0"),
        ([b"MAIL FROM:<a@b.c> SIZE=67108864"], "250 2.1.0"),
        ([b"MAIL FROM:<a@b.c> SIZE=67108865"], "552 5.3.4"),
        ([b"MAIL FROM:<a@b.c> BODY=BINARYMIME"], "501 5.5.4"),
        ([b"MAIL FROM:<a@b.c> RET=HDRS"], "555 5.5.4"),
        ([b"MAIL FROM:<\xc3\xa9@b.c>"], "553 5.6.7"),
        ([b"MAIL FROM:<\xc3\xa9@b.c> SMTPUTF8"], "250 2.1.0"),
        ([b"MAIL FROM:<a@b.c>", b"RCPT TO:<\xc3\xa9@example.org>"], "553 5.6.7"),
        ([b"MAIL FROM:<a@b.c> SMTPUTF8", b"RCPT TO:<\xc3\xa9@example.org>"], "250 2.1.5"),
        ([b"MAIL FROM:<a@b.c>", b"RCPT TO:<joe@elsewhere.net>"], "550 5.7.1"),
        ([b"MAIL FROM:<a@b.c>", b"RCPT TO:<Postmaster>"], "250 2.1.5"),
        ([b"MAIL FROM:<a@b.c>", b"RCPT TO:<>"], "501 5.1.3"),
        ([b"MAIL FROM:<a@b..c>"], "501 5.1.7"),
    ],
)
def test_commandAfterTheGreeting(bed: Bed, lines: list[bytes], expected: str) -> None:
    assert greeted(bed).codes(*lines)[-1] == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [(UserDisabled(), "550 5.2.1"), (OverQuota(), "452 4.2.2"), (Unavailable(), "451 4.3.2")],
)
def test_recipientsAreRefusedWithTheirCodes(bed: Bed, error: JindimailError, expected: str) -> None:
    bed.delivery.refusals["joe@example.org"] = error
    assert greeted(bed).codes(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")[-1] == expected


def test_aBugOfOursIsATemporaryErrorAndSaysNothing(bed: Bed) -> None:
    bed.delivery.refusals["joe@example.org"] = RuntimeError("the secret inside")
    said = greeted(bed).ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"RCPT TO:<ann@example.org>")
    assert codes(said) == ["250 2.1.0", "451 4.3.0", "250 2.1.5"]
    assert b"secret" not in said


def test_withoutRoomMailIsRefusedAtOnce(bed: Bed) -> None:
    wire = greeted(bed)
    bed.delivery.isFull = True
    assert wire.codes(b"MAIL FROM:<>") == ["452 4.3.1"]
    bed.delivery.isFull = False
    assert wire.codes(b"MAIL FROM:<>") == ["250 2.1.0"]


def test_aFullSpoolIsATemporaryErrorAtData(tmp_path: Path, bed: Bed) -> None:
    bed.spool._messagesMax = 0
    wire = greeted(bed)
    assert wire.codes(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")[-1] == "452 4.3.1"
    assert wire.codes(b"NOOP") == ["250 2.0.0"]


def test_aSpoolThatFillsUpMeanwhileRefusesTheMessage(bed: Bed) -> None:
    bed.spool._octetsMax = 1000
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    assert codes(wire.say(b"Subject: x\r\n\r\n", b"x" * 1000, b"\r\n.\r\n")) == ["452 4.3.1"]
    assert bed.delivery.delivered == []
    assert (bed.spool.messages, bed.spool.octets) == (0, 0)


def test_aBareLineFeedEndsNoCommand(wire: Wire) -> None:
    assert codes(wire.say(b"NOOP\n", b"VRFY joe\r\n")) == ["500 5.5.2", "252 2.5.0"]


def test_aDeliveryThatBreaksAfterTheClientIsGoneLeavesNothing(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    bed.delivery.isSlow = True
    wire.say(MESSAGE + b".\r\n")
    wire.lose()
    bed.delivery.waiting.pop().errback(RuntimeError("broken"))
    assert (bed.spool.messages, bed.spool.octets) == (0, 0)


# --- several recipients ------------------------------------------------------------------------------------


def deliverToThree(bed: Bed, errors: dict[str, JindimailError]) -> str:
    bed.delivery.outcomes = {f"{name}@example.org": error for name, error in errors.items()}
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", *(b"RCPT TO:<%s@example.org>" % name for name in (b"a", b"b", b"c")), b"DATA")
    return codes(wire.say(repr(errors).encode() + b"\r\n.\r\n"))[-1]


def test_aMessageFiledForSomeOnlyIsToBeSentAgain(bed: Bed) -> None:
    assert deliverToThree(bed, {"b": UserDisabled()}) == "451 4.3.0"
    assert deliverToThree(bed, {"b": UserDisabled(), "c": OverQuota()}) == "452 4.2.2"
    assert deliverToThree(bed, {"a": Unavailable()}) == "451 4.3.2"


def test_aMessageFiledForNobodyIsRefusedForGoodOnlyIfAllAre(bed: Bed) -> None:
    assert deliverToThree(bed, {"a": UserDisabled(), "b": UserDisabled(), "c": UserDisabled()}) == "550 5.2.1"
    assert deliverToThree(bed, {"a": UserDisabled(), "b": StorageFull(), "c": UserDisabled()}) == "452 4.3.1"


# --- order -------------------------------------------------------------------------------------------------


def test_repliesComeInOrderHoweverSlowTheyAre(bed: Bed) -> None:
    wire = greeted(bed)
    bed.delivery.isSlow = True
    group = (b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"RCPT TO:<nobody@example.org>", b"NOOP")
    assert wire.codes(*group) == ["250 2.1.0"]
    assert len(bed.delivery.waiting) == 1
    bed.delivery.goOn()
    assert codes(wire.read()) == ["250 2.1.5"]
    bed.delivery.goOn()
    assert codes(wire.read()) == ["550 5.1.1", "250 2.0.0"]


def test_aSlowDeliveryIsFinishedWhenTheClientIsGone(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    bed.delivery.isSlow = True
    wire.say(MESSAGE + b".\r\n")
    wire.lose()
    assert bed.spool.messages == 1
    bed.delivery.goOn()
    assert len(bed.delivery.delivered) == 1
    assert (bed.spool.messages, len(bed.sessions)) == (0, 0)


def test_aMessageCutOffIsForgotten(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    wire.say(MESSAGE)
    wire.lose()
    assert bed.delivery.delivered == []
    assert (bed.spool.messages, len(bed.sessions)) == (0, 0)


def test_aClientThatSendsNoMoreStillGetsItsAnswers(bed: Bed) -> None:
    wire = greeted(bed)
    bed.delivery.isSlow = True
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"RCPT TO:<ann@example.org>", b"NOOP")
    wire.protocol.readConnectionLost()
    for expected in (["250 2.1.5"], ["250 2.1.5", "250 2.0.0"]):
        assert not wire.transport.disconnecting
        bed.delivery.goOn()
        assert codes(wire.read()) == expected
    assert wire.transport.disconnecting


def test_aClientThatSendsNoMoreAndReadsLateStillGetsItsAnswers(bed: Bed) -> None:
    wire = greeted(bed)
    wire.protocol.pauseProducing()
    wire.protocol.dataReceived(b"NOOP\r\nRSET\r\n")
    wire.protocol.readConnectionLost()
    assert not wire.transport.disconnecting
    wire.protocol.resumeProducing()
    assert codes(wire.read()) == ["250 2.0.0", "250 2.0.0"]
    assert wire.transport.disconnecting


# --- peers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (IPv4Address("TCP", "10.0.0.1", 9), b"([10.0.0.1])"),
        (IPv6Address("TCP", "2001:db8::1", 9), b"([IPv6:2001:db8::1])"),
        (IPv6Address("TCP", "::ffff:10.0.0.1", 9), b"([10.0.0.1])"),
        (UNIXAddress("/run/lmtp"), b"(local socket)"),
    ],
)
def test_thePeerStandsInTheTrace(bed: Bed, address: object, words: bytes) -> None:
    wire = bed.connect(FakeTransport(peer=address))
    wire.ask(b"HELO (a) <b>", b'HELO we;ird"(', b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    wire.say(MESSAGE + b".\r\n")
    trace = bed.delivery.delivered[0][1].split(b"\r\n")
    assert trace[0] == b"Received: from we?ird?? " + words
    assert trace[1] == b"\tby mx.example.org with SMTP"


def test_headerlessTextIsKeptApartFromOurFields(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    wire.say(b"Hello, no header here\r\n.\r\n")
    assert bed.delivery.delivered[0][1].partition(b"\r\n\r\n")[2] == b"Hello, no header here\r\n"


# --- BDAT --------------------------------------------------------------------------------------------------


def test_chunksMakeAMessage(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    assert codes(wire.say(b"BDAT 12\r\nSubject: a\r\nBDAT 9\r\n\r\n.\r\nfoo\r")) == ["250 2.0.0", "250 2.0.0"]
    assert codes(wire.say(b"BDAT 1 LAST\r\n\n")) == ["250 2.0.0"]
    assert bed.delivery.delivered[0][1].endswith(b"+0000\r\nSubject: a\r\n\r\n.\r\nfoo\r\n")


def test_anEmptyLastChunkEndsTheMessage(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    assert codes(wire.say(b"BDAT 4\r\na:b\r", b"BDAT 1\r\n\n", b"BDAT 0 LAST\r\n")) == ["250 2.0.0"] * 3
    assert bed.delivery.delivered[0][1].endswith(b"\r\na:b\r\n")


def test_anUnwantedChunkIsReadAllTheSame(bed: Bed) -> None:
    wire = greeted(bed)
    assert codes(wire.say(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == ["503 5.5.1", "250 2.0.0"]


def test_afterAChunkOnlyChunksGoOn(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    wire.say(b"BDAT 3\r\na:b")
    refused = wire.codes(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA", b"RSET", b"DATA")
    assert refused == ["503 5.5.1"] * 3 + ["250 2.0.0", "503 5.5.1"]
    assert bed.spool.messages == 0


@pytest.mark.parametrize(
    "line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 FIRST", b"BDAT 1 LAST x", b"BDAT 1e9"]
)
def test_aChunkOfUnknownSizeEndsTheSession(bed: Bed, line: bytes) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    assert wire.codes(line, b"NOOP") == ["501 5.5.4"]
    assert wire.transport.disconnecting


def test_aChunkWithABareLineEndSpoilsTheMessage(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    assert codes(wire.say(b"BDAT 5\r\na:b\n\n", b"BDAT 3 LAST\r\nfoo")) == ["554 5.6.0", "554 5.6.0"]
    assert bed.delivery.delivered == []
    assert wire.codes(b"MAIL FROM:<>") == ["250 2.1.0"]
