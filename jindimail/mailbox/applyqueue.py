"""
Applying the entries about mail that waits for another bucket (design §7). Pure; see `step` for what every change keeps.

A message waits once for each bucket that does not answer, and each of these counts as one reference of its body. That it was queued stands in
its delivery's record, which outlives the queue: so the same request, made twice, queues once.
"""

from __future__ import annotations

from msgspec.structs import replace

from jindimail.mailbox.applymessages import newBody
from jindimail.mailbox.entries import Dequeue, Enqueue, Requeue
from jindimail.mailbox.outcomes import Done, Outcome, QueueChanged, Refused
from jindimail.mailbox.step import Step
from jindimail.store.bodies import deleteBody
from jindimail.store.keys import DELIVERY, QUEUE, deliveryKey, queueKey
from jindimail.store.records import DeliveryRecord, QueueRecord, decode, encode


def enqueue(step: Step, entry: Enqueue) -> Outcome:
    """Keep a body for the recipients of another bucket."""
    rows, bucket, bodyId = step.rows, step.bucket, entry.bodyId
    outcomeKey = deliveryKey(bucket, bodyId)
    stored = rows.get(DELIVERY, outcomeKey)
    record = DeliveryRecord(seconds=entry.seconds, filed=())
    if stored is not None:
        record = decode(stored, DeliveryRecord)
    known = step.bodyref(bodyId)
    if record.void or entry.target in record.queued:
        if known is None:
            deleteBody(rows, bucket, bodyId)  # the repetition may have brought the octets again
        return Refused("void") if record.void else Done()
    if known is None:
        newBody(step, entry, 1)
    else:
        step.refer(bodyId, 1)
    waits = QueueRecord(
        deliveryId=bodyId, sender=entry.sender, waiting=entry.waiting, sinceSeconds=entry.seconds
    )
    rows.put(QUEUE, queueKey(bucket, entry.dueSeconds, bodyId, entry.target), encode(waits))
    record = replace(record, seconds=entry.seconds, queued=(*record.queued, entry.target), index=step.index)
    rows.put(DELIVERY, outcomeKey, encode(record))
    step.events.append(QueueChanged(bucket))
    return Done()


def requeue(step: Step, entry: Requeue) -> Outcome:
    """Let it wait on, as `entry` says."""
    key = queueKey(step.bucket, entry.dueSeconds, entry.bodyId, entry.target)
    stored = step.rows.get(QUEUE, key)
    if stored is None:
        return Refused("gone")
    waits = replace(
        decode(stored, QueueRecord), deliveryId=entry.deliveryId, waiting=entry.waiting, reason=entry.reason
    )
    step.rows.delete(QUEUE, key)
    step.rows.put(QUEUE, queueKey(step.bucket, entry.nextSeconds, entry.bodyId, entry.target), encode(waits))
    step.events.append(QueueChanged(step.bucket))
    return Done()


def dequeue(step: Step, entry: Dequeue) -> Outcome:
    """It waits no longer; with the last reference its body goes."""
    if not step.rows.delete(QUEUE, queueKey(step.bucket, entry.dueSeconds, entry.bodyId, entry.target)):
        return Refused("gone")
    step.refer(entry.bodyId, -1)
    return Done()
