"""ENVELOPE, BODY and BODYSTRUCTURE: the RFCs' examples, their grammar, and that BODY follows from BODYSTRUCTURE."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.message import bounds, imapform
from jindimail.message.structure import parse
from tests.message import samples


class Reader:
    """A strict reader of RFC 3501's grammar, written apart from the writer: lists, strings, numbers, NIL."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.at = octets, 0

    def take(self, pattern: bytes) -> re.Match[bytes]:
        match = re.compile(pattern, re.DOTALL).match(self.octets, self.at)
        assert match, (pattern, self.octets[self.at :])
        self.at = match.end()
        return match

    def looksAt(self, octets: bytes) -> bool:
        return self.octets.startswith(octets, self.at)

    def nstring(self) -> bytes | None:
        if self.looksAt(b"NIL"):
            self.at += 3
            return None
        return self.string()

    def string(self) -> bytes:
        if self.looksAt(b"{"):
            size = int(self.take(rb"\{([0-9]+)\}\r\n")[1])
            self.at += size
            literal = self.octets[self.at - size : self.at]
            assert len(literal) == size and b"\0" not in literal
            return literal
        return re.sub(
            rb"\\(.)",
            rb"\1",
            self.take(rb'"((?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"')[1],
        )

    def number(self) -> int:
        return int(self.take(rb"[0-9]+")[0])

    def space(self) -> None:
        self.take(b" ")

    def parameters(self) -> list[tuple[bytes, bytes]] | None:
        if self.looksAt(b"NIL"):
            return self.nstring()  # type: ignore[return-value]
        found = []
        self.take(rb"\(")
        while True:
            name = self.string()
            self.space()
            found.append((name, self.string()))
            if self.take(rb"[ )]")[0] == b")":
                return found

    def addresses(self) -> list[list[bytes | None]] | None:
        if self.looksAt(b"NIL"):
            return self.nstring()  # type: ignore[return-value]
        found = []
        self.take(rb"\(")
        while not self.looksAt(b")"):
            self.take(rb"\(")
            address = [self.nstring()]
            for _ in range(3):
                self.space()
                address.append(self.nstring())
            self.take(rb"\)")
            found.append(address)
        self.take(rb"\)")
        assert found
        return found

    def envelope(self) -> list[Any]:
        self.take(rb"\(")
        found: list[Any] = []
        for index in range(10):
            if index:
                self.space()
            found.append(self.addresses() if 2 <= index <= 7 else self.nstring())
        self.take(rb"\)")
        return found

    def body(self, extended: bool) -> dict[str, Any]:
        self.take(rb"\(")
        found = self.multipart(extended) if self.looksAt(b"(") else self.single(extended)
        self.take(rb"\)")
        return found

    def multipart(self, extended: bool) -> dict[str, Any]:
        children = []
        while self.looksAt(b"("):
            children.append(self.body(extended))
        self.space()
        found: dict[str, Any] = {"children": children, "subtype": self.string()}
        if extended:
            self.space()
            found["parameters"] = self.parameters()
            self.extension(found)
        return found

    def single(self, extended: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"type": self.string()}
        self.space()
        found["subtype"] = self.string()
        self.space()
        found["parameters"] = self.parameters()
        for name in ("id", "description"):
            self.space()
            found[name] = self.nstring()
        self.space()
        found["encoding"] = self.string()
        self.space()
        found["octets"] = self.number()
        if (found["type"], found["subtype"]) == (b"message", b"rfc822"):
            self.space()
            found["envelope"] = self.envelope()
            self.space()
            found["body"] = self.body(extended)
        if found["type"] == b"text" or "body" in found:
            self.space()
            found["lines"] = self.number()
        if extended:
            self.space()
            found["md5"] = self.nstring()
            self.extension(found)
        return found

    def extension(self, found: dict[str, Any]) -> None:
        self.space()
        if self.looksAt(b"NIL"):
            found["disposition"] = self.nstring()
        else:
            self.take(rb"\(")
            kind = self.string()
            self.space()
            found["disposition"] = (kind, self.parameters())
            self.take(rb"\)")
        self.space()
        if self.looksAt(b"("):
            self.take(rb"\(")
            found["language"] = [self.string()]
            while self.take(rb"[ )]")[0] == b" ":
                found["language"].append(self.string())
        else:
            found["language"] = self.nstring()
        self.space()
        found["location"] = self.nstring()

    def end(self) -> None:
        assert self.at == len(self.octets)


def test_exampleOfRfc3501() -> None:
    part = parse(samples.GRAY)
    assert imapform.envelope(part.fields) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes"'
        b' (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu"))'
        b' (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu"))'
        b' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL'
        b' "<B27397-0100000@cac.washington.edu>")'
    )
    assert imapform.body(part) == b'("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 3028 92)'


def test_exampleOfRfc2046() -> None:
    assert imapform.body(parse(samples.PREAMBLE)) == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 80 1)'
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 78 2) "mixed")'
    )


def test_bodystructureHasAllExtensionData() -> None:
    assert imapform.bodystructure(parse(samples.RICH)) == (
        b'(("text" "html" ("charset" "utf-8") "<s@x>" "a \\"quoted\\" thing" "quoted-printable" 16 0'
        b' "Q2hlY2sgSW50ZWdyaXR5IQ==" ("inline" NIL) ("en" "de-AT") "https://example.org/a")'
        b'("application" "pdf" ("name*" "utf-8\'\'%e2%82%ac%20rates.pdf") NIL NIL "base64" 4'
        b' NIL ("attachment" ("filename" "a (1).pdf" "size" "3")) NIL NIL)'
        b' "related" ("boundary" "r" "type" "text/html" "start" "<s@x>") NIL NIL NIL)'
    )


def test_messageInMessageCarriesItsEnvelope() -> None:
    assert imapform.body(parse(samples.FORWARD)) == (
        b'("message" "rfc822" NIL NIL NIL "7bit" 50 (NIL "inner" ((NIL NIL "inner" "example.org"))'
        b' ((NIL NIL "inner" "example.org")) ((NIL NIL "inner" "example.org")) NIL NIL NIL NIL NIL)'
        b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1) 4)'
    )


def test_internationalMessageInMessageHasNoEnvelope() -> None:
    """Clients of RFC 3501 expect one in message/rfc822 only, and a digest in its place."""
    part = parse(b"Content-Type: message/global\r\n\r\nSubject: x\r\n\r\nbody\r\n")
    assert imapform.bodystructure(part) == b'("message" "global" NIL NIL NIL "7bit" 20 NIL NIL NIL NIL)'
    assert imapform.body(part) == b'("message" "global" NIL NIL NIL "7bit" 20)'
    assert imapform.bodyOf(imapform.bodystructure(part)) == imapform.body(part)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        ({b"subject": b""}, b'(NIL "" NIL NIL NIL NIL NIL NIL NIL NIL)'),
        ({b"to": b""}, b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (
            {b"from": b"a@b", b"sender": b"c@d", b"reply-to": b""},
            b'(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)',
        ),
        (
            {b"to": b"A Group: x@y, b;"},
            b'(NIL NIL NIL NIL NIL ((NIL NIL "A Group" NIL)(NIL NIL "x" "y")(NIL NIL "b" "")(NIL NIL NIL NIL))'
            b" NIL NIL NIL NIL)",
        ),
        (
            {b"in-reply-to": b"<a@b>", b"message-id": b"<c@d>"},
            b'(NIL NIL NIL NIL NIL NIL NIL NIL "<a@b>" "<c@d>")',
        ),
    ],
)
def test_envelopeOfFields(fields: dict[bytes, bytes], expected: bytes) -> None:
    assert imapform.envelope(fields) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b"NIL", b'"NIL"'),
        (b"plain\ttext", b'"plain\ttext"'),
        (b'say "a\\b"', b'"say \\"a\\\\b\\""'),
        (b"caf\xc3\xa9", b"{5}\r\ncaf\xc3\xa9"),
        (b'\xff"\\', b'{3}\r\n\xff"\\'),
        (b"a\r\nb\rc\nd", b'"a b c d"'),
        (b"a\0b\0", b'"ab"'),
        (b"a\0\r\nb", b'"a b"'),
        (b"\0\xff", b"{1}\r\n\xff"),
        (b"\x7f\x01", b'"\x7f\x01"'),
        (b"x" * 20_000, b'"' + b"x" * bounds.stringOctetsMax + b'"'),
    ],
)
def test_stringIsSafeOnTheWire(value: bytes | None, expected: bytes) -> None:
    assert imapform.string(value) == expected


@given(st.binary(max_size=60))
def test_anyStringIsReadAsWhatItWas(value: bytes) -> None:
    reader = Reader(imapform.string(value))
    assert reader.string() == re.sub(
        rb"[\r\n\0]+", lambda match: b" " if match[0].strip(b"\0") else b"", value
    )
    reader.end()


@given(
    st.one_of(
        samples.mutatedMessages(),
        st.binary(max_size=200),
        samples.builtMessages().map(lambda built: built.octets),
    )
)
@settings(deadline=None, max_examples=400)
def test_anyMessageGivesGrammaticalForms(octets: bytes) -> None:
    part = parse(octets)
    full, short = imapform.bodystructure(part), imapform.body(part)
    for form, extended in ((full, True), (short, False)):
        reader = Reader(form)
        reader.body(extended)
        reader.end()
    reader = Reader(imapform.envelope(part.fields))
    reader.envelope()
    reader.end()
    assert imapform.bodyOf(full) == short


@pytest.mark.parametrize("name", sorted(samples.ALL))
def test_bodyFollowsFromBodystructure(name: str) -> None:
    part = parse(samples.ALL[name])
    assert imapform.bodyOf(imapform.bodystructure(part)) == imapform.body(part)


def test_sizesInTheFormAreThoseOfTheParts() -> None:
    found = Reader(imapform.bodystructure(parse(samples.NESTED))).body(True)
    inner = found["children"][2]["body"]
    assert [child["octets"] for child in inner["children"]] == [len(b"three one"), len(b"three two")]
    assert found["children"][3]["children"][1]["envelope"][1] == b"four two"


def test_deepestNestIsWritten() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\n" * 300
    part = parse(octets)
    assert imapform.bodyOf(imapform.bodystructure(part)) == imapform.body(part)
    assert imapform.body(part).count(b'"rfc822"') == bounds.depthMax
