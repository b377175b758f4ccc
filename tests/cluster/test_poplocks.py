"""POP3's lock is the array's: no two sessions have it, and a dead node's is free."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jindimail.model import ARRAY_GROUP, bucketGroup, bucketOf
from tests.cluster.edges import Edges
from tests.cluster.world import World

ANNA = "anna@example.org"
GROUP = bucketGroup(bucketOf(ANNA))
GROUPS = (ARRAY_GROUP, GROUP)
NODES = (1, 2, 3)
MESSAGE = b"Received: from a by b\r\nSubject: x\r\n\r\nhello\r\n"


class Array:
    """Three nodes, their edges, and Anna with two messages."""

    def __init__(self) -> None:
        self.world = World(groups=GROUPS)
        self.world.found()
        self.world.spread(NODES, GROUPS)
        self.edges = {node: Edges(self.world, node) for node in NODES}
        home = self.edges[self.world.leader(GROUP)]
        self.world.result(home.directory.addDomain("example.org"))
        self.world.result(home.directory.addUser(ANNA))
        for _ in range(2):
            assert home.deliver(MESSAGE, ANNA) == [None]

    def start(self, node: int) -> None:
        """A node comes back."""
        self.world.start(node)
        self.edges[node] = Edges(self.world, node)

    def know(self, down: tuple[int, ...] = ()) -> None:
        """What the array agreed about its nodes."""
        self.world.know(NODES, GROUPS, down=down)

    def holder(self) -> int:
        """A node that does not lead Anna's bucket."""
        return next(node for node in NODES if node != self.world.leader(GROUP))

    def other(self, *nodes: int) -> Edges:
        """The edges of a node that is none of these."""
        return next(self.edges[node] for node in NODES if node not in nodes and node in self.world.shares)


@pytest.fixture
def array() -> Array:
    """An array that knows its nodes."""
    made = Array()
    made.know()
    return made


def test_theLockIsExclusiveWhateverTheNode(array: Array) -> None:
    first = array.edges[1].pop3(ANNA)
    assert first.answer == b"+OK 2 messages\r\n"
    for node in NODES:
        assert array.edges[node].pop3(ANNA).answer.startswith(b"-ERR [IN-USE]")
    assert first.ask(b"DELE 1") == b"+OK\r\n"
    assert first.ask(b"QUIT") == b"+OK bye\r\n"
    assert array.edges[3].pop3(ANNA).answer == b"+OK 1 messages\r\n"


def test_aLostConnectionFreesTheLockForOtherNodes(array: Array) -> None:
    session = array.edges[2].pop3(ANNA)
    assert session.answer == b"+OK 2 messages\r\n"
    session.lose()
    array.world.run(1)
    assert array.edges[1].pop3(ANNA).answer == b"+OK 2 messages\r\n"


def test_theLockOfANodeThatTheArrayAgreedIsDownIsFree(array: Array) -> None:
    holder = array.holder()
    assert array.edges[holder].pop3(ANNA).answer == b"+OK 2 messages\r\n"
    array.world.kill(holder)
    assert (
        array.other(holder).pop3(ANNA).answer.startswith(b"-ERR [IN-USE]")
    )  # it may live, for all that is known
    array.know(down=(holder,))
    assert array.other(holder).pop3(ANNA).answer == b"+OK 2 messages\r\n"


def test_theLockOfAnEarlierLifeIsFreeAtAllNodes(array: Array) -> None:
    holder = array.holder()
    assert array.edges[holder].pop3(ANNA).answer == b"+OK 2 messages\r\n"
    array.world.kill(holder)
    array.start(holder)
    array.know()
    array.world.run(2)
    assert array.other(holder).pop3(ANNA).answer == b"+OK 2 messages\r\n"
    assert array.edges[holder].pop3(ANNA).answer.startswith(b"-ERR [IN-USE]")


def test_aHolderThatWakesDeletesNothing(array: Array) -> None:
    holder = array.holder()
    sleeper = array.edges[holder].pop3(ANNA)
    assert sleeper.answer == b"+OK 2 messages\r\n"
    assert sleeper.ask(b"DELE 1") == b"+OK\r\n"
    array.know(down=(holder,))  # it was paused, and the array gave it up
    heir = array.other(holder).pop3(ANNA)
    assert heir.answer == b"+OK 2 messages\r\n"
    array.know()
    assert sleeper.ask(b"QUIT") == b"-ERR [SYS/TEMP] lock lost, nothing was deleted\r\n"
    array.world.run(2)
    assert heir.ask(b"STAT").startswith(b"+OK 2 ")
    assert heir.ask(b"DELE 2") == b"+OK\r\n"
    assert heir.ask(b"QUIT") == b"+OK bye\r\n"
    assert array.edges[holder].pop3(ANNA).answer == b"+OK 1 messages\r\n"


def test_twoThatTakeADeadNodesLockAtOnceDoNotBothGetIt(array: Array) -> None:
    holder = array.holder()
    assert array.edges[holder].pop3(ANNA).answer == b"+OK 2 messages\r\n"
    array.know(down=(holder,))
    clients = [array.edges[node].pop3(ANNA) for node in NODES if node != holder]
    answers = [client.answer for client in clients]
    assert sorted(answer[:4] for answer in answers) == [b"+OK ", b"-ERR"]


class Held:
    """Calls of a method that reach a node and are not answered until `release`, as where it was paused with them in its buffers."""

    def __init__(self, array: Array, node: int, method: str) -> None:
        self._answerers: dict[str, Any] = array.world.shares[node].links._answerers._answerers  # type: ignore[attr-defined]
        self._method = method
        self._answerer = self._answerers[method]
        self._calls: list[tuple[Any, ...]] = []
        self._answerers[method] = self._take

    def _take(self, *call: Any) -> Deferred[bytes]:
        self._calls.append(call)
        return Deferred()

    def release(self) -> int:
        """They are carried out now; how many there were."""
        self._answerers[self._method] = self._answerer
        for call in self._calls:
            Deferred.fromCoroutine(self._answerer(*call)).addErrback(lambda _: None)
        return len(self._calls)


def test_aRequestForTheLockThatComesWhenItsSessionIsOverKeepsNobodyOut(array: Array) -> None:
    holder = array.holder()
    leader = array.world.leader(GROUP)
    (passing,) = set(NODES) - {holder, leader}
    held = Held(array, passing, "propose")
    array.world.fabric.cut(holder, leader)
    session = array.edges[holder].pop3(ANNA)
    array.world.run(1)
    array.world.fabric.heal()
    assert session.answer == b"+OK 2 messages\r\n"
    assert session.ask(b"QUIT") == b"+OK bye\r\n"
    session.lose()
    assert held.release()
    array.world.run(1)
    for node in NODES:
        client = array.edges[node].pop3(ANNA)
        assert client.answer == b"+OK 2 messages\r\n"
        assert client.ask(b"QUIT") == b"+OK bye\r\n"
