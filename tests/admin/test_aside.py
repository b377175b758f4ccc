"""A member of an array whose last commit failed comes back with an empty store; a node that its groups need does not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from jindimail.admin.aside import (
    finishReplacing,
    setAsideIfSuspect,
)
from jindimail.replication.configuration import (
    Configuration,
    Member,
    encodeConfiguration,
    foundingConfiguration,
)
from jindimail.replication.durable import HardRecord, encodeHard, hardRecords, packLogRow
from jindimail.replication.entries import CONFIGURATION, Entry
from jindimail.store.environment import Environment, found, makeStore, storePath
from jindimail.store.keys import (
    BODYREF,
    HARD,
    LOG,
    META,
    REJOINING_KEY,
    bodyrefKey,
    groupKey,
    logKey,
)
from jindimail.store.records import BodyrefRecord, encode

ARRAY_ID = b"a" * 16


def configuration(*voters: int, learners: tuple[int, ...] = ()) -> Configuration:
    """A group's members by their nodes, each with its node's number as its id."""
    members = [Member(replicaId=node, node=node, voter=True) for node in voters]
    members += [Member(replicaId=node, node=node, voter=False) for node in learners]
    return msgspec.structs.replace(foundingConfiguration(1), members=tuple(members))


def stored(
    directory: Path, *groups: Configuration, isSuspect: bool = True, keepers: tuple[int, ...] = (1, 2)
) -> None:
    """The store of node 1, in its third life, whose last commit failed."""
    found(directory, name="one", arrayId=ARRAY_ID)
    environment = Environment(directory)
    for _ in range(3):
        environment.begin()
    rows = [
        (groupKey(group), encodeHard(HardRecord(1, 1, 0, 5, 5, 1, 0, each)))
        for group, each in enumerate(groups)
    ]
    body = BodyrefRecord(size=1, digest=b"", references=1, keepers=keepers)
    environment.commit([(HARD, rows, []), (BODYREF, [(bodyrefKey(0, b"b" * 16), encode(body))], [])])
    if isSuspect:
        environment.markSuspect()
    environment.close()


def groupsIn(directory: Path) -> int:
    """How many replicas the store there has, which must be node 1's, with the incarnations that it had."""
    environment = Environment(directory)
    try:
        meta = environment.meta
        assert (meta.arrayId, meta.node, meta.name, meta.incarnation) == (ARRAY_ID, 1, "one", 3)
        with environment.snapshot() as rows:
            isNew = rows.get(META, REJOINING_KEY) is not None
            assert isNew is (not list(hardRecords(rows))), "a new store says that it took another's place"
            return len(list(hardRecords(rows)))
    finally:
        environment.close()


def test_whereAllGroupsCanDoWithoutItTheStoreIsSetAside(tmp_path: Path) -> None:
    stored(tmp_path, configuration(1, 2, 3), configuration(2, learners=(1,)))
    aside = setAsideIfSuspect(tmp_path)
    assert aside == tmp_path / "store.aside-3"
    assert (aside / "data.mdb").exists()
    assert groupsIn(tmp_path) == 0
    assert setAsideIfSuspect(tmp_path) is None, "only once"


def test_theLogsLatestConfigurationCountsAppliedOrNot(tmp_path: Path) -> None:
    stored(tmp_path, configuration(1, 2))
    environment = Environment(tmp_path)
    entry = Entry(6, 1, CONFIGURATION, encodeConfiguration(configuration(1, 2, 3)))
    environment.commit([(LOG, [(logKey(0, 6), packLogRow(entry))], [])])
    environment.close()
    assert setAsideIfSuspect(tmp_path) is not None


@pytest.mark.parametrize("needed", [configuration(1), configuration(1, 2)])
def test_whereOneGroupNeedsItTheStoreStays(tmp_path: Path, needed: Configuration) -> None:
    stored(tmp_path, configuration(1, 2, 3), needed)
    assert setAsideIfSuspect(tmp_path) is None
    assert groupsIn(tmp_path) == 2
    assert not list(tmp_path.glob("store.aside-*"))


def test_whereABodyIsKeptHereAloneTheStoreStays(tmp_path: Path) -> None:
    stored(tmp_path, configuration(1, 2, 3), keepers=(1,))
    assert setAsideIfSuspect(tmp_path) is None
    assert groupsIn(tmp_path) == 1


def test_aStoreThatEndedWellStays(tmp_path: Path) -> None:
    stored(tmp_path, configuration(1, 2, 3), isSuspect=False)
    assert setAsideIfSuspect(tmp_path) is None
    assert groupsIn(tmp_path) == 1


def test_aCrashBetweenTheTwoRenamesIsMadeGood(tmp_path: Path) -> None:
    stored(tmp_path, configuration(1, 2, 3))
    environment = Environment(tmp_path)
    environment.close()
    makeStore(tmp_path, environment.meta, {REJOINING_KEY: b"\x01"})
    storePath(tmp_path).rename(tmp_path / "store.aside-3")
    finishReplacing(tmp_path)
    assert groupsIn(tmp_path) == 0


def test_aHalfMadeStoreOfAFoundingIsNotTakenForOne(tmp_path: Path) -> None:
    (tmp_path / "store.new").mkdir()
    finishReplacing(tmp_path)
    assert not storePath(tmp_path).exists()
