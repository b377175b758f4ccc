"""The verbs about mail that waits for a bucket that does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import PAGE_ROWS, Argument, Report, VerbRefused, verb
from jindimail.directory.everybucket import everyBucket
from jindimail.errors import Unavailable
from jindimail.mailbox.entries import Dequeue, Requeue
from jindimail.mailbox.queries import ListQueue, Queued
from jindimail.model import BUCKET_COUNT

MESSAGE = Argument(name="message", doc="the message, as `queue list` names it")
AFTER = Argument(name="after", doc="the page after this one", option=True, default="")


@verb(
    "queue list",
    AFTER,
    columns=("message", "sender", "recipients", "octets", "since", "reason"),
    examples=("jindictl queue list",),
)
async def queue(node: LiveNode, report: Report, *, after: str = "") -> dict[str, Any]:
    """Mail that was taken and waits for buckets that do not answer, or for recipients who are over their quota."""
    rows: list[dict[str, Any]] = []
    silent: list[int] = []
    last = None
    async for bucket, row in _all(node, silent, after):
        if len(rows) == PAGE_ROWS:
            last = rows[-1]["message"]
            break
        rows.append(_row(bucket, row))
    return {"rows": rows, "after": last, "silentBuckets": silent}


@verb("queue show", MESSAGE, examples=("jindictl queue show 000c…",))
async def queued(node: LiveNode, report: Report, *, message: str) -> dict[str, Any]:
    """One message that waits, with its recipients."""
    bucket, row = await _find(node, message)
    shown = _row(bucket, row)
    shown["recipients"] = [each.address for each in row.record.waiting]
    return shown


@verb("queue retry", MESSAGE, examples=("jindictl queue retry 000c…",))
async def retryQueued(node: LiveNode, report: Report, *, message: str) -> dict[str, Any]:
    """Try now to file a message, which would be tried later by itself."""
    bucket, row = await _find(node, message)
    now = int(node.seconds())
    entry = Requeue(
        seconds=now,
        bodyId=row.bodyId,
        target=row.target,
        dueSeconds=row.dueSeconds,
        deliveryId=row.record.deliveryId,
        waiting=row.record.waiting,
        nextSeconds=now,
        reason=row.record.reason,
    )
    await node.buckets.propose(bucket, entry)
    return {"due": message}


@verb(
    "queue remove",
    MESSAGE,
    confirm="Remove {message} from the queue? Its recipients will not get it, and its sender is not told.",
    examples=("jindictl queue remove 000c… --yes",),
)
async def removeQueued(node: LiveNode, report: Report, *, message: str) -> dict[str, Any]:
    """Drop a message that waits."""
    bucket, row = await _find(node, message)
    entry = Dequeue(
        seconds=int(node.seconds()), bodyId=row.bodyId, target=row.target, dueSeconds=row.dueSeconds
    )
    await node.buckets.propose(bucket, entry)
    return {"removed": message}


async def _all(node: LiveNode, silent: list[int], after: str = "") -> AsyncIterator[tuple[int, Queued]]:
    """What waits, bucket by bucket, of each bucket as much as a page and one; those that do not answer are named."""
    first, place = _place(after) if after else (0, b"")

    async def ask(bucket: int) -> Sequence[Queued] | None:
        query = ListQueue(after=place if bucket == first else b"", limit=PAGE_ROWS + 1)
        try:
            found: Sequence[Queued] = await node.buckets.query(bucket, query, fresh=True)
        except Unavailable:
            return None
        return found

    async for bucket, found in everyBucket(ask, first):
        if found is None:
            silent.append(bucket)
        for row in found or ():
            yield bucket, row


async def _find(node: LiveNode, message: str) -> tuple[int, Queued]:
    """
    A message by its name, which a retry changes.

    @raise VerbRefused: it waits no longer, or never did.
    """
    bucket, key = _place(message)
    for found in await node.buckets.query(bucket, ListQueue(after=key[:-1], limit=PAGE_ROWS), fresh=True):
        if found.key == key:
            return bucket, found
    raise VerbRefused(f"{message}: no such message waits", "notFound")


def _row(bucket: int, row: Queued) -> dict[str, Any]:
    return {
        "message": row.key.hex(),
        "sender": row.record.sender,
        "recipients": len(row.record.waiting),
        "octets": row.size,
        "since": row.record.sinceSeconds,
        "due": row.dueSeconds,
        "bucket": bucket,
        "for": row.target,
        "delivery": row.record.deliveryId.hex(),
        "reason": row.record.reason or "the bucket does not answer",
    }


def _place(message: str) -> tuple[int, bytes]:
    try:
        key = bytes.fromhex(message)
        return int.from_bytes(key[:2], "big") % BUCKET_COUNT, key
    except ValueError:
        raise VerbRefused(f"{message}: no message is called so", "notFound") from None
