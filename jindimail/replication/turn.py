"""
What a node writes in one turn for all its groups: a job for the store's writer thread.

Pure but for the rows it is given, and re-runnable: the writer may run it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from jindimail.errors import Unavailable
from jindimail.interfaces import IRows, IStateMachine
from jindimail.replication.durable import packLogRow
from jindimail.replication.entries import EMPTY, NORMAL, Entry
from jindimail.replication.outputs import Outputs
from jindimail.store.keys import HARD, LOG, groupKey, logKey

Before = Callable[[IRows], object]
Applied = tuple[int, int, Any, Any]  # index, term, outcome or the exception that `before` raised, events


class Superseded(Unavailable):
    """The turn before this one was not written, so this one must not be either."""


class Work(msgspec.Struct):
    """One group's share of a turn."""

    group: int
    outputs: Outputs
    expected: bytes | None  # the hard row as the turn before this one left it
    hard: bytes | None  # the hard row; None: nothing is to be written
    dropFrom: int  # log rows dropFrom <= index <= dropTo are no longer needed; 0: none
    dropTo: int
    befores: dict[int, Before]  # jobs by the index of the entry that they go ahead of (one-voter groups only)

    @property
    def onlyApplies(self) -> bool:
        """Whether there is nothing in it that anybody waits for to be durable."""
        return self.hard is not None and self.outputs.onlyApplies


class Turn:
    """
    The works of one turn; `run` is the job.

    @ivar mayWait: nobody waits for it to be durable.
    @ivar mayTell: what it applies may be told of ahead of that.
    @ivar isTold: it was.
    """

    __slots__ = ("_apply", "isTold", "mayTell", "mayWait", "works")

    def __init__(self, machine: IStateMachine) -> None:
        self._apply = machine.apply
        self.works: list[Work] = []
        self.mayWait = self.mayTell = self.isTold = False

    def isCertain(self) -> bool:
        """Whether it applies something, all of it committed already: it holds whether or not it gets durable here."""
        return any(work.outputs.apply for work in self.works) and all(
            work.outputs.isCommitted for work in self.works
        )

    def run(self, rows: IRows) -> list[list[Applied]]:
        """
        Write everything, apply what is committed; the outcomes, by work.

        @raise Superseded: an earlier turn of one of the groups failed; nothing is written then.
        """
        for work in self.works:
            if work.hard is not None and rows.get(HARD, groupKey(work.group)) != work.expected:
                raise Superseded
        return [self._runWork(rows, work) for work in self.works]

    def _runWork(self, rows: IRows, work: Work) -> list[Applied]:
        group, outputs = work.group, work.outputs
        if outputs.truncateFrom:
            _deleteFrom(rows, group, outputs.truncateFrom)
        failures: dict[int, Exception] = {}
        put, befores = rows.put, work.befores
        for entry in outputs.entries:
            before = befores.get(entry.index) if befores else None
            written = entry if before is None else _written(rows, entry, before, failures)
            put(LOG, logKey(group, entry.index), packLogRow(written))
        applied: list[Applied] = []
        apply = self._apply
        for entry in outputs.apply:
            if entry.kind != NORMAL:
                continue
            index = entry.index
            if index in failures:
                applied.append((index, entry.term, failures[index], ()))
                continue
            outcome, events = apply(rows, group, index, entry.data)
            applied.append((index, entry.term, outcome, events))
        for index in range(work.dropFrom, work.dropTo + 1 if work.dropFrom else 0):
            rows.delete(LOG, logKey(group, index))
        if work.hard is not None:
            put(HARD, groupKey(group), work.hard)
        return applied


def _written(rows: IRows, entry: Entry, before: Before, failures: dict[int, Exception]) -> Entry:
    """
    The entry, behind its job; if the job fails (the spool could not be read, say), an empty one in its place.

    Only the sole voter of a group may do that: nobody else has seen the entry.
    """
    try:
        before(rows)
    except Exception as problem:  # whatever it is, it concerns this proposal alone
        failures[entry.index] = problem
        return Entry(entry.index, entry.term, EMPTY, b"")
    return entry


def _deleteFrom(rows: IRows, group: int, index: int) -> None:
    stale = [key for key, _ in rows.scan(LOG, logKey(group, index), logKey(group + 1, 0))]
    for key in stale:
        rows.delete(LOG, key)
