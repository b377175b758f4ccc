"""
Copies of bodies on other nodes: putting, getting, keeping (design §6).

A body's chunks travel one by one and are acknowledged when they are durable, so that a keeper needs no memory of a body that
is under way: what stays incomplete is swept. The caller names the candidates in its order of preference; a keeper that is
slow is replaced by the next before the entry exists, since an entry names only keepers that have fsynced their copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, FirstError, fail, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jindimail.deadlines import Deadlines
from jindimail.errors import Corrupt, JindimailError, OutcomeUnknown, Unavailable
from jindimail.interfaces import IRows, IStore
from jindimail.model import isDigestOf
from jindimail.replication.nodemessages import AskBody, BodyPut, NodeMessage, PutBody, TellBody
from jindimail.replication.putting import SLOW_SECONDS, SLOW_SECONDS_MAX, Plan, Putting
from jindimail.store.bodies import chunkCount, putBody
from jindimail.store.keys import BODY, CHUNK_OCTETS, chunkKey

PUT_SECONDS = 5.0
GET_SECONDS = 1.0
SHY_SECONDS = 3.0  # for so long a node that was slow is the last to be asked
USUALS_UNTIL_SLOW = (
    3  # a put is slow if it takes so many times what puts take lately: a busy array is no slow keeper
)
USUAL_OVER = 32  # puts
ARRIVAL = -1  # in place of a chunk's number: the whole body
EARLY_MAX = 4096
CHUNKS_AHEAD = 16
WAITING_MAX = 65_536

Key = tuple[
    type[NodeMessage], int, int, bytes, int, int
]  # kind of answer, node, bucket, body id, chunk, attempt


class NotKept(Corrupt):
    """A node does not keep the body that it was asked for, or keeps a damaged one."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a body that is put comes from: its chunks by number."""

    size: int
    chunk: Callable[[int], bytes]


def ofOctets(octets: bytes) -> Source:
    """A body in memory."""
    if len(octets) <= CHUNK_OCTETS:
        return Source(len(octets), lambda number: octets)
    return Source(len(octets), lambda number: octets[number * CHUNK_OCTETS : (number + 1) * CHUNK_OCTETS])


def ofStore(store: IStore, bucket: int, bodyId: bytes, size: int) -> Source:
    """A body that this node keeps itself."""

    def chunk(number: int) -> bytes:
        with store.read() as rows:
            octets: bytes | None = rows.get(BODY, chunkKey(bucket, bodyId, number))
        if octets is None:
            raise NotKept
        return octets

    return Source(size, chunk)


class Copies:
    """
    This node's share in the copies of bodies.

    @param send: sends a message to a node; it may be lost.
    @ivar placing: bodies that this node is about to give new keepers, by the term in which it leads their bucket: nobody may sweep them
        meanwhile.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        node: int,
        send: Callable[[int, NodeMessage], None],
        isGone: Callable[[int], bool] = lambda node: False,
    ) -> None:
        """@param isGone: whether a node, and with it what it kept, is gone for good."""
        self.isGone = isGone
        self._clock = clock
        self._store = store
        self._node = node
        self._send = send
        self._deadlines = Deadlines(clock)
        self._waiting: dict[Key, list[Deferred[Any]]] = {}
        self._early: dict[Key, BodyPut] = {}
        self._usualSeconds = 0.0
        self._slow: dict[int, float] = {}
        self._suspects: dict[tuple[int, bytes], int] = {}  # under which question
        self.placing: dict[tuple[int, bytes], int] = {}
        self._attempts = count(int(clock.seconds() * 1_000_000))  # not those of an earlier life
        self.puts = self.replaced = 0

    # --- putting

    async def put(
        self, bucket: int, bodyId: bytes, octets: bytes, candidates: Sequence[int], copies: int
    ) -> tuple[int, ...]:
        """
        Have `copies` of the candidates keep a body, the first of them if they can; who does, durably, in their order.

        This node, where it is a candidate, keeps its copy at once.

        @raise NoKeepers: not so many did within the deadline.
        """
        return await self.place(
            bucket, bodyId, ofOctets(octets), lambda: (candidates, copies), {}, PUT_SECONDS
        )

    def place(
        self,
        bucket: int,
        bodyId: bytes,
        source: Source,
        plan: Plan,
        arriving: Mapping[int, Deferred[Any]],
        seconds: float,
        *,
        isPatient: bool = False,
    ) -> Deferred[tuple[int, ...]]:
        """
        Like `put`, of a body that some of the candidates have already, or are being sent by somebody else.

        @param plan, seconds, isPatient: see `Putting`.
        @param arriving: by node, what fires when the body is durable there (`arrival`).
        """
        untaken = dict(arriving)

        def begin(node: int) -> Deferred[Any]:
            arrival = untaken.pop(node, None)
            return self._putAt(node, bucket, bodyId, source) if arrival is None else arrival

        slowSeconds = min(SLOW_SECONDS_MAX, max(SLOW_SECONDS, USUALS_UNTIL_SLOW * self._usualSeconds))
        putting = Putting(
            clock=self._clock,
            deadlines=self._deadlines,
            plan=plan,
            begin=begin,
            seconds=seconds,
            isPatient=isPatient,
            slowSeconds=slowSeconds,
        )
        return putting.start().addBoth(self._placed, putting, self._clock.seconds())

    def _placed(self, result: Any, putting: Putting, begun: float) -> Any:
        now = self._clock.seconds()
        self._usualSeconds += (now - begun - self._usualSeconds) / USUAL_OVER
        if putting.slow:
            self.replaced += len(putting.slow)
            self._slow.update(dict.fromkeys(putting.slow, now + SHY_SECONDS))
        return result

    def isSlow(self, node: int) -> bool:
        """Whether a node was too slow to be a keeper a moment ago."""
        return self._slow.get(node, 0.0) > self._clock.seconds()

    def _putAt(self, node: int, bucket: int, bodyId: bytes, source: Source) -> Deferred[Any]:
        """Have one node keep a body; fires when it is durable there."""
        chunks = chunkCount(source.size)
        self.puts += 1
        if chunks > 1:
            return Deferred.fromCoroutine(self._putChunks(node, bucket, bodyId, source, chunks))
        if not chunks:
            return succeed(None)
        return self._putChunk(node, bucket, bodyId, 0, source.chunk(0), self.newAttempt())

    async def _putChunks(self, node: int, bucket: int, bodyId: bytes, source: Source, chunks: int) -> None:
        attempt = self.newAttempt()
        for start in range(0, chunks, CHUNKS_AHEAD):
            window = [
                self._putChunk(node, bucket, bodyId, number, source.chunk(number), attempt)
                for number in range(start, min(chunks, start + CHUNKS_AHEAD))
            ]
            await _all(window)

    def _putChunk(
        self, node: int, bucket: int, bodyId: bytes, number: int, chunk: bytes, attempt: int
    ) -> Deferred[Any]:
        if node == self._node:
            return self.write(bucket, bodyId, number, chunk)
        answer = self._answer((BodyPut, node, bucket, bodyId, number, attempt))
        self._send(node, PutBody(bucket, bodyId, number, chunk, attempt))
        return answer

    def write(self, bucket: int, bodyId: bytes, firstChunk: int, octets: bytes) -> Deferred[Any]:
        """Keep octets of a body here, from a chunk on; fires when they are durable."""

        def job(rows: IRows) -> None:
            putBody(rows, bucket, bodyId, octets, firstChunk)

        self._suspects.pop((bucket, bodyId), None)
        written: Deferred[Any] = self._store.write(job, len(octets))
        return written

    # --- a body that another node keeps unasked

    def newAttempt(self) -> int:
        """The number of a putting of a body, or under which this node will `tell` another that it keeps one: never that of another."""
        return next(self._attempts)

    def tell(self, node: int, bucket: int, bodyId: bytes, attempt: int, *, refused: bool = False) -> None:
        """Tell a node that this one keeps a body durably; or that it does not."""
        self._send(node, BodyPut(bucket, bodyId, ARRIVAL, refused, attempt))

    def arrival(self, node: int, bucket: int, bodyId: bytes, attempt: int) -> Deferred[Any]:
        """Fires when a node has told so, which it may have done already; whoever waits cancels it."""
        key = BodyPut, node, bucket, bodyId, ARRIVAL, attempt
        early = self._early.pop(key, None)
        if early is None:
            return self._answer(key)
        return fail(Unavailable("refused")) if early.refused else succeed(early)

    # --- getting

    async def get(
        self,
        bucket: int,
        bodyId: bytes,
        size: int,
        digest: bytes,
        keepers: Sequence[int],
        damaged: Callable[[int], object] = lambda node: None,
    ) -> bytes:
        """
        A whole body, verified, from the first keeper that has it; the nearest should stand first.

        @param damaged: is told of keepers that have none, or a damaged one.
        @raise Corrupt: each keeper answered, and none has it sound; or all are gone for good.
        @raise Unavailable: some keeper did not answer.
        """
        problem: JindimailError = Corrupt("no keeper has the body")
        for node in keepers:
            if self.isGone(node):
                continue
            try:
                octets = await self._whole(node, bucket, bodyId, size)
            except NotKept:
                damaged(node)
                continue
            except JindimailError as error:
                self._slow[node] = self._clock.seconds() + SHY_SECONDS
                problem = error
                continue
            if len(octets) == size and isDigestOf(digest, octets):
                return octets
            damaged(node)
        raise problem

    async def _whole(self, node: int, bucket: int, bodyId: bytes, size: int) -> bytes:
        chunks = chunkCount(size)
        found: list[bytes] = []
        for start in range(0, chunks, CHUNKS_AHEAD):
            numbers = range(start, min(chunks, start + CHUNKS_AHEAD))
            found += await _all([self.chunk(node, bucket, bodyId, number) for number in numbers])
        return found[0] if len(found) == 1 else b"".join(found)

    def chunk(self, node: int, bucket: int, bodyId: bytes, number: int) -> Deferred[bytes]:
        """
        A Deferred of one chunk of a body as one node has it.

        It fails with NotKept if the node has none, with Unavailable if it does not answer.
        """
        if node == self._node:
            with self._store.readDurable() as rows:
                octets: bytes | None = rows.get(BODY, chunkKey(bucket, bodyId, number))
            return fail(NotKept()) if octets is None else succeed(octets)
        answer = self._answer((TellBody, node, bucket, bodyId, number, 0), GET_SECONDS)
        self._send(node, AskBody(bucket, bodyId, number))
        return answer.addCallback(_chunkTold)

    async def holds(self, node: int, bucket: int, bodyId: bytes, size: int) -> bool:
        """Whether a node still has a body's last chunk: asked before a stored outcome is repeated."""
        try:
            await self.chunk(node, bucket, bodyId, max(0, chunkCount(size) - 1))
        except NotKept:
            return size == 0
        return True

    # --- keeping

    def received(self, node: int, message: NodeMessage) -> None:
        """A message about bodies came in."""
        if isinstance(message, PutBody):
            self._keep(node, message)
        elif isinstance(message, AskBody):
            with self._store.readDurable() as rows:
                octets = rows.get(BODY, chunkKey(message.bucket, message.bodyId, message.number))
            answer = TellBody(message.bucket, message.bodyId, message.number, octets or b"", octets is None)
            self._send(node, answer)
        elif isinstance(message, (BodyPut, TellBody)):  # a union of types would be made each time
            attempt = message.attempt if isinstance(message, BodyPut) else 0
            key = type(message), node, message.bucket, message.bodyId, message.number, attempt
            self._answered(key, message)

    def _keep(self, node: int, message: PutBody) -> None:
        bucket, bodyId, number = message.bucket, message.bodyId, message.number
        written = self.write(bucket, bodyId, number, message.octets)
        written.addCallbacks(
            lambda _: self._send(node, BodyPut(bucket, bodyId, number, False, message.attempt)),
            lambda _: self._send(node, BodyPut(bucket, bodyId, number, True, message.attempt)),
        )

    def suspect(self, bucket: int, bodyId: bytes, question: int) -> None:
        """It is asked whether this body may be swept; it may not if it is put again meanwhile."""
        self._suspects[bucket, bodyId] = question

    def takeSuspect(self, bucket: int, bodyId: bytes, question: int) -> bool:
        """Whether the body is still suspected under this question: it was neither put nor asked about again since `suspect`. It is no longer, then."""
        if self._suspects.get((bucket, bodyId)) != question:
            return False
        del self._suspects[bucket, bodyId]
        return True

    def isPlacing(self, bucket: int, bodyId: bytes, term: int) -> bool:
        """Whether this node, which leads the bucket in this term, is about to give the body new keepers."""
        return self.placing.get((bucket, bodyId), -1) == term

    def placed(self, bucket: int, bodyId: bytes, term: int) -> None:
        """The body has its new keepers, or does not get them in that term."""
        if self.isPlacing(bucket, bodyId, term):
            del self.placing[bucket, bodyId]

    # --- answers

    def _answer(self, key: Key, seconds: float = 0.0) -> Deferred[Any]:
        """What a node will answer; fails with OutcomeUnknown after a while, if that is given, or is cancelled."""
        done: Deferred[Any] = Deferred(lambda cancelled: self._forget(key, cancelled))
        if len(self._waiting) >= WAITING_MAX:
            done.errback(Unavailable("too much under way"))
            return done
        self._waiting.setdefault(key, []).append(done)
        if seconds:
            call = self._clock.callLater(seconds, self._late, key, done)
            done.addBoth(_stopped, call)
        return done

    def _answered(self, key: Key, message: BodyPut | TellBody) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            if isinstance(message, BodyPut) and message.number == ARRIVAL:
                self._early[key] = message  # ahead of what announces it, on another channel
                if len(self._early) > EARLY_MAX:
                    del self._early[next(iter(self._early))]
            return
        for done in waiting:
            if isinstance(message, BodyPut) and message.refused:
                done.errback(Unavailable("refused"))
            else:
                done.callback(message)

    def lost(self, node: int) -> None:
        """The connections to a node are gone, and with them its answers: go on with others at once, as if it were late."""
        for key in [key for key in self._waiting if key[1] == node]:
            for done in self._waiting.pop(key, ()):
                done.errback(OutcomeUnknown("the node is gone"))

    def _late(self, key: Key, done: Deferred[Any]) -> None:
        self._forget(key, done)
        done.errback(OutcomeUnknown("no answer"))

    def _forget(self, key: Key, done: Deferred[Any]) -> None:
        waiting = self._waiting.get(key, [])
        if done in waiting:
            waiting.remove(done)
        if not waiting:
            self._waiting.pop(key, None)


def _stopped(result: Any, call: IDelayedCall) -> Any:
    if call.active():
        call.cancel()
    return result


def _chunkTold(told: TellBody) -> bytes:
    if told.missing:
        raise NotKept
    return told.octets


async def _all(waits: list[Deferred[Any]]) -> list[Any]:
    """What all of them give; the first failure ends it."""
    try:
        found: list[Any] = await gatherResults(waits, consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()
    return found
