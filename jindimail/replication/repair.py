"""
Restoring copies of bodies that were lost (design §6).

A change of keepers is compare-and-set in the log; a keeper goes only by the entry that names its replacement, whose copy is durable by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple, Protocol

from twisted.internet.defer import succeed

from jindimail.errors import Corrupt, OutcomeUnknown, Unavailable
from jindimail.interfaces import IGroups, IReadRows, IStore
from jindimail.model import bucketGroup
from jindimail.replication.copies import Copies
from jindimail.store.keys import (
    BODYREF,
    bodyrefKey,
    bucketKey,
    unpackBodyKey,
)
from jindimail.store.records import BodyrefRecord, decode

SCANNED_AT_ONCE = 256


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    What a bucket's bodies shall have.

    @ivar candidates: the nodes that new keepers are taken from, in this order.
    @ivar copies: how many keepers count as enough.
    @ivar isLost: whether a keeper does not count: dead for long enough, or to be drained.
    """

    candidates: Sequence[int]
    copies: int
    isLost: Callable[[int], bool]

    def live(self, record: BodyrefRecord) -> tuple[int, ...]:
        """The keepers that count."""
        return tuple(node for node in record.keepers if not self.isLost(node))

    def fresh(self, record: BodyrefRecord) -> list[int]:
        """The nodes that may become keepers."""
        return [node for node in self.candidates if node not in record.keepers and not self.isLost(node)]

    def isLacking(self, record: BodyrefRecord) -> bool:
        """Whether there is anything to be done: a copy to be made, or a lost keeper to be forgotten."""
        live = len(self.live(record))
        if live < self.copies:
            return bool(self.fresh(record))
        return live != len(record.keepers)


class Looked(NamedTuple):
    """
    What a look at some bodies found: those to be repaired, the copies that they all lack (also where nobody is there who
    could keep them), how many are lost with all that kept them, and where to go on (None: all were looked at).
    """

    lacking: list[bytes]
    owed: int
    lost: int
    after: bytes | None


class Repair:
    """Restores copies of a led bucket's bodies, one at a time."""

    def __init__(
        self, *, groups: IGroups, store: IStore, copies: Copies, entries: IBodyEntries, node: int
    ) -> None:
        self._groups = groups
        self._store = store
        self._copies = copies
        self._entries = entries
        self._node = node
        self.repaired = 0

    def look(self, bucket: int, wanted: Wanted, after: bytes = b"") -> Looked:
        """Look at some bodies behind `after`."""
        wanted = replace(wanted, isLost=cache(wanted.isLost))  # nothing changes during the scan
        lacking: list[bytes] = []
        owed = lost = seen = 0
        with self._store.read() as rows:
            for key, value in rows.scan(BODYREF, _behind(bucket, after), bucketKey(bucket + 1)):
                after = unpackBodyKey(key)[1]
                record = decode(value, BodyrefRecord)
                live = len(wanted.live(record))
                isWhole = live == len(record.keepers) >= wanted.copies
                if not live and all(map(self._copies.isGone, record.keepers)):
                    lost += 1  # nothing can be done for it, so that nothing is owed
                else:
                    owed += max(0, wanted.copies - live)
                    if not isWhole and wanted.isLacking(record):
                        lacking.append(after)
                seen += 1
                if seen == SCANNED_AT_ONCE:
                    return Looked(lacking, owed, lost, after)
        return Looked(lacking, owed, lost, None)

    async def step(
        self,
        bucket: int,
        candidates: Sequence[int],
        copies: int,
        isLost: Callable[[int], bool],
        after: bytes = b"",
    ) -> bytes | None:
        """
        Repair the first body behind `after` that needs it, among some; where to go on, None: all were looked at.

        @raise Unavailable: this node does not lead the bucket, or no node could be made a keeper.
        """
        wanted = Wanted(candidates=candidates, copies=copies, isLost=isLost)
        looked = self.look(bucket, wanted, after)
        if not looked.lacking:
            return looked.after
        await self.mend(bucket, looked.lacking[0], wanted)
        return looked.lacking[0]

    async def mend(self, bucket: int, bodyId: bytes, wanted: Wanted) -> bool:
        """
        Give a body the keepers that it lacks, and forget lost ones where there are enough; whether there was anything to do.

        @raise Unavailable: this node does not lead the bucket (all the while), or no node could be made a keeper.
        @raise Corrupt: no sound copy is left.
        """
        group = bucketGroup(bucket)
        term = self._groups.leadingTerm(group)
        with self._store.read() as rows:
            record = bodyref(rows, bucket, bodyId)
        if record is None or not wanted.isLacking(record) or self._copies.isPlacing(bucket, bodyId, term):
            return False
        self._copies.placing[bucket, bodyId] = term
        decided = succeed(0)
        try:
            await self._mend(bucket, bodyId, record, wanted, term)
        except OutcomeUnknown:
            # The entry may still be committed: until that is known, or another leads, whose log says so, no new copy may be swept.
            decided = self._groups.whenApplied(group, self._groups.lastIndex(group))
            raise
        finally:
            decided.addBoth(lambda _: self._copies.placed(bucket, bodyId, term))
        return True

    async def _mend(
        self, bucket: int, bodyId: bytes, record: BodyrefRecord, wanted: Wanted, term: int
    ) -> None:
        group = bucketGroup(bucket)
        live, fresh = wanted.live(record), wanted.fresh(record)
        missing = min(max(0, wanted.copies - len(live)), len(fresh))
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
        old = [node for node in record.keepers if node not in new]
        new += tuple(old[: max(0, wanted.copies - len(new))])  # nobody goes before there are enough others
        entry = self._entries.setKeepers(bodyId, record.keepers, new)
        await self._groups.propose(group, entry)
        self.repaired += 1

    async def replace(self, bucket: int, bodyId: bytes, node: int) -> bool:
        """
        Put a damaged or missing copy of a body at a keeper anew, from another keeper; whether it is one, and was damaged.

        No keeper changes, so that the log need not know of it.

        @raise Corrupt: no sound copy is left.
        @raise Unavailable: it could not be done now.
        """
        term = self._groups.leadingTerm(bucketGroup(bucket))
        with self._store.read() as rows:
            record = bodyref(rows, bucket, bodyId)
        if record is None or node not in record.keepers or self._copies.isPlacing(bucket, bodyId, term):
            return False
        self._copies.placing[bucket, bodyId] = term
        try:
            if await self._isSound(bucket, bodyId, record, node):
                return False
            others = [keeper for keeper in record.keepers if keeper != node]
            octets = await self._copies.get(bucket, bodyId, record.size, record.digest, others)
            await self._copies.put(bucket, bodyId, octets, [node], 1)
        finally:
            self._copies.placed(bucket, bodyId, term)
        return True

    async def _isSound(self, bucket: int, bodyId: bytes, record: BodyrefRecord, node: int) -> bool:
        try:
            await self._copies.get(bucket, bodyId, record.size, record.digest, [node])
        except Corrupt:
            return False
        return True


def _behind(bucket: int, bodyId: bytes) -> bytes:
    return bodyrefKey(bucket, bodyId) + b"\0" if bodyId else bucketKey(bucket)
