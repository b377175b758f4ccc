"""
Asking the node that can answer: a group's leader for errands (proposals, deliveries), any of its members for queries.

Who the members are comes from the array's own group; who leads, from this node's own replica, or from answers. Both may be wrong, and
then the next node is asked, until a deadline, or until too few members are heard for anybody to answer. All errands may be repeated (mailbox/repetition.py makes them so): when an outcome is unknown,
the same errand goes to whoever leads then. An attempt ends early when this node learns that another has come to lead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jindimail.cluster.calls import Errand, QueryAnswer, QueryCall, Report, decodeCall, encodeCall
from jindimail.cluster.counters import BucketCounters
from jindimail.cluster.hearing import Hearing, IHearing
from jindimail.cluster.seen import Seen
from jindimail.errors import JindimailError, OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import ILinks

DEADLINE_SECONDS = 10.0
ATTEMPT_SECONDS = (
    5.0  # where this node's replica tells who leads; it ends the attempt earlier if that changes
)
BLIND_SECONDS = 2.5  # where it does not
QUERY_SECONDS = 1.0  # for one member's answer
LONELY_SECONDS = 0.5  # even where too few are heard it is tried for so long
PAUSE_SECONDS = 0.02
LOOK_SECONDS = 0.1  # between looks whether another leads
TRUST_SECONDS = 1.0  # for so long this node's own replica is expected to hear of the new leader first
SHY_SECONDS = 3.0  # for so long a node that did not answer is asked last
QUERY = "query"

Ask = Callable[[int, bool, float], "Deferred[Any]"]
Carry = Callable[[int, bytes], Any]


class Router:
    """
    Errands and queries to wherever they are carried out.

    @ivar hearing: whether a group can be reached.
    @ivar seen: the highest applied index that any answer of a group was true of.
    """

    def __init__(
        self,
        *,
        links: ILinks,
        groups: IHearing,
        clock: IReactorTime,
        membersOf: Callable[[int], Sequence[int]],
        votersOf: Callable[[int], Sequence[int]],
        counters: BucketCounters | None = None,
    ) -> None:
        """@param membersOf, votersOf: the nodes that have a group's replicas, as the array's own group has it."""
        self.seen = Seen()
        self.counters = counters or BucketCounters()
        self.node = links.node
        self._links = links
        self._groups = groups
        self._clock = clock
        self._membersOf = membersOf
        self.hearing = Hearing(links=links, groups=groups, membersOf=membersOf, votersOf=votersOf)
        self._hints: dict[int, int] = {}
        self._shy: dict[int, float] = {}
        self._attempts: dict[Deferred[Any], tuple[int, int]] = {}  # (group, leader) by what is waited for
        self._lookCall: IDelayedCall | None = None

    # --- errands

    def call(self, method: str, group: int, words: bytes) -> Ask:
        """How to ask another node, by a call that `serve` there answers."""

        def ask(node: int, mayPass: bool, seconds: float) -> Deferred[Any]:
            payload = encodeCall(Errand(group, mayPass, words))
            asked: Deferred[Any] = self._links.call(node, method, payload, seconds)
            return asked.addCallback(decodeCall, Report)

        return ask

    async def toLeader(self, group: int, ask: Ask, *, mayLag: bool = False) -> Any:
        """
        Have a group's leader carry out an errand that may be repeated.

        @param ask: asks a node (this one, too), with or without leave to pass it on, within some seconds; a `Report`, or, from this
            node itself, whatever it likes, which is the answer.
        @param mayLag: it is a delivery (`Seen`).
        @return: the answer: a `Report` with words, or that.
        @raise Unavailable: nothing was done.
        @raise OutcomeUnknown: it may have been done, or be yet.
        """
        self.counters.errands += 1
        problem: JindimailError = Unavailable("no leader")
        began = self._clock.seconds()
        shunned: set[int] = set()
        while (left := began + DEADLINE_SECONDS - self._clock.seconds()) > 0:
            if DEADLINE_SECONDS - left >= LONELY_SECONDS and not self.hearing.mayAgree(group):
                break
            choice = self._choose(group, shunned, DEADLINE_SECONDS - left > TRUST_SECONDS)
            if choice is None:
                shunned.clear()
                await self.pause()
                continue
            node, leader = choice
            try:
                patience = ATTEMPT_SECONDS if self._groups.appliedIndex(group) else BLIND_SECONDS
                asked = ask(node, node != leader, min(patience, left))
                answer = await self._attempt(group, leader, asked)
                if not isinstance(answer, Report):
                    self.seen.saw(group, self._indexOf(group), mayLag=mayLag)
                    return answer
            except OutcomeUnknown as unknown:
                problem = unknown
                self.counters.unknown += 1
            except StorageFull:
                raise
            except Unavailable as away:
                problem = away if not isinstance(problem, OutcomeUnknown) else problem
            else:
                if answer.words is not None:
                    self._hints[group] = answer.leader
                    self.seen.saw(group, answer.index, mayLag=mayLag)
                    return answer
                if answer.leader:
                    self._hints[group] = answer.leader
            if self._hints.get(group) == node:
                del self._hints[group]
            shunned.add(node)
            self.counters.retries += 1
        raise problem

    def _choose(self, group: int, shunned: set[int], isLate: bool) -> tuple[int, int] | None:
        """The node to ask next, and the one that is thought to lead; None: pause, and begin anew."""
        own = self._groups.leaderOf(group)
        for leader in (own, self._hints.get(group)):
            if not leader or leader in shunned:
                continue
            if leader == self.node or self._links.isUp(leader):
                return leader, leader
            for node in self._membersOf(group):
                if node not in (leader, self.node) and node not in shunned and self._links.isUp(node):
                    return node, leader
        if self._groups.appliedIndex(group) and not isLate:
            return None
        for node in self._membersOf(group):
            if node not in shunned and node != self.node and self._links.isUp(node):
                return node, node
        return None

    async def _attempt(self, group: int, leader: int, asked: Deferred[Any]) -> Any:
        if asked.called:
            return await asked
        self._attempts[asked] = group, leader
        if self._lookCall is None:
            self._lookCall = self._clock.callLater(LOOK_SECONDS, self._look)
        try:
            return await asked
        except CancelledError:
            raise OutcomeUnknown("another node leads now, or none that is heard") from None
        finally:
            self._attempts.pop(asked, None)

    def _look(self) -> None:
        """End the attempts at nodes that lead no more, or are out of reach."""
        self._lookCall = self._clock.callLater(LOOK_SECONDS, self._look) if self._attempts else None
        mayAgree = {
            group: self.hearing.mayAgree(group) for group in {group for group, _ in self._attempts.values()}
        }
        for asked, (group, leader) in list(self._attempts.items()):
            present = self._groups.leaderOf(group)
            if (present and present != leader) or not mayAgree[group]:
                asked.cancel()

    def stop(self) -> None:
        """Look no more."""
        if self._lookCall is not None:
            self._lookCall.cancel()
            self._lookCall = None

    # --- queries

    async def query(self, group: int, query: bytes, *, fresh: bool) -> bytes:
        """
        The octets of a query's answer, from a member that has applied all that was seen of the group.

        @raise Unavailable: nobody answered in time.
        """
        seen = self.seen.index(group)
        payload = encodeCall(QueryCall(group, query, fresh, seen))
        problem: JindimailError = Unavailable("no member")
        deadline = self._clock.seconds() + DEADLINE_SECONDS
        may = self.hearing.mayAgree if fresh else self.hearing.mayAnswer
        while (left := deadline - self._clock.seconds()) > 0:
            if DEADLINE_SECONDS - left >= LONELY_SECONDS and not may(group):
                break
            for node in self._inOrder(group, fresh=fresh):
                self.counters.queries += node != self.node
                try:
                    octets = await self._links.call(node, QUERY, payload, min(QUERY_SECONDS, left))
                    answer: QueryAnswer = decodeCall(octets, QueryAnswer)
                except OutcomeUnknown as unknown:
                    self._shy[node] = self._clock.seconds() + SHY_SECONDS
                    problem = unknown
                except Unavailable as away:
                    problem = away
                else:
                    if fresh and answer.index < seen:
                        self.seen.confirmed(group, answer.index)
                    self.seen.saw(group, answer.index)
                    return answer.answer
            await self.pause()
        raise problem

    def _inOrder(self, group: int, *, fresh: bool) -> Iterator[int]:
        """This node if it is a member, and the others; what is to be fresh was asked for here in vain already."""
        here = (self.node,) if self._groups.appliedIndex(group) else ()
        others = self.membersInOrder(group)
        yield from (*others, *here) if fresh else (*here, *others)

    def membersInOrder(self, group: int) -> Iterator[int]:
        """The members that are up, the leader first; last those that did not answer lately."""
        now = self._clock.seconds()
        members = list(self._membersOf(group))
        leader = self._groups.leaderOf(group) or self._hints.get(group)
        members.sort(key=lambda node: (self._shy.get(node, 0.0) > now, node != leader))
        yield from [node for node in members if self._links.isUp(node)]

    def pause(self, seconds: float = PAUSE_SECONDS) -> Deferred[None]:
        """Fires after a while."""
        over: Deferred[None] = Deferred()
        self._clock.callLater(seconds, over.callback, None)
        return over

    # --- answering

    def serve(self, method: str, carry: Carry) -> None:
        """Carry out errands of a method where this node leads: `carry(group, words)` gives an awaitable of words."""
        self._links.serve(method, partial(self._errand, method, carry))

    async def _errand(
        self, method: str, carry: Carry, node: int, payload: bytes, deadlineSeconds: float
    ) -> bytes:
        errand: Errand = decodeCall(payload, Errand)
        group = errand.group
        leader = self._groups.leaderOf(group)
        if leader is not None and leader == self.node:
            return self.report(group, await carry(group, errand.words))
        if errand.mayPass and leader and leader != node:
            self.counters.passed += 1
            onward = encodeCall(Errand(group, False, errand.words))
            octets: bytes = await self._links.call(leader, method, onward, 0.9 * deadlineSeconds)
            return octets
        return encodeCall(Report(leader or 0, 0, None))

    def report(self, group: int, words: bytes) -> bytes:
        """
        The outcome of an errand that was carried out here.

        @raise OutcomeUnknown: as `_indexOf`.
        """
        return encodeCall(Report(self.node, self._indexOf(group), words))

    def _indexOf(self, group: int) -> int:
        """
        An applied index that an outcome of this node's replica is true of.

        @raise OutcomeUnknown: the replica was loaded again meanwhile, or is gone: nobody could say from when on the outcome can be
            read. Who asks again is given it by the next leader.
        """
        index = self._groups.appliedIndex(group)
        if not index:
            raise OutcomeUnknown("the replica that knew it was loaded again")
        return index

    def serveQueries(self, answer: Callable[[QueryCall, float], Any]) -> None:
        """Answer others' queries: `answer(call, seconds)` gives an awaitable of a `QueryAnswer`, from this node's replica."""

        async def answered(node: int, payload: bytes, deadlineSeconds: float) -> bytes:
            return encodeCall(await answer(decodeCall(payload, QueryCall), deadlineSeconds))

        self._links.serve(QUERY, answered)
