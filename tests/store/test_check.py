"""The check: silent on a sound store, and each planted corruption is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.durable import HardRecord, encodeHard
from jindimail.replication.durable import foundGroups as _foundGroups
from jindimail.store import keys, records
from jindimail.store.check import HardPlaces, check
from jindimail.store.checkbodies import checkBodies
from jindimail.store.environment import Environment, found
from jindimail.store.finding import Finding, Kind
from jindimail.store.memory import MemoryRows
from jindimail.store.overlay import Overlay
from tests.store.places import temporaryPath
from tests.store.sound import (
    ACCOUNT_ID,
    ADDRESS,
    BUCKET,
    LARGE_ID,
    NODE,
    OTHER,
    OTHER_BUCKET,
    SHARED_ID,
    SMALL,
    SMALL_ID,
    WAITING_ID,
    fillSound,
)

INBOX_ID, SENT_ID = 1 << 8, 1 << 8 | 1
GROUP = BUCKET + 1
Corruption = Callable[[Overlay], object]


def soundStore(test: SynchronousTestCase) -> tuple[Path, Environment]:
    """A sound store on disk."""
    directory = temporaryPath(test)
    found(directory, name="n", node=NODE)
    environment = Environment(directory)
    test.addCleanup(environment.close)
    change(environment, fillSound)
    return directory, environment


def change(environment: Environment, job: Corruption) -> None:
    """Write rows as the writer does."""
    with environment.read() as base:
        rows = Overlay(base)
        job(rows)
    environment.commit(rows.changes())


def edit(table: str, key: bytes, kind: type[records.Record], **fields: object) -> Corruption:
    """Change fields of a record; a callable is given the old value."""

    def job(rows: Overlay) -> None:
        record = records.decode(rows.get(table, key) or b"", kind)
        values = {
            name: value(getattr(record, name)) if callable(value) else value for name, value in fields.items()
        }
        rows.put(table, key, records.encode(replace(record, **values)))

    return job


def editRow(mailboxId: int, uid: int, **fields: object) -> Corruption:
    """Change fields of a message row."""
    key = keys.messageKey(BUCKET, mailboxId, uid)

    def job(rows: Overlay) -> None:
        row = records.unpackRow(uid, rows.get(keys.MESSAGE, key) or b"")
        rows.put(keys.MESSAGE, key, records.packRow(replace(row, **fields)))

    return job


def drop(table: str, key: bytes) -> Corruption:
    """Delete a row that is there."""

    def job(rows: Overlay) -> None:
        assert rows.delete(table, key)

    return job


def put(table: str, key: bytes, value: bytes) -> Corruption:
    """Write a row."""
    return lambda rows: rows.put(table, key, value)


def flip(table: str, key: bytes, place: int) -> Corruption:
    """Flip one bit."""

    def job(rows: Overlay) -> None:
        octets = bytearray(rows.get(table, key) or b"")
        octets[place] ^= 1
        rows.put(table, key, bytes(octets))

    return job


LARGE_0, LARGE_1, LARGE_2, LARGE_3 = (keys.chunkKey(BUCKET, LARGE_ID, number) for number in range(4))
SMALL_REF = keys.bodyrefKey(BUCKET, SMALL_ID)
INBOX_KEY = keys.mailboxKey(BUCKET, INBOX_ID)
ACCOUNT_KEY = keys.accountKey(BUCKET, ACCOUNT_ID)
HARD_KEY = keys.groupKey(GROUP)
STRAY_ID = b"z" * 16

CORRUPTIONS: dict[str, tuple[Corruption, Kind, str]] = {
    "a flipped octet of a small body": (
        flip(keys.BODY, keys.chunkKey(BUCKET, SMALL_ID, 0), 5),
        Kind.BODY_DAMAGED,
        SMALL_ID.hex(),
    ),
    "a flipped octet of a later chunk": (flip(keys.BODY, LARGE_2, 100), Kind.BODY_DAMAGED, LARGE_ID.hex()),
    "a missing first chunk": (drop(keys.BODY, LARGE_0), Kind.CHUNK_MISSING, "chunk 0"),
    "a missing middle chunk": (drop(keys.BODY, LARGE_1), Kind.CHUNK_MISSING, "chunk 1"),
    "a missing last chunk": (drop(keys.BODY, LARGE_2), Kind.CHUNK_MISSING, "chunk 2"),
    "an extra chunk": (put(keys.BODY, LARGE_3, b"more"), Kind.CHUNK_EXTRA, "chunk 3"),
    "a short chunk": (put(keys.BODY, LARGE_1, b"short"), Kind.BODY_DAMAGED, "octets instead of"),
    "a body that nothing knows": (
        put(keys.BODY, keys.chunkKey(BUCKET, STRAY_ID, 0), b"x"),
        Kind.BODY_ORPHAN,
        STRAY_ID.hex(),
    ),
    "too many references": (
        edit(keys.BODYREF, SMALL_REF, records.BodyrefRecord, references=9),
        Kind.REFERENCES_WRONG,
        "9 references; 2",
    ),
    "too few references": (
        edit(keys.BODYREF, SMALL_REF, records.BodyrefRecord, references=1),
        Kind.REFERENCES_WRONG,
        "1 references; 2",
    ),
    "a message row without bodyref": (drop(keys.BODYREF, SMALL_REF), Kind.MESSAGE_DANGLING, SMALL_ID.hex()),
    "a message row of another body": (
        editRow(INBOX_ID, 2, bodyId=STRAY_ID),
        Kind.MESSAGE_DANGLING,
        "UID 2",
    ),
    "a message row of no mailbox": (
        lambda rows: rows.put(
            keys.MESSAGE,
            keys.messageKey(BUCKET, 999, 1),
            rows.get(keys.MESSAGE, keys.messageKey(BUCKET, INBOX_ID, 1)) or b"",
        ),
        Kind.MESSAGE_DANGLING,
        "mailbox ? (999), UID 1",
    ),
    "a bodyref that no message names": (
        lambda rows: [rows.delete(keys.MESSAGE, keys.messageKey(BUCKET, INBOX_ID, 2))],
        Kind.BODYREF_UNUSED,
        LARGE_ID.hex(),
    ),
    "a header longer than its body": (
        edit(
            keys.SUMMARY,
            keys.summaryKey(BUCKET, SMALL_ID),
            records.SummaryRecord,
            headerOctets=len(SMALL) + 1,
        ),
        Kind.SUMMARY_BROKEN,
        SMALL_ID.hex(),
    ),
    "a garbage special use": (
        edit(keys.MAILBOX, keys.mailboxKey(BUCKET, SENT_ID), records.MailboxRecord, specialUse="\\Sant"),
        Kind.MAILBOX_BROKEN,
        "mailbox Sent",
    ),
    "an outcome that points to no mailbox": (
        edit(
            keys.DELIVERY,
            keys.deliveryKey(BUCKET, SMALL_ID),
            records.DeliveryRecord,
            filed=lambda filed: (replace(filed[0], mailboxId=1 << 40), *filed[1:]),
        ),
        Kind.DELIVERY_BROKEN,
        SMALL_ID.hex(),
    ),
    "an outcome of a UID to come": (
        edit(
            keys.DELIVERY,
            keys.deliveryKey(BUCKET, SMALL_ID),
            records.DeliveryRecord,
            filed=lambda filed: (replace(filed[0], uid=99), *filed[1:]),
        ),
        Kind.DELIVERY_BROKEN,
        SMALL_ID.hex(),
    ),
    "mail that waits without its body": (
        drop(keys.BODYREF, keys.bodyrefKey(OTHER_BUCKET, WAITING_ID)),
        Kind.QUEUE_BROKEN,
        WAITING_ID.hex(),
    ),
    "a body that waits no longer": (
        drop(keys.QUEUE, keys.queueKey(OTHER_BUCKET, 3, WAITING_ID, BUCKET)),
        Kind.BODYREF_UNUSED,
        WAITING_ID.hex(),
    ),
    "mail that waits for nobody": (
        edit(keys.QUEUE, keys.queueKey(OTHER_BUCKET, 3, WAITING_ID, BUCKET), records.QueueRecord, waiting=()),
        Kind.QUEUE_BROKEN,
        WAITING_ID.hex(),
    ),
    "a wrong size": (editRow(INBOX_ID, 1, size=3), Kind.MESSAGE_SIZE_WRONG, "UID 1"),
    "a missing summary": (
        drop(keys.SUMMARY, keys.summaryKey(BUCKET, SMALL_ID)),
        Kind.SUMMARY_MISSING,
        SMALL_ID.hex(),
    ),
    "a summary of nothing": (
        put(keys.SUMMARY, keys.summaryKey(BUCKET, STRAY_ID), b"\x01"),
        Kind.SUMMARY_ORPHAN,
        STRAY_ID.hex(),
    ),
    "an undecodable summary": (
        put(keys.SUMMARY, keys.summaryKey(BUCKET, SMALL_ID), b"\x01\xff"),
        Kind.UNDECODABLE,
        "table summary",
    ),
    "a missing prefix": (
        drop(keys.SUMMARY, keys.prefixKey(BUCKET, SHARED_ID, 1)),
        Kind.PREFIX_MISSING,
        SHARED_ID.hex(),
    ),
    "a prefix of nothing": (
        put(keys.SUMMARY, keys.prefixKey(BUCKET, SMALL_ID, 4), b"x"),
        Kind.PREFIX_ORPHAN,
        "prefix 4",
    ),
    "a UID at UIDNEXT": (
        edit(keys.MAILBOX, INBOX_KEY, records.MailboxRecord, uidNext=4),
        Kind.UID_TOO_HIGH,
        "mailbox INBOX (256), UID 4",
    ),
    "a MODSEQ above HIGHESTMODSEQ": (
        editRow(INBOX_ID, 1, modSeq=5000),
        Kind.MODSEQ_TOO_HIGH,
        "MODSEQ 5000",
    ),
    "a MODSEQ that no change names": (editRow(INBOX_ID, 3, modSeq=2), Kind.CHANGE_BROKEN, "UID 3"),
    "an unknown keyword": (editRow(SENT_ID, 2, flags=1 << 40), Kind.KEYWORD_UNKNOWN, "Sent"),
    "a missing change": (
        drop(keys.CHANGE, keys.changeKey(BUCKET, INBOX_ID, 3)),
        Kind.CHANGE_MISSING,
        "MODSEQ 3",
    ),
    "a missing last change": (
        drop(keys.CHANGE, keys.changeKey(BUCKET, INBOX_ID, 8)),
        Kind.CHANGE_MISSING,
        "MODSEQ 8",
    ),
    "an undecodable change": (
        put(keys.CHANGE, keys.changeKey(BUCKET, INBOX_ID, 3), b"\x01\x00"),
        Kind.CHANGE_BROKEN,
        "MODSEQ 3",
    ),
    "a change that descends": (
        put(
            keys.CHANGE,
            keys.changeKey(BUCKET, INBOX_ID, 8),
            records.encode(records.ChangeRecord(kind=records.VANISHED, ranges=((3, 3), (2, 2)))),
        ),
        Kind.CHANGE_BROKEN,
        "MODSEQ 8",
    ),
    "a change of UIDs to come": (
        put(
            keys.CHANGE,
            keys.changeKey(BUCKET, INBOX_ID, 8),
            records.encode(records.ChangeRecord(kind=records.VANISHED, ranges=((6, 6),))),
        ),
        Kind.CHANGE_BROKEN,
        "MODSEQ 8",
    ),
    "a change to come": (
        put(
            keys.CHANGE,
            keys.changeKey(BUCKET, INBOX_ID, 9),
            records.encode(records.ChangeRecord(kind=records.VANISHED, ranges=((1, 1),))),
        ),
        Kind.CHANGE_STRAY,
        "MODSEQ 9",
    ),
    "a change of no mailbox": (
        put(keys.CHANGE, keys.changeKey(BUCKET, 999, 2), b"\x01"),
        Kind.CHANGE_STRAY,
        "(999)",
    ),
    "a wrong count of messages": (
        edit(keys.MAILBOX, INBOX_KEY, records.MailboxRecord, messages=3),
        Kind.COUNTS_WRONG,
        "INBOX",
    ),
    "a wrong count of unseen": (
        edit(keys.MAILBOX, INBOX_KEY, records.MailboxRecord, unseen=4),
        Kind.COUNTS_WRONG,
        "INBOX",
    ),
    "a wrong count of deleted": (
        edit(keys.MAILBOX, INBOX_KEY, records.MailboxRecord, deleted=1),
        Kind.COUNTS_WRONG,
        "INBOX",
    ),
    "wrong octets": (
        edit(keys.MAILBOX, INBOX_KEY, records.MailboxRecord, octets=lambda octets: octets + 1),
        Kind.COUNTS_WRONG,
        "INBOX",
    ),
    "a count in an empty mailbox": (
        edit(keys.MAILBOX, keys.mailboxKey(OTHER_BUCKET, SENT_ID), records.MailboxRecord, messages=1),
        Kind.COUNTS_WRONG,
        f"bucket {OTHER_BUCKET}, mailbox Sent",
    ),
    "a wrong usage": (
        edit(keys.USER, keys.usageKey(BUCKET, ACCOUNT_ID), records.UsageRecord, octets=0),
        Kind.USAGE_WRONG,
        ADDRESS,
    ),
    "a name of no mailbox": (
        put(keys.USER, keys.nameKey(BUCKET, ACCOUNT_ID, "Ghost"), (999).to_bytes(8, "big")),
        Kind.NAME_DANGLING,
        "'Ghost'",
    ),
    "a name of another mailbox": (
        put(keys.USER, keys.nameKey(BUCKET, ACCOUNT_ID, "Second"), SENT_ID.to_bytes(8, "big")),
        Kind.NAME_DANGLING,
        "'Second'",
    ),
    "a mailbox without name": (
        drop(keys.USER, keys.nameKey(BUCKET, ACCOUNT_ID, "Sent")),
        Kind.MAILBOX_NAMELESS,
        "Sent",
    ),
    "an account without INBOX": (
        drop(keys.USER, keys.nameKey(BUCKET, ACCOUNT_ID, "INBOX")),
        Kind.ACCOUNT_WITHOUT_INBOX,
        ADDRESS,
    ),
    "an INBOX of another id": (
        edit(keys.USER, ACCOUNT_KEY, records.AccountRecord, inboxId=SENT_ID),
        Kind.ACCOUNT_WITHOUT_INBOX,
        ADDRESS,
    ),
    "mailboxes of no account": (drop(keys.USER, ACCOUNT_KEY), Kind.MAILBOX_OWNERLESS, "INBOX"),
    "rows of no account": (
        put(keys.USER, keys.usageKey(BUCKET, 5), records.encode(records.UsageRecord(octets=0, messages=0))),
        Kind.ACCOUNT_MISSING,
        "account ? (5)",
    ),
    "an address of no account": (
        edit(keys.ADDRESS, keys.addressKey(BUCKET, ADDRESS), records.AddressRecord, accountId=5),
        Kind.ADDRESS_DANGLING,
        ADDRESS,
    ),
    "an address of no account in another bucket": (
        edit(
            keys.ADDRESS,
            keys.addressKey(OTHER_BUCKET, "alias@example.org"),
            records.AddressRecord,
            accountId=5,
        ),
        Kind.ADDRESS_DANGLING,
        "alias@example.org",
    ),
    "an undecodable account": (put(keys.USER, ACCOUNT_KEY, b"\x02"), Kind.UNDECODABLE, "table user"),
    "an undecodable mailbox": (put(keys.MAILBOX, INBOX_KEY, b""), Kind.UNDECODABLE, "table mailbox"),
    "an undecodable message row": (
        put(keys.MESSAGE, keys.messageKey(BUCKET, INBOX_ID, 1), b"\x01short"),
        Kind.UNDECODABLE,
        "UID 1",
    ),
    "an undecodable address": (
        put(keys.ADDRESS, keys.addressKey(BUCKET, ADDRESS), b"\x01\xc1"),
        Kind.UNDECODABLE,
        "table address",
    ),
    "an undecodable delivery": (
        put(keys.DELIVERY, keys.deliveryKey(BUCKET, STRAY_ID), b"?"),
        Kind.UNDECODABLE,
        STRAY_ID.hex(),
    ),
    "an undecodable bodyref": (put(keys.BODYREF, SMALL_REF, b"?"), Kind.UNDECODABLE, "table bodyref"),
    "an undecodable domain": (
        put(keys.ARRAY, keys.domainKey("example.org"), b"?"),
        Kind.UNDECODABLE,
        "example.org",
    ),
    "an undecodable lock": (
        put(keys.USER, keys.popLockKey(BUCKET, ACCOUNT_ID), b"?"),
        Kind.UNDECODABLE,
        "table user",
    ),
    "an undecodable replica": (put(keys.HARD, HARD_KEY, b"?"), Kind.UNDECODABLE, f"group {GROUP}"),
    "an undecodable log row": (
        put(keys.LOG, keys.logKey(GROUP, 2), b"?"),
        Kind.UNDECODABLE,
        f"group {GROUP}",
    ),
    "an account whose address is gone": (
        drop(keys.ADDRESS, keys.addressKey(BUCKET, ADDRESS)),
        Kind.ADDRESS_MISSING,
        f"its address {ADDRESS}",
    ),
    "an address that leads to another's account": (
        edit(keys.ADDRESS, keys.addressKey(OTHER_BUCKET, OTHER), records.AddressRecord, accountId=79),
        Kind.ADDRESS_MISSING,
        f"its address {OTHER}",
    ),
    "an account without address": (
        edit(keys.USER, ACCOUNT_KEY, records.AccountRecord, addresses=()),
        Kind.ADDRESS_MISSING,
        f"account ? ({ACCOUNT_ID})",
    ),
    "a domain that is gone": (
        drop(keys.ARRAY, keys.domainKey("example.org")),
        Kind.DOMAIN_MISSING,
        f"the domain of {ADDRESS}",
    ),
    "a UIDVALIDITY of 0": (
        edit(keys.MAILBOX, INBOX_KEY, records.MailboxRecord, uidValidity=0),
        Kind.MAILBOX_BROKEN,
        "mailbox INBOX (256)",
    ),
    "a UIDVALIDITY that may be given again": (
        edit(keys.MAILBOX, INBOX_KEY, records.MailboxRecord, uidValidity=102),
        Kind.MAILBOX_BROKEN,
        "the account's highest was 101",
    ),
    "a HIGHESTMODSEQ below what was dropped": (
        edit(keys.MAILBOX, keys.mailboxKey(OTHER_BUCKET, SENT_ID), records.MailboxRecord, highestModSeq=0),
        Kind.MAILBOX_BROKEN,
        "mailbox Sent",
    ),
    "a body that nobody keeps": (
        edit(keys.BODYREF, SMALL_REF, records.BodyrefRecord, keepers=()),
        Kind.KEEPERS_MISSING,
        SMALL_ID.hex(),
    ),
    "a row of no bucket": (
        put(keys.MESSAGE, keys.messageKey(300, 1, 1), bytes(51)),
        Kind.ROW_STRAY,
        "bucket 300",
    ),
    "a log of terms to come": (
        edit(keys.HARD, HARD_KEY, HardRecord, term=0),
        Kind.LOG_BROKEN,
        f"group {GROUP}: entry 1 is of term 1",
    ),
    "a gap in a log": (drop(keys.LOG, keys.logKey(GROUP, 3)), Kind.LOG_GAP, "from 3 to 3"),
    "a gap at a log's beginning": (drop(keys.LOG, keys.logKey(GROUP, 1)), Kind.LOG_GAP, "from 1 to 1"),
    "an applied index beyond the log": (
        edit(keys.HARD, HARD_KEY, HardRecord, applied=50),
        Kind.LOG_SHORT,
        "applied is 50",
    ),
    "a log that lost its end": (
        edit(keys.HARD, HARD_KEY, HardRecord, lastIndex=50),
        Kind.LOG_SHORT,
        f"group {GROUP}",
    ),
    "a log row from before the log": (
        edit(keys.HARD, HARD_KEY, HardRecord, baseIndex=2),
        Kind.LOG_STRAY,
        "index 1",
    ),
    "a log of no replica": (put(keys.LOG, keys.logKey(300, 1), bytes(20)), Kind.LOG_STRAY, "group 300"),
}


class CheckTests(SynchronousTestCase):
    """Checks of whole stores."""

    def test_soundStoreIsSilent(self) -> None:
        _, environment = soundStore(self)
        self.assertEqual([str(finding) for finding in check(environment.snapshot)], [])

    def test_theLogOfAReplicaThatIsMadeAnewIsNotLookedAt(self) -> None:
        _, environment = soundStore(self)
        change(environment, drop(keys.LOG, keys.logKey(GROUP, 2)))
        self.assertNotEqual(list(check(environment.snapshot)), [])
        change(environment, edit(keys.HARD, keys.groupKey(GROUP), HardRecord, installing=True))
        self.assertEqual([str(finding) for finding in check(environment.snapshot)], [])

    def test_emptyStoreIsSilent(self) -> None:
        directory = temporaryPath(self)
        found(directory, name="n")
        environment = Environment(directory)
        self.addCleanup(environment.close)
        self.assertEqual(list(check(environment.snapshot)), [])

    def test_everyPlantedCorruptionIsFoundAndNamed(self) -> None:
        _, environment = soundStore(self)
        for name, (corrupt, kind, where) in CORRUPTIONS.items():
            with environment.read() as base:
                rows = Overlay(base)
                corrupt(rows)
                findings = list(check(lambda rows=rows: _Held(rows)))
            matching = [each for each in findings if each.kind is kind and where in str(each)]
            self.assertTrue(matching, f"{name}: {[str(each) for each in findings]}")

    def test_nothingElseIsFoundWhereOneThingIsWrong(self) -> None:
        alone = {
            Kind.BODY_DAMAGED,
            Kind.BODY_ORPHAN,
            Kind.CHUNK_MISSING,
            Kind.CHUNK_EXTRA,
            Kind.REFERENCES_WRONG,
            Kind.COUNTS_WRONG,
            Kind.USAGE_WRONG,
            Kind.CHANGE_MISSING,
            Kind.CHANGE_STRAY,
            Kind.SUMMARY_MISSING,
            Kind.LOG_GAP,
            Kind.LOG_SHORT,
            Kind.MAILBOX_BROKEN,
            Kind.KEEPERS_MISSING,
            Kind.ROW_STRAY,
        }
        _, environment = soundStore(self)
        for name, (corrupt, kind, _) in CORRUPTIONS.items():
            if kind in alone:
                with environment.read() as base:
                    rows = Overlay(base)
                    corrupt(rows)
                    findings = list(check(lambda rows=rows: _Held(rows)))
                self.assertEqual([each.kind for each in findings], [kind], f"{name}: {findings}")

    def test_onlyWhatASoundNodeMayLeaveIsAWarning(self) -> None:
        self.assertEqual([kind for kind in Kind if kind.isWarning], [Kind.BODY_ORPHAN, Kind.DOMAIN_MISSING])

    def test_corruptionOnDiskIsFound(self) -> None:
        _, environment = soundStore(self)
        change(environment, CORRUPTIONS["a flipped octet of a small body"][0])
        findings = list(check(environment.snapshot))
        self.assertEqual([finding.kind for finding in findings], [Kind.BODY_DAMAGED])
        self.assertEqual(findings[0].table, keys.BODY)
        self.assertEqual(findings[0].key, keys.chunkKey(BUCKET, SMALL_ID, 0))

    def test_progressGoesFromNothingToAll(self) -> None:
        _, environment = soundStore(self)
        steps: list[tuple[int, int, str]] = []
        list(check(environment.snapshot, lambda *step: steps.append(step)))
        done = [step[0] for step in steps]
        self.assertEqual(done, sorted(done))
        self.assertEqual((done[0], done[-1]), (0, steps[0][1]))

    def test_bodiesAreReadAFewAtATime(self) -> None:
        _, environment = soundStore(self)
        with environment.read() as rows:
            seen, afterId = 0, b""
            while True:
                findings, next_ = checkBodies(rows, BUCKET, NODE, afterId=afterId, octetsMax=0)
                self.assertEqual(findings, [])
                seen += 1
                if next_ is None:
                    break
                self.assertGreater(next_, afterId)
                afterId = next_
        self.assertEqual(seen, 3)

    def test_bodyKeptElsewhereIsNotMissed(self) -> None:
        _, environment = soundStore(self)

        def job(rows: Overlay) -> None:
            edit(keys.BODYREF, SMALL_REF, records.BodyrefRecord, keepers=(8, 9))(rows)
            rows.delete(keys.BODY, keys.chunkKey(BUCKET, SMALL_ID, 0))

        change(environment, job)
        self.assertEqual(list(check(environment.snapshot)), [])

    def test_halfACopyThatTheNodeIsNotNamedForIsNoDamage(self) -> None:
        _, environment = soundStore(self)

        def job(rows: Overlay) -> None:
            edit(
                keys.BODYREF,
                keys.bodyrefKey(BUCKET, LARGE_ID),
                records.BodyrefRecord,
                keepers=(8, 9),
            )(rows)
            rows.delete(keys.BODY, LARGE_2)  # the put was given up before its end, or still goes on

        change(environment, job)
        self.assertEqual(list(check(environment.snapshot)), [])

    def test_hardRowIsReadAsReplicationWritesIt(self) -> None:
        rows = MemoryRows()
        _foundGroups(rows, [3], node=1)
        record = records.decode(rows.get(keys.HARD, keys.groupKey(3)) or b"", HardRecord)
        changed = replace(record, applied=7, baseIndex=5, lastIndex=9, replicaId=2)
        places = records.decode(encodeHard(changed), HardPlaces)
        self.assertEqual((places.applied, places.baseIndex, places.lastIndex, places.replicaId), (7, 5, 9, 2))
        self.assertEqual(HardPlaces.__struct_fields__, HardRecord.__struct_fields__)

    def test_findingTellsWhatAndWhere(self) -> None:
        finding = Finding(Kind.UID_TOO_HIGH, "message", b"\x01\x02", "bucket 1, UID 7", "UIDNEXT is 7")
        self.assertEqual(str(finding), "uid-too-high: bucket 1, UID 7: UIDNEXT is 7 [message 0102]")


class _Held:
    """A snapshot of rows that stand already."""

    def __init__(self, rows: Overlay) -> None:
        self._rows = rows

    def __enter__(self) -> Overlay:
        return self._rows

    def __exit__(self, *details: object) -> None:
        pass
