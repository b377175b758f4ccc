"""Deliveries in an array: bodies are durable at their keepers before an entry names them, whoever leads, dies, or is slow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from twisted.internet.defer import Deferred, fail

from jindimail.cluster.arrayrecords import WishRecord
from jindimail.cluster.calls import ARRIVING, NOT_KEPT, Delivery, Errand, encodeCall
from jindimail.cluster.delivering import CALL_OCTETS_MAX
from jindimail.cluster.placing import FRESH_SECONDS
from jindimail.errors import BodyTaken, Corrupt, OutcomeUnknown, StorageFull, Unavailable
from jindimail.mailbox.entries import Expunge
from jindimail.mailbox.outcomes import Filed
from jindimail.model import digestOf
from jindimail.replication.copies import ofOctets
from jindimail.replication.holding import HOLD_SECONDS
from jindimail.replication.putting import SLOW_SECONDS
from jindimail.store.bodies import verify
from jindimail.store.keys import BODY, CHUNK_OCTETS, chunkKey
from tests.cluster.mail import BUCKET, GROUP, NOW, MailWorld, bodyName, delivery, settled

LAG_SECONDS = 2 * HOLD_SECONDS  # after so long a delivery is applied at all members
SMALL = b"x: y\r\n\r\n" + bytes(range(256)) * 40
LARGE = bytes(range(256)) * 4 * (CALL_OCTETS_MAX // 256) + b"end"


@pytest.mark.parametrize("octets", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
@pytest.mark.parametrize("ingress", [1, 2, 4])
def test_aBodyIsDurableAtTwoNodesAndReadableAtAll(ingress: int, octets: bytes) -> None:
    world = MailWorld(others=(4,))
    assert isinstance(world.result(world.deliver(ingress, 1, octets)), Filed)
    keepers = world.reference(1, 1).keepers
    assert keepers == (1, 2)
    assert [node for node in (1, 2, 3, 4) if world.holds(node, 1, max(1, len(octets)))] == (
        [1, 2] if octets else []
    )
    world.run(LAG_SECONDS)
    for node in (1, 2, 3, 4):
        assert world.read(node, 1, len(octets)) == octets


def test_theIngressIsTheSecondKeeper() -> None:
    world = MailWorld()
    world.result(world.deliver(3, 1, SMALL))
    assert world.reference(1, 1).keepers == (1, 3)
    world.result(world.deliver(3, 2, LARGE))
    assert world.reference(1, 2).keepers == (1, 3)
    assert not world.holds(2, 1, len(SMALL)) and not world.holds(2, 2, len(LARGE))


@pytest.mark.parametrize("ingress", [1, 2, 3])
def test_copiesGoToDifferentHostsWhereThereAreAny(ingress: int) -> None:
    """Wherever the mail comes in: a node on the leader's host is no second keeper."""
    world = MailWorld()
    for share in world.shares.values():
        nodes = {
            node: structs.replace(record, host="b" if node == 3 else "a")
            for node, record in share.userMap.nodes.items()
        }
        share.userMap.update(nodes, {GROUP: WishRecord(voters=(1, 2, 3))})
    for number, octets in enumerate((SMALL, LARGE)):
        world.result(world.deliver(ingress, number, octets))
        assert world.reference(1, number).keepers == (1, 3)


@pytest.mark.parametrize("ingress", [2, 4])
@pytest.mark.parametrize("delay", [0.0, 0.0015, 0.0025, 0.0035, 0.0045])
def test_acknowledgedMailSurvivesTheDeathOfTheLeaderExactlyOnce(ingress: int, delay: float) -> None:
    world = MailWorld(others=(4,))
    world.result(world.deliver(ingress, 1, SMALL))
    waiting = [world.deliver(ingress, number, SMALL + b"%d" % number) for number in range(2, 22)]
    world.run(delay)
    world.kill(1)
    outcomes = settled(world, waiting)
    assert all(isinstance(each, Filed) for each in outcomes)
    rows = world.messages(3)
    assert sorted(row.bodyId for row in rows) == [bodyName(number) for number in range(1, 22)]
    assert len({row.uid for row in rows}) == 21
    for number in range(2, 22):
        world.checkNamed(number, len(SMALL))
        assert world.read(3, number, len(SMALL) + len(str(number))) == SMALL + b"%d" % number


def test_theDeathOfAnIngressLeavesNothingHalfDone() -> None:
    world = MailWorld()
    for number in range(1, 11):
        world.deliver(3, number, SMALL).addErrback(lambda _: None)
    world.run(0.0012)
    world.kill(3)
    world.run(3.0)
    for row in world.messages(2):
        world.checkNamed(int.from_bytes(row.bodyId, "big"), len(SMALL))


def test_aDeadFollowerDelaysNobodyByMuch() -> None:
    world = MailWorld()
    world.kill(2)
    before = world.heap.now
    world.result(world.deliver(1, 1, SMALL))
    assert world.reference(1, 1).keepers == (1, 3)
    assert world.heap.now - before < 0.2


def test_aSlowKeeperIsReplacedBeforeTheEntryExistsAndAvoidedForAWhile() -> None:
    world = MailWorld()
    world.fabric.isStalled = lambda source, target: 2 in (source, target)
    before = world.heap.now
    world.result(world.deliver(1, 1, SMALL))
    assert world.reference(1, 1).keepers == (1, 3)
    assert world.heap.now - before < 0.3
    before = world.heap.now
    world.result(world.deliver(1, 2, SMALL))
    assert world.heap.now - before < 0.1


def test_aKeeperThatDiesMeanwhileIsReplacedAtOnce() -> None:
    world = MailWorld()
    world.shares[2].copies.write = lambda *_: _never()  # type: ignore[method-assign]
    before = world.heap.now
    waiting = world.deliver(1, 1, SMALL)
    world.run(0.02)
    world.kill(2)
    world.result(waiting)
    assert world.reference(1, 1).keepers == (1, 3)
    assert world.heap.now - before < SLOW_SECONDS


@pytest.mark.parametrize("written", [Deferred, lambda: fail(StorageFull())], ids=["not yet", "refused"])
def test_anIngressWhoseCopyIsNotDurableIsNotNamed(written: Callable[[], Any]) -> None:
    world = MailWorld()
    world.shares[3].buckets._store.write = lambda job, octets=0, **how: written()  # type: ignore[method-assign]
    world.shares[3].copies._store.write = lambda job, octets=0, **how: written()  # type: ignore[method-assign]
    world.result(world.deliver(3, 1, SMALL))
    assert world.reference(1, 1).keepers == (1, 2)


@pytest.mark.parametrize("octets", [SMALL, LARGE], ids=["small", "large"])
def test_anIngressThatTakesItselfForNoKeeperIsNamedOnlyWithACopy(octets: bytes) -> None:
    """The leader may know better, and count upon it."""
    world = MailWorld(voters=(1, 3), others=(2,))
    delivering = world.shares[3].buckets._delivering
    assert delivering is not None
    delivering.placing.mayKeep = lambda bucket, leader: False  # type: ignore[method-assign]
    world.result(world.deliver(3, 1, octets))
    assert len(world.reference(1, 1).keepers) == 2
    world.checkNamed(1, len(octets))


@pytest.mark.parametrize(("taker", "ingress"), [(1, 4), (2, 3)], ids=["no keeper", "no leader"])
def test_nobodyWaitsForTheCopyOfAnIngressThatIsOfNoUse(taker: int, ingress: int) -> None:
    world = MailWorld(others=(4,))
    share = world.shares[taker]
    entry, _ = delivery(1, SMALL)
    delivering = share.buckets._delivering
    assert delivering is not None
    head = Delivery(delivering.machine.encode(entry), SMALL, ingress, ARRIVING, 7)
    taking = delivering.take(GROUP, head, ofOctets(SMALL), {})
    with pytest.raises(Unavailable) if taker == 2 else nullcontext():
        world.result(taking)
    assert share.copies._waiting == {}  # its word was lost with a connection, and may never come


def test_aBodyThatIsNotWholeIsNotTaken() -> None:
    world = MailWorld()
    entry, _ = delivery(1, SMALL)
    delivering = world.shares[1].buckets._delivering
    assert delivering is not None
    head = Delivery(delivering.machine.encode(entry), SMALL[:-1], 2, NOT_KEPT, 0)
    with pytest.raises(Corrupt):
        world.result(delivering.take(GROUP, head, ofOctets(SMALL[:-1]), {}))
    assert not world.messages(1)


def test_aStreamedBodyIsProposedOnlyWhenAllOfItIsDurable() -> None:
    world = MailWorld()
    share = world.shares[1]
    delivering, write = share.buckets._delivering, share.copies.write
    assert delivering is not None
    entry, _ = delivery(1, LARGE)
    words = encodeCall(Delivery(delivering.machine.encode(entry), b"", 2, NOT_KEPT, 0))
    incoming = delivering._begin(2, encodeCall(Errand(GROUP, False, words)))
    durable: list[Deferred[None]] = []

    def slowly(*piece: Any) -> Deferred[None]:
        write(*piece)
        durable.append(Deferred())
        return durable[-1]

    share.copies.write = slowly  # type: ignore[method-assign]
    for start in range(0, len(LARGE), CHUNK_OCTETS):
        if incoming.take(LARGE[start : start + CHUNK_OCTETS]) is not None:
            durable.pop(0).callback(None)
    assert durable
    ended = Deferred.fromCoroutine(incoming.end())
    share.copies.write = write  # type: ignore[method-assign]
    while durable:
        world.run(1)
        assert not ended.called and not world.messages(1)
        durable.pop().callback(None)
    world.result(ended)
    assert len(world.messages(1)) == 1


def _never() -> Any:
    return Deferred()


def test_withTooFewNodesADeliveryWaitsUntilTheArrayHasAgreedThatTheyAreDown() -> None:
    world = MailWorld()
    world.kill(2)
    world.kill(3)
    world.start(2)
    world.shares[2].copies.write = lambda *_: _never()  # type: ignore[method-assign]  # it votes, and keeps nothing
    world.isDown()
    world.until(lambda: world.leader(GROUP))
    leader = world.leader(GROUP)
    waiting = world.deliver(leader, 1, SMALL)
    world.run(2.0)
    assert not waiting.called
    world.isDown(2 if leader == 1 else 1, 3)
    world.result(waiting)
    assert len(world.reference(leader, 1).keepers) == 1


def test_aNodeThatIsBackKeepsTheBodyWhenAnotherDiesBeforeTheArrayTakesItForUpAgain() -> None:
    world = MailWorld()
    world.kill(2)
    world.start(2)
    world.isDown(2)
    world.run(1.0)
    world.kill(3)
    before = world.heap.now
    assert isinstance(world.result(world.deliver(1, 1, SMALL)), Filed)
    assert world.heap.now - before < 0.5
    assert world.reference(1, 1).keepers == (1, 2)


def test_aNodeThatTheArrayTakesForDownIsTheLastToBeAskedAndNotCountedUpon() -> None:
    world = MailWorld()
    placing = world.shares[1].buckets._delivering.placing  # type: ignore[union-attr]
    world.isDown(2)
    assert placing._plan(BUCKET, 1) == ([1, 3, 2], 2)
    world.isDown(2, 3)
    world.kill(3)
    world.run(FRESH_SECONDS)
    assert placing._plan(BUCKET, 1) == ([1, 2], 1)


def test_fewerCopiesThanTheArrayAsksForAreNotTaken() -> None:
    world = MailWorld()
    for share in world.shares.values():
        share.userMap.settings = replace(share.userMap.settings, minCopies=2)
    world.isDown(2, 3)
    with pytest.raises(Unavailable):
        world.result(world.deliver(1, 1, SMALL))


def test_aLeaderThatLostItsLeadershipWhilePlacingProposesNothing() -> None:
    world = MailWorld()
    share = world.shares[1]
    proposed: list[bytes] = []
    real = share.groups.propose
    share.groups.propose = lambda group, entry, before=None: proposed.append(entry) or real(group, entry)  # type: ignore[method-assign,func-returns-value]
    term = share.groups.leadingTerm(GROUP)
    terms = iter([term, term + 2])
    share.groups.leadingTerm = lambda group: next(terms, term + 2)  # type: ignore[method-assign]
    placing = share.buckets._delivering.placing  # type: ignore[union-attr]
    with pytest.raises(Unavailable):
        world.result(placing.place(BUCKET, _Entry(), ofOctets(SMALL), 1, {}))
    assert proposed == []


class _Entry:
    bodyId = bodyName(77)
    digest = digestOf(SMALL)


def test_aRepeatedDeliveryBringsBackTheBodyThatItsKeepersLost() -> None:
    world = MailWorld()
    world.result(world.deliver(2, 1, SMALL))
    world.run(0.5)
    for node in (1, 2):
        world.rows[node].delete(BODY, chunkKey(BUCKET, bodyName(1), 0))
    world.shares[1].buckets._delivering.placing._candidates = lambda bucket, *first: (1, 3)  # type: ignore[union-attr]
    outcome = world.result(world.deliver(1, 1, SMALL))
    assert outcome.repeated
    world.checkNamed(1, len(SMALL))


@pytest.mark.parametrize("octets", [SMALL, LARGE], ids=["small", "large"])
def test_aRepeatedDeliveryOfWhatWasExpungedSinceHasItsOutcomeAndLeavesNothing(octets: bytes) -> None:
    world = MailWorld()
    first = world.result(world.deliver(2, 1, octets))
    mailboxId = world.inbox(1).mailboxId
    world.propose(1, Expunge(seconds=NOW, mailboxId=mailboxId, ranges=((1, 1),), onlyDeleted=False))
    again = world.result(world.deliver(2, 1, octets))
    assert again.repeated and again.filings == first.filings
    assert not world.messages(1)
    world.run(5)
    assert not [node for node in world.shares if world.rows[node].snapshot()[BODY]]


def test_aRepeatedDeliveryDoesNotWaitForADeadKeeperWhereAnotherHasTheBody() -> None:
    world = MailWorld()
    world.result(world.deliver(2, 1, SMALL))
    assert world.reference(1, 1).keepers == (1, 2)
    world.run(0.5)
    world.kill(2)
    before = world.heap.now
    assert world.result(world.deliver(1, 1, SMALL)).repeated
    assert world.heap.now - before < 0.5


def test_aRepeatedDeliveryAsksADeadKeeperRatherThanNobody() -> None:
    world = MailWorld()
    world.result(world.deliver(2, 1, SMALL))
    placing = world.shares[1].buckets._delivering.placing  # type: ignore[union-attr]
    asked: list[int] = []

    async def holds(node: int, *body: Any) -> bool:
        asked.append(node)
        raise OutcomeUnknown("no answer")

    placing.copies.holds = holds  # type: ignore[method-assign]
    world.kill(2)
    with pytest.raises(OutcomeUnknown):
        world.result(placing._holdAgain(BUCKET, bodyName(1), ofOctets(SMALL)))
    assert asked == [1, 2]


@pytest.mark.parametrize("octets", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("voters", "ingress"), [((1,), 1), ((1, 2, 3), 1), ((1, 2, 3), 3), ((1, 2, 3), 4)])
def test_aSecondBodyUnderAnIdIsRefusedAndTheFirstStays(
    voters: tuple[int, ...], ingress: int, octets: bytes
) -> None:
    world = MailWorld(voters, others=(4,) if len(voters) > 1 else ())
    world.result(world.deliver(ingress, 1, octets))
    world.run(LAG_SECONDS)
    for second in (octets[::-1], b"short", LARGE + SMALL):
        with pytest.raises(BodyTaken):
            world.result(world.deliver(ingress, 1, second))
    assert world.result(world.deliver(ingress, 1, octets)).repeated
    assert len(world.messages(ingress)) == 1
    for node in world.reference(1, 1).keepers:
        assert world.holds(node, 1, len(octets))
        verify(world.rows[node], BUCKET, bodyName(1), len(octets), digestOf(octets))


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.02])
def test_ofTwoBodiesUnderOneIdAtATimeOneComesAndIsWholeAtItsKeepers(seconds: float) -> None:
    world = MailWorld()
    first = world.deliver(1, 1, SMALL)
    world.run(seconds)
    found = settled(world, [first, world.deliver(2, 1, SMALL[::-1])])
    assert sorted(type(each).__name__ for each in found) == ["BodyTaken", "Filed"]
    world.run(5)
    kept = world.reference(1, 1)
    for node in kept.keepers:
        verify(world.rows[node], BUCKET, bodyName(1), len(SMALL), kept.digest)


def test_aDeliveryReachesALeaderOutOfReachThroughAnotherNode() -> None:
    for octets in (SMALL, LARGE):
        world = MailWorld(voters=(1, 2, 3), others=(4,))
        world.fabric.cut(4, 1)
        world.shares[4].router._hints[GROUP] = 1
        assert isinstance(world.result(world.deliver(4, 1, octets)), Filed)
        world.run(LAG_SECONDS)
        assert world.read(3, 1, len(octets)) == octets
        world.checkNamed(1, len(octets))
        assert sum(share.counters.passed for share in world.shares.values())


def test_aFullDiskIsNoKeeper() -> None:
    world = MailWorld()
    real = world.shares[1].copies._store.write

    def write(job: Any, octets: int = 0, **how: Any) -> Any:
        return fail(StorageFull()) if octets else real(job, octets, **how)

    world.shares[1].copies._store.write = write  # type: ignore[method-assign]
    world.result(world.deliver(2, 1, SMALL))
    assert world.reference(1, 1).keepers == (2, 3)


def test_aLargeBodyReachesItsKeepersInWholeChunks() -> None:
    world = MailWorld(others=(4,))
    world.result(world.deliver(4, 1, LARGE))
    chunk = world.rows[2].get(BODY, chunkKey(BUCKET, bodyName(1), 0))
    assert chunk is not None and len(chunk) == CHUNK_OCTETS
