"""
Everybody who looks at the nodes while they run: the invariants of the Raft machines, and the applied logs.

What they see they see on the simulated disks and the simulated wire, and in the machines themselves, which they never touch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from jindimail.interfaces import IRows
from jindimail.mailbox import entries
from jindimail.mailbox.machine import MailMachine
from jindimail.replication.durable import HardRecord, unpackLogRow
from jindimail.replication.invariants import InvariantBroken, Invariants
from jindimail.replication.messages import Message
from jindimail.replication.outputs import HardState, Role
from jindimail.replication.raft import Raft
from jindimail.replication.replica import Replica
from jindimail.store.keys import HARD, LOG, groupKey, logKey
from jindimail.store.records import decode
from tests.simulation.disk import WatchedRows


class Violation(AssertionError):
    """A checker found what must not be."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class DurableReplica:
    """What a node's disk holds of one replica (`invariants.IDurable`)."""

    def __init__(self, rows: WatchedRows, group: int, replicaId: int) -> None:
        self._rows = rows
        self._group = group
        self._key = groupKey(group)
        self._replicaId = replicaId
        self._octets: bytes | None = None
        self._record: HardRecord | None = None
        self._hard = HardState()

    @property
    def record(self) -> HardRecord | None:
        """The hard row, if it is still this replica's."""
        octets = self._rows.get(HARD, self._key)
        if octets is not self._octets:
            record = None if octets is None else decode(octets, HardRecord)
            self._octets = octets
            self._record = record if record is not None and record.replicaId == self._replicaId else None
            self._hard = HardState() if self._record is None else HardState(record.term, record.vote)
        return self._record

    @property
    def hard(self) -> HardState:
        """Term and vote."""
        return HardState() if self.record is None else self._hard

    @property
    def applied(self) -> int:
        """The applied index."""
        record = self.record
        return 0 if record is None else record.applied

    def term(self, index: int) -> int | None:
        """The term of a durable place."""
        record = self.record
        if record is None:
            return None
        if index == record.baseIndex:
            return record.baseTerm
        octets = self._rows.get(LOG, logKey(self._group, index))
        return None if octets is None else int.from_bytes(octets[2:10], "big")


class FrozenReplica:
    """What a disk held when it was set aside: lost, but not by a fault of the nodes."""

    def __init__(self, durable: DurableReplica) -> None:
        record = durable.record
        self.hard = durable.hard
        self.applied = durable.applied
        last = record.lastIndex if record is not None else 0
        self._terms = {index: durable.term(index) for index in range(max(0, self.applied - 50), last + 1)}

    def term(self, index: int) -> int | None:
        """The term of a place that was durable."""
        return self._terms.get(index)


class WatchedMachine(MailMachine):
    """The real state machine; what it applied is looked at once it is durable."""

    def __init__(self) -> None:
        self.staged: list[tuple[int, int, bytes, Any]] = []  # by jobs that hold, not yet durable
        self._fresh: list[tuple[int, int, bytes, Any]] = []  # by the job that runs

    def apply(self, rows: IRows, group: int, index: int, entry: bytes) -> Any:
        """`IStateMachine`."""
        outcome, events = super().apply(rows, group, index, entry)
        self._fresh.append((group, index, entry, outcome))
        return outcome, events

    def settle(self, isGood: bool) -> list[tuple[int, int, bytes, Any]]:
        """A job has run; what it applied, if it holds."""
        fresh, self._fresh = self._fresh, []
        if not isGood:
            return []
        self.staged += fresh
        return fresh


class AppliedLogs:
    """
    Checker: all replicas apply the same entries with the same outcomes, each at one place.

    Every entry of a simulation has a time of its own, by which it is known.

    @param first: is told of each entry that is applied for the first time anywhere.
    """

    def __init__(self, first: Callable[[int, entries.AnyEntry, Any], None]) -> None:
        self._first = first
        self.entries: dict[tuple[int, int], tuple[bytes, Any]] = {}
        self.places: dict[tuple[int, int], int] = {}  # (group, the entry's own time): index

    def applied(self, node: int, group: int, index: int, entry: bytes, outcome: Any) -> None:
        """An entry was applied somewhere, durably or told of."""
        known = self.entries.get((group, index))
        if known is None:
            self.entries[group, index] = entry, outcome
            self._appliedFirst(group, index, entry, outcome)
        elif known[0] != entry:
            raise Violation("appliedPrefixes", f"node {node}, group {group}, index {index}: another entry")
        elif known[1] != outcome:
            raise Violation(
                "appliedOutcomes",
                f"node {node}, group {group}, index {index}: {outcome} and {known[1]}",
            )

    def _appliedFirst(self, group: int, index: int, entry: bytes, outcome: Any) -> None:
        decoded = entries.decodeEntry(entry)
        before = self.places.setdefault((group, decoded.seconds), index)
        if before != index:
            raise Violation("appliedOnce", f"group {group}: an entry at {before} and {index}")
        self._first(group, decoded, outcome)

    def outcomeOf(self, group: int, seconds: int) -> Any:
        """The outcome of the entry of this time; None: it was not applied anywhere."""
        index = self.places.get((group, seconds))
        return None if index is None else self.entries[group, index][1]


Signature = tuple[Any, ...]

# What of a replica can change so that a rule is to be looked at anew. Read at every step of every node, so it must be cheap.
_signature: Callable[[Replica], Signature] = attrgetter(
    "raft.replicaId",
    "raft.term",
    "raft.vote",
    "raft.role",
    "raft.log.lastIndex",
    "raft.log.lastTerm",
    "raft.log.commit",
    "raft.log.persisted",
    "raft.log.baseIndex",
    # for readers alone
    "raft",
    "applied",
    "shown",
    "installing",
)
_OF_RAFT = 9  # so many are for the invariants


class Watch:
    """All who look, and what they counted."""

    def __init__(self, halt: Callable[[Exception], None], logs: AppliedLogs) -> None:
        self.logs = logs
        self.counters: Counter[str] = Counter()
        self.leaders: dict[int, tuple[int, int]] = {}  # group: (term, replica id) of its latest leader
        self._halt = halt
        self._groups: dict[int, Invariants] = {}
        self._durables: dict[tuple[int, int, int], DurableReplica] = {}
        self._seen: dict[int, dict[int, Signature]] = defaultdict(dict)  # node: group
        self._seenLast: dict[int, list[Signature]] = {}  # node: of all its groups, in their order
        self._applied: dict[tuple[int, int], tuple[int, int]] = {}

    def invariants(self, group: int) -> Invariants:
        """The invariants of a group."""
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = Invariants()
        return found

    def guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        """Look; what is found ends the simulation, whoever catches the exception."""
        try:
            function(*arguments)
        except Exception as problem:
            self._halt(problem)
            raise

    def _durable(self, node: int, rows: WatchedRows, group: int, replicaId: int) -> DurableReplica:
        key = node, group, replicaId
        found = self._durables.get(key)
        if found is None or found._rows is not rows:
            found = self._durables[key] = DurableReplica(rows, group, replicaId)
        return found

    # --- what happens at a node

    def started(self, node: int, rows: WatchedRows) -> None:
        """A node comes up from its disk."""
        self.guarded(self._started, node, rows)

    def _started(self, node: int, rows: WatchedRows) -> None:
        self._seen[node].clear()
        self._seenLast.pop(node, None)
        for key, octets in rows.scan(HARD, b"\0", b"\xff\xff\xff"):
            record, group = decode(octets, HardRecord), int.from_bytes(key, "big")
            if record.replicaId:
                invariants = self.invariants(group)
                invariants.persisted(record.replicaId, self._durable(node, rows, group, record.replicaId))
                invariants.installed(record.replicaId, record.applied)
                self._applied[node, group] = record.replicaId, record.applied

    def setAside(self, node: int, rows: WatchedRows) -> None:
        """A node's disk is gone."""
        for (mine, group, replicaId), durable in list(self._durables.items()):
            if mine == node and durable._rows is rows and durable.record is not None:
                self.invariants(group)._durable[replicaId] = FrozenReplica(durable)

    def looked(self, node: int, rows: WatchedRows, replicas: dict[int, Replica]) -> list[int]:
        """Something happened at a node; these are its replicas now, by group. Returns the groups with something new."""
        signatures = list(map(_signature, replicas.values()))
        if signatures == self._seenLast.get(node):
            return []
        seen, fresh = self._seen[node], []
        for (group, replica), now in zip(replicas.items(), signatures, strict=True):
            before = seen.get(group)
            if before != now:
                seen[group] = now
                fresh.append(group)
                if before is None or before[:_OF_RAFT] != now[:_OF_RAFT]:
                    self.guarded(self._changed, node, rows, replica.raft, before, now)
        self._seenLast[node] = signatures
        return fresh

    def _changed(
        self, node: int, rows: WatchedRows, raft: Raft, before: Signature | None, now: Signature
    ) -> None:
        if before is not None and before[0] == raft.replicaId:
            self._count(before, now)
        if raft.role is Role.LEADER and self.leaders.get(raft.group, (0, 0))[0] < raft.term:
            self.leaders[raft.group] = raft.term, raft.replicaId
        durable = self._durable(node, rows, raft.group, raft.replicaId)
        self.invariants(raft.group).observe(raft, durable)

    def _count(self, before: Signature, now: Signature) -> None:
        if now[3] is Role.LEADER and before[3] is not Role.LEADER:
            self.counters["elections"] += 1
        if now[4] < before[4] or (now[5] > before[5] and now[7] < before[7]):
            self.counters["conflicting tails truncated"] += 1

    def sent(self, messages: list[Message]) -> None:
        """Messages leave a node."""
        if messages:
            self.guarded(self._sent, messages)

    def _sent(self, messages: list[Message]) -> None:
        for message in messages:
            self.invariants(message.group).sent(message)

    def told(self, node: int, applied: list[tuple[int, int, bytes, Any]]) -> None:
        """A node tells of what it has applied, which is committed, so that it must come out the same for ever."""
        for group, index, entry, outcome in applied:
            self.counters["told ahead of the commit"] += 1
            self.guarded(self.logs.applied, node, group, index, entry, outcome)

    def wrote(self, node: int, rows: WatchedRows, machine: WatchedMachine) -> None:
        """A commit of a node's disk became durable."""
        if rows.hardKeys or machine.staged:
            self.guarded(self._wrote, node, rows, machine)

    def _wrote(self, node: int, rows: WatchedRows, machine: WatchedMachine) -> None:
        keys, rows.hardKeys = rows.hardKeys, set()
        for key in sorted(keys):
            octets = rows.get(HARD, key)
            if octets is not None:
                self._hardWritten(node, rows, int.from_bytes(key, "big"), decode(octets, HardRecord))
        staged, machine.staged = machine.staged, []
        for group, index, entry, outcome in staged:
            self.logs.applied(node, group, index, entry, outcome)

    def _hardWritten(self, node: int, rows: WatchedRows, group: int, record: HardRecord) -> None:
        if not record.replicaId:
            if self._applied.pop((node, group), None):
                self.counters["replicas removed"] += 1
            return
        invariants = self.invariants(group)
        invariants.persisted(record.replicaId, self._durable(node, rows, group, record.replicaId))
        replicaId, applied = self._applied.get((node, group), (0, 0))
        if replicaId != record.replicaId:
            applied = record.applied
            invariants.installed(record.replicaId, applied)
        elif record.baseIndex > applied:
            self.counters["snapshots installed"] += 1
            applied = record.applied
            invariants.installed(record.replicaId, applied)
        if record.installing:
            return
        if record.applied < applied and not record.applied:
            invariants.installed(record.replicaId, 0)  # half a snapshot was erased
            applied = 0
        for index in range(applied + 1, record.applied + 1):
            octets = rows.get(LOG, logKey(group, index))
            if octets is None:
                raise InvariantBroken("stateMachineSafety", f"node {node} applied {index} without its row")
            invariants.applied(record.replicaId, unpackLogRow(index, octets))
        if record.applied < applied:
            raise InvariantBroken("monotony", f"node {node}: applied index fell from {applied}")
        self._applied[node, group] = record.replicaId, record.applied
