"""The user map: what is known of nodes and groups, and where to begin to ask."""

from __future__ import annotations

from jindimail.cluster.arrayrecords import DOWN, GONE, UP, NodeRecord, WishRecord
from jindimail.cluster.usermap import UserMap
from jindimail.model import bucketGroup


def record(state: str = UP, weight: int = 100) -> NodeRecord:
    return NodeRecord(name="n", addresses=("h:1",), host="h", state=state, weight=weight)


def test_aNodeThatKnowsNothingAsksItself() -> None:
    known = UserMap(3)
    assert known.membersOf(5) == (3,)
    assert known.home(4) == (3,)


def test_homeIsFullMembersThatAreUpInTheOrderOfTheWish() -> None:
    known = UserMap(1)
    nodes = {1: record(), 2: record(DOWN), 3: record(), 4: record(weight=0), 5: record()}
    known.update(nodes, {bucketGroup(7): WishRecord(voters=(3, 2, 4, 1))})
    assert known.home(7) == (3, 1)
    assert known.membersOf(bucketGroup(7)) == (3, 2, 4, 1)


def test_aHomeThatIsDownAltogetherIsStillHome() -> None:
    known = UserMap(1)
    known.update({1: record(), 2: record(DOWN)}, {bucketGroup(0): WishRecord(voters=(2,))})
    assert known.home(0) == (2,)


def test_withoutAWishAllNodesThatAreNotGoneMayBeMembers() -> None:
    known = UserMap(1)
    known.update({1: record(), 2: record(GONE), 3: record(DOWN)}, {})
    assert known.membersOf(9) == (1, 3)
    assert known.isAway(2) and known.isAway(3) and known.isAway(4)


def test_listenersAreToldOfDifferencesOnly() -> None:
    known, heard = UserMap(1), list[int]()
    known.listen(lambda: heard.append(1))
    known.update({1: record()}, {})
    known.update({1: record()}, {})
    assert heard == [1]
