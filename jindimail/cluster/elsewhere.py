"""
How a node's buckets ask other nodes, and answer them: proposals to leaders, queries to members.

A query is answered from rows that have applied what the asking node has seen of the group, and no others.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from jindimail.cluster.calls import QueryAnswer, QueryCall, Report
from jindimail.cluster.router import Router
from jindimail.errors import JindimailError, Unavailable
from jindimail.interfaces import IGroups, IStateMachine, IStore
from jindimail.replication.holding import HOLD_SECONDS

PROPOSE = "propose"
LAG_SECONDS = 0.15  # a query waits so long for this node's own replica
CONFIRM_SECONDS = 1.0
MEMBER_LAG_SECONDS = 0.5  # another node's so long for the one that is asked


class IWire(Protocol):
    """Entries, queries, answers and outcomes as octets (mailbox/wire.py)."""

    def encodeQuery(self, query: Any) -> bytes:
        """A query's octets."""

    def decodeQuery(self, octets: bytes) -> Any:
        """A query."""

    def encodeAnswer(self, answer: Any) -> bytes:
        """An answer's octets."""

    def decodeAnswer(self, query: Any, octets: bytes) -> Any:
        """The answer of a query."""

    def encodeOutcome(self, outcome: Any) -> bytes:
        """An outcome's octets."""

    def decodeOutcome(self, octets: bytes) -> Any:
        """An outcome."""

    def isPiece(self, query: Any) -> bool: ...
    def repeatable(self, entry: Any, requestId: bytes) -> bytes:
        """An entry's octets, in a form that may be proposed twice."""

    def bodyQuery(self, query: Any) -> Any:
        """The query that tells where the octets are that another asks for; None: it asks for none."""

    def portionOf(self, query: Any, body: Any) -> tuple[bytes, int, int]:
        """What is asked of a body that was found: octets ahead of it, and its range."""


class Elsewhere:
    """
    This node's share in what nodes ask each other about buckets.

    @ivar router: finds whom to ask.
    @ivar wire: what crosses, as octets.
    """

    def __init__(
        self,
        *,
        router: Router,
        groups: IGroups,
        store: IStore,
        machine: IStateMachine,
        wire: IWire,
        clock: IReactorTime,
        incarnation: int,
    ) -> None:
        self.router = router
        self._groups = groups
        self._store = store
        self._machine = machine
        self.wire = wire
        self._clock = clock
        self._life: bytes = router.node.to_bytes(4, "big") + incarnation.to_bytes(4, "big")
        self._requests = count(1)
        self._hurried: dict[int, float] = {}  # when a group's leader was asked last
        router.serve(PROPOSE, self._carry)
        router.serveQueries(self._answer)

    # --- asking

    async def propose(self, group: int, entry: Any) -> Any:
        """The outcome of an entry that its group's leader proposed; tried again until it is known."""
        octets = self.wire.repeatable(entry, self._newRequestId(entry.seconds))
        askOther = self.router.call(PROPOSE, group, octets)

        def ask(node: int, mayPass: bool, seconds: float) -> Deferred[Any]:
            here = node == self.router.node
            return self._groups.propose(group, octets) if here else askOther(node, mayPass, seconds)

        return self.outcome(await self.router.toLeader(group, ask))

    def outcome(self, answer: Any) -> Any:
        """An errand's answer, from here or from elsewhere, as an outcome."""
        if isinstance(answer, Report):
            assert answer.words is not None
            return self.wire.decodeOutcome(answer.words)
        return answer

    def _newRequestId(self, seconds: int) -> bytes:
        number = next(self._requests) & 0xFFFFFFFF
        return seconds.to_bytes(4, "big") + self._life + number.to_bytes(4, "big")

    async def query(self, group: int, query: Any, *, fresh: bool) -> Any:
        """A query's answer, from any member that can give it."""
        octets = await self.router.query(group, self.wire.encodeQuery(query), fresh=fresh)
        return self.wire.decodeAnswer(query, octets)

    def readIndex(self, group: int) -> Deferred[int]:
        """This node's replica's, as `IGroups` has it, within a second: a replica that is far behind is no place to wait at."""
        waiting: Deferred[int] = self._groups.readIndex(group)
        if not waiting.called:
            call = self._clock.callLater(CONFIRM_SECONDS, waiting.cancel)
            waiting.addBoth(_stopped, call)
        return waiting

    async def caughtUp(self, group: int, index: int = 0, seconds: float = LAG_SECONDS) -> bool:
        """Whether this node's replica comes to have applied an index, or what was seen of the group, soon."""
        wanted = max(1, index, self.router.seen.index(group))
        self.router.counters.waits += 1
        waiting = self._groups.whenApplied(group, wanted)
        if not waiting.called:
            self._hurry(group)
        call = self._clock.callLater(seconds, waiting.cancel)
        try:
            await waiting
        except (CancelledError, JindimailError):
            return False
        finally:
            if call.active():
                call.cancel()
        return True

    def _hurry(self, group: int) -> None:
        """Its leader may hold back what is waited for: whoever asks for a read index is told at once. It holds nothing back for longer than it takes to ask again."""
        now = self._clock.seconds()
        if not 0 <= now - self._hurried.get(group, -HOLD_SECONDS) < HOLD_SECONDS:
            self._hurried[group] = now
            self._groups.readIndex(group).addErrback(lambda _: None)

    # --- answering

    async def _carry(self, group: int, entry: bytes) -> bytes:
        outcome: Any = await self._groups.propose(group, entry)
        return self.wire.encodeOutcome(outcome)

    async def _answer(self, call: QueryCall, seconds: float) -> QueryAnswer:
        """
        Another node's query, or this node's own when its replica is not the first to ask.

        @raise Unavailable: there is no replica here that may answer.
        """
        group = call.group
        if call.fresh:
            await self.readIndex(group)
        applied = self._groups.appliedIndex(group)
        if not applied or (applied < call.minIndex and not call.fresh):
            patience = min(seconds / 2, MEMBER_LAG_SECONDS)
            if not applied or not await self.caughtUp(group, call.minIndex, patience):
                raise Unavailable("no replica here, or one that is behind")
        query = self.wire.decodeQuery(call.query)
        index = self._groups.appliedIndex(group)
        with self._store.read() as rows:
            answer = self._machine.answer(rows, group, query)
        return QueryAnswer(index, self.wire.encodeAnswer(answer))


def _stopped(result: Any, call: IDelayedCall) -> Any:
    if call.active():
        call.cancel()
    if isinstance(result, Failure) and result.check(CancelledError):
        raise Unavailable("not confirmed in time")
    return result
