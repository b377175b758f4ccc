"""Who promised what: messages that were sent, acknowledged and deleted, held against what the mailboxes hold.

The promise under test (design §1): an acknowledged message is in its mailbox once, with the octets that were sent, until
a session that deleted it was told +OK. What was sent and never answered may be there, but not twice.
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_SUBJECT = re.compile(rb"^Subject: number (\d+)\r\n", re.MULTILINE)


class State(Enum):
    """What the sender knows of a message."""

    SENT = "sent"  # and not answered: it may be there
    ACKNOWLEDGED = "acknowledged"  # it must be there
    DELETING = "deleting"  # a session wants it deleted and has no answer: it may be there
    DELETED = "deleted"  # it must not be there
    REFUSED = "refused"  # it must not be there


@dataclass(slots=True)
class _Entry:
    address: str
    state: State


class Ledger:
    """Thread-safe; numbers are made here, and `letter(number)` is what was sent under it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[int, _Entry] = {}

    def sent(self, address: str) -> int:
        """A new number for a message to `address`."""
        with self._lock:
            number = len(self._entries) + 1
            self._entries[number] = _Entry(address, State.SENT)
            return number

    def note(self, numbers: Iterable[int], state: State) -> None:
        """What is known of these messages now; an acknowledgement that comes after a deletion changes nothing."""
        with self._lock:
            for number in numbers:
                entry = self._entries[number]
                if state is not State.ACKNOWLEDGED or entry.state is State.SENT:
                    entry.state = state

    def count(self, state: State) -> int:
        """How many messages are in this state."""
        with self._lock:
            return sum(entry.state is state for entry in self._entries.values())

    def violations(self, address: str, messages: Iterable[bytes]) -> list[str]:
        """What is wrong with a mailbox that holds `messages`."""
        found: Counter[int] = Counter()
        wrong = []
        for message in messages:
            number = numberOf(message)
            if number is None or number not in self._entries:
                wrong.append(f"{address}: a message that nobody sent: {message[:200]!r}")
            elif not message.endswith(letter(number)):
                wrong.append(f"{address}: message {number} has other octets than were sent")
            else:
                found[number] += 1
        with self._lock:
            for number, entry in self._entries.items():
                if entry.address == address:
                    wrong += _judged(number, entry.state, found.pop(number, 0))
        return wrong + [f"{address}: message {number} belongs to somebody else" for number in found]


def _judged(number: int, state: State, copies: int) -> list[str]:
    if copies > 1:
        return [f"message {number} ({state.value}) is there {copies} times"]
    if copies == 0 and state is State.ACKNOWLEDGED:
        return [f"message {number} was acknowledged and is not there"]
    if copies == 1 and state in (State.DELETED, State.REFUSED):
        return [f"message {number} was {state.value} and is there"]
    return []


def numberOf(message: bytes) -> int | None:
    """The number that a letter was sent under."""
    match = _SUBJECT.search(message)
    return int(match[1]) if match else None


def letter(number: int) -> bytes:
    """The message of this number: up to 60 KB of lines, some with dots at their start, some with 8-bit octets."""
    chance = random.Random(number)
    lines = [
        b"Subject: number %d" % number,
        b"From: sender@elsewhere.test",
        b"Message-ID: <%d@elsewhere.test>" % number,
        b"",
    ]
    for _ in range(chance.choice((0, 3, 30, 300, 900))):
        line = chance.choice((b".", b"..", b"", b"x", "grüße ".encode())) + b"%d " % number
        lines.append(line * chance.randrange(1, 12))
    return b"\r\n".join(lines) + b"\r\n"
