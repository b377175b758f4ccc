from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred

from jindimail.directory.credentials import PeerPassword
from jindimail.errors import TooManyAttempts, Unavailable, UserDisabled
from jindimail.interfaces import IAccount
from tests.smtp.fakes import Bed, FakeTransport, Wire, codes

HEADER = b"From: joe@example.org\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@x>\r\n"


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path, service="submission")


def encrypted(bed: Bed) -> Wire:
    wire = bed.connect()
    wire.ask(b"EHLO a")
    assert wire.codes(b"STARTTLS") == ["220 2.0.0"]
    wire.ask(b"EHLO a")
    return wire


def loggedIn(bed: Bed) -> Wire:
    wire = encrypted(bed)
    assert codes(wire.login()) == ["235 2.7.0"]
    return wire


def test_aUserWithTooManySessionsIsToldToComeLater(bed: Bed) -> None:
    bed.sessions.bound(100, 100, 1)
    loggedIn(bed)
    wire = encrypted(bed)
    assert codes(wire.login()) == ["454 4.7.0"]
    assert codes(wire.ask(b"MAIL FROM:<joe@example.org>")) == ["530 5.7.0"]
    assert bed.portal.logouts == 1


def test_beforeTlsAuthIsNeitherOfferedNorTaken(bed: Bed) -> None:
    wire = bed.connect()
    assert b"AUTH" not in wire.ask(b"EHLO a")
    assert codes(wire.login()) == ["538 5.7.11"]
    assert bed.portal.logins == []


@pytest.mark.parametrize(
    ("host", "isOffered"), [("127.0.0.1", True), ("127.9.9.9", True), ("10.0.0.1", False)]
)
def test_onLoopbackAPasswordMayGoInTheClearWhereConfigured(
    tmp_path: Path, host: str, isOffered: bool
) -> None:
    bed = Bed(tmp_path, service="submission", plaintextPasswords=True)
    wire = bed.connect(FakeTransport(peer=IPv4Address("TCP", host, 1)))
    assert (b"AUTH PLAIN LOGIN" in wire.ask(b"EHLO a")) is isOffered
    assert codes(wire.login()) == ["235 2.7.0" if isOffered else "538 5.7.11"]


def test_loginOnLoopbackIsNotTakenUnlessConfigured(bed: Bed) -> None:
    wire = bed.connect(FakeTransport(peer=IPv4Address("TCP", "127.0.0.1", 1)))
    wire.ask(b"EHLO a")
    assert codes(wire.login()) == ["538 5.7.11"]


def test_mailNeedsALogin(bed: Bed) -> None:
    assert encrypted(bed).codes(b"MAIL FROM:<joe@example.org>") == ["530 5.7.0"]
    assert loggedIn(bed).codes(b"MAIL FROM:<joe@example.org>") == ["250 2.1.0"]


def test_plainWithInitialResponse(bed: Bed) -> None:
    wire = encrypted(bed)
    assert b"250-AUTH PLAIN LOGIN" in wire.ask(b"EHLO a") or b"250 AUTH PLAIN LOGIN" in wire.ask(b"EHLO a")
    assert wire.login() == b"235 2.7.0 authentication successful\r\n"
    assert bed.portal.logins[0].peer == "192.168.1.1"
    assert next(iter(bed.sessions)).user == "joe@example.org"
    assert b"AUTH" not in wire.ask(b"EHLO a")


def test_plainWithoutInitialResponse(bed: Bed) -> None:
    wire = encrypted(bed)
    assert wire.ask(b"auth plain") == b"334 \r\n"
    assert wire.codes(b64encode(b"\0joe@example.org\0secret")) == ["235 2.7.0"]


def test_login(bed: Bed) -> None:
    wire = encrypted(bed)
    assert wire.ask(b"AUTH LOGIN") == b"334 VXNlcm5hbWU6\r\n"
    assert wire.ask(b64encode(b"joe@example.org")) == b"334 UGFzc3dvcmQ6\r\n"
    assert wire.codes(b64encode(b"secret")) == ["235 2.7.0"]


def test_aPipelinedExchangeIsTakenInOrder(bed: Bed) -> None:
    wire = encrypted(bed)
    said = wire.ask(
        b"AUTH LOGIN", b64encode(b"joe@example.org"), b64encode(b"secret"), b"MAIL FROM:<joe@example.org>"
    )
    assert [code[:3] for code in codes(said)] == ["334", "334", "235", "250"]


def test_whatFollowsALoginWaitsForIt(bed: Bed) -> None:
    wire = encrypted(bed)
    waiting: Deferred[object] = Deferred()
    answer = bed.portal.login
    bed.portal.login = lambda *arguments: waiting  # type: ignore[method-assign]
    assert wire.login() == b""
    assert wire.ask(b"MAIL FROM:<joe@example.org>") == b""
    answer(*_credentials()).addCallback(waiting.callback)
    assert codes(wire.read()) == ["235 2.7.0", "250 2.1.0"]


def _credentials() -> tuple[object, ...]:
    return PeerPassword(b"joe@example.org", b"secret", ""), None, IAccount


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"AUTH"], "501 5.5.4"),
        ([b"AUTH CRAM-MD5"], "504 5.5.4"),
        ([b"AUTH PLAIN !"], "501 5.5.2"),
        ([b"AUTH PLAIN ="], "501 5.5.2"),
        ([b"AUTH PLAIN", b"*"], "501 5.7.0"),
        ([b"AUTH LOGIN", b"*"], "501 5.7.0"),
        ([b"AUTH PLAIN", b""], "501 5.5.2"),
        ([b"AUTH PLAIN", b"\xff\0"], "501 5.5.2"),
        ([b"AUTH PLAIN " + b64encode(b"\0joe@example.org\0wrong")], "535 5.7.8"),
        ([b"AUTH PLAIN " + b64encode(b"root\0joe@example.org\0secret")], "535 5.7.8"),
        ([b"AUTH PLAIN " + b64encode(b"\0joe@example.org\0" + b"x" * 1000)], "535 5.7.8"),
        ([b"AUTH PLAIN " + b"A" * 12_300], "500 5.5.2"),
        ([b"AUTH PLAIN", b"A" * 12_300], "500 5.5.2"),
    ],
)
def test_aLoginIsRefused(bed: Bed, lines: list[bytes], expected: str) -> None:
    wire = encrypted(bed)
    assert wire.codes(*lines)[-1] == expected
    assert wire.codes(b"NOOP", b"MAIL FROM:<joe@example.org>") == ["250 2.0.0", "530 5.7.0"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserDisabled(), "525 5.7.13"),
        (TooManyAttempts(), "454 4.7.0"),
        (Unavailable(), "454 4.7.0"),
        (UnauthorizedLogin(), "535 5.7.8"),
        (RuntimeError("secret"), "451 4.3.0"),
    ],
)
def test_theReasonsHaveTheirCodes(bed: Bed, error: Exception, expected: str) -> None:
    bed.portal.error = error
    said = encrypted(bed).login()
    assert codes(said) == [expected]
    assert b"secret" not in said


def test_failedLoginsAreCounted(tmp_path: Path) -> None:
    wire = encrypted(Bed(tmp_path, service="submission", failedLoginsMax=3))
    answers = [code for _ in range(3) for code in codes(wire.login(password=b"wrong"))]
    assert answers == ["535 5.7.8", "535 5.7.8", "421 4.7.0"]
    assert wire.transport.disconnecting


def test_oneLoginIsEnough(bed: Bed) -> None:
    wire = loggedIn(bed)
    assert codes(wire.login()) == ["503 5.5.1"]
    assert wire.codes(b"MAIL FROM:<>", b"AUTH PLAIN") == ["250 2.1.0", "503 5.5.1"]


def test_theLogoutIsCalledOnce(bed: Bed) -> None:
    wire = loggedIn(bed)
    assert bed.portal.logouts == 0
    wire.ask(b"QUIT")
    wire.lose()
    assert bed.portal.logouts == 1


def test_aLoginThatComesTooLateIsLoggedOut(bed: Bed) -> None:
    wire = encrypted(bed)
    waiting: Deferred[object] = Deferred()
    answer = bed.portal.login(*_credentials())
    bed.portal.login = lambda *arguments: waiting  # type: ignore[method-assign]
    wire.login()
    wire.lose()
    answer.addCallback(waiting.callback)
    assert bed.portal.logouts == 1


def test_theLoginDoesNotSurviveTls(tmp_path: Path) -> None:
    bed = Bed(tmp_path, service="submission", plaintextPasswords=True)
    wire = bed.connect(FakeTransport(peer=IPv4Address("TCP", "127.0.0.1", 1)))
    wire.ask(b"EHLO a")
    wire.login()
    wire.ask(b"STARTTLS")
    assert bed.portal.logouts == 1
    assert wire.codes(b"EHLO a", b"MAIL FROM:<joe@example.org>")[-1] == "530 5.7.0"


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        (b"joe@example.org", "250 2.1.0"),
        (b"Joe@Example.ORG", "250 2.1.0"),
        (b"joseph@example.org", "250 2.1.0"),
        (b"joe+tag@example.org", "250 2.1.0"),
        (b"", "250 2.1.0"),
        (b"ann@example.org", "553 5.7.1"),
        (b"joe@elsewhere.net", "553 5.7.1"),
        (b"joe@[127.0.0.1]", "553 5.7.1"),
    ],
)
def test_theSenderMustBelongToTheLogin(bed: Bed, sender: bytes, expected: str) -> None:
    assert loggedIn(bed).codes(b"MAIL FROM:<%s>" % sender) == [expected]


def test_mailToOthersIsRefusedWithAClearText(bed: Bed) -> None:
    wire = loggedIn(bed)
    wire.ask(b"MAIL FROM:<joe@example.org>")
    assert wire.ask(b"RCPT TO:<ann@elsewhere.net>") == (
        b"550 5.7.1 relaying denied: this server does not send to other domains yet\r\n"
    )


def submit(bed: Bed, *pieces: bytes) -> bytes:
    wire = loggedIn(bed)
    wire.ask(b"MAIL FROM:<joe@example.org>", b"RCPT TO:<ann@example.org>", b"DATA")
    assert codes(wire.say(*pieces)) == ["250 2.0.0"]
    octets = bed.delivery.delivered[-1][1]
    return octets.partition(b"+0000\r\n")[2]


def test_theTraceTellsOfTlsAndLoginButNotWhose(bed: Bed) -> None:
    submit(bed, HEADER + b"\r\n.\r\n")
    trace = bed.delivery.delivered[0][1].split(b"\r\n")
    assert trace[1] == b"\tby mx.example.org with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)"


ADDED = (
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    b"Message-ID: <00000000000000000000000000000001@mx.example.org>\r\n"
)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HEADER + b"\r\nx\r\n", b""),
        (b"date : x\r\nmessage-id\t: y\r\n\r\n", b""),
        (b"Subject: x\r\n\r\nDate: in the text\r\nMessage-ID: too\r\n", ADDED),
        (b"Subject: x\r\nDate: x\r\n\r\n", ADDED.split(b"\r\n", 1)[1]),
        (b"Subject: only a header\r\n", ADDED),
        (b"Subject: Date:\r\n Message-ID: folded\r\n\r\n", ADDED),
    ],
)
def test_whatTheHeaderLacksIsAddedAtEverySplit(tmp_path: Path, message: bytes, expected: bytes) -> None:
    stream = message + b".\r\n"
    for at in range(0, len(stream), 3):
        bed = Bed(tmp_path, service="submission")
        assert submit(bed, stream[:at], stream[at:]) == expected + message


def test_textWithoutAHeaderGetsOne(bed: Bed) -> None:
    assert submit(bed, b"Hello\r\n.\r\n") == ADDED + b"\r\nHello\r\n"


def test_anEndlessHeaderIsNotKeptInMemory(bed: Bed) -> None:
    header = b"X-Long: y\r\n" * 10_000
    assert submit(
        bed, *(header[at : at + 1000] for at in range(0, len(header), 1000)), b"Date: late\r\n.\r\n"
    ) == (ADDED + header + b"Date: late\r\n")
