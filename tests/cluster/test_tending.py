"""Arrays that tend themselves: they grow, notice who is away, and spread what they have."""

from __future__ import annotations

from collections import Counter

from jindimail.cluster.arrayrecords import DOWN, JOINING, UP
from tests.cluster.world import World

FEW = tuple(range(9))


def stateOf(world: World, node: int) -> str:
    """What the array says of a node, by the lowest that runs."""
    return world.shares[min(world.shares)].userMap.nodes[node].state


def leaders(world: World) -> Counter[int]:
    """Groups by the node that leads them."""
    return Counter(
        node for node, share in world.shares.items() for group in FEW if share.groups.leadingTerm(group)
    )


def voters(world: World, node: int = 1) -> set[frozenset[int]]:
    """The sets of voters that groups have, as seen at one node."""
    found = set()
    for group in FEW:
        configuration = world.shares[node].groups.configurationOf(group)
        assert configuration is not None
        found.add(frozenset(each.node for each in configuration.members if each.voter))
    return found


def test_aNodeAloneHasAndLeadsEverything() -> None:
    world = World(groups=FEW)
    world.foundArray()
    world.until(world.isSettled)
    assert voters(world) == {frozenset({1})}
    assert leaders(world) == {1: len(FEW)}


def test_aSecondNodeIsUpByItselfAndLearnsEverything() -> None:
    world = World(groups=FEW)
    world.foundArray()
    second = world.join()
    assert stateOf(world, 2) == JOINING
    world.until(lambda: stateOf(world, 2) == UP, 10)
    world.until(lambda: len(second.groups.groups()) == len(FEW), 20)
    assert voters(world) == {frozenset({1})}


def test_threeNodesVoteOnEverythingAndShareTheLead() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    assert voters(world) == {frozenset({1, 2, 3})}
    assert max(leaders(world).values()) <= 4


def test_aNodeThatDiesIsDownWithinSecondsAndUpWhenItIsBack() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.kill(2)
    world.until(lambda: stateOf(world, 2) == DOWN, 3.5)
    world.until(world.isSettled, 20)
    assert not any(world.shares[1].userMap.wish(group).voters[0] == 2 for group in FEW)  # type: ignore[union-attr]
    world.start(2)
    world.until(lambda: stateOf(world, 2) == UP, 5)
    world.until(lambda: world.isSettled() and leaders(world)[2] >= 2, 60)
    assert [event.kind for event in world.shares[1].events if event.kind.startswith("node")][:2] == [
        "nodeUp",
        "nodeDown",
    ]
