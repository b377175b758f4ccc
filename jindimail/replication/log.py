"""
A replica's log as its Raft machine sees it.

Pure. The places of the log, left to right; each may coincide with its neighbours:

    base < ... <= applied <= commit <= last        persisted <= handed <= last

`base` is the place just before the first entry that the store still has. In memory stand the terms of all retained entries
(as runs, since terms change seldom) and the entries of the tail: at least all that are not yet durable, or not yet handed
out to be applied. Older ones are read back through `IEntries` when a follower needs them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from jindimail.replication.entries import Entry


class IEntries(Protocol):
    """Reads durable entries of one group back from the store."""

    def read(self, low: int, high: int, octetsMax: int) -> list[Entry]:
        """Entries low <= index < high in order: at least one, then as many as `octetsMax` allows."""
        ...


class NoEntries:
    """The reader of a log that stands in memory as a whole."""

    def read(self, low: int, high: int, octetsMax: int) -> list[Entry]:
        """Never called."""
        raise AssertionError("all entries stand in memory")


class Log:
    """
    The log of one replica.

    @ivar baseIndex: the place just before the first retained entry; `baseTerm` is its term.
    @ivar lastIndex: the last place; `lastTerm` is its term.
    @ivar commit: known to be committed up to here.
    @ivar persisted: known to be durable here up to here.
    @ivar truncateFrom: stored rows from here on are stale and not yet handed out to be deleted; 0: none.
    """

    __slots__ = (
        "_handed",
        "_reader",
        "_runs",
        "_tail",
        "_tailFirst",
        "_tailOctets",
        "baseIndex",
        "baseTerm",
        "commit",
        "lastIndex",
        "lastTerm",
        "persisted",
        "truncateFrom",
    )

    def __init__(
        self,
        *,
        baseIndex: int = 0,
        baseTerm: int = 0,
        commit: int | None = None,
        places: Iterable[tuple[int, int]] = (),
        tail: Iterable[Entry] = (),
        reader: IEntries | None = None,
    ) -> None:
        """
        A log as the store has it: everything in it is durable.

        @param places: (index, term) of all retained entries, in order.
        @param tail: the last of those entries, at least all behind `commit`.
        @param commit: the applied index.
        """
        self._reader: IEntries = reader or NoEntries()
        self._tail = list(tail)
        self._tailOctets = sum(len(entry.data) for entry in self._tail)
        self.baseIndex = self.lastIndex = baseIndex
        self.baseTerm = self.lastTerm = baseTerm
        self._runs: list[tuple[int, int]] = []
        for index, term in places:
            self._extend(index, term)
        self._tailFirst = self._tail[0].index if self._tail else self.lastIndex + 1
        self.commit = baseIndex if commit is None else commit
        self.persisted = self._handed = self.lastIndex
        self.truncateFrom = 0

    # --- reading

    def term(self, index: int) -> int | None:
        """The term of a place, or None if it is outside of what is retained (the base is inside)."""
        if index == self.lastIndex:
            return self.lastTerm
        if index == self.baseIndex:
            return self.baseTerm
        if not self.baseIndex < index < self.lastIndex:
            return None
        return self._runs[bisect_right(self._runs, (index, 1 << 64)) - 1][1]

    def isUpToDate(self, lastIndex: int, lastTerm: int) -> bool:
        """Whether a log that ends at this place is at least as good as this one (paper §5.4.1)."""
        return (lastTerm, lastIndex) >= (self.lastTerm, self.lastIndex)

    def entriesFrom(self, low: int, octetsMax: int) -> list[Entry]:
        """Entries from `low` on, at least one if there is one, then as many as `octetsMax` allows."""
        if low > self.lastIndex:
            return []
        if low < self._tailFirst:
            return self._reader.read(low, self._tailFirst, octetsMax)
        start = stop = low - self._tailFirst
        octets = 0
        for entry in self._tail[start:]:
            octets += len(entry.data)
            if octets > octetsMax and stop > start:
                break
            stop += 1
        return self._tail[start:stop]

    def between(self, low: int, high: int) -> list[Entry]:
        """Entries low <= index < high, which must stand in memory."""
        first = self._tailFirst
        assert first <= low and high <= self.lastIndex + 1, "entries are not in memory"
        return self._tail[low - first : high - first]

    def agreeableIndex(self, index: int, term: int) -> int:
        """The last place up to `index` whose term is not above `term`: where two logs may still agree."""
        index = min(index, self.lastIndex)
        while index > self.baseIndex and (self.term(index) or 0) > term:
            at = bisect_right(self._runs, (index, 1 << 64)) - 1
            index = max(self._runs[at][0] - 1, self.baseIndex)
        return index

    # --- growing and cutting

    def append(self, entry: Entry) -> None:
        """A new last entry."""
        self._extend(entry.index, entry.term)
        self._tail.append(entry)
        self._tailOctets += len(entry.data)

    def merge(self, entries: list[Entry]) -> int:
        """
        Take a leader's entries, which follow a place where the logs agree; what conflicts with them is cut off.

        An entry that stands here already with the same term stays, and so does all behind it (paper, figure 2).
        @return: the first place that was cut, 0 if none was.
        """
        cut = 0
        for position, entry in enumerate(entries):
            if entry.index <= self.lastIndex:
                if self.term(entry.index) == entry.term or entry.index <= self.baseIndex:
                    continue
                cut = entry.index
                self._truncate(cut)
            for fresh in entries[position:]:
                self.append(fresh)
            break
        return cut

    def commitTo(self, index: int) -> bool:
        """The log is committed up to `index`; whether that is news. It never falls."""
        if index <= self.commit:
            return False
        assert index <= self.lastIndex, "committed what is not in the log"
        self.commit = index
        return True

    def compact(self, index: int) -> None:
        """The store has dropped the rows up to `index`, which must be applied."""
        if index <= self.baseIndex:
            return
        assert index <= self.commit, "an uncommitted entry cannot be dropped"
        term = self.term(index)
        assert term is not None
        at = bisect_right(self._runs, (index, 1 << 64)) - 1
        self._runs[: at + 1] = [(index + 1, self._runs[at][1])] if index < self._runEnd(at) else []
        self.baseIndex, self.baseTerm = index, term
        self._forgetBefore(index + 1)

    def reset(self, index: int, term: int) -> None:
        """A snapshot has taken the place of everything."""
        self.baseIndex = self.lastIndex = self.commit = self.persisted = self._handed = index
        self.baseTerm = self.lastTerm = term
        self._runs.clear()
        self._tail.clear()
        self._tailOctets = 0
        self._tailFirst = index + 1
        self.truncateFrom = 0

    # --- durability

    def hasUnhanded(self) -> bool:
        """Whether entries or a cut wait to be handed out for writing."""
        return self._handed < self.lastIndex or self.truncateFrom > 0

    def takeUnhanded(self) -> tuple[int, list[Entry]]:
        """(where to cut the stored rows, the entries to write), each once."""
        cut, self.truncateFrom = self.truncateFrom, 0
        if self._handed == self.lastIndex:
            return cut, []
        entries = self._tail[self._handed + 1 - self._tailFirst :]
        self._handed = self.lastIndex
        return cut, entries

    def persistedTo(self, index: int, term: int) -> None:
        """The entry at this place is durable, unless it was cut off meanwhile."""
        if index > self.persisted and self.term(index) == term:
            self.persisted = index

    def trim(self, index: int, octetsMax: int) -> None:
        """Forget entries up to `index` that are durable, from the oldest, until `octetsMax` remain in memory."""
        stop = min(index, self.persisted)
        if not octetsMax:
            self._forgetBefore(stop + 1)
            return
        excess = self._tailOctets - octetsMax
        drop = self._tailFirst
        while excess > 0 and drop <= stop:
            excess -= len(self._tail[drop - self._tailFirst].data)
            drop += 1
        self._forgetBefore(drop)

    # --- inside

    def _extend(self, index: int, term: int) -> None:
        assert index == self.lastIndex + 1 and term >= self.lastTerm, (
            "a log has no gaps, and its terms never fall"
        )
        if term != self.lastTerm or not self._runs:
            self._runs.append((index, term))
        self.lastIndex, self.lastTerm = index, term

    def _truncate(self, index: int) -> None:
        assert index > self.commit, "a committed entry cannot be cut off"
        assert index >= self._tailFirst, "what is not committed stands in memory"
        if index <= self._handed:
            self.truncateFrom = index if not self.truncateFrom else min(index, self.truncateFrom)
            self._handed = index - 1
        self.persisted = min(self.persisted, index - 1)
        self._tailOctets -= sum(len(entry.data) for entry in self._tail[index - self._tailFirst :])
        del self._tail[index - self._tailFirst :]
        while self._runs and self._runs[-1][0] >= index:
            self._runs.pop()
        self.lastIndex = index - 1
        self.lastTerm = self._runs[-1][1] if self._runs else self.baseTerm

    def _forgetBefore(self, index: int) -> None:
        count = min(index - self._tailFirst, len(self._tail))
        if count > 0:
            self._tailOctets -= sum(len(entry.data) for entry in self._tail[:count])
            del self._tail[:count]
            self._tailFirst += count
        if not self._tail:
            self._tailFirst = self.lastIndex + 1

    def _runEnd(self, at: int) -> int:
        return self._runs[at + 1][0] - 1 if at + 1 < len(self._runs) else self.lastIndex
