"""By force: what is left of an array goes on without what is lost for good."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from jindimail.cluster.arrayrecords import GONE
from jindimail.cluster.foretelling import EXAMPLES_MAX, PIECE_BODIES
from jindimail.cluster.recovery import Founding, _surveyOf
from jindimail.errors import Corrupt, NotAllowed, Unavailable
from jindimail.mailbox.entries import CreateMailbox, Filing, encodeEntry
from jindimail.mailbox.queries import ListMailboxes, ReadOctets
from jindimail.replication.durable import packLogRow
from jindimail.replication.entries import NORMAL, Entry
from jindimail.replication.status import Standing
from jindimail.store.keys import ALONE_KEY, BODYREF, LOG, MAILBOX, META, bodyrefKey, bucketKey, logKey
from jindimail.store.records import BodyrefRecord, MailboxRecord, decode, encode
from tests.cluster.test_mending import (
    BUCKET,
    GROUP,
    bodyIdOf,
    deliver,
    delivered,
    keepersOf,
    kinds,
    octetsOf,
)
from tests.cluster.world import World

FEW = tuple(range(9))


def validity(world: World, node: int) -> int:
    """The UIDVALIDITY of the one INBOX."""
    found = world.result(world.shares[node].buckets.query(BUCKET, ListMailboxes(accountId=1), fresh=True))
    return int(found.mailboxes[0].uidValidity)


def validities(world: World) -> list[int]:
    """All UIDVALIDITYs of the bucket, as the first node has them."""
    rows = world.rows[1].scan(MAILBOX, bucketKey(BUCKET), bucketKey(BUCKET + 1))
    return [int(decode(octets, MailboxRecord).uidValidity) for _, octets in rows]


def read(world: World, node: int, number: int) -> bytes:
    """A message, at a node."""
    query = ReadOctets(bodyId=bodyIdOf(number), prefix=0, start=0, stop=len(octetsOf(number)))
    return bytes(world.result(world.shares[node].buckets.query(BUCKET, query)))


def isDamaged(world: World, node: int, number: int) -> bool:
    """Whether a message cannot be had any more."""
    try:
        return read(world, node, number) != octetsOf(number)
    except Corrupt:
        return True


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


def test_whatIsFoundedAnewGetsNewUidValiditiesThoughItsNodeDiedBetween() -> None:
    world = lonely()
    before = validities(world)
    recovery = world.shares[1].operations.recovery
    found = recovery._foundAnew

    async def dying(node: int, founding: Founding) -> None:
        await found(node, founding)
        if founding.group == GROUP:
            raise Unavailable("the process ended here")

    async def notYet(bucket: int) -> None:
        raise Unavailable("nobody leads it")

    recovery._foundAnew = dying  # type: ignore[method-assign]
    recovery.validities._renew = notYet
    with pytest.raises(Unavailable):
        world.result(recovery.recover((2, 3)))
    assert validities(world) == before
    world.kill(1)
    world.start(1)
    world.until(lambda: validities(world) != before, 10)  # nobody has to ask again
    (renewed,) = validities(world)
    assert renewed > before[0]
    world.settle()
    world.result(world.shares[1].operations.recover((2, 3)))
    assert validities(world) == [renewed], "once is enough"


def test_newUidValiditiesAreAboveThoseOfAClockThatWasAhead() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(1), (1, 2))
    ahead = int(world.heap.now) + 400_000_000
    made = CreateMailbox(seconds=1, accountId=1, name="Ahead", specialUse="", uidValidity=ahead)
    world.result(world.shares[1].buckets.propose(BUCKET, made))
    assert validities(world)[1] == ahead
    world.run(1)
    for node in (2, 3):
        world.kill(node)
    world.run(5)
    world.result(world.shares[1].operations.recover((2, 3)))
    assert min(validities(world)) > ahead


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


def test_whatOnlyTheLostKeepIsForetoldAndIsWhatIsDamagedAfterwards() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    deliver(world, range(3), (2, 3))
    deliver(world, range(3, 5), (1, 2))
    deliver(world, range(5, 6), (3,))
    for node in (2, 3):
        world.kill(node)
    world.run(5)
    operations = world.shares[1].operations
    foreseen = world.result(operations.foreseen((2, 3)))
    assert set(foreseen.bodies) == {BUCKET} and foreseen.uncounted == ()
    lost = foreseen.mail
    numbers = (0, 1, 2, 5)
    assert (lost.bodies, lost.messages) == (4, 4) and lost.octets == sum(
        len(octetsOf(number)) for number in numbers
    )
    assert [each.bodyId for each in lost.examples] == [bodyIdOf(number) for number in numbers]
    assert {(each.address, each.mailbox) for each in lost.examples} == {("a@example.org", "INBOX")}
    assert world.result(operations.recover((2, 3))).bodies == foreseen.bodies
    world.settle()
    assert [number for number in range(6) if isDamaged(world, 1, number)] == list(numbers)
    assert world.result(operations.foreseen((2, 3))).mail == lost, "it says the same when it is asked again"


def test_whatIsNotAppliedYetIsForetoldToo() -> None:
    world = lonely()
    share = world.shares[1]
    entry = replace(delivered(9, (2, 3)), filings=(Filing(accountId=1), Filing(accountId=1)))
    index = share.groups.appliedIndex(GROUP) + 1
    row = packLogRow(Entry(index, 99, NORMAL, encodeEntry(entry)))
    world.rows[1].put(LOG, logKey(GROUP, index), row)
    lost = world.result(share.operations.foreseen((2, 3))).mail
    assert (lost.bodies, lost.messages, lost.octets) == (1, 2, len(octetsOf(9)))


def test_bodiesAreCountedInPiecesAndInWholeBuckets() -> None:
    world = lonely()
    bodies = 2 * PIECE_BODIES + 1
    for bucket in (1, 2):
        for number in range(bodies):
            keepers = (2, 3) if number % 2 else (1, 2)
            record = BodyrefRecord(size=10, digest=b"", references=2, keepers=keepers)
            world.rows[1].put(BODYREF, bodyrefKey(bucket, number.to_bytes(16, "big")), encode(record))
    loss = world.result(world.shares[1].operations.foreseen((2, 3)))
    assert {bucket: lost.bodies for bucket, lost in loss.bodies.items() if lost} == dict.fromkeys(
        (1, 2), bodies // 2
    )
    assert (loss.mail.messages, loss.mail.octets) == (2 * 2 * (bodies // 2), 2 * 10 * (bodies // 2))
    assert len(loss.mail.examples) == EXAMPLES_MAX


def test_aBucketWhoseRecordsAreDamagedIsSaidToBeUncountedAndNothingElse() -> None:
    world = lonely()
    world.rows[1].put(BODYREF, bodyrefKey(1, bytes(16)), b"rotten")
    record = BodyrefRecord(size=10, digest=b"", references=1, keepers=(3,))
    world.rows[1].put(BODYREF, bodyrefKey(2, bytes(16)), encode(record))
    loss = world.result(world.shares[1].operations.foreseen((2, 3)))
    assert loss.uncounted == (1,) and loss.mail.bodies == 1


def test_aLogOfALaterTermIsMoreAdvancedThanALongerOneAndIsFoundedInATermOfItsOwn() -> None:
    """What is longer may never have been committed; a term that somebody has seen may have had another leader."""
    told = {
        2: [Standing(group=5, replicaId=2, term=9, lastTerm=4, lastIndex=12, voters=(1, 2, 3, 4, 5))],
        3: [Standing(group=5, replicaId=3, term=7, lastTerm=7, lastIndex=10, voters=(1, 2, 3, 4, 5))],
    }
    survey = _surveyOf((5,), frozenset((1, 4, 5)), (2, 3), told)
    assert survey.chosen == {5: (3, Founding(5, 3, 10))}
    assert survey.loss.groups == {5: 10} and survey.places == {5: 3}


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


def test_aNodeThatWasRestoredAloneGivesUpAllOthersOrNobody() -> None:
    world = World(groups=FEW)
    world.growArray(3)
    world.run(1)
    world.kill(3)
    world.run(5)
    with world.rows[1].transaction() as rows:
        rows.put(META, ALONE_KEY, b"\x01")
    world.kill(2)
    world.run(5)
    operations = world.shares[1].operations
    names = {node: record.name for node, record in world.shares[1].userMap.nodes.items()}
    for lost in ((2,), (3,)):
        with pytest.raises(NotAllowed, match=f"restored alone: {names[5 - lost[0]]} must be given up, too"):
            world.result(operations.recover(lost))
        with pytest.raises(NotAllowed, match="restored alone"):
            world.result(operations.foreseen(lost))
    assert world.rows[1].get(META, ALONE_KEY) is not None
    world.result(operations.recover((2, 3)))
    assert world.rows[1].get(META, ALONE_KEY) is None


def test_theMarkStaysUntilAllIsFoundedAnew() -> None:
    world = lonely()
    with world.rows[1].transaction() as rows:
        rows.put(META, ALONE_KEY, b"\x01")
    recovery = world.shares[1].operations.recovery
    found, refused = recovery._foundAnew, []

    async def failing(node: int, founding: Founding) -> None:
        if founding.group == GROUP:
            refused.append(founding.group)
            raise Unavailable("the disk is slow")
        await found(node, founding)

    recovery._foundAnew = failing  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        world.result(recovery.recover((2, 3)))
    assert refused and world.rows[1].get(META, ALONE_KEY) is not None
    recovery._foundAnew = found  # type: ignore[method-assign]
    world.result(recovery.recover((2, 3)))
    assert world.rows[1].get(META, ALONE_KEY) is None


def test_theOnlyVoterThatWasRestoredAloneFoundsNothingAnewAndIsAloneNoMore() -> None:
    world = World(groups=FEW)
    world.growArray(2)
    deliver(world, range(1), (1,))
    world.run(1)
    world.kill(2)
    with world.rows[1].transaction() as rows:
        rows.put(META, ALONE_KEY, b"\x01")
    loss = world.result(world.shares[1].operations.recover((2,)))
    assert not loss.groups and not loss.hopeless and world.rows[1].get(META, ALONE_KEY) is None
    world.settle()
    assert world.shares[1].userMap.isGone(2) and read(world, 1, 0) == octetsOf(0)
