"""From a body to what is stored of it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from jindimail.delivery.spool import Spool
from jindimail.mailbox.filing import summaryOf
from jindimail.message.summary import summarise

MESSAGE = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 500_000


def test_aLargeMessageIsInMemoryOnceWhileItIsSummarised(tmp_path: Path) -> None:
    spooled = Spool(str(tmp_path)).begin(b"d" * 16)
    spooled.write(MESSAGE)
    body = spooled.finish()
    tracemalloc.start()
    try:
        summaryOf(body)
        _, peakOctets = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peakOctets < 1.5 * len(MESSAGE)


def test_linesOfALargeMessageAreAllCounted() -> None:
    assert summarise(MESSAGE).lines == 500_002
