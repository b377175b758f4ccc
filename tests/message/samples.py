"""Messages to read, written for these tests or taken from the RFCs, all with CRLF, and a builder of random ones."""

from dataclasses import dataclass

from hypothesis import strategies as st


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


GRAY = (
    crlf("""Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev1 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

""")
    + b"x" * 31
    + b"\r\n"
    + (b"y" * 31 + b"\r\n") * 90
    + b"z" * 23
    + b"\r\n"
)
"""The message of the examples in RFC 3501 §8: a header of 342 octets, a body of 3028 octets in 92 lines."""

PREAMBLE = crlf("""From: Nathaniel Borenstein <nsb@bellcore.com>
To: Ned Freed <ned@innosoft.com>
Date: Sun, 21 Mar 1993 23:56:48 -0800 (PST)
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
""")
"""The example of RFC 2046 §5.1.1."""

NESTED = crlf("""From: outer@example.org
Subject: the tree of RFC 3501 6.4.5
Content-Type: multipart/mixed; boundary=A

preamble
--A
Content-Type: text/plain

one
--A
Content-Type: application/octet-stream

two
--A
Content-Type: message/rfc822

From: three@example.org
Subject: three
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: text/plain

three one
--B
Content-Type: application/octet-stream

three two
--B--
--A
Content-Type: multipart/mixed; boundary=C

--C
Content-Type: image/gif

four one
--C
Content-Type: message/rfc822

From: fourtwo@example.org
Subject: four two
Content-Type: multipart/mixed; boundary=D

--D
Content-Type: text/plain

four two one
--D
Content-Type: multipart/alternative; boundary=E

--E
Content-Type: text/plain

four two two one
--E
Content-Type: text/richtext

four two two two
--E--
--D--
--C--
--A--
epilogue
""")
"""The tree of parts in RFC 3501 §6.4.5 (RFC 9051 §6.4.5.1); each leaf's text spells its number."""

PREFIXES = crlf("""Content-Type: multipart/mixed; boundary=foo

--foo
Content-Type: multipart/mixed; boundary=foobar

--foobar

inner one
--foobar

inner two
--foobar--
--foo

outer two
--foo--
""")

DIGEST = crlf("""Content-Type: multipart/digest; boundary=d

--d

From: a@example.org
Subject: one

body one
--d
Content-Type: text/plain

not a message
--d--
""")

FORWARD = crlf("""Subject: fwd
Content-Type: message/rfc822
Content-Transfer-Encoding: 7bit

From: inner@example.org
Subject: inner

hello
""")

UNCLOSED = crlf("""Content-Type: multipart/mixed; boundary=b

--b

first
--b
Content-Type: text/html

second, and the end is lost
""")

RICH = crlf("""Content-Type: multipart/related; boundary="r"; type="text/html"; start="<s@x>"

--r
Content-Type: text/html; charset="utf-8"
Content-ID: <s@x>
Content-Description: a "quoted" thing
Content-Transfer-Encoding: Quoted-Printable
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Language: en, de-AT
Content-Location: https://example.org/a
Content-Disposition: inline

<p>caf=C3=A9</p>
--r
Content-Type: application/pdf;
 name*0*=utf-8''%e2%82%ac%20; name*1="rates.pdf"
Content-Disposition: ATTACHMENT; filename="a (1).pdf"; size=3
Content-Transfer-Encoding: base64

QUJD
--r--
""")

ALL = {
    "gray": GRAY, "preamble": PREAMBLE, "nested": NESTED, "prefixes": PREFIXES, "digest": DIGEST,
    "forward": FORWARD, "unclosed": UNCLOSED, "rich": RICH,
    "empty": b"", "blank line": b"\r\n", "header only": b"Subject: x\r\n", "no line end": b"Subject: x",
    "bare line feeds": PREAMBLE.replace(b"\r\n", b"\n"), "no header": b"\r\nbody\r\n", "garbage": b"\x00\xff:\r\n\r\n\r",
}  # fmt: skip


@dataclass(frozen=True)
class Built:
    """A random well-formed message or part: its octets and what a reader must find."""

    octets: bytes
    mediaType: str
    body: bytes
    children: tuple["Built", ...] = ()


_LINES = st.lists(
    st.sampled_from(
        [b"", b"text", b"--", b"--x", b"-- ", b"a: b", b" folded", b"--b0", b"caf\xc3\xa9", b"--b1-"]
    ),
    max_size=5,
).map(b"\r\n".join)
_EXTRA = st.sampled_from([b"", b"Subject: a\r\n b\r\n", b"X-Y: --b0\r\n", b"From: a@b\r\nTO: c@d\r\n"])
_LEAF_TYPES = st.sampled_from(["text/plain", "text/html", "application/octet-stream", "image/png"])


@st.composite
def builtMessages(draw: st.DrawFn, level: int = 0) -> Built:
    """Boundaries differ by level, and each is the beginning of the next level's."""
    kind = draw(st.sampled_from(["leaf", "leaf", "multipart", "message"])) if level < 4 else "leaf"
    extra = draw(_EXTRA)
    if kind == "leaf":
        mediaType = draw(_LEAF_TYPES)
        body = draw(_LINES).replace(b"--b", b"++b")
        return _built(extra, mediaType, mediaType, body)
    if kind == "message":
        inner = draw(builtMessages(level + 1))
        return _built(extra, "message/rfc822", "message/rfc822", inner.octets, (inner,))
    boundary = b"b0" + b"x" * level
    children = draw(st.lists(builtMessages(level + 1), min_size=1, max_size=3))
    preamble = draw(st.sampled_from([b"", b"preamble\r\n", b"--other\r\n"]))
    padding = draw(st.sampled_from([b"", b" ", b"\t "]))
    body = preamble + b"".join(
        b"--" + boundary + padding + b"\r\n" + child.octets + b"\r\n" for child in children
    )
    body += draw(
        st.sampled_from(
            [b"--" + boundary + b"--\r\n", b"--" + boundary + b"--", b"--" + boundary + b"--\r\nepilogue"]
        )
    )
    header = f'multipart/mixed;\r\n boundary="{boundary.decode()}"'
    return _built(extra, header, "multipart/mixed", body, tuple(children))


def _built(extra: bytes, header: str, mediaType: str, body: bytes, children: tuple[Built, ...] = ()) -> Built:
    return Built(extra + b"Content-Type: " + header.encode() + b"\r\n\r\n" + body, mediaType, body, children)


@st.composite
def mutatedMessages(draw: st.DrawFn) -> bytes:
    """A sample or a built message with pieces cut, doubled, moved and overwritten."""
    octets = draw(
        st.one_of(st.sampled_from(sorted(ALL.values())), builtMessages().map(lambda built: built.octets))
    )
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(octets)))
        end = min(len(octets), start + draw(st.integers(0, 60)))
        middle = draw(
            st.one_of(st.binary(max_size=8), st.sampled_from(SPLINTERS), st.just(octets[start:end] * 2))
        )
        octets = octets[:start] + middle + octets[end:]
    return octets


SPLINTERS = [
    b"\r\n", b"\n", b"\r", b"\0", b'"', b"\\", b"(", b")", b"<", b">", b"@", b",", b";", b":", b"--A", b"--A--", b"\r\n--A\r\n",
    b"=?utf-8?q?", b"?=", b"*0*=", b"\xff", b"\xe2\x82", b"Content-Type: multipart/mixed; boundary=A\r\n",
    b"Content-Type: message/rfc822\r\n", b"Content-Transfer-Encoding: base64\r\n", b"\r\n\r\n", b"{3}\r\n", b"NIL",
]  # fmt: skip
