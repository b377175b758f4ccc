"""
The margins of the Raft machine's rules: what is easily left out unnoticed, since something else mostly makes up for it.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.configuration import ChangeRefused, Configuration, Member
from jindimail.replication.messages import (
    Append,
    Appended,
    Ballot,
    Beaten,
    Campaign,
    Install,
    Message,
    TransferNow,
)
from jindimail.replication.outputs import HardState, Role, Settings
from jindimail.replication.quorum import Verdict, verdictOf
from jindimail.replication.raft import NotLeader
from tests.replication.network import GROUP, Network
from tests.replication.test_raft import entry


class Voters(SynchronousTestCase):
    """Who may vote, and when."""

    def test_leaderThatIsSilentForTheShortestTimeoutMayBeReplaced(self) -> None:
        """By the vote of one whose own timeout is longer."""
        network = Network(3)
        network.elect(1)
        raft = network[3]
        raft._electionTimeout = 100
        campaign = Campaign(GROUP, 2, 3, 2, raft.log.lastIndex, raft.log.lastTerm, True, False)
        for _ in range(network.settings.electionTicks - 1):
            raft.tick()
        raft.step(campaign)
        self.assertFalse(raft.hasOutputs())
        raft.tick()
        raft.step(campaign)
        self.assertEqual(raft.outputs().after, [Ballot(GROUP, 3, 2, 2, True, True)])

    def test_voterThatKnowsTheTermsLeaderVotesForNobodyElseInIt(self) -> None:
        raft = Network(3)[3]
        raft.step(Append(GROUP, 1, 3, 1, 0, 0, 0, [entry(1, 1)], False))
        raft.outputs()
        raft.step(Campaign(GROUP, 2, 3, 1, 9, 1, False, False))
        self.assertEqual(raft.outputs().after, [Ballot(GROUP, 3, 2, 1, False, False)])

    def test_candidateBehindTheTermOfAVoterWithAShorterLogIsToldOfIt(self) -> None:
        """Or else neither is ever elected: the one is not heard, the other lacks what is committed."""
        network = Network(3)
        network.elect(1)
        network.isolate(2)
        network.propose(1, b"a")
        network.replicas[3].crash()
        network.replicas[2].disk.hard = HardState(9, 0)
        for replicaId in (1, 2):
            network.replicas[replicaId].crash()
            network.replicas[replicaId].restart()
        network.heal()
        network.lost = lambda message: isinstance(message, Campaign) and message.sender == 2
        network.tick(40)
        self.assertEqual(network.leaders(), [1])
        self.assertGreater(network[1].term, 9)

    def test_candidateThatHearsTheTermsLeaderStandsNoMore(self) -> None:
        raft = Network(3)[3]
        raft.campaign()
        raft.step(Append(GROUP, 1, 3, 1, 0, 0, 0, [entry(1, 1)], False))
        raft.leaderSilent()
        raft.campaign()
        raft.step(Append(GROUP, 1, 3, 1, 1, 1, 1, [], False))
        self.assertIs(raft.role, Role.FOLLOWER)
        raft.step(Ballot(GROUP, 2, 3, 2, True, True))  # comes late
        self.assertEqual((raft.role, raft.term), (Role.FOLLOWER, 1))


class Leaders(SynchronousTestCase):
    """What a leader makes of answers, and of none."""

    def test_newLeaderGivesTheOthersAWholeTimeoutToAnswer(self) -> None:
        network = Network(3)
        network.lost = lambda message: isinstance(message, Appended | Beaten)
        network.elect(1)
        ticks = network.settings.electionTicks
        network.tick(ticks, 1)
        self.assertEqual(network.leaders(), [1])
        network.tick(ticks, 1)
        self.assertEqual(network.leaders(), [])

    def test_acknowledgementOfWhatTheLeaderDoesNotHaveIsNotBelieved(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].step(Appended(GROUP, 3, 1, 1, 99))
        network.propose(1, b"a")
        self.assertEqual(network.state(3), (b"a",))
        self.assertTrue(network[1].isSettled())

    def test_lostAcknowledgementIsFoundByABeat(self) -> None:
        network = Network(3)
        network.elect(1)
        network.lost = lambda message: isinstance(message, Appended)
        network.propose(1, b"a")
        self.assertEqual(network.state(1), ())
        network.heal()
        network.tick(3)
        self.assertEqual([network.state(each) for each in (1, 2, 3)], [(b"a",)] * 3)

    def test_groupIsNotSettledBeforeAllWereToldOfTheCommit(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].propose(b"a")
        network.work()
        network.work()  # all have acknowledged it
        self.assertEqual(network[1].leastMatch(), network[1].log.commit)
        self.assertFalse(network[1].isSettled())
        network.settle()
        self.assertTrue(network[1].isSettled())

    def test_lateAcknowledgementDoesNotMakeASecondSnapshot(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network.propose(1, *[b"%d" % number for number in range(10)])
        network.replicas[1].compact()
        network.heal()
        network.lost = lambda message: isinstance(message, Install)
        network.tick(3)
        network[1].step(Appended(GROUP, 3, 1, 1, 1))
        self.assertEqual(network[1].outputs().snapshots, [])

    def test_snapshotBehindWhichTheLogWasCutMeanwhileIsFollowedByAnother(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network.propose(1, b"a")
        network.replicas[1].compact()
        network.heal()
        installs: list[Install] = []
        network.lost = lambda message: isinstance(message, Install) and not installs.append(message)
        network.tick(3)
        self.assertEqual([each.snapshot.index for each in installs], [2])
        network.propose(1, b"b")
        network.replicas[1].compact()
        network.lost = lambda message: False
        network[3].step(installs[0])
        network.settle()
        self.assertEqual([network.state(each) for each in (1, 2, 3)], [(b"a", b"b")] * 3)


class Values(SynchronousTestCase):
    """Ballots and configurations as values."""

    def test_electionIsOpenAsLongAsItMayBeWonAndLostWhenItMayNot(self) -> None:
        for voters, granted, refused, verdict in (
            (3, 1, 1, Verdict.PENDING),
            (3, 1, 2, Verdict.LOST),
            (3, 2, 1, Verdict.WON),
            (4, 2, 1, Verdict.PENDING),
            (4, 1, 2, Verdict.LOST),
            (5, 2, 2, Verdict.PENDING),
            (5, 0, 3, Verdict.LOST),
        ):
            ballots = {voter: voter < granted for voter in range(granted + refused)}
            self.assertIs(verdictOf(range(voters), ballots), verdict, (voters, granted, refused))

    def test_spentIdsStaySpent(self) -> None:
        before = Configuration((Member(1, 10, voter=True),), 5)
        self.assertTrue(Configuration(before.members, 6).isStepFrom(before))
        self.assertFalse(Configuration(before.members, 4).isStepFrom(before))
        self.assertFalse(Configuration((), 5).isStepFrom(before), "somebody votes")
        self.assertTrue(before.isRemoved(4))
        self.assertFalse(before.isRemoved(5), "it is the next to be given")

    def test_nodeHasOneReplicaWhetherItVotesOrLearns(self) -> None:
        learning = Configuration((Member(1, 10, voter=True),), 2).withLearner(20)
        self.assertRaises(ChangeRefused, learning.withLearner, 20)

    def test_witnessesDoNotStayAlone(self) -> None:
        members = Member(1, 10, voter=True), Member(2, 20, voter=True, witness=True)
        self.assertRaises(ChangeRefused, Configuration(members, 3).asWitness, 1, True)
        self.assertRaises(ChangeRefused, Configuration(members, 3).without, 1)


class Members(SynchronousTestCase):
    """Those that come and go."""

    def test_learnerWhoseEntryIsNotCommittedHearsNotEvenABeat(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(2, 3)
        heard: list[Message] = []

        def isForTheLearner(message: Message) -> bool:
            heard.extend([message] if message.recipient == 4 else [])
            return message.recipient == 4

        network.lost = isForTheLearner
        network[1].proposeConfiguration(network[1].configuration.withLearner(40))
        network.settle()
        network.tick(2, 1)
        self.assertEqual(heard, [])

    def test_learnerThatWasRemovedWhileItWasAwayIsToldSo(self) -> None:
        network = Network(1)
        network.elect(1)
        network[1].proposeConfiguration(network[1].configuration.withLearner(20))
        network.settle()
        network.isolate(2)
        network[1].proposeConfiguration(network[1].configuration.without(2))
        network.settle()
        network.heal()
        network.tick(20)
        self.assertTrue(network[2].isRemoved)

    def test_learnerWhoseLogEndsLongAgoIsToldByWhoLedIt(self) -> None:
        """It was removed while it was being told: all whom its log names are gone."""
        network = Network(1, settings=Settings(appendOctetsMax=1))
        network.elect(1)
        for change in (lambda now: now.withLearner(20), lambda now: now.withVoter(2)):
            network[1].proposeConfiguration(change(network[1].configuration))
            network.settle()
        network[1].transfer(2)
        network.tick(2)
        network[2].proposeConfiguration(network[2].configuration.without(1))
        network.settle()
        network.lost = lambda message: (
            message.recipient == 3
            and isinstance(message, Append)
            and any(entry.index > 2 for entry in message.entries)
        )
        network[2].proposeConfiguration(network[2].configuration.withLearner(30))
        network.settle()
        self.assertEqual(network[3].configuration.voters(), (1,))
        network.isolate(3)
        network[2].proposeConfiguration(network[2].configuration.without(3))
        network.settle()
        network.heal()
        network.tick(20)
        self.assertTrue(network[3].isRemoved)


class Transfers(SynchronousTestCase):
    """While leadership changes hands."""

    def test_noChangeOfMembersBegins(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network[1].transfer(3)
        with self.assertRaises(NotLeader):
            network[1].proposeConfiguration(network[1].configuration.withLearner(40))

    def test_whoHasAllThatIsCommittedAndNotAllThereIsMustWait(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].propose(b"a")
        network[1].transfer(3)
        self.assertEqual([type(message) for message in network[1].outputs().now], [Append, Append])

    def test_transferMayFollowOneThatWasGivenUp(self) -> None:
        network = Network(3)
        network.elect(1)
        network.lost = lambda message: isinstance(message, TransferNow)
        network[1].transfer(3)
        network.settle()
        self.assertFalse(network[1].isSettled(), "a group that is not ticked gives up nothing")
        network.tick(network.settings.electionTicks)
        network.heal()
        network[1].transfer(3)
        network.settle()
        self.assertEqual(network.leaders(), [3])

    def test_onlyAFullVoterSucceeds(self) -> None:
        """Whoever would have a higher id: neither a witness nor a learner."""
        network = Network(4, witnesses=[3, 4])
        network.elect(4)
        network[4].proposeConfiguration(network[4].configuration.withLearner(50))
        network.settle()
        leadership = network[4].leadership
        assert leadership is not None
        self.assertEqual(sorted(leadership.progress), [1, 2, 3, 5])
        self.assertEqual(leadership.successor(), 2)
        self.assertEqual(leadership.successor(frozenset((2,))), 1)


class SoleVoters(SynchronousTestCase):
    """A group of one voter."""

    def test_readsNothingBeforeTheEntryOfItsTermIsDurable(self) -> None:
        """What stands in its log was acknowledged before it died, and is not applied yet."""
        network = Network(1)
        disk = network.replicas[1].disk
        disk.entries = {index: entry(index, 1) for index in (1, 2, 3)}
        disk.hard = HardState(1, 1)
        network.replicas[1].restart()
        network[1].campaign()
        network[1].read(7)
        first = network[1].outputs()
        self.assertEqual(first.reads, [])
        network[1].persisted(first.mark)
        self.assertEqual(network[1].outputs().reads, [(7, 4)])
