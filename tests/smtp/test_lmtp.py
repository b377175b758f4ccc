from __future__ import annotations

from pathlib import Path

import pytest

from jindimail.errors import OverQuota, Unavailable
from tests.smtp.fakes import Bed, Wire, codes


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path, service="lmtp")


def threeRecipients(bed: Bed) -> Wire:
    wire = bed.connect()
    wire.ask(b"LHLO mta.example.org", b"MAIL FROM:<a@b.c>")
    said = wire.codes(*(b"RCPT TO:<%s@example.org>" % name for name in (b"a", b"nobody", b"b", b"c")))
    assert said == ["250 2.1.5", "550 5.1.1", "250 2.1.5", "250 2.1.5"]
    return wire


def test_greetingIsLmtp(bed: Bed) -> None:
    wire = bed.connect()
    assert wire.greeting == b"220 mx.example.org LMTP jindimail\r\n"
    assert wire.codes(b"EHLO a", b"HELO a", b"MAIL FROM:<>", b"LHLO a") == [
        "500 5.5.1",
        "500 5.5.1",
        "503 5.5.1",
        "250",
    ]


def test_eachAcceptedRecipientHasItsOwnAnswer(bed: Bed) -> None:
    wire = threeRecipients(bed)
    bed.delivery.outcomes = {"b@example.org": OverQuota(), "c@example.org": Unavailable()}
    assert wire.codes(b"DATA") == ["354"]
    assert codes(wire.say(b"a: b\r\n\r\n.\r\n")) == ["250 2.0.0", "452 4.2.2", "451 4.3.2"]
    trace = bed.delivery.delivered[0][1].split(b"\r\n")
    assert trace[0] == b"Received: from mta.example.org ([192.168.1.1])"
    assert trace[1] == b"\tby mx.example.org with LMTP"


def test_aRefusedMessageIsRefusedForEach(bed: Bed) -> None:
    wire = threeRecipients(bed)
    wire.ask(b"DATA")
    assert codes(wire.say(b"a: b\n\r\n.\r\n")) == ["554 5.6.0"] * 3


def test_aBugOfOursIsAnsweredForEach(bed: Bed) -> None:
    wire = threeRecipients(bed)
    bed.delivery.deliver = None  # type: ignore[assignment]
    wire.ask(b"DATA")
    assert codes(wire.say(b"a: b\r\n.\r\n")) == ["451 4.3.0"] * 3
    assert (bed.spool.messages, wire.codes(b"NOOP")) == (0, ["250 2.0.0"])


def test_theLastChunkIsAnsweredForEach(bed: Bed) -> None:
    wire = threeRecipients(bed)
    assert codes(wire.say(b"BDAT 3\r\na:b")) == ["250 2.0.0"]
    assert codes(wire.say(b"BDAT 2 LAST\r\n\r\n")) == ["250 2.0.0"] * 3


def test_withoutRecipientsThereIsOneAnswer(bed: Bed) -> None:
    wire = bed.connect()
    wire.ask(b"LHLO a", b"MAIL FROM:<>")
    assert wire.codes(b"DATA") == ["503 5.5.1"]
    assert codes(wire.say(b"BDAT 3 LAST\r\na:b")) == ["503 5.5.1"]


def test_aTrustedServerMayNameManyUnknownRecipients(tmp_path: Path) -> None:
    bed = Bed(tmp_path, service="lmtp", refusedRecipientsMax=2)
    wire = bed.connect()
    wire.ask(b"LHLO a", b"MAIL FROM:<>")
    assert wire.codes(*[b"RCPT TO:<nobody@example.org>"] * 20) == ["550 5.1.1"] * 20
