"""
The array's buckets as the layers above see them: propose an entry, ask a query, follow a topic.

Today every bucket has its replica on this node; where it has not, the same three calls go to a node that has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from jindimail.cluster.followers import Followers, Following, Listener, Topic
from jindimail.errors import JindimailError, StorageFull
from jindimail.interfaces import IBuckets, IGroups, IRows, IStateMachine, IStore
from jindimail.model import ARRAY_GROUP, Body, bucketGroup
from jindimail.store.bodies import deleteBody, putBody
from jindimail.store.keys import CHUNK_OCTETS
from jindimail.store.space import Level

RIDING_OCTETS_MAX = 256 * 1024  # a larger body is stored ahead of its entry
PIECE_OCTETS = 16 * CHUNK_OCTETS  # just under 1 MiB


def groupOf(bucket: int | None) -> int:
    """The group of a bucket, or of the array (None)."""
    return ARRAY_GROUP if bucket is None else bucketGroup(bucket)


@implementer(IBuckets)
class Buckets:
    """All buckets, through this node's groups and store."""

    def __init__(
        self, *, groups: IGroups, store: IStore, machine: IStateMachine, node: int, incarnation: int
    ) -> None:
        self.node = node
        self.incarnation = incarnation
        self._groups = groups
        self._store = store
        self._machine = machine
        self._followers = Followers()
        groups.listen(self._committed)

    def propose(self, bucket: int | None, entry: Any, body: Body | None = None) -> Deferred[Any]:
        """See `IBuckets`."""
        group, octets = groupOf(bucket), self._machine.encode(entry)
        if body is None:
            return self._groups.propose(group, octets)  # type: ignore[no-any-return]
        if not self.maySpool():
            return _refused(StorageFull())
        assert bucket is not None
        if body.size <= RIDING_OCTETS_MAX:
            whole = b"".join(body.source.pieces(RIDING_OCTETS_MAX))
            return self._groups.propose(group, octets, partial(_putWhole, bucket, body.bodyId, whole))  # type: ignore[no-any-return]
        return Deferred.fromCoroutine(self._proposeAfterBody(bucket, octets, body))

    async def _proposeAfterBody(self, bucket: int, octets: bytes, body: Body) -> Any:
        """Body first (design §6): its pieces are on disk before the entry that names this keeper is proposed."""
        firstChunk = 0
        try:
            for piece in body.source.pieces(PIECE_OCTETS):
                job = partial(_putPiece, bucket, body.bodyId, piece, firstChunk)
                await self._store.write(job, len(piece))
                firstChunk += -(-len(piece) // CHUNK_OCTETS)
        except JindimailError:
            self._store.write(partial(_drop, bucket, body.bodyId)).addErrback(lambda _: None)
            raise
        return await self._groups.propose(groupOf(bucket), octets)

    def query(self, bucket: int | None, query: Any, fresh: bool = False) -> Deferred[Any]:
        """See `IBuckets`."""
        if fresh:
            confirmed: Deferred[int] = self._groups.readIndex(groupOf(bucket))
            return confirmed.addCallback(lambda _: self._answer(bucket, query))
        try:
            return succeed(self._answer(bucket, query))
        except JindimailError as error:
            return _refused(error)

    def follow(self, bucket: int, mailboxId: int, listener: Listener) -> Following:
        """See `IBuckets`."""
        return self._followers.follow(("mailbox", bucket, mailboxId), listener)

    def followTopic(self, topic: Topic, listener: Listener) -> Following:
        """See `IBuckets`."""
        return self._followers.follow(topic, listener)

    def keepers(self, bucket: int) -> tuple[int, ...]:
        """See `IBuckets`."""
        return (self.node,)

    def maySpool(self) -> bool:
        """See `IBuckets`."""
        return bool(self._store.freeLevel is Level.PLENTY)

    def _answer(self, bucket: int | None, query: Any) -> Any:
        with self._store.read() as rows:
            return self._machine.answer(rows, groupOf(bucket), query)

    def _committed(self, group: int, index: int, events: Sequence[Any]) -> None:
        self._followers.tell(dict.fromkeys(event.topic for event in events))


def _refused(error: JindimailError) -> Deferred[Any]:
    deferred: Deferred[Any] = Deferred()
    deferred.errback(error)
    return deferred


def _putWhole(bucket: int, bodyId: bytes, octets: bytes, rows: IRows) -> None:
    putBody(rows, bucket, bodyId, octets)


def _putPiece(bucket: int, bodyId: bytes, octets: bytes, firstChunk: int, rows: IRows) -> None:
    putBody(rows, bucket, bodyId, octets, firstChunk)


def _drop(bucket: int, bodyId: bytes, rows: IRows) -> None:
    deleteBody(rows, bucket, bodyId)
