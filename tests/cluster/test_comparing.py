"""Comparing what nodes hold: replicas at one index, copies where they are kept."""

from __future__ import annotations

from typing import Any

import pytest

from jindimail.cluster.comparing import DIGEST_METHOD, PIECE_OCTETS, ROUNDS_MAX, AskDigest
from jindimail.errors import ProtocolError, Unavailable
from jindimail.replication.digests import GroupDigest, TableDigest, differences
from jindimail.store.keys import BODY, BODYREF, CHUNK_OCTETS, MESSAGE, bodyrefKey, chunkKey
from jindimail.store.records import BodyrefRecord, decode, encode
from tests.cluster.mail import BUCKET, GROUP, MailWorld, bodyName, mailbox

NODES = (1, 2, 3)
OCTETS = bytes(range(256)) * 1000


def withMail(**more: Any) -> MailWorld:
    """An array of three nodes with one message of four chunks, kept at two of them."""
    world = MailWorld(**more)
    world.result(world.deliver(1, 1, OCTETS))
    world.run(0.5)
    return world


def compare(world: MailWorld, at: int = 1) -> Any:
    return world.result(world.shares[at].comparing.compare(GROUP, NODES))


def copies(world: MailWorld, node: int, at: int = 1) -> Any:
    return world.result(world.shares[at].comparing.copies(BUCKET, node))


# --- differences, pure -------------------------------------------------------------------------------------


def test_equalDigestsDifferInNothing() -> None:
    digest = GroupDigest(5, {"user": TableDigest(1, b"a")})
    assert differences({1: digest, 2: digest}) == []


def test_largestPartyStandsFirst() -> None:
    one, other = TableDigest(2, b"a"), TableDigest(1, b"b")
    found = differences(
        {
            1: GroupDigest(5, {"user": other}),
            2: GroupDigest(5, {"user": one}),
            3: GroupDigest(5, {"user": one}),
        }
    )
    assert [(each.table, each.parties) for each in found] == [("user", ((one, (2, 3)), (other, (1,))))]


def test_tableThatOnlyOneHasIsADifference() -> None:
    found = differences({1: GroupDigest(5, {"user": TableDigest(1, b"a")}), 2: GroupDigest(5, {})})
    assert [each.table for each in found] == ["user"]


# --- replicas ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", NODES)
def test_replicasOfASoundArrayAreEqual(at: int) -> None:
    found = compare(withMail(), at)
    assert found.index > 0
    assert found.nodes == NODES
    assert (found.differences, found.silent, found.absent) == ((), (), ())


def test_oneChangedRowIsFoundAndItsTableAndNodeNamed() -> None:
    world = withMail()
    key, value = next(iter(world.rows[2].scan(MESSAGE, b"", b"\xff" * 32)))
    world.rows[2].put(MESSAGE, key, value[:-1] + bytes([value[-1] ^ 1]))
    found = compare(world)
    assert [(each.table, [nodes for _, nodes in each.parties]) for each in found.differences] == [
        (MESSAGE, [(1, 3), (2,)])
    ]


def test_missingRowIsFound() -> None:
    world = withMail()
    world.rows[3].delete(BODYREF, bodyrefKey(BUCKET, bodyName(1)))
    found = compare(world, 2)
    assert [each.table for each in found.differences] == [BODYREF]
    assert [digest.rows for digest, _ in found.differences[0].parties] == [1, 0]


def test_replicaThatIsBehindIsWaitedFor() -> None:
    world = withMail()
    world.shares[1].buckets.propose(BUCKET, mailbox("One"))
    found = compare(world)
    assert found.nodes == NODES
    assert found.index and not found.differences


def test_replicasAreComparedWhileTheBucketChanges() -> None:
    world = withMail()
    for number in range(20):
        world.shares[1].buckets.propose(BUCKET, mailbox(f"M{number}"))
        if number % 5 == 0:
            assert compare(world).differences == ()
            world.run(0.01)


def test_nodeThatDoesNotAnswerIsNamedAndTheOthersAreCompared() -> None:
    world = withMail()
    world.kill(3)
    found = compare(world)
    assert (found.silent, found.nodes) == ((3,), (1, 2))
    assert found.index and not found.differences


def test_nodeWithoutAReplicaIsNamed() -> None:
    world = withMail(others=(4,))
    found = world.result(world.shares[1].comparing.compare(GROUP, (1, 2, 3, 4)))
    assert (found.absent, found.nodes) == ((4,), NODES)


def test_bucketThatNeverStandsStillIsUndecided(monkeypatch: pytest.MonkeyPatch) -> None:
    world = withMail()
    rounds = []

    def hurried(asked: AskDigest) -> GroupDigest:
        rounds.append(asked.index)
        return GroupDigest(1000 + len(rounds), {})

    monkeypatch.setattr(world.shares[2].comparing, "_digest", hurried)
    found = compare(world)
    assert found.index == 0
    assert found.differences == ()
    assert len(rounds) == ROUNDS_MAX


def test_digestIsOfTheRowsOfItsIndexAndNoOthers() -> None:
    world = withMail()
    comparing = world.shares[1].comparing
    applied = comparing._digest(AskDigest(GROUP, 0)).applied
    assert comparing._digest(AskDigest(GROUP, applied)).tables
    assert not comparing._digest(AskDigest(GROUP, applied - 1)).tables


def test_whatIsNoQuestionIsAnsweredAsSuch() -> None:
    world = withMail()
    with pytest.raises(ProtocolError):
        world.result(world.shares[1].links.call(2, DIGEST_METHOD, b"?", 1.0))


# --- copies ------------------------------------------------------------------------------------------------


def test_soundCopiesAreCountedWhereTheyAreKept() -> None:
    world = withMail()
    keepers = world.reference(1, 1).keepers
    for node in NODES:
        found = copies(world, node)
        assert found.wrong == ()
        assert (found.bodies, found.octets) == ((1, len(OCTETS)) if node in keepers else (0, 0))


@pytest.mark.parametrize(("damage", "kind"), [(bytes(CHUNK_OCTETS), "body-damaged"), (None, "chunk-missing")])
def test_damagedAndMissingCopiesAreFoundAtTheirKeeper(damage: bytes | None, kind: str) -> None:
    world = withMail()
    key = chunkKey(BUCKET, bodyName(1), 1)
    if damage is None:
        world.rows[2].delete(BODY, key)
    else:
        world.rows[2].put(BODY, key, damage)
    assert [(each.bodyId, each.kind) for each in copies(world, 2).wrong] == [(bodyName(1), kind)]
    assert copies(world, 1).wrong == ()


def test_whatLiesThereOfABodyThatIsKeptElsewhereIsNoProblem() -> None:
    world = withMail()
    world.rows[3].put(BODY, chunkKey(BUCKET, bodyName(1), 0), OCTETS[:CHUNK_OCTETS])
    world.rows[3].put(BODY, chunkKey(BUCKET, bodyName(9), 0), b"on its way")
    assert copies(world, 3).wrong == ()


def test_bodyThatNobodyKeepsIsFound() -> None:
    world = withMail()
    key = bodyrefKey(BUCKET, bodyName(1))
    record = decode(world.rows[3].get(BODYREF, key) or b"", BodyrefRecord)
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    world.rows[3].put(BODYREF, key, encode(BodyrefRecord(**(fields | {"keepers": ()}))))
    assert [each.kind for each in copies(world, 3).wrong] == ["keepers-missing"]


def test_manyBodiesAreReadPieceByPieceAndPaced() -> None:
    world = MailWorld()
    large = bytes(1 << 20)
    for number in range(1, 8):
        world.result(world.deliver(1, number, large))
    asked: list[bytes] = []
    comparing = world.shares[1].comparing
    inner = comparing._copies

    def counted(ask: Any) -> Any:
        asked.append(ask.afterId)
        return inner(ask)

    comparing._copies = counted  # type: ignore[method-assign]
    began = world.heap.now
    found = copies(world, 1)
    assert (found.bodies, found.octets) == (7, 7 << 20)
    assert len(asked) == -(-(7 << 20) // (PIECE_OCTETS + (1 << 20)))
    assert world.heap.now - began >= 7 / 32


def test_nodeThatIsAwayDoesNotAnswerForItsCopies() -> None:
    world = withMail()
    world.kill(2)
    with pytest.raises(Unavailable):
        copies(world, 2)
