"""
Which entries may be proposed again when their outcome is unknown: here is decided, kind by kind, what makes them so.

Pure. Some entries are the same twice by themselves: their outcome, too, is the one that a first proposal had. All others travel as `Once`
under an id of the proposer's, which the group remembers with the outcome for some minutes (docs/adr/0015-proposals-repeat.md).
"""

from __future__ import annotations

from typing import Any

from jindimail.mailbox.entries import (
    Deliver,
    DropPopLock,
    Enqueue,
    Noop,
    Once,
    SetKeepers,
    TakePopLock,
    VoidDelivery,
    encodeEntry,
)

# Deliver and Enqueue have an id of their own; a lock is its holder's however often it takes it; keepers are compared before they are set. What
# sets what it sets (SetAccount, Subscribe) is not among them: the second time it would undo what others set in between.
SAME_TWICE = (
    Noop,
    Deliver,
    Enqueue,
    VoidDelivery,
    SetKeepers,
    TakePopLock,
    DropPopLock,
)


def isSameTwice(entry: Any) -> bool:
    """Whether an entry may be proposed twice as it is."""
    return isinstance(entry, SAME_TWICE)


def repeatable(entry: Any, requestId: bytes) -> bytes:
    """
    The octets of an entry in a form that may be proposed twice.

    @param requestId: 16 octets that begin with the seconds of the proposer's clock, never used for another entry.
    """
    octets = encodeEntry(entry)
    if isSameTwice(entry):
        return octets
    return encodeEntry(Once(seconds=entry.seconds, requestId=requestId, entry=octets))
