"""A request is applied once, however often it was proposed, and is remembered for long enough, whatever the proposers' clocks say."""

from __future__ import annotations

from typing import Any

from jindimail.mailbox.entries import Noop, Once, encodeEntry
from jindimail.mailbox.once import KEPT_ENTRIES, KEPT_SECONDS, applyOnce
from jindimail.mailbox.outcomes import Done
from jindimail.store.keys import REQUEST
from jindimail.store.memory import MemoryRows

NOON = 1_800_000_000
GROUP = 4


class Group:
    """What is proposed to it is applied, one entry after the other."""

    def __init__(self) -> None:
        self.rows = MemoryRows()
        self.index = 0
        self.applied: list[bytes] = []

    def propose(self, number: int, seconds: int) -> None:
        """A request of a node whose clock says so."""
        self.index += 1
        requestId = seconds.to_bytes(4, "big") + number.to_bytes(12, "big")
        once = Once(seconds=seconds, requestId=requestId, entry=encodeEntry(Noop(seconds=seconds)))

        def apply(*_: Any) -> tuple[Done, tuple[()]]:
            self.applied.append(requestId)
            return Done(), ()

        with self.rows.transaction() as rows:
            assert applyOnce(rows, GROUP, self.index, once, apply)[0] == Done()

    def remembered(self) -> int:
        """How many requests."""
        return len(self.rows.snapshot()[REQUEST])


def test_aRequestIsRememberedThoughAnotherNodesClockIsAnHourAhead() -> None:
    group = Group()
    group.propose(1, NOON)
    for number in range(2, 100):
        group.propose(number, NOON + 3600)
    group.propose(1, NOON)
    assert len(group.applied) == 99


def test_requestsThatNobodyAsksForAnyMoreAreForgotten() -> None:
    group = Group()
    for number in range(2 * KEPT_ENTRIES):
        group.propose(number, NOON + number)
    assert group.remembered() <= max(KEPT_SECONDS, KEPT_ENTRIES) + 1
