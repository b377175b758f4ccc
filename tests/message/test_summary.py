"""The summary made at delivery: right, small, and bounded for the most hostile of messages."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.message import bounds, imapform
from jindimail.message.dates import parseDate
from jindimail.message.preview import preview
from jindimail.message.search import foldedBody
from jindimail.message.sections import partTable, section
from jindimail.message.structure import parse
from jindimail.message.summary import Summary, summarise
from tests.message import samples


def test_summaryOfTheExampleInRfc3501() -> None:
    summary = summarise(samples.GRAY)
    part = parse(samples.GRAY)
    assert summary == Summary(
        envelope=imapform.envelope(part.fields),
        bodyStructure=imapform.bodystructure(part),
        parts=partTable(part),
        headerOctets=342,
        lines=101,
        preview=preview(part, samples.GRAY),
        messageId=b"<B27397-0100000@cac.washington.edu>",
        sentDate=837595405,
        sentZoneMinutes=-420,
    )


def test_messageWithNothingInIt() -> None:
    summary = summarise(b"")
    assert (summary.headerOctets, summary.lines, summary.preview, summary.messageId) == (0, 0, "", b"")
    assert (summary.sentDate, summary.sentZoneMinutes) == (None, 0)
    assert summary.envelope == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


@given(st.one_of(samples.mutatedMessages(), st.binary(max_size=300)))
@settings(deadline=None, max_examples=300)
def test_summaryOfAnythingCanBeStoredAndAgreesWithItsPieces(octets: bytes) -> None:
    summary = summarise(octets)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(summary), type=Summary) == summary
    part = parse(octets)
    assert summary.headerOctets == part.bodyStart
    assert section(summary.parts, (), "HEADER") == (0, summary.headerOctets)
    sent = parseDate(part.fields.get(b"date", b""))
    assert (None if sent is None else sent.epochSeconds) == summary.sentDate


FRAGMENTS = [
    b'"', b'\\"', b"(", b"(\\", b")", b"<", b">", b"@", b",", b";", b":", b"a@b,", b"a <b@c>,", b"a ", b"a", b" ", b"\t", b"=?",
    b"=?a?q?", b"=?utf-8?q?a?= ", b"; a", b";a=", b";a*0=b", b"a*1*=", b';a="', b"[", b"@a,", b"a:b;", b"&", b"&#", b"9", b"&a",
    b"<a", b"<!--", b"<style>", b"</style", b"</s", b"<script><", b"=", b"=\r\n", b"\xff", b"\xcc\x80\xcc\x96", b"\n--b",
    b"\r\n--b\r\n", b"\n", b"\r\n", b"\r", b"\n ", b"a:\n", b"a: b\r\n c\r\n", b"\0", b"/", b"'", b"%", b"+AAA-", b"1 ", b"Jan ",
]  # fmt: skip
BEGINNINGS = [
    b"", b"From: ", b"From: <@", b"Subject: ", b"Date: ", b"Content-Type: ", b"Content-Disposition: a", b"Content-Language: ",
    b"Content-Type: text/html\r\n\r\n", b"Content-Type: text/plain; charset=utf-7\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_repeatedFragmentsCostNoMoreThanTheirSize(fragment: bytes) -> None:
    """150,000 octets of each: whatever takes quadratic time on them does not come to an end here."""
    hostile = (fragment * 150_000)[:150_000]
    for beginning in BEGINNINGS:
        octets = beginning + hostile
        summary = summarise(octets)
        assert len(summary.envelope) + len(summary.bodyStructure) <= 16 * len(octets) + 1000
    for _ in foldedBody(parse(octets), octets):
        pass


def test_sizeOfASummaryIsBounded() -> None:
    addresses = b"From: " + b"a@b, " * 100_000 + b"\r\n"
    octets = (
        addresses + b"Subject: " + b"s" * 1_000_000 + b"\r\nMessage-ID: " + b"m" * 10_000 + b"\r\n\r\nbody"
    )
    summary = summarise(octets)
    assert len(summary.envelope) < 100 * bounds.addressesMax
    assert len(summary.messageId) <= bounds.messageIdOctetsMax
    assert summary.headerOctets == len(octets) - 4
    many = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + (b"\r\n--b\r\nContent-ID: " + b"i" * 5000 + b"\r\n\r\n") * 2000
    )
    summary = summarise(many)
    assert len(summary.bodyStructure) < 2 * bounds.headerOctetsTotalMax
    assert len(summary.parts) == 13 * bounds.partsMax


@pytest.mark.parametrize(
    "kind", [b"text/plain", b"image/png", b"message/rfc822", b"multipart/mixed; boundary=b"]
)
def test_allLineEndsOfAMessageAreCountedWhateverItsType(kind: bytes) -> None:
    message = b"Content-Type: " + kind + b"\r\n\r\n--b\r\n\r\nOne\nTwo\r\n--b--\r\n"
    assert summarise(message).lines == message.count(b"\n")
