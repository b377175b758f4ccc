"""Previews (RFC 8970), and HTML read as text."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.message import bounds
from jindimail.message.preview import preview
from jindimail.message.structure import parse
from jindimail.message.text import plainOfHtml
from tests.message import samples


def previewOf(octets: bytes) -> str:
    return preview(parse(octets), octets)


def html(source: str) -> bytes:
    return b"Content-Type: text/html; charset=utf-8\r\n\r\n" + source.encode()


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"\r\n  two\r\n\r\n   words \0 \r\n", "two words"),
        (b"", ""),
        (b"Subject: x\r\n\r\n", ""),
        (b"Content-Type: image/png\r\n\r\nabc", ""),
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9", "café"),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode("Grüße".encode()), "Grüße"),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\na=\r\nb =C3=A9", "ab é"),
        (samples.PREAMBLE, "This is implicitly typed plain US-ASCII text. It does NOT end with a linebreak."),
        (samples.RICH, "café"),
        (samples.FORWARD, "hello"),
        (samples.UNCLOSED, "first"),
        (html("<html><head><title>T</title><style>p { x }</style></head><p>Fish &amp; <b>ch</b>ips<br>now</p>"), "Fish & chips now"),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--b\r\n"
            b"Content-Disposition: Attachment; filename=x\r\n\r\nattached\r\n--b\r\n\r\nplain\r\n--b--",
            "plain",
        ),
    ],
)  # fmt: skip
def test_previewIsOneLineOfText(octets: bytes, expected: str) -> None:
    assert previewOf(octets) == expected


def test_firstOfSeveralTextsIsShown() -> None:
    parts = b"".join(
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>" + text + b"\r\n" for text in (b"", b"first", b"second")
    )
    assert (
        previewOf(
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
            + parts.replace(b"<p>\r\n", b"\r\n")
            + b"--b--"
        )
        == "first"
    )


def test_previewIsBounded() -> None:
    words = previewOf(b"\r\n" + b"word " * 10_000)
    assert words == ("word " * 40).strip()
    assert len(previewOf(b"\r\n" + b"x" * 100_000)) == bounds.previewChars
    assert len(previewOf(html("<p>x</p>" * 10_000))) >= bounds.previewChars // 2


def test_textThatBeginsWithMuchWhiteSpaceStillFillsThePreview() -> None:
    octets = b"\r\n" + b" \t\r\n" * 150 + b"word " * 100
    assert preview(parse(octets), octets) == ("word " * 40).rstrip()


def test_widestCharactersStillFillThePreview() -> None:
    text = base64.encodebytes(("漢" * 1000).encode()).replace(b"\n", b"\r\n")
    octets = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + text
    assert previewOf(octets) == "漢" * bounds.previewChars


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a<b>b</b>c", "abc"),
        ("a<br>b", "a b"),
        ("a<BR/>b", "a b"),
        ("1 < 2 <3", "1 < 2 <3"),
        ("<!-- x > y -->z<!-- open", "z"),
        ("<!DOCTYPE html><?xml x?>a", "  a"),
        ("<script>if (a</b>) {}</SCRIPT >x", " x"),
        ("<style>never closed", " "),
        ("</style>x", " x"),
        ("a<p", "a"),
        ("&lt;p&gt; &#8364; &#x20AC; &nosuch; &", "<p> € € &nosuch; &"),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
        ("&#xD800;", "\ufffd"),
        ("", ""),
    ],
)
def test_htmlIsMadePlain(source: str, expected: str) -> None:
    assert "".join(plainOfHtml(source)) == expected


@given(
    st.lists(
        st.sampled_from(
            [
                "<",
                ">",
                "</",
                "<!--",
                "-->",
                "style",
                "script",
                "p",
                " ",
                "&",
                "#",
                "x",
                "1",
                ";",
                "é",
                "İ",
                "\0",
            ]
        )
    ).map("".join)
)
def test_anyHtmlIsMadePlain(source: str) -> None:
    "".join(plainOfHtml(source)).encode("utf-8")


@given(samples.mutatedMessages())
def test_anyMessageHasAPreviewThatCanBeStored(octets: bytes) -> None:
    line = previewOf(octets)
    assert len(line) <= bounds.previewChars and line == " ".join(line.split())
    line.encode("utf-8")
