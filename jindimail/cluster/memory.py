"""
The groups of a node in memory, for tests: every proposal is committed and applied at once.

With `MemoryStore` below and `Buckets` above, all layers over the cluster run without a disk, on the real state machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from jindimail.cluster.buckets import Buckets
from jindimail.interfaces import IGroups, IRows, IStateMachine, IStore
from jindimail.store.memory import MemoryStore


@implementer(IGroups)
class MemoryGroups:
    """Groups of one voter without logs."""

    def __init__(self, store: IStore, machine: IStateMachine) -> None:
        self._store = store
        self._machine = machine
        self._indexes: defaultdict[int, int] = defaultdict(int)
        self._listeners: list[Callable[[int, int, Any], None]] = []

    def propose(
        self, group: int, entry: bytes, before: Callable[[IRows], object] | None = None, mayLag: bool = False
    ) -> Deferred[Any]:
        """See `IGroups`; nobody lags."""
        self._indexes[group] += 1
        index = self._indexes[group]

        def job(rows: IRows) -> Any:
            if before is not None:
                before(rows)
            return self._machine.apply(rows, group, index, entry)

        def applied(result: Any) -> Any:
            outcome, events = result
            if events:
                for listener in self._listeners:
                    listener(group, index, events)
            return outcome

        written: Deferred[Any] = self._store.write(job)
        return written.addCallback(applied)

    def readIndex(self, group: int) -> Deferred[int]:
        """See `IGroups`."""
        return succeed(self._indexes[group])

    def isAlone(self, group: int) -> bool:
        """See `IGroups`."""
        return True

    def appliedIndex(self, group: int) -> int:
        """See `IGroups`."""
        return self._indexes[group] + 1

    def lastIndex(self, group: int) -> int:
        """See `IGroups`."""
        return self._indexes[group]

    def whenApplied(self, group: int, index: int) -> Deferred[int]:
        """See `IGroups`."""
        return succeed(index)

    def leaderOf(self, group: int) -> int:
        """See `IGroups`."""
        return 1

    def leadingTerm(self, group: int) -> int:
        """See `IGroups`."""
        return 1

    def listen(self, listener: Callable[[int, int, Any], None]) -> None:
        """See `IGroups`."""
        self._listeners.append(listener)


def memoryBuckets(machine: IStateMachine, store: MemoryStore | None = None) -> Buckets:
    """Buckets in memory; `store.rows` shows what they keep."""
    store = MemoryStore() if store is None else store
    return Buckets(groups=MemoryGroups(store, machine), store=store, machine=machine, node=1, incarnation=1)
