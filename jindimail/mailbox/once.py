"""
Applying a request once, however often it was proposed: its outcome stands beside its id for some minutes.

Pure. Rows are dropped by the time of their ids, which proposers' clocks gave, and not before many more entries were applied: clocks may be an hour apart. They
stay far longer than anybody tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jindimail.interfaces import IRows
from jindimail.mailbox import wire
from jindimail.mailbox.entries import Once, decodeEntry
from jindimail.mailbox.outcomes import Refused
from jindimail.store.keys import REQUEST, requestKey
from jindimail.store.records import RequestRecord, decode, encode

KEPT_SECONDS = 600
KEPT_ENTRIES = 2048
TIME_OCTETS = 4
_TRIMMED_MAX = 4  # with each new one, so that they never gather

Apply = Callable[[IRows, int, int, Any], tuple[Any, Sequence[Any]]]


def applyOnce(rows: IRows, group: int, index: int, once: Once, apply: Apply) -> tuple[Any, Sequence[Any]]:
    """The outcome and the events of the entry inside; of one that was applied before, the outcome then, and no events."""
    key = requestKey(group, once.requestId)
    stored = rows.get(REQUEST, key)
    if stored is not None:
        return wire.decodeOutcome(decode(stored, RequestRecord).outcome), ()
    entry = decodeEntry(once.entry)
    if isinstance(entry, Once):
        return Refused("notAllowed"), ()
    outcome, events = apply(rows, group, index, entry)
    rows.put(REQUEST, key, encode(RequestRecord(outcome=wire.encodeOutcome(outcome), index=index)))
    _trim(rows, group, once.seconds - KEPT_SECONDS, index - KEPT_ENTRIES)
    return outcome, events


def _trim(rows: IRows, group: int, beforeSeconds: int, beforeIndex: int) -> None:
    """Drop some of those that nobody asks for any more, the oldest first."""
    start = requestKey(group, b"")
    stop = start[:2] + max(0, beforeSeconds).to_bytes(TIME_OCTETS, "big")
    expired: list[bytes] = []
    for key, octets in rows.scan(REQUEST, start, stop):
        if decode(octets, RequestRecord).index >= beforeIndex:
            break
        expired.append(key)
        if len(expired) == _TRIMMED_MAX:
            break
    for key in expired:
        rows.delete(REQUEST, key)
