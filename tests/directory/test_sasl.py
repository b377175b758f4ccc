import unicodedata
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.directory import sasl
from jindimail.errors import AuthenticationFailed, JindimailError, ProtocolError


def plain(octets: bytes) -> sasl.Challenge | sasl.Credentials:
    return sasl.begin("PLAIN").step(b64encode(octets))


def test_plainTakesTheInitialResponse() -> None:
    expected = sasl.Credentials(username=b"joe@example.org", password=b"s\xc3\xa9cret ")
    assert plain(b"\0joe@example.org\0s\xc3\xa9cret ") == expected


def test_plainAsksWithAnEmptyChallengeWhenThereIsNoInitialResponse() -> None:
    exchange = sasl.begin("plain")
    assert exchange.step(None) == sasl.Challenge(b"")
    assert exchange.step(b64encode(b"\0joe\0pw")) == sasl.Credentials(username=b"joe", password=b"pw")


def test_plainMayNameTheSameUserTwiceInAnyNormalForm() -> None:
    composed = "jos\u00e9"
    decomposed = unicodedata.normalize("NFD", composed)
    octets = decomposed.encode() + b"\0" + composed.encode() + b"\0pw"
    assert plain(octets) == sasl.Credentials(username=composed.encode(), password=b"pw")


def test_usernameComesOutInNfc() -> None:
    decomposed = unicodedata.normalize("NFD", "jos\u00e9")
    assert plain(b"\0" + decomposed.encode() + b"\0pw") == sasl.Credentials(
        username="jos\u00e9".encode(), password=b"pw"
    )


def test_plainRefusesToActForAnother() -> None:
    with pytest.raises(AuthenticationFailed):
        plain(b"admin\0joe\0pw")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0joe",
        b"joe\0pw",
        b"\0joe\0pw\0",
        b"\0\0pw",
        b"\0joe\0",
        b"\0jo\xffe\0pw",
        b"\0joe\0p\xffw",
        b"\xff\0joe\0pw",
        b"\0" + b"j" * 1025 + b"\0pw",
        b"\0joe\0" + b"p" * 1025,
    ],
)
def test_plainRefusesAnotherForm(octets: bytes) -> None:
    with pytest.raises(sasl.BadResponse):
        plain(octets)


@pytest.mark.parametrize("line", [b"!", b"AGpvZQBw dw==", b"AGpvZQBwdw", b"\xff", b"A" * 12289, b"="])
@pytest.mark.parametrize("mechanism", sasl.MECHANISMS)
def test_aLineThatIsNotBase64OrTooLongOrEmptyIsRefused(mechanism: str, line: bytes) -> None:
    with pytest.raises(sasl.BadResponse):
        sasl.begin(mechanism).step(line)


@pytest.mark.parametrize("mechanism", sasl.MECHANISMS)
def test_aStarCancels(mechanism: str) -> None:
    exchange = sasl.begin(mechanism)
    exchange.step(None)
    with pytest.raises(sasl.Cancelled):
        exchange.step(b"*")


def test_loginAsksForNameAndPassword() -> None:
    exchange = sasl.begin("LOGIN")
    assert exchange.step(None) == sasl.Challenge(b"VXNlcm5hbWU6")
    assert exchange.step(b64encode(b"joe")) == sasl.Challenge(b"UGFzc3dvcmQ6")
    assert exchange.step(b64encode(b"pw")) == sasl.Credentials(username=b"joe", password=b"pw")


def test_loginTakesTheNameAsInitialResponse() -> None:
    exchange = sasl.begin("login")
    assert exchange.step(b64encode(b"joe")) == sasl.Challenge(b"UGFzc3dvcmQ6")
    assert exchange.step(b64encode(b"pw")) == sasl.Credentials(username=b"joe", password=b"pw")


@pytest.mark.parametrize("octets", [b"", b"jo\0e", b"\xfe"])
def test_loginRefusesWhatIsNoName(octets: bytes) -> None:
    with pytest.raises(sasl.BadResponse):
        sasl.begin("LOGIN").step(b64encode(octets))


def test_anUnknownMechanismIsRefused() -> None:
    with pytest.raises(sasl.UnknownMechanism):
        sasl.begin("CRAM-MD5")


def test_thePasswordIsNotShown() -> None:
    assert "hush" not in repr(sasl.Credentials(username=b"joe", password=b"hush"))


@given(
    st.sampled_from(sasl.MECHANISMS), st.lists(st.one_of(st.binary(), st.binary().map(b64encode)), max_size=3)
)
@settings(max_examples=200, deadline=None)
def test_nothingButItsOwnErrorsComesOut(mechanism: str, lines: list[bytes]) -> None:
    exchange = sasl.begin(mechanism)
    try:
        for line in lines:
            if isinstance(exchange.step(line), sasl.Credentials):
                return
    except (ProtocolError, AuthenticationFailed) as error:
        assert isinstance(error, JindimailError)
