"""What operators ask of an array."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jindimail.cluster.arrayentries import AddInvite, SetNode
from jindimail.cluster.arrayrecords import DOWN, DRAINING, GONE, UP
from jindimail.cluster.inviter import Applicant
from jindimail.cluster.joining import JoinRefused
from jindimail.cluster.liveness import Liveness
from jindimail.cluster.recovery import Loss
from jindimail.cluster.token import secretHash
from jindimail.errors import NotAllowed, Unavailable
from jindimail.mailbox.entries import encodeEntry
from jindimail.model import ARRAY_GROUP
from jindimail.replication.copies import ofOctets
from tests.cluster.test_mending import BUCKET, GROUP, deliver, delivered, keepersOf, octetsOf
from tests.cluster.world import World

FEW = tuple(range(9))


def stateOf(world: World, node: int) -> str:
    return world.shares[min(world.shares)].userMap.nodes[node].state


def membersOf(world: World, node: int) -> set[int]:
    """All nodes that have replicas of buckets, as one node sees it."""
    found: set[int] = set()
    for group in FEW[1:]:
        configuration = world.shares[node].groups.configurationOf(group)
        found |= {member.node for member in configuration.members} if configuration else set()
    return found


@pytest.fixture(scope="module")
def three() -> World:
    world = World(groups=FEW)
    world.growArray(3)
    return world


def test_aNodeIsEmptiedAndThenGoneWithoutBeingAskedAgain() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    world.result(world.shares[1].operations.drain(2))
    world.until(lambda: stateOf(world, 2) == GONE, 90)
    assert 2 not in membersOf(world, 1) | membersOf(world, 3) | membersOf(world, 4)
    world.settle()
    assert not any(world.shares[2].groups.leadingTerm(group) for group in FEW)


def test_aNodeIsNotEmptyWhileADeliveryMayYetNameItAsTheOnlyKeeper() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    deliver(world, (), ())
    world.result(world.shares[1].operations.setSetting("copies", 1))
    leader = world.leader(GROUP)
    drained = next(node for node in world.shares if node not in (1, leader))
    placing = world.shares[leader]._reach.placing
    place, held = placing.copies.place, Deferred[None]()

    async def slowly(bucket: int, bodyId: bytes, source: Any, plan: Any, *rest: Any, **more: Any) -> Any:
        keepers = await place(bucket, bodyId, source, lambda: ((drained,), 1), *rest, **more)
        await held
        return keepers

    placing.copies.place = slowly  # type: ignore[method-assign]
    entry, source = delivered(0, ()), ofOctets(octetsOf(0))
    done = Deferred.fromCoroutine(placing.place(BUCKET, entry, source, leader, {}))
    world.run(1)
    world.result(world.shares[1].operations.drain(drained))
    world.run(20)
    assert stateOf(world, drained) == DRAINING
    placing.copies.place = place  # type: ignore[method-assign]
    held.callback(None)
    world.result(done)
    world.until(lambda: stateOf(world, drained) == GONE, 60)
    assert drained not in keepersOf(world, 0)


def test_wrongTokensMakeNoEntryEach() -> None:
    world = World(groups=FEW)
    world.growArray(1)
    share = world.shares[1]

    def ask(name: str, secret: bytes) -> None:
        asking = Applicant(
            secretHash=secretHash(secret),
            requestHash=b"",
            request=b"",
            name=name,
            addresses=("a:1",),
            labels={},
        )
        with suppress(JoinRefused, Unavailable):
            world.result(share.operations.admit(asking))

    def entries() -> int:
        status = share.groups.status(ARRAY_GROUP)
        assert status is not None
        return status.lastIndex

    invite = AddInvite(
        seconds=world.seconds, secretHash=secretHash(b"right"), expiresSeconds=world.seconds + 60
    )
    world.result(share.buckets.propose(None, invite))
    before, since = entries(), world.seconds
    for number in range(100):
        ask("stranger", b"%d" % number)
    assert 0 < entries() - before <= world.seconds - since + 1
    ask("two", b"right")
    world.settle()
    assert "two" in {record.name for record in share.userMap.nodes.values()}


def test_aNodeThatWasToBeEmptiedMayStay() -> None:
    world = World(groups=FEW)
    world.growArray(2)
    operations = world.shares[1].operations
    world.result(operations.drain(2))
    world.run(0.5)
    assert stateOf(world, 2) == DRAINING
    world.result(operations.undrain(2))
    world.until(lambda: stateOf(world, 2) == UP, 10)


def test_aDrainInTheMomentInWhichANodeIsFoundDownStands(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(groups=FEW)
    world.growArray(3)
    look = Liveness.look

    def drainedMeanwhile(liveness: Liveness, *seen: Any) -> dict[int, str]:
        verdicts = look(liveness, *seen)
        if verdicts.get(3) == DOWN:
            world.shares[1].groups.propose(
                ARRAY_GROUP, encodeEntry(SetNode(seconds=1, node=3, state=DRAINING))
            )
        return verdicts

    monkeypatch.setattr(Liveness, "look", drainedMeanwhile)
    world.until(lambda: world.shares[1].groups.leadingTerm(ARRAY_GROUP) > 0, 30)
    world.kill(3)
    world.until(lambda: stateOf(world, 3) != UP, 30)
    world.run(1.0)
    assert stateOf(world, 3) == DRAINING


def test_aNodeThatComesBackWhileItsMailIsCountedIsNotRemoved() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.kill(3)
    world.until(lambda: stateOf(world, 3) == DOWN, 30)
    operations = world.shares[1].operations
    foreseenOf = operations.recovery.foreseenOf

    async def countedForLong(node: int, told: Any) -> Loss:
        loss = await foreseenOf(node, told)
        await operations._propose(SetNode(seconds=1, node=3, state=UP))
        return loss

    operations.recovery.foreseenOf = countedForLong
    with pytest.raises(NotAllowed):
        world.result(operations.remove(3, isForced=True))
    assert stateOf(world, 3) != GONE


def test_aDeadNodeIsRemovedAndReplacedAtOnce() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    world.kill(3)
    world.until(lambda: stateOf(world, 3) == DOWN)
    world.result(world.shares[1].operations.remove(3))
    world.settle()
    assert 3 not in membersOf(world, 1) and stateOf(world, 3) == GONE


def bereave(world: World) -> None:
    """A dead node of four is all that keeps a body; another body has a keeper that is left."""
    deliver(world, range(1), (4,))
    deliver(world, range(1, 2), (1, 4))
    world.kill(4)
    world.until(lambda: stateOf(world, 4) == DOWN)


def test_aDeadNodeThatAloneKeepsMailIsRemovedByForceOnly() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    bereave(world)
    operations = world.shares[1].operations
    with pytest.raises(NotAllowed, match=rf"1 messages \({len(octetsOf(0))} octets\) are kept by it alone"):
        world.result(operations.remove(4))
    assert stateOf(world, 4) == DOWN
    lost = world.result(operations.remove(4, isForced=True))
    assert lost.mail.messages == 1 and stateOf(world, 4) == GONE


def test_aDeadNodeWhoseMailCannotBeCountedIsRemovedByForceOnly(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.kill(3)
    world.until(lambda: stateOf(world, 3) == DOWN)
    operations = world.shares[1].operations

    async def foreseenOf(node: int, told: Any) -> Loss:
        return Loss(groups={}, hopeless=(GROUP,), nodes=(node,))

    monkeypatch.setattr(operations.recovery, "foreseenOf", foreseenOf)
    with pytest.raises(NotAllowed, match="the mail of 1 buckets could not be counted"):
        world.result(operations.remove(3))
    world.result(operations.remove(3, isForced=True))
    assert stateOf(world, 3) == GONE


def test_aDeadNodeThatAloneKeepsMailIsNeverEmptyUntilItIsBack() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    bereave(world)
    world.result(world.shares[1].operations.drain(4))
    world.until(lambda: keepersOf(world, 1) and 4 not in keepersOf(world, 1), 90)
    world.run(60)
    assert stateOf(world, 4) == DRAINING and keepersOf(world, 0) == (4,)
    world.start(4)
    world.until(lambda: stateOf(world, 4) == GONE, 90)
    assert 4 not in keepersOf(world, 0) and len(keepersOf(world, 0)) == 2


def test_theLastOfAMajorityThatIsGivenUpOneByOneIsRemovedByForceOnly() -> None:
    world = World(groups=FEW)
    world.growArray(5)
    first, second = world.shares[1].userMap.wish(GROUP).voters[1:3]
    asked = next(node for node in world.shares if node not in (first, second))
    operations = world.shares[asked].operations
    for victim in (first, second):
        world.kill(victim)
    world.until(lambda: {stateOf(world, first), stateOf(world, second)} == {DOWN})
    world.result(operations.remove(first))
    with pytest.raises(NotAllowed, match="could never agree again without it"):
        world.result(operations.remove(second))
    loss = world.result(operations.remove(second, isForced=True))
    assert GROUP in loss.groups


def test_aWeightMovesReplicasAndLeaders() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.result(world.shares[2].operations.setWeight(3, 300))
    world.settle()
    assert sum(bool(world.shares[3].groups.leadingTerm(group)) for group in FEW) >= 4


@pytest.mark.parametrize(
    "ask",
    [
        lambda operations: operations.remove(2),
        lambda operations: operations.remove(1),
        lambda operations: operations.drain(9),
        lambda operations: operations.undrain(2),
        lambda operations: operations.setWeight(2, -1),
        lambda operations: operations.setSetting("copies", 99),
        lambda operations: operations.setSetting("cheese", 1),
    ],
)
def test_whatMakesNoSenseIsRefused(three: World, ask: Any) -> None:
    with pytest.raises(NotAllowed):
        three.result(ask(three.shares[1].operations))


def test_theLastFullNodeIsNotEmptied() -> None:
    world = World(groups=FEW)
    world.foundArray()
    for ask in (world.shares[1].operations.drain(1), world.shares[1].operations.setWeight(1, 0)):
        with pytest.raises(NotAllowed):
            world.result(ask)


def test_aSettingIsKnownEverywhere(three: World) -> None:
    three.result(three.shares[2].operations.setSetting("repairSeconds", 30))
    three.until(lambda: all(share.userMap.settings.repairSeconds == 30 for share in three.shares.values()), 5)
