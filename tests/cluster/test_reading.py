"""Bodies are read from whoever keeps them sound; what is fetched is verified, and fetched once."""

from __future__ import annotations

import pytest

from jindimail.cluster.reading import WHOLE_OCTETS_MAX
from jindimail.cluster.verified import REMEMBERED_SECONDS
from jindimail.errors import Corrupt, Unavailable
from jindimail.mailbox.queries import ReadOctets
from jindimail.store.keys import BODY, CHUNK_OCTETS, chunkKey
from tests.cluster.mail import BUCKET, MailWorld, bodyName

OCTETS = bytes(range(256)) * 1000
GIANT = bytes(range(256)) * (WHOLE_OCTETS_MAX // 256 + 1000)
KEY = chunkKey(BUCKET, bodyName(1), 0)


def delivered(octets: bytes = OCTETS) -> MailWorld:
    world = MailWorld(others=(4,))
    world.result(world.deliver(1, 1, octets))
    assert world.reference(1, 1).keepers == (1, 2)
    world.run(0.5)
    return world


@pytest.mark.parametrize("node", [3, 4])
def test_aBodyReadInPiecesIsFetchedOnce(node: int) -> None:
    world = delivered()
    read = b""
    for start in range(0, len(OCTETS), 1000):
        query = ReadOctets(bodyId=bodyName(1), prefix=0, start=start, stop=start + 1000)
        read += world.query(node, query)
    assert read == OCTETS
    counters = world.shares[node].counters
    assert (counters.fetched, counters.octetsFetched) == (1, len(OCTETS))
    assert counters.cached == len(range(0, len(OCTETS), 1000)) - 1


def test_readersThatComeTogetherShareOneFetch() -> None:
    world = delivered()
    query = ReadOctets(bodyId=bodyName(1), prefix=0, start=0, stop=len(OCTETS))
    waiting = [world.shares[3].buckets.query(BUCKET, query) for _ in range(5)]
    assert [world.result(each) for each in waiting] == [OCTETS] * 5
    assert world.shares[3].counters.fetched == 1


def test_aFetchThatFailsForAnyReasonKeepsNobodyWaiting() -> None:
    world = delivered()
    world.rows[1].delete(BODY, KEY)
    reading = world.shares[3].reading
    reading.damaged.append(lambda *words: 1 // 0)
    query = ReadOctets(bodyId=bodyName(1), prefix=0, start=0, stop=len(OCTETS))
    waiting = [world.shares[3].buckets.query(BUCKET, query) for _ in range(2)]
    for each in waiting:
        with pytest.raises(ZeroDivisionError):
            world.result(each)
    reading.damaged.pop()
    assert world.read(3, 1, len(OCTETS)) == OCTETS


def test_aDamagedCopyHereIsReadElsewhereAndToldOf() -> None:
    world = delivered()
    world.rows[1].put(BODY, KEY, bytes(CHUNK_OCTETS))
    told: list[tuple[int, bytes, int]] = []
    world.shares[1].reading.damaged.append(lambda *words: told.append(words))
    assert world.read(1, 1, len(OCTETS)) == OCTETS
    assert told == [(BUCKET, bodyName(1), 1)]
    world.run(1)
    assert "bodyDamaged" in [event.kind for event in world.shares[1].events]


@pytest.mark.parametrize("number", [1, 2], ids=["sound", "expunged"])
def test_whatTheLeaderFindsSoundOrNotThereIsNoDamage(number: int) -> None:
    world = delivered()
    world.shares[3].reading.tellDamaged(BUCKET, bodyName(number), 1)
    world.run(5)
    assert world.shares[3].counters.damaged == 0
    assert not {"bodyDamaged", "bodyMended", "bodyLost"} & {
        event.kind for share in world.shares.values() for event in share.events
    }


@pytest.mark.parametrize("node", [3, 4])
def test_aKeeperWithADamagedOrLostCopyCountsAsHavingNone(node: int) -> None:
    for damage in (bytes(CHUNK_OCTETS), None):
        world = delivered()
        if damage is None:
            world.rows[1].delete(BODY, KEY)
        else:
            world.rows[1].put(BODY, KEY, damage)
        assert world.read(node, 1, len(OCTETS)) == OCTETS
        world.run(1)
        assert world.shares[node].counters.damaged == 1


def test_aBodyThatNobodyHasSoundIsCorruptAndOneWhoseKeepersAreAwayIsNot() -> None:
    world = delivered()
    for node in (1, 2):
        world.rows[node].delete(BODY, KEY)
    with pytest.raises(Corrupt):
        world.read(3, 1, len(OCTETS))
    world = delivered()
    world.fabric.isStalled = lambda source, target: 3 in (source, target)
    query = ReadOctets(bodyId=bodyName(1), prefix=0, start=0, stop=9)
    with pytest.raises(Unavailable) as caught:
        world.result(world.shares[3].buckets.query(BUCKET, query))
    assert not isinstance(caught.value, Corrupt)


def test_aKeeperThatIsAwayIsSkipped() -> None:
    world = delivered()
    world.kill(1)
    before = world.heap.now
    assert world.read(3, 1, len(OCTETS)) == OCTETS
    assert world.heap.now - before < 0.5


def test_aGiantIsReadFromTheNextKeeperWhereTheFirstDoesNotAnswer() -> None:
    world = delivered(GIANT)
    world.fabric.isStalled = lambda source, target: {source, target} == {1, 3}
    query = ReadOctets(bodyId=bodyName(1), prefix=0, start=0, stop=1000)
    assert world.query(3, query) == GIANT[:1000]


def test_whatIsRememberedOfOtherNodesBodiesIsBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = delivered()
    for number in (2, 3, 4):
        world.result(world.deliver(1, number, OCTETS))
    world.run(0.5)
    monkeypatch.setattr("jindimail.cluster.reading.REMEMBERED_OCTETS_MAX", 2 * len(OCTETS))
    counters = world.shares[3].counters
    for number in (1, 2, 3, 4, 4, 3, 2, 1):
        assert world.read(3, number, len(OCTETS)) == OCTETS
    assert (counters.cached, counters.fetched) == (2, 6)


@pytest.mark.parametrize("node", [3, 4])
def test_aGiantIsReadByChunkAndALostChunkFromTheNextKeeper(node: int) -> None:
    world = delivered(GIANT)
    world.rows[1].delete(BODY, chunkKey(BUCKET, bodyName(1), 5))
    assert world.read(node, 1, len(GIANT)) == GIANT
    world.run(1)
    assert world.shares[node].counters.damaged >= 1


@pytest.mark.parametrize("octets", [OCTETS, GIANT], ids=["large", "giant"])
def test_aBodyReadInPiecesIsVerifiedAsAWholeBeforeTheFirst(octets: bytes) -> None:
    world = delivered(octets)
    last = chunkKey(BUCKET, bodyName(1), len(octets) // CHUNK_OCTETS - 1)
    world.rows[1].put(BODY, last, bytes(CHUNK_OCTETS))
    told: list[tuple[int, bytes, int]] = []
    world.shares[1].reading.damaged.append(lambda *words: told.append(words))
    read = b""
    for start in range(0, len(octets), 1 << 18):
        stop = min(len(octets), start + (1 << 18))
        query = ReadOctets(bodyId=bodyName(1), prefix=0, start=start, stop=stop, isPiece=True)
        read += world.query(1, query)
        assert (BUCKET, bodyName(1), 1) in told
    assert read == octets


def test_aSoundBodyIsVerifiedOnceForAllItsPieces() -> None:
    world = delivered()
    world.query(1, ReadOctets(bodyId=bodyName(1), prefix=0, start=0, stop=1000, isPiece=True))
    world.rows[1].put(BODY, KEY, bytes(CHUNK_OCTETS))
    query = ReadOctets(bodyId=bodyName(1), prefix=0, start=1000, stop=2000, isPiece=True)
    assert world.query(1, query) == bytes(1000)  # it was sound a moment ago
    world.run(REMEMBERED_SECONDS)
    assert world.query(1, query) == OCTETS[1000:2000]


@pytest.mark.parametrize("node", [3, 4])
def test_aGiantIsReadOnlyFromKeepersWhoseCopyIsSoundAsAWhole(node: int) -> None:
    world = delivered(GIANT)
    last = chunkKey(BUCKET, bodyName(1), len(GIANT) // CHUNK_OCTETS - 1)
    world.rows[1].put(BODY, last, bytes(CHUNK_OCTETS))
    before = world.shares[node].counters.damaged
    assert world.read(node, 1, len(GIANT)) == GIANT
    world.run(1)
    assert world.shares[node].counters.damaged > before


@pytest.mark.parametrize("node", [3, 4])
def test_aGiantWhoseKeeperDiesIsReadOnFromAnother(node: int) -> None:
    world = delivered(GIANT)
    half = len(GIANT) // 2
    read = world.read(node, 1, half)
    world.kill(1)
    while len(read) < len(GIANT):
        query = ReadOctets(bodyId=bodyName(1), prefix=0, start=len(read), stop=len(GIANT), isPiece=True)
        read += world.query(node, query)
    assert read == GIANT
