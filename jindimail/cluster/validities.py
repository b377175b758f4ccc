"""
New UIDVALIDITYs for what was founded anew (design §10): UIDs that were lost are given again, so that no client may take them for those it knew.

The node that a bucket is founded anew at marks it before, and the mark goes when all its mailboxes are renewed: whoever asks again after a crash between the
two finds what is still owed. The new ones are above all that any mailbox of the bucket has, whatever clock gave them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from jindimail.errors import Corrupt
from jindimail.interfaces import ILinks, IReadRows, IRows, IStore
from jindimail.store.keys import MAILBOX, META, OWING_TAG, after, bucketKey, owingKey
from jindimail.store.records import MailboxRecord, decode

OWING, RENEWED = "recovery.owing", "recovery.renewed"
ASK_SECONDS = 10.0
AHEAD_SECONDS = 86_400  # of the clock: others' may be ahead, too

Owing = dict[int, int]  # the highest UIDVALIDITY of each bucket that is marked


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
        links.serve(RENEWED, self._renewed)

    # --- what is asked here

    async def mark(self, bucket: int) -> None:
        """A bucket is about to be founded anew here."""
        await self._store.write(lambda rows: rows.put(META, owingKey(bucket), b""))

    def _owing(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        with self._store.read() as rows:
            marked = [int.from_bytes(key[len(OWING_TAG) :], "big") for key, _ in _marks(rows)]
            return msgspec.msgpack.encode({bucket: _highest(rows, bucket) for bucket in marked})

    async def _renewed(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        try:
            bucket = msgspec.msgpack.decode(payload, type=int)
        except msgspec.MsgspecError as problem:
            raise Corrupt("no bucket") from problem
        await self._store.write(partial(_forget, bucket))
        return b""

    # --- what is asked of the others

    async def owing(self, node: int) -> Owing:
        """
        What a node has marked.

        @raise Unavailable: it does not say.
        """
        octets: bytes = await self._links.call(node, OWING, b"", ASK_SECONDS)
        return msgspec.msgpack.decode(octets, type=Owing)

    async def renew(self, bucket: int, node: int) -> None:
        """
        Give all mailboxes of a bucket that was founded anew at a node new UIDVALIDITYs.

        @raise Unavailable: it was not finished; the mark stays.
        """
        await self._propose(
            bucket, self._renewal(0)
        )  # all that its log had is applied now, new mailboxes among it
        highest = (await self.owing(node)).get(bucket, 0)
        entry = self._renewal(max(int(self._seconds()) + AHEAD_SECONDS, highest + 1))
        while (await self._propose(bucket, entry)).remaining:
            pass
        await self._links.call(node, RENEWED, msgspec.msgpack.encode(bucket), ASK_SECONDS)


def _marks(rows: IReadRows) -> Any:
    return rows.scan(META, OWING_TAG, after(OWING_TAG))


def _highest(rows: IReadRows, bucket: int) -> int:
    found = rows.scan(MAILBOX, bucketKey(bucket), bucketKey(bucket + 1))
    return max((decode(octets, MailboxRecord).uidValidity for _, octets in found), default=0)


def _forget(bucket: int, rows: IRows) -> None:
    rows.delete(META, owingKey(bucket))
