"""
The array's buckets as the layers above see them: propose an entry, ask a query, follow a topic, wherever the replicas are.

What this node can do alone it does at once: the only voter of a group proposes to itself, and a replica here answers. Everything else goes
through the router. A query never sees less than this node has seen before: if its replica is behind that, the query waits a moment, and is
asked of another node then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.delivering import Delivering, writeChunks
from jindimail.cluster.elsewhere import Elsewhere
from jindimail.cluster.followers import Followers, Following, Listener, Topic
from jindimail.cluster.reading import Reading
from jindimail.cluster.seen import Seen
from jindimail.cluster.taken import requireFree
from jindimail.cluster.verified import AskSound, Verified
from jindimail.errors import BodyTaken, Corrupt, JindimailError, StorageFull, Unavailable
from jindimail.interfaces import IBuckets, IGroups, IRows, IStateMachine, IStore
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT, Body, bucketGroup
from jindimail.store.bodies import deleteBody, putBody
from jindimail.store.keys import BODYREF, CHUNK_OCTETS, bodyrefKey
from jindimail.store.space import Level

RIDING_OCTETS_MAX = 256 * 1024  # a larger body is stored ahead of its entry
PIECE_OCTETS = 16 * CHUNK_OCTETS  # just under 1 MiB


def groupOf(bucket: int | None) -> int:
    """The group of a bucket, or of the array (None)."""
    return ARRAY_GROUP if bucket is None else bucketGroup(bucket)


@implementer(IBuckets)
class Buckets:
    """All buckets, through this node's groups and store, and those of others."""

    def __init__(
        self,
        *,
        groups: IGroups,
        store: IStore,
        machine: IStateMachine,
        node: int,
        incarnation: int,
        elsewhere: Elsewhere | None = None,
        delivering: Delivering | None = None,
        reading: Reading | None = None,
        verified: Verified | None = None,
        isOver: Callable[[int, int], bool] = lambda node, incarnation: False,
        followers: Followers | None = None,
        level: Callable[[], int] = lambda: 1,
    ) -> None:
        """
        @param level: of the entries that all nodes know.
        @param elsewhere, delivering, reading: how other nodes are asked; without them there are none.
        @param verified: which of this node's bodies are sound; without it, only those that are read whole are looked at.
        @param followers: who wants to hear of what; given where others tell of what happens, too (`Subscriptions`).
        @param isOver: whether an incarnation of another node is known to have ended.
        """
        self.node = node
        self.incarnation = incarnation
        self._groups = groups
        self._store = store
        self._machine = machine
        self._elsewhere = elsewhere
        self._delivering = delivering
        self._reading = reading
        self._verified = verified
        self._isOver = isOver
        self._level = level
        self._seen = Seen() if elsewhere is None else elsewhere.router.seen
        self._followers = followers or Followers()
        if followers is None:
            groups.listen(self._committed)

    # --- proposing

    def propose(self, bucket: int | None, entry: Any, body: Body | None = None) -> Deferred[Any]:
        """See `IBuckets`."""
        group = groupOf(bucket)
        if self._machine.level(entry) > self._level():
            return _refused(Unavailable("not all nodes know this kind of entry yet"))
        if body is None:
            if self._elsewhere is None or self._groups.isAlone(group):
                return self._groups.propose(group, self._machine.encode(entry))  # type: ignore[no-any-return]
            return Deferred.fromCoroutine(self._elsewhere.propose(group, entry))
        assert bucket is not None
        if not self.maySpool():
            return _refused(StorageFull())
        if not self._keepsAlone(bucket, group):
            assert self._delivering is not None
            delivered = Deferred.fromCoroutine(self._delivering.deliver(bucket, entry, body))
            return delivered.addErrback(self._notDelivered, bucket, entry.bodyId)
        octets = self._machine.encode(entry, (self.node,))
        if body.size <= RIDING_OCTETS_MAX:
            whole = b"".join(body.source.pieces(RIDING_OCTETS_MAX))
            return self._groups.propose(group, octets, partial(_putWhole, bucket, entry, whole))  # type: ignore[no-any-return]
        return Deferred.fromCoroutine(self._proposeAfterBody(bucket, entry, octets, body))

    def _keepsAlone(self, bucket: int, group: int) -> bool:
        """Whether this node alone has the bucket, and is to keep its bodies: then a body rides in its entry's transaction."""
        if self._delivering is None:
            return True
        return self._groups.isAlone(group) and self._delivering.placing.keepsAlone(bucket)

    def _notDelivered(self, failure: Failure, bucket: int, bodyId: bytes) -> Failure:
        """The copy that this node has kept meanwhile may have taken the place of another body's, of which it did not know yet: then that is mended."""
        if failure.check(BodyTaken) and self._reading is not None:
            self._reading.tellDamaged(bucket, bodyId, self.node)
        return failure

    async def _proposeAfterBody(self, bucket: int, entry: Any, octets: bytes, body: Body) -> Any:
        """Body first (design §6): its pieces are on disk before the entry that names this keeper is proposed."""
        with self._store.read() as rows:
            requireFree(rows, bucket, entry)
        try:
            await writeChunks(body.source.pieces(PIECE_OCTETS), partial(self._write, bucket, body.bodyId))
        except JindimailError:
            self._store.write(partial(_drop, bucket, body.bodyId)).addErrback(lambda _: None)
            raise
        return await self._groups.propose(groupOf(bucket), octets)

    def _write(self, bucket: int, bodyId: bytes, firstChunk: int, octets: bytes) -> Deferred[Any]:
        return self._store.write(partial(_putPiece, bucket, bodyId, octets, firstChunk), len(octets))  # type: ignore[no-any-return]

    # --- asking

    def query(
        self, bucket: int | None, query: Any, fresh: bool = False, mayLag: bool = False
    ) -> Deferred[Any]:
        """See `IBuckets`."""
        group = groupOf(bucket)
        applied = self._groups.appliedIndex(group)
        seen = self._seen.index(group, mayLag=mayLag)
        if self._elsewhere is None or (applied and (fresh or applied >= seen)):
            if not fresh:
                if applied > seen:
                    self._seen.saw(group, applied)
                return self._answered(bucket, query)
            confirmed = self.confirm(group)
            confirmed.addCallback(self._confirmed, bucket, query, self._seen.index(group))
            if self._elsewhere is not None:
                confirmed.addErrback(self._notConfirmed, group, query)
            return confirmed
        return Deferred.fromCoroutine(self._queryBehind(bucket, query, fresh, mayLag))

    def confirm(self, group: int) -> Deferred[int]:
        """Fires when this node's replica has applied all that a majority had committed before the call: with its applied index."""
        reader = self._groups if self._elsewhere is None else self._elsewhere
        confirmed: Deferred[int] = reader.readIndex(group)
        return confirmed

    def _confirmed(self, index: int, bucket: int | None, query: Any, seen: int) -> Any:
        group = groupOf(bucket)
        if index < seen:
            self._seen.confirmed(group, index)
        self._seen.saw(group, index)
        return self._answer(bucket, query)

    def _answered(self, bucket: int | None, query: Any) -> Deferred[Any]:
        if self._verified is not None and self._elsewhere is not None and self._elsewhere.wire.isPiece(query):
            return Deferred.fromCoroutine(self._answerPiece(bucket, query))
        try:
            return succeed(self._answer(bucket, query))
        except Corrupt as problem:
            return self._readElsewhere(bucket, query, problem)
        except JindimailError as error:
            return _refused(error)

    def _answer(self, bucket: int | None, query: Any) -> Any:
        with self._store.read() as rows:
            return self._machine.answer(rows, groupOf(bucket), query)

    def _notConfirmed(self, failure: Failure, group: int, query: Any) -> Deferred[Any]:
        """This node's replica could not confirm a read: another's may, or the next leader will."""
        failure.trap(Unavailable)
        if failure.check(Corrupt):
            return failure  # type: ignore[return-value]
        assert self._elsewhere is not None
        return Deferred.fromCoroutine(self._elsewhere.query(group, query, fresh=True))

    async def _queryBehind(self, bucket: int | None, query: Any, fresh: bool, mayLag: bool) -> Any:
        """This node has no replica, or one that is behind what was seen: wait for it a moment, then ask elsewhere."""
        assert self._elsewhere is not None
        group = groupOf(bucket)
        if self._isOfOctets(query):
            return await self._readOctets(bucket, query)
        if self._groups.appliedIndex(group) and await self._elsewhere.caughtUp(group):
            return await self.query(bucket, query, fresh, mayLag)
        return await self._elsewhere.query(group, query, fresh=fresh)

    # --- octets

    def _isOfOctets(self, query: Any) -> bool:
        return self._elsewhere is not None and self._elsewhere.wire.bodyQuery(query) is not None

    def _readElsewhere(self, bucket: int | None, query: Any, problem: Corrupt) -> Deferred[Any]:
        """This node has no sound copy of a body: another keeper may."""
        if not self._isOfOctets(query):
            return _refused(problem)
        return Deferred.fromCoroutine(self._readOctets(bucket, query))

    async def _answerPiece(self, bucket: int | None, query: Any) -> bytes:
        """A piece of a body that is sound as a whole: this node's, or another keeper's."""
        assert self._elsewhere is not None and self._verified is not None and bucket is not None
        find = self._elsewhere.wire.bodyQuery(query)
        found = self._answer(bucket, find)
        try:
            if found is None:
                raise Corrupt("body or prefix unknown")
            await self._verified.require(self.node, AskSound(bucket, find.bodyId, found.size, found.digest))
            octets: bytes = self._answer(bucket, query)
        except Corrupt:
            return await self._readOctets(bucket, query, isDamagedHere=True)
        return octets

    async def _readOctets(self, bucket: int | None, query: Any, *, isDamagedHere: bool = False) -> bytes:
        assert self._elsewhere is not None and self._reading is not None and bucket is not None
        wire = self._elsewhere.wire
        find = wire.bodyQuery(query)
        found = await self.query(bucket, find)
        if found is None:
            raise Corrupt("body or prefix unknown")
        ahead, low, high = wire.portionOf(query, found)
        keepers = found.keepers
        if isDamagedHere and self.node in keepers:
            self._reading.tellDamaged(bucket, find.bodyId, self.node)
            keepers = tuple(node for node in keepers if node != self.node)
        octets = await self._reading.read(bucket, find.bodyId, found.size, found.digest, keepers, low, high)
        return bytes(ahead + octets)

    # --- following

    def follow(self, bucket: int, mailboxId: int, listener: Listener) -> Following:
        """See `IBuckets`."""
        return self._followers.follow(("mailbox", bucket, mailboxId), listener)

    def followTopic(self, topic: Topic, listener: Listener) -> Following:
        """See `IBuckets`."""
        return self._followers.follow(topic, listener)

    def _committed(self, group: int, index: int, events: Sequence[Any]) -> None:
        self._followers.tell(dict.fromkeys(event.topic for event in events))

    # --- bodies

    def isOver(self, node: int, incarnation: int) -> bool:
        """See `IBuckets`."""
        return incarnation < self.incarnation if node == self.node else self._isOver(node, incarnation)

    def isReachable(self, bucket: int) -> bool:
        """See `IBuckets`."""
        return self._elsewhere is None or self._elsewhere.router.hearing.mayAgree(groupOf(bucket))

    def mayBeOld(self, bucket: int) -> bool:
        """See `IBuckets`."""
        group = groupOf(bucket)
        hasDeafReplica = self._groups.appliedIndex(group) > 0 and self._groups.leaderOf(group) is None
        return self._elsewhere is not None and hasDeafReplica and self.isReachable(bucket)

    def led(self) -> Iterator[int]:
        """See `IBuckets`."""
        return (bucket for bucket in range(BUCKET_COUNT) if self._groups.leadingTerm(bucketGroup(bucket)))

    def maySpool(self) -> bool:
        """See `IBuckets`."""
        return bool(self._store.freeLevel is Level.PLENTY)


def _refused(error: JindimailError) -> Deferred[Any]:
    deferred: Deferred[Any] = Deferred()
    deferred.errback(error)
    return deferred


def _putWhole(bucket: int, entry: Any, octets: bytes, rows: IRows) -> None:
    requireFree(rows, bucket, entry)
    putBody(rows, bucket, entry.bodyId, octets)


def _putPiece(bucket: int, bodyId: bytes, octets: bytes, firstChunk: int, rows: IRows) -> None:
    putBody(rows, bucket, bodyId, octets, firstChunk)


def _drop(bucket: int, bodyId: bytes, rows: IRows) -> None:
    if (
        rows.get(BODYREF, bodyrefKey(bucket, bodyId)) is None
    ):  # of a repetition, the first may have been filed
        deleteBody(rows, bucket, bodyId)
