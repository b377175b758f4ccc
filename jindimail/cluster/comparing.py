"""
Comparing what nodes hold, for `jindictl check --cluster`: each node answers for itself, any node asks all (design §9).

Replicas are compared at one applied index. A node that is behind waits for it, a bounded time; one that has passed it by says so, and the
others are asked for that later one. A bucket that changes too fast for that is undecided, and said to be so. Copies are read by their keepers, piece by
piece, in a thread; the asker paces the pieces, so that a check of all bodies does not take the disks from clients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from jindimail.errors import JindimailError, ProtocolError, Unavailable
from jindimail.interfaces import ILinks
from jindimail.replication.digests import Difference, GroupDigest, differences, digestOfGroup
from jindimail.replication.driver import Groups
from jindimail.replication.transfers import SnapshotPlace
from jindimail.store.checkbodies import checkBodies
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import BODYREF, after, bodyKey, bucketKey, unpackChunkKey
from jindimail.store.records import BodyrefRecord, decode

DIGEST_METHOD, COPIES_METHOD = "digest", "copies"
WAIT_SECONDS = 1.0  # for an index that is behind the others'
DIGEST_SECONDS = 60.0  # a bucket of millions of rows takes a while
PIECE_SECONDS = 60.0
PIECE_OCTETS = 4 << 20
OCTETS_PER_SECOND = 32 << 20  # of copies, read at one node
ROUNDS_MAX = 8
FINDINGS_MAX = 1000  # in one answer


class AskDigest(msgspec.Struct, frozen=True, array_like=True):
    """A group's digest at an index; 0: as it is."""

    group: int
    index: int


class AskCopies(msgspec.Struct, frozen=True, array_like=True):
    """What is wrong with a node's own copies of a bucket's bodies whose ids come after one."""

    bucket: int
    afterId: bytes


class WrongCopy(msgspec.Struct, frozen=True, array_like=True):
    """A copy that its keeper does not have as it should."""

    bodyId: bytes
    kind: str
    text: str


class Copies(msgspec.Struct, frozen=True, array_like=True):
    """
    A piece of an answer to AskCopies.

    @ivar bodies: how many the node keeps, of those that were looked at.
    @ivar nextId: to go on after; None: that was all.
    """

    bodies: int
    octets: int
    wrong: tuple[WrongCopy, ...]
    nextId: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """
    What came of comparing a group.

    @ivar index: at which the replicas were compared; 0: they were not.
    @ivar silent: nodes that did not answer.
    @ivar absent: nodes that should have a replica, and have none.
    """

    group: int
    index: int = 0
    nodes: tuple[int, ...] = ()
    differences: tuple[Difference, ...] = ()
    silent: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()


@dataclass(slots=True)
class _Round:
    """What is known of the replicas of a group so far."""

    digests: dict[int, GroupDigest] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)

    def present(self) -> dict[int, GroupDigest]:
        """Those that are replicas."""
        return {node: digest for node, digest in self.digests.items() if digest.applied}


class Comparing:
    """This node's part in it: it answers, and it asks."""

    def __init__(self, *, clock: IReactorTime, groups: Groups, links: ILinks, place: SnapshotPlace) -> None:
        self._clock = clock
        self._groups = groups
        self._links = links
        self._place = place
        links.serve(DIGEST_METHOD, self._tellDigest)
        links.serve(COPIES_METHOD, self._tellCopies)

    # --- answering

    async def _tellDigest(self, node: int, payload: bytes, seconds: float) -> bytes:
        asked = _read(payload, AskDigest)
        if asked.index:
            await self._within(self._groups.whenApplied(asked.group, asked.index), WAIT_SECONDS)
        await self._within(self._groups.whenDurable(), WAIT_SECONDS)
        found = await self._place.inThread(partial(self._digest, asked))
        return msgspec.msgpack.encode(found)

    def _digest(self, asked: AskDigest) -> GroupDigest:
        with self._place.read() as rows:
            return digestOfGroup(rows, asked.group, asked.index)

    async def _within(self, waiting: Deferred[Any], seconds: float) -> None:
        """Wait for an index, but not for long; whether it came is seen in the rows."""
        call = self._clock.callLater(seconds, waiting.cancel)
        await DeferredList([waiting], consumeErrors=True)
        if call.active():
            call.cancel()

    async def _tellCopies(self, node: int, payload: bytes, seconds: float) -> bytes:
        asked = _read(payload, AskCopies)
        found = await self._place.inThread(partial(self._copies, asked))
        return msgspec.msgpack.encode(found)

    def _copies(self, asked: AskCopies) -> Copies:
        me = self._links.node
        with self._place.read() as rows:
            findings, nextId = checkBodies(
                rows, asked.bucket, me, afterId=asked.afterId, octetsMax=PIECE_OCTETS
            )
            bodies = octets = 0
            start = after(bodyKey(asked.bucket, asked.afterId)) if asked.afterId else bucketKey(asked.bucket)
            stop = after(bodyKey(asked.bucket, nextId)) if nextId else after(bucketKey(asked.bucket))
            for _, value in rows.scan(BODYREF, start, stop):
                record = decode(value, BodyrefRecord)
                if me in record.keepers:
                    bodies, octets = bodies + 1, octets + record.size
            wrong = _wrongOf(findings)
        return Copies(bodies, octets, tuple(wrong[:FINDINGS_MAX]), nextId)

    # --- asking

    async def compare(self, group: int, nodes: Iterable[int]) -> Compared:
        """Compare a group's replicas at these nodes."""
        known = _Round()
        asked = list(nodes)
        for _ in range(ROUNDS_MAX):
            index = max((digest.applied for digest in known.digests.values()), default=0)
            await self._ask(known, group, asked, index)
            present = known.present()
            index = max((digest.applied for digest in present.values()), default=0)
            asked = [node for node, each in present.items() if each.applied != index or not each.tables]
            if not asked:
                break
        present = known.present()
        return Compared(
            group=group,
            index=0 if asked else index,
            nodes=tuple(sorted(present)),
            differences=() if asked else tuple(differences(present)),
            silent=tuple(sorted(known.silent)),
            absent=tuple(sorted(known.digests.keys() - present.keys())),
        )

    async def _ask(self, known: _Round, group: int, nodes: list[int], index: int) -> None:
        payload = msgspec.msgpack.encode(AskDigest(group, index))
        calls = [self._links.call(node, DIGEST_METHOD, payload, DIGEST_SECONDS) for node in nodes]
        answers = await DeferredList(calls, consumeErrors=True)
        for node, (isAnswered, answer) in zip(nodes, answers, strict=True):
            if isAnswered:
                known.digests[node] = _read(answer, GroupDigest)
            else:
                answer.trap(JindimailError)
                known.digests.pop(node, None)
                known.silent.add(node)

    async def copies(self, bucket: int, node: int) -> Copies:
        """
        What is wrong with the copies of a bucket's bodies at a node, all of them.

        @raise Unavailable: it does not answer.
        """
        bodies = octets = 0
        wrong: list[WrongCopy] = []
        nextId: bytes | None = b""
        while nextId is not None:
            payload = msgspec.msgpack.encode(AskCopies(bucket, nextId))
            answer = _read(await self._links.call(node, COPIES_METHOD, payload, PIECE_SECONDS), Copies)
            if answer.nextId is not None and answer.nextId <= nextId:
                raise Unavailable("the node's answer makes no progress")
            bodies, octets, nextId = bodies + answer.bodies, octets + answer.octets, answer.nextId
            wrong.extend(answer.wrong)
            await self._pause(answer.octets / OCTETS_PER_SECOND)
        return Copies(bodies, octets, tuple(wrong), None)

    async def _pause(self, seconds: float) -> None:
        passed: Deferred[None] = Deferred()
        self._clock.callLater(seconds, passed.callback, None)
        await passed


def _wrongOf(findings: list[Finding]) -> list[WrongCopy]:
    """Of what was found, that which concerns copies that are named; what else lies there is on its way, or goes."""
    return [
        WrongCopy(unpackChunkKey(finding.key)[1], finding.kind.value, finding.text)
        for finding in findings
        if finding.kind is not Kind.BODY_ORPHAN
    ]


def _read(octets: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.msgpack.decode(octets, type=kind)
    except msgspec.MsgspecError as problem:
        raise ProtocolError from problem
