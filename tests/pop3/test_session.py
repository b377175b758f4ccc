"""Sessions as scripts, the queue, and what happens when things end."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from jindimail.pop3.limits import Limits
from tests.pop3.fakes import Bed
from tests.support.script import Script

THREE = (b"A: 1\r\n\r\none\r\n", b"B: 2\r\n\r\n.two\r\n..\r\nend\r\n", b"")

LOGIN = r"""
S: +OK mail.example.org POP3 server ready
C: USER anna
S: +OK send PASS
C: PASS  a  secret
S: +OK 3 messages
"""


def run(text: str, *messages: bytes, **options: Any) -> Bed:
    bed = Bed(*(messages or THREE), **options)
    hooks = {
        "hold": bed.store.hold,
        "release": bed.store.release,
        "fail": bed.store.fail,
        "remove1": lambda: bed.store.remove(1),
        "wait599": lambda: bed.clock.advance(599),
        "wait2": lambda: bed.clock.advance(2),
        "wait10": lambda: bed.clock.advance(10),
        "wait180": lambda: bed.clock.advance(180),
    }
    Script(bed.connect, hooks).run(text)
    return bed


def test_aWholeSession() -> None:
    bed = run(
        LOGIN
        + r"""
C: STAT
S: +OK 3 36
C: LIST
S: +OK 3 messages (36 octets)
S: 1 13
S: 2 23
S: 3 0
S: .
C: LIST 2
S: +OK 2 23
C: UIDL
S: +OK unique ids follow
S: 1 1700000000.1
S: 2 1700000000.2
S: 3 1700000000.3
S: .
C: uidl 2
S: +OK 2 1700000000.2
C: RETR 2
S: +OK 23 octets
S: B: 2
S:
S: ..two
S: ...
S: end
S: .
C: RETR 3
S: +OK 0 octets
S: .
C: TOP 2 1
S: +OK top of message follows
S: B: 2
S:
S: ..two
S: .
C: TOP 2 0
S: +OK top of message follows
S: B: 2
S:
S: .
C: DELE 2
S: +OK
C: DELE 2
S: -ERR no such message
C: RETR 2
S: -ERR no such message
C: LIST
S: +OK 2 messages (13 octets)
S: 1 13
S: 3 0
S: .
C: STAT
S: +OK 2 13
C: RSET
S: +OK 3 messages
C: DELE 1
S: +OK
C: NOOP
S: +OK
C: QUIT
S: +OK bye
CLOSED
"""
    )
    assert sorted(bed.store.messages) == [2, 3]


def test_uniqueIdsStayWhenEarlierMessagesAreGone() -> None:
    run(
        LOGIN
        + r"""
C: DELE 1
S: +OK
C: QUIT
S: +OK bye
LOST
SESSION 2
S/ \+OK .*
C: USER anna
C: PASS  a  secret
S: +OK send PASS
S: +OK 2 messages
C: UIDL 1
S: +OK 1 1700000000.2
"""
    )


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RETR", "-ERR wrong number of arguments"),
        ("RETR 1 2", "-ERR wrong number of arguments"),
        ("RETR x", "-ERR bad number"),
        ("RETR -1", "-ERR bad number"),
        ("RETR +1", "-ERR bad number"),
        ("RETR 0", "-ERR no such message"),
        ("RETR 4", "-ERR no such message"),
        ("RETR 99999999999", "-ERR bad number"),
        (r"RETR \xc2\xb9", "-ERR bad number"),
        ("DELE x", "-ERR bad number"),
        ("TOP 1", "-ERR wrong number of arguments"),
        ("TOP 1 -1", "-ERR bad number"),
        ("UIDL 4", "-ERR no such message"),
        ("LAST", "-ERR unknown command"),
        ("APOP anna 0123", "-ERR unknown command"),
        ("__CLASS__", "-ERR unknown command"),
        (r"\xff\xfe", "-ERR unknown command"),
        ("", "-ERR unknown command"),
        ("USER anna", "-ERR not in this state"),
        ("AUTH PLAIN", "-ERR not in this state"),
        ("STLS", "-ERR not in this state"),
    ],
)
def test_aBadCommandIsRefusedAndHarmsNoOther(command: str, answer: str) -> None:
    # a line that is only spaces would be a comment to the script
    run(LOGIN + f"C: {command}\nC: NOOP\nS: {answer}\nS: +OK\n")


@pytest.mark.parametrize("command", ["STAT", "RETR 1", "NOOP", "LIST", "RSET", "DELE 1", "TOP 1 0", "UIDL"])
def test_theMaildropNeedsALogin(command: str) -> None:
    run(f"S/ .*\nC: {command}\nS: -ERR not in this state\n")


def test_trailingSpacesAreForgiven() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"LIST \r\nNOOP  \r\n")
    assert wire.value().startswith(b"+OK 3 messages (36") and wire.value().endswith(b".\r\n+OK\r\n")


def test_pipelinedLoginWaitsForTheRealm() -> None:
    run(
        r"""
S/ .*
DO hold
C: USER anna
C: PASS  a  secret
C: STAT
C: NOPE
C: RETR 1
C: QUIT
S: +OK send PASS
DO release
S: +OK 3 messages
S: +OK 3 36
S: -ERR unknown command
S: +OK 13 octets
S: A: 1
S:
S: one
S: .
S: +OK bye
CLOSED
"""
    )


def test_repliesKeepTheirOrderWhenTheFirstWaits() -> None:
    run(
        LOGIN
        + r"""
DO hold
C: RETR 1
C: NOOP
C: LIST 1
DO release
S: +OK 13 octets
S: A: 1
S:
S: one
S: .
S: +OK
S: +OK 1 13
"""
    )


def test_repliesOfPipelinedCommandsLeaveInOneWrite() -> None:
    protocol, wire = Bed(*THREE).loggedIn()
    wire.writes = 0
    protocol.dataReceived(b"STAT\r\nLIST 1\r\nRETR 1\r\nDELE 1\r\nNOOP\r\n")
    assert wire.writes == 1
    assert wire.value().count(b"+OK") == 5


def test_quitAnswersWhenDeletionsAreDurable() -> None:
    bed = run(
        LOGIN
        + r"""
C: DELE 1
C: DELE 3
S: +OK
S: +OK
DO hold
C: QUIT
# nothing yet
DO release
S: +OK bye
CLOSED
"""
    )
    assert [str(uids) for uids in bed.store.expunged] == ["1,3"]
    assert bed.store.lock == ""


def test_quitSaysWhenDeletionsFailed() -> None:
    bed = run(
        LOGIN
        + r"""
C: DELE 1
S: +OK
DO fail
C: QUIT
S: -ERR [SYS/TEMP] temporarily unavailable
CLOSED
LOST
"""
    )
    assert 1 in bed.store.messages
    assert bed.store.lock == ""


@pytest.mark.parametrize("end", ["LOST", "DO wait599\nDO wait2\nCLOSED"])
def test_withoutQuitNothingIsDeleted(end: str) -> None:
    bed = run(LOGIN + f"C: DELE 1\nS: +OK\n{end}\n")
    assert len(bed.store.messages) == 3
    assert not bed.store.expunged


def test_theLockIsExclusiveAndGivenBack() -> None:
    bed = run(
        LOGIN
        + r"""
SESSION 2
S/ .*
C: USER anna
C: PASS  a  secret
S: +OK send PASS
S: -ERR [IN-USE] mailbox locked by another session
SESSION 1
LOST
SESSION 2
C: USER anna
C: PASS  a  secret
S: +OK send PASS
S: +OK 3 messages
C: QUIT
S: +OK bye
SESSION 3
S/ .*
C: USER anna
C: PASS  a  secret
S: +OK send PASS
S: +OK 3 messages
"""
    )
    assert bed.store.lock
    assert bed.store.logouts == 2


def test_aConnectionLostDuringTheLoginLeavesNoLock() -> None:
    bed = run("S/ .*\nDO hold\nC: USER anna\nC: PASS  a  secret\nS: +OK send PASS\nLOST\nDO release\n")
    assert bed.store.lock == ""
    assert bed.store.logouts == 1


def test_aConnectionLostDuringQuitStillDeletes() -> None:
    bed = run(LOGIN + "C: DELE 1\nS: +OK\nDO hold\nC: QUIT\nLOST\nDO release\n")
    assert 1 not in bed.store.messages


def test_anIdleSessionEndsAfterTenMinutesWithoutAWord() -> None:
    bed = run(
        LOGIN
        + "DO wait599\nC: NOOP\nS: +OK\nDO wait599\nC: NOOP\nS: +OK\nDO wait599\nDO wait2\nCLOSED\nLOST\n"
    )
    assert bed.store.lock == ""
    assert not bed.clock.getDelayedCalls()
    assert not bed.store.listeners


def test_whoDoesNotLogInIsClosedSooner() -> None:
    run("S/ .*\nDO wait180\nCLOSED\n")


def test_commandsBeforeTheLoginGainNoTime() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.connect()
    for _ in range(3):
        assert not wire.disconnecting
        bed.clock.advance(60)
        protocol.dataReceived(b"CAPA\r\n")
    assert wire.disconnecting


def test_aClientThatDoesNotCloseIsCutOff() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"QUIT\r\n")
    assert wire.disconnecting and not wire.aborted
    bed.clock.advance(10)
    assert wire.aborted


def test_octetsThatAreNoWholeLineDoNotKeepASessionAlive() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.loggedIn()
    for _ in range(7):
        protocol.dataReceived(b"N")
        bed.clock.advance(100)
    assert wire.disconnecting


def test_anAccountThatAnswersSlowlyIsNoIdleClient() -> None:
    run(LOGIN + "DO hold\nC: RETR 3\nDO wait599\nDO wait2\nOPEN\nDO release\nS: +OK 0 octets\nS: .\n")


def test_aMessageRemovedByAnotherSessionIsRefused() -> None:
    bed = run(
        LOGIN
        + r"""
DO remove1
C: RETR 1
C: TOP 1 1
C: RETR 3
S: -ERR no such message
S: -ERR no such message
S: +OK 0 octets
S: .
C: UIDL 2
S: +OK 2 1700000000.2
C: QUIT
S: +OK bye
"""
    )
    assert bed.store.changesAsked == 2


def test_unexpectedFailuresSayNothingOfThemselves() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.loggedIn()

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    protocol.mailbox.octets = broken
    protocol.dataReceived(b"RETR 1\r\nNOOP\r\n")
    assert wire.value() == b"-ERR [SYS/TEMP] internal error\r\n+OK\r\n"


def test_tooManyBadCommandsEndTheConnection() -> None:
    protocol, wire = Bed(*THREE, limits=Limits(badCommandsMax=3)).loggedIn()
    protocol.dataReceived(b"X\r\nX\r\nNOOP\r\nX\r\nX\r\nX\r\nNOOP\r\n")
    assert wire.value().count(b"-ERR") == 5
    assert wire.disconnecting


def test_tooManyConnectionsAreRefused() -> None:
    bed = Bed(sessionsMax=1)
    bed.connect()
    _, wire = bed.connect()
    assert wire.value() == b"-ERR [SYS/TEMP] too many connections, try later\r\n"
    assert wire.disconnecting


def test_aRefusedConnectionTakesNoCommand() -> None:
    bed = Bed(sessionsMax=0)
    protocol, wire = bed.connect()
    protocol.dataReceived(b"CAPA\r\n")
    assert wire.value().count(b"\r\n") == 1


def test_lineOfTooManyOctetsIsRefusedOnce() -> None:
    protocol, wire = Bed(*THREE).loggedIn()
    protocol.dataReceived(b"NOOP" + b" " * 600 + b"\r\nNOOP\r\n")
    assert wire.value() == b"-ERR line too long\r\n+OK\r\n"
    wire.clear()
    for _ in range(100):
        protocol.dataReceived(b"x" * 1000)
    protocol.dataReceived(b"\r\nNOOP\r\n")
    assert wire.value() == b"-ERR line too long\r\n+OK\r\n"


def test_aLineWithoutEndIsGivenUpInConstantMemory() -> None:
    protocol, wire = Bed(*THREE).loggedIn()
    block = b"x" * 65536
    for _ in range(20):
        protocol.dataReceived(block)
        assert protocol._reader.waitingOctets == 0
    assert wire.value() == b"-ERR line too long\r\n"
    assert wire.disconnecting


def test_commandsWaitInABoundedQueue() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.loggedIn()
    bed.store.hold()
    protocol.dataReceived(b"RETR 1\r\n")
    for _ in range(1000):
        if wire.producerState != "producing":
            break
        protocol.dataReceived(b"NOOP\r\n" * 100)
    assert wire.producerState == "paused"
    assert protocol._reader.waitingOctets < 70_000
    bed.store.release()
    assert wire.producerState == "producing"
    assert wire.value().count(b"+OK\r\n") > 10_000


def test_closeWhenIdleFinishesTheCommandUnderWay() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.loggedIn()
    idle, idleWire = bed.connect()
    idleWire.clear()
    bed.store.hold()
    protocol.dataReceived(b"DELE 1\r\nQUIT\r\n")
    done = bed.factory.closeWhenIdle()
    assert idleWire.value() == b"-ERR [SYS/TEMP] temporarily unavailable\r\n"
    assert idleWire.disconnecting and not wire.disconnecting
    bed.store.release()
    assert wire.value() == b"+OK\r\n+OK bye\r\n"
    assert 1 not in bed.store.messages
    assert not done.called
    for connection in (protocol, idle):
        connection.connectionLost(Failure(ConnectionLost()))
    assert done.called
    assert bed.factory.closeWhenIdle().called


def test_theClosingDoesNotWaitForAClientThatHasNotBegun() -> None:
    bed = Bed(window=10)  # smaller than the greeting, as when a TLS handshake is not done
    _, wire = bed.connect()
    bed.factory.closeWhenIdle()
    assert wire.aborted


def test_theClosingWaitsForAClientThatReadsSlowly() -> None:
    bed = Bed(b"x" * 1000, window=500)
    protocol, wire = bed.connect()
    protocol.dataReceived(b"USER anna\r\nPASS  a  secret\r\nRETR 1\r\n")
    bed.factory.closeWhenIdle()
    assert not wire.disconnecting
    wire.drain()
    assert wire.value().endswith(b"\r\n.\r\n-ERR [SYS/TEMP] temporarily unavailable\r\n")
    assert wire.disconnecting


def test_noNewSessionsAfterTheClosing() -> None:
    bed = Bed()
    bed.factory.closeWhenIdle()
    _, wire = bed.connect()
    assert wire.disconnecting


def test_theRegistryKnowsWhoIsThere() -> None:
    bed = Bed(*THREE)
    protocol, wire = bed.loggedIn()
    (session,) = bed.sessions
    assert (session.protocol, session.user) == ("pop3", "anna@example.org")
    session.disconnect()
    assert wire.aborted
    protocol.connectionLost(Failure(ConnectionLost()))
    assert not len(bed.sessions)


def test_theMaildropIsLetGoOfWithItsConnectionWhateverWaitsForTheCollector() -> None:
    bed = Bed(*THREE)
    protocol, _ = bed.loggedIn()
    maildrop = weakref.ref(protocol.maildrop)
    protocol.connectionLost(Failure(ConnectionLost()))
    assert maildrop() is None


def test_whatQuitIsToDeleteIsDeletedWhenItsClientHasGone() -> None:
    bed = Bed(*THREE)
    protocol, _ = bed.loggedIn()
    bed.store.hold()
    protocol.dataReceived(b"DELE 1\r\nQUIT\r\n")
    protocol.connectionLost(Failure(ConnectionLost()))
    bed.store.release()
    assert 1 not in bed.store.messages


def test_smallPacketsAreNotDelayed() -> None:
    assert Bed().connect()[1].noDelay


@pytest.mark.parametrize(
    ("address", "isTaken"),
    [
        (None, True),
        (IPv4Address("TCP", "127.0.3.4", 1), True),
        (IPv6Address("TCP", "::1", 1), True),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 1), True),
        (IPv4Address("TCP", "192.0.2.1", 1), False),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), False),
        (IPv6Address("TCP", "fe80::1%eth0", 1), False),
    ],
)
def test_clearPasswordsAreForLoopbackOnly(address: object, isTaken: bool) -> None:
    bed = Bed(peer=address)
    protocol, wire = bed.connect()
    wire.clear()
    protocol.dataReceived(b"USER anna\r\n")
    assert wire.value() == (b"+OK send PASS\r\n" if isTaken else b"-ERR TLS required, use STLS first\r\n")


def test_aClientThatSendsNoMoreIsAnsweredWhatItHasSent() -> None:
    bed = Bed(b"Subject: one\r\n\r\nbody\r\n")
    protocol, wire = bed.loggedIn()
    bed.store.hold()
    protocol.dataReceived(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
    protocol.readConnectionLost()
    assert not wire.disconnecting
    bed.store.release()
    assert wire.value().count(b"+OK") == 3
    assert wire.disconnecting
    assert not bed.store.messages


def test_aClientThatSendsNoMoreAndDidNotQuitDeletesNothing() -> None:
    bed = Bed(b"Subject: one\r\n\r\nbody\r\n")
    protocol, wire = bed.loggedIn()
    protocol.dataReceived(b"DELE 1\r\n")
    protocol.readConnectionLost()
    assert wire.disconnecting
    protocol.connectionLost(Failure(ConnectionDone()))
    assert bed.store.messages
