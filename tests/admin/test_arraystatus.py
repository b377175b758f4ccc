"""The array's state, put together from what its nodes say."""

from __future__ import annotations

from typing import Any

import pytest

from jindimail.admin.arraystatus import isWhole, leaders, nodeRows, unsettled
from jindimail.cluster.arrayrecords import DOWN, GONE, UP, NodeRecord, WishRecord


def record(state: str = UP) -> NodeRecord:
    return NodeRecord(name="n", addresses=("h:1",), host="h", state=state)


def group(number: int, role: str, term: int, *members: tuple[int, bool]) -> dict[str, Any]:
    shown = [[node + 10, node, isVoter, False] for node, isVoter in members]
    return {"group": number, "role": role, "term": term, "members": shown}


def said(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"rows": list(groups), "after": None}


def test_ofTwoThatThinkThatTheyLeadTheLaterTermCounts() -> None:
    found = leaders(
        {1: said(group(0, "leader", 4)), 2: said(group(0, "leader", 5)), 3: said(group(0, "follower", 5))}
    )
    assert {number: row["node"] for number, row in found.items()} == {0: 2}


def test_whatGroupsLackIsCounted() -> None:
    leading = leaders(
        {
            1: said(
                group(0, "leader", 1, (1, True), (2, True)), group(2, "leader", 1, (1, True), (3, False))
            ),
            2: said(group(1, "leader", 1, (1, True), (2, False))),
        }
    )
    wishes = {
        0: WishRecord(voters=(1, 2, 3)),  # 3 is missing
        1: WishRecord(voters=(1, 2)),  # 2 only learns
        2: WishRecord(voters=(1,)),  # 3 is to go
    }
    found = unsettled(leading, wishes, 4)
    assert (found["withoutLeader"], found["leaderless"]) == (1, [3])
    assert (found["replicasMissing"], found["replicasSurplus"]) == (2, 1)


SETTLED = {"withoutLeader": 0, "replicasMissing": 0, "replicasSurplus": 0}


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
    ],
)
def test_anArrayIsWholeWhenNothingIsAmiss(
    nodes: Any, answered: Any, groups: Any, owed: int, expected: bool
) -> None:
    assert isWhole(nodes, answered, groups, owed) is expected


def test_aNodeThatDoesNotAnswerIsShownWithWhatTheArraySaysOfIt() -> None:
    (row,) = nodeRows({1: record(DOWN), 2: record(GONE)}, {}, {})
    assert (row["node"], row["member"], row["state"], row["leading"]) == (1, "down", None, None)
