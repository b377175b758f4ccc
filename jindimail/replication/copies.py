"""
Copies of bodies on other nodes: putting, getting, keeping (design §6).

A body's chunks travel one by one and are acknowledged when they are durable, so that a keeper needs no memory of a body that
is under way: what stays incomplete is swept. The caller names the candidates in its order of preference; a keeper that is
slow is replaced by the next before the entry exists, since an entry names only keepers that have fsynced their copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from jindimail.errors import Corrupt, JindimailError, OutcomeUnknown, Unavailable
from jindimail.interfaces import IRows, IStore
from jindimail.model import digestOf
from jindimail.replication.nodemessages import AskBody, BodyPut, NodeMessage, PutBody, TellBody
from jindimail.store.bodies import chunkCount
from jindimail.store.keys import BODY, CHUNK_OCTETS, chunkKey

SLOW_SECONDS = 0.15  # then another keeper is tried besides
PUT_SECONDS = 5.0
GET_SECONDS = 2.0
CHUNKS_AHEAD = 16
WAITING_MAX = 65_536

Key = tuple[
    type[NodeMessage], int, int, bytes, int, int
]  # kind of answer, node, bucket, body id, chunk, attempt


class NotKept(Corrupt):
    """A node does not keep the body that it was asked for, or keeps a damaged one."""


class NoKeepers(Unavailable):
    """Too few nodes could be made to keep a body."""


class Copies:
    """
    This node's share in the copies of bodies.

    @param send: sends a message to a node; it may be lost.
    @ivar placing: bodies that this node, as a leader, is about to give new keepers: nobody may sweep them meanwhile.
    """

    def __init__(
        self, *, clock: IReactorTime, store: IStore, node: int, send: Callable[[int, NodeMessage], None]
    ) -> None:
        self._clock = clock
        self._store = store
        self._node = node
        self._send = send
        self._waiting: dict[Key, list[Deferred[Any]]] = {}
        self._suspects: set[tuple[int, bytes]] = set()
        self.placing: set[tuple[int, bytes]] = set()
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
        kept: list[int] = []
        running: dict[int, Deferred[None]] = {}
        changed: list[Deferred[None]] = []
        untried = list(candidates)

        def ended(result: Any, node: int) -> None:
            del running[node]
            if not isinstance(result, Failure):
                kept.append(node)
            if changed:
                changed.pop().callback(None)

        def begin() -> None:
            node = untried.pop(0)
            work = self._putAt(node, bucket, bodyId, octets)
            running[node] = Deferred.fromCoroutine(work)
            running[node].addBoth(ended, node)

        deadline = self._clock.seconds() + PUT_SECONDS
        while len(kept) < copies:
            while untried and len(kept) + len(running) < copies:
                begin()
            if not running and not untried:
                break
            if len(kept) >= copies:
                break
            wait = Deferred[None]()
            changed[:] = [wait]
            isSlow = await self._within(wait, min(SLOW_SECONDS, max(0.0, deadline - self._clock.seconds())))
            if self._clock.seconds() >= deadline:
                break
            if isSlow and untried:
                self.replaced += 1
                begin()
        changed.clear()
        for work in list(running.values()):
            work.cancel()
        if len(kept) < copies:
            raise NoKeepers(f"{len(kept)} of {copies} nodes keep the body")
        return tuple(node for node in candidates if node in kept)

    async def _within(self, wait: Deferred[None], seconds: float) -> bool:
        """Wait for a change; True if it did not come in time."""
        late: list[bool] = []

        def passed() -> None:
            late.append(True)
            if not wait.called:
                wait.callback(None)

        call = self._clock.callLater(seconds, passed)
        await wait
        if call.active():
            call.cancel()
        return bool(late)

    async def _putAt(self, node: int, bucket: int, bodyId: bytes, octets: bytes) -> None:
        """Have one node keep a body; returns when it is durable there."""
        chunks = chunkCount(len(octets))
        attempt = next(self._attempts)
        for start in range(0, chunks, CHUNKS_AHEAD):
            window = []
            for number in range(start, min(chunks, start + CHUNKS_AHEAD)):
                chunk = octets[number * CHUNK_OCTETS : (number + 1) * CHUNK_OCTETS]
                window.append(self._putChunk(node, bucket, bodyId, number, chunk, attempt))
            await _all(window)
        self.puts += 1

    def _putChunk(
        self, node: int, bucket: int, bodyId: bytes, number: int, chunk: bytes, attempt: int
    ) -> Deferred[Any]:
        if node == self._node:
            return self._write(bucket, bodyId, number, chunk)
        answer = self._answer((BodyPut, node, bucket, bodyId, number, attempt), PUT_SECONDS)
        self._send(node, PutBody(bucket, bodyId, number, chunk, attempt))
        return answer

    def _write(self, bucket: int, bodyId: bytes, number: int, chunk: bytes) -> Deferred[Any]:
        def job(rows: IRows) -> None:
            rows.put(BODY, chunkKey(bucket, bodyId, number), chunk)

        self._suspects.discard((bucket, bodyId))
        written: Deferred[Any] = self._store.write(job, len(chunk))
        return written

    # --- getting

    async def get(
        self, bucket: int, bodyId: bytes, size: int, digest: bytes, keepers: Sequence[int]
    ) -> bytes:
        """
        A whole body, verified, from the first keeper that has it; the nearest should stand first.

        @raise Corrupt: each keeper answered, and none has it sound.
        @raise Unavailable: some keeper did not answer.
        """
        problem: JindimailError = Corrupt("no keeper has the body")
        for node in keepers:
            try:
                chunks = [
                    await self.chunk(node, bucket, bodyId, number) for number in range(chunkCount(size))
                ]
            except NotKept:
                continue
            except JindimailError as error:
                problem = error
                continue
            octets = b"".join(chunks)
            if len(octets) == size and digestOf(octets) == digest:
                return octets
        raise problem

    async def chunk(self, node: int, bucket: int, bodyId: bytes, number: int) -> bytes:
        """
        One chunk of a body as one node has it.

        @raise NotKept: it has none.
        @raise Unavailable: it does not answer.
        """
        if node == self._node:
            with self._store.read() as rows:
                octets: bytes | None = rows.get(BODY, chunkKey(bucket, bodyId, number))
            if octets is None:
                raise NotKept
            return octets
        answer = self._answer((TellBody, node, bucket, bodyId, number, 0), GET_SECONDS)
        self._send(node, AskBody(bucket, bodyId, number))
        told: TellBody = await answer
        if told.missing:
            raise NotKept
        return told.octets

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
            with self._store.read() as rows:
                octets = rows.get(BODY, chunkKey(message.bucket, message.bodyId, message.number))
            answer = TellBody(message.bucket, message.bodyId, message.number, octets or b"", octets is None)
            self._send(node, answer)
        elif isinstance(message, BodyPut | TellBody):
            attempt = message.attempt if isinstance(message, BodyPut) else 0
            key = type(message), node, message.bucket, message.bodyId, message.number, attempt
            self._answered(key, message)

    def _keep(self, node: int, message: PutBody) -> None:
        bucket, bodyId, number = message.bucket, message.bodyId, message.number
        written = self._write(bucket, bodyId, number, message.octets)
        written.addCallbacks(
            lambda _: self._send(node, BodyPut(bucket, bodyId, number, False, message.attempt)),
            lambda _: self._send(node, BodyPut(bucket, bodyId, number, True, message.attempt)),
        )

    def suspect(self, bucket: int, bodyId: bytes) -> None:
        """This body is about to be swept, unless it is put again meanwhile."""
        self._suspects.add((bucket, bodyId))

    def takeSuspect(self, bucket: int, bodyId: bytes) -> bool:
        """Whether the body is still suspected: it was not put since `suspect`. It is no longer, then."""
        if (bucket, bodyId) not in self._suspects:
            return False
        self._suspects.discard((bucket, bodyId))
        return True

    # --- answers

    def _answer(self, key: Key, seconds: float) -> Deferred[Any]:
        """What a node will answer; fails with OutcomeUnknown after a while."""
        done: Deferred[Any] = Deferred(lambda cancelled: self._forget(key, cancelled))
        if len(self._waiting) >= WAITING_MAX:
            done.errback(Unavailable("too much under way"))
            return done
        self._waiting.setdefault(key, []).append(done)
        call = self._clock.callLater(seconds, self._late, key, done)

        def ended(result: Any) -> Any:
            if call.active():
                call.cancel()
            return result

        return done.addBoth(ended)

    def _answered(self, key: Key, message: BodyPut | TellBody) -> None:
        for done in self._waiting.pop(key, []):
            if isinstance(message, BodyPut) and message.refused:
                done.errback(Unavailable("refused"))
            else:
                done.callback(message)

    def _late(self, key: Key, done: Deferred[Any]) -> None:
        self._forget(key, done)
        done.errback(OutcomeUnknown("no answer"))

    def _forget(self, key: Key, done: Deferred[Any]) -> None:
        waiting = self._waiting.get(key, [])
        if done in waiting:
            waiting.remove(done)
        if not waiting:
            self._waiting.pop(key, None)


async def _all(waits: list[Deferred[Any]]) -> None:
    """Wait for all of them; the first failure ends it."""
    try:
        await gatherResults(waits, consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()
