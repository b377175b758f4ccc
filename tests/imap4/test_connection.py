"""Logins, TLS, bounds, time and the end of connections."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from jindimail.imap4.limits import Limits
from tests.imap4.node import GREETING, LOGIN, SELECTED, Node

PLAIN = "AGFubmFAZXhhbXBsZS5vcmcAc2UiY3JldFw="  # \0anna@example.org\0se"cret\


def test_authenticatePlainWithAndWithoutInitialResponse() -> None:
    node = Node()
    node.run(
        GREETING
        + rf"""
C: a1 AUTHENTICATE PLAIN
S/ \+[ ]
C: {PLAIN}
S/ a1 OK \[CAPABILITY .*\] logged in
SESSION 2
{GREETING}
C: a1 AUTHENTICATE plain {PLAIN}
C: a2 NOOP
S/ a1 OK \[CAPABILITY .*\] logged in
S: a2 OK completed
SESSION 3
{GREETING}
C: a1 AUTHENTICATE LOGIN
S: + VXNlcm5hbWU6
C: YW5uYUBleGFtcGxlLm9yZw==
S: + UGFzc3dvcmQ6
C: c2UiY3JldFw=
S/ a1 OK .*
"""
    )


def test_authenticationThatFails() -> None:
    node = Node()
    node.run(
        GREETING
        + r"""
C: a1 AUTHENTICATE PLAIN
S/ \+[ ]
C: *
S: a1 BAD authentication cancelled
C: a2 AUTHENTICATE CRAM-MD5
S: a2 NO [CANNOT] unsupported authentication mechanism
C: a3 AUTHENTICATE PLAIN !!!
S: a3 BAD cannot decode response
C: a4 LOGIN anna@example.org wrong
S: a4 NO [AUTHENTICATIONFAILED] authentication failed
C: a5 LOGIN nobody@example.org wrong
S: a5 NO [AUTHENTICATIONFAILED] authentication failed
C: a6 LOGIN x
S: a6 BAD syntax error
C: a7 LOGIN x y
C: a8 LOGIN x y
C: a9 LOGIN x y
C: b1 LOGIN x y
S: a7 NO [AUTHENTICATIONFAILED] authentication failed
S: a8 NO [AUTHENTICATIONFAILED] authentication failed
S: a9 NO [AUTHENTICATIONFAILED] authentication failed
S: * BYE too many failed logins
CLOSED
"""
    )


def test_loginTakesLiteralsAndEscapes() -> None:
    node = Node()
    node.run(
        GREETING
        + r"""
C: a1 LOGIN {16}
S: + OK
C> anna@example.org {8+}
C:
C> se"cret\\
C:
S/ a1 OK .*
C: a2 LOGIN x y
S: a2 BAD not in this state
"""
    )
    assert node.checker.tried == [(b"anna@example.org", b'se"cret\\')]


def test_noPasswordInClearText() -> None:
    """RFC 3501 §6.2.3, §11.2."""
    node = Node(plaintextPasswords=False, tls=object())
    node.run(
        rf"""
S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE STARTTLS LOGINDISABLED] mail.example.org ready
C: a1 LOGIN anna@example.org x
C: a2 AUTHENTICATE PLAIN {PLAIN}
S: a1 NO [PRIVACYREQUIRED] use STARTTLS first
S: a2 NO [PRIVACYREQUIRED] use STARTTLS first
"""
    )
    assert node.checker.tried == []


def test_underTlsAPasswordIsTaken() -> None:
    node = Node(plaintextPasswords=False, tls=object())
    node.run(LOGIN, isTls=True)
    node.run(
        r"""
S/ .*
C: a1 STARTTLS
S: a1 OK begin TLS
C: a2 CAPABILITY
S: * CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN AUTH=LOGIN
S: a2 OK CAPABILITY completed
C: a3 STARTTLS
S: a3 BAD STARTTLS is not possible now
"""
    )


def test_eachStateHasItsCommands() -> None:
    Node().run(
        GREETING
        + r"""
C: a1 SELECT INBOX
C: a2 FETCH 1 FLAGS
C: a3 IDLE
C: a4 APPEND INBOX {5}
C: a5 FOO
C: a6 UID
C: a7 UID NOOP
C: * NOOP
C: a8 CAPABILITY x
C: a9 STARTTLS
C: b1 ID ("name" "x" "version" NIL)
C: b2 ID NIL
S: a1 BAD not in this state
S: a2 BAD not in this state
S: a3 BAD not in this state
S: a4 BAD not in this state
S: a5 BAD unknown command
S: a6 BAD syntax error
S: a7 BAD unknown command
S: * BAD a command is a tag, a space and a name
S: a8 BAD syntax error
S: a9 BAD STARTTLS is not possible now
S: * ID ("name" "jindimail")
S: b1 OK ID completed
S: * ID ("name" "jindimail")
S: b2 OK ID completed
OPEN
"""
    )


def test_tooManyBadCommandsEndTheConnection() -> None:
    node = Node(Limits(badCommandsMax=3))
    node.run(
        GREETING
        + r"""
C: a FOO
C: b FOO
C: c NOOP
C: d FOO
C: e FOO
C: f FOO
C: g NOOP
S: a BAD unknown command
S: b BAD unknown command
S: c OK completed
S: d BAD unknown command
S: e BAD unknown command
S: f BAD unknown command
S: * BYE too many bad commands
CLOSED
"""
    )


# --- pipelining and back-pressure ---------------------------------------------------------------------------


def test_pipelinedCommandsWaitForTheLogin() -> None:
    node = Node()
    node.append(b"x\r\n")
    node.checker.waiting = Deferred()
    protocol, wire = node.connect()
    wire.clear()
    protocol.dataReceived(b"a LOGIN x y\r\nb SELECT INBOX\r\nc FETCH 1 UID\r\nd NOOP\r\n")
    assert wire.value() == b""
    node.checker.waiting.callback(None)
    tagged = [line.split()[0] for line in wire.value().splitlines() if not line.startswith(b"*")]
    assert tagged == [b"a", b"b", b"c", b"d"]


def test_aClientThatSendsTooMuchAheadIsNotRead() -> None:
    node = Node()
    node.checker.waiting = Deferred()
    protocol, wire = node.connect()
    protocol.dataReceived(b"a LOGIN x y\r\n" + b"b NOOP\r\n" * 5_000)
    assert wire.producerState == "producing"
    protocol.dataReceived(b"b NOOP\r\n" * 5_000)
    assert wire.producerState == "paused"
    wire.clear()
    node.checker.waiting.callback(None)
    assert wire.producerState == "producing"
    assert wire.value().count(b"b OK completed\r\n") == 10_000


def test_aClientThatDoesNotReadIsNotWrittenTo() -> None:
    node = Node()
    big = b"Subject: big\r\n\r\n" + b"0123456789abcde\n" * 65_536 * 5
    node.append(big)
    protocol, wire = node.connect(windowOctets=100_000)
    protocol.dataReceived(
        b'a LOGIN anna@example.org "se\\"cret\\\\"\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\nd NOOP\r\n'
    )
    most = 0
    for _ in range(1000):
        most = max(most, wire.bufferedOctets)
        if b"d OK" in wire.value()[-100:]:
            break
        wire.drain()
    assert most < 600_000
    assert big in wire.value()
    assert wire.value().endswith(b")\r\nc OK FETCH completed\r\nd OK completed\r\n")


def test_aClientThatGoesAwayEndsItsFetch() -> None:
    node = Node()
    node.append(b"x" * 3_000_000)
    protocol, wire = node.connect(windowOctets=100_000)
    protocol.dataReceived(
        b'a LOGIN anna@example.org "se\\"cret\\\\"\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n'
    )
    protocol.connectionLost(Failure(ConnectionLost()))
    assert len(node.world.sessions) == 0
    assert len(wire.value()) < 1_000_000


def test_whoeverIsNotLoggedInKeepsLittleInMemory() -> None:
    node = Node()
    protocol, wire = node.connect()
    wire.clear()
    literal = b"{10000+}\r\n" + b"x" * 10_000
    protocol.dataReceived(b"a LOGIN " + literal + b" " + literal + b"\r\n")
    assert wire.value() == b"a BAD command too long\r\n"
    wire.clear()
    protocol.dataReceived(b"b AUTHENTICATE PLAIN " + b"QUFB" * 3000 + b"\r\n")
    assert wire.value() == b"b BAD cannot decode response\r\n"
    protocol.dataReceived(b'c LOGIN anna@example.org "se\\"cret\\\\"\r\n')
    wire.clear()
    protocol.dataReceived(b"d SEARCH " + literal * 2 + b"\r\n")
    assert wire.value() == b"d BAD not in this state\r\n"


# --- time ---------------------------------------------------------------------------------------------------


def test_whoeverDoesNotLogInIsSentAway() -> None:
    node = Node()
    protocol, wire = node.connect()
    for _ in range(59):
        node.clock.advance(1)
        protocol.dataReceived(b"a NOOP\r\n")
    assert not wire.disconnecting
    node.clock.advance(1)
    assert wire.value().endswith(b"* BYE Autologout; idle for too long\r\n")
    assert wire.disconnecting


@pytest.mark.parametrize("before", [b"", b"b APPEND INBOX {100000}\r\n"])
def test_octetsOneByOneGainNoTime(before: bytes) -> None:
    node = Node()
    protocol, wire = node.login()
    protocol.dataReceived(before)
    for _ in range(29):
        protocol.dataReceived(b"x")
        node.clock.advance(60)
    assert not wire.disconnecting
    node.clock.advance(60)
    assert wire.value().endswith(b"* BYE Autologout; idle for too long\r\n")


def test_aMessageThatComesSlowlyIsWaitedFor() -> None:
    node = Node()
    protocol, wire = node.login()
    protocol.dataReceived(b"b APPEND INBOX {6000000}\r\n")
    for _ in range(60):
        protocol.dataReceived(b"x" * 100_000)
        node.clock.advance(190)
    protocol.dataReceived(b"\r\n")
    node.clock.advance(0)
    assert b"b OK" in wire.value()


def test_autologoutComesAfterThirtyMinutes() -> None:
    """RFC 3501 §5.4."""
    node = Node()
    protocol, wire = node.connect()
    protocol.dataReceived(b'a LOGIN anna@example.org "se\\"cret\\\\"\r\n')
    node.clock.advance(1_799)
    protocol.dataReceived(b"b NOOP\r\n")
    node.clock.advance(1_799)
    assert not wire.disconnecting
    node.clock.advance(1)
    assert wire.value().endswith(b"* BYE Autologout; idle for too long\r\n")


def test_idleEndsAfterThirtyMinutesToo() -> None:
    node = Node()
    protocol, wire = node.connect()
    protocol.dataReceived(b'a LOGIN anna@example.org "se\\"cret\\\\"\r\nb IDLE\r\n')
    node.clock.advance(1_800)
    assert wire.value().endswith(b"* BYE Autologout; idle for too long\r\n")
    protocol.connectionLost(Failure(ConnectionLost()))
    assert len(node.world.sessions) == 0


def test_whoeverDoesNotTakeTheGoodbyeIsCutOff() -> None:
    node = Node()
    protocol, wire = node.connect()
    protocol.dataReceived(b"a LOGOUT\r\n")
    assert wire.disconnecting
    assert not wire.aborted
    node.clock.advance(30)
    assert wire.aborted


# --- the end ------------------------------------------------------------------------------------------------


def test_aStoppingServerSaysGoodbyeToWhoeverWaits() -> None:
    node = Node()
    connections = [node.connect() for _ in range(3)]
    connections[1][0].dataReceived(b'a LOGIN anna@example.org "se\\"cret\\\\"\r\nb IDLE\r\n')
    node.checker.waiting = Deferred()
    connections[2][0].dataReceived(b"a LOGIN x y\r\n")
    ended: list[object] = []
    node.factory.closeWhenIdle().addCallback(ended.append)
    goodbye = b"* BYE [UNAVAILABLE] server is shutting down\r\n"
    assert connections[0][1].value().endswith(goodbye)
    assert connections[1][1].value().endswith(b"+ idling\r\n" + goodbye)
    assert not connections[2][1].disconnecting
    node.checker.waiting.callback(None)
    assert connections[2][1].value().endswith(b"logged in\r\n" + goodbye)
    for protocol, _ in connections:
        assert not ended
        protocol.connectionLost(Failure(ConnectionLost()))
    assert ended == [None]
    _, wire = node.connect()
    assert wire.value() == b"* BYE [UNAVAILABLE] too many connections, try later\r\n"


def test_tooManyConnectionsAreToldSo() -> None:
    node = Node()
    node.world.sessions._sessionsMax = 1
    node.connect()
    _, wire = node.connect()
    assert wire.value() == b"* BYE [UNAVAILABLE] too many connections, try later\r\n"
    assert wire.disconnecting


def test_noDelayIsSet() -> None:
    assert Node().connect()[1].noDelay


@pytest.mark.parametrize("size", [0, 1, 70_000, 2_000_000])
def test_allCommandsAreReleasedWhenTheConnectionIsLost(size: int) -> None:
    """An APPEND cut off in the middle leaves nothing in the spool."""
    node = Node()
    protocol, _ = node.connect()
    protocol.dataReceived(
        b'a LOGIN anna@example.org "se\\"cret\\\\"\r\nb APPEND INBOX {5000000+}\r\n' + b"x" * size
    )
    assert node.factory.spool.messages == 1
    protocol.connectionLost(Failure(ConnectionLost()))
    assert (node.factory.spool.messages, node.factory.spool.octets) == (0, 0)


def test_aFaultOfOursIsAnsweredAndToldToNobody() -> None:
    node = Node()
    protocol, wire = node.connect()
    protocol.dataReceived(b'a LOGIN anna@example.org "se\\"cret\\\\"\r\n')
    wire.clear()

    async def status(name: str) -> object:
        raise KeyError("secret of ours")

    protocol.account.status = status
    protocol.log = _Quiet()
    protocol.dataReceived(b"b STATUS INBOX (MESSAGES)\r\nc NOOP\r\n")
    assert wire.value() == b"b NO [SERVERBUG] internal error\r\nc OK completed\r\n"


class _Quiet:
    def failure(self, *args: object, **fields: object) -> None:
        """Takes note of nothing."""


def test_selectedMailboxIsLetGoOf() -> None:
    node = Node()
    node.run(SELECTED + "LOST\n")
    assert not [topic for topic in node.world.buckets._followers._followings if topic[0] == "mailbox"]


def test_clearTextPasswordsAreForThisMachineOnly() -> None:
    node = Node()
    assert b"LOGINDISABLED" in node.connect("192.0.2.1")[1].value()
    assert b"LOGINDISABLED" not in node.connect("127.0.0.5")[1].value()


def test_answersWaitForAClientThatDoesNotRead() -> None:
    node = Node()
    protocol, wire = node.login(windowOctets=50_000)
    protocol.dataReceived(b"b CAPABILITY\r\n" * 4_000)
    assert wire.bufferedOctets < 200_000
    for _ in range(20):
        wire.drain()
    assert wire.value().count(b"b OK") == 4_000


def test_whoeverWaitsForALineEndsWithTheConnection() -> None:
    node = Node()
    for command in (b"b IDLE\r\n", b"b APPEND INBOX {3+}\r\n"):
        protocol, _ = node.login()
        protocol.dataReceived(command)
        protocol.connectionLost(Failure(ConnectionLost()))
        assert not protocol._isBusy


def test_aLoginThatComesTooLateIsUndone() -> None:
    node = Node()
    node.checker.waiting = Deferred()
    logouts: list[object] = []
    portal = node.factory.portal
    requestAvatar = portal.realm.requestAvatar

    def counted(*arguments: object) -> object:
        interface, avatar, _ = requestAvatar(*arguments)
        return interface, avatar, lambda: logouts.append(avatar)

    portal.realm.requestAvatar = counted
    protocol, _ = node.connect()
    protocol.dataReceived(b"a LOGIN x y\r\n")
    protocol.connectionLost(Failure(ConnectionLost()))
    node.checker.waiting.callback(None)
    assert len(logouts) == 1
    assert protocol.account is None


@pytest.mark.parametrize(
    "octets",
    [b"a APPEND INBOX {3+}\r\nabc\n", b"a APPEND INBOX {3+}\r\nabc {70000+}\r\n" + b"x" * 70_000 + b"\r\n"],
)
def test_aBrokenAppendLeavesNothingInTheSpool(octets: bytes) -> None:
    node = Node()
    protocol, wire = node.login()
    protocol.dataReceived(octets)
    assert node.factory.spool.messages == 0
    protocol.dataReceived(b"b NOOP\r\n")
    assert wire.value().endswith(b"\r\nb OK completed\r\n")


def test_aClientThatSendsNoMoreIsAnsweredWhatItHasSent() -> None:
    node = Node()
    protocol, wire = node.connect()
    protocol.dataReceived(b'a LOGIN anna@example.org "se\\"cret\\\\"\r\nb SELECT INBOX\r\nc NOOP\r\nd NO')
    protocol.readConnectionLost()
    node.turn()
    answers = wire.value()
    assert [b"\r\n%b OK" % tag in answers for tag in (b"a", b"b", b"c")] == [True] * 3
    assert wire.disconnecting


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"b IDLE\r\n",
        b"b APPEND INBOX {10+}\r\n12345",
        b"b APPEND INBOX {10}\r\n",
        b"b AUTHENTICATE PLAIN\r\n",
    ],
)
def test_whatTheClientWillNeverSendIsNotWaitedFor(sent: bytes) -> None:
    node = Node()
    protocol, wire = node.login()
    protocol.dataReceived(sent)
    assert not wire.disconnecting
    protocol.readConnectionLost()
    assert wire.disconnecting
    protocol.connectionLost(Failure(ConnectionDone()))
    assert node.factory.spool.messages == 0
