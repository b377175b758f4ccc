"""
What the Raft core gives out: the hard state and the batch of outputs; and the bounds that it keeps.

Pure.
"""

from __future__ import annotations

import enum

import msgspec

from jindimail.replication.entries import Entry, Snapshot
from jindimail.replication.messages import Message


class Role(enum.Enum):
    """What a replica is at this moment."""

    FOLLOWER = "follower"
    PRECANDIDATE = "precandidate"  # asks whether an election could be won, without a new term (§9.6)
    CANDIDATE = "candidate"
    LEADER = "leader"


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a replica must not forget: its term, and whom it voted for in it (0: nobody)."""

    term: int = 0
    vote: int = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a replica. Times are counted in ticks of its driver (100 ms by default)."""

    electionTicks: int = 4  # an election timeout is drawn between this and twice this, less one
    heartbeatTicks: int = 1
    appendOctetsMax: int = 56 * 1024  # of entries in one message; a single larger entry travels alone
    inflightMessagesMax: int = 64  # appends under way to one follower
    inflightOctetsMax: int = 1024 * 1024
    uncommittedEntriesMax: int = 4096  # proposals beyond this are refused
    promotionLagMax: int = 256  # entries that a learner may lack when it becomes a voter
    memoryOctetsMax: int = 256 * 1024  # of persisted and applied entries kept for followers


class Mark(msgspec.Struct, frozen=True, gc=False):
    """How far the machine is durable once a batch of outputs is: handed back to `Raft.persisted`."""

    term: int  # the replica's own
    index: int  # of the last entry of its log
    indexTerm: int
    commit: int  # what was handed out to be applied is committed then


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is to be done, in this order: persist; once that is durable call `Raft.persisted`, and send `after`.

    `now` may leave at once, beside the writing (dissertation §10.2.1). `apply` may run in the transaction that
    persists `entries`, behind them, or in any later one; where it is not `isCommitted`, it holds only once that is durable.
    """

    mark: Mark
    hard: HardState | None  # None: unchanged
    truncateFrom: int  # delete stored log rows from this index on before writing `entries`; 0: none
    entries: list[Entry]
    now: list[Message]
    after: list[Message]
    apply: list[Entry]
    isCommitted: bool  # all of `apply` is known to be committed: a crash cannot undo it, whatever this replica has on disk
    reads: list[tuple[int, int]]  # (context, index): readable here once this index is applied
    snapshots: list[int]  # replica ids that need a snapshot, since the log no longer reaches back to them
    install: Snapshot | None  # write this snapshot's rows, then call `Raft.installed`

    @property
    def mustPersist(self) -> bool:
        """Whether there is anything that has to be durable."""
        return self.hard is not None or bool(self.entries) or self.truncateFrom > 0

    @property
    def onlyApplies(self) -> bool:
        """Whether there is nothing but what is committed to be applied, so that nobody waits for it to be durable."""
        return self.isCommitted and bool(self.apply) and not (self.mustPersist or self.after or self.install)
