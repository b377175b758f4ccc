"""
Sweeping bodies that nobody names, and restoring copies that were lost (design §6).

A keeper never sweeps on its own knowledge. It asks the bucket's leader, which commits the outcome `void` for an id that has
none, so that a late delivery under it is refused; then the keeper deletes, unless it is named, or the body was put again
since it asked. A change of keepers is compare-and-set in the log; a keeper goes only by the entry that names its
replacement, whose copy is durable by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jindimail.errors import Corrupt, JindimailError, Unavailable
from jindimail.interfaces import IGroups, IReadRows, IRows, IStore
from jindimail.model import bucketGroup
from jindimail.replication.copies import Copies
from jindimail.replication.nodemessages import AskKept, NodeMessage, TellKept
from jindimail.store.keys import (
    BODY,
    BODYREF,
    DELIVERY,
    bodyKey,
    bodyrefKey,
    bucketKey,
    deliveryKey,
    unpackBodyKey,
    unpackChunkKey,
)
from jindimail.store.records import BodyrefRecord, decode

SWEPT_AT_ONCE = 256  # asked about; a node without a replica of the bucket asks about all that it keeps
SCANNED_AT_ONCE = 256
CHUNKS_AT_ONCE = 1000  # of one body; the next sweep finds the rest


class IBodyEntries(Protocol):
    """The state machine's entries about bodies, encoded."""

    def void(self, bodyId: bytes) -> bytes:
        """Refuse this delivery for ever, if it has no outcome."""
        ...

    def setKeepers(self, bodyId: bytes, old: tuple[int, ...], new: tuple[int, ...]) -> bytes:
        """Compare-and-set of a body's keepers."""
        ...


def bodyref(rows: IReadRows, bucket: int, bodyId: bytes) -> BodyrefRecord | None:
    """What a bucket's records say of a body."""
    value = rows.get(BODYREF, bodyrefKey(bucket, bodyId))
    return None if value is None else decode(value, BodyrefRecord)


class Sweep:
    """Finds bodies at this node that are named by nobody, as a keeper; answers for those of led buckets, as a leader."""

    _log = Logger()

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
            for bodyId in doubtful:
                self._copies.suspect(bucket, bodyId)
            if leader == self._node:
                self.received(self._node, AskKept(bucket, doubtful))
            else:
                self._send(leader, AskKept(bucket, doubtful))
        return None if isDone else last

    def _free(self, bucket: int, bodyIds: list[bytes]) -> None:
        """The leader says that these are kept in vain."""
        for bodyId in bodyIds:
            if self._copies.takeSuspect(bucket, bodyId):
                done: Deferred[int] = self._store.write(
                    lambda rows, each=bodyId: self._delete(rows, bucket, each)
                )
                done.addCallbacks(self._deleted, lambda _: None)

    def _delete(self, rows: IRows, bucket: int, bodyId: bytes) -> int:
        known = bodyref(rows, bucket, bodyId)
        if known is not None and self._node in known.keepers:
            return 0  # named meanwhile
        start = bodyKey(bucket, bodyId)
        keys = [key for key, _ in islice(rows.scan(BODY, start, start + b"\xff" * 5), CHUNKS_AT_ONCE)]
        for key in keys:
            rows.delete(BODY, key)
        return len(keys)

    def _deleted(self, chunks: int) -> None:
        self.swept += chunks > 0

    # --- the leader's side

    def received(self, node: int, message: NodeMessage) -> None:
        """A message about sweeping came in."""
        if isinstance(message, TellKept):
            self._free(message.bucket, message.free)
        elif isinstance(message, AskKept):
            answering = Deferred.fromCoroutine(
                self._judge(node, message.bucket, message.bodyIds[:SWEPT_AT_ONCE])
            )
            answering.addCallbacks(
                lambda free: self._tell(node, message.bucket, free),
                lambda failure: failure.trap(JindimailError) and None,
            )

    def _tell(self, node: int, bucket: int, free: list[bytes]) -> None:
        if node == self._node:
            self._free(bucket, free)
        elif free:
            self._send(node, TellKept(bucket, free))

    async def _judge(self, node: int, bucket: int, bodyIds: list[bytes]) -> list[bytes]:
        """Those of the bodies that the asking node need not keep."""
        group = bucketGroup(bucket)
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
            if (bucket, bodyId) in self._copies.placing:
                continue  # it may be getting its new copy at this very node
            if known is None or node not in known.keepers:
                free.append(bodyId)
        return free


class Repair:
    """Restores copies of a led bucket's bodies, one at a time."""

    _log = Logger()

    def __init__(
        self, *, groups: IGroups, store: IStore, copies: Copies, entries: IBodyEntries, node: int
    ) -> None:
        self._groups = groups
        self._store = store
        self._copies = copies
        self._entries = entries
        self._node = node
        self.repaired = 0
        self.debt = 0  # bodies seen by the last pass that lack copies

    async def step(
        self,
        bucket: int,
        candidates: Sequence[int],
        copies: int,
        isLost: Callable[[int], bool],
        after: bytes = b"",
    ) -> bytes | None:
        """
        Look at the bodies of a bucket behind `after` until one was repaired; where to go on, None: all were looked at.

        A keeper counts unless it `isLost` (dead for long enough, or to be drained). New ones are taken from the
        candidates in their order.

        @raise Unavailable: this node does not lead the bucket, or no node could be made a keeper.
        """
        isGone = cache(isLost)  # nothing changes during the scan
        scanned = 0
        with self._store.read() as rows:
            for key, value in rows.scan(BODYREF, _behind(bucket, after), bucketKey(bucket + 1)):
                if scanned == SCANNED_AT_ONCE:
                    return after
                scanned += 1
                after = unpackBodyKey(key)[1]
                record = decode(value, BodyrefRecord)
                live = tuple([node for node in record.keepers if not isGone(node)])
                if len(live) == len(record.keepers) >= copies:
                    continue
                fresh = [node for node in candidates if node not in record.keepers and not isGone(node)]
                if fresh or len(live) >= copies:
                    break
            else:
                return None
        self._copies.placing.add((bucket, after))
        try:
            await self._repair(bucket, after, record, live, fresh, copies)
        finally:
            self._copies.placing.discard((bucket, after))
        return after

    async def _repair(
        self,
        bucket: int,
        bodyId: bytes,
        record: BodyrefRecord,
        live: tuple[int, ...],
        fresh: list[int],
        copies: int,
    ) -> None:
        group = bucketGroup(bucket)
        term = self._groups.leadingTerm(group)
        missing = min(max(0, copies - len(live)), len(fresh))
        made: tuple[int, ...] = ()
        if missing:
            sources = sorted(record.keepers, key=lambda node: (node not in live, node != self._node))
            octets = await self._copies.get(bucket, bodyId, record.size, record.digest, sources)
            made = await self._copies.put(bucket, bodyId, octets, fresh, missing)
        if not live and not made:
            raise Corrupt("no copy of a body is left")
        if not term or self._groups.leadingTerm(group) != term:
            # Another leader did not know of the new copies, and may have freed them.
            raise Unavailable("this node did not lead all the while")
        new = (*live, *made)
        entry = self._entries.setKeepers(bodyId, record.keepers, new)
        await self._groups.propose(group, entry)
        self.repaired += 1


def _behind(bucket: int, bodyId: bytes) -> bytes:
    return bodyrefKey(bucket, bodyId) + b"\0" if bodyId else bucketKey(bucket)


def _bodyBehind(rows: IReadRows, bucket: int, after: bytes) -> bytes | None:
    """The next body of which there is a chunk here."""
    start = bodyKey(bucket, after) + b"\xff" * 5 if after else bucketKey(bucket)
    row: Any = next(iter(rows.scan(BODY, start, bucketKey(bucket + 1))), None)
    return None if row is None else unpackChunkKey(row[0])[1]
