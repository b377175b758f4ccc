"""Checking the changes of a bucket's mailboxes: one for every MODSEQ in (changeFloor, HIGHESTMODSEQ]. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.store.bucketfacts import BucketFacts, Row
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import (
    CHANGE,
    changeKey,
)
from jindimail.store.records import (
    ADDED,
    FLAGS,
    VANISHED,
    ChangeRecord,
    decode,
)


def checkChanges(facts: BucketFacts) -> Iterator[Finding]:
    """What is wrong with the bucket's changes themselves."""
    seen = set()
    for mailboxId, group in groupby(facts.scan(CHANGE), mailboxOf):
        seen.add(mailboxId)
        yield from _checkChangesOf(facts, mailboxId, group)
    for mailboxId in facts.mailboxes:
        if mailboxId not in seen:
            yield from _checkChangesOf(facts, mailboxId, iter(()))


def _checkChangesOf(facts: BucketFacts, mailboxId: int, rows: Iterator[Row]) -> Iterator[Finding]:
    mailbox = facts.mailboxes.get(mailboxId)
    floor, highest = (mailbox.changeFloor, mailbox.highestModSeq) if mailbox else (0, 0)
    expected = floor + 1
    for key, value in rows:
        modSeq = int.from_bytes(key[10:], "big")
        where = f"{facts.which(mailboxId)}, MODSEQ {modSeq}"
        if mailbox is None or not floor < modSeq <= highest:
            text = f"changes go from {floor + 1} to {highest}"
            yield facts.finding(Kind.CHANGE_STRAY, CHANGE, key, where, text)
            continue
        if modSeq != expected:
            yield _missingChanges(facts, mailboxId, expected, modSeq - 1)
        expected = modSeq + 1
        problem = _wrongChange(value, mailbox.uidNext)
        if problem:
            yield facts.finding(Kind.CHANGE_BROKEN, CHANGE, key, where, problem)
    if expected <= highest:
        yield _missingChanges(facts, mailboxId, expected, highest)


def _missingChanges(facts: BucketFacts, mailboxId: int, first: int, last: int) -> Finding:
    key = changeKey(facts.bucket, mailboxId, first)
    text = f"no change of MODSEQ {first}" + (f" to {last}" if last > first else "")
    return facts.finding(Kind.CHANGE_MISSING, CHANGE, key, facts.which(mailboxId), text)


class Changes:
    """The changes of one mailbox, to look up what they name."""

    __slots__ = ("_bucket", "_known", "_mailboxId", "_rows")

    def __init__(self, rows: IReadRows, bucket: int, mailboxId: int) -> None:
        self._rows = rows
        self._bucket = bucket
        self._mailboxId = mailboxId
        self._known: dict[int, tuple[tuple[int, int], ...] | None] = {}

    def names(self, modSeq: int, uid: int) -> bool:
        """Whether a change names a UID; one that is missing or broken is found elsewhere."""
        if modSeq not in self._known:
            self._known[modSeq] = self._read(modSeq)
        ranges = self._known[modSeq]
        if ranges is None:
            return True
        place = bisect_right(ranges, (uid, 1 << 32)) - 1
        return place >= 0 and ranges[place][0] <= uid <= ranges[place][1]

    def _read(self, modSeq: int) -> tuple[tuple[int, int], ...] | None:
        octets = self._rows.get(CHANGE, changeKey(self._bucket, self._mailboxId, modSeq))
        if octets is None or _wrongChange(octets, 1 << 33):
            return None
        record = decode(octets, ChangeRecord)
        return () if record.kind == VANISHED else record.ranges


def mailboxOf(row: Row) -> int:
    """The mailbox of a message or change row."""
    return int.from_bytes(row[0][2:10], "big")


def _wrongChange(octets: bytes, uidNext: int) -> str:
    """What is wrong with a change row, or an empty text."""
    try:
        record = decode(octets, ChangeRecord)
    except Corrupt as problem:
        return str(problem)
    if record.kind not in (ADDED, FLAGS, VANISHED) or not record.ranges:
        return "it names no UIDs, or is of unknown kind"
    last = 0
    for low, high in record.ranges:
        if not last < low <= high < uidNext:
            return f"its UIDs do not ascend below UIDNEXT: {low}:{high}"
        last = high
    return ""
