"""
What there is to say of replicas: for administrators, and as events.

Pure.
"""

from __future__ import annotations

import msgspec

from jindimail.replication.raft import Raft


class GroupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator is told of a group's replica."""

    group: int
    replicaId: int
    role: str
    leader: int
    term: int
    lastIndex: int
    commit: int
    applied: int
    waiting: int
    quiet: bool
    members: tuple[tuple[int, int, bool, bool], ...]  # replica id, node, is voter, is witness


class Standing(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """How far a replica's log reaches, and who would have to agree with it: for who has to choose among those that are left."""

    group: int
    replicaId: int
    term: int
    lastTerm: int
    lastIndex: int
    voters: tuple[int, ...]  # nodes


class SnapshotInstalled(msgspec.Struct, frozen=True):
    """The event that listeners are given when a snapshot took the place of all of a group's records."""

    group: int

    @property
    def topic(self) -> tuple[str, int]:
        """What `IBuckets.follow` calls it."""
        return ("snapshot", self.group)


def statusOf(raft: Raft, *, applied: int, waiting: int, quiet: bool) -> GroupStatus:
    """The status of a replica."""
    members = tuple(
        (member.replicaId, member.node, member.voter, member.witness) for member in raft.configuration.members
    )
    return GroupStatus(
        group=raft.group,
        replicaId=raft.replicaId,
        role=raft.role.value,
        leader=raft.leader,
        term=raft.term,
        lastIndex=raft.log.lastIndex,
        commit=raft.log.commit,
        applied=applied,
        waiting=waiting,
        quiet=quiet,
        members=members,
    )


def caughtUp(raft: Raft, lagMax: int) -> frozenset[int]:
    """The replicas that are near enough to be made voters, as the leader knows, itself among them; empty for a follower."""
    if raft.leadership is None:
        return frozenset()
    commit = raft.log.commit
    near = (each for each, known in raft.leadership.progress.items() if known.isNear(commit, lagMax))
    return frozenset((raft.replicaId, *near))


def standingOf(raft: Raft) -> Standing:
    """How far a replica is."""
    log = raft.log
    return Standing(
        group=raft.group,
        replicaId=raft.replicaId,
        term=raft.term,
        lastTerm=log.lastTerm,
        lastIndex=log.lastIndex,
        voters=tuple(member.node for member in raft.configuration.members if member.voter),
    )
