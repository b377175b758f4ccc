"""Copies of bodies are restored, mended, moved and swept without being asked."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jindimail.cluster.arrayentries import SetNode
from jindimail.cluster.arrayrecords import DOWN, GONE
from jindimail.cluster.damage import BODIES_A_LOOK, DAY_SECONDS, Scrub
from jindimail.cluster.mending import OWING_SECONDS, Apart, Homing
from jindimail.cluster.usermap import UserMap
from jindimail.mailbox.entries import CreateAccount, Deliver, Filing, RemoveAccount
from jindimail.mailbox.outcomes import Filed
from jindimail.model import bucketGroup, digestOf
from jindimail.replication.copies import ofOctets
from jindimail.replication.repair import SCANNED_AT_ONCE, Looked, Wanted, bodyref
from jindimail.store.bodies import putBody
from jindimail.store.keys import BODY, BODYREF, bodyrefKey, chunkKey
from jindimail.store.memory import MemoryStore
from jindimail.store.records import BodyrefRecord, SummaryRecord, encode
from tests.cluster.world import World

FEW = tuple(range(9))
BUCKET = 3
GROUP = bucketGroup(BUCKET)
SUMMARY = encode(
    SummaryRecord(
        envelope=b"", bodyStructure=b"", headerOctets=0, messageId=b"", sentSeconds=None, preview=""
    )
)


def bodyIdOf(number: int, seconds: int = 0) -> bytes:
    return (seconds * 1000).to_bytes(6, "big") + bytes(9) + bytes([number])


def octetsOf(number: int) -> bytes:
    return b"%d " % number * 1000


def deliver(world: World, numbers: Iterable[int], keepers: tuple[int, ...], bucket: int = BUCKET) -> None:
    """Bodies that these nodes keep, filed in an account of the bucket."""
    share = world.shares[world.leader(bucketGroup(bucket))]
    account = CreateAccount(
        seconds=1,
        accountId=1,
        addresses=("a@example.org",),
        credential="",
        quotaOctets=0,
        quotaMessages=0,
        mailboxes=(),
        uidValidity=1,
    )
    world.result(share.buckets.propose(bucket, account))
    for number in numbers:
        octets = octetsOf(number)
        kept = world.result(share.copies.put(bucket, bodyIdOf(number), octets, keepers, len(keepers)))
        assert isinstance(world.result(share.buckets.propose(bucket, delivered(number, kept))), Filed)


def delivered(number: int, keepers: tuple[int, ...]) -> Deliver:
    """The entry that files a body which these nodes keep."""
    octets = octetsOf(number)
    return Deliver(
        seconds=1,
        deliveryId=bodyIdOf(number),
        bodyId=bodyIdOf(number),
        size=len(octets),
        digest=digestOf(octets),
        keepers=keepers,
        summary=SUMMARY,
        filings=(Filing(accountId=1),),
    )


def keepersOf(world: World, number: int) -> tuple[int, ...]:
    """Who keeps a body, as the bucket's leader has it; each of them has it whole."""
    known = bodyref(world.rows[world.leader(GROUP)], BUCKET, bodyIdOf(number))
    assert known is not None
    for node in known.keepers:
        if node in world.shares:
            assert chunkAt(world, node, number) == octetsOf(number)
    return known.keepers


def chunkAt(world: World, node: int, number: int) -> bytes | None:
    return world.rows[node].get(BODY, chunkKey(BUCKET, bodyIdOf(number), 0))


def kinds(world: World) -> set[str]:
    """The kinds of events that any node has seen."""
    return {event.kind for share in world.shares.values() for event in share.events}


def setting(world: World, name: str, value: int) -> None:
    world.result(world.shares[1].operations.setSetting(name, value))


def test_aLonelyNodesBodiesGetASecondKeeperWhenOneComes() -> None:
    world = World(groups=FEW)
    world.foundArray()
    deliver(world, range(3), (1,))
    assert world.shares[1].mending.owed == 0
    world.join()
    world.until(lambda: all(set(keepersOf(world, number)) == {1, 2} for number in range(3)), 60)
    world.until(lambda: sum(share.mending.moved for share in world.shares.values()) == 3, 10)
    assert not any(share.mending.owed for share in world.shares.values()) and "copiesRepaired" in kinds(world)


def test_aNewKeeperStandsOnAnotherHostThanThoseThatStay() -> None:
    hosts = {1: "a", 2: "a", 3: "b", 4: "b", 5: "c"}
    record = BodyrefRecord(size=1, digest=b"", references=1, keepers=(3, 5))
    wanted = Apart(hostOf=hosts.__getitem__, candidates=(5, 4, 1, 2), copies=2, isLost=lambda node: node == 5)
    assert wanted.fresh(record) == [1, 4, 2]


@pytest.mark.parametrize(
    ("keepers", "candidates", "copies", "live", "fresh"),
    [
        ((1, 2), (1, 2, 3), 2, (1,), [3]),
        ((2, 1), (1, 2, 3), 2, (2,), [3]),
        ((1, 2), (1, 2), 2, (1, 2), []),
        ((1, 2), (1, 2, 6), 2, (1, 2), [6]),
        ((1, 3), (1, 2, 3, 4), 2, (1, 3), [2, 4]),
        ((1, 2, 3), (1, 2, 3, 4), 3, (1, 2, 3), [4]),
        ((1, 2, 6), (1, 2, 6, 3), 3, (1,), [3]),
        ((1, 9), (1, 2, 3), 2, (1,), [3]),
        ((1, 9), (1, 2), 2, (1,), [2]),
    ],
)
def test_ofKeepersOnOneHostOneCountsWhereAnotherHostHasRoom(
    keepers: tuple[int, ...],
    candidates: tuple[int, ...],
    copies: int,
    live: tuple[int, ...],
    fresh: list[int],
) -> None:
    hosts = {1: "a", 2: "a", 6: "a", 3: "b", 4: "b", 9: "a"}
    record = BodyrefRecord(size=1, digest=b"", references=1, keepers=keepers)
    wanted = Homing(
        hostOf=hosts.__getitem__, candidates=candidates, copies=copies, isLost=lambda node: node == 9
    )
    assert wanted.live(record) == live
    assert wanted.fresh(record) == fresh


def test_bodiesOnOneHostMoveApartWhenItTurnsOutToBeOne() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    leader = world.leader(GROUP)
    together = [leader, next(node for node in (1, 2, 3) if node != leader)]
    deliver(world, range(3), tuple(together))
    world.until(lambda: world.shares[leader].mending._buckets[BUCKET].isHome)
    for node in together:
        world.result(world.shares[1].buckets.propose(None, SetNode(seconds=1, node=node, host="rack")))

    def areApart() -> bool:
        return all(len(set(keepersOf(world, number)) - set(together)) == 1 for number in range(3))

    world.until(areApart, 120)
    assert all(len(keepersOf(world, number)) == 2 for number in range(3))
    world.run(20)
    moved = sum(share.mending.moved for share in world.shares.values())
    world.run(20)
    assert sum(share.mending.moved for share in world.shares.values()) == moved, "what is apart stays"


def test_oneBucketAfterTheOtherIsMendedWithoutWaitingForTheNextLook() -> None:
    world = World(groups=FEW)
    world.foundArray()
    for bucket in range(8):
        deliver(world, range(1), (1,), bucket)
    world.join()
    world.until(lambda: world.shares[1].mending.owed > 0, 60)
    world.until(lambda: world.shares[1].mending.moved == 8, 2)


def test_whatADeadNodeKeptIsRestoredAfterAWhile() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    setting(world, "repairSeconds", 10)
    leader = world.leader(GROUP)
    victim = next(node for node in world.shares[1].userMap.home(BUCKET) if node not in (1, leader))
    deliver(world, range(4), (leader, victim))
    world.kill(victim)
    world.until(lambda: world.shares[1].userMap.nodes[victim].state == DOWN)
    world.run(5)
    assert victim in keepersOf(world, 0), "not yet"
    world.until(lambda: all(victim not in keepersOf(world, number) for number in range(4)), 60)
    assert all(len(keepersOf(world, number)) == 2 for number in range(4))


def test_aNodeThatIsEmptiedKeepsNoBodyWhenItIsGone() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    deliver(world, range(4), (1, 2))
    world.result(world.shares[1].operations.drain(2))
    world.until(lambda: world.shares[1].userMap.nodes[2].state == GONE, 120)
    assert all(
        2 not in keepersOf(world, number) and len(keepersOf(world, number)) == 2 for number in range(4)
    )


def test_aNodeThatBecomesAWitnessKeepsNoBodies() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    deliver(world, range(2), (2, 3))
    world.result(world.shares[1].operations.setWeight(2, 0))
    world.until(lambda: all(2 not in keepersOf(world, number) for number in range(2)), 60)
    assert all(len(keepersOf(world, number)) == 2 for number in range(2))


def test_aBodyOfWhichNothingIsLeftKeepsNoNodeFromBeingEmptied() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    deliver(world, FEW[:3], (2,))
    world.rows[2].delete(BODY, chunkKey(BUCKET, bodyIdOf(1), 0))
    world.result(world.shares[1].operations.drain(2))
    world.until(lambda: world.shares[1].userMap.nodes[2].state == GONE, 120)
    assert all(len(keepersOf(world, number)) == 2 and 2 not in keepersOf(world, number) for number in (0, 2))
    assert not any(share.mending.owed for node, share in world.shares.items() if node != 2)


def test_aNodeIsEmptiedOfADeliveryThatNamedItBeforeAndIsCommittedAfterTheOthersWereLookedAt() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    deliver(world, range(1), (1, 2))
    leader = world.leader(GROUP)
    share = world.shares[leader]
    victim = next(node for node in share.userMap.home(BUCKET) if node != leader)
    late: Deferred[None] = Deferred()
    propose = share.groups.propose
    share.groups.propose = lambda *entry, **how: late.addCallback(lambda _: propose(*entry, **how))  # type: ignore[assignment,method-assign]
    placing = share.buckets._delivering.placing  # type: ignore[union-attr]
    placing._candidates = lambda bucket, *first: (leader, victim)  # type: ignore[method-assign]
    filed = Deferred.fromCoroutine(placing.place(BUCKET, delivered(5, ()), ofOctets(octetsOf(5)), leader, {}))
    world.until(lambda: chunkAt(world, victim, 5) is not None)
    world.run(0.2)
    share.groups.propose = propose  # type: ignore[method-assign]
    other = next(node for node in world.shares if node not in (leader, victim))
    world.result(world.shares[other].operations.drain(victim))
    world.until(lambda: share.mending.needs(victim) == 0 and share.mending._buckets[BUCKET].isHome)
    late.callback(None)
    assert isinstance(world.result(filed), Filed)
    assert victim in keepersOf(world, 5)
    world.until(lambda: share.userMap.nodes[victim].state == GONE, 120)
    assert victim not in keepersOf(world, 5) and len(keepersOf(world, 5)) == 2


def test_whatIsExpungedWhileItsCopyIsOwedIsNotOwedForEver() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    deliver(world, range(40), (1, 2))
    leader = world.leader(GROUP)
    mending = world.shares[leader].mending
    world.result(world.shares[1].operations.drain(2))
    while not mending.owed:
        world.run(0.01)
    world.result(world.shares[leader].buckets.propose(BUCKET, RemoveAccount(seconds=1, accountId=1)))
    assert bodyref(world.rows[leader], BUCKET, bodyIdOf(39)) is None and mending.owed
    world.until(lambda: world.shares[1].userMap.nodes[2].state == GONE, 120)
    assert not mending.owed


def test_bodiesFollowTheirBucketHome() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    home = world.shares[1].userMap.home(BUCKET)
    away = next(node for node in (1, 2, 3, 4) if node not in home)
    deliver(world, range(2), (home[1], away))
    world.until(lambda: all(away not in keepersOf(world, number) for number in range(2)), 60)
    assert all(len(keepersOf(world, number)) == 2 for number in range(2))
    world.until(lambda: "bodiesMoved" in kinds(world), 10)


def test_bodiesThatGoHomeLetThoseThatAreOwedGoFirst() -> None:
    world = World(groups=FEW)
    world.growArray(4)
    home = world.shares[1].userMap.home(BUCKET)
    away = next(node for node in (1, 2, 3, 4) if node not in home)
    deliver(world, range(250), (home[1], away))

    def areAway() -> int:
        return sum(away in keepersOf(world, number) for number in range(250))

    before = areAway()
    world.shares[world.leader(GROUP)].mending._buckets[BUCKET].isHome = False  # as after a change of home
    world.until(lambda: areAway() < before, 60)
    assert areAway() > 200
    world.result(world.shares[home[0]].operations.drain(away))
    world.until(lambda: world.shares[home[0]].userMap.nodes[away].state == GONE, 30)
    assert all(len(keepersOf(world, number)) == 2 for number in range(250))


def test_aDamagedCopyIsMendedFromAnother() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(1), (1, 2))
    world.rows[2].put(BODY, chunkKey(BUCKET, bodyIdOf(0), 0), b"rotten")
    world.shares[3].damage.report(BUCKET, bodyIdOf(0), 2)
    world.until(lambda: chunkAt(world, 2, 0) == octetsOf(0), 10)
    assert keepersOf(world, 0) == (1, 2) and {"bodyDamaged", "bodyMended"} <= kinds(world)


def test_aSoundCopyIsLeftAlone() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(1), (1, 2))
    world.shares[3].damage.report(BUCKET, bodyIdOf(0), 2)
    world.run(5)
    assert "bodyMended" not in kinds(world)


def test_aPassThatAnErrorEndedIsMadeAgain() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.run(10)
    leader = world.leader(GROUP)
    deliver(world, FEW[:1], (leader,))
    world.rows[leader].put(BODYREF, bodyrefKey(BUCKET, bodyIdOf(9)), b"no record")
    world.shares[leader].mending.owe(BUCKET, (leader,))
    world.run(OWING_SECONDS + 3)
    assert len(keepersOf(world, 0)) == 1
    world.rows[leader].delete(BODYREF, bodyrefKey(BUCKET, bodyIdOf(9)))
    world.until(lambda: len(keepersOf(world, 0)) == 2, 60)


def test_aBodyOfWhichNothingIsLeftKeepsNoOtherFromBeingMendedAndIsToldOfOnce() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.run(10)
    leader = world.leader(GROUP)
    deliver(world, FEW[:3], (leader,))
    world.rows[leader].delete(BODY, chunkKey(BUCKET, bodyIdOf(1), 0))
    world.shares[leader].mending.owe(BUCKET, (leader,))
    world.until(lambda: len(keepersOf(world, 0)) == len(keepersOf(world, 2)) == 2, OWING_SECONDS + 10)
    world.run(60)
    assert [event.kind for event in world.shares[leader].events].count("bodyLost") == 1


def test_aBodyOfWhichNothingIsLeftIsToldOf() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(1), (2,))
    world.rows[2].delete(BODY, chunkKey(BUCKET, bodyIdOf(0), 0))
    world.shares[1].damage.report(BUCKET, bodyIdOf(0), 2)
    world.until(lambda: "bodyLost" in kinds(world), 10)


def test_aBodyWithoutAnEntryIsSweptAndANamedOneIsNot() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(1), (1, 2))
    putBody(world.rows[3], BUCKET, bodyIdOf(9), b"orphan")
    world.run(70)
    assert chunkAt(world, 3, 9) is not None, "it is young"
    world.heap.now += 4_000
    world.run(70)
    assert chunkAt(world, 3, 9) is None and keepersOf(world, 0) == (1, 2)
    assert "bodiesSwept" in kinds(world)


class Scrubbed:
    """A store of 40 bodies in four buckets, two of them damaged and one kept elsewhere, and its scrub."""

    DAMAGED = ((2, bodyIdOf(10), 1), (3, bodyIdOf(7), 1))

    def __init__(self) -> None:
        self.clock, self.found = Clock(), list[tuple[int, bytes, int]]()
        self._store, self._userMap = MemoryStore(), UserMap(1)
        octets = b"sound" * 10
        for number in range(40):
            record = BodyrefRecord(
                size=len(octets), digest=digestOf(octets), references=1, keepers=(1, 2) if number else (2,)
            )
            self._store.rows.put(BODYREF, bodyrefKey(number % 4, bodyIdOf(number)), encode(record))
            putBody(self._store.rows, number % 4, bodyIdOf(number), b"rotten" if number == 7 else octets)
        self._store.rows.delete(BODY, chunkKey(2, bodyIdOf(10), 0))

    def start(self, epochSeconds: float) -> Scrub:
        """Start a node that has this store."""
        scrub = Scrub(
            clock=self.clock,
            store=self._store,
            userMap=self._userMap,
            buckets=4,
            report=lambda *what: self.found.append(what),
            seconds=lambda: epochSeconds + self.clock.seconds(),
        )
        scrub.start()
        return scrub

    def goBy(self, days: int) -> None:
        """So many days go by."""
        for _ in range(days * 24):
            self.clock.advance(DAY_SECONDS / 24)

    @property
    def days(self) -> int:
        return self._userMap.settings.scrubDays


def test_theScrubReadsEveryBodyWithinItsTime() -> None:
    scrubbed = Scrubbed()
    scrub = scrubbed.start(0.0)
    scrubbed.clock.advance(0)
    assert scrub.read < 40 <= BODIES_A_LOOK
    scrubbed.goBy(scrubbed.days - 1)
    assert scrub.read == 39
    assert sorted(scrubbed.found) == sorted(scrubbed.DAMAGED)


def test_aNodeThatIsStartedAnewEveryFewDaysScrubsEverythingToo() -> None:
    scrubbed = Scrubbed()
    for _ in range(scrubbed.days // 3 + 1):
        scrub = scrubbed.start(1.7e9)
        scrubbed.goBy(3)
        scrub.stop()
    assert set(scrubbed.found) == set(scrubbed.DAMAGED)


def test_aNewLeaderLooksAtManyBodiesInPiecesBetweenWhichOthersAreServed() -> None:
    """Debts are not written down, so that a new leader has to look at all bodies: some at a time, and not at once."""
    world = World(groups=FEW)
    world.growArray(3)
    world.run(20)
    bodies = [number.to_bytes(16, "big") for number in range(20 * SCANNED_AT_ONCE)]
    for body in bodies:
        record = encode(BodyrefRecord(size=1, digest=bytes(16), references=1, keepers=(1, 2, 3)))
        for node in (1, 2, 3):
            world.rows[node].put(BODYREF, bodyrefKey(BUCKET, body), record)
    world.kill(world.leader(GROUP))
    leader = world.leader(GROUP)
    repair = world.shares[leader].mending._mender._repair
    looks: list[tuple[float, bytes | None]] = []
    look = repair.look

    def looked(bucket: int, wanted: Wanted, after: bytes = b"") -> Looked:
        found = look(bucket, wanted, after)
        if bucket == BUCKET:
            looks.append((world.heap.now, found.after))
        return found

    repair.look = looked  # type: ignore[method-assign]
    world.until(lambda: looks and looks[-1][1] is None, 60)
    assert [after for _, after in looks[:-1]] == bodies[SCANNED_AT_ONCE - 1 :: SCANNED_AT_ONCE]
    assert len({now for now, _ in looks}) == len(looks)
