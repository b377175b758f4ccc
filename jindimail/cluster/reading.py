"""
Reading bodies wherever they are kept: this node first, then keepers that answer, then the others (design §6).

A body is verified against its digest as a whole, and remembered for a while, so that a client that reads it in pieces has it fetched once.
Of very large ones a keeper is asked first whether its copy is sound as a whole, and then for its chunks. A copy that is damaged or missing where its record says that it is counts as missing, and is told of.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.verified import AskSound, Verified
from jindimail.errors import Corrupt, JindimailError
from jindimail.interfaces import ILinks
from jindimail.replication.copies import Copies
from jindimail.store.bodies import chunkCount
from jindimail.store.keys import CHUNK_OCTETS

WHOLE_OCTETS_MAX = 4 << 20  # a larger body is read by chunk
REMEMBERED_OCTETS_MAX = 16 << 20

Damaged = Callable[[int, bytes, int], object]
Key = tuple[int, bytes]


class Reading:
    """
    Bodies that other nodes keep, and those of this node that are damaged.

    @ivar damaged: called with (bucket, body id, node) of a copy found damaged or missing.
    """

    def __init__(
        self, *, links: ILinks, copies: Copies, counters: BucketCounters, verified: Verified
    ) -> None:
        self.damaged: list[Damaged] = []
        self._links = links
        self._copies = copies
        self._counters = counters
        self._verified = verified
        self._remembered: OrderedDict[Key, bytes] = OrderedDict()
        self._octets = 0
        self._fetching: dict[Key, list[Deferred[bytes]]] = {}

    async def read(
        self,
        bucket: int,
        bodyId: bytes,
        size: int,
        digest: bytes,
        keepers: Sequence[int],
        low: int,
        high: int,
    ) -> bytes:
        """
        Octets [low, high) of a body.

        @raise Corrupt: every keeper answered, and none has it sound.
        @raise Unavailable: some keeper did not answer.
        """
        if low >= high:
            return b""
        if size > WHOLE_OCTETS_MAX:
            return await self._readChunks(AskSound(bucket, bodyId, size, digest), keepers, low, high)
        octets = await self._whole(bucket, bodyId, size, digest, keepers)
        return octets if high - low == size else octets[low:high]

    async def _whole(
        self, bucket: int, bodyId: bytes, size: int, digest: bytes, keepers: Sequence[int]
    ) -> bytes:
        key = bucket, bodyId
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            self._counters.cached += 1
            return known
        waiting = self._fetching.get(key)
        if waiting is not None:
            mine: Deferred[bytes] = Deferred()
            waiting.append(mine)
            return await mine
        self._fetching[key] = []
        try:
            octets = await self._copies.get(
                bucket, bodyId, size, digest, self._inOrder(keepers), self._damagedAt(key)
            )
        except BaseException as problem:  # whatever it is, those that wait for it wait no longer
            for each in self._fetching.pop(key):
                each.errback(problem)
            raise
        self._remember(key, octets)
        for each in self._fetching.pop(key):
            each.callback(octets)
        return octets

    def _remember(self, key: Key, octets: bytes) -> None:
        self._counters.fetched += 1
        self._counters.octetsFetched += len(octets)
        self._remembered[key] = octets
        self._octets += len(octets)
        while self._octets > REMEMBERED_OCTETS_MAX:
            _, dropped = self._remembered.popitem(last=False)
            self._octets -= len(dropped)

    async def _readChunks(self, body: AskSound, keepers: Sequence[int], low: int, high: int) -> bytes:
        first = low // CHUNK_OCTETS
        chunks = [await self._chunk(body, number, keepers) for number in range(first, chunkCount(high))]
        octets = b"".join(chunks)
        offset = first * CHUNK_OCTETS
        if len(octets) < high - offset:
            raise Corrupt("a body is shorter than it should be")
        return octets[low - offset : high - offset]

    async def _chunk(self, body: AskSound, number: int, keepers: Sequence[int]) -> bytes:
        """A chunk, from a keeper whose copy is sound as a whole."""
        key = body.bucket, body.bodyId
        problem: JindimailError = Corrupt("no keeper has the body")
        for node in self._inOrder(keepers):
            try:
                await self._verified.require(node, body)
                octets = await self._copies.chunk(node, *key, number)
            except Corrupt:
                self._verified.doubt(node, *key)
                self._damagedAt(key)(node)
            except JindimailError as away:
                problem = away
            else:
                self._counters.fetched += node != self._links.node
                self._counters.octetsFetched += len(octets) * (node != self._links.node)
                return octets
        raise problem

    def _inOrder(self, keepers: Sequence[int]) -> list[int]:
        node, links, copies = self._links.node, self._links, self._copies
        living = [each for each in keepers if not copies.isGone(each)]
        return sorted(living, key=lambda each: (each != node, copies.isSlow(each) or not links.isUp(each)))

    def tellDamaged(self, bucket: int, bodyId: bytes, node: int) -> None:
        """A node's copy was found damaged or missing."""
        for listener in self.damaged:
            listener(bucket, bodyId, node)

    def _damagedAt(self, key: Key) -> Callable[[int], Any]:
        return partial(self.tellDamaged, *key)
