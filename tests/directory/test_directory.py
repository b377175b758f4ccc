"""Users, domains, aliases, resolving and logging in, on a mail system in memory."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from twisted.cred.error import UnauthorizedLogin

from jindimail.directory.addresses import canonicalAddress, untagged
from jindimail.directory.attempts import PEER_BURST, USER_BURST, Attempts
from jindimail.directory.credentials import PeerPassword
from jindimail.directory.resolver import ALIAS_DEPTH_MAX
from jindimail.errors import (
    AddressTaken,
    AuthenticationFailed,
    BadAddress,
    NoSuchAlias,
    NoSuchDomain,
    NoSuchUser,
    NotAllowed,
    OverQuota,
    RelayDenied,
    TooManyAttempts,
    TooManyTargets,
    Unavailable,
    UserDisabled,
)
from jindimail.interfaces import IAccount
from jindimail.mailbox.entries import (
    CreateAccount,
    Entry,
    RemoveAccount,
    RemoveDomain,
    SetAddress,
    SetDomain,
)
from jindimail.mailbox.queries import ListDomains
from jindimail.mailbox.upkeep import Upkeep
from jindimail.networks import network
from tests.support.world import PASSWORD, World, now


@pytest.fixture
def world() -> World:
    """An empty mail system."""
    return World()


def targets(world: World, address: str) -> list[str]:
    """Where an address leads."""
    return sorted(target.address for target in now(world.delivery.resolve(address)).targets)


@pytest.mark.parametrize(
    "given,kept",
    [
        ("Alice@Example.ORG", "alice@example.org"),
        ("a.b+c@example.org", "a.b+c@example.org"),
        ("J\u00f6rg@B\u00fccher.example", "j\u00f6rg@xn--bcher-kva.example"),
        ("jo\u0308rg@example.org", "j\u00f6rg@example.org"),
        ("x@XN--BCHER-KVA.example", "x@xn--bcher-kva.example"),
        ('"two words"@example.org', '"two words"@example.org'),
    ],
)
def test_anAddressHasOneForm(given: str, kept: str) -> None:
    assert canonicalAddress(given) == kept
    assert canonicalAddress(kept) == kept


@pytest.mark.parametrize(
    "given",
    [
        "",
        "a",
        "@b.c",
        "a@",
        "a@b..c",
        "a@-b.c",
        "a@.b",
        "a\x00@b.c",
        "a" * 65 + "@b.c",
        "a@" + "b." * 200 + "c",
        "a@b c",
    ],
)
def test_whatIsNoAddressIsRefused(given: str) -> None:
    with pytest.raises(BadAddress):
        canonicalAddress(given)


def test_aTagIsCut() -> None:
    assert untagged("a+b+c@d.e") == "a@d.e"
    assert untagged("+b@d.e") == "+b@d.e"


def test_aUserIsFoundInAnyCaseAndWithATag(world: World) -> None:
    world.addUser()
    for address in ("alice@example.org", "ALICE@Example.Org", "alice+lists@example.org"):
        assert targets(world, address)[0].startswith("alice")


def test_anExactAddressWithAPlusComesFirst(world: World) -> None:
    alice, special = world.addUser(), world.addUser("alice+x@example.org")
    found = now(world.delivery.resolve("alice+x@example.org")).targets[0]
    assert found.accountId == special.accountId != alice.accountId


def test_foreignAndUnknownAreToldApart(world: World) -> None:
    with pytest.raises(RelayDenied):
        now(world.delivery.resolve("a@elsewhere.example"))
    with pytest.raises(NoSuchUser):
        now(world.delivery.resolve("nobody@example.org"))
    with pytest.raises(NoSuchUser):
        now(world.delivery.resolve("not an address"))


def test_aliasesLeadToManyAndThroughOthers(world: World) -> None:
    for name in ("a", "b", "c"):
        world.addUser(f"{name}@example.org")
    now(world.directory.aliases.add("inner@example.org", ["b@example.org", "c@example.org"]))
    now(world.directory.aliases.add("outer@example.org", ["a@example.org", "inner@example.org"]))
    assert targets(world, "outer@example.org") == ["a@example.org", "b@example.org", "c@example.org"]


def test_aliasesThatLeadInACircleEnd(world: World) -> None:
    world.addUser("a@example.org")
    now(world.directory.aliases.add("x@example.org", ["y@example.org"]))
    now(world.directory.aliases.add("y@example.org", ["x@example.org"]))
    with pytest.raises(NoSuchUser):
        now(world.delivery.resolve("x@example.org"))
    now(world.directory.aliases.set("y@example.org", ["x@example.org", "a@example.org"]))
    assert targets(world, "x@example.org") == ["a@example.org"]


def test_anAliasThatLeadsToMoreThanMailIsFiledForTakesNoneRatherThanSome(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jindimail.directory.resolver.TARGETS_MAX", 6)
    world.addUser("boss@example.org")
    for group in "ab":
        members = [f"{group}{number}@example.org" for number in range(3)]
        for member in members:
            world.addUser(member)
        assert not now(world.directory.aliases.add(f"{group}@example.org", members)).warnings
    everybody = ["boss@example.org", "a@example.org", "b@example.org"]
    made = now(world.directory.aliases.add("all@example.org", everybody))
    assert made.warnings == ("all@example.org: leads to too many addresses",)
    with pytest.raises(TooManyTargets):
        targets(world, "all@example.org")
    monkeypatch.setattr("jindimail.directory.resolver.TARGETS_MAX", 10)
    assert len(targets(world, "all@example.org")) == 7


def test_anAliasThroughTooManyOthersTakesNoMailRatherThanSome(world: World) -> None:
    world.addUser("boss@example.org")
    for number in range(ALIAS_DEPTH_MAX):
        onward = [f"a{number + 1}@example.org", "boss@example.org"]
        now(world.directory.aliases.add(f"a{number}@example.org", onward))
    world.addUser(f"a{ALIAS_DEPTH_MAX}@example.org")
    with pytest.raises(TooManyTargets):
        targets(world, "a0@example.org")
    assert len(targets(world, "a1@example.org")) == 2


def test_anAliasThatLeadsTwiceToOneAccountFilesOnce(world: World) -> None:
    user = world.addUser("a@example.org")
    now(world.directory.aliases.add("x@example.org", ["a@example.org", "a+tag@example.org"]))
    assert world.deliver(b"s: t\r\n\r\nx\r\n", "x@example.org", "a@example.org") == [None, None]
    assert now(world.directory.user(user.address)).messages == 1


def test_anAliasHasOnlyAddressesOfTheArray(world: World) -> None:
    with pytest.raises(NoSuchDomain):
        now(world.directory.aliases.add("x@example.org", ["a@elsewhere.example"]))
    with pytest.raises(NotAllowed):
        now(world.directory.aliases.add("x@example.org", ["x@example.org"]))
    with pytest.raises(NoSuchAlias):
        now(world.directory.aliases.set("x@example.org", ["a@example.org"]))


def test_addressesAreTakenOnce(world: World) -> None:
    world.addUser("a@example.org")
    with pytest.raises(AddressTaken):
        world.addUser("A@example.org")
    with pytest.raises(AddressTaken):
        now(world.directory.aliases.add("a@example.org", ["b@example.org"]))
    with pytest.raises(AddressTaken):
        now(world.directory.addDomain("EXAMPLE.org"))


def test_catchAllTakesWhatNobodyElseDoes(world: World) -> None:
    world.addUser("a@example.org")
    world.addUser("rest@example.org")
    now(world.directory.setDomain("example.org", catchAll="rest@example.org"))
    assert targets(world, "a@example.org") == ["a@example.org"]
    assert targets(world, "anything@example.org") == ["rest@example.org"]


@pytest.mark.parametrize(
    "address", ["postmaster@example.org", "POSTMASTER@example.org", "Postmaster", "postmaster+x@example.org"]
)
def test_postmasterIsAlwaysAccepted(world: World, address: str) -> None:
    world.addUser("root@example.org")
    now(world.directory.setPostmaster("root@example.org"))
    assert targets(world, address) == ["root@example.org"]


def test_aDomainMayHaveItsOwnPostmaster(world: World) -> None:
    world.addUser("root@example.org")
    world.addUser("own@example.org")
    now(world.directory.setPostmaster("root@example.org"))
    now(world.directory.setDomain("example.org", postmaster="own@example.org"))
    assert targets(world, "postmaster@example.org") == ["own@example.org"]
    world.addUser("postmaster@example.org")
    assert targets(world, "postmaster@example.org") == ["postmaster@example.org"]


def test_theLastReaderOfPostmasterCanNeitherGoNorBeDisabled(world: World) -> None:
    world.addUser("root@example.org")
    world.addUser("next@example.org")
    now(world.directory.aliases.add("admins@example.org", ["root@example.org"]))
    now(world.directory.setPostmaster("admins@example.org"))
    with pytest.raises(NotAllowed):
        now(world.directory.removeUser("root@example.org"))
    with pytest.raises(NotAllowed):
        now(world.directory.setUser("root@example.org", enabled=False))
    now(world.directory.aliases.set("admins@example.org", ["root@example.org", "next@example.org"]))
    now(world.directory.removeUser("root@example.org"))
    assert targets(world, "postmaster@example.org") == ["next@example.org"]
    with pytest.raises(NoSuchUser):
        now(world.directory.setPostmaster("nobody@example.org"))


def test_theFirstUserIsPostmasterUntilAnotherIs(world: World) -> None:
    world.addUser("first@example.org")
    world.addUser("second@example.org")
    assert targets(world, "postmaster@example.org") == targets(world, "postmaster") == ["first@example.org"]
    now(world.directory.setPostmaster("second@example.org"))
    now(world.directory.removeUser("first@example.org"))
    assert targets(world, "postmaster@example.org") == ["second@example.org"]


def test_whoIsPostmasterByDefaultHasASuccessorAndWhoWasNamedIsReplacedByNaming(world: World) -> None:
    for name in ("first", "away", "next", "root"):
        world.addUser(f"{name}@example.org")
    now(world.directory.setUser("away@example.org", enabled=False))
    now(world.directory.setUser("root@example.org", mayAdminister=True))
    now(world.directory.setUser("first@example.org", enabled=False))
    assert targets(world, "postmaster@example.org") == ["root@example.org"]
    now(world.directory.removeUser("root@example.org"))
    assert targets(world, "postmaster@example.org") == ["next@example.org"]
    with pytest.raises(NotAllowed):  # all others are disabled
        now(world.directory.removeUser("next@example.org"))
    now(world.directory.setUser("first@example.org", enabled=True))
    now(world.directory.setPostmaster("next@example.org"))
    with pytest.raises(NotAllowed):
        now(world.directory.removeUser("next@example.org"))
    now(world.directory.setPostmaster("first@example.org"))
    now(world.directory.removeUser("next@example.org"))
    assert targets(world, "postmaster@example.org") == ["first@example.org"]


def test_aUserIsMadeThoughNoPostmasterCanBeNamedNow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(world.directory._postmaster, "name", away)
        assert world.addUser("first@example.org").address == "first@example.org"
    world.addUser("next@example.org")
    assert targets(world, "postmaster@example.org") == ["next@example.org"]


def test_whereThePostmasterWasTheOnlyUserTheNextOneIs(world: World) -> None:
    world.addUser("only@example.org")
    now(world.directory.setUser("only@example.org", enabled=False))
    now(world.directory.removeUser("only@example.org"))
    world.addUser("next@example.org")
    assert targets(world, "postmaster@example.org") == ["next@example.org"]


def test_thePostmasterIsNobodyWhomOnlyACatchAllTakes(world: World) -> None:
    world.addUser("root@example.org")
    now(world.directory.setDomain("example.org", catchAll="root@example.org"))
    with pytest.raises(NoSuchUser):
        now(world.directory.setPostmaster("anybody@example.org"))
    now(world.directory.setPostmaster("root+mail@example.org"))
    assert targets(world, "postmaster@example.org") == ["root+mail@example.org"]


def test_theAliasThatIsPostmasterStaysAndLeadsToSomebody(world: World) -> None:
    world.addUser("root@example.org")
    now(world.directory.aliases.add("admins@example.org", ["root@example.org"]))
    now(world.directory.setPostmaster("admins+x@example.org"))
    with pytest.raises(NotAllowed):
        now(world.directory.aliases.remove("admins@example.org"))
    with pytest.raises(NotAllowed):
        now(world.directory.aliases.set("admins@example.org", ["ghost@example.org"]))
    now(world.directory.aliases.set("admins@example.org", ["ghost@example.org", "root@example.org"]))
    now(world.directory.setPostmaster("root@example.org"))
    now(world.directory.aliases.remove("admins@example.org"))
    assert targets(world, "postmaster@example.org") == ["root@example.org"]


def test_aliasesToldOfTargetsThatTakeNoMail(world: World) -> None:
    world.addUser("a@example.org")
    made = now(world.directory.aliases.add("x@example.org", ["a@example.org", "ghost@example.org"]))
    assert made.warnings == ("ghost@example.org: no such user here",)
    world.addUser("ghost@example.org")
    assert now(world.directory.aliases.set("x@example.org", ["ghost@example.org"])).warnings == ()


def test_aTaggedAddressOfSomebodyElseIsNotTheLoginsOwn(world: World) -> None:
    account = world.account(world.addUser("x@example.org"))
    assert now(account.owns("X+anything@Example.org"))
    assert not now(account.owns("y@example.org"))
    assert not now(account.owns("no address"))
    world.addUser("x+y@example.org")
    assert not now(account.owns("x+y@example.org"))
    now(world.directory.aliases.add("x+z@example.org", ["y@example.org"]))
    assert not now(account.owns("x+z@example.org"))


def test_disabledAndFullAreToldAtOnce(world: World) -> None:
    world.addUser("a@example.org", quotaMessages=1)
    assert world.deliver(b"s: t\r\n\r\nx\r\n", "a@example.org") == [None]
    with pytest.raises(OverQuota):
        now(world.delivery.resolve("a@example.org"))
    now(world.directory.setUser("a@example.org", enabled=False))
    with pytest.raises(UserDisabled):
        now(world.delivery.resolve("a@example.org"))


def test_oneFullTargetDoesNotKeepTheOthersFromTheirMail(world: World) -> None:
    world.addUser("full@example.org", quotaOctets=1)
    world.addUser("b@example.org")
    now(world.directory.aliases.add("all@example.org", ["full@example.org", "b@example.org"]))
    assert world.deliver(b"s: t\r\n\r\nx\r\n", "all@example.org") == [None]
    assert now(world.directory.user("b@example.org")).messages == 1


def test_usersAreListedAndRemoved(world: World) -> None:
    now(world.directory.addDomain("other.example"))
    for address in ("b@example.org", "a@example.org", "c@other.example"):
        world.addUser(address)
    assert [user.address for user in now(world.directory.users())] == [
        "a@example.org",
        "b@example.org",
        "c@other.example",
    ]
    assert [user.address for user in now(world.directory.users("other.example"))] == ["c@other.example"]
    now(world.directory.removeUser("c@other.example"))
    with pytest.raises(NoSuchUser):
        now(world.directory.user("c@other.example"))
    now(world.directory.removeDomain("other.example"))
    assert [domain.name for domain in now(world.directory.domains())] == ["example.org"]


def test_aRemovalThatUpkeepFinishesIsDone(world: World) -> None:
    world.addUser("old@example.org")
    world.addUser("alice@example.org")
    upkeep = Upkeep(buckets=world.buckets, leads=lambda _: True, seconds=world.clock.seconds)
    now(world.directory.removeUser("alice@example.org", onProgress=lambda _: now(upkeep.finish())))
    assert [user.address for user in now(world.directory.users())] == ["old@example.org"]


@pytest.mark.parametrize("isAddedAtOnce", [False, True])
def test_aUserWhoIsHalfRemovedCanBeRemovedAndAdded(world: World, isAddedAtOnce: bool) -> None:
    world.addUser("old@example.org")
    before = world.addUser("alice@example.org")
    step = RemoveAccount(seconds=1, accountId=before.accountId)
    assert now(world.buckets.propose(before.bucket, step)).remaining
    if not isAddedAtOnce:
        now(world.directory.removeUser("alice@example.org"))
        with pytest.raises(NoSuchUser):
            now(world.directory.removeUser("alice@example.org"))
    after = world.addUser("alice@example.org")
    assert after.accountId != before.accountId
    assert targets(world, "alice@example.org") == ["alice@example.org"]
    with pytest.raises(AddressTaken):
        world.addUser("alice@example.org")


def test_whoIsAddedAsSoonAsAnotherOfTheSameAddressIsGoneKeepsIt(world: World) -> None:
    world.addUser("old@example.org")
    world.addUser("alice@example.org")

    def addAgain(remaining: int) -> None:
        if not remaining:
            world.addUser("alice@example.org")

    now(world.directory.removeUser("alice@example.org", onProgress=addAgain))
    assert targets(world, "alice@example.org") == ["alice@example.org"]


def test_twoWhoChangeADomainAtOnceUndoNothingOfEachOther(world: World) -> None:
    world.addUser("a@example.org")
    own = world.directory._book.own

    async def anotherIsFaster(address: str, newDomain: str = "") -> str:
        world.directory._book.own = own  # type: ignore[method-assign]
        await world.directory.setDomain("example.org", postmaster="a@example.org")
        return await own(address, newDomain)

    world.directory._book.own = anotherIsFaster  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        now(world.directory.setDomain("example.org", catchAll="a@example.org"))
    now(world.directory.setDomain("example.org", catchAll="a@example.org"))
    domain = now(world.directory.domain("example.org"))
    assert (domain.catchAll, domain.postmaster) == ("a@example.org", "a@example.org")


def test_aDomainInUseStays(world: World) -> None:
    world.addUser()
    with pytest.raises(NotAllowed):
        now(world.directory.removeDomain("example.org"))


def meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: type[Entry], act: Callable[[], object]
) -> None:
    """Have somebody act just before the next entry of a kind is proposed."""
    propose = world.buckets.propose

    def proposed(bucket: Any, entry: Any, body: Any = None) -> Any:
        if isinstance(entry, kind):
            monkeypatch.setattr(world.buckets, "propose", propose)
            act()
        return propose(bucket, entry, body)

    monkeypatch.setattr(world.buckets, "propose", proposed)


def test_whoIsAddedToADomainThatIsRemovedMeanwhileIsNotThere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, add in (
        (CreateAccount, lambda: world.addUser("new@example.org")),
        (SetAddress, lambda: now(world.directory.aliases.add("new@example.org", ["a@example.com"]))),
    ):
        meanwhile(world, monkeypatch, kind, lambda: now(world.directory.removeDomain("example.org")))
        now(world.directory.addDomain("example.com"))
        with pytest.raises(NoSuchDomain):
            add()
        assert not now(world.directory.users())
        with pytest.raises(NoSuchAlias):
            now(world.directory.aliases.find("new@example.org"))
        now(world.directory.addDomain("example.org"))
        now(world.directory.removeDomain("example.com"))


def test_aDomainThatGotAUserWhileItWasRemovedStays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now(world.directory.addDomain("gone.example"))
    now(world.directory.setDomain("example.org", "new@example.org", "who@gone.example"))
    now(world.directory.removeDomain("gone.example"))
    meanwhile(world, monkeypatch, RemoveDomain, lambda: world.addUser("new@example.org"))
    with pytest.raises(NotAllowed):
        now(world.directory.removeDomain("example.org"))
    assert now(world.directory.domain("example.org")).catchAll == "new@example.org"
    assert targets(world, "any@example.org") == ["new@example.org"]


def test_aUserOfAnUnknownDomainIsRefused(world: World) -> None:
    with pytest.raises(NoSuchDomain):
        world.addUser("a@elsewhere.example")


def login(world: World, user: str, password: str, peer: str = "192.0.2.1"):
    """Log in."""
    credentials = PeerPassword(user.encode(), password.encode(), peer)
    return now(world.portal.login(credentials, None, IAccount))[1]


def test_aLoginGivesTheAccount(world: World) -> None:
    user = world.addUser(password=PASSWORD)
    account = login(world, "Alice@example.org", PASSWORD)
    assert (account.accountId, account.addresses) == (user.accountId, ("alice@example.org",))


@pytest.mark.parametrize(
    "user,password",
    [
        ("alice@example.org", "wrong"),
        ("nobody@example.org", PASSWORD),
        ("", PASSWORD),
        ("alice", PASSWORD),
        ("alice@example.org", ""),
    ],
)
def test_whatFailsIsNotToldApart(world: World, user: str, password: str) -> None:
    world.addUser(password=PASSWORD)
    with pytest.raises(AuthenticationFailed):
        login(world, user, password)


def test_anAccountWithoutAPasswordHasNoLogin(world: World) -> None:
    world.addUser()
    with pytest.raises(AuthenticationFailed):
        login(world, "alice@example.org", "")


def test_aDisabledUserIsToldOnlyWithTheRightPassword(world: World) -> None:
    world.addUser(password=PASSWORD)
    now(world.directory.setUser("alice@example.org", enabled=False))
    with pytest.raises(AuthenticationFailed):
        login(world, "alice@example.org", "wrong")
    with pytest.raises(UserDisabled):
        login(world, "alice@example.org", PASSWORD)


def test_aChangedPasswordEndsTheMemoryOfTheOldOne(world: World) -> None:
    world.addUser(password=PASSWORD)
    login(world, "alice@example.org", PASSWORD)
    now(world.directory.setPassword("alice@example.org", "another horse"))
    with pytest.raises(AuthenticationFailed):
        login(world, "alice@example.org", PASSWORD)
    login(world, "alice@example.org", "another horse")


def test_aSecondLoginRunsNoHash(world: World) -> None:
    world.addUser(password=PASSWORD)
    login(world, "alice@example.org", PASSWORD)
    runs = []
    world.passwords._inThread = runs.append
    login(world, "alice@example.org", PASSWORD)
    assert not runs


def test_tooManyFailuresOfAPeerAreRefusedUnlooked(world: World) -> None:
    world.addUser(password=PASSWORD)
    for _ in range(PEER_BURST):
        world.attempts.failed("192.0.2.1", "someone", world.clock.seconds())
    with pytest.raises(TooManyAttempts):
        login(world, "alice@example.org", PASSWORD)
    login(world, "alice@example.org", PASSWORD, peer="192.0.2.2")
    login(world, "alice@example.org", PASSWORD)  # remembered by now: a right password is never locked out
    world.clock.advance(60)
    with pytest.raises(AuthenticationFailed):
        login(world, "alice@example.org", "wrong")


def test_attemptsAreCountedByUserAndByNetwork() -> None:
    attempts = Attempts()
    for number in range(USER_BURST):
        attempts.failed(f"192.0.2.{number}", "a", 0.0)
    assert not attempts.mayTry("198.51.100.1", "a", 0.0)
    assert attempts.mayTry("198.51.100.1", "b", 0.0)
    assert network("2001:db8:1:2:3::1") == network("2001:db8:1:2:9::9") != network("2001:db8:1:3::1")


def test_credentialsShowNoPassword() -> None:
    assert "secret" not in repr(PeerPassword(b"a", b"secret", "192.0.2.1"))
    assert not issubclass(AuthenticationFailed, UnauthorizedLogin)


@pytest.mark.parametrize("octets", ["J\u030c", "\u03a5\u0313", "H\u0331", "\u0391\u0342\u0399"])
def test_lowerCaseThatIsNotNfcIsMadeSo(octets: str) -> None:
    kept = canonicalAddress(f"{octets}@example.org")
    assert canonicalAddress(kept) == kept
    assert unicodedata.is_normalized("NFC", kept)


@pytest.mark.parametrize(
    "given",
    ["a..b@c.d", ".a@c.d", "a.@c.d", 'o"b@c.d', "a b@c.d", "a@b@c.d", "a<b@c.d", "a\u2028b@c.d", '"a@c.d'],
)
def test_whatMailCannotComeToIsNoAddress(given: str) -> None:
    with pytest.raises(BadAddress):
        canonicalAddress(given)


def test_quotesThatAreNotNeededAreDropped(world: World) -> None:
    assert canonicalAddress('"a.b"@c.d') == "a.b@c.d"
    assert canonicalAddress('"o\\"b\\a"@c.d') == '"o\\"ba"@c.d'
    world.addUser('"a\\.b"@example.org')
    assert targets(world, "a.b@example.org") == ["a.b@example.org"]


def test_aShortFormOfAnAddressIsInTheSameNetwork() -> None:
    assert network("2001:db8::1") == network("2001:db8::2") == network("2001:db8:0:0:9::1")
    assert network("2001:db8::1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1")


def test_whatIsTriedAtOnceCountsInFull() -> None:
    attempts = Attempts()
    for _ in range(PEER_BURST + 40):
        attempts.failed("192.0.2.1", "a", 0.0)
    assert not attempts.mayTry("192.0.2.1", "b", 20.0)
    assert attempts.mayTry("192.0.2.1", "b", 41 * 15.0)


def test_postmasterIsAcceptedThoughTheDomainsOwnTakesNoMail(world: World) -> None:
    world.addUser("root@example.org")
    world.addUser("own@example.org")
    now(world.directory.setPostmaster("root@example.org"))
    now(world.directory.setDomain("example.org", postmaster="own@example.org"))
    now(world.directory.setUser("own@example.org", enabled=False))
    assert targets(world, "postmaster@example.org") == ["root@example.org"]
    with pytest.raises(UserDisabled):
        now(world.delivery.resolve("own@example.org"))


def test_catchAllAndPostmasterAreOfTheArray(world: World) -> None:
    now(world.directory.addDomain("other.example", catchAll="a@other.example", postmaster="a@example.org"))
    with pytest.raises(NoSuchDomain):
        now(world.directory.setDomain("other.example", catchAll="a@elsewhere.example"))
    with pytest.raises(NoSuchDomain):
        now(world.directory.addDomain("third.example", postmaster="a@elsewhere.example"))


def test_domainsReadBeforeAChangeAreNotKept(world: World) -> None:
    now(world.directory.addDomain("b.example"))  # nothing is kept in memory now
    real, changed = world.buckets.query, []

    async def slow(bucket, query, fresh=False):
        found = await real(bucket, query, fresh)
        if isinstance(query, ListDomains) and not changed:
            changed.append(query)
            await world.directory._book.propose(None, SetDomain(seconds=0, name="c.example"), "")
        return found

    world.buckets.query = slow
    now(world.resolver.domains())
    assert "c.example" in now(world.resolver.domains())
