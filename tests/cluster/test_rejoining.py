"""A node that comes back without its store gets everything again, and nothing of what it was is believed."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest
from twisted.internet.task import Clock

from jindimail.cluster.arrayrecords import UP, NodeRecord
from jindimail.cluster.events import Events
from jindimail.cluster.memorylinks import Fabric
from jindimail.cluster.rejoining import GROUPS_AT_ONCE, RENOUNCE, Rejoining, Renounced
from jindimail.cluster.usermap import UserMap
from jindimail.errors import Unavailable
from jindimail.mailbox.entries import SetDomain
from jindimail.mailbox.queries import ListDomains
from jindimail.model import ARRAY_GROUP
from jindimail.replication.configuration import Configuration
from jindimail.store.keys import HARD, META, REJOINING_KEY, groupKey
from jindimail.store.memory import MemoryRows, MemoryStore
from tests.cluster.mail import GROUP, MailWorld
from tests.cluster.test_mending import chunkAt, deliver, keepersOf, octetsOf
from tests.cluster.world import World

FEW = tuple(range(9))


def idsOf(world: World, node: int, seenAt: int) -> dict[int, int]:
    """A node's replica ids by group, as another has them."""
    found: dict[int, int] = {}
    for group in FEW:
        configuration = world.shares[seenAt].groups.configurationOf(group)
        for member in () if configuration is None else configuration.members:
            if member.node == node:
                found[group] = member.replicaId
    return found


def test_aVoterThatLostItsStoreComesBackUnderNewIds() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(2), (1, 2))
    before = idsOf(world, 2, 1)
    world.kill(2)
    world.run(1)
    world.setAside(2)
    second = world.start(2)
    assert second.rejoining.isUnderWay
    world.until(lambda: not second.rejoining.isUnderWay, 30)
    world.settle()
    after = idsOf(world, 2, 1)
    assert after.keys() == before.keys() and all(after[group] > before[group] for group in FEW)
    assert world.rows[2].get(META, REJOINING_KEY) is None
    world.until(lambda: all(chunkAt(world, 2, number) == octetsOf(number) for number in range(2)), 30)
    assert all(2 in keepersOf(world, number) for number in range(2))


def test_nothingIsTakenInUnderAnIdOfThePast() -> None:
    """A learner's first message makes a replica; but this learner had one, and has forgotten it."""
    world = World(groups=(ARRAY_GROUP,))
    first, second = world.found(), world.start(2)
    world.result(first.groups.change(ARRAY_GROUP, partial(Configuration.withLearner, node=2)))
    world.until(lambda: second.groups.groups())
    world.kill(2)
    world.setAside(2)
    again = world.start(2)
    again.rejoining.stop()
    world.result(first.buckets.propose(None, SetDomain(seconds=1, name="example.org")))
    world.run(10)
    assert not again.groups.groups()
    again.rejoining.start()
    world.until(lambda: not again.rejoining.isUnderWay)
    assert not again.groups.groups(), "only a new id brings it back"
    world.result(first.groups.change(ARRAY_GROUP, partial(Configuration.withLearner, node=2)))
    world.until(lambda: again.groups.groups() and world.result(again.buckets.query(None, ListDomains())))


def test_aNodeRenouncesNothingWhileNobodyCanConfirm() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    for node in (2, 3):
        world.kill(node)
    world.setAside(2)
    second = world.start(2)
    world.run(15)
    assert second.rejoining.isUnderWay and not second.groups.groups()
    world.start(3)
    world.until(lambda: not second.rejoining.isUnderWay, 60)
    world.settle()


def test_aLeaderTellsTheHighestIdOnlyWhenAMajorityConfirmsThatItLeads() -> None:
    """One of the past would know of too few ids."""
    world = MailWorld(others=(4,))
    leader = world.shares[1]
    configuration = leader.groups.configurationOf(GROUP)
    assert configuration is not None
    assert world.result(leader.rejoining._remove(GROUP, 4)) == configuration.nextId - 1
    world.fabric.isStalled = lambda source, target: target == 1
    with pytest.raises(Unavailable):
        world.result(leader.rejoining._remove(GROUP, 4))


def test_groupsThatNobodyLeadsKeepNoOtherWaiting() -> None:
    clock = Clock()
    fabric = Fabric(clock)
    stuck = range(1, GROUPS_AT_ONCE + 1)

    def answer(node: int, payload: bytes, seconds: float) -> bytes:
        group = msgspec.msgpack.decode(payload, type=int)
        return msgspec.msgpack.encode(Renounced(-1 if group in stuck else 7))

    fabric.add(2).serve(RENOUNCE, answer)
    rows = MemoryRows()
    rows.put(META, REJOINING_KEY, b"")
    rows.put(HARD, groupKey(ARRAY_GROUP), b"there")
    userMap = UserMap(1)
    nodes = {number: NodeRecord(name=f"n{number}", addresses=(), host="", state=UP) for number in (1, 2)}
    userMap.update(nodes, {})
    groups: Any = None
    rejoining = Rejoining(
        clock=clock,
        store=MemoryStore(rows=rows),
        links=fabric.add(1),
        groups=groups,
        userMap=userMap,
        events=Events(node=1, seconds=clock.seconds),
        numbers=range(GROUPS_AT_ONCE + 10),
        peers=tuple,
        renounced=lambda group, node: None,
        finished=lambda: None,
    )
    rejoining.start()
    for _ in range(100):
        clock.advance(0.05)
    rejoining.stop()
    buried = [group for group in range(GROUPS_AT_ONCE + 10) if rows.get(HARD, groupKey(group)) is not None]
    assert buried == [ARRAY_GROUP, *range(GROUPS_AT_ONCE + 1, GROUPS_AT_ONCE + 10)]


def test_theHighestIdCountsAlsoWhereTheNodeHadNoReplica() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    world.kill(4)
    world.setAside(4)
    fourth = world.start(4)
    world.until(lambda: not fourth.rejoining.isUnderWay, 30)
    world.settle()
    world.until(lambda: len(fourth.groups.groups()) >= len(FEW) / 2, 60)


def test_groupsAreQuietWithoutAMemberThatHasNoReplica() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.kill(2)
    world.run(3)
    world.setAside(2)
    world.start(2).rejoining.stop()
    world.run(4)
    for node in (1, 3):
        statuses = [world.shares[node].groups.status(group) for group in world.shares[node].groups.leading()]
        assert statuses and all(status is not None and status.quiet for status in statuses)
    world.shares[2].rejoining.start()
    world.settle()
