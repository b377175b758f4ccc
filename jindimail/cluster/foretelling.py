"""
What is lost with nodes that never come back, as far as bodies go: those that only these nodes keep, counted beforehand (design §10).

A node counts in its own records, a piece at a time; whoever asks goes from bucket to bucket, to a replica that is left, and lets clients come in between.
Entries that a replica has and has not applied yet count, too: they are committed when its group is founded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jindimail.cluster.usermap import UserMap
from jindimail.errors import Corrupt, JindimailError, Unavailable
from jindimail.interfaces import IGroups, ILinks, IReadRows, IStateMachine, IStore
from jindimail.model import bucketGroup
from jindimail.replication.durable import unpackLogRow
from jindimail.replication.entries import NORMAL
from jindimail.store.keys import (
    BODYREF,
    DELIVERY,
    LOG,
    MAILBOX,
    SUMMARY,
    USER,
    accountKey,
    after,
    bodyrefKey,
    bucketKey,
    deliveryKey,
    logKey,
    mailboxKey,
    summaryKey,
    unpackBodyKey,
    unpackLogKey,
)
from jindimail.store.records import (
    AccountRecord,
    BodyrefRecord,
    DeliveryRecord,
    MailboxRecord,
    R,
    SummaryRecord,
    decode,
)

METHOD = "recovery.bodies"
PIECE_SECONDS = 10.0
PIECE_BODIES = 512  # less than a millisecond
TAIL_ENTRIES_MAX = 4096  # not yet applied; more of them are not looked into
PAUSE_SECONDS = 0.002  # between two pieces
EXAMPLES_MAX = 5

Told = Callable[[int, int], object]  # (buckets that were counted, of so many)


class Example(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A body that would be lost, as far as it is known without looking for it: where it was filed stands with its delivery for some days."""

    bodyId: bytes
    size: int
    messageId: str = ""
    address: str = ""
    mailbox: str = ""


class LostBodies(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """
    Bodies that only certain nodes keep.

    @ivar messages: that refer to them, those that wait in the queue included.
    @ivar examples: a few of them.
    """

    bodies: int = 0
    octets: int = 0
    messages: int = 0
    examples: tuple[Example, ...] = ()

    def __add__(self, other: LostBodies) -> LostBodies:
        return LostBodies(
            bodies=self.bodies + other.bodies,
            octets=self.octets + other.octets,
            messages=self.messages + other.messages,
            examples=(self.examples + other.examples)[:EXAMPLES_MAX],
        )


class AskLost(msgspec.Struct, frozen=True, array_like=True):
    """What would be lost with these nodes of a bucket's bodies, of which some were counted: those up to `afterId`."""

    bucket: int
    nodes: tuple[int, ...]
    afterId: bytes


class TellLost(msgspec.Struct, frozen=True, array_like=True):
    """A piece of it (None: records are damaged); nextId: to go on after; None: that was all."""

    lost: LostBodies | None
    nextId: bytes | None


_decodeAsked = msgspec.msgpack.Decoder(AskLost).decode
_decodeTold = msgspec.msgpack.Decoder(TellLost).decode


class Foretelling:
    """One node's part: it answers, and it asks."""

    def __init__(
        self,
        *,
        clock: IReactorTime,
        links: ILinks,
        store: IStore,
        groups: IGroups,
        machine: IStateMachine,
        userMap: UserMap,
    ) -> None:
        self._clock = clock
        self._links = links
        self._store = store
        self._groups = groups
        self._machine = machine
        self._userMap = userMap
        links.serve(METHOD, self._tell)

    # --- answering

    def _tell(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        try:
            asked = _decodeAsked(payload)
        except msgspec.MsgspecError as problem:
            raise Corrupt("no question after lost bodies") from problem
        try:
            return msgspec.msgpack.encode(self._look(asked))
        except Corrupt:
            return msgspec.msgpack.encode(TellLost(None, None))

    def _look(self, asked: AskLost) -> TellLost:
        """Look at some of a bucket's bodies; with the first, at what is not applied yet."""
        lost, seen, lastId = LostBodies(), 0, asked.afterId
        isLost = self._judge(asked.nodes)
        bucket = asked.bucket
        with self._store.read() as rows:
            if not asked.afterId:
                lost += self._inTail(rows, bucket, isLost)
            start = after(bodyrefKey(bucket, asked.afterId)) if asked.afterId else bucketKey(bucket)
            for key, value in rows.scan(BODYREF, start, bucketKey(bucket + 1)):
                if seen == PIECE_BODIES:
                    return TellLost(lost, lastId)
                seen, lastId = seen + 1, unpackBodyKey(key)[1]
                record = decode(value, BodyrefRecord)
                if isLost(record.keepers):
                    wanted = len(lost.examples) < EXAMPLES_MAX
                    lost += LostBodies(
                        bodies=1,
                        octets=record.size,
                        messages=record.references,
                        examples=(_exampleOf(rows, bucket, lastId, record.size),) if wanted else (),
                    )
        return TellLost(lost, None)

    def _judge(self, nodes: Iterable[int]) -> Callable[[tuple[int, ...]], bool]:
        """Whether these nodes take a body with them; those that went before them have nothing any more, either."""
        lost = frozenset(nodes)
        gone = lost | {node for node in self._userMap.nodes if self._userMap.isGone(node)}
        return lambda keepers: gone.issuperset(keepers) and not lost.isdisjoint(keepers)

    def _inTail(self, rows: IReadRows, bucket: int, isLost: Callable[[tuple[int, ...]], bool]) -> LostBodies:
        """Of bodies that are named for the first time by entries which are not applied yet."""
        group = bucketGroup(bucket)
        found: dict[bytes, LostBodies] = {}
        start = logKey(group, self._groups.appliedIndex(group) + 1)
        for seen, (key, value) in enumerate(rows.scan(LOG, start, logKey(group + 1, 0))):
            if seen == TAIL_ENTRIES_MAX:
                break
            row = unpackLogRow(unpackLogKey(key)[1], value)
            entry: Any = self._machine.decode(row.data) if row.kind == NORMAL else None
            keepers = getattr(entry, "keepers", ())
            if keepers and isLost(keepers) and rows.get(BODYREF, bodyrefKey(bucket, entry.bodyId)) is None:
                count = len(getattr(entry, "filings", (None,)))
                found[entry.bodyId] = LostBodies(bodies=1, octets=entry.size, messages=count)
        return sum(found.values(), LostBodies())

    # --- asking

    async def count(
        self, nodes: tuple[int, ...], places: Mapping[int, int], told: Told = lambda done, total: None
    ) -> dict[int, LostBodies | None]:
        """
        By bucket, what would be lost with these nodes; None where it could not be counted.

        @param places: by bucket, the node to ask. One that does not answer is asked no more.
        """
        found: dict[int, LostBodies | None] = {}
        silent: set[int] = set()
        for done, (bucket, node) in enumerate(places.items()):
            told(done, len(places))
            found[bucket] = None
            if node not in silent:
                try:
                    found[bucket] = await self._countAt(node, bucket, nodes)
                except (JindimailError, msgspec.MsgspecError):
                    silent.add(node)
        return found

    async def _countAt(self, node: int, bucket: int, nodes: tuple[int, ...]) -> LostBodies | None:
        lost, nextId = LostBodies(), b""
        while True:
            payload = msgspec.msgpack.encode(AskLost(bucket, nodes, nextId))
            answer = _decodeTold(await self._links.call(node, METHOD, payload, PIECE_SECONDS))
            await deferLater(self._clock, PAUSE_SECONDS)
            if answer.lost is None:
                return None
            lost += answer.lost
            if answer.nextId is None:
                return lost
            if answer.nextId <= nextId:
                raise Unavailable("the node's answer makes no progress")
            nextId = answer.nextId


def _exampleOf(rows: IReadRows, bucket: int, bodyId: bytes, size: int) -> Example:
    """What stands near a body. A delivery's body has the delivery's id."""
    summary = _row(rows, SUMMARY, summaryKey(bucket, bodyId), SummaryRecord)
    delivery = _row(rows, DELIVERY, deliveryKey(bucket, bodyId), DeliveryRecord)
    filed = next((each for each in delivery.filed if each.uid), None) if delivery else None
    account = _row(rows, USER, accountKey(bucket, filed.accountId), AccountRecord) if filed else None
    mailbox = _row(rows, MAILBOX, mailboxKey(bucket, filed.mailboxId), MailboxRecord) if filed else None
    return Example(
        bodyId=bodyId,
        size=size,
        messageId=summary.messageId.decode("ascii", "replace") if summary else "",
        address=account.addresses[0] if account else "",
        mailbox=mailbox.name if mailbox else "",
    )


def _row(rows: IReadRows, table: str, key: bytes, kind: type[R]) -> R | None:
    value = rows.get(table, key)
    return None if value is None else decode(value, kind)
