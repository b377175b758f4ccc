"""Where replicas shall be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from jindimail.cluster.arrayrecords import DOWN, DRAINING, GONE, UP, WishRecord
from jindimail.cluster.planner import PlannedNode, plan

GROUPS = range(257)


def node(weight: int = 100, host: str = "", state: str = UP, downSeconds: float = 0.0) -> PlannedNode:
    """A node."""
    return PlannedNode(weight=weight, host=host, state=state, downSeconds=downSeconds)


def settled(
    nodes: dict[int, PlannedNode], wishes: dict[int, WishRecord] | None = None, replicas: int = 3
) -> tuple[dict[int, WishRecord], int]:
    """The wishes after as many rounds as it takes, and how many replicas were placed anew on the way."""
    now, moved = dict(wishes or {}), 0
    for _ in range(500):
        changes = plan(nodes, now, GROUPS, replicas=replicas)
        if not changes:
            return now, moved
        for group, wish in changes.items():
            before = now.get(group)
            had = {*before.voters, *before.learners} if before else set()
            moved += len({*wish.voters, *wish.learners} - had)
            now[group] = wish
    raise AssertionError("the plan never settles")


def spread(wishes: dict[int, WishRecord]) -> Counter[int]:
    """Replicas by node."""
    return Counter(n for wish in wishes.values() for n in (*wish.voters, *wish.learners))


def test_oneNodeHasEverything() -> None:
    wishes, _ = settled({1: node()})
    assert set(wishes.values()) == {WishRecord(voters=(1,))}


def test_aSecondNodeLearns() -> None:
    wishes, _ = settled({1: node(), 2: node()}, settled({1: node()})[0])
    assert all(wish.voters == (1,) and wish.learners == (2,) for wish in wishes.values())


def test_twoNodesAndAWitnessVote() -> None:
    wishes, _ = settled({1: node(), 2: node(), 3: node(weight=0)}, settled({1: node()})[0])
    assert all(set(wish.voters) == {1, 2, 3} and not wish.learners for wish in wishes.values())


def test_threeNodesVote() -> None:
    wishes, _ = settled({1: node(), 2: node(), 3: node()}, settled({1: node(), 2: node()})[0])
    assert all(set(wish.voters) == {1, 2, 3} for wish in wishes.values())


def test_aFourthNodeTakesItsShareAndNothingElseMoves() -> None:
    three = {number: node() for number in (1, 2, 3)}
    before, _ = settled(three)
    after, moved = settled({**three, 4: node()}, before)
    share = 3 * len(GROUPS) / 4
    assert abs(spread(after)[4] - share) <= 5
    assert moved <= share + 5


def test_weightsAreFollowed() -> None:
    wishes, _ = settled({1: node(), 2: node(), 3: node(), 4: node(), 5: node(weight=200)})
    counts = spread(wishes)
    assert counts[5] > 1.6 * counts[1]


def test_replicasStandOnDifferentHosts() -> None:
    nodes = {number: node(host="ab"[number % 2] if number < 5 else "c") for number in range(1, 7)}
    wishes, _ = settled(nodes)
    assert all(len({nodes[n].host for n in wish.voters}) == 3 for group, wish in wishes.items() if group)


def test_aNodeThatIsDownForAMomentKeepsItsReplicas() -> None:
    four = {number: node() for number in (1, 2, 3, 4)}
    before, _ = settled(four)
    assert not plan({**four, 4: node(state=DOWN, downSeconds=30)}, before, GROUPS, replicas=3)
    after, _ = settled({**four, 4: node(state=DOWN, downSeconds=61)}, before)
    assert not spread(after)[4]


def test_aNodeThatDrainsLosesEverything() -> None:
    four = {number: node() for number in (1, 2, 3, 4)}
    before, _ = settled(four)
    after, moved = settled({**four, 2: node(state=DRAINING)}, before)
    assert not spread(after)[2]
    assert moved <= spread(before)[2] + 5


def test_withoutAnyNodeNothingIsWished() -> None:
    assert not plan({1: node(state=GONE)}, {}, GROUPS, replicas=3)


states = st.sampled_from([UP, UP, UP, DOWN, DRAINING, GONE])
nodes = st.dictionaries(
    st.integers(1, 9),
    st.builds(
        node,
        weight=st.sampled_from([0, 50, 100, 200]),
        host=st.sampled_from("abc"),
        state=states,
        downSeconds=st.sampled_from([0.0, 99.0]),
    ),
    min_size=1,
)


@given(nodes, nodes, st.sampled_from([1, 3, 5]))
def test_whateverHappensThePlanSettlesOnNodesThatAreThere(
    before: dict[int, PlannedNode], after: dict[int, PlannedNode], replicas: int
) -> None:
    wishes, _ = settled(before, replicas=replicas)
    wishes, _ = settled(after, wishes, replicas=replicas)
    if not any(known.state == UP and known.weight for known in after.values()):
        return
    for wish in wishes.values():
        assert len(wish.voters) % 2 == 1
        for number in (*wish.voters, *wish.learners):
            known = after[number]
            assert known.state == UP or (known.state == DOWN and known.downSeconds < 60)
        assert any(after[number].weight for number in wish.voters)
