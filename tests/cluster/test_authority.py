"""The array's authority, the certificates that it issues, and hellos."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import CertificateSigningRequestBuilder, Name
from hypothesis import given
from hypothesis import strategies as st

from jindimail.cluster.authority import (
    Authority,
    Identity,
    NotOurs,
    certificateHash,
    fingerprintOf,
    foundAuthority,
    identityOf,
    isDue,
    loadCertificate,
    newRequest,
    requestHash,
    utc,
    verifyNode,
)
from jindimail.cluster.hello import Hello, Reason, Unwelcome, decodeHello, judgeHello
from jindimail.errors import ConfigError, ProtocolError
from jindimail.store.records import LIVES_OCTETS

NOW = utc(1_800_000_000)
ARRAY_ID = bytes(range(16))
CERTIFICATE, KEY = foundAuthority(ARRAY_ID, NOW)
AUTHORITY = Authority(CERTIFICATE, KEY)
MINE = Identity(arrayId=ARRAY_ID, node=7, name="mx7.example")
DAY = timedelta(days=1)


def issued(identity: Identity = MINE) -> bytes:
    return AUTHORITY.issue(newRequest(identity.name)[0], identity, NOW)


def test_certificateSaysWhoseItIs() -> None:
    certificate = loadCertificate(issued())
    assert identityOf(certificate) == MINE
    assert verifyNode(certificate, loadCertificate(CERTIFICATE), NOW) == MINE


def test_certificateBelongsToTheKeyOfItsRequest() -> None:
    request, key = newRequest("n")
    certificate = loadCertificate(AUTHORITY.issue(request, MINE, NOW))
    loaded = serialization.load_pem_private_key(key, None)
    assert certificate.public_key() == loaded.public_key()
    assert certificateHash(certificate) == requestHash(request)
    assert requestHash(newRequest("n")[0]) != requestHash(request)


@pytest.mark.parametrize("days", [-2, 91])
def test_certificateIsValidForItsTimeOnly(days: int) -> None:
    with pytest.raises(NotOurs):
        verifyNode(loadCertificate(issued()), loadCertificate(CERTIFICATE), NOW + days * DAY)


def test_authorityOfTheSameNameIsNotTheSame() -> None:
    with pytest.raises(NotOurs):
        verifyNode(loadCertificate(issued()), loadCertificate(foundAuthority(ARRAY_ID, NOW)[0]), NOW)


def test_authorityIsNoNode() -> None:
    authority = loadCertificate(CERTIFICATE)
    with pytest.raises(NotOurs):
        verifyNode(authority, authority, NOW)


def test_nodeIsNoAuthority() -> None:
    """A node signs another node's certificate with its own key."""
    request, key = newRequest("mx7.example")
    mine = AUTHORITY.issue(request, MINE, NOW)
    forged = Authority(mine, key).issue(newRequest("n")[0], Identity(arrayId=ARRAY_ID, node=8, name="n"), NOW)
    with pytest.raises(NotOurs):
        verifyNode(loadCertificate(forged), loadCertificate(mine), NOW)
    with pytest.raises(NotOurs):
        verifyNode(loadCertificate(forged), loadCertificate(CERTIFICATE), NOW)


def test_certificateIsDueAfterTwoThirdsOfItsLife() -> None:
    certificate = issued()
    assert not isDue(certificate, NOW + 59 * DAY)
    assert isDue(certificate, NOW + 61 * DAY)


def test_aCertificateOfAClockThatWasAheadIsDueWhenTheClockIsRightAgain() -> None:
    certificate = issued()
    assert isDue(certificate, NOW - 3650 * DAY) and isDue(certificate, NOW - 2 * DAY)
    assert not isDue(certificate, NOW - DAY / 2), "clocks may be slow by as much"


@pytest.mark.parametrize("name", ["", "A", "ä", "a b", "a/b", "-a", "a-", "x" * 64, "a\n"])
def test_namesThatAreNoneGetNoCertificate(name: str) -> None:
    with pytest.raises(NotOurs):
        AUTHORITY.issue(newRequest("n")[0], Identity(arrayId=ARRAY_ID, node=1, name=name), NOW)


@pytest.mark.parametrize("node", [0, -1])
def test_numbersThatAreNoneGetNoCertificate(node: int) -> None:
    with pytest.raises(NotOurs):
        AUTHORITY.issue(newRequest("n")[0], Identity(arrayId=ARRAY_ID, node=node, name="n"), NOW)


def test_requestsThatAreNoneGetNoCertificate() -> None:
    request = newRequest("n")[0]
    lines = request.splitlines()
    forged = b"\n".join([*lines[:-2], lines[-2][:4] + b"AAAA" + lines[-2][8:], lines[-1]])
    for each in (b"", b"hello", CERTIFICATE, request[:100], forged):
        with pytest.raises(NotOurs):
            AUTHORITY.issue(each, MINE, NOW)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())]
)
def test_requestsForOtherKindsOfKeysAreRefused(key: rsa.RSAPrivateKey) -> None:
    request = CertificateSigningRequestBuilder().subject_name(Name([])).sign(key, hashes.SHA256())
    with pytest.raises(NotOurs):
        AUTHORITY.issue(request.public_bytes(serialization.Encoding.PEM), MINE, NOW)


def test_authorityNeedsItsOwnKey() -> None:
    for key in (b"", newRequest("n")[1]):
        with pytest.raises(ConfigError):
            Authority(CERTIFICATE, key)


def test_fingerprintIsThatOfTheCertificate() -> None:
    assert fingerprintOf(CERTIFICATE) == fingerprintOf(loadCertificate(CERTIFICATE))
    assert len(fingerprintOf(CERTIFICATE)) == 32


# --- hello

HELLO = Hello(arrayId=ARRAY_ID, node=7, incarnation=3, life=b"lifelife")
OTHER = Hello(arrayId=ARRAY_ID, node=1, incarnation=1, life=b"lifelife")


def test_helloTravels() -> None:
    assert decodeHello(HELLO.encode()) == HELLO
    assert decodeHello((*HELLO.encode(), "a later field")) == HELLO


@given(st.integers(0, 6), st.sampled_from([None, b"", "x", -5, 1.5, [], True]))
def test_helloWithAFieldOfAnotherKindIsRefused(place: int, value: object) -> None:
    fields = list(HELLO.encode())
    if type(value) is type(fields[place]) and place == 0:
        return
    fields[place] = value
    with pytest.raises(ProtocolError):
        decodeHello(tuple(fields))


def test_levelIsTheHighestThatBothSpeak() -> None:
    for mine, theirs, level in (((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 3), (1, 2), 2)):
        one = Hello(arrayId=ARRAY_ID, node=1, incarnation=1, life=b"lifelife", levels=mine)
        two = Hello(arrayId=ARRAY_ID, node=7, incarnation=1, life=b"lifelife", levels=theirs)
        assert judgeHello(one, two, MINE) == level


def test_helloOfAnotherArrayIsRefusedWhateverTheCertificateSays() -> None:
    other = Hello(arrayId=bytes(16), node=7, incarnation=3, life=b"lifelife")
    with pytest.raises(Unwelcome) as caught:
        judgeHello(OTHER, other, MINE)
    assert caught.value.reason is Reason.WRONG_ARRAY


def test_nodeThatClaimsThisNodesNumberIsRefused() -> None:
    with pytest.raises(Unwelcome) as caught:
        judgeHello(HELLO, HELLO, MINE)
    assert caught.value.reason is Reason.WRONG_NODE


@pytest.mark.parametrize("lives", [b"short", bytes(LIVES_OCTETS + 8), "lifelife", None])
def test_helloWhoseLivesAreNoneIsRefused(lives: object) -> None:
    with pytest.raises(ProtocolError):
        decodeHello((*HELLO.encode()[:-1], lives))


def test_helloOfAVersionThatRemembersNoLivesIsUnderstood() -> None:
    assert decodeHello(HELLO.encode()[:-1]) == HELLO
