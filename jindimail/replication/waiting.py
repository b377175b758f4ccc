"""
Who waits at this node: for what they proposed, for reads to be confirmed, for indexes to be applied; and who listens.

No I/O. A proposal is known by its index and term: what is applied at its index under another term was another's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jindimail.errors import OutcomeUnknown, Unavailable
from jindimail.replication.configuration import decodeConfiguration
from jindimail.replication.entries import CONFIGURATION, Entry
from jindimail.replication.raft import NotLeader
from jindimail.replication.replica import Asked, Replica, Waiter
from jindimail.replication.turn import Applied

Listener = Callable[[int, int, Any], None]

PROPOSAL_SECONDS = 10.0  # then its outcome is unknown
READ_SECONDS = 2.0
REASK_SECONDS = 0.3  # a read index that does not come is asked for again


class Waiting:
    """
    All who wait for replicas of this node.

    @ivar proposals: how many made here are under way.
    @ivar listeners: are called with (group, index, events) after every commit that had events.
    """

    _log = Logger()

    def __init__(self, *, replicas: Mapping[int, Replica], asked: Callable[[Replica], None]) -> None:
        """@param asked: called when a replica's machine was asked for a read index."""
        self._replicas = replicas
        self._asked = asked
        self._contexts = count(1)
        self.proposals = 0
        self.listeners: list[Listener] = []

    # --- beginning to wait

    def proposed(self, replica: Replica, index: int, now: float) -> Deferred[Any]:
        """What will come of a proposal that stands at an index."""
        done: Deferred[Any] = Deferred()
        replica.waiting[index] = Waiter(replica.raft.term, done, now + PROPOSAL_SECONDS)
        self.proposals += 1
        return done

    def read(self, replica: Replica, now: float) -> Deferred[int]:
        """
        The applied index, once it covers a read index that is asked for now.

        @raise NotLeader: there is nobody to ask.
        """
        asked = replica.reads.get(replica.open) or self._ask(replica, now + READ_SECONDS)
        done: Deferred[int] = Deferred()
        asked.dones.append(done)
        return done

    def _ask(self, replica: Replica, deadline: float) -> Asked:
        context = next(self._contexts)
        replica.raft.read(context)
        replica.open = context
        asked = replica.reads[context] = Asked(deadline)
        self._asked(replica)
        return asked

    # --- time

    def sweep(self, now: float) -> None:
        """End what has waited for too long; ask again for reads that do not come."""
        for replica in list(self._replicas.values()):
            while replica.waiting:
                index = next(iter(replica.waiting))
                if replica.waiting[index].deadline > now:
                    break
                self.proposals -= 1
                replica.waiting.pop(index).done.errback(OutcomeUnknown("not committed in time"))
            if replica.reads:
                self._reask(replica, now)

    def _reask(self, replica: Replica, now: float) -> None:
        reads, replica.reads, replica.open = replica.reads, {}, 0
        for context, asked in reads.items():
            if asked.deadline - READ_SECONDS + REASK_SECONDS > now:
                replica.reads[context] = asked
                continue
            try:
                if asked.deadline > now:
                    again = self._ask(replica, asked.deadline)
                    again.dones.extend(asked.dones)
                    continue
            except NotLeader:
                replica.reads[context] = asked
                continue
            for done in asked.dones:
                done.errback(Unavailable("no majority confirmed the read"))

    # --- what was applied

    def applied(self, replica: Replica, applied: list[Applied], entries: list[Entry]) -> None:
        """Tell listeners and proposers what has been applied, in the order of the log."""
        for index, term, outcome, events in applied:
            if events:
                self.tell(replica.group, index, events)
            self._fire(replica, index, term, outcome)
        if len(applied) != len(entries) and replica.waiting:
            for entry in entries:
                if entry.kind == CONFIGURATION:
                    self._fire(replica, entry.index, entry.term, decodeConfiguration(entry.data))
                else:
                    self._fire(replica, entry.index, entry.term, Unavailable("another entry took the place"))

    def _fire(self, replica: Replica, index: int, term: int, outcome: Any) -> None:
        waiter = replica.waiting.pop(index, None)
        if waiter is None:
            return
        self.proposals -= 1
        if isinstance(outcome, Exception):
            waiter.done.errback(outcome)
        elif term != waiter.term:
            waiter.done.errback(Unavailable("another leader's entry took the place"))
        else:
            waiter.done.callback(outcome)

    def tell(self, group: int, index: int, events: Any) -> None:
        """Tell all listeners; one that fails is logged."""
        for listener in self.listeners:
            try:
                listener(group, index, events)
            except Exception:
                self._log.failure(
                    "a listener of group {group} failed at index {index}", group=group, index=index
                )

    def confirmed(self, replica: Replica, reads: list[tuple[int, int]]) -> None:
        """Reads were confirmed, or more is applied: answer those that it covers."""
        for context, index in reads:
            asked = replica.reads.pop(context, None)
            if asked is not None:
                replica.readable.extend((index, done) for done in asked.dones)
        ready = [done for index, done in replica.readable if index <= replica.applied]
        replica.readable = [(index, done) for index, done in replica.readable if index > replica.applied]
        for done in ready:
            done.callback(replica.applied)

    def abandon(self, replica: Replica, problem: Exception) -> None:
        """Nothing that waits for this replica will come."""
        waiting, replica.waiting = replica.waiting, {}
        reads, replica.reads = replica.reads, {}
        readable, replica.readable = replica.readable, []
        self.proposals -= len(waiting)
        for waiter in waiting.values():
            waiter.done.errback(problem)
        dones = [done for asked in reads.values() for done in asked.dones]
        for done in [*dones, *(done for _, done in readable)]:
            done.errback(Unavailable("the replica stopped"))
