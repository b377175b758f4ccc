"""Arrays that tend themselves: they grow, notice who is away, and spread what they have."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred

from jindimail.cluster.arrayrecords import DOWN, JOINING, UP
from jindimail.mailbox.entries import SetDomain
from jindimail.mailbox.queries import ListDomains
from jindimail.model import ARRAY_GROUP
from tests.cluster.world import ALL_GROUPS, World

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


def test_anIdleArrayGivesANodeItsReplicasOfAllGroupsWithinASecond() -> None:
    world = World()
    world.foundArray()
    second = world.join()
    world.until(lambda: stateOf(world, 2) == UP, 10)
    world.until(lambda: len(second.groups.groups()) == len(ALL_GROUPS), 1)


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


def members(world: World, group: int, node: int = 1) -> set[int]:
    """All nodes with a replica of a group, as seen at one of them."""
    configuration = world.shares[node].groups.configurationOf(group)
    return set() if configuration is None else {each.node for each in configuration.members}


def test_aPausedLeaderOfTheArrayDeclaresNobodyDownWhenItWakes() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    leader = world.leader(ARRAY_GROUP)
    others = [node for node in (1, 2, 3) if node != leader]
    world.pause(leader)
    world.until(lambda: world.shares[others[0]].userMap.nodes[leader].state == DOWN, 6)
    world.run(3)
    world.resume(leader)
    world.run(10)
    states = {node: record.state for node, record in world.shares[others[0]].userMap.nodes.items()}
    assert states == {1: UP, 2: UP, 3: UP}
    told = [event.fields["node"] for event in world.shares[others[0]].events if event.kind == "nodeDown"]
    assert told == [leader]


def test_twoNodesVoteTogetherWithAWitnessThatLeadsNothing() -> None:
    world = World(groups=FEW)
    world.foundArray()
    world.join()
    world.join(weight=0)
    world.settle()
    world.until(lambda: voters(world) == {frozenset({1, 2, 3})}, 60)
    world.settle()
    assert not leaders(world)[3] and leaders(world)[2] >= 3
    world.kill(1)
    world.until(lambda: leaders(world)[2] == len(FEW), 20)


def test_aFourthNodeTakesItsShareAndAThirdOfTheRestStays() -> None:
    world = World()
    world.growArray(3)
    before = {group: members(world, group) for group in ALL_GROUPS[1:]}
    fourth = world.join()
    world.until(
        lambda: len(fourth.groups.groups()) >= 257 * 3 / 4 - 4, 30
    )  # of the world's clock; it has nothing else to do
    world.settle(200)
    share = sum(4 in members(world, group) | members(world, group, 4) for group in ALL_GROUPS[1:])
    assert abs(share - 192) <= 4
    assert all(
        members(world, group) | {1} == before[group] | {1}
        for group in before
        if 4 not in members(world, group, 4) and 1 in members(world, group)
    )


def test_whoWasJustElectedGoesAtOnceWhenItIsToLeaveTheGroup() -> None:
    world = World(groups=FEW)
    world.growArray(5)
    orphans = [group for group in FEW[1:] if world.leader(group) == 5]
    world.kill(5)
    winner = world.leader(orphans[0])
    world.result(world.shares[1].operations.drain(winner))
    world.until(lambda: not world.shares[winner].groups.leadingTerm(orphans[0]), 6)


def test_aDeadNodesReplicasAreReplacedAfterAWhile() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    world.result(world.shares[1].operations.setSetting("repairSeconds", 10))
    world.kill(4)
    world.run(8)
    assert any(4 in members(world, group) for group in FEW[1:])
    world.until(lambda: not any(4 in members(world, group) for group in FEW[1:]), 60)
    world.settle()
    assert all(len(wish.voters) == 3 for group in FEW[1:] if (wish := world.shares[1].userMap.wish(group)))


def test_whoeverAsksAGroupThatLostItsMajorityIsToldSoonHoweverLongItIsGone() -> None:
    world = World(groups=FEW)
    world.growArray(5)
    world.result(world.shares[1].operations.setSetting("repairSeconds", 10))
    wishes = {group: world.shares[1].userMap.wish(group) for group in FEW[1:]}
    group, wish = next((group, wish) for group, wish in wishes.items() if wish and 1 in wish.voters)
    for node in wish.voters:
        if node != 1:
            world.kill(node)
    world.run(30)
    assert not any(share.router.hearing.mayAgree(group) for share in world.shares.values())
    back = next(node for node in wish.voters if node != 1)
    world.start(back)
    world.until(lambda: all(share.router.hearing.mayAgree(group) for share in world.shares.values()), 5)
    world.settle()
    assert members(world, group, world.leader(group)) <= world.shares.keys(), "who is still away was replaced"


def test_anIdleArrayPlansNothingAndSaysLittle() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.run(30)
    applied = [share.groups.appliedIndex(group) for share in world.shares.values() for group in FEW]
    events = [share.events.total for share in world.shares.values()]
    sent = Counter[tuple[int, int]]()
    world.fabric.isStalled = lambda source, target: bool(sent.update([(source, target)]))
    world.run(20)
    assert applied == [share.groups.appliedIndex(group) for share in world.shares.values() for group in FEW]
    assert events == [share.events.total for share in world.shares.values()]
    assert max(sent.values()) <= 20 * 12, "a heartbeat ten times a second, and a report"


def test_anArrayGrowsUnderLoadAndLosesNothing() -> None:
    world = World(groups=FEW)
    world.foundArray()
    made: list[str] = []
    failed: list[Any] = []

    def write(number: int) -> None:
        name = f"d{number}.example"
        node = world.chance.choice(list(world.shares))
        done = Deferred.fromCoroutine(_propose(world, node, name))
        done.addCallbacks(lambda _: made.append(name), failed.append)

    for number in range(400):
        world.heap.callLater(number * 0.1, write, number)
    world.run(2)
    world.join()
    world.run(2)
    world.join()
    world.run(50)
    world.settle()
    assert not failed and len(made) == 400
    for share in world.shares.values():
        found = {name for name, _ in world.result(share.buckets.query(None, ListDomains(), fresh=True))}
        assert found == set(made)


async def _propose(world: World, node: int, name: str) -> None:
    await world.shares[node].buckets.propose(None, SetDomain(seconds=1, name=name))
