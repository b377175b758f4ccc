"""
Bodies of this node that were found sound lately: one that is read in pieces is verified as a whole before the first of them (design §6).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.errors import Corrupt
from jindimail.interfaces import IStore
from jindimail.store.bodies import chunkCount
from jindimail.store.keys import BODY, chunkKey

REMEMBERED_MAX: Final = 4096
REMEMBERED_SECONDS: Final = 600.0
CHUNKS_AT_ONCE: Final = 32  # two MiB, about three milliseconds


class Verified:
    """A bounded memory of what was verified."""

    def __init__(self, *, clock: IReactorTime, store: IStore) -> None:
        self._clock = clock
        self._store = store
        self._since: OrderedDict[tuple[int, bytes], float] = OrderedDict()

    async def require(self, bucket: int, bodyId: bytes, size: int, digest: bytes) -> None:
        """
        Have a body of this node verified, if it was not lately.

        @raise Corrupt: it is damaged, or not here.
        """
        key = bucket, bodyId
        now = self._clock.seconds()
        if now - self._since.get(key, -REMEMBERED_SECONDS) < REMEMBERED_SECONDS:
            return
        hasher = blake2b(digest_size=len(digest))
        chunks = chunkCount(size)
        for first in range(0, chunks, CHUNKS_AT_ONCE):
            if first:
                await self._breathe()
            with self._store.read() as rows:
                for number in range(first, min(chunks, first + CHUNKS_AT_ONCE)):
                    hasher.update(rows.get(BODY, chunkKey(bucket, bodyId, number)) or b"")
        if hasher.digest() != digest:
            raise Corrupt("body has another digest")
        self._since[key] = now
        self._since.move_to_end(key)
        if len(self._since) > REMEMBERED_MAX:
            self._since.popitem(last=False)

    def _breathe(self) -> Deferred[None]:
        pause: Deferred[None] = Deferred()
        self._clock.callLater(0, pause.callback, None)
        return pause
