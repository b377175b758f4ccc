"""What this node's replicas are, as anybody here may ask: leaders, members, how far they are."""

from __future__ import annotations

from jindimail.replication.configuration import Configuration
from jindimail.replication.replica import Replica
from jindimail.replication.status import GroupStatus, Standing, standingOf, statusOf


class Roster:
    """All replicas of this node, by group."""

    def __init__(self) -> None:
        self._replicas: dict[int, Replica] = {}

    def isAlone(self, group: int) -> bool:
        """Whether this node's replica is the group's only voter."""
        replica = self._replicas.get(group)
        return replica is not None and replica.raft.isSoleVoter

    def appliedIndex(self, group: int) -> int:
        """Up to where this node's rows of a group are complete; 0: there are none, or a snapshot is taking their place."""
        replica = self._replicas.get(group)
        return (
            0 if replica is None or replica.installing or replica.applied < replica.shown else replica.applied
        )

    def leadingTerm(self, group: int) -> int:
        """The term in which this node leads a group; 0: it does not."""
        replica = self._replicas.get(group)
        return replica.raft.term if replica is not None and replica.raft.leadership is not None else 0

    def leading(self) -> dict[int, int]:
        """All groups that this node leads, and in which term."""
        return {
            group: replica.raft.term
            for group, replica in self._replicas.items()
            if replica.raft.leadership is not None
        }

    def leaderOf(self, group: int) -> int | None:
        """The node that leads a group, as far as is known here."""
        replica = self._replicas.get(group)
        if replica is None or not replica.raft.leader:
            return None
        return replica.nodeOf(replica.raft.leader)

    def configurationOf(self, group: int) -> Configuration | None:
        """The members of a group as its replica here has them, committed or not, if there is one."""
        replica = self._replicas.get(group)
        return None if replica is None else replica.raft.configuration

    def lastIndex(self, group: int) -> int:
        """The last index in the log of this node's replica, committed or not; 0: there is none."""
        replica = self._replicas.get(group)
        return replica.raft.log.lastIndex if replica is not None else 0

    def standing(self, group: int) -> Standing | None:
        """How far the replica here is, if there is one that is complete."""
        replica = self._replicas.get(group)
        if replica is None or replica.installing:
            return None
        return standingOf(replica.raft)

    def isChanging(self, group: int) -> bool:
        """Whether a change of members is not committed yet, as the replica here knows."""
        replica = self._replicas.get(group)
        return replica is not None and replica.raft.history.latestIndex > replica.raft.log.commit

    def status(self, group: int) -> GroupStatus | None:
        """What there is to say of a group's replica here, if there is one."""
        replica = self._replicas.get(group)
        if replica is None:
            return None
        return statusOf(
            replica.raft,
            applied=replica.applied,
            waiting=len(replica.waiting),
            quiet=replica.quiet is not None,
        )

    def groups(self) -> list[int]:
        """The groups that have a replica here."""
        return sorted(self._replicas)
