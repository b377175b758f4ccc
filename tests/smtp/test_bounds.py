"""Bounds on what a client may use: memory, patience, connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from jindimail.smtp.limits import SmtpLimits
from tests.smtp.fakes import Bed, Wire, codes


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def greeted(bed: Bed) -> Wire:
    wire = bed.connect()
    wire.ask(b"EHLO a")
    return wire


def waitingForData(bed: Bed) -> Wire:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    return wire


# --- lines -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "expected"), [(2046, "250 2.0.0"), (2047, "500 5.5.2"), (20_000, "500 5.5.2")]
)
@pytest.mark.parametrize("blockOctets", [100, 30_000])
def test_aLongCommandIsRefusedAndTheNextIsRead(
    bed: Bed, octets: int, expected: str, blockOctets: int
) -> None:
    wire = greeted(bed)
    line = b"NOOP " + b"x" * (octets - 5) + b"\r\nVRFY x\r\n"
    blocks = [line[at : at + blockOctets] for at in range(0, len(line), blockOctets)]
    assert codes(wire.say(*blocks)) == [expected, "252 2.5.0"]


def test_aLineWithoutEndIsNotKeptAndEndsTheSession(bed: Bed) -> None:
    wire = greeted(bed)
    kept = 0
    for _ in range(32):
        wire.protocol.dataReceived(b"x" * 65536)
        kept = max(kept, len(wire.protocol._buffer))
    assert kept <= 12_288 + 65536
    assert codes(wire.read()) == ["421 4.7.0"]
    assert wire.transport.disconnecting


def test_aMessageWithoutLineEndIsNotKept(tmp_path: Path) -> None:
    bed = Bed(tmp_path, messageOctetsMax=1 << 20, overrunOctetsMax=4 << 20)
    wire = waitingForData(bed)
    block = b"x" * 65536
    sentOctets = 0
    while not wire.transport.disconnecting:
        wire.protocol.dataReceived(block)
        sentOctets += len(block)
        assert len(wire.protocol._buffer) == 0
        assert bed.spool.octets <= (1 << 20) + 65536
        assert sentOctets < 6 << 20
    assert codes(wire.read()) == ["421 4.7.0"]


def test_aMessageTooLargeIsReadToItsEndAndRefused(tmp_path: Path) -> None:
    bed = Bed(tmp_path, messageOctetsMax=1 << 20)
    wire = waitingForData(bed)
    assert codes(wire.say(*[b"x" * 65536] * 40, b"\r\n.\r\n", b"NOOP\r\n")) == ["552 5.3.4", "250 2.0.0"]
    assert (bed.delivery.delivered, bed.spool.octets) == ([], 0)


def test_aChunkOf99GigabytesEndsTheSession(tmp_path: Path) -> None:
    bed = Bed(tmp_path, messageOctetsMax=1 << 20, overrunOctetsMax=1 << 20)
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    said = wire.say(b"BDAT 99000000000 LAST\r\n", *[b"x" * 65536] * 40)
    assert codes(said) == ["421 4.7.0"]
    assert bed.spool.octets <= (1 << 20) + 1000


# --- patience ----------------------------------------------------------------------------------------------


def test_tooManyBadCommandsEndTheSession(bed: Bed) -> None:
    wire = greeted(bed)
    assert wire.codes(*[b"GET / HTTP/1.1"] * 20) == ["500 5.5.1"] * 9 + ["421 4.7.0"]
    assert wire.transport.disconnecting


def test_aMessageTakenForgivesBadCommands(bed: Bed) -> None:
    wire = greeted(bed)
    for _ in range(4):
        assert wire.codes(*[b"X"] * 5) == ["500 5.5.1"] * 5
        wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
        assert codes(wire.say(b"a:b\r\n.\r\n")) == ["250 2.0.0"]


def test_harvestingAddressesEndsTheSession(tmp_path: Path) -> None:
    bed = Bed(tmp_path, refusedRecipientsMax=3)
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>")
    assert wire.codes(*[b"RCPT TO:<nobody@example.org>"] * 5) == ["550 5.1.1"] * 2 + ["421 4.7.0"]
    assert wire.transport.disconnecting


def test_tenThousandRecipients(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>")
    answers = wire.codes(*(b"RCPT TO:<u%d@example.org>" % number for number in range(10_000)))
    assert answers == ["250 2.1.5"] * 1000 + ["452 4.5.3"] * 9000
    assert wire.codes(b"DATA") == ["354"]
    assert codes(wire.say(b"a:b\r\n.\r\n")) == ["250 2.0.0"]
    assert len(bed.delivery.delivered[0][0].recipients) == 1000


def test_aSilentClientIsSentAway(bed: Bed) -> None:
    wire = greeted(bed)
    bed.clock.advance(299)
    wire.ask(b"NOOP")
    bed.clock.advance(299)
    assert not wire.transport.disconnecting
    bed.clock.advance(1)
    assert codes(wire.read()) == ["421 4.4.2"]
    assert wire.transport.disconnecting
    assert not wire.transport.isAborted
    bed.clock.advance(10)
    assert wire.transport.isAborted


@pytest.mark.parametrize("before", [(), (b"DATA",), (b"BDAT 100000 LAST",)])
def test_octetsOneByOneGainNoTime(bed: Bed, before: tuple[bytes, ...]) -> None:
    wire = greeted(bed)
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", *before)
    for _ in range(29):
        wire.protocol.dataReceived(b"x")
        bed.clock.advance(10)
    assert not wire.transport.disconnecting
    bed.clock.advance(10)
    assert codes(wire.read()) == ["421 4.4.2"]
    assert wire.transport.disconnecting


def test_aMessageThatComesSlowlyIsWaitedFor(bed: Bed) -> None:
    wire = waitingForData(bed)
    wire.say(b"a:b\r\n\r\n")
    for _ in range(1000):
        wire.protocol.dataReceived(b"x" * 5998 + b"\r\n")
        bed.clock.advance(11)
    assert codes(wire.say(b".\r\n")) == ["250 2.0.0"]


@pytest.mark.parametrize(("service", "mayStay"), [("smtp", False), ("lmtp", True)])
def test_whoBringsNoMessageIsSentAwayInTheEnd(tmp_path: Path, service: str, mayStay: bool) -> None:
    bed = Bed(tmp_path, service=service)
    wire = bed.connect()
    wire.ask(b"LHLO a" if mayStay else b"EHLO a", b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>", b"DATA")
    bed.clock.advance(250)
    wire.say(b"a:b\r\n.\r\n")
    for _ in range(15):
        wire.ask(b"NOOP")
        bed.clock.advance(250)
        wire.read()
    assert not wire.transport.disconnecting
    wire.ask(b"NOOP")
    bed.clock.advance(250)
    assert wire.transport.disconnecting is not mayStay


def test_aClientThatWaitsForUsIsNotSilent(bed: Bed) -> None:
    wire = greeted(bed)
    bed.delivery.isSlow = True
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    bed.clock.advance(400)
    assert not wire.transport.disconnecting
    bed.delivery.goOn()
    assert codes(wire.read()) == ["250 2.1.5"]
    bed.clock.advance(300)
    assert wire.transport.disconnecting


def test_aClosedConnectionLeavesNoTimer(bed: Bed) -> None:
    wire = greeted(bed)
    wire.ask(b"QUIT")
    wire.lose()
    assert bed.clock.getDelayedCalls() == []


# --- back-pressure -----------------------------------------------------------------------------------------


def test_readingStopsWhileTooMuchWaits(bed: Bed) -> None:
    wire = greeted(bed)
    bed.delivery.isSlow = True
    wire.ask(b"MAIL FROM:<>", b"RCPT TO:<joe@example.org>")
    wire.say(b"NOOP\r\n" * 10_000)
    assert wire.transport.producerState == "producing"
    wire.say(b"NOOP\r\n" * 10_000)
    assert wire.transport.producerState == "paused"
    bed.delivery.goOn()
    assert codes(wire.read()) == ["250 2.1.5"] + ["250 2.0.0"] * 20_000
    assert wire.transport.producerState == "producing"


def test_aClientThatDoesNotReadIsNotAnsweredFurther(bed: Bed) -> None:
    wire = greeted(bed)
    wire.protocol.pauseProducing()
    assert wire.ask(b"NOOP", b"VRFY x") == b""
    assert wire.transport.producerState == "producing"
    wire.say(b"NOOP " + b"x" * 70_000)
    assert wire.transport.producerState == "paused"
    wire.protocol.resumeProducing()
    assert codes(wire.read()) == ["250 2.0.0", "252 2.5.0"]
    assert wire.transport.producerState == "producing"
    assert codes(wire.say(b"\r\n")) == ["500 5.5.2"]


# --- admission and farewell --------------------------------------------------------------------------------


def test_oneConnectionTooManyIsTurnedAway(tmp_path: Path) -> None:
    bed = Bed(tmp_path, sessionsMax=1)
    first, second = bed.connect(), bed.connect()
    assert codes(first.greeting) == ["220"]
    assert codes(second.greeting) == ["421 4.3.2"]
    assert second.transport.disconnecting
    assert second.ask(b"NOOP") == b""
    second.lose()
    first.lose()
    assert codes(bed.connect().greeting) == ["220"]


def test_closeWhenIdleLetsTheMessageFinish(bed: Bed) -> None:
    idle, receiving, delivering = greeted(bed), waitingForData(bed), waitingForData(bed)
    bed.delivery.isSlow = True
    delivering.say(b"a:b\r\n.\r\nMAIL FROM:<>\r\n")
    gone = bed.factory.closeWhenIdle()
    assert codes(idle.read()) == ["421 4.3.2"]
    assert idle.transport.disconnecting
    assert not receiving.transport.disconnecting
    assert not delivering.transport.disconnecting
    late = bed.connect()
    assert codes(late.greeting) == ["421 4.3.2"]

    bed.delivery.goOn()
    assert codes(delivering.read()) == ["250 2.0.0", "421 4.3.2"]
    bed.delivery.isSlow = False
    assert codes(receiving.say(b"a:b\r\n.\r\n")) == ["250 2.0.0", "421 4.3.2"]
    for wire in (idle, receiving, delivering):
        wire.lose()
    assert not gone.called
    late.lose()
    assert gone.called


def test_closeWhenIdleWithoutConnections(bed: Bed) -> None:
    assert bed.factory.closeWhenIdle().called


def test_aSessionCanBeDisconnectedByItsRegistry(bed: Bed) -> None:
    wire = greeted(bed)
    (session,) = bed.sessions
    assert (session.protocol, session.peer, session.activity) == ("smtp", "192.168.1.1", "EHLO")
    session.disconnect()
    assert codes(wire.read()) == ["421 4.3.2"]
    assert wire.transport.disconnecting


def test_newLimitsHoldForNewConnections(bed: Bed) -> None:
    old = greeted(bed)
    bed.factory.setLimits(SmtpLimits(messageOctetsMax=1000))
    assert b"SIZE 1000\r\n" in bed.connect().ask(b"EHLO a")
    assert old.codes(b"MAIL FROM:<> SIZE=1001") == ["250 2.1.0"]
