"""
Asking the node that can answer: a group's leader for proposals, any of its members for queries.

Who the members are comes from the array's own group, and who leads is a hint, learned from answers; both may be wrong, and then the
next node is asked, until a deadline. An entry that may be repeated (a delivery, by its id) is proposed again when its outcome is
unknown; any other is not, since it might then be done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.errors import Corrupt, JindimailError, OutcomeUnknown, Unavailable
from jindimail.interfaces import ILinks

DEADLINE_SECONDS = 10.0
ATTEMPT_SECONDS = 2.5
PAUSE_SECONDS = 0.05
PROPOSE, QUERY = "propose", "query"


class ProposeCall(msgspec.Struct, frozen=True, array_like=True):
    """An entry for the leader of a group."""

    group: int
    entry: bytes


class ProposeAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The outcome's octets; or None, because another node (0: unknown which) leads, and nothing was proposed."""

    outcome: bytes | None
    leader: int = 0


class QueryCall(msgspec.Struct, frozen=True, array_like=True):
    """A query for a member of a group."""

    group: int
    query: bytes
    fresh: bool


class IMembers(Protocol):
    """This node's share in the groups."""

    def leaderOf(self, group: int) -> int | None:
        """The node that leads a group, as far as is known here."""
        ...

    def propose(self, group: int, entry: bytes, before: Any = None) -> Deferred[Any]:
        """See `IGroups`."""
        ...


class Router:
    """
    Proposals and queries to wherever they are answered, as octets.

    @param membersOf: the nodes that have a group's replicas, as the array's own group has it.
    @param encodeOutcome: an outcome's octets.
    @param answer: answers a query (its octets, fresh or not) from this node's replica: octets, or an awaitable of octets.
    """

    def __init__(
        self,
        *,
        links: ILinks,
        groups: IMembers,
        clock: IReactorTime,
        membersOf: Callable[[int], Sequence[int]],
        encodeOutcome: Callable[[Any], bytes],
        answer: Callable[[int, bytes, bool], Any],
    ) -> None:
        self._links = links
        self._groups = groups
        self._clock = clock
        self._membersOf = membersOf
        self._encodeOutcome = encodeOutcome
        self._answer = answer
        self._hints: dict[int, int] = {}
        links.serve(PROPOSE, self._proposed)
        links.serve(QUERY, self._queried)

    # --- asking

    async def propose(self, group: int, entry: bytes, *, mayRepeat: bool) -> bytes:
        """
        The octets of an entry's outcome.

        @raise Unavailable: nobody could be asked in time.
        @raise OutcomeUnknown: it may still be committed.
        """
        payload = msgspec.msgpack.encode(ProposeCall(group, entry))
        problem: JindimailError = Unavailable("no leader")
        deadline = self._clock.seconds() + DEADLINE_SECONDS
        async for node in self._candidates(group, deadline):
            try:
                octets = await self._links.call(node, PROPOSE, payload, self._attemptSeconds(deadline))
                answer = _decoded(octets, ProposeAnswer)
            except OutcomeUnknown as unknown:
                if not mayRepeat:
                    raise
                problem = unknown
            except Unavailable as away:
                problem = away if not isinstance(problem, OutcomeUnknown) else problem
            else:
                if answer.outcome is not None:
                    self._hints[group] = node
                    outcome: bytes = answer.outcome
                    return outcome
                self._hints[group] = answer.leader
                continue
            self._hints.pop(group, None)
        raise problem

    async def query(self, group: int, query: bytes, *, fresh: bool) -> bytes:
        """
        The octets of a query's answer, from the nearest member that has one.

        @raise Unavailable: nobody answered in time.
        """
        payload = msgspec.msgpack.encode(QueryCall(group, query, fresh))
        problem: JindimailError = Unavailable("no member")
        deadline = self._clock.seconds() + DEADLINE_SECONDS
        async for node in self._candidates(group, deadline):
            try:
                octets: bytes = await self._links.call(node, QUERY, payload, self._attemptSeconds(deadline))
                return octets
            except Unavailable as away:
                problem = away
        raise problem

    def _attemptSeconds(self, deadline: float) -> float:
        return max(0.01, min(ATTEMPT_SECONDS, deadline - self._clock.seconds()))

    async def _candidates(self, group: int, deadline: float) -> Any:
        """The nodes to ask, one after the other, best first; round after round until the deadline."""
        while True:
            asked: set[int] = set()
            for node in self._inOrder(group):
                hint = self._hints.get(group, 0)
                for one in (hint, node):
                    if one and one not in asked:
                        asked.add(one)
                        yield one
                if self._clock.seconds() >= deadline:
                    return
            if self._clock.seconds() + PAUSE_SECONDS >= deadline:
                return
            await self._pause()

    def _inOrder(self, group: int) -> Iterator[int]:
        """This node's own idea of the leader, then the members that are up, then the others."""
        leader = self._groups.leaderOf(group)
        if leader:
            yield leader
        members = self._membersOf(group)
        yield from (node for node in members if node == self._links.node)
        yield from (node for node in members if self._links.isUp(node))
        yield from (node for node in members if not self._links.isUp(node))

    def _pause(self) -> Deferred[None]:
        over: Deferred[None] = Deferred()
        self._clock.callLater(PAUSE_SECONDS, over.callback, None)
        return over

    # --- answering

    async def _proposed(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        call = _decoded(payload, ProposeCall)
        leader = self._groups.leaderOf(call.group)
        if leader != self._links.node:
            return msgspec.msgpack.encode(ProposeAnswer(None, leader or 0))
        outcome = await self._groups.propose(call.group, call.entry)
        return msgspec.msgpack.encode(ProposeAnswer(self._encodeOutcome(outcome)))

    async def _queried(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        call = _decoded(payload, QueryCall)
        answered = self._answer(call.group, call.query, call.fresh)
        octets: bytes = answered if isinstance(answered, bytes) else await answered
        return octets


def _decoded(octets: bytes, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(octets, type=kind)
    except msgspec.MsgspecError as problem:
        raise Corrupt("another node's words do not decode") from problem
