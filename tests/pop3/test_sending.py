"""Large messages to slow clients: in pieces, in bounded memory, never taken for whole when they are not."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from jindimail.mailbox.entries import UIDS_PER_ENTRY_MAX
from jindimail.pop3.limits import Limits
from tests.pop3.fakes import Bed
from tests.pop3.test_stuffing import unstuffed

PIECE = 1000
SMALL_PIECES = Limits(wholeOctetsMax=PIECE, pieceOctets=PIECE)


def dotty(octets: int) -> bytes:
    """A message that has line ends and dots at every offset of a piece."""
    return (b".\r\n..\r\n.abc\r\n" * (octets // 13 + 1))[:octets]


@pytest.mark.parametrize("size", [*range(PIECE - 3, PIECE + 4), 2 * PIECE, 2 * PIECE + 1, 13 * PIECE])
def test_aMessageInPiecesArrivesWhole(size: int) -> None:
    message = dotty(size)
    bed = Bed(message, limits=SMALL_PIECES)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"RETR 1\r\nNOOP\r\n")
    head, _, response = wire.value().partition(b"\r\n")
    assert head == b"+OK %d octets" % size
    assert response.endswith(b"+OK\r\n")
    body = response[: -len(b"+OK\r\n")]
    assert unstuffed(body) == (message if message.endswith(b"\r\n") else message + b"\r\n")
    assert max(bed.store.octetsAsked) <= PIECE


def test_aLargeMessageWaitsForItsClientAndTakesLittleMemory() -> None:
    message = dotty(3_000_000)
    bed = Bed(message, window=65_536)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"RETR 1\r\nSTAT\r\n")
    most = steps = 0
    while wire.bufferedOctets:
        most = max(most, wire.bufferedOctets)
        steps += 1
        wire.drain()
    assert steps > 3_000_000 // 200_000
    assert most < 300_000
    assert max(bed.store.octetsAsked) <= 131_072
    assert wire.value().endswith(b"\r\n.\r\n+OK 1 3000000\r\n")


def test_aClientThatDoesNotReadHoldsThePipelineUp() -> None:
    message = b"x" * 10_000 + b"\r\n"
    bed = Bed(message, window=65_536)
    protocol, wire = bed.loggedIn()
    for _ in range(10):
        protocol.dataReceived(b"RETR 1\r\n" * 1000)
    assert wire.bufferedOctets < 200_000
    assert wire.producerState == "paused"
    while wire.bufferedOctets:
        wire.drain()
    assert wire.value().count(b"+OK") == 10_000
    assert wire.producerState == "producing"


def test_longListsWaitForTheirClientToo() -> None:
    bed = Bed(*[b"a\r\n"] * 20_000, window=65_536)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"UIDL\r\nNOOP\r\n")
    assert wire.bufferedOctets < 200_000
    while wire.bufferedOctets:
        wire.drain()
    assert wire.value().endswith(b"20000 1700000000.20000\r\n.\r\n+OK\r\n")


def test_aMessageThatVanishesOnTheWayIsNotTakenForWhole() -> None:
    bed = Bed(dotty(500_000), window=65_536)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"RETR 1\r\n")
    bed.store.remove(1)
    wire.drain()
    assert wire.aborted
    assert not wire.value().endswith(b"\r\n.\r\n")


def test_aClientThatGoesAwayInTheMiddle() -> None:
    bed = Bed(dotty(500_000), window=65_536)
    protocol, _ = bed.loggedIn()
    protocol.dataReceived(b"RETR 1\r\n")
    protocol.connectionLost(Failure(ConnectionLost()))
    assert bed.store.lock == ""
    assert not bed.clock.getDelayedCalls()
    assert len(bed.store.octetsAsked) == 1
    assert not protocol._isBusy


def test_aClientThatStopsReadingIsCutOff() -> None:
    bed = Bed(dotty(500_000), window=65_536)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"RETR 1\r\n")
    bed.clock.advance(599)
    wire.drain()
    bed.clock.advance(599)
    assert not wire.aborted
    bed.clock.advance(1)
    assert wire.aborted


def test_aSlowReaderIsNoIdleClientWhileTheStoreWorks() -> None:
    bed = Bed(dotty(500_000), window=65_536)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"RETR 1\r\n")
    bed.store.hold()
    wire.drain()
    bed.clock.advance(700)
    assert not wire.aborted
    bed.store.release()
    while wire.bufferedOctets:
        wire.drain()
    assert wire.value().endswith(b"\r\n.\r\n")


def test_topReadsNoMoreThanItNeeds() -> None:
    bed = Bed(b"A: 1\r\n\r\none\r\n" + b"x" * 5_000_000)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"TOP 1 1\r\n")
    assert wire.value() == b"+OK top of message follows\r\nA: 1\r\n\r\none\r\n.\r\n"
    assert bed.store.octetsAsked == [65_536]


def test_topOfAllLinesIsTheMessage() -> None:
    message = b"A: 1\r\n\r\n" + dotty(200_000) + b"\r\n"
    bed = Bed(message)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"TOP 1 9999999999\r\n")
    assert unstuffed(wire.value().partition(b"\r\n")[2]) == message


def test_quitWaitsForWhatIsBeingSent() -> None:
    bed = Bed(dotty(500_000), window=65_536)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"RETR 1\r\nQUIT\r\n")
    assert not wire.disconnecting
    while wire.bufferedOctets:
        wire.drain()
    assert wire.value().endswith(b"\r\n.\r\n+OK bye\r\n")
    assert wire.disconnecting


def test_quitHasTheDeletionsAndTheLockInOneRequest() -> None:
    bed = Bed(b"A: 1\r\n\r\none\r\n", b"A: 2\r\n\r\ntwo\r\n")
    protocol, wire = bed.loggedIn()
    bed.store.hold()
    protocol.dataReceived(b"DELE 1\r\nQUIT\r\n")
    assert len(bed.store.held) == 1
    assert wire.value() == b"+OK\r\n"
    bed.store.held.pop(0)()
    assert list(bed.store.messages) == [2]
    assert not bed.store.lock
    assert wire.value() == b"+OK\r\n+OK bye\r\n"


def test_quitOfManyDeletionsKeepsTheLockUntilTheyAreDone() -> None:
    bed = Bed(*[b"\r\n"] * (UIDS_PER_ENTRY_MAX + 1))
    protocol, wire = bed.loggedIn()
    for number in range(1, UIDS_PER_ENTRY_MAX + 2):
        protocol.dataReceived(b"DELE %d\r\n" % number)
    bed.store.hold()
    protocol.dataReceived(b"QUIT\r\n")
    assert len(bed.store.held) == 1
    assert bed.store.lock
    bed.store.release()
    assert wire.value().endswith(b"+OK bye\r\n")
    assert not bed.store.messages and not bed.store.lock
