"""
How much CPU the SMTP edge takes a message, without delivery, storage and sockets. Not collected; run it by hand:

    python -m tests.smtp.measure [octets] [messages]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jindimail.model import Recipient, Target
from tests.smtp.fakes import Bed


def _message(octets: int) -> bytes:
    line = b"All work and no play makes Jack a dull boy, as the saying goes, does it not.\r\n"
    return b"Subject: measure\r\nFrom: a@b.c\r\n\r\n" + line * (octets // len(line))


def _run(directory: Path, octets: int, messages: int, isPipelined: bool) -> float:
    bed = Bed(directory, messageOctetsMax=64 << 20)
    recipient = Recipient(
        address="joe@example.org", targets=(Target(bucket=1, accountId=1, address="joe@example.org"),)
    )

    async def deliver(envelope: Any, body: Any) -> list[None]:
        return [None]

    async def resolve(address: str) -> Recipient:
        return recipient

    bed.delivery.deliver = deliver  # type: ignore[assignment]
    bed.delivery.resolve = resolve  # type: ignore[method-assign]
    wire = bed.connect()
    wire.ask(b"EHLO client.example.net")
    body = _message(octets) + b".\r\n"
    blocks = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    envelope = [
        b"MAIL FROM:<sender@example.net> SIZE=%d BODY=8BITMIME\r\n" % octets,
        b"RCPT TO:<joe@example.org>\r\n",
        b"DATA\r\n",
    ]
    if isPipelined:
        envelope = [b"".join(envelope)]
    receive, transport = wire.protocol.dataReceived, wire.transport
    started = time.process_time()
    for _ in range(messages):
        for piece in envelope:
            receive(piece)
        for block in blocks:
            receive(block)
        transport.clear()
    spent = time.process_time() - started
    assert bed.delivery.deliveries == messages
    return spent / messages * 1e6


def main(octets: int = 10_240, messages: int = 5000) -> None:
    """Print microseconds a message."""
    for isPipelined in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            spent = _run(Path(directory), octets, messages, isPipelined)
        print(f"{octets} octets, {'pipelined' if isPipelined else 'one by one'}: {spent:.1f} us a message")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
