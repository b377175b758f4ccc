"""The array's state, put together from what its nodes say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from jindimail.admin.arraystatus import isWhole, movesToCome, nodeRows, unsettled
from jindimail.admin.webstatus import ArrayStatus, LedGroup, SilentNode
from jindimail.cluster.arrayrecords import DOWN, GONE, UP, NodeRecord, WishRecord
from jindimail.cluster.downtime import byTheClock
from jindimail.cluster.planner import membersOf, plan, plannedNodes
from jindimail.cluster.settings import ArraySettings


def record(state: str = UP) -> NodeRecord:
    return NodeRecord(name="n", addresses=("h:1",), host="h", state=state)


def test_whatGroupsLackIsCounted() -> None:
    leading = {0: LedGroup(0, 1, (1, 2)), 1: LedGroup(1, 1, (1,), (2,)), 2: LedGroup(2, 1, (1,), (3,))}
    wishes = {
        0: WishRecord(voters=(1, 2, 3)),  # 3 is missing
        1: WishRecord(voters=(1, 2)),  # 2 only learns
        2: WishRecord(voters=(1,)),  # 3 is to go
    }
    found = unsettled(leading, wishes, range(4))
    assert (found["withoutLeader"], found["leaderless"]) == (1, [3])
    assert (found["replicasMissing"], found["replicasSurplus"]) == (2, 1)


def settled(nodes: Mapping[int, NodeRecord], groups: range) -> dict[int, WishRecord]:
    """The wishes when there is nothing more to plan."""
    wishes: dict[int, WishRecord] = {}
    while changes := plan(plannedNodes(nodes, byTheClock(0.0)), wishes, groups, replicas=3):
        wishes |= changes
    return wishes


@pytest.mark.parametrize("count", range(1, 7))
def test_whatThePlannerHasNotWishedForYetIsToCome(count: int) -> None:
    """Also what it leaves for a later round, because only so many replicas move at a time."""
    groups, settings = range(257), ArraySettings()
    nodes = {number: record() for number in range(1, count + 1)}
    wishes = settled(nodes, groups)
    assert movesToCome(nodes, wishes, groups, settings, 0.0) == 0
    nodes[count + 1] = record()
    assert movesToCome(nodes, wishes, groups, settings, 0.0) > 0
    rounds = 0
    while changes := plan(plannedNodes(nodes, byTheClock(0.0)), wishes, groups, replicas=3, movesMax=8):
        assert movesToCome(nodes, wishes, groups, settings, 0.0) > 0 or all(
            membersOf(wish) == membersOf(wishes[group]) for group, wish in changes.items()
        )
        wishes |= changes
        rounds += 1
    assert rounds and movesToCome(nodes, wishes, groups, settings, 0.0) == 0


SETTLED = {"withoutLeader": 0, "replicasMissing": 0, "replicasSurplus": 0, "movesToCome": 0}


@pytest.mark.parametrize(
    ("nodes", "answered", "groups", "owed", "expected"),
    [
        ({1: record(), 2: record()}, {1: {}, 2: {}}, SETTLED, 0, True),
        ({1: record(), 2: record(GONE)}, {1: {}}, SETTLED, 0, True),
        ({1: record(), 2: record(DOWN)}, {1: {}, 2: {}}, SETTLED, 0, False),
        ({1: record(), 2: record()}, {1: {}}, SETTLED, 0, False),
        ({1: record()}, {1: {}}, SETTLED, 3, False),
        ({1: record()}, {1: {}}, SETTLED | {"withoutLeader": 1}, 0, False),
        ({1: record()}, {1: {}}, SETTLED | {"replicasMissing": 1}, 0, False),
        ({1: record()}, {1: {}}, SETTLED | {"movesToCome": 1}, 0, False),
        ({1: record()}, {1: {}}, SETTLED, None, False),
    ],
)
def test_anArrayIsWholeWhenNothingIsAmiss(
    nodes: Any, answered: Any, groups: Any, owed: int | None, expected: bool
) -> None:
    assert isWhole(nodes, answered, groups, owed) is expected


def test_aNodeThatDoesNotAnswerIsShownWithWhatTheArraySaysOfIt() -> None:
    silent = (SilentNode(node="n", number=1, state=DOWN, unheardSeconds=12),)
    array = ArrayStatus(seconds=0, asked="m", nodes=(), silent=silent)
    (row,) = nodeRows({1: record(DOWN), 2: record(GONE)}, array, {})
    assert (row["node"], row["member"], row["state"], row["leading"]) == (1, "down", None, None)
    assert row["unheardSeconds"] == 12
