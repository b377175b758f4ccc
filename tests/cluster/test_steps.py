"""From any members to any wish, safely and in the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.cluster.arrayrecords import WishRecord
from jindimail.cluster.steps import AddLearner, Demote, HandOver, Promote, Relabel, Remove, nextStep
from jindimail.replication.configuration import ChangeRefused, Configuration, foundingConfiguration

NODES = range(1, 8)
WITNESS = 7


def begun(nodes: list[int], voters: int, witness: int = WITNESS) -> Configuration:
    """A configuration grown from its first node, which is never a witness."""
    configuration = foundingConfiguration(nodes[0])
    for place, node in enumerate(nodes[1:], 1):
        configuration = configuration.withLearner(node, witness=node == witness)
        if place < voters:
            configuration = configuration.withVoter(configuration.members[-1].replicaId)
    return configuration


def taken(configuration: Configuration, step: object, leader: int) -> tuple[Configuration, int]:
    """What a step makes of members and leader."""
    if isinstance(step, AddLearner):
        return configuration.withLearner(step.node, witness=step.witness), leader
    if isinstance(step, Promote):
        return configuration.withVoter(step.replicaId), leader
    if isinstance(step, Remove):
        assert step.replicaId != leader
        return configuration.without(step.replicaId), leader
    if isinstance(step, Demote):
        assert step.replicaId != leader
        return configuration.withoutVote(step.replicaId), leader
    if isinstance(step, Relabel):
        assert step.replicaId != leader or not step.witness
        return configuration.asWitness(step.replicaId, step.witness), leader
    assert isinstance(step, HandOver)
    successor = next(member for member in configuration.members if member.node == step.node)
    assert successor.voter
    return configuration, successor.replicaId


distinct = st.lists(st.sampled_from(NODES), min_size=1, max_size=6, unique=True)


@given(
    distinct.filter(lambda nodes: nodes[0] != WITNESS),
    st.integers(1, 6),
    distinct,
    st.integers(0, 3),
    st.sampled_from((WITNESS, WITNESS - 1, 0)),
)
def test_everyWishIsFulfilledStepByStep(
    nodes: list[int], voters: int, wished: list[int], learners: int, wasWitness: int
) -> None:
    configuration = begun(nodes, voters, wasWitness)
    voting = [node for node in wished[learners:] if node != WITNESS][:1] + wished[learners:]
    voting = list(dict.fromkeys(voting))
    wish = WishRecord(
        voters=tuple(voting) or (1,),
        learners=tuple(node for node in wished[:learners] if node not in (voting or [1])),
    )
    if all(node == WITNESS for node in wish.voters):
        return
    leader = configuration.members[0].replicaId
    floor = min(len(configuration.voters()), len(wish.voters))
    for _ in range(60):
        everybody = {member.replicaId for member in configuration.members}
        step = nextStep(configuration, wish, leader=leader, caughtUp=everybody, witnesses={WITNESS})
        if step is None:
            break
        before = configuration
        configuration, leader = taken(configuration, step, leader)
        assert configuration.isStepFrom(before)
        assert len(configuration.voters()) >= min(floor, 1) and configuration.member(leader)
    else:
        raise AssertionError("no end")
    assert {m.node for m in configuration.members if m.voter} == set(wish.voters)
    assert {m.node for m in configuration.members if not m.voter} == set(wish.learners)
    assert all(member.witness == (member.node == WITNESS) for member in configuration.members)


def test_aWeightChangedToOrFromNothingMakesAWitnessOrAFullMember() -> None:
    wish = WishRecord(voters=(1, 2, WITNESS))
    full, labelled = begun([1, 2, WITNESS], 3, witness=0), begun([1, 2, WITNESS], 3)
    everybody = {1, 2, 3}
    step = nextStep(full, wish, leader=1, caughtUp=everybody, witnesses={WITNESS})
    assert step == Relabel(3, witness=True)
    assert full.asWitness(3, True) == labelled
    step = nextStep(labelled, wish, leader=1, caughtUp=everybody, witnesses=set())
    assert step == Relabel(3, witness=False)
    assert nextStep(full, wish, leader=3, caughtUp=everybody, witnesses={WITNESS}) is None, "it leads"
    assert nextStep(labelled, wish, leader=1, caughtUp=everybody, witnesses={1, 2, WITNESS}) == Relabel(
        2, True
    )
    with pytest.raises(ChangeRefused):
        labelled.asWitness(2, True).asWitness(1, True)


def test_nobodyIsMadeAVoterBeforeHeHasCaughtUp() -> None:
    configuration = begun([1, 2, 3], 1)
    wish = WishRecord(voters=(1, 2, 3))
    assert nextStep(configuration, wish, leader=1, caughtUp={1}, witnesses=set()) is None


def test_aSecondVoterWaitsForTheThird() -> None:
    configuration = begun([1, 2, 3], 1)
    wish = WishRecord(voters=(1, 2, 3))
    assert nextStep(configuration, wish, leader=1, caughtUp={1, 2}, witnesses=set()) is None
    assert nextStep(configuration, wish, leader=1, caughtUp={1, 2, 3}, witnesses=set()) == Promote(2)
    assert nextStep(
        configuration.withVoter(2), wish, leader=1, caughtUp={1, 2, 3}, witnesses=set()
    ) == Promote(3)


def test_aDeadVoterGoesOnlyAfterItsReplacementVotes() -> None:
    configuration = begun([1, 2, 3], 3).withLearner(4)
    wish = WishRecord(voters=(1, 2, 4))
    assert nextStep(configuration, wish, leader=1, caughtUp={1, 2}, witnesses=set()) is None
    assert nextStep(configuration, wish, leader=1, caughtUp={1, 2, 4}, witnesses=set()) == Promote(4)
    assert nextStep(
        configuration.withVoter(4), wish, leader=1, caughtUp={1, 2, 4}, witnesses=set()
    ) == Remove(3)


def test_aLeaderThatIsToGoHandsOverFirst() -> None:
    configuration = begun([1, 2, 3, 4], 4)
    wish = WishRecord(voters=(2, 3, 4))
    assert nextStep(configuration, wish, leader=1, caughtUp={1, 3, 4}, witnesses=set()) == HandOver(3)
    assert nextStep(configuration, wish, leader=1, caughtUp={1}, witnesses=set()) is None
    assert nextStep(configuration, wish, leader=3, caughtUp={3, 4}, witnesses=set()) == Remove(1)


def test_aWitnessIsAddedAsOneAndLeadsNothing() -> None:
    configuration = begun([1, 2], 1)
    wish = WishRecord(voters=(1, 2, WITNESS))
    step = nextStep(configuration, wish, leader=1, caughtUp={1, 2}, witnesses={WITNESS})
    assert step == AddLearner(WITNESS, witness=True)


def test_aDeadVoterGoesBeforeALivingOne() -> None:
    configuration = begun([1, 2, 3], 3)
    wish = WishRecord(voters=(1,), learners=(2,))
    step = nextStep(configuration, wish, leader=1, caughtUp={1, 2}, witnesses=set())
    assert step == Remove(3)
    step = nextStep(configuration.without(3), wish, leader=1, caughtUp={1, 2}, witnesses=set())
    assert step == Demote(2)


def test_nobodyGoesWhoseVoteTheRestWouldNeed() -> None:
    configuration = begun([1, 2, 3, 4, 5], 5)
    wish = WishRecord(voters=(1, 4, 5))
    assert nextStep(configuration, wish, leader=1, caughtUp={1, 2, 3}, witnesses=set()) is None
    assert nextStep(configuration, wish, leader=1, caughtUp={1, 2, 3, 4}, witnesses=set()) == Remove(2)
