"""Backup and restore: round trip, verification, refusals, numbers that never go back."""

from __future__ import annotations

from pathlib import Path

import lmdb
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from jindimail.interfaces import IKeys, IReadRows
from jindimail.store import keys, records
from jindimail.store.backup import BackupUnusable, Manifest, backup, readManifest, restore
from jindimail.store.check import check
from jindimail.store.environment import Environment, StoreAbsent, StorePresent, found
from jindimail.store.overlay import Changes
from tests.store.places import temporaryPath
from tests.store.test_check import BUCKET, INBOX_ID, change, soundStore

Revived = tuple[records.MetaRecord, Changes]
LEAPING = (keys.MAILBOX, keys.CHANGE, keys.META)


def everything(rows: IReadRows) -> dict[str, list[tuple[bytes, bytes]]]:
    """All rows of all tables."""
    return {table: list(rows.scan(table, b"", b"\xff" * 64)) for table in keys.TABLES}


class BackupTests(SynchronousTestCase):
    """A sound store, backed up and restored."""

    def setUp(self) -> None:
        self.directory, self.environment = soundStore(self)
        place = temporaryPath(self)
        self.target, self.restored = place / "backup", place / "restored"

    def rowsOf(self, directory: Path) -> dict[str, list[tuple[bytes, bytes]]]:
        environment = Environment(directory)
        self.addCleanup(environment.close)
        self.assertEqual(list(check(environment.snapshot)), [])
        with environment.read() as rows:
            return everything(rows)

    def test_roundTripKeepsAllRows(self) -> None:
        backup(self.environment, self.target)
        restore(self.target, self.restored)
        with self.environment.read() as rows:
            before = everything(rows)
        after = self.rowsOf(self.restored)
        for table in keys.TABLES:
            if table not in LEAPING:
                self.assertEqual(after[table], before[table], table)
        self.assertTrue(after[keys.MESSAGE] and after[keys.BODY] and after[keys.LOG])
        self.assertEqual(len(after[keys.MAILBOX]), len(before[keys.MAILBOX]))

    def test_restoredNodeIsWhoItWasWithAGreaterIncarnation(self) -> None:
        started = self.environment.begin()
        backup(self.environment, self.target)
        meta = restore(self.target, self.restored)
        self.assertEqual(meta.incarnation, started.incarnation + 1)
        self.assertEqual((meta.arrayId, meta.node, meta.name), (started.arrayId, started.node, started.name))
        environment = Environment(self.restored)
        self.addCleanup(environment.close)
        self.assertEqual(environment.meta, meta)

    def test_restoredMailboxesNeverGiveANumberAgain(self) -> None:
        backup(self.environment, self.target)
        restore(self.target, self.restored)
        key = keys.mailboxKey(BUCKET, INBOX_ID)
        with self.environment.read() as rows:
            before = records.decode(rows.get(keys.MAILBOX, key) or b"", records.MailboxRecord)
        after = records.decode(dict(self.rowsOf(self.restored)[keys.MAILBOX])[key], records.MailboxRecord)
        self.assertGreaterEqual(after.uidNext, before.uidNext + 1_000_000)
        self.assertGreater(after.highestModSeq, before.highestModSeq + 1_000_000)
        self.assertEqual(after.changeFloor, after.highestModSeq)
        self.assertEqual(after.uidValidity, before.uidValidity)
        self.assertEqual((after.messages, after.name), (before.messages, before.name))

    def test_manyMailboxesLeapInSeveralTransactions(self) -> None:
        record = records.MailboxRecord(owner=1, name="n", uidValidity=1, removed=True)
        wanted = [keys.mailboxKey(9, number) for number in range(2500)]
        self.environment.commit([(keys.MAILBOX, [(key, records.encode(record)) for key in wanted], [])])
        backup(self.environment, self.target)
        restore(self.target, self.restored)
        after = dict(self.rowsOf(self.restored)[keys.MAILBOX])
        low = {records.decode(after[key], records.MailboxRecord).uidNext for key in wanted}
        self.assertEqual(low, {(1 << 20) + 1})

    def test_uidNextStaysInItsRange(self) -> None:
        key = keys.mailboxKey(9, 9)
        record = records.MailboxRecord(owner=1, name="n", uidValidity=1, uidNext=0xFFFFFFF0, removed=True)
        self.environment.commit([(keys.MAILBOX, [(key, records.encode(record))], [])])
        backup(self.environment, self.target)
        restore(self.target, self.restored)
        after = records.decode(dict(self.rowsOf(self.restored)[keys.MAILBOX])[key], records.MailboxRecord)
        self.assertEqual(after.uidNext, 0xFFFFFFFF)

    def test_backupOfALiveStoreIsOfOneMoment(self) -> None:
        seen: list[int] = []

        def progress(done: int, total: int, what: str) -> None:
            seen.append(done)
            if len(seen) == 1:
                change(self.environment, lambda rows: rows.put(keys.ARRAY, b"slate", b"late"))

        self.environment.commit([(keys.ARRAY, [(b"s%04d" % each, bytes(4000)) for each in range(1000)], [])])
        manifest = backup(self.environment, self.target, progress)
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-1], manifest.octets)
        restore(self.target, self.restored)
        self.assertNotIn(b"slate", dict(self.rowsOf(self.restored)[keys.ARRAY]))

    def test_backupIsCompacted(self) -> None:
        gone = [b"s%04d" % each for each in range(1000)]
        self.environment.commit([(keys.ARRAY, [(key, bytes(4000)) for key in gone], [])])
        self.environment.commit([(keys.ARRAY, [], gone)])
        size = (self.environment.path / "data.mdb").stat().st_size
        self.assertGreater(size, 4_000_000)
        self.assertLess(backup(self.environment, self.target).octets, size // 4)

    def test_restoreTellsItsProgress(self) -> None:
        manifest = backup(self.environment, self.target)
        steps: list[tuple[int, int, str]] = []
        restore(self.target, self.restored, lambda *step: steps.append(step))
        self.assertEqual(steps[-1][:2], (manifest.octets, manifest.octets))

    def test_backupIsForTheOwnerAlone(self) -> None:
        backup(self.environment, self.target)
        self.assertEqual(self.target.stat().st_mode & 0o777, 0o700)
        for path in self.target.iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)

    def test_nothingIsBackedUpOverSomething(self) -> None:
        self.target.mkdir(parents=True)
        (self.target / "precious").write_text("data")
        with self.assertRaises(BackupUnusable):
            backup(self.environment, self.target)
        self.assertEqual([path.name for path in self.target.iterdir()], ["precious"])

    def test_unfinishedBackupIsNotTrodden(self) -> None:
        partial = self.target.with_name("backup.partial")
        partial.mkdir(parents=True)
        (partial / "data.mdb").write_bytes(b"half")
        with self.assertRaises(BackupUnusable) as caught:
            backup(self.environment, self.target)
        self.assertIn(str(partial), caught.exception.problems[0])
        self.assertEqual((partial / "data.mdb").read_bytes(), b"half")

    def test_emptyTargetIsTaken(self) -> None:
        self.target.mkdir(parents=True)
        backup(self.environment, self.target)
        self.assertEqual(readManifest(self.target).name, "n")

    def test_failedBackupLeavesNothing(self) -> None:
        def fail(*step: object) -> None:
            raise OSError("disk full")

        with self.assertRaises(OSError):
            backup(self.environment, self.target, fail)
        self.assertEqual(list(self.target.parent.iterdir()), [])

    def test_failureOfTheCopyItselfIsTold(self) -> None:
        def fail(descriptor: int) -> None:
            raise lmdb.Error("unreadable")

        self.patch(self.environment, "copyTo", fail)
        with self.assertRaises(lmdb.Error):
            backup(self.environment, self.target)
        self.assertEqual(list(self.target.parent.iterdir()), [])

    def test_damagedBackupIsRefusedAndNothingIsLeft(self) -> None:
        backup(self.environment, self.target)
        path = self.target / "data.mdb"
        octets = bytearray(path.read_bytes())
        octets[len(octets) // 2] ^= 1
        path.write_bytes(octets)
        with self.assertRaises(BackupUnusable) as caught:
            restore(self.target, self.restored)
        self.assertIn("digest", caught.exception.problems[0])
        self.assertEqual(list(self.restored.iterdir()), [])
        with self.assertRaises(StoreAbsent):
            Environment(self.restored)

    def test_shortenedBackupIsRefused(self) -> None:
        backup(self.environment, self.target)
        path = self.target / "data.mdb"
        path.write_bytes(path.read_bytes()[:-4096])
        with self.assertRaises(BackupUnusable) as caught:
            restore(self.target, self.restored)
        self.assertIn("octets instead of", caught.exception.problems[0])

    def test_backupWithoutItsFilesIsRefused(self) -> None:
        backup(self.environment, self.target)
        (self.target / "data.mdb").rename(self.target / "away")
        with self.assertRaises(BackupUnusable):
            restore(self.target, self.restored)
        (self.target / "manifest.json").unlink()
        with self.assertRaises(BackupUnusable):
            restore(self.target, self.restored)

    def test_manifestOfAnotherFormatOrNodeIsRefused(self) -> None:
        backup(self.environment, self.target)
        path = self.target / "manifest.json"
        text = path.read_text()
        for old, new in (('"format": 1', '"format": 2'), ('"node": 1', '"node": 2')):
            self.assertIn(old, text)
            path.write_text(text.replace(old, new))
            with self.assertRaises(BackupUnusable):
                restore(self.target, self.restored)
        path.write_text(text)
        restore(self.target, self.restored)

    def test_whoRevivesItHasTheLastWord(self) -> None:
        backup(self.environment, self.target)

        def refuse(rows: IKeys, meta: records.MetaRecord) -> Revived:
            self.assertTrue(list(rows.scan(keys.MAILBOX, b"", b"\xff")))
            raise BackupUnusable(("no",))

        with self.assertRaises(BackupUnusable):
            restore(self.target, self.restored, revive=refuse)
        self.assertEqual(list(self.restored.iterdir()), [])

    def test_whatRevivesItChangesRowsAndWhoseTheyAre(self) -> None:
        self.environment.commit([(keys.ARRAY, [(b"sgone", b"1")], [])])
        backup(self.environment, self.target)

        def revive(rows: IKeys, meta: records.MetaRecord) -> Revived:
            return replace(meta, arrayId=b"b" * 16), [
                (keys.META, [(b"mark", b"1")], []),
                (keys.ARRAY, [], [b"sgone"]),
            ]

        meta = restore(self.target, self.restored, revive=revive)
        after = self.rowsOf(self.restored)
        self.assertEqual(meta.arrayId, b"b" * 16)
        self.assertIn((b"mark", b"1"), after[keys.META])
        self.assertNotIn(b"sgone", dict(after[keys.ARRAY]))

    def test_nothingIsRestoredOverSomething(self) -> None:
        backup(self.environment, self.target)
        other = temporaryPath(self)
        found(other, name="other")
        with self.assertRaises(StorePresent):
            restore(self.target, other)
        self.restored.mkdir(parents=True)
        (self.restored / "precious").write_text("data")
        with self.assertRaises(StorePresent):
            restore(self.target, self.restored)
        self.assertEqual([path.name for path in self.restored.iterdir()], ["precious"])

    def test_manifestSaysWhatItIs(self) -> None:
        manifest = backup(self.environment, self.target)
        self.assertEqual(readManifest(self.target), manifest)
        self.assertIsInstance(manifest, Manifest)
        self.assertEqual(manifest.arrayId, self.environment.meta.arrayId.hex())
        self.assertEqual(manifest.octets, (self.target / "data.mdb").stat().st_size)
