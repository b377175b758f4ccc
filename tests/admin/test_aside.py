"""
A member of an array whose last commit failed goes on with its store, like after a power cut; with an empty one only where its own is damaged, and not if it is needed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from jindimail.admin.aside import finishReplacing, openOrReplaceStore
from jindimail.replication.configuration import (
    Configuration,
    Member,
    encodeConfiguration,
    foundingConfiguration,
)
from jindimail.replication.durable import HardRecord, encodeHard, hardRecords, packLogRow
from jindimail.replication.entries import CONFIGURATION, Entry
from jindimail.store.environment import UNTOLD, Environment, found, makeStore, storePath
from jindimail.store.keys import (
    ARRAY,
    BODYREF,
    HARD,
    LOG,
    META,
    REJOINING_KEY,
    bodyrefKey,
    groupKey,
    logKey,
)
from jindimail.store.opening import StoreDamaged
from jindimail.store.records import BodyrefRecord, encode
from tests.store.places import temporaryPath

ARRAY_ID = b"a" * 16


def configuration(*voters: int, learners: tuple[int, ...] = ()) -> Configuration:
    """A group's members by their nodes, each with its node's number as its id."""
    members = [Member(replicaId=node, node=node, voter=True) for node in voters]
    members += [Member(replicaId=node, node=node, voter=False) for node in learners]
    return msgspec.structs.replace(foundingConfiguration(1), members=tuple(members))


def stored(
    directory: Path,
    *groups: Configuration,
    isSuspect: bool = True,
    isDamaged: bool = True,
    keepers: tuple[int, ...] = (1, 2),
) -> None:
    """The store of node 1, in its third life, whose last commit failed, and which is damaged. Of the body that it keeps it has nothing."""
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
    if isDamaged:
        environment.commit([(ARRAY, [(b"?", b"of no known form")], [])])
    if isSuspect:
        environment.markSuspect()
    environment.close()


class AsideTests(TestCase):
    """Starts after a failed commit."""

    def setUp(self) -> None:
        self.directory = temporaryPath(self)

    async def open(self) -> tuple[int, bool]:
        """How many replicas the store has with which the node starts, in its fourth life, and whether it is a new one."""
        store = openOrReplaceStore(self.directory, reactor=reactor, life=UNTOLD)
        with store.read() as rows:
            found, isNew = len(list(hardRecords(rows))), rows.get(META, REJOINING_KEY) is not None
        meta = store.environment.meta
        await store.close()
        assert (meta.arrayId, meta.node, meta.name, meta.incarnation) == (ARRAY_ID, 1, "one", 4)
        return found, isNew

    def aside(self) -> list[str]:
        return [path.name for path in self.directory.glob("store.aside-*")]

    async def test_aSoundStoreGoesOnThoughAllGroupsCanDoWithoutIt(self) -> None:
        stored(self.directory, configuration(1, 2, 3), isDamaged=False)
        self.assertEqual(await self.open(), (1, False))
        self.assertEqual(self.aside(), [])
        self.assertFalse((storePath(self.directory) / "suspect").exists())

    async def test_aDamagedOneThatAllGroupsCanDoWithoutIsSetAside(self) -> None:
        stored(self.directory, configuration(1, 2, 3), configuration(2, learners=(1,)))
        self.assertEqual(await self.open(), (0, True))
        self.assertEqual(self.aside(), ["store.aside-3"])
        self.assertTrue((self.directory / "store.aside-3" / "data.mdb").exists())

    async def test_bodiesThatOthersKeepAreNoReasonToGiveAStoreUp(self) -> None:
        stored(self.directory, configuration(1, 2, 3), isDamaged=False, keepers=(1, 2))
        self.assertEqual(await self.open(), (1, False))

    async def test_atANodeAloneTheyKeepItFromStarting(self) -> None:
        stored(self.directory, configuration(1), isDamaged=False, keepers=(1,))
        await self.refused()

    async def test_theLogsLatestConfigurationCountsAppliedOrNot(self) -> None:
        stored(self.directory, configuration(1, 2))
        environment = Environment(self.directory)
        entry = Entry(6, 1, CONFIGURATION, encodeConfiguration(configuration(1, 2, 3)))
        environment.commit([(LOG, [(logKey(0, 6), packLogRow(entry))], [])])
        environment.close()
        self.assertEqual(await self.open(), (0, True))

    async def test_whereOneGroupNeedsADamagedStoreNothingIsDone(self) -> None:
        for number, needed in enumerate((configuration(1), configuration(1, 2))):
            self.directory = temporaryPath(self) / str(number)
            stored(self.directory, configuration(1, 2, 3), needed)
            await self.refused()

    async def test_whereABodyIsKeptHereAloneNothingIsDone(self) -> None:
        stored(self.directory, configuration(1, 2, 3), keepers=(1,))
        await self.refused()

    async def test_whereItCannotBeToldWhoElseHasAGroupNothingIsDone(self) -> None:
        stored(self.directory, configuration(1, 2, 3))
        environment = Environment(self.directory)
        environment.commit([(HARD, [(groupKey(7), b"of no known form")], [])])
        environment.close()
        await self.refused()

    async def refused(self) -> None:
        """Starts are refused, one as the other, and all stays as it is."""
        for _ in range(2):
            with self.assertRaises(StoreDamaged):
                await self.open()
        self.assertEqual(self.aside(), [])

    async def test_aStoreThatEndedWellIsNotLookedAt(self) -> None:
        stored(self.directory, configuration(1, 2, 3), isSuspect=False)
        self.assertEqual(await self.open(), (1, False))

    async def test_aCrashBetweenTheTwoRenamesIsMadeGood(self) -> None:
        stored(self.directory, configuration(1, 2, 3))
        environment = Environment(self.directory)
        environment.close()
        makeStore(self.directory, environment.meta, {REJOINING_KEY: b"\x01"})
        storePath(self.directory).rename(self.directory / "store.aside-3")
        finishReplacing(self.directory)
        self.assertEqual(await self.open(), (0, True))

    def test_aHalfMadeStoreOfAFoundingIsNotTakenForOne(self) -> None:
        (self.directory / "store.new").mkdir(parents=True)
        finishReplacing(self.directory)
        self.assertFalse(storePath(self.directory).exists())
