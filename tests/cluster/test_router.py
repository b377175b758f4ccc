"""Asking the node that can answer, on links in memory that fail as told."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from jindimail.cluster.calls import QueryAnswer, Report
from jindimail.cluster.router import ATTEMPT_SECONDS, DEADLINE_SECONDS, PAUSE_SECONDS, Router
from jindimail.errors import JindimailError, OutcomeUnknown, OverQuota, Unavailable

GROUP = 5


class Array:
    """Nodes 1, 2 and 3, and what each of them does."""

    def __init__(self, asking: int = 1) -> None:
        self.clock = Clock()
        self.leader: int | None = 1
        self.down: set[int] = set()
        self.cut: set[tuple[int, int]] = set()
        self.silent: set[int] = set()  # their links are up, and nothing is heard of them
        self.unheard: set[int] = set()  # their links are up, and they had nothing to say yet
        self.deaf: set[int] = set()  # they do what they are asked, but their answers are lost
        self.done: list[tuple[int, bytes]] = []
        self.nodes = {number: Node(self, number) for number in (1, 2, 3)}
        self.router = self.nodes[asking].router

    async def do(self, words: bytes) -> bytes:
        """An errand; its answer's words."""
        report = await self.router.toLeader(GROUP, self.router.call("do", GROUP, words))
        assert isinstance(report, Report) and report.words is not None
        return report.words

    def result(self, waiting: Any, seconds: float = DEADLINE_SECONDS + ATTEMPT_SECONDS) -> Any:
        """What a coroutine comes to, after as much time as it takes."""
        results: list[Any] = []
        Deferred.fromCoroutine(waiting).addBoth(results.append)
        for _ in range(int(seconds / 0.01)):
            if results:
                break
            self.clock.advance(0.01)
        assert results, "no end"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]


class Node:
    """One node: links and groups in one."""

    def __init__(self, array: Array, number: int) -> None:
        self.array = array
        self.node = number
        self.methods: dict[str, Callable[..., Any]] = {}
        self.applied = 7
        self.idea: int | None = None  # of who leads, if not the truth
        self.router = Router(
            links=self,
            groups=self,
            clock=array.clock,
            membersOf=lambda group: (1, 2, 3),
            votersOf=lambda group: (1, 2, 3),
        )
        self.router.serve("do", self.carry)
        self.router.serveQueries(self.answered)

    def serve(self, method: str, answerer: Callable[..., Any]) -> None:
        """`ILinks`."""
        self.methods[method] = answerer

    def isUp(self, node: int) -> bool:
        """`ILinks`."""
        return node != self.node and node not in self.array.down and (self.node, node) not in self.array.cut

    def call(self, node: int, method: str, payload: bytes, deadlineSeconds: float) -> Deferred[bytes]:
        """`ILinks`."""
        if node != self.node and not self.isUp(node):
            return fail(Unavailable())
        answer = maybeDeferred(
            lambda: Deferred.fromCoroutine(
                self.array.nodes[node].methods[method](self.node, payload, deadlineSeconds)
            )
        )
        if node not in self.array.deaf:
            return answer
        lost: Deferred[bytes] = Deferred()
        self.array.clock.callLater(deadlineSeconds, lost.errback, OutcomeUnknown())
        return lost

    def leaderOf(self, group: int) -> int | None:
        """`IHearing`."""
        return self.idea or (self.array.leader if self.array.leader == self.node else None)

    def appliedIndex(self, group: int) -> int:
        """`IHearing`."""
        return self.applied

    def silenceSeconds(self, node: int) -> float:
        """`IHearing`."""
        return inf if node in self.array.unheard else 9.0 if node in self.array.silent else 0.0

    async def carry(self, group: int, words: bytes) -> bytes:
        """Carry out an errand, as the leader."""
        if self.array.leader != self.node:
            raise Unavailable
        self.array.done.append((self.node, words))
        if words == b"too much":
            raise OverQuota
        return b"done " + words

    async def answered(self, call: Any, seconds: float) -> QueryAnswer:
        """Answer a query; a fresh one as far as there is a leader who confirms it."""
        if call.fresh and self.array.leader is None:
            raise Unavailable
        return QueryAnswer(7, b"%d says %s" % (self.node, call.query))


@pytest.mark.parametrize("leader", [1, 2, 3])
def test_theLeaderIsFoundWhereverItIs(leader: int) -> None:
    array = Array()
    array.leader = leader
    assert array.result(array.do(b"x")) == b"done x"
    assert array.done == [(leader, b"x")]


def test_theHintIsAskedFirstNextTime() -> None:
    array = Array()
    array.leader = 3
    array.result(array.do(b"x"))
    asked: list[int] = []
    real = array.nodes[1].call
    array.nodes[1].call = lambda node, *words: asked.append(node) or real(node, *words)
    array.result(array.do(b"y"))
    assert asked == [3]


def test_aWrongHintDoesNoHarm() -> None:
    array = Array()
    array.leader = 3
    array.result(array.do(b"x"))
    array.leader = 2
    assert array.result(array.do(b"y")) == b"done y"
    assert array.done == [(3, b"x"), (2, b"y")]


def test_nodesThatPointAtEachOtherEndAtTheDeadline() -> None:
    array = Array()
    array.leader = None
    array.nodes[2].idea, array.nodes[3].idea = 3, 2
    with pytest.raises(Unavailable):
        array.result(array.do(b"x"))
    assert array.clock.seconds() <= DEADLINE_SECONDS + PAUSE_SECONDS


def test_aNewLeaderIsWaitedFor() -> None:
    array = Array()
    array.leader = None
    array.clock.callLater(1.0, lambda: setattr(array, "leader", 2))
    assert array.result(array.do(b"x")) == b"done x"


def test_aNewLeaderIsWaitedForWithANodeThatNeverSpoke() -> None:
    array = Array()
    array.leader, array.down, array.unheard = None, {2}, {3}
    array.clock.callLater(1.0, lambda: setattr(array, "leader", 3))
    assert array.result(array.do(b"x")) == b"done x"


def test_anErrandWhoseOutcomeIsUnknownIsRepeated() -> None:
    array = Array()
    array.leader, array.deaf = 2, {2}
    array.clock.callLater(3.0, array.deaf.clear)
    assert array.result(array.do(b"delivery")) == b"done delivery"
    assert array.done.count((2, b"delivery")) >= 2


def test_anAttemptEndsWhenAnotherComesToLead() -> None:
    array = Array()
    array.leader, array.deaf = 2, {2}
    array.nodes[1].idea = 2

    def elected() -> None:
        array.leader = array.nodes[1].idea = 3

    array.clock.callLater(0.5, elected)
    assert array.result(array.do(b"x")) == b"done x"
    assert array.done == [(2, b"x"), (3, b"x")]
    assert array.clock.seconds() < 1.0


def test_aLeaderOutOfReachIsReachedThroughAnotherNode() -> None:
    array = Array()
    array.leader = array.nodes[1].idea = array.nodes[3].idea = 2
    array.cut = {(1, 2)}
    assert array.result(array.do(b"x")) == b"done x"
    assert array.nodes[3].router.counters.passed == 1


def test_whatStaysUnknownIsSaidToBe() -> None:
    array = Array()
    array.leader, array.deaf = 2, {2}
    array.clock.callLater(5.0, lambda: array.down.update((2, 3)))
    with pytest.raises(OutcomeUnknown):
        array.result(array.do(b"delivery"))


def test_anOutcomeIsAskedForAgainWhenTheReplicaThatKnewItWasLoadedAgain() -> None:
    array = Array()
    array.leader = array.nodes[1].idea = 2
    leader = array.nodes[2]
    leader.applied = 0
    array.clock.callLater(0.5, lambda: setattr(leader, "applied", 9))
    assert array.result(array.do(b"delivery")) == b"done delivery"
    assert array.done.count((2, b"delivery")) >= 2
    assert array.router.seen.index(GROUP) == 9, "it is read from there on"


def test_anOutcomeOfThisNodesOwnReplicaIsAskedForAgainToo() -> None:
    array = Array()
    own = array.nodes[1]
    own.applied = 0
    array.clock.callLater(0.5, lambda: setattr(own, "applied", 8))
    waiting = array.router.toLeader(GROUP, lambda node, mayPass, seconds: succeed("filed"))
    assert array.result(waiting) == "filed" and array.router.seen.index(GROUP) == 8


def test_aRefusalIsAnAnswer() -> None:
    array = Array()
    array.leader = 2
    with pytest.raises(OverQuota):
        array.result(array.do(b"too much"))
    assert len(array.done) == 1


def test_queriesAreAnsweredByTheNearest() -> None:
    array = Array(asking=2)
    assert array.result(array.router.query(GROUP, b"what?", fresh=False)) == b"2 says what?"


def test_queriesGoOnToTheNextNode() -> None:
    array = Array()
    array.nodes[1].applied, array.down = 0, {2}
    assert array.result(array.router.query(GROUP, b"what?", fresh=True)) == b"3 says what?"
    array.down = {2, 3}
    with pytest.raises(Unavailable):
        array.result(array.router.query(GROUP, b"what?", fresh=True))


def test_anErrorOfOursIsNoUnavailability() -> None:
    assert not issubclass(OverQuota, Unavailable)
    assert issubclass(OutcomeUnknown, JindimailError)


@pytest.mark.parametrize("applied", [0, 7])
def test_aNodeThatHearsNoMajoritySaysSoSoon(applied: int) -> None:
    array = Array(asking=3)
    array.leader = None
    array.nodes[3].applied = applied
    array.down = {1, 2}
    began = array.clock.seconds()
    with pytest.raises(Unavailable):
        array.result(array.do(b"a"))
    with pytest.raises(Unavailable):
        array.result(array.router.query(GROUP, b"q", fresh=True))
    assert array.clock.seconds() < began + 2


def test_anAttemptEndsWhenTheLeaderIsOutOfReach() -> None:
    array = Array(asking=3)
    array.deaf = {1}
    array.nodes[3].idea = 1
    began = array.clock.seconds()
    array.clock.callLater(1.0, array.silent.update, {1, 2})
    with pytest.raises(OutcomeUnknown):
        array.result(array.do(b"a"))
    assert array.clock.seconds() < began + 2


def test_aMinorityThatIsHeardAnswersQueriesFromItsRows() -> None:
    array = Array(asking=3)
    array.nodes[3].applied = 0
    array.down = {1}
    array.nodes[2].applied = 7
    array.leader = None
    assert array.result(array.router.query(GROUP, b"q", fresh=False)) == b"2 says q"


def test_aMajorityWithoutALeaderIsWaitedFor() -> None:
    array = Array(asking=3)
    array.leader = None
    array.down = {1}
    array.clock.callLater(5.0, setattr, array, "leader", 2)
    assert array.result(array.do(b"a")) == b"done a"
