"""The tree of parts: against the RFCs' examples, against CPython's email package, and under its bounds."""

import email
import email.message
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.message import bounds
from jindimail.message.structure import Part, parse
from tests.message import samples


def shape(part: Part) -> Any:
    name = (part.mediaType + b"/" + part.subtype).decode("latin-1")
    return [name, *map(shape, part.children)] if part.children else name


def bodies(octets: bytes) -> list[bytes]:
    return [octets[each.bodyStart : each.end] for each in parse(octets).walk() if not each.children]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gray", "text/plain"),
        ("preamble", ["multipart/mixed", "text/plain", "text/plain"]),
        (
            "nested",
            [
                "multipart/mixed",
                "text/plain",
                "application/octet-stream",
                ["message/rfc822", ["multipart/mixed", "text/plain", "application/octet-stream"]],
                [
                    "multipart/mixed",
                    "image/gif",
                    [
                        "message/rfc822",
                        [
                            "multipart/mixed",
                            "text/plain",
                            ["multipart/alternative", "text/plain", "text/richtext"],
                        ],
                    ],
                ],
            ],
        ),
        ("prefixes", ["multipart/mixed", ["multipart/mixed", "text/plain", "text/plain"], "text/plain"]),
        ("digest", ["multipart/digest", ["message/rfc822", "text/plain"], "text/plain"]),
        ("forward", ["message/rfc822", "text/plain"]),
        ("unclosed", ["multipart/mixed", "text/plain", "text/html"]),
        ("rich", ["multipart/related", "text/html", "application/pdf"]),
        ("bare line feeds", ["multipart/mixed", "text/plain", "text/plain"]),
        ("empty", "text/plain"),
        ("garbage", "text/plain"),
    ],
)
def test_sampleHasItsTree(name: str, expected: Any) -> None:
    assert shape(parse(samples.ALL[name])) == expected


def test_lineEndBeforeDelimiterBelongsToTheDelimiter() -> None:
    assert bodies(samples.PREAMBLE) == [
        b"This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.",
        b"This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n",
    ]


def test_bareLineFeedsPartTheSameWay() -> None:
    octets = samples.ALL["bare line feeds"]
    assert bodies(octets) == [body.replace(b"\r\n", b"\n") for body in bodies(samples.PREAMBLE)]


def test_boundaryMayBeTheBeginningOfAnother() -> None:
    assert bodies(samples.PREFIXES) == [b"inner one", b"inner two", b"outer two"]


def test_boundaryInExtendedFormIsFound() -> None:
    octets = b"Content-Type: multipart/mixed; boundary*=\"us-ascii''a%62\"\r\n\r\n--ab\r\n\r\nx\r\n--ab--"
    assert bodies(octets) == [b"x"]


def test_missingCloseDelimiterEndsWithItsContainer() -> None:
    assert bodies(samples.UNCLOSED) == [b"first", b"second, and the end is lost\r\n"]


def test_outerDelimiterEndsInnerParts() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"
        b"--i\r\n\r\nunclosed\r\n--o\r\n\r\nnext\r\n--o--\r\n"
    )
    assert shape(parse(octets)) == ["multipart/mixed", ["multipart/mixed", "text/plain"], "text/plain"]
    assert bodies(octets) == [b"unclosed", b"next"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--b\r\n\r\nx\r\n--b--", [b"x"]),
        (b"--b \t\r\n\r\nx\r\n--b-- \r\n", [b"x"]),
        (b"--b\r\n--b\r\n--b--", None),
        (b"--b\r\n--b\r\n\r\nx\r\n--b\r\n--b--", [b"x"]),
        (b"--b\r\n\r\n--b\r\n\n--b--", [b"", b""]),
        (b"--b\r\nContent-Type: text/html\r\nno blank line\r\n--b--", [b"no blank line"]),
        (b"--b\r\nbroken line\r\nContent-Type: text/html\r\n\r\nbody\r\n--b--", [b"body"]),
        (b"--b\r\n\r\n--b--", [b""]),
        (b"--b\r\n\r\n\r\n--b--", [b""]),
        (b"--b\r\n\r\n\r\n\r\n--b--", [b"\r\n"]),
        (b"x--b\r\n\r\ny\r\n--b--", None),
        (b"--b--\r\n", None),
        (b"--b\r\n", None),
        (b"--b\r\n\r\nx\r\n--b", [b"x"]),
        (b"--b\r\n\r\nx\r\n--bb\r\ny\r\n--b--", [b"x\r\n--bb\r\ny"]),
        (b"--b\r\n\r\nx\r\n --b\r\ny\r\n--b--", [b"x\r\n --b\r\ny"]),
        (b"--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\nafter the close\r\n--b--", [b"x"]),
        (b"--b--\r\n--b\r\n\r\nx\r\n", None),
        (b"nothing here", None),
    ],
)
def test_delimiterLines(body: bytes, expected: list[bytes] | None) -> None:
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body
    if expected is None:
        assert (shape(parse(octets)), bodies(octets)) == ("text/plain", [body])
    else:
        assert bodies(octets) == expected
    holdsTogether(parse(octets))


INNER = b"--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
FORWARDED = b"--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
ONE, TWO, CLOSE = b"--b\r\n\r\none\r\n", b"--b\r\nContent-Type: text/html\r\n\r\ntwo\r\n", b"--b--\r\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (INNER + ONE + CLOSE + TWO + CLOSE, [["multipart/alternative", "text/plain"], "text/html"]),
        (INNER + ONE + CLOSE + CLOSE, [["multipart/alternative", "text/plain"]]),
        (ONE + INNER + ONE + TWO + CLOSE + TWO, ["text/plain", ["multipart/alternative", "text/plain", "text/html"], "text/html"]),
        (
            INNER + INNER + ONE + CLOSE + TWO + CLOSE + TWO + CLOSE,
            [["multipart/alternative", ["multipart/alternative", "text/plain"], "text/html"], "text/html"],
        ),
        (
            FORWARDED + ONE + CLOSE + TWO + CLOSE,
            [["message/rfc822", ["multipart/mixed", "text/plain"]], "text/html"],
        ),
        (INNER + ONE + TWO + CLOSE, ["text/plain", "text/plain", "text/html"]),
        (INNER + ONE + TWO, ["text/plain", "text/plain", "text/html"]),
        (ONE + CLOSE + TWO + CLOSE, ["text/plain"]),
    ],
)  # fmt: skip
def test_innerMultipartOfTheSameBoundaryHidesNothing(body: bytes, expected: list[Any]) -> None:
    """Outlook Express for the Mac wrote such messages: their attachments are behind the inner multipart."""
    part = parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body)
    assert shape(part) == ["multipart/mixed", *expected]
    holdsTogether(part)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/HTML", "text/html"),
        (b"text / html", "text/html"),
        (b"(a comment) text/html", "text/html"),
        (b"text/html charset=utf-8", "text/plain"),
        (b"text", "text/plain"),
        (b"/", "text/plain"),
        (b"text/", "text/plain"),
        (b"", "text/plain"),
        (b"multipart/mixed", "text/plain"),
        (b"multipart/mixed; boundary=", "text/plain"),
        (b"message/partial; id=1", "message/partial"),
        (b"message/rfc822\0", "text/plain"),
        (b"te\xffxt/html", "text/plain"),
        (b"message/global", ["message/global", "text/plain"]),
        (b"application/x (comment)", "application/x"),
        (b"text/calendar;;; method=REQUEST", "text/calendar"),
    ],
)
def test_contentTypeIsReadTolerantly(value: bytes, expected: Any) -> None:
    assert shape(parse(b"Content-Type: " + value + b"\r\n\r\nbody")) == expected


def test_encodedMessagePartIsOpaque() -> None:
    octets = samples.FORWARD.replace(b"7bit", b"base64")
    assert shape(parse(octets)) == "application/octet-stream"
    commented = samples.FORWARD.replace(b"7bit", b"7bit (as it should be)")
    assert shape(parse(commented)) == shape(parse(samples.FORWARD))


def test_commentsAreNoPartOfEncodingAndLanguage() -> None:
    part = parse(
        b"Content-Transfer-Encoding: (x) Base64 (y)\r\nContent-Language: en (English), (Deutsch) de\r\n\r\neA=="
    )
    assert (part.encoding, part.language) == (b"base64", (b"en", b"de"))


def test_fieldsOfAPart() -> None:
    html, pdf = parse(samples.RICH).children
    assert html.contentId == b"<s@x>"
    assert html.description == b'a "quoted" thing'
    assert html.encoding == b"quoted-printable"
    assert html.language == (b"en", b"de-AT")
    assert html.location == b"https://example.org/a"
    assert html.disposition == (b"inline", ())
    assert html.octets == len(b"<p>caf=C3=A9</p>")
    assert pdf.disposition == (b"attachment", ((b"filename", b"a (1).pdf"), (b"size", b"3")))
    assert pdf.parameters == ((b"name*", b"utf-8''%e2%82%ac%20rates.pdf"),)


def test_linesAreLineEndsOfTheBody() -> None:
    part = parse(samples.GRAY)
    assert (part.bodyStart, part.octets, part.lines) == (342, 3028, 92)


def test_otherKindsOfOctetsAreTaken() -> None:
    for kind in (bytearray, memoryview):
        assert parse(kind(samples.NESTED)) == parse(samples.NESTED)


def agrees(octets: bytes, part: Part, message: email.message.Message, built: samples.Built) -> None:
    """Part, CPython's reading and what was built say the same."""
    assert (
        f"{part.mediaType.decode()}/{part.subtype.decode()}" == message.get_content_type() == built.mediaType
    )
    assert octets[part.start : part.end] == built.octets
    assert octets[part.bodyStart : part.end] == built.body
    if built.children:
        found = message.get_payload()
        assert isinstance(found, list) and len(found) == len(part.children) == len(built.children)
        for inner, other, expected in zip(part.children, found, built.children, strict=True):
            agrees(octets, inner, other, expected)
    else:
        assert message.get_payload(decode=True) == built.body


@given(samples.builtMessages())
@settings(deadline=None)
def test_readsWellFormedMessagesAsCPythonDoes(built: samples.Built) -> None:
    agrees(built.octets, parse(built.octets), email.message_from_bytes(built.octets), built)


def holdsTogether(part: Part) -> None:
    """Ranges are in order, and children lie within the body, in order, apart."""
    assert part.start <= part.bodyStart <= part.end
    at = part.bodyStart
    for child in part.children:
        assert at <= child.start and child.end <= part.end
        at = child.end
        holdsTogether(child)


@given(st.one_of(samples.mutatedMessages(), st.binary(max_size=200)))
@settings(deadline=None, max_examples=300)
def test_rangesNestWhateverTheOctets(octets: bytes) -> None:
    part = parse(octets)
    assert (part.start, part.end) == (0, len(octets))
    holdsTogether(part)


class CountingOctets(bytes):
    """Octets that count how many of them are looked at."""

    looked = 0
    finds = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        self.finds += 1
        end = len(self) if end is None else end
        found = super().find(sub, start, end)
        self.looked += max(0, (end if found < 0 else found + len(sub)) - start)
        return found

    def count(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        self.looked += (len(self) if end is None else end) - start
        return super().count(sub, start, end)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.looked += len(found) if isinstance(found, bytes) else 1
        return found


def nest(levels: int, leaf: bytes) -> bytes:
    header = b"Content-Type: message/rfc822\r\n\r\n"
    return header * levels + b"\r\n" + leaf


def manyParts(count: int) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * count + b"--b--\r\n"


def test_depthIsBounded() -> None:
    deepest = [*parse(nest(200, b"x")).walk()][-1]
    assert len([*parse(nest(200, b"x")).walk()]) == bounds.depthMax + 1
    assert (deepest.mediaType, deepest.children) == (b"application", ())


def test_numberOfPartsIsBoundedAndTheLastTakesTheRest() -> None:
    octets = manyParts(5000)
    part = parse(octets)
    assert len([*part.walk()]) == bounds.partsMax
    assert part.children[-1].end == part.end
    assert len(parse(manyParts(10)).children) == 10


def test_linesLikeABoundaryAreBounded() -> None:
    counting = CountingOctets(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + b"\r\n--bb" * 50_000
    )
    (child,) = parse(counting).children
    assert child.end == len(counting)
    assert counting.finds <= 2 * bounds.delimitersMax + 10


def test_fieldsReadAreBounded() -> None:
    octets = (
        b"".join(b"X-%d: y\r\n" % number for number in range(5000)) + b"Content-Type: text/html\r\n\r\nbody"
    )
    part = parse(octets)
    assert len(part.fields) == bounds.fieldsMax
    assert octets[part.bodyStart :] == b"body"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(nest(200, b"x\r\n" * 100_000), id="nested messages"),
        pytest.param(manyParts(30_000), id="many parts"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--bb" * 50_000, id="near boundaries"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\n--b" * 50_000, id="bare boundaries"),
        pytest.param(
            b"".join(b"Content-Type: multipart/x; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(100)) + b"x" * 300_000,
            id="nested multiparts",
        ),
        pytest.param(b"a: b\r\n" * 50_000, id="endless header"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\n--b\nContent-Type: multipart/mixed; boundary=b\n\n" * 9000, id="same boundary inside"),
    ],
)  # fmt: skip
def test_workIsBoundedByTheSize(octets: bytes) -> None:
    counting = CountingOctets(octets)
    parse(counting)
    assert 0 < counting.looked <= 2 * (bounds.scanFactorMax * len(octets) + bounds.scanOctetsMin)
