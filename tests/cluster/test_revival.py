"""What a store that a backup has brought back says of the others, and where its logs begin."""

from __future__ import annotations

import msgspec
import pytest

from jindimail.cluster.arrayrecords import DOWN, GONE, UP, NodeRecord, nodeKey
from jindimail.cluster.revival import forgetApplied, isAlone, othersOf
from jindimail.errors import Corrupt
from jindimail.replication.configuration import (
    Configuration,
    Member,
    encodeConfiguration,
    foundingConfiguration,
)
from jindimail.replication.durable import HardRecord, encodeHard, hardRecord, loadReplica, packLogRow
from jindimail.replication.entries import CONFIGURATION, NORMAL, Entry
from jindimail.store.keys import ALONE_KEY, ARRAY, HARD, LOG, META, groupKey, logKey
from jindimail.store.memory import MemoryRows
from jindimail.store.records import encode

GROUP = 5


def members(*nodes: int) -> Configuration:
    """A configuration of these nodes, each with its number as its replica's id."""
    made = tuple(Member(replicaId=node, node=node, voter=node == 1) for node in nodes)
    return msgspec.structs.replace(foundingConfiguration(1), members=made)


def rowsOf(
    nodes: dict[int, str],
    configuration: Configuration,
    *entries: Entry,
    applied: int = 0,
    base: tuple[int, int] = (0, 0),
) -> MemoryRows:
    """A store with nodes by their state, and one replica."""
    store = MemoryRows()
    with store.transaction() as rows:
        for number, state in nodes.items():
            record = NodeRecord(name=f"node{number}", addresses=(), host="h", state=state)
            rows.put(ARRAY, nodeKey(number), encode(record))
        rows.put(HARD, groupKey(GROUP), encodeHard(HardRecord(1, 4, 1, applied, *base, 0, configuration)))
        for entry in entries:
            rows.put(LOG, logKey(GROUP, entry.index), packLogRow(entry))
    return store


def test_aNodeWhoseArrayHasNoOtherWasAlone() -> None:
    assert othersOf(rowsOf({1: UP}, members(1)), 1) == ()
    assert othersOf(rowsOf({}, members(1)), 1) == ()
    assert othersOf(rowsOf({1: UP, 2: GONE}, members(1)), 1) == ()


@pytest.mark.parametrize("state", [UP, DOWN])
def test_nodesThatAreNotGoneAreOthers(state: str) -> None:
    assert othersOf(rowsOf({1: UP, 2: state, 3: GONE}, members(1)), 1) == ("node2",)


def test_membersOfItsGroupsAreOthersWhateverTheArraySaysOfThem() -> None:
    assert othersOf(rowsOf({1: UP, 2: GONE}, members(1, 2, 7)), 1) == ("node2", "7")


def test_membersThatOnlyTheLogKnowsAreOthers() -> None:
    entries = [
        Entry(1, 1, CONFIGURATION, encodeConfiguration(members(1, 9))),
        Entry(2, 1, CONFIGURATION, encodeConfiguration(members(1, 2))),
    ]
    assert othersOf(rowsOf({1: UP}, members(1), *entries, applied=1), 1) == ("2",), (
        "what is applied is past, what is not may be"
    )


def test_everyLogBeginsBehindWhatIsAppliedSoThatNobodyRepeatsIt() -> None:
    entries = [Entry(index, index, NORMAL, b"x") for index in range(3, 8)]
    store = rowsOf({}, members(1), *entries, applied=5, base=(2, 2))
    with store.transaction() as rows:
        for table, puts, deletes in forgetApplied(store):
            for key, value in puts:
                rows.put(table, key, value)
            for key in deletes:
                rows.delete(table, key)
    loaded = loadReplica(store, GROUP, hardRecord(store, GROUP), None)
    assert (loaded.record.baseIndex, loaded.record.baseTerm, loaded.record.applied) == (5, 5, 5)
    assert [key for key, _ in store.scan(LOG, b"", b"\xff")] == [logKey(GROUP, 6), logKey(GROUP, 7)]
    assert loaded.log.term(4) is None and loaded.log.term(5) == 5 and loaded.log.lastIndex == 7
    assert forgetApplied(store) == [(HARD, [], []), (LOG, [], [])], "nothing is left to forget"


def test_aLogWithoutItsAppliedEntryIsDamaged() -> None:
    with pytest.raises(Corrupt):
        forgetApplied(rowsOf({}, members(1), applied=5))


def test_theMarkSaysThatItWasRestoredAlone() -> None:
    store = MemoryRows()
    assert not isAlone(store)
    with store.transaction() as rows:
        rows.put(META, ALONE_KEY, b"\x01")
    assert isAlone(store)
