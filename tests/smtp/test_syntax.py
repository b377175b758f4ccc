from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.smtp import syntax
from jindimail.smtp.syntax import BadRecipient, BadSender, BadSyntax, Chunk, Mail, NeedsUtf8, UnknownParameter

GOOD_PATHS = {
    "<joe@example.org>": "joe@example.org",
    "<Joe.Blow@Example.ORG>": "Joe.Blow@Example.ORG",
    "<joe+tag=x@example.org>": "joe+tag=x@example.org",
    "<!#$%&'*+-/=?^_`{|}~@b.c>": "!#$%&'*+-/=?^_`{|}~@b.c",
    '<"joe"@b.c>': "joe@b.c",
    '<"joe blow"@b.c>': '"joe blow"@b.c',
    '<"joe.blow"@b.c>': "joe.blow@b.c",
    '<"j\\oe"@b.c>': "joe@b.c",
    '<"a\\"b"@b.c>': '"a\\"b"@b.c',
    '<"a\\\\b"@b.c>': '"a\\\\b"@b.c',
    '<"a@b"@b.c>': '"a@b"@b.c',
    '<"a>b"@b.c>': '"a>b"@b.c',
    "<a@localhost>": "a@localhost",
    "<a@x_y.example>": "a@x_y.example",
    "<a@1.2.example>": "a@1.2.example",
    "<a@[127.0.0.1]>": "a@[127.0.0.1]",
    "<a@[IPv6:::1]>": "a@[IPv6:::1]",
    "<a@[IPv6:2001:db8::192.0.2.1]>": "a@[IPv6:2001:db8::192.0.2.1]",
    "<a@[x400:c=de]>": "a@[x400:c=de]",
    "<@hop.example:a@b.c>": "a@b.c",
    "<@hop.example,@hop2.example:a@b.c>": "a@b.c",
    " <a@b.c>": "a@b.c",
    "a@b.c": "a@b.c",
    "<" + "l" * 64 + "@b.c>": "l" * 64 + "@b.c",
    "<a@" + ".".join(["x" * 61] * 4) + ">": "a@" + ".".join(["x" * 61] * 4),
}

BAD_PATHS = [
    "",
    "<",
    ">",
    "<a>",
    "<@b.c>",
    "<a@>",
    "<a@b.c",
    "a@b.c>",
    "<a@b@c>",
    "<a b@c.d>",
    "<a..b@c.d>",
    "<.a@c.d>",
    "<a.@c.d>",
    "<a@c..d>",
    "<a@.c>",
    "<a@c.>",
    "<a@-c.d>",
    "<a@c-.d>",
    "<a@c.d>>",
    "<<a@c.d>>",
    '<"a@c.d>',
    '<""@c.d>',
    '<"a"b@c.d>',
    "<a@[127.0.0.256]>",
    "<a@[127.0.0]>",
    "<a@[IPv6:x]>",
    "<a@[IPv6:1.2.3.4]>",
    "<a@[]>",
    "<a@[127.0.0.1>",
    "<a@[a b]>",
    "<a@[:x]>",
    "<a,b@c.d>",
    "<@hop:>",
    "<a@" + "x" * 64 + ".d>",
    "<" + "l" * 2000 + "@b.c>",
    "<" + "l" * 251 + "@b.c>",
    "joe",
    "<a@b.c>x",
]


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_pathIsRead(path: str) -> None:
    assert syntax.parseMail(f"FROM:{path}") == Mail(sender=GOOD_PATHS[path])
    assert syntax.parseMail(f"from:{path} SIZE=12") == Mail(sender=GOOD_PATHS[path], sizeOctets=12)
    assert syntax.parseRcpt(f"To:{path}", False) == GOOD_PATHS[path]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_pathIsRefused(path: str) -> None:
    with pytest.raises(BadSender):
        syntax.parseMail(f"FROM:{path}")
    with pytest.raises(BadRecipient):
        syntax.parseRcpt(f"TO:{path}", False)


def test_nullPathIsASenderOnly() -> None:
    assert syntax.parseMail("FROM:<>") == Mail(sender="")
    with pytest.raises(BadRecipient):
        syntax.parseRcpt("TO:<>", False)


def test_postmasterIsARecipientOnly() -> None:
    assert syntax.parseRcpt("TO:<PostMaster>", False) == "postmaster"
    with pytest.raises(BadSender):
        syntax.parseMail("FROM:<postmaster>")


@pytest.mark.parametrize("text", ["FROM <a@b.c>", "TO:<a@b.c>", "FRO:<a@b.c>", ""])
def test_theKeywordMustBeThere(text: str) -> None:
    with pytest.raises(BadSender):
        syntax.parseMail(text)


def test_addressesBeyondAsciiNeedSmtputf8() -> None:
    assert syntax.parseMail("FROM:<jos\u00e9@b\u00fccher.example> SMTPUTF8") == Mail(
        sender="jos\u00e9@b\u00fccher.example", isUtf8=True
    )
    assert syntax.parseRcpt('TO:<"j \u00e9"@b.c>', True) == '"j \u00e9"@b.c'
    with pytest.raises(NeedsUtf8):
        syntax.parseMail("FROM:<jos\u00e9@b.c>")
    with pytest.raises(NeedsUtf8):
        syntax.parseRcpt("TO:<a@b\u00fccher.example>", False)


def test_lengthIsCountedInOctets() -> None:
    local = "\u00e9" * 125
    assert syntax.parseMail(f"FROM:<{local}@b.c> SMTPUTF8").sender == f"{local}@b.c"
    with pytest.raises(BadSender):
        syntax.parseMail(f"FROM:<{local}\u00e9@b.c> SMTPUTF8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SIZE=0", Mail(sender="a@b.c")),
        ("size=12", Mail(sender="a@b.c", sizeOctets=12)),
        ("BODY=7BIT", Mail(sender="a@b.c")),
        ("body=8bitmime SIZE=5  SMTPUTF8 ", Mail(sender="a@b.c", sizeOctets=5, isUtf8=True)),
        ("AUTH=<>", Mail(sender="a@b.c")),
        ("AUTH=e+3Dmc2@example.com", Mail(sender="a@b.c")),
        (" ", Mail(sender="a@b.c")),
    ],
)
def test_parametersOfMail(text: str, expected: Mail) -> None:
    assert syntax.parseMail(f"FROM:<a@b.c> {text}") == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SIZE", BadSyntax),
        ("SIZE=", BadSyntax),
        ("SIZE=x", BadSyntax),
        ("SIZE=1 SIZE=1", BadSyntax),
        ("SIZE=" + "9" * 21, BadSyntax),
        ("BODY", BadSyntax),
        ("BODY=9BIT", BadSyntax),
        ("BODY=BINARYMIME", BadSyntax),
        ("SMTPUTF8=yes", BadSyntax),
        ("AUTH", BadSyntax),
        ("AUTH=a+3d", BadSyntax),
        ("=x", BadSyntax),
        ("-X=1", BadSyntax),
        ("A=B=C", BadSyntax),
        ("ENVID=1", UnknownParameter),
        ("RET=FULL", UnknownParameter),
        ("X", UnknownParameter),
    ],
)
def test_badParametersOfMail(text: str, error: type[BadSyntax]) -> None:
    with pytest.raises(BadSyntax) as raised:
        syntax.parseMail(f"FROM:<a@b.c> {text}")
    assert type(raised.value) is error


@pytest.mark.parametrize("text", ["NOTIFY=NEVER", "SIZE=1", "ORCPT=rfc822;a@b.c"])
def test_rcptHasNoParameters(text: str) -> None:
    with pytest.raises(UnknownParameter):
        syntax.parseRcpt(f"TO:<a@b.c> {text}", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Chunk(octets=0, isLast=False)),
        ("86 LAST", Chunk(octets=86, isLast=True)),
        ("86  last", Chunk(octets=86, isLast=True)),
        ("9" * 20, Chunk(octets=int("9" * 20), isLast=False)),
    ],
)
def test_chunkIsRead(text: str, expected: Chunk) -> None:
    assert syntax.parseChunk(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "1 2", "LAST", "1 LAST LAST", "9" * 21, "\u0661"])
def test_badChunkIsRefused(text: str) -> None:
    with pytest.raises(BadSyntax):
        syntax.parseChunk(text)


def test_auth() -> None:
    assert syntax.parseAuth("PLAIN") == ("PLAIN", None)
    assert syntax.parseAuth("plain  AGE=") == ("plain", b"AGE=")
    for text in ("", "PLAIN a b"):
        with pytest.raises(BadSyntax):
            syntax.parseAuth(text)


_pieces = st.sampled_from(
    [
        "FROM:",
        "TO:",
        "<",
        ">",
        "@",
        "a",
        "b.c",
        '"',
        "\\",
        " ",
        ".",
        "[",
        "]",
        "IPv6:",
        ":",
        "1",
        "\u00e9",
        "=",
        "SIZE",
        "+",
        ",",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(_pieces, max_size=30).map("".join)), st.booleans())
@settings(max_examples=400, deadline=None)
def test_nothingButBadSyntaxComesOut(text: str, isUtf8: bool) -> None:
    for parse in (
        syntax.parseMail,
        lambda each: syntax.parseRcpt(each, isUtf8),
        syntax.parseChunk,
        syntax.parseAuth,
        syntax.parseName,
        lambda each: syntax.parseMail("FROM:<a@b.c> " + each),
        lambda each: syntax.parseMail("FROM:<" + each + "@b.c>"),
    ):
        with suppress(BadSyntax):
            parse(text)


@given(st.text('az09.!#+" \\@-', min_size=1, max_size=20))
@settings(max_examples=300, deadline=None)
def test_anAddressWrittenBackIsReadAsItself(local: str) -> None:
    quoted = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    once = syntax.parseRcpt(f"TO:<{quoted}@b.c>", False)
    assert syntax.parseRcpt(f"TO:<{once}>", False) == once


@pytest.mark.parametrize(
    "text", ["FROM:<" + "a-" * 900, "FROM:<" + '"\\' * 900, "FROM:<a@" + "a-." * 600, "FROM:<" + "@a," * 600]
)
def test_hostileTextIsRefusedInLinearTime(text: str) -> None:
    with pytest.raises(BadSender):
        syntax.parseMail(text)
