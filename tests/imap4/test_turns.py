"""Sessions share the reactor: whoever has had it for long enough lets others go first (edge/connection.py)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jindimail.edge.connection import TURN_SECONDS
from tests.imap4.node import Node, countPauses
from tests.support.world import now

MESSAGES = 40


@pytest.fixture
def node() -> Node:
    """An account with some messages and as many mailboxes, on a machine where everything takes a third of a turn."""
    node = Node()
    for number in range(MESSAGES):
        node.append(b"Subject: %d\r\n\r\nbody\r\n" % number)
        now(node.account.create(f"box{number}"))
    return node


def slow(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on time passes whenever somebody looks at the clock."""
    seconds: Callable[[], float] = node.clock.seconds
    passed = 0.0

    def later() -> float:
        nonlocal passed
        passed += TURN_SECONDS / 3
        return seconds() + passed

    monkeypatch.setattr(node.clock, "seconds", later)


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        (b"FETCH 1:* (UID ENVELOPE)", MESSAGES),
        (b"FETCH 1:* BODY.PEEK[]", MESSAGES),
        (b"STORE 1:* +FLAGS (\\Seen)", MESSAGES),
        (b"SEARCH TEXT nowhere", 1),
        (b'LIST "" b*x%', MESSAGES),
    ],
)
def test_longWorkIsDoneInTurns(
    node: Node, monkeypatch: pytest.MonkeyPatch, command: bytes, answers: int
) -> None:
    monkeypatch.setattr("jindimail.imap4.fetching.BATCH_SUMMARIES", 4)
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    wire.clear()
    slow(node, monkeypatch)
    pauses = countPauses(protocol)
    protocol.dataReceived(b"b %b\r\n" % command)
    assert b"b OK" not in wire.value()
    node.turn()
    assert wire.value().count(b"\r\n* ") + 1 >= answers
    assert b"\r\nb OK" in wire.value()
    assert len(pauses) >= 2


def test_manyShortCommandsAreDoneInTurnsAndInOrder(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol, wire = node.login()
    slow(node, monkeypatch)
    protocol.dataReceived(b"".join(b"a%d NOOP\r\n" % number for number in range(50)))
    assert 1 <= wire.value().count(b" OK ") <= 4
    protocol.dataReceived(b"a50 NOOP\r\n")
    assert wire.value().count(b" OK ") <= 4
    node.turn()
    tags = [line.split()[0] for line in wire.value().splitlines()]
    assert tags == [b"a%d" % number for number in range(51)]


def test_whoRestsIsNotReadWithoutBound(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol, wire = node.login()
    slow(node, monkeypatch)
    many = b"a NOOP\r\n" * (protocol.limits.inputOctetsMax // 8 + 10)
    protocol.dataReceived(many)
    assert wire.producerState == "paused"
    for _ in range(100):
        node.turn()
    assert wire.producerState == "producing"
    assert wire.value().count(b"a OK") == many.count(b"\n")


def test_whoLeavesWhileItRestsIsLetGo(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol, wire = node.login()
    slow(node, monkeypatch)
    protocol.dataReceived(b"a NOOP\r\n" * 20)
    protocol.closeWhenIdle()
    node.turn()
    assert b"* BYE" in wire.value()
