"""The AUTHORIZATION state: capabilities, TLS, passwords."""

from __future__ import annotations

from base64 import b64encode

import pytest
from twisted.internet.address import IPv4Address

from jindimail.pop3.limits import Limits
from tests.pop3.fakes import Bed

FAR = IPv4Address("TCP", "192.0.2.7", 4242)
PLAIN = b64encode(b"\0anna\0 a  secret")


def said(bed: Bed, *pieces: bytes) -> bytes:
    protocol, wire = bed.connect()
    wire.clear()
    for piece in pieces:
        protocol.dataReceived(piece)
    octets: bytes = wire.value()
    return octets


def capabilities(bed: Bed) -> list[bytes]:
    lines = said(bed, b"CAPA\r\n").split(b"\r\n")
    assert lines[0].startswith(b"+OK") and lines[-2:] == [b".", b""]
    return lines[1:-2]


ALWAYS = {
    b"TOP",
    b"UIDL",
    b"RESP-CODES",
    b"AUTH-RESP-CODE",
    b"PIPELINING",
    b"EXPIRE NEVER",
    b"IMPLEMENTATION jindimail",
}


def test_capabilitiesOfALoopbackClient() -> None:
    assert set(capabilities(Bed())) == ALWAYS | {b"USER", b"SASL PLAIN LOGIN"}


def test_capabilitiesBeforeTls() -> None:
    assert set(capabilities(Bed(peer=FAR, tls=object()))) == ALWAYS | {b"STLS"}


def test_capabilitiesUnderImplicitTls() -> None:
    bed = Bed(peer=FAR, tls=object(), isTls=True)
    assert set(capabilities(bed)) == ALWAYS | {b"USER", b"SASL PLAIN LOGIN"}


def test_capabilitiesAfterTheLogin() -> None:
    protocol, wire = Bed(tls=object()).loggedIn()
    protocol.dataReceived(b"CAPA\r\n")
    assert b"STLS" not in wire.value()
    assert b"\r\nTOP\r\n" in wire.value()


@pytest.mark.parametrize("command", [b"USER anna", b"PASS x", b"AUTH PLAIN " + PLAIN, b"AUTH"])
def test_noPasswordBeforeTls(command: bytes) -> None:
    bed = Bed(peer=FAR, tls=object())
    assert said(bed, command + b"\r\n") == b"-ERR TLS required, use STLS first\r\n"
    assert not bed.portal.peers


def test_noPasswordBeforeTlsFromLoopbackUnlessConfigured() -> None:
    assert said(Bed(plaintextPasswords=False), b"USER anna\r\n").startswith(b"-ERR TLS required")


def test_stlsForgetsWhatCameBeforeIt() -> None:
    tls = object()
    bed = Bed(b"x\r\n", tls=tls)
    protocol, wire = bed.connect()
    wire.clear()
    protocol.dataReceived(b"USER anna\r\nSTLS\r\nPASS  a  secret\r\nSTAT\r\nUSER")
    assert wire.value() == b"+OK send PASS\r\n+OK begin TLS\r\n"
    assert wire.startedTls == [tls]
    wire.clear()
    protocol.dataReceived(b"PASS  a  secret\r\nSTLS\r\n")
    assert wire.value() == b"-ERR USER first\r\n-ERR not possible\r\n"
    wire.clear()
    protocol.dataReceived(b"USER anna\r\nPASS  a  secret\r\n")
    assert wire.value() == b"+OK send PASS\r\n+OK 1 messages\r\n"


def test_stlsWithoutCertificate() -> None:
    assert said(Bed(), b"STLS\r\n") == b"-ERR not possible\r\n"


def test_wrongPassword() -> None:
    answer = b"+OK send PASS\r\n-ERR [AUTH] authentication failed\r\n"
    assert said(Bed(), b"USER anna\r\nPASS wrong\r\n") == answer
    assert said(Bed(), b"USER nobody\r\nPASS  a  secret\r\n") == answer


def test_passwordsKeepTheirSpaces() -> None:
    assert said(Bed(), b"USER anna\r\nPASS  a  secret\r\n").endswith(b"+OK 0 messages\r\n")
    assert b"-ERR [AUTH]" in said(Bed(), b"USER anna\r\nPASS a secret\r\n")


def test_theUserNameIsGoodForOnePassword() -> None:
    assert said(Bed(), b"USER anna\r\nPASS wrong\r\nPASS  a  secret\r\n").endswith(b"-ERR USER first\r\n")


def test_theCheckerLearnsThePeer() -> None:
    bed = Bed(peer=FAR, isTls=True)
    said(bed, b"USER anna\r\nPASS wrong\r\n")
    assert bed.portal.peers == ["192.0.2.7"]


def test_tooManyFailedLoginsEndTheConnection() -> None:
    protocol, wire = Bed(limits=Limits(loginFailuresMax=2)).connect()
    protocol.dataReceived(b"USER anna\r\nPASS a\r\nAUTH PLAIN " + b64encode(b"\0anna\0b") + b"\r\nNOOP\r\n")
    assert wire.value().count(b"-ERR") == 2
    assert wire.disconnecting


def test_aUserWithTooManySessionsIsToldToComeLater() -> None:
    bed = Bed()
    bed.sessions.bound(100, 100, 1)
    first = said(bed, b"USER anna\r\nPASS  a  secret\r\n")
    assert first.endswith(b" messages\r\n")
    second = said(bed, b"USER anna\r\nPASS  a  secret\r\n")
    assert second.endswith(b"-ERR [SYS/TEMP] too many sessions of this user, try later\r\n")
    assert bed.store.logouts == 1


def test_anUnavailableRealmIsNoWrongPassword() -> None:
    bed = Bed()
    bed.store.fail()
    assert said(bed, b"USER anna\r\nPASS  a  secret\r\n").endswith(
        b"-ERR [SYS/TEMP] temporarily unavailable\r\n"
    )


def test_saslPlainWithInitialResponse() -> None:
    assert said(Bed(), b"AUTH PLAIN " + PLAIN + b"\r\nSTAT\r\n") == b"+OK 0 messages\r\n+OK 0 0\r\n"


def test_saslPlainWithAChallenge() -> None:
    assert said(Bed(), b"auth plain\r\n", PLAIN + b"\r\n") == b"+ \r\n+OK 0 messages\r\n"


def test_saslLoginPipelined() -> None:
    lines = b"\r\n".join((b"AUTH LOGIN", b64encode(b"anna"), b64encode(b" a  secret"), b"STAT", b""))
    answers = said(Bed(), lines)
    assert answers == b"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n+OK 0 messages\r\n+OK 0 0\r\n"


@pytest.mark.parametrize("response", [b"*", b"!!", b"", b"=", b64encode(b"anna"), b64encode(b"\0\xff\0x")])
def test_aBadSaslResponseEndsOnlyTheExchange(response: bytes) -> None:
    answers = said(Bed(), b"AUTH PLAIN\r\n" + response + b"\r\nAUTH PLAIN " + PLAIN + b"\r\n")
    first, second, third, end = answers.split(b"\r\n")
    assert (first, third, end) == (b"+ ", b"+OK 0 messages", b"")
    assert second.startswith(b"-ERR ")


def test_aLongSaslResponseIsTaken() -> None:
    response = b64encode(b"\0anna\0" + b"x" * 1000)
    assert (
        said(Bed(), b"AUTH PLAIN\r\n" + response + b"\r\n") == b"+ \r\n-ERR [AUTH] authentication failed\r\n"
    )
    assert said(Bed(), b"AUTH PLAIN " + response + b"\r\n") == b"-ERR [AUTH] authentication failed\r\n"


def test_unknownMechanism() -> None:
    assert said(Bed(), b"AUTH CRAM-MD5\r\n").startswith(b"-ERR unrec")
    assert said(Bed(), b"AUTH \xff\r\n").startswith(b"-ERR unrec")


def test_authAloneListsTheMechanisms() -> None:
    assert said(Bed(), b"AUTH\r\n") == b"+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n"
