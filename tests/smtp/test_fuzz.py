"""Sessions cut at every place, and octets that mean nothing."""

from __future__ import annotations

import re
import tempfile
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address

from jindimail.errors import OverQuota
from tests.smtp.fakes import Bed, FakeTransport

PLAIN = b"AUTH PLAIN " + b64encode(b"\0joe@example.org\0secret")

SESSIONS = {
    "smtp": (
        b"EHLO client\r\nMAIL FROM:<a@b.c> SIZE=10\r\nRCPT TO:<joe@example.org>\r\nRCPT TO:<nobody@example.org>\r\n"
        b"DATA\r\nSubject: x\r\n\r\n..\r\n.x\r\n\r\n.\r\nNOOP\nRSET\rX\r\nMAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\n"
        b"DATA\r\na\n.\nMAIL FROM:<evil@b.c>\r\n.\r\nBDAT 5\r\nNOOP\nRCPT TO:<a@b.c>\r\nMAIL FROM:<>\r\n"
        b"RCPT TO:<joe@example.org>\r\nBDAT 5\r\na:b\r\nBDAT 3 LAST\r\n\nx\r\r\nVRFY \xc3\xa9\r\n\xff\r\nQUIT\r\nNOOP\r\n"
    ),
    "submission": (
        b"EHLO client\r\nAUTH LOGIN\r\n*\r\nAUTH PLAIN\r\n!\r\n"
        + PLAIN
        + b"\r\nMAIL FROM:<ann@example.org>\r\n"
        b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<joe@elsewhere.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"
        b"Hello\r\n.\r\nMAIL FROM:<joe@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"
        b"Subject: x\r\nDATE: y\r\n\r\nz\r\n.\r\n" + PLAIN + b"\r\nQUIT\r\n"
    ),
    "lmtp": (
        b"LHLO client\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<joe@example.org>\r\nRCPT TO:<full@example.org>\r\nDATA\r\n"
        b".\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<joe@example.org>\r\nRCPT TO:<full@example.org>\r\nDATA\r\n"
        b"a: b\r\n\r\n.\r\r\n.\r\nLHLO\r\nQUIT\r\n"
    ),
}
Result = tuple[bytes, list[tuple[str, bytes]], int, int]


def play(service: str, blocks: list[bytes]) -> Result:
    """What the server says in all, what is delivered, and what it keeps."""
    with tempfile.TemporaryDirectory() as directory:
        bed = Bed(
            Path(directory),
            service=service,
            plaintextPasswords=True,
            failedLoginsMax=100,
            messageOctetsMax=1000,
        )
        bed.delivery.outcomes = {"full@example.org": OverQuota()}
        wire = bed.connect(FakeTransport(peer=IPv4Address("TCP", "127.0.0.1", 1)))
        said = b"".join(wire.say(block) for block in blocks)
        kept = len(wire.protocol._buffer)
        wire.lose()
        delivered = [(envelope.sender, octets) for envelope, octets in bed.delivery.delivered]
        return said, delivered, kept, bed.spool.messages


@pytest.mark.parametrize("service", SESSIONS)
def test_theSameIsSaidAtEverySplit(service: str) -> None:
    session = SESSIONS[service]
    whole = play(service, [session])
    assert whole[1]
    for at in range(len(session) + 1):
        assert play(service, [session[:at], session[at:]]) == whole
    assert play(service, [session[at : at + 1] for at in range(len(session))]) == whole


_cuts = st.lists(st.integers(0, 700), max_size=20)


@given(st.sampled_from(sorted(SESSIONS)), _cuts)
@settings(max_examples=150, deadline=None)
def test_theSameIsSaidHoweverItIsCut(service: str, cuts: list[int]) -> None:
    session = SESSIONS[service]
    places = [0, *sorted(min(cut, len(session)) for cut in cuts), len(session)]
    assert play(service, [session[low:high] for low, high in pairwise(places)]) == play(service, [session])


_words = st.sampled_from(
    [
        *(
            word + b" "
            for word in (b"EHLO", b"HELO", b"LHLO", b"MAIL FROM:", b"RCPT TO:", b"AUTH", b"BDAT", b"VRFY")
        ),
        *(
            word + b"\r\n"
            for word in (b"DATA", b"RSET", b"NOOP", b"QUIT", b"HELP", b"STARTTLS", b"", b".", PLAIN)
        ),
        *(
            b"<a@b.c>",
            b"<joe@example.org>",
            b"<joe@example.org>\r\n",
            b"<>",
            b"<\xc3\xa9@b.c>",
            b"SMTPUTF8",
            b"SIZE=9",
        ),
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b"\xff",
            b" ",
            b"*",
            b"=",
            b"12",
            b"5 LAST",
            b"a: b\r\n\r\n",
            b"x" * 3000,
        ),
        *(b"PLAIN", b"LOGIN", b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"),
    ]
)
_REPLY = re.compile(rb"(?:(?:220|221|214|235|250|252|334|354|421|4[0-9]{2}|5[0-9]{2})[ -][^\r\n]*\r\n)*\Z")


@given(
    st.sampled_from(sorted(SESSIONS)),
    st.lists(st.one_of(_words, st.binary(max_size=30)), max_size=40),
    st.integers(1, 5000),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothingButRepliesComesOut(service: str, words: list[bytes], blockOctets: int) -> None:
    octets = b"".join(words)
    blocks = [octets[at : at + blockOctets] for at in range(0, len(octets), blockOctets)]
    said, _, kept, spooled = play(service, blocks)
    assert _REPLY.match(said), said
    assert b"451 4.3.0" not in said, "something of ours broke"
    assert kept < 12_288 + 5000
    assert spooled == 0
