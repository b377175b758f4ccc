"""A user's bound on sessions holds over all nodes: they tell each other of those who have many."""

from __future__ import annotations

import msgspec
import pytest

from jindimail.cluster.headcounts import AGAIN_SECONDS, KEPT_SECONDS, NAMES_MAX, TELL_SECONDS, Headcounts
from jindimail.cluster.memorylinks import Fabric
from jindimail.errors import TooManySessions
from jindimail.mailbox.sessions import Session, Sessions
from tests.simulation.clock import HeapClock

ANNA, BOB = "anna@example.org", "bob@example.org"
SOON = TELL_SECONDS + 0.1


class Node:
    """A node's sessions."""

    def __init__(self, fabric: Fabric, clock: HeapClock, node: int, most: int) -> None:
        self.links = fabric.add(node)
        self.sessions = Sessions(
            seconds=clock.seconds, sessionsMax=1000, sessionsPerPeerMax=1000, sessionsPerUserMax=most
        )
        self.counts = Headcounts(links=self.links, clock=clock, subject="counts", nodes=lambda: (1, 2, 3))
        self.counts.mine, self.sessions.elsewhere = self.sessions.crowds, self.counts.elsewhere
        self.sessions.crowdChanged = self.counts.changed

    def login(self, user: str, count: int = 1) -> list[Session]:
        """So many sessions of a user."""
        sessions = []
        for _ in range(count):
            session = self.sessions.admit("imap4", "192.0.2.1")
            assert session is not None
            session.login(user)
            sessions.append(session)
        return sessions


class Array:
    """Three nodes."""

    def __init__(self, most: int) -> None:
        self.clock = HeapClock()
        self.fabric = Fabric(self.clock)
        self.nodes = {node: Node(self.fabric, self.clock, node, most) for node in (1, 2, 3)}

    def wait(self, seconds: float = SOON) -> None:
        """Let time pass."""
        self.clock.runUntil(self.clock.now + seconds)


def test_theSessionsOfAUserAtAllNodesCountTogether() -> None:
    array = Array(most=4)
    first = array.nodes[1].login(ANNA, 2)
    array.nodes[2].login(ANNA, 2)
    array.wait()
    for node in array.nodes.values():
        with pytest.raises(TooManySessions):
            node.login(ANNA)
        node.login(BOB)
        array.wait()
    first[0].end()
    array.wait()
    array.nodes[3].login(ANNA)


def test_whoHasFewSessionsIsNotTalkedAbout() -> None:
    array = Array(most=80)
    array.nodes[1].login(ANNA, 9)
    array.wait()
    assert array.nodes[2].counts.elsewhere(ANNA) == 0
    last = array.nodes[1].login(ANNA)
    array.wait()
    assert array.nodes[2].counts.elsewhere(ANNA) == 10
    last[0].end()
    array.wait()
    assert array.nodes[2].counts.elsewhere(ANNA) == 0


def test_whatANodeOutOfReachHasDoesNotCountUntilItIsBack() -> None:
    array = Array(most=4)
    array.nodes[1].login(ANNA, 3)
    array.wait()
    assert array.nodes[2].counts.elsewhere(ANNA) == 3
    array.fabric.cut(1, 2)
    assert (array.nodes[2].counts.elsewhere(ANNA), array.nodes[3].counts.elsewhere(ANNA)) == (0, 3)
    array.wait(KEPT_SECONDS)
    array.fabric.heal()
    array.wait(2 * AGAIN_SECONDS)
    assert array.nodes[2].counts.elsewhere(ANNA) == 3


def test_whatIsNotToldAgainIsForgotten() -> None:
    array = Array(most=4)
    told = msgspec.msgpack.encode({ANNA: 3})
    array.nodes[1].links.call(2, "counts", told, 1.0)
    array.wait()
    assert array.nodes[2].counts.elsewhere(ANNA) == 3
    array.wait(KEPT_SECONDS)
    assert array.nodes[2].counts.elsewhere(ANNA) == 0


def test_whatIsNoCountIsNotHeard() -> None:
    array = Array(most=4)
    many = {str(number): 3 for number in range(NAMES_MAX + 1)}
    for payload in (b"\xc1", msgspec.msgpack.encode([ANNA]), msgspec.msgpack.encode(many)):
        array.nodes[1].links.call(2, "counts", payload, 1.0)
    array.wait()
    assert array.nodes[2].counts.elsewhere(ANNA) == 0
    assert array.nodes[2].counts.elsewhere("7") == 0


def test_thoseWithTheMostAreTold() -> None:
    array = Array(most=4)
    array.nodes[1].counts.mine = lambda: {**{str(number): 1 for number in range(NAMES_MAX)}, ANNA: 3}
    array.nodes[1].counts.changed()
    array.wait()
    assert array.nodes[2].counts.elsewhere(ANNA) == 3
