"""An array of two adjacent levels: what only the later one knows waits until all nodes have it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jindimail.cluster.arrayrecords import DOWN, GONE, UP, NodeRecord, levelOf
from jindimail.errors import Unavailable
from jindimail.mailbox import entries
from jindimail.mailbox.entries import RemoveDomain, SetDomain
from jindimail.mailbox.outcomes import Done
from jindimail.model import ARRAY_GROUP
from tests.cluster.world import World

NOW = 1_800_000_000


def record(level: int, state: str = UP) -> NodeRecord:
    return NodeRecord(name="n", addresses=("h:1",), host="h", state=state, level=level)


@pytest.fixture
def newKind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """RemoveDomain came with level 2."""
    monkeypatch.setitem(entries.LEVELS, RemoveDomain, 2)
    yield


def test_theArraysLevelIsTheLowestOfItsNodesUpOrNot() -> None:
    assert levelOf({1: record(2), 2: record(1, DOWN), 3: record(3)}) == 1
    assert levelOf({1: record(2), 2: record(1, GONE), 3: record(3)}) == 2
    assert levelOf({}) == 1


def test_aNewKindOfEntryWaitsUntilAllNodesKnowIt(newKind: None) -> None:
    world = World(groups=(ARRAY_GROUP,))
    share = world.found()
    share.userMap.update({1: record(2), 2: record(1)}, {})
    assert world.result(share.buckets.propose(None, SetDomain(seconds=NOW, name="a.test"))) == Done()
    with pytest.raises(Unavailable):
        world.result(share.buckets.propose(None, RemoveDomain(seconds=NOW, name="a.test")))
    share.userMap.update({1: record(2), 2: record(2)}, {})
    assert world.result(share.buckets.propose(None, RemoveDomain(seconds=NOW, name="a.test"))) == Done()
