"""Encoded words (RFC 2047), character sets and transfer encodings: read when right, survived when wrong."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.message.charsets import codecOf, decode
from jindimail.message.transfer import decodeBase64, decodeTransfer
from jindimail.message.words import decodeWords


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 2047 §8
        (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        (b"=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>", "André Pirard <PIRARD@vm1.ulg.ac.be>"),
        (
            b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
        (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
        # RFC 2231 §5
        (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
        # a character split over two words
        (b"=?utf-8?B?4oI=?= =?UTF-8?B?rA==?=", "€"),
        (b"=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=", "café"),
        # broken
        (b"=?utf-8?q?spaces in it?=", "spaces in it"),
        (b"=?utf-8?b?YWJ?=", "ab"),
        (b"=?no-such-set?q?caf=E9?=", "café"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?open", "=?utf-8?q?open"),
        (b" a  =?utf-8?q?b?=  c ", " a  b  c "),
        (b"caf\xc3\xa9 \xe2\x82", "café "),
        (b"caf\xe9", "café"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?gb2312?B?1tDOxA==?=", "中文"),
        (b"=?idna?q?xn--a?= =?unicode_escape?q?=5Cx41?= =?rot13?q?a?=", "xn--a\\x41a"),
        (b"", ""),
    ],
)
def test_wordsAreDecoded(value: bytes, expected: str) -> None:
    assert decodeWords(value) == expected


@given(
    st.one_of(
        st.binary(),
        st.lists(
            st.sampled_from(
                [b"=?", b"utf-7", b"utf-8", b"?q?", b"?b?", b"?=", b" ", b"+2AA-", b"=", b"\xff", b"*"]
            )
        ).map(b"".join),
    )
)
def test_anyValueGivesTextThatCanBeStored(value: bytes) -> None:
    decodeWords(value).encode("utf-8")


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["utf-8", "utf-16", "utf-7", "gb18030", "utf_32_be"]),
)
def test_whatACodecWroteIsReadBack(text: str, charset: str) -> None:
    assert decode(text.encode(charset), charset.upper()) == text


@pytest.mark.parametrize(
    ("charset", "octets", "expected"),
    [
        ("ISO-8859-1", b"\x93q\x94", "“q”"),
        ("us-ascii", b"caf\xc3\xa9", "café"),
        ("utf-8", b"caf\xe9!", "caf\ufffd!"),
        ("", b"\xc3\xa9 caf\xc3", "é caf"),
        ("windows-1251", b"\xcf\xf0\xe8", "При"),
        ("KOI8-U", b"\xf0\xd2\xc9", "При"),
        ("iso-8859-15", b"\xa4", "€"),
        ("ks_c_5601-1987", b"\xc7\xd1", "한"),
        ("ISO-8859-8-I", b"\xf9\xec\xe5\xed", "שלום"),
        ("Windows-31J", b"\x93\xfa\x96{", "日本"),
        ("x-gbk", b"\xd6\xd0", "中"),
        ("iso-8859-6-e", b"\xe5\xd1", "مر"),
        ("utf-7", b"+2AA-", "\ufffd"),
        ("x" * 10_000, b"a", "a"),
        ("\0", b"\xff", "ÿ"),
    ],
)
def test_charsetsAreReadAsSendersMeanThem(charset: str, octets: bytes, expected: str) -> None:
    assert decode(octets, charset) == expected


@pytest.mark.parametrize(
    "charset",
    [
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "undefined",
        "zlib",
        "rot13",
        "uu",
        "hex",
        "mbcs",
        "oem",
    ],
)
def test_codecsThatAreNoCharsetsAreUnknown(charset: str) -> None:
    assert codecOf(charset) is None


def test_everyKnownCodecExistsAndSurvivesGarbage() -> None:
    from jindimail.message import charsets

    garbage = bytes(range(256)) + b"\x1b$B\x1b(J~{~}+AAA-\xd8\x00"
    for label, codec in charsets._TABLE.items():
        codecs.lookup(codec)
        for octets in (garbage, garbage[::-1]):
            decode(octets, label).encode("utf-8")


def test_unknownCharsetsAreNotRemembered() -> None:
    import encodings

    before = len(encodings._cache)  # type: ignore[attr-defined]
    for number in range(50):
        decode(b"\xff", f"x-unknown-{number}")
    assert len(encodings._cache) - before <= 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"QUJD", b"ABC"),
        (b"QU\r\nJD\r\n", b"ABC"),
        (b"QUI", b"AB"),
        (b"QUJDR", b"ABC"),
        (b"QU!JD*", b"ABC"),
        (b"", b""),
        (b"=", b""),
        (b"Q", b""),
    ],
)
def test_base64IsReadTolerantly(octets: bytes, expected: bytes) -> None:
    assert decodeBase64(octets) == expected


@given(
    st.binary(),
    st.sampled_from([b"base64", b"quoted-printable", b"7bit", b"8bit", b"binary", b"x-uuencode", b""]),
)
def test_noTransferEncodingRaises(octets: bytes, encoding: bytes) -> None:
    decoded = decodeTransfer(octets, encoding)
    if encoding not in (b"base64", b"quoted-printable"):
        assert decoded == octets
