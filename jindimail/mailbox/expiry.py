"""
Dropping the outcomes of deliveries that nobody asks for any more (design §7; docs/adr/0041). Pure.

Entries bear the clocks of those who proposed them, and a clock may be wrong by days, ahead or behind, for a moment or for long. So an outcome goes only when it is old by the *least* of
the clocks of some hundred deliveries, the last ones of the bucket, and after many more entries. One right clock among them keeps what a wrong one would drop.
"""

from __future__ import annotations

from msgspec.structs import replace

from jindimail.mailbox.step import Step
from jindimail.store.keys import DELIVERY, USER, clocksKey, deliveryKey
from jindimail.store.records import ClocksRecord, DeliveryRecord, decode, encode

KEPT_SECONDS = 7 * 24 * 3600
KEPT_ENTRIES = 2048
EVERY = 16  # entries; then up to twice as many expired outcomes go
CLOCKS = 32  # that have to agree


def dropExpired(step: Step, seconds: int) -> None:
    """
    A delivery was applied: now and then, drop the oldest outcomes.

    @param seconds: the clock of its proposer.
    """
    if step.index % EVERY:
        return
    key = clocksKey(step.bucket)
    stored = step.rows.get(USER, key)
    known = ClocksRecord() if stored is None else decode(stored, ClocksRecord)
    clocks = (*known.seconds, seconds)[-CLOCKS:]
    step.rows.put(USER, key, encode(replace(known, seconds=clocks)))
    if len(clocks) == CLOCKS:
        _drop(step, min(clocks) - KEPT_SECONDS, step.index - KEPT_ENTRIES)


def _drop(step: Step, beforeSeconds: int, beforeIndex: int) -> None:
    """Ids begin with their time, so that the oldest stand first."""
    start, stop = deliveryKey(step.bucket, bytes(16)), deliveryKey(step.bucket, b"\xff" * 16)
    expired: list[bytes] = []
    for key, octets in step.rows.scan(DELIVERY, start, stop):
        record = decode(octets, DeliveryRecord)
        if record.seconds >= beforeSeconds or record.index >= beforeIndex or len(expired) >= 2 * EVERY:
            break
        expired.append(key)
    for key in expired:
        step.rows.delete(DELIVERY, key)
