"""Asking the node that can answer, on links in memory that fail as told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from jindimail.cluster.router import ATTEMPT_SECONDS, DEADLINE_SECONDS, PAUSE_SECONDS, Router
from jindimail.errors import JindimailError, OutcomeUnknown, OverQuota, Unavailable

GROUP = 5


class Array:
    """Nodes 1, 2 and 3, and what each of them does."""

    def __init__(self, asking: int = 1) -> None:
        self.clock = Clock()
        self.leader: int | None = 1
        self.down: set[int] = set()
        self.deaf: set[int] = set()  # they do what they are asked, but their answers are lost
        self.proposed: list[tuple[int, bytes]] = []
        self.nodes = {number: Node(self, number) for number in (1, 2, 3)}
        self.router = self.nodes[asking].router

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
        self.idea: int | None = None  # of who leads, if not the truth
        self.router = Router(
            links=self,
            groups=self,
            clock=array.clock,
            membersOf=lambda group: (1, 2, 3),
            encodeOutcome=lambda outcome: outcome,
            answer=lambda group, query, fresh: b"%d says %s" % (number, query),
        )

    def serve(self, method: str, answerer: Callable[..., Any]) -> None:
        """`ILinks`."""
        self.methods[method] = answerer

    def isUp(self, node: int) -> bool:
        """`ILinks`."""
        return node not in self.array.down

    def call(self, node: int, method: str, payload: bytes, deadlineSeconds: float) -> Deferred[bytes]:
        """`ILinks`."""
        if node in self.array.down:
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
        """`IMembers`."""
        return self.idea or (self.array.leader if self.array.leader == self.node else None)

    def propose(self, group: int, entry: bytes, before: Any = None) -> Deferred[bytes]:
        """`IMembers`."""
        if self.array.leader != self.node:
            return fail(Unavailable())
        self.array.proposed.append((self.node, entry))
        if entry == b"too much":
            return fail(OverQuota())
        return succeed(b"done " + entry)


@pytest.mark.parametrize("leader", [1, 2, 3])
def test_theLeaderIsFoundWhereverItIs(leader: int) -> None:
    array = Array()
    array.leader = leader
    assert array.result(array.router.propose(GROUP, b"x", mayRepeat=False)) == b"done x"
    assert array.proposed == [(leader, b"x")]


def test_theHintIsAskedFirstNextTime() -> None:
    array = Array()
    array.leader = 3
    array.result(array.router.propose(GROUP, b"x", mayRepeat=False))
    asked: list[int] = []
    real = array.nodes[1].call
    array.nodes[1].call = lambda node, *words: asked.append(node) or real(node, *words)
    array.result(array.router.propose(GROUP, b"y", mayRepeat=False))
    assert asked == [3]


def test_aWrongHintDoesNoHarm() -> None:
    array = Array()
    array.leader = 3
    array.result(array.router.propose(GROUP, b"x", mayRepeat=False))
    array.leader = 2
    assert array.result(array.router.propose(GROUP, b"y", mayRepeat=False)) == b"done y"
    assert array.proposed == [(3, b"x"), (2, b"y")]


def test_nodesThatPointAtEachOtherEndAtTheDeadline() -> None:
    array = Array()
    array.leader = None
    array.nodes[2].idea, array.nodes[3].idea = 3, 2
    with pytest.raises(Unavailable):
        array.result(array.router.propose(GROUP, b"x", mayRepeat=False))
    assert array.clock.seconds() <= DEADLINE_SECONDS + PAUSE_SECONDS


def test_aNewLeaderIsWaitedFor() -> None:
    array = Array()
    array.leader = None
    array.clock.callLater(1.0, lambda: setattr(array, "leader", 2))
    assert array.result(array.router.propose(GROUP, b"x", mayRepeat=False)) == b"done x"


def test_anUnknownOutcomeIsRepeatedOnlyIfThatIsAllowed() -> None:
    array = Array()
    array.leader, array.deaf = 2, {2}
    with pytest.raises(OutcomeUnknown):
        array.result(array.router.propose(GROUP, b"copy", mayRepeat=False))
    assert array.proposed == [(2, b"copy")]
    array.clock.callLater(3.0, array.deaf.clear)
    assert array.result(array.router.propose(GROUP, b"delivery", mayRepeat=True)) == b"done delivery"
    assert array.proposed.count((2, b"delivery")) >= 2


def test_whatStaysUnknownIsSaidToBe() -> None:
    array = Array()
    array.leader, array.deaf = 2, {2}
    array.clock.callLater(4.0, lambda: array.down.update((2, 3)))
    with pytest.raises(OutcomeUnknown):
        array.result(array.router.propose(GROUP, b"delivery", mayRepeat=True))


def test_aRefusalIsAnAnswer() -> None:
    array = Array()
    array.leader = 2
    with pytest.raises(OverQuota):
        array.result(array.router.propose(GROUP, b"too much", mayRepeat=True))
    assert len(array.proposed) == 1


def test_queriesAreAnsweredByTheNearest() -> None:
    array = Array(asking=2)
    assert array.result(array.router.query(GROUP, b"what?", fresh=False)) == b"2 says what?"


def test_queriesGoOnToTheNextNode() -> None:
    array = Array()
    array.down = {1, 2}
    assert array.result(array.router.query(GROUP, b"what?", fresh=True)) == b"3 says what?"
    array.down = {1, 2, 3}
    with pytest.raises(Unavailable):
        array.result(array.router.query(GROUP, b"what?", fresh=True))


def test_anErrorOfOursIsNoUnavailability() -> None:
    assert not issubclass(OverQuota, Unavailable)
    assert issubclass(OutcomeUnknown, JindimailError)
