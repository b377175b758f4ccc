"""Where replicas shall be."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.cluster.arrayrecords import DOWN, DRAINING, GONE, JOINING, UP, WishRecord
from jindimail.cluster.planner import PEERS_MAX, PlannedNode, plan

GROUPS = range(257)


def node(
    weight: int = 100, host: str = "", state: str = UP, downSeconds: float = 0.0, leaderShare: float = 1.0
) -> PlannedNode:
    """A node."""
    return PlannedNode(
        weight=weight, host=host, state=state, downSeconds=downSeconds, leaderShare=leaderShare
    )


def settled(
    nodes: dict[int, PlannedNode],
    wishes: dict[int, WishRecord] | None = None,
    replicas: int = 3,
    groups: range = GROUPS,
) -> tuple[dict[int, WishRecord], int]:
    """The wishes after as many rounds as it takes, and how many buckets' replicas were placed anew on the way."""
    now, moved = dict(wishes or {}), 0
    for _ in range(500):
        changes = plan(nodes, now, groups, replicas=replicas)
        if not changes:
            return now, moved
        for group, wish in changes.items():
            if group:
                moved += len(members(wish) - (members(now[group]) if group in now else set()))
            assertMajority(nodes, now.get(group), wish)
            now[group] = wish
    raise AssertionError("the plan never settles")


def members(wish: WishRecord) -> set[int]:
    """All nodes of a wish."""
    return {*wish.voters, *wish.learners}


def assertMajority(nodes: dict[int, PlannedNode], before: WishRecord | None, wish: WishRecord) -> None:
    """A wish whose voters are not there in their majority is only made where it was no better before."""

    def here(voters: tuple[int, ...]) -> bool:
        return 2 * sum(number in nodes and nodes[number].state == UP for number in voters) > len(voters)

    assert here(wish.voters) or (before is not None and not here(before.voters))


def spread(wishes: dict[int, WishRecord]) -> Counter[int]:
    """Buckets' replicas by node."""
    return Counter(n for group, wish in wishes.items() if group for n in (*wish.voters, *wish.learners))


def led(wishes: dict[int, WishRecord]) -> Counter[int]:
    """Buckets by wished leader."""
    return Counter(wish.voters[0] for group, wish in wishes.items() if group)


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
    after, moved = settled({**four, 4: node(state=DOWN, downSeconds=30)}, before)
    assert not moved and spread(after) == spread(before)
    after, _ = settled({**four, 4: node(state=DOWN, downSeconds=61)}, before)
    assert not spread(after)[4]


def test_aNodeThatIsDownForLongStaysWhereNobodyCanTakeItsPlace() -> None:
    three = {number: node() for number in (1, 2, 3)}
    before, _ = settled(three)
    after, moved = settled({**three, 3: node(state=DOWN, downSeconds=1e6)}, before)
    assert not moved and all(set(wish.voters) == {1, 2, 3} for wish in after.values())


def test_aGroupWhoseMajorityIsDownIsLeftAsItIsUntilOneIsBackOrGivenUp() -> None:
    five = {number: node() for number in range(1, 6)}
    before, _ = settled(five)
    dead = node(state=DOWN, downSeconds=61)
    lost = {group for group, wish in before.items() if group and {2, 3} <= set(wish.voters)}
    after, _ = settled({**five, 2: dead, 3: dead}, before)
    assert lost == {group for group, wish in after.items() if group and {2, 3} & set(wish.voters)}
    assert all(after[group] == before[group] for group in lost)
    for back in (node(), node(state=GONE)):
        again, _ = settled({**five, 2: dead, 3: back}, after)
        assert not spread(again)[2] and len(again) == len(GROUPS)
    led = plan({**five, 2: dead, 3: dead}, after, GROUPS, replicas=3, leaders=dict.fromkeys(GROUPS, 1))
    assert set(led) >= lost, "it has members that were not wished for, and can be mended"
    assert (
        not lost
        & plan({**five, 2: dead, 3: dead}, after, GROUPS, replicas=3, leaders=dict.fromkeys(GROUPS, 2)).keys()
    )


def test_leadersAreSpreadByWeight() -> None:
    wishes, _ = settled({1: node(), 2: node(), 3: node(weight=200)}, settled({1: node()})[0])
    counts = led(wishes)
    assert abs(counts[3] - 128) <= 2 and abs(counts[1] - 64) <= 2


def test_aNodeThatIsDownForAMomentLeadsNothing() -> None:
    three = {number: node() for number in (1, 2, 3)}
    before, _ = settled(three)
    away = {**three, 2: node(state=DOWN, downSeconds=3)}
    after, _ = settled(away, before)
    assert not led(after)[2] and abs(led(after)[1] - 128) <= 1
    again, _ = settled(three, after)
    assert max(led(again).values()) - min(led(again).values()) <= 3
    moved = sum(again[group].voters[0] != after[group].voters[0] for group in GROUPS)
    assert moved <= 86, "what comes back takes its share, and nothing else moves"


def test_whoeverLeadsAGroupWhoseLeaderDiedMayGoOn() -> None:
    three = {number: node() for number in (1, 2, 3)}
    before, _ = settled(three)
    now = {group: 1 + 2 * (group % 2) for group in GROUPS}
    after = plan({**three, 2: node(state=DOWN)}, before, GROUPS, replicas=3, leaders=now)
    assert sum(wish.voters[0] == now[group] for group, wish in after.items()) > 0.9 * len(after)


def test_aNodeWithAStuckDiskLeadsNothingAndALoadedOneLess() -> None:
    wishes, _ = settled({1: node(leaderShare=0.0), 2: node(), 3: node(leaderShare=0.5)})
    counts = led(wishes)
    assert not counts[1] and 80 <= counts[3] <= 90


def test_theArrayVotesWithFiveAndEverybodyElseLearns() -> None:
    nodes = {number: node() for number in range(1, 8)} | {8: node(weight=0), 9: node(state=JOINING)}
    wish = settled(nodes)[0][0]
    assert len(wish.voters) == 5 and members(wish) == set(range(1, 10))
    assert 8 in wish.learners and 9 in wish.learners
    after = settled({**nodes, wish.voters[0]: node(state=DRAINING)}, {0: wish})[0][0]
    assert len(after.voters) == 5 and wish.voters[0] in after.learners


def test_fourNodesVoteWithThreeAboutTheArray() -> None:
    wish = settled({number: node() for number in (1, 2, 3, 4)})[0][0]
    assert len(wish.voters) == 3 and len(wish.learners) == 1


def test_aNodeThatJoinsLearnsAboutTheArrayAndHasNoBucketYet() -> None:
    wishes, _ = settled({1: node(), 2: node(state=JOINING)})
    assert wishes[0].learners == (2,) and not spread(wishes)[2]


@pytest.mark.parametrize("joining", [(1,) * 7, (3, 2, 2), (4, 3), (7,)])
def test_anyTwoOfFewNodesShareAboutAsManyBucketsHoweverTheyJoined(joining: tuple[int, ...]) -> None:
    """Or the loss of two that joined one after the other would stop most of the mail."""
    nodes = dict[int, PlannedNode]()
    wishes = dict[int, WishRecord]()
    for count in joining:
        nodes |= {number: node() for number in range(len(nodes) + 1, len(nodes) + count + 1)}
        wishes, _ = settled(nodes, wishes)
        shared = Counter(
            pair for group, wish in wishes.items() if group for pair in combinations(sorted(members(wish)), 2)
        )
        assert (
            len(nodes) < 4 or max(shared.values()) <= min(shared[pair] for pair in combinations(nodes, 2)) + 3
        )


def test_manyNodesShareBucketsWithAFewEach() -> None:
    nodes = {1: node()}
    wishes, _ = settled(nodes)
    for number in range(2, 21):
        nodes[number] = node()
        wishes, _ = settled(nodes, wishes)
    peers: dict[int, set[int]] = {}
    for group, wish in wishes.items():
        for number in wish.voters if group else ():
            peers.setdefault(number, set()).update(members(wish) - {number})
    assert sum(map(len, peers.values())) / len(peers) <= PEERS_MAX + 3
    assert max(spread(wishes).values()) <= min(spread(wishes).values()) + 4


def test_anUnchangedArrayPlansNothing() -> None:
    nodes = {number: node(weight=100 + 10 * number) for number in range(1, 7)}
    wishes, _ = settled(nodes)
    assert plan(nodes, wishes, GROUPS, replicas=3) == {}


def test_aNodeThatDrainsLosesEverything() -> None:
    four = {number: node() for number in (1, 2, 3, 4)}
    before, _ = settled(four)
    after, moved = settled({**four, 2: node(state=DRAINING)}, before)
    assert not spread(after)[2]
    assert moved <= spread(before)[2] + 5


def test_aNodeThatDrainsWhileAnotherJoinsKeepsItsPlaceUntilThatIsUp() -> None:
    """Otherwise each bucket would have one voter for a moment, and what it acknowledged then a single durable record."""
    three = {1: node(), 2: node(), 3: node()}
    before, _ = settled(three)
    draining = {**three, 2: node(state=DRAINING)}
    for wish in settled({**draining, 4: node(state=JOINING)}, before)[0].values():
        assert set(wish.voters) == {1, 2, 3}
        assert wish.voters[0] != 2
    for wish in settled({**draining, 4: node()}, before)[0].values():
        assert set(wish.voters) == {1, 3, 4}
    neverStarted = node(state=JOINING, downSeconds=61.0)
    assert 2 not in spread(settled({**draining, 4: neverStarted}, before)[0])


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


@settings(deadline=None, max_examples=60)
@given(nodes, nodes, st.sampled_from([1, 3, 5]))
def test_whateverHappensThePlanSettlesOnNodesThatAreThere(
    before: dict[int, PlannedNode], after: dict[int, PlannedNode], replicas: int
) -> None:
    few = range(13)
    wishes, _ = settled(before, replicas=replicas, groups=few)
    wishes, _ = settled(after, wishes, replicas=replicas, groups=few)
    fresh = [number for number, known in after.items() if known.state == UP and known.weight]
    if not fresh:
        return
    for group, wish in wishes.items():
        assert len(wish.voters) % 2 == 1
        down = sum(number in after and after[number].state == DOWN for number in wish.voters)
        if group and 2 * down > len(wish.voters):
            continue  # it cannot be changed
        for number in members(wish) if group else wish.voters:
            known = after[number]
            isStale = known.state == DOWN and known.downSeconds > 60
            assert known.state in (UP, DOWN)
            assert not isStale or set(fresh) <= members(wish), "nobody could take its place"
        assert any(after[number].weight for number in wish.voters)
        if any(number in wish.voters for number in fresh):
            assert wish.voters[0] in fresh


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 8), st.lists(st.sampled_from([50, 100, 200]), min_size=9, max_size=9))
def test_anotherNodeMovesItsShareAndLittleElse(count: int, weights: list[int]) -> None:
    few = range(65)
    nodes = {number: node(weight=weights[number]) for number in range(1, count + 1)}
    before, _ = settled(nodes, groups=few)
    nodes[count + 1] = node(weight=weights[0])
    after, moved = settled(nodes, before, groups=few)
    assert abs(moved - spread(after)[count + 1]) <= len(nodes), "only what comes to the new node moves"
    even = fairShares({number: known.weight for number, known in nodes.items()}, 3 * 64, 64)[count + 1]
    assert even - 3 <= spread(after)[count + 1] <= 1.5 * even + 3


def fairShares(weights: dict[int, int], total: float, most: float) -> dict[int, float]:
    """Shares of a total by weight, none above `most`: what the heavy cannot take (a group's replicas are on as many nodes) goes to the others."""
    open_, shares = dict(weights), dict[int, float]()
    while open_:
        left = total - sum(shares.values())
        each = {number: left * weight / sum(open_.values()) for number, weight in open_.items()}
        full = [number for number in open_ if each[number] >= most]
        if not full:
            return shares | each
        for number in full:
            shares[number] = most
            del open_[number]
    return shares
