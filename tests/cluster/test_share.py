"""Shares of several nodes make one array."""

from __future__ import annotations

from functools import partial

from jindimail.mailbox.entries import SetDomain
from jindimail.mailbox.outcomes import Done
from jindimail.mailbox.queries import ListDomains
from jindimail.model import ARRAY_GROUP
from jindimail.replication.configuration import Configuration
from tests.cluster.world import World

NOW = 1_800_000_000


def test_aNodeAloneServes() -> None:
    world = World()
    share = world.found()
    assert world.result(share.buckets.propose(None, SetDomain(seconds=NOW, name="example.org"))) == Done()
    assert [name for name, _ in world.result(share.buckets.query(None, ListDomains(), fresh=True))] == [
        "example.org"
    ]


def test_aSecondNodeLearnsWhatTheFirstHas() -> None:
    world = World(groups=(ARRAY_GROUP,))
    first, second = world.found(), world.start(2)
    world.result(first.buckets.propose(None, SetDomain(seconds=NOW, name="example.org")))
    world.result(first.groups.change(ARRAY_GROUP, partial(Configuration.withLearner, node=2)))
    world.until(lambda: world.result(second.buckets.query(None, ListDomains())))


def test_aNodeKnowsWhetherItHearsAMajority() -> None:
    world = World(groups=(ARRAY_GROUP,))
    world.growArray(3)
    assert all(share.hearsMajority() for share in world.shares.values())
    world.kill(2)
    world.run(3)
    assert world.shares[1].hearsMajority() and world.shares[3].hearsMajority()
    world.kill(3)
    world.run(3)
    assert not world.shares[1].hearsMajority()
    world.start(2)
    world.until(lambda: world.shares[1].hearsMajority() and world.shares[2].hearsMajority(), 10)


def test_whatWasCommittedOutlivesTheProcess() -> None:
    world = World(groups=(ARRAY_GROUP,))
    share = world.found()
    world.result(share.buckets.propose(None, SetDomain(seconds=NOW, name="example.org")))
    world.kill(1)
    again = world.start(1)
    assert world.result(again.buckets.query(None, ListDomains(), fresh=True))
