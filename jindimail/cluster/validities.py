"""
New UIDVALIDITYs for what was founded anew (design §10): UIDs that were lost are given again, so that no client may take them for those it knew.

The node that a bucket is founded anew at marks it before, and the mark goes when all its mailboxes are renewed: whoever asks again after a crash between the
two finds what is still owed. The new ones are above all that any mailbox of the bucket has, whatever clock gave them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from jindimail.errors import Corrupt
from jindimail.interfaces import ILinks, IStore
from jindimail.model import BUCKET_COUNT
from jindimail.store.keys import MAILBOX, META, OWING_TAG, after, bucketKey, owingKey
from jindimail.store.records import MailboxRecord, decode

OWING, HIGHEST, RENEWED = "recovery.owing", "recovery.highest", "recovery.renewed"
ASK_SECONDS = 10.0
AHEAD_SECONDS = 86_400  # of the clock: others' may be ahead, too


class Validities:
    """One node's part: what it owes, and what it asks of the others when an operator founds anew."""

    def __init__(
        self,
        *,
        store: IStore,
        links: ILinks,
        propose: Callable[[int, Any], Awaitable[Any]],
        renewal: Callable[[int], Any],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param propose: the outcome of a bucket's entry, tried again until there is one.
        @param renewal: the entry that gives a bucket's mailboxes UIDVALIDITYs above a floor, some at a time.
        @param seconds: the wall clock.
        """
        self._store = store
        self._links = links
        self._propose = propose
        self._renewal = renewal
        self._seconds = seconds
        links.serve(OWING, self._owing)
        links.serve(HIGHEST, self._highest)
        links.serve(RENEWED, self._renewed)

    # --- what is asked here

    async def mark(self, bucket: int) -> None:
        """A bucket is about to be founded anew here."""
        await self._store.write(lambda rows: rows.put(META, owingKey(bucket), b""))

    def _owing(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        with self._store.read() as rows:
            marks = rows.scan(META, OWING_TAG, after(OWING_TAG))
            return msgspec.msgpack.encode([int.from_bytes(key[len(OWING_TAG) :], "big") for key, _ in marks])

    def _highest(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        bucket = _bucketOf(payload)
        with self._store.read() as rows:
            found = rows.scan(MAILBOX, bucketKey(bucket), bucketKey(bucket + 1))
            highest = max((decode(octets, MailboxRecord).uidValidity for _, octets in found), default=0)
        return msgspec.msgpack.encode(highest)

    async def _renewed(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        bucket = _bucketOf(payload)
        await self._store.write(lambda rows: rows.delete(META, owingKey(bucket)))
        return b""

    # --- what is asked of the others

    async def owing(self, node: int) -> list[int]:
        """
        The buckets that a node has marked.

        @raise Unavailable: it does not say.
        """
        octets: bytes = await self._links.call(node, OWING, b"", ASK_SECONDS)
        return msgspec.msgpack.decode(octets, type=list[int])

    async def renew(self, bucket: int, node: int) -> None:
        """
        Give all mailboxes of a bucket that was founded anew at a node new UIDVALIDITYs.

        @raise Unavailable: it was not finished; the mark stays.
        """
        named = msgspec.msgpack.encode(bucket)
        # With an entry's outcome all that the log had before it is applied, new mailboxes among it.
        await self._propose(bucket, self._renewal(0))
        octets: bytes = await self._links.call(node, HIGHEST, named, ASK_SECONDS)
        highest = msgspec.msgpack.decode(octets, type=int)
        entry = self._renewal(max(int(self._seconds()) + AHEAD_SECONDS, highest + 1))
        while (await self._propose(bucket, entry)).remaining:
            pass
        await self._links.call(node, RENEWED, named, ASK_SECONDS)


def _bucketOf(payload: bytes) -> int:
    try:
        bucket = msgspec.msgpack.decode(payload, type=int)
    except msgspec.MsgspecError as problem:
        raise Corrupt("no bucket") from problem
    if not 0 <= bucket < BUCKET_COUNT:
        raise Corrupt("no bucket")
    return bucket
