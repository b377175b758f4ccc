"""A node whose replicas are a moment behind refuses nobody for that, and shows administrators nothing that is over."""

from __future__ import annotations

import pytest
from twisted.internet.defer import maybeDeferred

from jindimail.directory.accounts import Directory
from jindimail.directory.aliases import Alias
from jindimail.directory.attempts import Attempts
from jindimail.directory.checker import PasswordChecker
from jindimail.directory.credentials import PeerPassword
from jindimail.directory.passwords import Passwords
from jindimail.directory.resolver import Resolver
from jindimail.errors import (
    AuthenticationFailed,
    NoSuchDomain,
    NoSuchUser,
    RelayDenied,
    Unavailable,
    UserDisabled,
)
from jindimail.mailbox.entries import SetDomain
from jindimail.mailbox.queries import ListAccounts, ListDomains
from jindimail.model import bucketGroup, bucketOf
from tests.cluster.edges import Edges
from tests.cluster.mail import ADDRESS, BUCKET, GROUP, NOW, MailWorld, account
from tests.cluster.world import ALL_GROUPS, World

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


def test_theArraysOwnRowsCatchUpAtANodeThatIsBehind() -> None:
    world = MailWorld(hasAccount=False)
    world.leader(GROUP)
    world.fabric.isStalled = lambda source, target: (source, target) == (1, 3)
    world.result(world.shares[2].buckets.propose(None, SetDomain(seconds=NOW, name="example.org")))
    world.fabric.isStalled = lambda source, target: False
    assert not world.result(world.shares[3].buckets.query(None, ListDomains()))
    world.result(world.shares[3].catchUp())
    assert world.result(world.shares[3].buckets.query(None, ListDomains()))


@pytest.mark.parametrize("isFresh", [False, True], ids=["as it is", "fresh"])
def test_whatANodeHasShownItDoesNotTakeBackWhenItsReplicaIsGone(isFresh: bool) -> None:
    """A snapshot takes its replica's place, say, or what it had applied found no room: no other node that is behind answers for it."""
    world = MailWorld(hasAccount=False)
    assert world.leader(GROUP) == 1
    world.fabric.isStalled = lambda source, target: (source, target) == (1, 2)
    world.propose(1, account())
    world.run(0.5)
    buckets, query = world.shares[3].buckets, ListAccounts(afterId=0, limit=9)
    assert world.result(buckets.query(BUCKET, query, isFresh))
    world.shares[3].groups._replicas[GROUP].installing = True
    world.kill(1)
    with pytest.raises(Unavailable):
        world.result(buckets.query(BUCKET, query))


def test_whereNobodyCanSayWhatIsNewTheArraysOwnRowsAreLeft() -> None:
    world = MailWorld(hasAccount=False)
    world.leader(GROUP)
    world.kill(1)
    world.kill(2)
    before = world.heap.now
    world.result(world.shares[3].catchUp())
    assert world.heap.now < before + 1.5


async def aliases(directory: Directory) -> list[Alias]:
    """All of them."""
    return [alias async for _, some in directory.aliases.eachFrom(0) for alias in some]


def test_whatOneAdministratorWasToldIsDoneTheNextOneSeesAtAnotherNode() -> None:
    world = World()
    world.found()
    world.spread((1, 2, 3), ALL_GROUPS)
    at = {node: Edges(world, node).directory for node in (1, 3)}
    assert world.result(at[3].domains()) == world.result(at[3].users()) == []
    world.fabric.isStalled = lambda source, target: (source, target) == (1, 3)
    world.result(at[1].addDomain("example.org"))
    world.result(at[1].addUser(ADDRESS))
    world.result(at[1].aliases.add("sales@example.org", [ADDRESS]))

    assert [each.name for each in world.result(at[3].domains())] == ["example.org"]
    assert [each.address for each in world.result(at[3].users())] == [ADDRESS]
    assert [each.address for each in world.result(aliases(at[3]))] == ["sales@example.org"]
    assert world.result(at[3].user(ADDRESS)).address == ADDRESS
    assert world.result(at[3].aliases.find("sales@example.org")).targets == (ADDRESS,)

    world.result(at[1].setUser(ADDRESS, quotaMessages=7))
    assert world.result(at[3].user(ADDRESS)).quotaMessages == 7
    world.result(at[1].aliases.remove("sales@example.org"))
    world.result(at[1].removeUser(ADDRESS))
    world.result(at[1].removeDomain("example.org"))
    assert world.result(at[3].users()) == world.result(aliases(at[3])) == []
    with pytest.raises(NoSuchDomain):
        world.result(at[3].addUser(ADDRESS))


def test_mailGoesWhereAnAliasLeadsNowAlsoAtANodeThatIsCutOffFromTheLeader() -> None:
    world = World()
    world.found()
    world.spread((1, 2, 3), ALL_GROUPS)
    at = {node: Edges(world, node) for node in (1, 2, 3)}
    world.result(at[1].directory.addDomain("example.org"))
    for user in (ADDRESS, "b@example.org"):
        world.result(at[1].directory.addUser(user))
    world.result(at[1].directory.aliases.add("sales@example.org", [ADDRESS]))
    assert led(world, at[3], "sales@example.org") == ADDRESS
    world.fabric.cut(1, 3)
    world.run(5.0)
    world.result(at[1].directory.aliases.set("sales@example.org", ["b@example.org"]))
    assert world.leader(bucketGroup(bucketOf("sales@example.org"))) == 1
    assert led(world, at[3], "sales@example.org") == "b@example.org"


def led(world: World, edges: Edges, alias: str) -> str:
    """The address that an alias leads to, as a node has it."""
    return str(world.result(edges.resolver.resolve(alias)).targets[0].address)


class Guarded:
    """A node that hears nothing of the leader, and at which a user has logged in before."""

    def __init__(self) -> None:
        self.world = World()
        self.world.found()
        self.world.spread((1, 2, 3), ALL_GROUPS)
        at = {node: Edges(self.world, node) for node in (1, 3)}
        self.directory = at[1].directory
        self.checker = PasswordChecker(
            resolver=at[3].resolver,
            passwords=Passwords(inThread=maybeDeferred, key=b"k"),
            attempts=Attempts(),
            seconds=self.world.clockOf(3).seconds,
        )
        self.world.result(self.directory.addDomain("example.org"))
        self.world.result(self.directory.addUser(ADDRESS, "old password"))
        self.logIn("old password")
        self.world.fabric.isStalled = lambda source, target: (source, target) == (1, 3)

    def logIn(self, password: str, *, mayLag: bool = False) -> None:
        credentials = PeerPassword(ADDRESS.encode(), password.encode(), "192.0.2.1", mayLag=mayLag)
        self.world.result(self.checker.requestAvatarId(credentials))


def test_anOldPasswordWorksAtNoNodeOnceTheNewOneIsAcknowledged() -> None:
    guarded = Guarded()
    guarded.world.result(guarded.directory.setPassword(ADDRESS, "new password"))
    with pytest.raises(AuthenticationFailed):
        guarded.logIn("old password")
    guarded.logIn("new password")


def test_whoIsDisabledOrRemovedLogsInAtNoNode() -> None:
    guarded = Guarded()
    guarded.world.result(guarded.directory.setUser(ADDRESS, enabled=False))
    with pytest.raises(UserDisabled):
        guarded.logIn("old password")
    guarded.world.result(guarded.directory.addUser("b@example.org"))
    guarded.world.result(guarded.directory.removeUser(ADDRESS))
    with pytest.raises(AuthenticationFailed):
        guarded.logIn("old password")


def test_whereNoMajorityAnswersOnlyTheStatusPageLetsIn() -> None:
    guarded = Guarded()
    guarded.world.kill(1)
    guarded.world.kill(2)
    with pytest.raises(Unavailable):
        guarded.logIn("old password")
    guarded.logIn("old password", mayLag=True)
