"""
One replica as its node's driver holds it: the Raft machine, who waits for it, and how much of its log is kept.

No I/O: the driver carries out what stands in the `Work` that it gives.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from jindimail.replication.configuration import Configuration
from jindimail.replication.durable import HardRecord, Loaded, encodeHard
from jindimail.replication.nodemessages import QuietGroup
from jindimail.replication.outputs import Role
from jindimail.replication.raft import Raft
from jindimail.replication.turn import Before, Work

KEPT_ENTRIES = 64  # a sole voter's log keeps between one and two of these generations of applied entries,
KEPT_OCTETS = 256 * 1024  # or of these
SHARED_ENTRIES = 1024  # the same where others may need them
SHARED_OCTETS = 1024 * 1024
LAG_ENTRIES_MAX = 4096  # what a leader keeps for a member that is behind
DROPPED_MAX = 512  # log rows that one turn deletes


class Waiter:
    """Who waits for a proposal."""

    __slots__ = ("deadline", "done", "term")

    def __init__(self, term: int, done: Deferred[Any], deadline: float) -> None:
        self.term = term
        self.done = done
        self.deadline = deadline


class Asked:
    """Who waits for a read index; all calls of a turn share one."""

    __slots__ = ("deadline", "dones")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.dones: list[Deferred[int]] = []


class Replica:
    """
    One group's replica at this node.

    @ivar applied: up to where its rows are seen by readers; that is committed, but may not be durable here yet.
    @ivar shown: up to where they were seen before its turns were not written: nobody is answered before it is there again.
    @ivar failures: how often in a row its turns could not be written, for whatever reason but a full disk.
    @ivar waiting: the proposals made here, by index.
    @ivar reads: who waits for a read index, by context; `open` is the context that this turn's calls share.
    @ivar readable: confirmed reads that wait for their index to be applied.
    @ivar routes: the nodes of replicas that spoke, for those that the configuration does not name (yet).
    @ivar quiet: where the group is quiet, if it is.
    @ivar isTold: all members were told where the group is when it was settled; where it leads.
    @ivar missing: replica ids whose nodes say that they have no such replica: nobody waits for them.
    @ivar inFlight: its turns that are handed to the store and not durable, but for those that only apply.
    @ivar tickedIndex: the last of its log at its last tick; when it woke, the last that was committed.
    @ivar countedAt: when a tick counted last towards its timeouts.
    @ivar untold: its turns under way that apply what nobody may see before it is durable; nor what comes behind them.
    """

    __slots__ = (
        "_base",
        "_generation",
        "_generationOctets",
        "_hard",
        "_placed",
        "_places",
        "_target",
        "applied",
        "befores",
        "countedAt",
        "failures",
        "group",
        "inFlight",
        "installing",
        "isTold",
        "missing",
        "open",
        "quiet",
        "raft",
        "readable",
        "reads",
        "routes",
        "shown",
        "tickedIndex",
        "tombstone",
        "untold",
        "waiting",
    )

    def __init__(self, loaded: Loaded, raft: Raft) -> None:
        self.group = loaded.group
        self.raft = raft
        self.applied = loaded.record.applied
        self.shown = 0
        self.waiting: dict[int, Waiter] = {}
        self.befores: dict[int, Before] = {}
        self.reads: dict[int, Asked] = {}
        self.open = 0
        self.readable: list[tuple[int, Deferred[int]]] = []
        self.routes: dict[int, int] = {}
        self.quiet: QuietGroup | None = None
        self.isTold = False
        self.tickedIndex = 0
        self.countedAt = 0.0
        self.inFlight = self.untold = 0
        self.failures = 0
        self.installing = False
        self.missing: set[int] = set()
        self.tombstone = loaded.record.tombstone
        self._hard = loaded.row
        self._placed: Configuration | None = None  # has its members' nodes in
        self._places: dict[int, int] = {}
        self._base = loaded.log.baseIndex
        self._target = self._base
        self._generation = loaded.record.applied
        self._generationOctets = 0

    def work(self) -> Work:
        """Take the machine's outputs, with what has to be written for them."""
        raft = self.raft
        outputs = raft.outputs()
        self.open = 0
        for entry in outputs.entries:
            self._generationOctets += len(entry.data)
        dropFrom, dropTo = self._dropped()
        expected, hard = self._hard, None
        if outputs.mustPersist or outputs.apply or dropFrom:
            hard = self._hard = encodeHard(self.record())
        befores, self.befores = self.befores, {}
        return Work(
            group=self.group,
            outputs=outputs,
            expected=expected,
            hard=hard,
            dropFrom=dropFrom,
            dropTo=dropTo,
            befores=befores,
        )

    def installedAt(self, index: int, row: bytes) -> None:
        """A snapshot has taken the place of everything; `row` is the hard row that says so."""
        self.installing = False
        self.applied = self._base = self._target = self._generation = index
        self._generationOctets = 0
        self._hard = row

    def nodeOf(self, replicaId: int) -> int | None:
        """The node of another replica."""
        configuration = self.raft.configuration
        if configuration is not self._placed:
            self._placed = configuration
            self._places = {member.replicaId: member.node for member in configuration.members}
        node = self._places.get(replicaId)
        return node if node is not None else self.routes.get(replicaId)

    def nodes(self, own: int) -> list[int]:
        """The nodes of the other members."""
        return [member.node for member in self.raft.configuration.members if member.node != own]

    def votersElsewhere(self, own: int) -> list[int]:
        """The nodes of the other voters."""
        return [
            member.node for member in self.raft.configuration.members if member.voter and member.node != own
        ]

    def agrees(self, quiet: QuietGroup) -> bool:
        """Whether this replica is at the place where the whole group is said to be."""
        raft = self.raft
        log = raft.log
        return (
            raft.leader == quiet.leader
            and raft.term == quiet.term
            and log.lastIndex == quiet.commit == log.commit
            and raft.role in (Role.LEADER, Role.FOLLOWER)
        )

    def isHeard(self) -> bool:
        """Whether all members have acknowledged something newer than the last tick to it, which leads: they hear it, and it hears them."""
        leadership = self.raft.leadership
        if leadership is None or leadership.reads or leadership.transferee:
            return False
        return self.raft.leastMatch() > self.tickedIndex

    def isOnlyHolding(self) -> bool:
        """Whether it leads, all had everything at its last tick, and what came since is held back: spreading that does for a tick."""
        leadership = self.raft.leadership
        if leadership is None or leadership.reads or leadership.transferee:
            return False
        return self.raft.leastMatch() == self.tickedIndex and leadership.isHolding()

    def record(self) -> HardRecord:
        """The hard record as of now."""
        raft = self.raft
        log = raft.log
        configurationIndex, configuration = raft.history.at(raft.applying)
        return HardRecord(
            replicaId=raft.replicaId,
            term=raft.term,
            vote=raft.vote,
            applied=raft.applying,
            baseIndex=log.baseIndex,
            baseTerm=log.baseTerm,
            configurationIndex=configurationIndex,
            configuration=configuration,
            tombstone=self.tombstone,
            lastIndex=log.lastIndex,
        )

    def _dropped(self) -> tuple[int, int]:
        """
        Log rows that are no longer needed, (0, 0) for none: once there is a whole younger generation, all that stands
        before it, a bounded number a turn.
        """
        raft = self.raft
        applying, base = raft.applying, self._base
        shared = len(raft.configuration.members) > 1
        entriesMax, octetsMax = (SHARED_ENTRIES, SHARED_OCTETS) if shared else (KEPT_ENTRIES, KEPT_OCTETS)
        if applying - self._generation >= entriesMax or self._generationOctets >= octetsMax:
            self._target, self._generation, self._generationOctets = self._generation, applying, 0
        if self._target <= base:
            return 0, 0
        last = min(self._target, raft.log.commit, base + DROPPED_MAX)
        if shared:
            last = min(last, max(raft.leastMatch(), applying - LAG_ENTRIES_MAX))
        if last <= base:
            return 0, 0
        raft.compacted(last)
        self._base = last
        return base + 1, last
