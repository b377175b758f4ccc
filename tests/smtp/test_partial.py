"""Messages that are filed for some of their recipients, and come again."""

from __future__ import annotations

from pathlib import Path

import pytest

from jindimail.errors import MailLoop, OverQuota, UserDisabled
from jindimail.smtp import partial
from jindimail.smtp.partial import PartlyFiled
from tests.smtp.fakes import Bed, codes

MESSAGE = b"Subject: x\r\n\r\nHello.\r\n"
NAMES = (b"a", b"b", b"c")


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def send(
    bed: Bed, message: bytes = MESSAGE, names: tuple[bytes, ...] = NAMES, sender: bytes = b"s@b.c"
) -> str:
    wire = bed.connect()
    wire.ask(
        b"EHLO x",
        b"MAIL FROM:<%s>" % sender,
        *(b"RCPT TO:<%s@example.org>" % name for name in names),
        b"DATA",
    )
    (answer,) = codes(wire.say(message + b".\r\n"))
    wire.lose()
    return answer


def deliveredTo(bed: Bed) -> list[list[str]]:
    found = [[each.address[0] for each in envelope.recipients] for envelope, _ in bed.delivery.delivered]
    bed.delivery.delivered.clear()
    return found


def test_thoseWhoHaveItArePassedOver(bed: Bed) -> None:
    bed.delivery.outcomes = {"b@example.org": OverQuota()}
    assert send(bed) == "452 4.2.2"
    assert deliveredTo(bed) == [["a", "b", "c"]]
    assert [send(bed), send(bed, names=(b"b",)), send(bed)] == ["452 4.2.2"] * 3
    assert deliveredTo(bed) == []
    bed.delivery.outcomes = {}
    assert send(bed) == "250 2.0.0"
    assert deliveredTo(bed) == [["b"]]
    assert send(bed) == "250 2.0.0"
    assert deliveredTo(bed) == [["a", "b", "c"]]


def test_itDoesNotMatterHowTheSenderGroupsThem(bed: Bed) -> None:
    bed.delivery.outcomes = {"b@example.org": OverQuota()}
    send(bed)
    bed.delivery.outcomes = {}
    deliveredTo(bed)
    assert [send(bed, names=(name,)) for name in (b"b", b"a", b"c")] == ["250 2.0.0"] * 3
    assert deliveredTo(bed) == [["b"]]
    assert not bed.factory.surroundings.partlyFiled


def test_aRecipientRefusedForGoodIsRefusedAlone(bed: Bed) -> None:
    bed.delivery.outcomes = {"b@example.org": UserDisabled()}
    assert send(bed) == "451 4.3.0"
    deliveredTo(bed)
    bed.delivery.refusals = {"b@example.org": UserDisabled()}
    assert send(bed) == "250 2.0.0"
    assert deliveredTo(bed) == []


def test_anotherMessageOrSenderIsNotPassedOver(bed: Bed) -> None:
    bed.delivery.outcomes = {"b@example.org": OverQuota()}
    send(bed)
    bed.delivery.outcomes = {}
    deliveredTo(bed)
    send(bed, message=MESSAGE + b"More.\r\n")
    send(bed, sender=b"t@b.c")
    assert deliveredTo(bed) == [["a", "b", "c"]] * 2


def test_aLoopForOneIsNoReasonToComeAgain(bed: Bed) -> None:
    bed.delivery.outcomes = {"b@example.org": MailLoop()}
    assert send(bed) == "250 2.0.0"
    assert deliveredTo(bed) == [["a", "b", "c"]]
    assert send(bed, names=(b"b",)) == "554 5.4.6"
    assert not bed.factory.surroundings.partlyFiled


def test_lmtpNeedsNoMemory(tmp_path: Path) -> None:
    bed = Bed(tmp_path, service="lmtp")
    bed.delivery.outcomes = {"b@example.org": OverQuota()}
    wire = bed.connect()
    wire.ask(b"LHLO x", b"MAIL FROM:<>", *(b"RCPT TO:<%s@example.org>" % name for name in NAMES), b"DATA")
    assert codes(wire.say(MESSAGE + b".\r\n")) == ["250 2.0.0", "452 4.2.2", "250 2.0.0"]
    assert not bed.factory.surroundings.partlyFiled


def test_theMemoryIsBoundedInTimeAndNumber() -> None:
    memory = PartlyFiled()
    memory.remember(("s", b"1"), ["a"], 0)
    assert memory.recipientsOf(("s", b"1"), partial.keepSeconds - 1) == {"a"}
    assert memory.recipientsOf(("s", b"1"), partial.keepSeconds) == frozenset()
    for number in range(2, 60):
        memory.remember(("s", b"%d" % number), (f"{number}-{each}" for each in range(1000)), 0)
    assert memory._addresses == sum(len(addresses) for _, addresses in memory._messages.values()) == 50_000
    assert memory.recipientsOf(("s", b"1"), 0) == frozenset()
    assert memory.recipientsOf(("s", b"59"), 0)
    for key in list(memory._messages):
        memory.forget(key, memory.recipientsOf(key, 0))
    assert not memory
    assert memory._addresses == 0
