"""
Deliveries on their way to their bucket's leader: the side of the node that the mail came in at, and the leader's door.

A body of up to 256 KiB travels in the call, a larger one in a stream. The ingress keeps a copy of its own where it may be a keeper: of a small body while
the octets travel, of a large one before. A stream that reaches a node that does not lead is stored there, and sent on, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure

from jindimail.cluster.calls import (
    ARRIVING,
    KEPT,
    NOT_KEPT,
    Delivery,
    Errand,
    Report,
    decodeCall,
    encodeCall,
)
from jindimail.cluster.elsewhere import IWire
from jindimail.cluster.placing import Arriving, Placing
from jindimail.cluster.router import ATTEMPT_SECONDS, Router
from jindimail.cluster.streams import Streams
from jindimail.errors import Corrupt, Unavailable
from jindimail.interfaces import IGroups, IStateMachine, IStore
from jindimail.model import Body, bucketGroup
from jindimail.replication.copies import Source, ofOctets, ofStore
from jindimail.store.bodies import chunkCount
from jindimail.store.keys import CHUNK_OCTETS

DELIVER = "deliver"
CALL_OCTETS_MAX = 256 * 1024
PIECES_AHEAD = 8


class Delivering:
    """Takes deliveries to leaders, and takes them in as one."""

    def __init__(
        self,
        *,
        groups: IGroups,
        store: IStore,
        machine: IStateMachine,
        wire: IWire,
        router: Router,
        streams: Streams,
        placing: Placing,
    ) -> None:
        self.node = router.node
        self.placing = placing
        self.router = router
        self.machine = machine
        self.streams = streams
        self.store = store
        self._groups = groups
        self._wire = wire
        router.serve(DELIVER, self._carry)
        streams.serve(DELIVER, self._begin)

    # --- the ingress

    async def deliver(self, bucket: int, entry: Any, body: Body) -> Any:
        """The outcome of a delivery, placed and proposed by the bucket's leader; tried again until it is known."""
        kind = _Small if body.size <= CALL_OCTETS_MAX else _Large
        answer = await self.router.toLeader(
            bucketGroup(bucket), kind(self, bucket, entry, body).ask, mayLag=True
        )
        if not isinstance(answer, Report):
            return answer
        assert answer.words is not None
        return self._wire.decodeOutcome(answer.words)

    # --- the leader

    async def _carry(self, group: int, words: bytes) -> bytes:
        delivery: Delivery = decodeCall(words, Delivery)
        return await self.take(group, delivery, ofOctets(delivery.octets), {})

    async def take(self, group: int, delivery: Delivery, source: Source, arriving: dict[int, Any]) -> bytes:
        """Place a delivery of another node here; the outcome's octets."""
        bucket, entry, ingress = group - 1, self.machine.decode(delivery.entry), delivery.ingress
        if source.size != entry.size:
            raise Corrupt("not the whole body")
        if delivery.keeps == KEPT:
            arriving[ingress] = succeed(None)
        elif delivery.keeps == ARRIVING:
            copies = self.placing.copies
            arriving[ingress] = copies.arrival(ingress, bucket, entry.bodyId, delivery.attempt)
        try:
            outcome: Any = await self.placing.place(bucket, entry, source, ingress, arriving)
        finally:  # nobody waits for a copy that was of no use, or comes too late
            for arrival in arriving.values():
                arrival.addErrback(lambda _: None)
                arrival.cancel()
        return self._wire.encodeOutcome(outcome)

    def _begin(self, node: int, head: bytes) -> _Incoming:
        errand: Errand = decodeCall(head, Errand)
        leader = self._groups.leaderOf(errand.group)
        if leader != self.node and not (errand.mayPass and leader and leader != node):
            raise Unavailable("another node leads")
        return _Incoming(self, errand, decodeCall(errand.words, Delivery))

    async def arrived(self, errand: Errand, delivery: Delivery, source: Source) -> bytes:
        """A streamed body is durable here: place it, or send it on to the leader."""
        leader = self._groups.leaderOf(errand.group)
        if leader == self.node:
            words = await self.take(errand.group, delivery, source, {self.node: succeed(None)})
            return self.router.report(errand.group, words)
        if not errand.mayPass or not leader:
            return encodeCall(Report(leader or 0, 0, None))
        self.router.counters.passed += 1
        onward = encodeCall(Errand(errand.group, False, errand.words))
        pieces = (source.chunk(number) for number in range(chunkCount(source.size)))
        return await self.streams.send(leader, DELIVER, onward, pieces, ATTEMPT_SECONDS)


class _Outgoing:
    """A delivery at its ingress."""

    def __init__(self, delivering: Delivering, bucket: int, entry: Any, body: Body) -> None:
        self.delivering = delivering
        self.bucket = bucket
        self.entry = entry
        self.body = body
        self.encoded = delivering.machine.encode(entry)

    def words(self, octets: bytes, keeps: int, attempt: int = 0) -> bytes:
        """What the leader is told."""
        return encodeCall(Delivery(self.encoded, octets, self.delivering.node, keeps, attempt))

    def placed(self, source: Source, arriving: Arriving) -> Deferred[Any]:
        """This node leads, itself."""
        placing, node = self.delivering.placing, self.delivering.node
        return Deferred.fromCoroutine(placing.place(self.bucket, self.entry, source, node, arriving))


class _Small(_Outgoing):
    """A body that goes in the call."""

    def __init__(self, delivering: Delivering, bucket: int, entry: Any, body: Body) -> None:
        super().__init__(delivering, bucket, entry, body)
        self.octets = b"".join(body.source.pieces(CALL_OCTETS_MAX))
        self.writing = False
        self.isDurable: bool | None = None
        self.promised: list[tuple[int, int]] = []

    def ask(self, node: int, mayPass: bool, seconds: float) -> Deferred[Any]:
        """See `Router.toLeader`."""
        if node == self.delivering.node:
            return self.placed(ofOctets(self.octets), {})
        keeps, attempt = self._keep(node, mayPass)
        call = self.delivering.router.call
        words = self.words(self.octets, keeps, attempt)
        return call(DELIVER, bucketGroup(self.bucket), words)(node, mayPass, seconds)

    def _keep(self, leader: int, mayPass: bool) -> tuple[int, int]:
        """Begin to keep a copy here, if that is of use; what to tell the leader."""
        copies, isKept = self.delivering.placing.copies, self.isDurable
        if not isKept and not self.delivering.placing.mayKeep(self.bucket, leader):
            return NOT_KEPT, 0
        if not self.writing:
            self.delivering.placing.requireFree(self.bucket, self.entry)
            self.writing = True
            written = copies.write(self.bucket, self.entry.bodyId, 0, self.octets)
            written.addBoth(self._written)
        if self.isDurable:
            return KEPT, 0
        if self.isDurable is False or mayPass:
            return NOT_KEPT, 0  # who passes it on is not who has to be told
        attempt = copies.newAttempt()
        self.promised.append((leader, attempt))
        return ARRIVING, attempt

    def _written(self, result: Any) -> None:
        self.isDurable = not isinstance(result, Failure)
        copies = self.delivering.placing.copies
        for leader, attempt in self.promised:
            copies.tell(leader, self.bucket, self.entry.bodyId, attempt, refused=not self.isDurable)


class _Large(_Outgoing):
    """A body that goes in a stream."""

    def __init__(self, delivering: Delivering, bucket: int, entry: Any, body: Body) -> None:
        super().__init__(delivering, bucket, entry, body)
        self.isKept = False

    def ask(self, node: int, mayPass: bool, seconds: float) -> Deferred[Any]:
        """See `Router.toLeader`."""
        return Deferred.fromCoroutine(self._ask(node, mayPass))

    async def _ask(self, node: int, mayPass: bool) -> Any:
        delivering, bucket, body = self.delivering, self.bucket, self.body
        if not self.isKept and (node == delivering.node or delivering.placing.mayKeep(bucket, node)):
            await self._keep()
        if node == delivering.node:
            source = ofStore(delivering.store, bucket, body.bodyId, body.size)
            return await self.placed(source, {node: succeed(None)})
        words = self.words(b"", KEPT if self.isKept else NOT_KEPT)
        head = encodeCall(Errand(bucketGroup(bucket), mayPass, words))
        pieces = body.source.pieces(CHUNK_OCTETS)
        answer = await delivering.streams.send(node, DELIVER, head, pieces, ATTEMPT_SECONDS)
        return decodeCall(answer, Report)

    async def _keep(self) -> None:
        self.delivering.placing.requireFree(self.bucket, self.entry)
        write = partial(self.delivering.placing.copies.write, self.bucket, self.body.bodyId)
        await writeChunks(self._pieces(), write)
        self.isKept = True

    def _pieces(self) -> Iterator[bytes]:
        return self.body.source.pieces(PIECES_AHEAD * CHUNK_OCTETS)


async def writeChunks(pieces: Iterable[bytes], write: Callable[[int, bytes], Awaitable[object]]) -> None:
    """Keep a body, a piece (of whole chunks, but for the last) after the other: `write(firstChunk, piece)` is done when that is durable."""
    firstChunk = 0
    for piece in pieces:
        await write(firstChunk, piece)
        firstChunk += chunkCount(len(piece))


class _Incoming:
    """A body that comes in by a stream: each piece is a chunk, and is stored as it comes."""

    def __init__(self, delivering: Delivering, errand: Errand, delivery: Delivery) -> None:
        self._delivering = delivering
        self._errand = errand
        self._delivery = delivery
        entry = delivering.machine.decode(delivery.entry)
        delivering.placing.requireFree(errand.group - 1, entry)
        self._bodyId: bytes = entry.bodyId
        self._ahead: list[Deferred[Any]] = []
        self._chunks = 0
        self._size = 0

    def take(self, octets: bytes) -> Deferred[Any] | None:
        """See `IsReceiver`."""
        copies = self._delivering.placing.copies
        self._ahead.append(copies.write(self._errand.group - 1, self._bodyId, self._chunks, octets))
        self._chunks += 1
        self._size += len(octets)
        return self._ahead.pop(0) if len(self._ahead) >= PIECES_AHEAD else None

    async def end(self) -> bytes:
        """See `IsReceiver`."""
        ahead, self._ahead = self._ahead, []
        await gatherResults(ahead, consumeErrors=True)
        delivering, bucket = self._delivering, self._errand.group - 1
        source = ofStore(delivering.store, bucket, self._bodyId, self._size)
        return await delivering.arrived(self._errand, self._delivery, source)

    def lost(self) -> None:
        """See `IsReceiver`."""
        for each in self._ahead:
            each.addErrback(lambda _: None)
