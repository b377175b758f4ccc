"""Parameters of Content-Type and Content-Disposition (RFC 2045, RFC 2231)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.message import bounds
from jindimail.message.parameters import parameterText, parseParameters


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain", (b"text/plain", ())),
        (b" Text/Plain ; Charset=US-ASCII (Plain text)", (b"text/plain", ((b"charset", b"US-ASCII"),))),
        (b'text/plain; charset="us-ascii"', (b"text/plain", ((b"charset", b"us-ascii"),))),
        (b'a/b; n="x;y=\\"z\\""; m=1', (b"a/b", ((b"n", b'x;y="z"'), (b"m", b"1")))),
        (b"a/b; name=my file (1).pdf; x=y", (b"a/b", ((b"name", b"my file  .pdf"), (b"x", b"y")))),
        (b"a/b; name=doc(1).pdf", (b"a/b", ((b"name", b"doc(1).pdf"),))),
        (b'a/b; name="open', (b"a/b", ((b"name", b"open"),))),
        (b"a/b;;; ; c = d ;", (b"a/b", ((b"c", b"d"),))),
        (b"a/b; c; d=e", (b"a/b", ((b"d", b"e"),))),
        (b"a/b; c=", (b"a/b", ((b"c", b""),))),
        (b"a/b; c=caf\xc3\xa9", (b"a/b", ((b"c", b"caf\xc3\xa9"),))),
        (b"", (b"", ())),
        # RFC 2231 §3, §4
        (
            b'message/external-body; access-type=URL; URL*0="ftp://"; URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"',
            (
                b"message/external-body",
                (
                    (b"access-type", b"URL"),
                    (b"url", b"ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"),
                ),
            ),
        ),
        (
            b"application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            (b"application/x-stuff", ((b"title*", b"us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),)),
        ),
        (
            b"application/x-stuff; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*0*=us-ascii'en'This%20is%20even%20more%20; title*2=\"isn't it!\"",
            (
                b"application/x-stuff",
                (
                    (
                        b"title*",
                        b"us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it%21",
                    ),
                ),
            ),
        ),
    ],
)
def test_parametersAreRead(value: bytes, expected: object) -> None:
    assert parseParameters(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "This is ***fun***"),
        (b"a; title*0*=us-ascii'en'This%20is; title*1=\" 100%\"", "This is 100%"),
        (b"a; title*=utf-8''%e2%82%ac%20rates; title=x", "€ rates"),
        (b"a; title*=%e2%82%ac", "€"),
        (b"a; title*=iso-8859-1''%e9%zz%", "é%zz%"),
        (b'a; title="=?utf-8?q?caf=C3=A9?="', "café"),
        (b"a; title=caf\xe9", "café"),
        (b"a; other=x", None),
    ],
)
def test_textOfAParameter(value: bytes, expected: str | None) -> None:
    assert parameterText(parseParameters(value)[1], b"title") == expected


def test_octetsReadAreBounded() -> None:
    ((_, found),) = parseParameters(b"a;b=" + b"c" * 1_000_000)[1]
    assert len(found) == bounds.valueOctetsMax - 4


def test_numberIsBounded() -> None:
    assert len(parseParameters(b"a" + b";b=c" * 10_000)[1]) == bounds.parametersMax


@given(
    st.one_of(
        st.binary(),
        st.lists(
            st.sampled_from(
                [b";", b"a", b"=", b'"', b"\\", b"*0", b"*1*", b"*", b"'", b"%", b"(", b")", b" ", b"\xff"]
            )
        ).map(b"".join),
    )
)
def test_anyValueIsRead(value: bytes) -> None:
    _, parameters = parseParameters(value)
    for name, _ in parameters:
        text = parameterText(parameters, name.rstrip(b"*"))
        assert text is None or text.encode("utf-8") is not None
