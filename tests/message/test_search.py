"""Text that SEARCH looks at: decoded, without regard to case or form."""

import base64
from collections.abc import Generator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.message.search import SoughtHeader, fold, foldedBody, foldedParts, headerText
from jindimail.message.structure import Part, parse
from jindimail.message.text import partText, plainOfHtml
from tests.message import samples

MESSAGE = (
    b"From: =?utf-8?q?Ren=C3=A9?= <rene@example.org>\r\nSubject: =?utf-8?b?" + base64.b64encode("Grüße aus KÖLN".encode()) + b"?=\r\n"
    b"Subject: second\r\nX-Folded: one\r\n two\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
    b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne soft=\r\nbreak\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(b"<style>hidden</style><p>Fish&amp;Chips <b>bo</b>ld</p>") + b"\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\n\r\nbinary\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?inn=C3=A9r?=\r\n\r\ndeep\r\n--b--\r\n"
)  # fmt: skip
HEADER = MESSAGE[: MESSAGE.index(b"preamble")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("ﬁsh", "FISH"),
        ("e\u0301", "É"),
        ("Ａ", "a"),
        ("Σ", "ς"),
        ("plain", "PLAIN"),
        ("", ""),
    ],
)
def test_formsThatCompareEqual(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_longTextFoldsInPieces() -> None:
    assert fold("É" * 1000) == "é" * 1000


@pytest.mark.parametrize(
    ("name", "needle", "expected"),
    [
        (b"SUBJECT", "grüße aus köln", True),
        (b"subject", "SECOND", True),
        (b"From", "rené <RENE@", True),
        (b"X-Folded", "one two", True),
        (b"X-Empty", "", True),
        (b"X-None", "", False),
        (b"X-Empty", "x", False),
        (b"Subject", "preamble", False),
    ],
)
def test_fieldsAreSearched(name: bytes, needle: str, expected: bool) -> None:
    assert SoughtHeader(HEADER).fieldHolds(name.lower(), fold(needle)) is expected


@pytest.mark.parametrize(
    ("value", "needle"),
    [
        (b"<user (comment)@ (comment) example.org>", "user@example.org"),
        (b"user @ example.org", "user@example.org"),
        (b'"O\\"Hara, Ann" <ann@x>', 'o"hara, ann <ann@x>'),
        (b"Group: a (A)@x, b@x;", "a@x"),
        (b"r@x (=?utf-8?q?Ren=C3=A9?=)", "rené <r@x>"),
        (b'"Ann" <ann@x>', '"ann" <'),
    ],
)
def test_addressesAreFoundAsTheyStandAndAsEnvelopeShowsThem(value: bytes, needle: str) -> None:
    """RFC 3501 §6.4.4: FROM is about the envelope structure's FROM field."""
    for name in (b"from", b"to", b"cc", b"bcc"):
        assert SoughtHeader(name + b": " + value + b"\r\n\r\n").fieldHolds(name, fold(needle))


@pytest.mark.parametrize(
    ("needle", "inBody", "inMessage"),
    [
        ("schöne", True, True),
        ("softbreak", True, True),
        ("fish&chips bold", True, True),
        ("hidden", False, False),
        ("binary", False, False),
        ("innér", True, True),
        ("DEEP", True, True),
        ("köln", False, True),
        ("x-folded: one two", False, True),
        ("delivered-to: bob", False, True),
        ("absent", False, False),
        ("", True, True),
    ],
)
def test_bodyAndWholeMessageAreSearched(needle: str, inBody: bool, inMessage: bool) -> None:
    texts, _ = foldedAtOnce(MESSAGE)
    header = b"Delivered-To: bob@example.com\r\n" + MESSAGE[: parse(MESSAGE).bodyStart]
    assert any(fold(needle) in text for text in texts) is inBody
    assert any(fold(needle) in text for text in (*texts, *map(fold, headerText(header)))) is inMessage


@pytest.mark.parametrize(
    ("header", "needle"),
    [
        (b'Content-Type: application/pdf; name="invoice.pdf"', "Invoice.PDF"),
        (b"Content-Disposition: attachment; filename*=UTF-8''sch%C3%B6n%20%281%29.pdf", "schön (1).pdf"),
        (b"Content-Disposition: attachment; filename*0=in; filename*1=voice", "invoice"),
        (b'Content-Disposition: attachment; filename="=?utf-8?q?sch=C3=B6n?="', "SCHÖN"),
        (b"Content-ID: <part1@example.org>", "part1@example"),
        (b"Content-Description: a plan", "description: a plan"),
    ],
)
def test_headersOfPartsAreSoughtAsPeopleReadThem(header: bytes, needle: str) -> None:
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + header + b"\r\n\r\nx\r\n--b--\r\n"
    part = parse(octets)
    assert any(fold(needle) in text for text in whole(foldedParts(part, octets)))
    assert not any(fold(needle) in text for text in whole(foldedBody(part, octets)))


def whole(steps: Generator[None, None, list[str]]) -> list[str]:
    """What the steps come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def bodyText(part: Part, octets: bytes) -> Iterator[str]:
    """What `foldedBody` gathers, not folded, as one would say it."""
    if part.mediaType == b"text":
        text = partText(part, octets)
        yield "".join(plainOfHtml(text)) if part.subtype == b"html" else text
    for child in part.children:
        if part.isMessage:
            yield from headerText(octets[child.start : child.bodyStart])
        yield from bodyText(child, octets)


@given(st.one_of(samples.mutatedMessages(), st.binary(max_size=200)))
@settings(deadline=None)
def test_anyMessageIsSearched(octets: bytes) -> None:
    part = parse(octets)
    for text in (
        *bodyText(part, octets),
        *headerText(octets[: part.bodyStart]),
        *whole(foldedParts(part, octets)),
    ):
        text.encode("utf-8")
        fold(text)


def foldedAtOnce(octets: bytes) -> tuple[list[str], int]:
    """What the steps come to, and how many there were."""
    steps, count = foldedBody(parse(octets), octets), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


@pytest.mark.parametrize(
    "octets", [MESSAGE, HEADER, b"", b"\r\nplain", b"\r\n" + "Gr\u00fc\u00dfe e\u0301".encode() * 9000]
)
def test_stepByStepComesTheSameOut(octets: bytes) -> None:
    assert foldedAtOnce(octets)[0] == [fold(text) for text in bodyText(parse(octets), octets)]


def test_tagsWithoutEndAreManySteps() -> None:
    octets = b"Content-Type: text/html\r\n\r\n" + b"<b>" * 100_000 + b"x"
    texts, steps = foldedAtOnce(octets)
    assert texts == ["x"]
    assert steps > 20
