"""
From a group's members to those wished for, one step at a time (design §5, §9). Pure.

The group's leader asks `nextStep` again after each step. Voters are added before others are removed, learners are made voters only
when they have caught up, and an even number of voters, which needs as many to agree as the next odd one, is only passed
through: of one voter and two learners that caught up, both become voters back to back.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from jindimail.cluster.arrayrecords import WishRecord
from jindimail.replication.configuration import Configuration, Member


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Give a node a replica that learns."""

    node: int
    witness: bool


@dataclass(frozen=True, slots=True)
class Promote:
    """Let a learner vote."""

    replicaId: int


@dataclass(frozen=True, slots=True)
class Demote:
    """Let a voter only learn from now on."""

    replicaId: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a replica."""

    replicaId: int


@dataclass(frozen=True, slots=True)
class Relabel:
    """A member is a witness from now on, or a full member."""

    replicaId: int
    witness: bool


@dataclass(frozen=True, slots=True)
class HandOver:
    """The leader itself is to go: hand over to this node's replica first."""

    node: int


MemberStep = AddLearner | Promote | Demote | Remove | Relabel | HandOver


def nextStep(
    configuration: Configuration,
    wish: WishRecord,
    *,
    leader: int,
    caughtUp: Set[int],
    witnesses: Set[int],
) -> MemberStep | None:
    """
    The next step towards the wish, or None: it is fulfilled, or something must catch up first.

    @param leader: the leader's replica id.
    @param caughtUp: replica ids whose logs are close to the leader's, and that answer.
    @param witnesses: nodes that keep no bodies.
    """
    members = {member.node: member for member in configuration.members}
    for node in (*wish.voters, *wish.learners):
        if node not in members:
            return AddLearner(node, node in witnesses)
    return (
        _promotion(configuration, members, wish, caughtUp)
        or _removal(configuration, members, wish, leader, caughtUp, witnesses)
        or _relabel(configuration, leader, witnesses)
    )


def _relabel(configuration: Configuration, leader: int, witnesses: Set[int]) -> Relabel | None:
    """A node's weight was changed to or from 0. A leader goes on until another leads; of the voters one stays full."""
    for member in configuration.members:
        isWitness = member.node in witnesses
        if member.witness == isWitness or (isWitness and member.replicaId == leader):
            continue
        if not isWitness or _hasFullBesides(configuration, member):
            return Relabel(member.replicaId, isWitness)
    return None


def _hasFullBesides(configuration: Configuration, member: Member) -> bool:
    return any(each.voter and not each.witness and each is not member for each in configuration.members)


def _promotion(
    configuration: Configuration, members: dict[int, Member], wish: WishRecord, caughtUp: Set[int]
) -> Promote | None:
    ready = [
        members[node].replicaId
        for node in wish.voters
        if not members[node].voter and members[node].replicaId in caughtUp
    ]
    if not ready:
        return None
    voters = len(configuration.voters())
    leaving = sum(member.voter and member.node not in wish.voters for member in configuration.members)
    isOddAfterAll = (voters + 1) % 2 == 1 or len(ready) > 1 or leaving > 0
    return Promote(ready[0]) if isOddAfterAll or len(wish.voters) == voters + 1 else None


def _removal(
    configuration: Configuration,
    members: dict[int, Member],
    wish: WishRecord,
    leader: int,
    caughtUp: Set[int],
    witnesses: Set[int],
) -> Demote | Remove | HandOver | None:
    """
    Those that do not answer go first, and none whose vote the rest would need: what remains must be able to agree.

    While voters are still missing, only learners that nobody wishes for go.
    """
    isComplete = all(members[node].voter for node in wish.voters)
    going = [member for member in configuration.members if not _mayStay(member, wish)]
    for member in sorted(going, key=lambda member: member.replicaId in caughtUp):
        if member.replicaId == leader or (member.voter and not isComplete):
            continue
        if not member.voter or _canAgree(configuration.without(member.replicaId), caughtUp):
            isToLearn = member.voter and member.node in wish.learners
            return Demote(member.replicaId) if isToLearn else Remove(member.replicaId)
    if not isComplete or all(member.replicaId != leader for member in going):
        return None
    successors = (node for node in wish.voters if members[node].replicaId in caughtUp)
    successor = next(
        (node for node in successors if not members[node].witness and node not in witnesses), None
    )
    return None if successor is None else HandOver(successor)


def _mayStay(member: Member, wish: WishRecord) -> bool:
    """Whether a member stands where it is wished for."""
    return member.node in wish.voters or (member.node in wish.learners and not member.voter)


def _canAgree(configuration: Configuration, caughtUp: Set[int]) -> bool:
    voters = configuration.voters()
    return 2 * sum(voter in caughtUp for voter in voters) > len(voters)
