"""By force: what is left of an array goes on without what is lost for good."""

from __future__ import annotations

import pytest

from jindimail.cluster.arrayrecords import GONE
from jindimail.errors import Corrupt, NotAllowed
from jindimail.mailbox.queries import ListMailboxes, ReadOctets
from tests.cluster.test_mending import BUCKET, bodyIdOf, deliver, keepersOf, kinds, octetsOf
from tests.cluster.world import World

FEW = tuple(range(9))


def validity(world: World, node: int) -> int:
    """The UIDVALIDITY of the one INBOX."""
    found = world.result(world.shares[node].buckets.query(BUCKET, ListMailboxes(accountId=1), fresh=True))
    return int(found.mailboxes[0].uidValidity)


def read(world: World, node: int, number: int) -> bytes:
    """A message, at a node."""
    query = ReadOctets(bodyId=bodyIdOf(number), prefix=0, start=0, stop=len(octetsOf(number)))
    return bytes(world.result(world.shares[node].buckets.query(BUCKET, query)))


def lonely() -> World:
    """One node of three is left."""
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(2), (1, 2))
    world.run(1)
    for node in (2, 3):
        world.kill(node)
    world.run(5)
    return world


def test_whatIsLeftOfAThirdServesAgainUnderNewUidValidities() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(2), (1, 2))
    before = validity(world, 1)
    world.run(1)
    for node in (2, 3):
        world.kill(node)
    world.run(5)
    operations = world.shares[1].operations
    foreseen = world.result(operations.foreseen((2, 3)))
    assert set(foreseen.groups) == set(FEW) and not foreseen.hopeless and foreseen.nodes == (2, 3)
    assert world.result(operations.recover((2, 3))).groups.keys() == set(FEW)
    world.settle()
    assert world.shares[1].userMap.nodes[2].state == world.shares[1].userMap.nodes[3].state == GONE
    assert validity(world, 1) > before
    assert keepersOf(world, 0)
    assert any(event.kind == "groupsRecovered" for event in world.shares[1].events)


def test_anotherNodeMayComeAfterwards() -> None:
    world = lonely()
    world.result(world.shares[1].operations.recover((2, 3)))
    world.join()
    world.settle()
    assert len(world.shares[4].groups.groups()) == len(FEW)
    world.until(lambda: set(keepersOf(world, 0)) == {1, 4}, 60)


def test_bodiesThatOnlyTheLostKeptAreDamagedMailAndNotOwedForEver() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(1), (2, 3))
    deliver(world, range(1, 2), (1, 2))
    for node in (2, 3):
        world.kill(node)
    world.run(5)
    world.result(world.shares[1].operations.recover((2, 3)))
    world.join()
    world.settle()
    world.until(lambda: set(keepersOf(world, 1)) == {1, 4}, 60)
    for node in (1, 4):
        with pytest.raises(Corrupt):
            read(world, node, 0)
        assert read(world, node, 1) == octetsOf(1)
    world.until(lambda: not any(world.shares[node].mending.owed for node in (1, 4)), 60)
    assert keepersOf(world, 0) == (2, 3)
    assert "bodiesLost" in kinds(world) and "bodyDamaged" not in kinds(world)


def test_theMostAdvancedIsChosenAndTheOthersComeBackAsLearners() -> None:
    world = World(groups=FEW)
    world.growArray(5)
    world.result(world.shares[1].operations.setSetting("replicas", 5))
    world.settle(120)
    deliver(world, range(2), (1, 2))
    world.run(1)
    for node in (3, 4, 5):
        world.kill(node)
    world.run(5)
    loss = world.result(world.shares[2].operations.recover((3, 4, 5)))
    assert set(loss.groups) == set(FEW)
    world.settle(120)
    world.until(lambda: all(len(world.shares[node].groups.groups()) == len(FEW) for node in (1, 2)), 30)
    assert all(not world.shares[1].groups.isChanging(group) for group in FEW)


def test_aNodeThatIsThereIsNotGivenUp() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    with pytest.raises(NotAllowed, match="is there"):
        world.result(world.shares[1].operations.recover((2,)))


def test_aNodeThatDoesNotAnswerHasToBeNamed() -> None:
    world = lonely()
    with pytest.raises(NotAllowed, match="has to be named"):
        world.result(world.shares[1].operations.foreseen((2,)))
