"""The environment: founding, opening, refusing, counting incarnations."""

from __future__ import annotations

import os

import lmdb
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import ConfigError
from jindimail.store.environment import (
    READERS_MAX,
    Environment,
    StoreAbsent,
    StoreInUse,
    StorePresent,
    StoreUnknown,
    found,
    openLmdb,
    readMeta,
    storePath,
    writeMeta,
)
from jindimail.store.keys import META, REJOINING_KEY
from jindimail.store.overlay import Overlay
from jindimail.store.records import MetaRecord
from tests.store.contracts import RowsContract
from tests.store.places import temporaryPath


class EnvironmentTests(SynchronousTestCase):
    """A store on disk."""

    def setUp(self) -> None:
        self.directory = temporaryPath(self)

    def test_foundedStoreKnowsItsNode(self) -> None:
        meta = found(self.directory, name="alpha", node=7, arrayId=b"a" * 16)
        environment = Environment(self.directory)
        self.addCleanup(environment.close)
        self.assertEqual(environment.meta, meta)
        self.assertEqual((meta.name, meta.node, meta.arrayId, meta.incarnation), ("alpha", 7, b"a" * 16, 0))

    def test_arrayIdsDiffer(self) -> None:
        one = found(self.directory / "one", name="n")
        other = found(self.directory / "other", name="n")
        self.assertNotEqual(one.arrayId, other.arrayId)
        self.assertEqual(len(one.arrayId), 16)

    def test_emptyDirectoryIsRefusedWithTheCommandThatFoundsOne(self) -> None:
        self.directory.mkdir()
        with self.assertRaises(StoreAbsent) as caught:
            Environment(self.directory)
        self.assertIsInstance(caught.exception, ConfigError)
        self.assertIn("jindictl init", caught.exception.problems[0])
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_missingDirectoryIsRefusedAndNotMade(self) -> None:
        with self.assertRaises(StoreAbsent):
            Environment(self.directory)
        self.assertFalse(self.directory.exists())

    def test_foundingTwiceIsRefused(self) -> None:
        meta = found(self.directory, name="n")
        with self.assertRaises(StorePresent):
            found(self.directory, name="other")
        environment = Environment(self.directory)
        self.addCleanup(environment.close)
        self.assertEqual(environment.meta, meta)

    def test_interruptedFoundingIsDoneAnew(self) -> None:
        making = self.directory / "store.new"
        making.mkdir(parents=True)
        (making / "data.mdb").write_bytes(b"half")
        found(self.directory, name="n")
        environment = Environment(self.directory)
        environment.close()
        self.assertFalse(making.exists())

    def test_everyBeginCountsTheIncarnation(self) -> None:
        found(self.directory, name="n")
        for expected in (1, 2, 3):
            environment = Environment(self.directory)
            self.assertEqual(environment.begin().incarnation, expected)
            environment.close()

    def test_everyBeginRemembersHowManyCommitsTheLifeBeforeHad(self) -> None:
        found(self.directory, name="n")
        environment = Environment(self.directory)
        self.addCleanup(environment.close)
        environment.begin(b"life0001")
        environment.commit([(META, [(b"x", b"1")], [])])
        commits = environment.lastTransaction()
        environment.begin(b"life0002")
        self.assertEqual(environment.meta.ends[-8:], commits.to_bytes(8, "big"))
        environment.commit([(META, [(REJOINING_KEY, b"1")], [])])
        environment.begin(b"life0003")
        self.assertEqual(environment.meta.ends[-8:], bytes(8), "it took another store's place")

    def test_lookingDoesNotCountTheIncarnation(self) -> None:
        found(self.directory, name="n")
        for _ in range(3):
            environment = Environment(self.directory)
            self.assertEqual(environment.meta.incarnation, 0)
            environment.close()

    def test_unknownFormatIsRefused(self) -> None:
        meta = found(self.directory, name="n")
        raw = openLmdb(storePath(self.directory))
        writeMeta(raw, MetaRecord(arrayId=meta.arrayId, node=1, name="n", format=99, incarnation=0))
        raw.close()
        with self.assertRaises(StoreUnknown) as caught:
            Environment(self.directory)
        self.assertIn("format 99", caught.exception.problems[0])

    def test_storeWithoutItsFirstRecordIsRefused(self) -> None:
        found(self.directory, name="n")
        raw = openLmdb(storePath(self.directory))
        with raw.begin(write=True) as transaction:
            transaction.delete(b"node", db=raw.open_db(META.encode(), txn=transaction))
        raw.close()
        with self.assertRaises(StoreUnknown):
            Environment(self.directory)

    def test_fileThatIsNoStoreIsRefused(self) -> None:
        path = storePath(self.directory)
        path.mkdir(parents=True)
        (path / "data.mdb").write_bytes(b"x" * 10_000)
        with self.assertRaises(ConfigError):
            Environment(self.directory)

    def test_secondOpenerIsRefusedUntilTheFirstCloses(self) -> None:
        found(self.directory, name="n")
        first = Environment(self.directory)
        with self.assertRaises(StoreInUse):
            Environment(self.directory)
        first.close()
        Environment(self.directory).close()

    def test_filesAreTheOwnersAlone(self) -> None:
        found(self.directory, name="n")
        environment = Environment(self.directory)
        self.addCleanup(environment.close)
        self.assertEqual(storePath(self.directory).stat().st_mode & 0o777, 0o700)
        for path in storePath(self.directory).iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)

    def test_commitsAreSyncedAndWritemapIsOff(self) -> None:
        found(self.directory, name="n")
        raw = openLmdb(storePath(self.directory))
        self.addCleanup(raw.close)
        flags = raw.flags()
        self.assertTrue(flags["sync"] and flags["metasync"] and flags["lock"])
        self.assertFalse(flags["writemap"] or flags["map_async"])

    def test_committedChangesSurviveReopening(self) -> None:
        found(self.directory, name="n")
        environment = Environment(self.directory)
        environment.commit([(META, [(b"a", b"1"), (b"b", b"2")], [])])
        environment.commit([(META, [(b"b", b"3")], [b"a", b"never"])])
        environment.reopen()
        with environment.read() as rows:
            self.assertIsNone(rows.get(META, b"a"))
            self.assertEqual(rows.get(META, b"b"), b"3")
        environment.close()

    def test_readingKeptOpenForLongerThanATurnIsNoticed(self) -> None:
        found(self.directory, name="n")
        environment = Environment(self.directory)
        self.addCleanup(environment.close)
        with self.assertRaises(AssertionError), environment.read():
            environment.turn += 1

    def test_aFailureThatIsKeptHoldsNoReader(self) -> None:
        found(self.directory, name="n")
        environment = Environment(self.directory)
        self.addCleanup(environment.close)
        environment.commit([(META, [(b"a", b"1"), (b"b", b"2")], [])])

        def fail() -> None:
            with environment.read() as rows:
                for _key, _value in rows.scan(META, b"", b"z"):
                    raise ConfigError(("broken",))

        kept = []
        for _ in range(2 * READERS_MAX):  # LMDB has so many; a traceback keeps the rows that it went through
            try:
                fail()
            except ConfigError as problem:
                kept.append(problem)
        self.assertEqual(len(kept), 2 * READERS_MAX)

    def test_freePagesInsideTheFileAreCounted(self) -> None:
        found(self.directory, name="n")
        environment = Environment(self.directory)
        self.addCleanup(environment.close)
        keys = [b"%04d" % number for number in range(100)]
        environment.commit([(META, [(key, bytes(40_000)) for key in keys], [])])
        before = environment.freeOctets()
        environment.commit([(META, [], keys)])
        self.assertGreater(environment.freeOctets() - before, 3_000_000)
        size = os.stat(storePath(self.directory) / "data.mdb").st_size
        self.assertLess(environment.freeOctets(), size)

    def test_metaIsReadFromAReadOnlyEnvironment(self) -> None:
        meta = found(self.directory, name="n")
        raw = openLmdb(storePath(self.directory), readOnly=True)
        self.addCleanup(raw.close)
        self.assertEqual(readMeta(raw, self.directory), meta)
        with self.assertRaises(lmdb.Error):
            raw.begin(write=True)


class OverlayOnLmdbTests(RowsContract, SynchronousTestCase):
    """The rows that the writer's jobs get, above LMDB, keep the contract."""

    def setUp(self) -> None:
        directory = temporaryPath(self)
        found(directory, name="n")
        self.environment = Environment(directory)
        self.addCleanup(self.environment.close)
        reading = self.environment.read()
        self.rows = Overlay(reading.__enter__())
        self.addCleanup(reading.__exit__, None, None, None)


class CommittedOverlayTests(OverlayOnLmdbTests):
    """The same when what was put stands committed in LMDB before it is read or deleted."""

    def setUp(self) -> None:
        super().setUp()
        self.rows = _Committing(self.environment)


class _Committing(Overlay):
    """Commits every change at once, so that the base answers each read."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._renew()

    def _renew(self) -> None:
        self._reading = self._environment.read()
        super().__init__(self._reading.__enter__())

    def put(self, table: str, key: bytes, value: bytes) -> None:
        super().put(table, key, value)
        self._environment.commit(self.changes())
        self._renew()

    def delete(self, table: str, key: bytes) -> bool:
        present = super().delete(table, key)
        self._environment.commit(self.changes())
        self._renew()
        return present
