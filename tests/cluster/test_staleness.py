"""A node whose replicas are a moment behind refuses nobody for that."""

from __future__ import annotations

import pytest

from jindimail.directory.resolver import Resolver
from jindimail.errors import NoSuchUser, RelayDenied
from jindimail.mailbox.entries import SetDomain
from jindimail.model import bucketOf
from tests.cluster.mail import ADDRESS, BUCKET, GROUP, NOW, MailWorld, account

NOBODY = next(name for name in map("{}@example.org".format, range(10_000)) if bucketOf(name) == BUCKET)


def behind() -> tuple[MailWorld, Resolver]:
    """Node 3 hears nothing of the leader, while a domain and a user are made."""
    world = MailWorld(hasAccount=False)
    resolver = Resolver(world.shares[3].buckets)
    assert world.leader(GROUP) == 1
    with pytest.raises(RelayDenied):
        world.result(resolver.resolve(ADDRESS))
    world.fabric.isStalled = lambda source, target: (source, target) == (1, 3)
    world.result(world.shares[2].buckets.propose(None, SetDomain(seconds=NOW, name="example.org")))
    world.propose(2, account())
    return world, resolver


def test_aUserMadeAMomentAgoElsewhereIsKnown() -> None:
    world, resolver = behind()
    assert world.result(resolver.resolve(ADDRESS)).targets[0].accountId == 1
    assert world.result(resolver.account(ADDRESS, fresh=True)) is not None


def test_whoIsUnknownToAllIsRefused() -> None:
    world, resolver = behind()
    with pytest.raises(NoSuchUser):
        world.result(resolver.resolve(NOBODY))
    with pytest.raises(RelayDenied):
        world.result(resolver.resolve("a@elsewhere.test"))
