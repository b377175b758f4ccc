"""
A session's view of its mailbox: which message has which number, and what the client has yet to be told (RFC 3501 §2.3.1, §7).

The messages stand in three parallel arrays in ascending order of UID; position p is message sequence number p + 1. Changes from the
store are `apply`-ed at once, but what the client believes changes only with `take`:

- a message that is gone keeps its number until its EXPUNGE may be told, which is not while FETCH, STORE or SEARCH answers
  (§7.4.1): numbers in pipelined commands would hit other messages;
- EXISTS and FETCH may be told at any time, and come after the EXPUNGEs.

Invariants: UIDs ascend; a vanished UID is in the arrays until told; a changed position's flags differ from what was told, or its
MODSEQ does.

Pure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jindimail.imap4.syntax import Ranges, resolveRanges
from jindimail.model import Change, UidSet, Vanished
from jindimail.store.records import MessageRow

Spans = tuple[tuple[int, int], ...]
"""Positions as ascending, disjoint half-open ranges."""


@dataclass(frozen=True, slots=True)
class Updates:
    """What the client is told, in this order: EXPUNGEs (each number as of its turn), EXISTS, FETCH of positions."""

    expunged: tuple[int, ...]
    exists: int | None
    changed: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.expunged or self.changed or self.exists is not None)


class View:
    """The messages of one selected mailbox as one client numbers them."""

    def __init__(self, rows: Sequence[MessageRow], modSeq: int) -> None:
        """The rows ascend by UID; all changes up to `modSeq` are in them."""
        self.uids, self.flags, self.modSeqs = array("I"), array("Q"), array("Q")
        self.modSeq = modSeq
        self.tellsModSeqs = False  # CONDSTORE: a new MODSEQ alone is worth telling (RFC 7162 §3.1)
        self._told = 0
        self._vanished: set[int] = set()
        self._changed: set[int] = set()
        self.load(rows)

    def load(self, rows: Sequence[MessageRow]) -> None:
        """More rows, behind those that are there, before anything is told."""
        self.uids.extend([row.uid for row in rows])
        self.flags.extend([row.flags for row in rows])
        self.modSeqs.extend([row.modSeq for row in rows])
        self._told = len(self.uids)

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def hasVanished(self) -> bool:
        """Whether messages are gone that the client still numbers."""
        return bool(self._vanished)

    @property
    def lastUid(self) -> int:
        """The highest UID, 0 if there is no message."""
        return self.uids[-1] if self.uids else 0

    def position(self, uid: int) -> int | None:
        """Where a UID stands."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else None

    def isGone(self, position: int) -> bool:
        """Whether a message is gone, though it keeps its number for now."""
        return self.uids[position] in self._vanished

    # --- what sets of numbers mean

    def spansOfNumbers(self, ranges: Ranges) -> Spans | None:
        """The positions of message sequence numbers; None if one is beyond the last message (§9, seq-number)."""
        count = len(self.uids)
        resolved = resolveRanges(ranges, count)
        if not resolved or resolved[0][0] < 1 or resolved[-1][1] > count:
            return None
        return tuple((low - 1, high) for low, high in resolved)

    def spansOfExistingNumbers(self, ranges: Ranges) -> Spans:
        """The positions of those message sequence numbers that there are."""
        count = len(self.uids)
        resolved = resolveRanges(ranges, count) if count else ()
        return tuple(
            (max(low, 1) - 1, min(high, count)) for low, high in resolved if low <= count and high >= 1
        )

    def spansOfUids(self, ranges: Ranges) -> Spans:
        """The positions of those UIDs that there are."""
        uids = self.uids
        spans: list[tuple[int, int]] = []
        for low, high in resolveRanges(ranges, self.lastUid):
            start = bisect_left(uids, low)
            stop = bisect_right(uids, high, start)
            if start < stop:
                if spans and spans[-1][1] == start:
                    spans[-1] = (spans[-1][0], stop)
                else:
                    spans.append((start, stop))
        return tuple(spans)

    def everything(self) -> Spans:
        """The positions of all messages."""
        return ((0, len(self.uids)),) if self.uids else ()

    def uidsAt(self, positions: Sequence[int]) -> UidSet:
        """The UIDs at positions, without those that are gone."""
        if isinstance(positions, range):
            return self.uidSet(((positions.start, positions.stop),))
        uids, gone = self.uids, self._vanished
        return UidSet.of(uid for uid in map(uids.__getitem__, positions) if uid not in gone)

    def uidSet(self, spans: Spans) -> UidSet:
        """The UIDs at positions, without those that are gone."""
        ranges: list[tuple[int, int]] = []
        uids, gone = self.uids, self._vanished
        for start, stop in spans:
            if not gone and uids[stop - 1] - uids[start] == stop - start - 1:
                ranges.append((uids[start], uids[stop - 1]))
            else:
                ranges.extend((uid, uid) for uid in uids[start:stop] if uid not in gone)
        return UidSet.ofRanges(ranges)

    # --- what happens in the store

    def apply(self, changes: Iterable[Change], rows: Iterable[MessageRow], modSeq: int) -> None:
        """
        Take changes in, with the present rows (ascending by UID) of all UIDs that they add or change.

        A row that is missing is gone already; its `Vanished` will come.
        """
        for change in changes:
            if isinstance(change, Vanished):
                self._vanish(change.uids)
        for row in rows:
            self._put(row)
        self.modSeq = max(self.modSeq, modSeq)

    def _vanish(self, uids: UidSet) -> None:
        untold: list[int] = []
        for start, stop in self.spansOfUids(uids.ranges):
            self._vanished.update(self.uids[start : min(stop, self._told)])
            untold.extend(range(max(start, self._told) + 1, stop + 1))
        if untold:
            self._remove(untold)

    def _put(self, row: MessageRow) -> None:
        uid = row.uid
        if uid > self.lastUid:
            self.uids.append(uid)
            self.flags.append(row.flags)
            self.modSeqs.append(row.modSeq)
            return
        at = self.position(uid)
        if at is not None and row.modSeq > self.modSeqs[at]:
            if at < self._told and (self.tellsModSeqs or row.flags != self.flags[at]):
                self._changed.add(uid)
            self.flags[at] = row.flags
            self.modSeqs[at] = row.modSeq

    def restart(self, rows: Sequence[MessageRow], modSeq: int) -> None:
        """Take the whole mailbox anew: the changes in between are no longer kept."""
        present = {row.uid for row in rows}
        self._vanish(UidSet.of(uid for uid in self.uids if uid not in present))
        self.apply((), rows, modSeq)

    def told(self, positions: Iterable[int]) -> None:
        """The client is being told the flags of these positions."""
        if self._changed:
            self._changed.difference_update(map(self.uids.__getitem__, positions))

    def expect(self, position: int, flags: int) -> None:
        """The client asked for these flags and expects no answer; anything else that comes is told."""
        self.flags[position] = flags

    # --- what the client is told

    def take(self, *, mayExpunge: bool) -> Updates:
        """What there is to tell now; the client believes it from here on."""
        expunged = self._takeVanished() if mayExpunge and self._vanished else ()
        told, self._told = self._told, len(self.uids)
        exists = self._told if self._told != told - len(expunged) else None
        changed = self._takeChanged() if self._changed else ()
        return Updates(expunged, exists, changed)

    def _takeVanished(self) -> tuple[int, ...]:
        gone = sorted(filter(None, map(self._oneBased, self._vanished)))
        self._vanished.clear()
        self._remove(gone)
        return tuple(number - before for before, number in enumerate(gone))

    def _oneBased(self, uid: int) -> int:
        at = self.position(uid)
        return 0 if at is None else at + 1

    def _remove(self, numbers: list[int]) -> None:
        keep = list(_between(numbers, len(self.uids)))
        for name in ("uids", "flags", "modSeqs"):
            old = getattr(self, name)
            new = array(old.typecode)
            for start, stop in keep:
                new.extend(old[start:stop])
            setattr(self, name, new)

    def _takeChanged(self) -> tuple[int, ...]:
        positions = sorted(at for uid in self._changed if (at := self.position(uid)) is not None)
        self._changed.clear()
        return tuple(at for at in positions if not self.isGone(at))


def _between(numbers: list[int], count: int) -> Iterator[tuple[int, int]]:
    """The spans that are left when these numbers (from 1, ascending) are taken out."""
    start = 0
    for number in numbers:
        if start < number - 1:
            yield start, number - 1
        start = number
    if start < count:
        yield start, count
