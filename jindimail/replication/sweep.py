"""
Sweeping bodies that nobody names (design §6).

A keeper never sweeps on its own knowledge. It asks the bucket's leader, which commits the outcome `void` for an id that has
none, so that a late delivery under it is refused; then the keeper deletes, unless it is named, or the body was put or asked about again
since that question.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from twisted.internet.defer import Deferred

from jindimail.errors import JindimailError, Unavailable
from jindimail.interfaces import IGroups, IReadRows, IRows, IStore
from jindimail.model import bucketGroup
from jindimail.replication.copies import Copies
from jindimail.replication.nodemessages import AskKept, NodeMessage, TellKept
from jindimail.replication.repair import IBodyEntries, bodyref
from jindimail.store.keys import BODY, DELIVERY, bodyKey, bucketKey, deliveryKey, unpackChunkKey

SWEPT_AT_ONCE = 256  # asked about; a node without a replica of the bucket asks about all that it keeps
SCANNED_AT_ONCE = 256
CHUNKS_AT_ONCE = 1000  # of one body; the next sweep finds the rest


class Sweep:
    """Finds bodies at this node that are named by nobody, as a keeper; answers for those of led buckets, as a leader."""

    def __init__(
        self,
        *,
        groups: IGroups,
        store: IStore,
        copies: Copies,
        entries: IBodyEntries,
        node: int,
        send: Callable[[int, NodeMessage], None],
    ) -> None:
        self._groups = groups
        self._store = store
        self._copies = copies
        self._entries = entries
        self._node = node
        self._send = send
        self.swept = 0

    # --- the keeper's side

    def ask(
        self, bucket: int, leader: int, isOld: Callable[[bytes], bool], after: bytes = b""
    ) -> bytes | None:
        """
        Ask a bucket's leader about the bodies behind `after` that this node may keep in vain.

        @param isOld: whether a body is old enough for its entry to have come, by its id.
        @return: where to go on; None: all were looked at.
        """
        doubtful: list[bytes] = []
        last, isDone = after, False
        with self._store.read() as rows:
            for _ in range(SCANNED_AT_ONCE):
                bodyId = _bodyBehind(rows, bucket, last)
                if bodyId is None:
                    isDone = True
                    break
                if len(doubtful) == SWEPT_AT_ONCE:
                    break
                last = bodyId
                known = bodyref(rows, bucket, bodyId)
                if isOld(bodyId) and (known is None or self._node not in known.keepers):
                    doubtful.append(bodyId)
        if doubtful:
            asked = AskKept(bucket, doubtful, self._copies.newAttempt())
            for bodyId in doubtful:
                self._copies.suspect(bucket, bodyId, asked.question)
            if leader == self._node:
                self.received(self._node, asked)
            else:
                self._send(leader, asked)
        return None if isDone else last

    def _free(self, bucket: int, bodyIds: list[bytes], question: int) -> None:
        """The leader says that these are kept in vain, or were when it was asked."""
        for bodyId in bodyIds:
            if self._copies.takeSuspect(bucket, bodyId, question):
                done: Deferred[int] = self._store.write(
                    lambda rows, each=bodyId: self._delete(rows, bucket, each)
                )
                done.addCallbacks(self._deleted, lambda _: None)

    def _delete(self, rows: IRows, bucket: int, bodyId: bytes) -> int:
        known = bodyref(rows, bucket, bodyId)
        if known is not None and self._node in known.keepers:
            return -1  # named meanwhile
        start = bodyKey(bucket, bodyId)
        keys = [key for key, _ in islice(rows.scan(BODY, start, start + b"\xff" * 5), CHUNKS_AT_ONCE)]
        for key in keys:
            rows.delete(BODY, key)
        return len(keys)

    def _deleted(self, chunks: int) -> None:
        self.swept += chunks >= 0  # where the bucket has a replica, `void` has deleted them

    # --- the leader's side

    def received(self, node: int, message: NodeMessage) -> None:
        """A message about sweeping came in."""
        if isinstance(message, TellKept):
            self._free(message.bucket, message.free, message.question)
        elif isinstance(message, AskKept):
            answering = Deferred.fromCoroutine(
                self._judge(node, message.bucket, message.bodyIds[:SWEPT_AT_ONCE])
            )
            answering.addCallbacks(
                lambda free: self._tell(node, TellKept(message.bucket, free, message.question)),
                lambda failure: failure.trap(JindimailError) and None,
            )

    def _tell(self, node: int, answer: TellKept) -> None:
        if node == self._node:
            self._free(answer.bucket, answer.free, answer.question)
        elif answer.free:
            self._send(node, answer)

    async def _judge(self, node: int, bucket: int, bodyIds: list[bytes]) -> list[bytes]:
        """Those of the bodies that the asking node need not keep."""
        group = bucketGroup(bucket)
        term = self._groups.leadingTerm(group)
        await self._groups.readIndex(group)
        free: list[bytes] = []
        for bodyId in bodyIds:
            with self._store.read() as rows:
                known = bodyref(rows, bucket, bodyId)
                hasOutcome = rows.get(DELIVERY, deliveryKey(bucket, bodyId)) is not None
            if known is None and not hasOutcome:
                await self._groups.propose(group, self._entries.void(bodyId))
                with self._store.read() as rows:
                    known = bodyref(rows, bucket, bodyId)
            if not term or self._groups.leadingTerm(group) != term:
                raise Unavailable(
                    "what this node proposed and does not know the end of may make a keeper of the asker"
                )
            if self._copies.isPlacing(bucket, bodyId, term):
                continue  # it may be getting its new copy at this very node
            if known is None or node not in known.keepers:
                free.append(bodyId)
        return free


def _bodyBehind(rows: IReadRows, bucket: int, after: bytes) -> bytes | None:
    """The next body of which there is a chunk here."""
    start = bodyKey(bucket, after) + b"\xff" * 5 if after else bucketKey(bucket)
    row: Any = next(iter(rows.scan(BODY, start, bucketKey(bucket + 1))), None)
    return None if row is None else unpackChunkKey(row[0])[1]
