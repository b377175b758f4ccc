"""
The hard cases of Raft, directed: after the paper, the dissertation and what etcd's raft tests, written for this machine.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Corrupt
from jindimail.replication.configuration import (
    ChangeRefused,
    Configuration,
    Member,
    encodeConfiguration,
)
from jindimail.replication.entries import CONFIGURATION, NORMAL, Entry, Snapshot
from jindimail.replication.messages import (
    Append,
    Appended,
    AskRead,
    Ballot,
    Beat,
    Beaten,
    Campaign,
    Install,
    Message,
    Removed,
    TransferNow,
    decodeMessage,
    encodeMessage,
)
from jindimail.replication.outputs import HardState, Mark, Role, Settings
from jindimail.replication.progress import Pace
from jindimail.replication.raft import NotLeader, NotPossible, TooManyProposals
from tests.replication.network import GROUP, Network


def entry(index: int, term: int, data: bytes = b"x") -> Entry:
    """A normal entry."""
    return Entry(index, term, NORMAL, data)


def logOf(network: Network, replicaId: int) -> list[tuple[int, int]]:
    """(index, term) of all entries that a replica has."""
    raft = network[replicaId]
    return [
        (index, raft.log.term(index) or 0) for index in range(raft.log.baseIndex + 1, raft.log.lastIndex + 1)
    ]


class Elections(SynchronousTestCase):
    """Terms and votes."""

    def test_candidateWithAMajorityLeadsAndOthersFollow(self) -> None:
        network = Network(3)
        network.elect(1)
        self.assertEqual(network.leaders(), [1])
        self.assertEqual([network[each].leader for each in (1, 2, 3)], [1, 1, 1])
        self.assertEqual([network[each].log.commit for each in (1, 2, 3)], [1, 1, 1])

    def test_followerCampaignsAfterAnElectionTimeout(self) -> None:
        network = Network(3)
        network.tick(8)
        self.assertEqual(len(network.leaders()), 1)

    def test_leaderKeepsFollowersQuietForEver(self) -> None:
        network = Network(3)
        network.elect(2)
        network.tick(100)
        self.assertEqual(network.leaders(), [2])
        self.assertEqual(network[2].term, 1)

    def test_evenSplitIsResolvedByAnotherElection(self) -> None:
        network = Network(4)
        network[1].campaign(pre=False)
        network[2].campaign(pre=False)
        network.lost = lambda message: (message.sender, message.recipient) in {(1, 4), (2, 3)}
        network.settle()
        self.assertEqual(network.leaders(), [])
        network.heal()
        network.tick(20)
        self.assertEqual(len(network.leaders()), 1)

    def test_voterRefusesASecondCandidateOfTheTerm(self) -> None:
        network = Network(3)
        network[3].step(Campaign(GROUP, 1, 3, 1, 0, 0, False, False))
        network[3].step(Campaign(GROUP, 2, 3, 1, 0, 0, False, False))
        ballots = [message for message in network[3].outputs().after if isinstance(message, Ballot)]
        self.assertEqual([ballot.granted for ballot in ballots], [True, False])

    def test_voterRepeatsItsVoteToTheSameCandidate(self) -> None:
        network = Network(3)
        for _ in range(2):
            network[3].step(Campaign(GROUP, 1, 3, 1, 0, 0, False, False))
        self.assertEqual([message.granted for message in network[3].outputs().after], [True, True])

    def test_voterRefusesALogThatIsNotUpToDate(self) -> None:
        network = Network(3)
        network.elect(1)
        network.propose(1, b"a")
        raft = network[3]
        raft.leaderSilent()
        for lastIndex, lastTerm, granted in ((1, 1, False), (9, 0, False), (2, 1, True), (1, 2, True)):
            raft.step(Campaign(GROUP, 2, 3, raft.term + 1, lastIndex, lastTerm, False, False))
            self.assertEqual(raft.outputs().after[-1].granted, granted, (lastIndex, lastTerm))

    def test_restartBetweenVoteAndSendKeepsTheVote(self) -> None:
        network = Network(3)
        network[3].step(Campaign(GROUP, 1, 3, 1, 0, 0, False, False))
        replica = network.replicas[3]
        outputs = replica.take()
        assert outputs is not None
        self.assertEqual(outputs.now, [])
        replica.disk.write(outputs, lambda entry: None)  # durable, but the process dies before it sends
        replica.crash()
        replica.restart()
        network[3].step(Campaign(GROUP, 2, 3, 1, 0, 0, False, False))
        self.assertFalse(network[3].outputs().after[-1].granted)

    def test_restartBeforeTheVoteIsDurableHasNotVoted(self) -> None:
        network = Network(3)
        network[3].step(Campaign(GROUP, 1, 3, 1, 0, 0, False, False))
        network.replicas[3].take()
        network.replicas[3].crash()
        network.replicas[3].restart()
        self.assertEqual((network[3].term, network[3].vote), (0, 0))

    def test_candidateDoesNotAskBeforeItsOwnVoteIsDurable(self) -> None:
        network = Network(3)
        network[1].campaign(pre=False)
        outputs = network.replicas[1].take()
        assert outputs is not None
        self.assertEqual((outputs.hard, outputs.now), (HardState(1, 1), []))
        self.assertEqual(len(outputs.after), 2)
        self.assertEqual(network.queue, [])

    def test_candidateDoesNotCountItselfBeforeItsOwnVoteIsDurable(self) -> None:
        raft = Network(3)[1]
        raft.campaign(pre=False)
        mark = raft.outputs().mark
        raft.step(Ballot(GROUP, 2, 1, 1, False, True))
        self.assertIs(raft.role, Role.CANDIDATE)
        raft.persisted(mark)
        self.assertIs(raft.role, Role.LEADER)

    def test_candidateFollowsNobodyAndVotesForAnother(self) -> None:
        network = Network(3)
        network.elect(1)
        network.settle()
        raft = network[2]
        for _ in range(raft._electionTimeout):
            raft.tick()
        self.assertEqual((raft.role, raft.leader), (Role.PRECANDIDATE, 0))
        last = raft.log.lastIndex, raft.log.lastTerm
        raft.outputs()
        raft.step(Campaign(GROUP, 3, 2, raft.term + 1, *last, False, False))
        self.assertEqual(raft.vote, 3)

    def test_ballotOfAnEarlierTermDoesNotCount(self) -> None:
        network = Network(5)
        network[1].campaign(pre=False)
        network[1].persisted(network[1].outputs().mark)
        network[1].campaign(pre=False)
        network[1].persisted(network[1].outputs().mark)
        for voter in (2, 3, 4):
            network[1].step(Ballot(GROUP, voter, 1, 1, False, True))
        self.assertIs(network[1].role, Role.CANDIDATE)
        for voter in (2, 3):
            network[1].step(Ballot(GROUP, voter, 1, 2, False, True))
        self.assertIs(network[1].role, Role.LEADER)

    def test_repeatedBallotCountsOnce(self) -> None:
        network = Network(5)
        network[1].campaign(pre=False)
        network[1].persisted(network[1].outputs().mark)
        for _ in range(3):
            network[1].step(Ballot(GROUP, 2, 1, 1, False, True))
        self.assertIs(network[1].role, Role.CANDIDATE)

    def test_preVoteOfAnEarlierTermDoesNotCount(self) -> None:
        network = Network(3)
        network[1].campaign()
        network[1].step(Append(GROUP, 2, 1, 5, 0, 0, 0, [], False))
        network[1].leaderSilent()
        network[1].campaign()
        network[1].step(Ballot(GROUP, 3, 1, 7, True, True))  # an answer to another question
        self.assertIs(network[1].role, Role.PRECANDIDATE)
        network[1].step(Ballot(GROUP, 3, 1, 6, True, True))
        self.assertIs(network[1].role, Role.CANDIDATE)

    def test_preVoteChangesNoTerm(self) -> None:
        network = Network(3)
        network.isolate(3)
        network.tick(50, 3)
        self.assertIs(network[3].role, Role.PRECANDIDATE)
        self.assertEqual((network[3].term, network[3].vote), (0, 0))
        network[2].step(Campaign(GROUP, 3, 2, 9, 0, 0, True, False))
        self.assertEqual((network[2].term, network[2].vote), (0, 0))

    def test_partitionedNodeDoesNotDisruptWhenItReturns(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network.propose(1, b"a", b"b")
        network.tick(50)
        network.heal()
        network.tick(50)
        self.assertEqual(network.leaders(), [1])
        self.assertEqual(network[1].term, 1)
        self.assertEqual(network.state(3), (b"a", b"b"))

    def test_followerThatHearsItsLeaderIgnoresCampaigns(self) -> None:
        network = Network(3)
        network.elect(1)
        for pre in (True, False):
            network[2].step(Campaign(GROUP, 3, 2, 9, 99, 9, pre, False))
            self.assertEqual(network[2].term, 1)
            self.assertFalse(network[2].hasOutputs())
        network[1].step(Campaign(GROUP, 3, 1, 9, 99, 9, False, False))
        self.assertIs(network[1].role, Role.LEADER)

    def test_leaderHearsOfALaterTermFromAnAnswer(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].step(Appended(GROUP, 2, 1, 8, 0))
        self.assertEqual((network[1].role, network[1].term), (Role.FOLLOWER, 8))

    def test_candidateStuckInALaterTermIsFreed(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network[3].leaderSilent()
        network[3].campaign(pre=False)  # as if its pre-vote had been won just before the partition
        network.settle()
        self.assertEqual(network[3].term, 2)
        network.heal()
        network.tick(20)
        self.assertEqual(len(network.leaders()), 1)
        leader = network[network.leaders()[0]]
        self.assertGreater(leader.term, 2)
        self.assertEqual(network[3].leader, leader.replicaId)

    def test_leaderWithoutAMajorityStepsDown(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(1)
        network.tick(9, 1)
        self.assertIs(network[1].role, Role.FOLLOWER)
        self.assertEqual(network[1].leader, 0)

    def test_leaderThatIsHeardButDoesNotHearStepsDown(self) -> None:
        network = Network(3)
        network.elect(1)
        network.cut |= {(2, 1), (3, 1)}
        network.tick(60)
        self.assertNotIn(1, network.leaders())
        self.assertEqual(len(network.leaders()), 1)
        network.heal()
        network.tick(20)
        self.assertEqual(len(network.leaders()), 1)

    def test_staleLeaderStepsDownAndItsEntriesGiveWay(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(1)
        network[1].propose(b"lost")
        network.settle()
        network.elect(2)
        network.propose(2, b"kept")
        network.heal()
        network.tick(3)
        self.assertIs(network[1].role, Role.FOLLOWER)
        self.assertEqual([network.state(each) for each in (1, 2, 3)], [(b"kept",)] * 3)

    def test_ballotThatComesLateMakesALeaderOfATermThatIsOver(self) -> None:
        """It need not have what was committed since in a higher term, and nobody follows it."""
        network = Network(3)
        network.elect(1)
        network.cut = {(1, 2), (2, 1)}
        network[1].propose(b"a")
        network.replicas[1].take()
        network.replicas[1].crash()  # before it wrote the entry, which the third has
        network.settle()
        network.replicas[1].restart()
        network.heal()
        late: list[Ballot] = []

        def isLate(message: Message) -> bool:
            isIt = (
                isinstance(message, Ballot) and not message.pre and message.recipient == 2 and message.granted
            )
            late.extend([message] if isIt else [])  # type: ignore[list-item]
            return isIt

        network.lost = isLate
        for replicaId in (1, 2, 3):
            network[replicaId].leaderSilent()
        network[2].campaign()
        network.settle()
        self.assertEqual([ballot.sender for ballot in late], [1])
        network.isolate(2)
        network.elect(3)
        self.assertEqual(network.state(3), (b"a",))
        network.deliver(late[0])
        self.assertIs(network[2].role, Role.LEADER)
        self.assertLess(network[2].term, network[3].term)
        network.propose(2, b"lost")
        network.heal()
        network.tick(3)
        self.assertIs(network[2].role, Role.FOLLOWER)
        self.assertEqual([network.state(each) for each in (1, 2, 3)], [(b"a",)] * 3)


class Replication(SynchronousTestCase):
    """Logs agree."""

    def test_entriesAreCommittedAndAppliedEverywhere(self) -> None:
        network = Network(5)
        network.elect(1)
        network.propose(1, b"a", b"b")
        network.propose(1, b"c")
        self.assertEqual([network.state(each) for each in range(1, 6)], [(b"a", b"b", b"c")] * 5)

    def test_proposalsOfATurnShareOneAppend(self) -> None:
        network = Network(3)
        network.elect(1)
        for number in range(20):
            network[1].propose(b"%d" % number)
        appends = [message for message in network[1].outputs().now if isinstance(message, Append)]
        self.assertEqual([(append.recipient, len(append.entries)) for append in appends], [(2, 20), (3, 20)])

    def test_leaderDoesNotCountItselfBeforeItIsDurable(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network[1].propose(b"a")
        network.replicas[1].take()
        network.replicas[1].pending.clear()  # its disk is stuck
        network.deliverAll()
        network.replicas[2].take()
        network.replicas[2].sync()
        network.deliverAll()
        self.assertEqual(network[1].log.commit, 1)

    def test_twoFollowersCommitWithoutTheLeadersDisk(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].propose(b"a")
        network.replicas[1].take()
        network.deliverAll()
        for follower in (2, 3):
            network.replicas[follower].take()
            network.replicas[follower].sync()
        network.deliverAll()
        self.assertEqual(network[1].log.commit, 2)

    def test_followerAcknowledgesOnlyWhatIsDurable(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].propose(b"a")
        network.replicas[1].take()
        network.replicas[1].sync()
        network.deliverAll()
        outputs = network.replicas[2].take()
        assert outputs is not None
        self.assertEqual(outputs.now, [])
        self.assertIsInstance(outputs.after[0], Appended)

    def test_figureEight(self) -> None:
        """Paper, figure 8: an entry of an earlier term on a majority may still be lost, and is not committed."""
        network = Network(5)
        network.elect(1)  # (a) S1 leads and writes index 2 to S2 only
        network.isolate(1, 2)
        network[1].propose(b"two")
        network.settle()
        self.assertEqual(network[1].log.commit, 1)
        network.replicas[1].crash()
        network.heal()
        network.isolate(3, 4, 5)
        network.lost = lambda message: isinstance(message, Append)
        network.elect(5)  # (b) S5 is elected by S3, S4 and writes another index 2 to itself only
        self.assertEqual(logOf(network, 5), [(1, 1), (2, 2)])
        network.replicas[5].crash()
        network.heal()
        network.replicas[1].restart()
        network.lost = lambda message: isinstance(message, Append) and message.prevIndex > 1
        for each in (2, 3, 4):
            network[each].leaderSilent()
        network[1].campaign(pre=False)  # S3 and S4 know a later term: it takes two attempts
        network.settle()
        network[1].campaign(pre=False)
        network.settle()
        self.assertIs(network[1].role, Role.LEADER)
        # (c) S1 leads again; its index 2 of term 1 reaches S3, but nothing of its own term does
        raft = network[1]
        network.deliver(Append(GROUP, 1, 3, raft.term, 1, 1, 1, [entry(2, 1, b"two")], False))
        network.settle()
        self.assertEqual(sum((2, 1) in logOf(network, each) for each in (1, 2, 3)), 3)
        self.assertEqual(raft.log.commit, 1)
        # (e) once an entry of its own term is on a majority, both are committed
        network.heal()
        network.tick(3)
        self.assertEqual([network.state(each) for each in (1, 2, 3, 4)], [(b"two",)] * 4)

    def test_entriesOfEarlierTermsAreCommittedByOneOfTheOwn(self) -> None:
        network = Network(3)
        network.elect(1)
        network.lost = lambda message: isinstance(message, Appended) and message.index > 1
        network[1].propose(b"a")
        network.settle()
        self.assertEqual(network[1].log.commit, 1)
        network.heal()
        network.elect(2)
        self.assertEqual(network.state(2), (b"a",))

    def test_divergedTailsAreRepaired(self) -> None:
        """Paper, figure 7: followers with missing, extra and other entries all come to agree."""
        leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
        for terms in (
            [1, 1, 1, 4, 4, 5, 5, 6, 6],
            [1, 1, 1, 4],
            [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
            [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
            [1, 1, 1, 4, 4, 4, 4],
            [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
        ):
            network = Network(3)
            for replicaId, each in ((1, leaderTerms), (2, terms), (3, leaderTerms)):
                disk = network.replicas[replicaId].disk
                disk.entries = {at: entry(at, term, b"%d" % term) for at, term in enumerate(each, 1)}
                disk.hard = HardState(7, 0)
                network.replicas[replicaId].restart()
            network.elect(1)
            network.propose(1, b"new")
            network.tick(2)
            self.assertEqual(logOf(network, 2), logOf(network, 1), terms)
            self.assertEqual(network.state(2), network.state(1))

    def test_followerDoesNotAcknowledgeItsOwnTail(self) -> None:
        network = Network(3)
        disk = network.replicas[2].disk
        disk.entries = {1: entry(1, 1), 2: entry(2, 1), 3: entry(3, 1)}
        disk.hard = HardState(1, 0)
        network.replicas[2].restart()
        network[2].step(Append(GROUP, 1, 2, 2, 1, 1, 3, [], False))
        self.assertEqual(network[2].log.commit, 1)
        self.assertEqual(network[2].outputs().after, [Appended(GROUP, 2, 1, 2, 1)])

    def test_lateAppendDoesNotCutWhatCameAfterIt(self) -> None:
        network = Network(3)
        raft = network[2]
        raft.step(Append(GROUP, 1, 2, 1, 0, 0, 0, [entry(1, 1), entry(2, 1), entry(3, 1)], False))
        raft.step(Append(GROUP, 1, 2, 1, 0, 0, 0, [entry(1, 1)], False))
        self.assertEqual(raft.log.lastIndex, 3)

    def test_appendBehindTheCommitIndexIsAnsweredWithIt(self) -> None:
        """Whatever it holds: all up to there agrees with every leader, also where the log does not reach back any more."""
        network = Network(3)
        raft = network[2]
        raft.step(Append(GROUP, 1, 2, 1, 0, 0, 3, [entry(1, 1), entry(2, 1), entry(3, 1)], False))
        raft.persisted(raft.outputs().mark)
        raft.compacted(2)
        raft.step(Append(GROUP, 1, 2, 1, 0, 0, 3, [entry(1, 1)], False))
        raft.step(Append(GROUP, 1, 2, 1, 2, 1, 3, [], False))
        self.assertEqual(raft.outputs().after, [Appended(GROUP, 2, 1, 1, 3)] * 2)

    def test_appendBehindAnUnknownPlaceIsRefusedWithAHint(self) -> None:
        network = Network(3)
        raft = network[2]
        raft.step(Append(GROUP, 1, 2, 3, 0, 0, 0, [entry(1, 1), entry(2, 2), entry(3, 2)], False))
        raft.step(Append(GROUP, 1, 2, 3, 9, 3, 0, [], False))
        raft.step(Append(GROUP, 1, 2, 3, 3, 1, 0, [], False))
        answers = raft.outputs().after[1:]
        self.assertEqual(
            answers, [Appended(GROUP, 2, 1, 3, 9, True, 3, 2), Appended(GROUP, 2, 1, 3, 3, True, 1, 1)]
        )

    def test_appendOfAnEarlierTermIsRefused(self) -> None:
        network = Network(3)
        raft = network[2]
        raft.step(Append(GROUP, 1, 2, 3, 0, 0, 0, [entry(1, 3)], False))
        raft.step(Append(GROUP, 3, 2, 2, 0, 0, 1, [entry(1, 2)], False))
        self.assertEqual(logOf(network, 2), [(1, 3)])
        self.assertEqual(raft.log.commit, 0)

    def test_durabilityOfEntriesCutMeanwhileDoesNotCount(self) -> None:
        """Written in one term, cut in the next, written again in a third: the first writing proves nothing."""
        network = Network(3)
        raft = network[2]
        raft.step(Append(GROUP, 1, 2, 1, 0, 0, 0, [entry(1, 1)], False))
        first = raft.outputs().mark
        raft.step(Append(GROUP, 3, 2, 2, 0, 0, 0, [entry(1, 2)], False))
        second = raft.outputs()
        self.assertEqual(second.truncateFrom, 1)
        raft.step(Append(GROUP, 1, 2, 3, 0, 0, 0, [entry(1, 1)], False))
        raft.outputs()
        raft.persisted(first)
        self.assertEqual(raft.log.persisted, 0)
        raft.persisted(second.mark)
        self.assertEqual(raft.log.persisted, 0)

    def test_lostAppendIsFoundByABeat(self) -> None:
        network = Network(3)
        network.elect(1)
        network.lost = lambda message: isinstance(message, Append)
        network[1].propose(b"a")
        network.settle()
        network.heal()
        network.tick(3)
        self.assertEqual([network.state(each) for each in (1, 2, 3)], [(b"a",)] * 3)

    def test_whatIsInFlightIsBounded(self) -> None:
        settings = Settings(appendOctetsMax=10, inflightMessagesMax=4)
        network = Network(3, settings=settings)
        network.elect(1)
        for _ in range(50):
            network[1].propose(b"ten octets")
        appends = [message for message in network[1].outputs().now if message.recipient == 2]
        self.assertEqual(len(appends), 4)
        self.assertFalse(network[1].hasOutputs())
        for follower in (2, 3):
            network[1].step(Appended(GROUP, follower, 1, 1, appends[0].entries[-1].index))
        more = [message for message in network[1].outputs().now if message.recipient == 2]
        self.assertEqual(len(more), 1)

    def test_largeEntryTravelsAlone(self) -> None:
        network = Network(3, settings=Settings(appendOctetsMax=100))
        network.elect(1)
        for size in (10, 1000, 10, 10):
            network[1].propose(bytes(size))
        appends = [message for message in network[1].outputs().now if message.recipient == 2]
        self.assertEqual([len(append.entries) for append in appends], [1, 1, 2])

    def test_slowFollowerIsServedFromTheStore(self) -> None:
        network = Network(3, settings=Settings(memoryOctetsMax=10))
        network.elect(1)
        network.isolate(3)
        for number in range(50):
            network.propose(1, b"entry %d" % number)
        self.assertLess(len(network[1].log._tail), 5)
        network.heal()
        network.tick(3)
        self.assertEqual(network.state(3), network.state(1))

    def test_proposalsAreBounded(self) -> None:
        network = Network(3, settings=Settings(uncommittedEntriesMax=5))
        network.elect(1)
        for _ in range(5):
            network[1].propose(b"a")
        self.assertRaises(TooManyProposals, network[1].propose, b"a")

    def test_followerRefusesProposalsAndNamesTheLeader(self) -> None:
        network = Network(3)
        network.elect(1)
        with self.assertRaises(NotLeader) as caught:
            network[2].propose(b"a")
        self.assertEqual(caught.exception.leader, 1)

    def test_beatDoesNotCommitWhatTheFollowerMayLack(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network.propose(1, b"a")
        network.heal()
        network[1].tick()
        beats = {
            message.recipient: message.commit
            for message in network[1].outputs().now
            if isinstance(message, Beat)
        }
        self.assertEqual(beats, {2: 2, 3: 1})


class Reads(SynchronousTestCase):
    """Read index."""

    def test_readIsConfirmedByAMajority(self) -> None:
        network = Network(3)
        network.elect(1)
        network.propose(1, b"a")
        network[1].read(7)
        network.replicas[1].take()
        self.assertEqual(network.replicas[1].reads, [])
        network.settle()
        self.assertEqual(network.replicas[1].reads, [(7, 2)])

    def test_readsOfATurnShareOneRound(self) -> None:
        network = Network(3)
        network.elect(1)
        for context in range(10):
            network[1].read(context)
        beats = [message for message in network[1].outputs().now if isinstance(message, Beat)]
        self.assertEqual(len(beats), 2)

    def test_isolatedLeaderConfirmsNothing(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(1)
        network[1].read(7)
        network.tick(2, 1)
        self.assertEqual(network.replicas[1].reads, [])
        network.elect(2)
        network.propose(2, b"a")
        network.heal()
        network.tick(10)
        self.assertEqual(network.replicas[1].reads, [])

    def test_answerToAnEarlierRoundDoesNotConfirm(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].read(1)
        network.settle()
        network[1].read(2)
        network[1].outputs()
        network[1].step(Beaten(GROUP, 2, 1, 1, 1))
        self.assertEqual(network[1].outputs().reads, [])
        network[1].step(Beaten(GROUP, 2, 1, 1, 2))
        self.assertEqual(network[1].outputs().reads, [(2, 1)])

    def test_readBeforeAnEntryOfTheOwnTermWaits(self) -> None:
        network = Network(3)
        network.elect(1)
        network.propose(1, b"a")
        network.lost = lambda message: isinstance(message, Append) and message.sender == 2
        network[2].leaderSilent()
        network[3].leaderSilent()
        network[2].campaign(pre=False)
        network.settle()
        self.assertIs(network[2].role, Role.LEADER)
        network[2].read(7)
        network.tick(2)
        self.assertEqual(network.replicas[2].reads, [])
        network.heal()
        network.tick(3)
        self.assertEqual(network.replicas[2].reads, [(7, 3)])

    def test_followerAsksItsLeader(self) -> None:
        network = Network(3)
        network.elect(1)
        network.propose(1, b"a")
        network[3].read(9)
        network.settle()
        self.assertEqual(network.replicas[3].reads, [(9, 2)])

    def test_readWithoutALeaderIsRefused(self) -> None:
        self.assertRaises(NotLeader, Network(3)[1].read, 1)

    def test_soleVoterReadsAtOnce(self) -> None:
        network = Network(1)
        network.elect(1)
        network.propose(1, b"a")
        network[1].read(3)
        network.settle()
        self.assertEqual(network.replicas[1].reads, [(3, 2)])


class Members(SynchronousTestCase):
    """Changes of members."""

    def grown(self) -> Network:
        """One voter, joined by a learner."""
        network = Network(1)
        network.elect(1)
        network.propose(1, b"a", b"b")
        self.change(network, 1, network[1].configuration.withLearner(20))
        return network

    def change(self, network: Network, leader: int, configuration: Configuration) -> None:
        """Propose a configuration and settle."""
        network[leader].proposeConfiguration(configuration)
        network.settle()

    def test_learnerIsMadeByItsFirstAppendAndCatchesUp(self) -> None:
        network = self.grown()
        self.assertEqual(network.state(2), (b"a", b"b"))
        self.assertEqual(network[2].configuration, network[1].configuration)

    def test_learnerDoesNotCount(self) -> None:
        network = self.grown()
        network.isolate(2)
        network.propose(1, b"c")
        self.assertEqual(network.state(1), (b"a", b"b", b"c"))
        network.tick(50, 2)
        self.assertEqual((network[2].role, network[2].term), (Role.FOLLOWER, 1))

    def test_learnerHearsNothingOfAnUndurableTerm(self) -> None:
        network = self.grown()
        network.replicas[1].crash()
        network.replicas[1].restart()
        network[1].campaign()
        outputs = network[1].outputs()
        self.assertEqual(outputs.now, [])
        self.assertTrue(outputs.after)

    def test_snapshotDoesNotLeaveInAnUndurableTerm(self) -> None:
        network = self.grown()
        network.isolate(2)
        network.propose(1, b"c")
        network.replicas[1].compact()
        network.replicas[2].disk.blank()
        network.replicas[1].crash()
        network.replicas[1].restart()
        network[1].campaign()
        first = network[1].outputs()
        network[1].step(Appended(GROUP, 2, 1, network[1].term, 5, True, 0, 0))
        self.assertEqual(network[1].outputs().snapshots, [])
        network[1].persisted(first.mark)
        self.assertTrue(network[1].hasOutputs())
        self.assertEqual(network[1].outputs().snapshots, [2])

    def test_learnerIsNotToldOfACommitThatIsNotDurable(self) -> None:
        network = self.grown()
        network[1].propose(b"c")
        appends = [message for message in network[1].outputs().now if isinstance(message, Append)]
        self.assertEqual([(append.commit, len(append.entries)) for append in appends], [(4, 1)])

    def test_caughtUpLearnerBecomesAVoter(self) -> None:
        network = self.grown()
        self.change(network, 1, network[1].configuration.withVoter(2))
        self.assertEqual(network[1].configuration.voters(), (1, 2))
        network.isolate(2)
        network[1].propose(b"c")
        network.settle()
        self.assertEqual(network.state(1), (b"a", b"b"))
        network.heal()
        network.tick(3)
        self.assertEqual(network.state(1), (b"a", b"b", b"c"))

    def test_learnerThatHearsNobodyVotesForWhoPromotesIt(self) -> None:
        """Its promotion stands in the leader's log only, and the leader needs its vote to stand again."""
        network = self.grown()
        network.isolate(2)
        self.change(network, 1, network[1].configuration.withVoter(2))
        network.tick(60)
        self.assertEqual(network.leaders(), [])
        self.assertEqual(network[2].leader, 0)
        network.heal()
        network.tick(40)
        self.assertEqual(network.leaders(), [1])
        self.assertEqual(network[2].configuration.voters(), (1, 2))

    def test_learnerIsMadeOnlyWhenItIsCommittedThatItIsOne(self) -> None:
        """An id that is cut off is given again, perhaps to a replica at another node: nobody may have it by then."""
        network = Network(3)
        network.elect(1)
        network.isolate(2, 3)
        self.change(network, 1, network[1].configuration.withLearner(40))
        network.tick(2, 1)
        self.assertNotIn(4, network.replicas)
        network.replicas[1].crash()
        network.heal()
        network.elect(2)
        self.change(network, 2, network[2].configuration.withLearner(50))
        self.assertEqual(network[4].configuration.member(4), Member(4, 50, voter=False))

    def test_learnerThatNeverAnsweredIsNotPromoted(self) -> None:
        network = Network(1)
        network.elect(1)
        network.isolate(2)
        self.change(network, 1, network[1].configuration.withLearner(20))
        self.assertRaises(ChangeRefused, self.change, network, 1, network[1].configuration.withVoter(2))

    def test_laggingLearnerIsNotPromoted(self) -> None:
        network = self.grown()
        network.isolate(2)
        network.propose(1, *[b"%d" % number for number in range(300)])
        self.assertRaises(ChangeRefused, self.change, network, 1, network[1].configuration.withVoter(2))

    def test_learnerThatNeedsASnapshotIsNotPromoted(self) -> None:
        """However little it lacks: nothing could be committed before the snapshot is there."""
        network = self.grown()
        network.isolate(2)
        network.propose(1, b"a", b"b")
        network.replicas[1].compact()
        network.heal()
        network.lost = lambda message: isinstance(message, Install)
        network.tick(3)
        network[1].unreachable(2)
        network.settle()
        learner = network[1].leadership.progress[2]  # type: ignore[union-attr]
        self.assertEqual((learner.pace, learner.match > 0), (Pace.SNAPSHOT, True))
        self.assertRaises(ChangeRefused, self.change, network, 1, network[1].configuration.withVoter(2))
        network.lost = lambda message: False
        network[1].snapshotFailed(2)
        network.settle()
        self.change(network, 1, network[1].configuration.withVoter(2))
        self.assertEqual(network[2].configuration.voters(), (1, 2))

    def test_voterWhosePromotionIsNotCommittedMayLead(self) -> None:
        """It is a voter as soon as the entry stands in its log; it may be the only one that can be elected."""
        network = Network(3)
        network.elect(1)
        self.change(network, 1, network[1].configuration.withLearner(40))
        network.isolate(2, 3)
        self.change(network, 1, network[1].configuration.withVoter(4))
        self.assertEqual(network[4].configuration.voters(), (1, 2, 3, 4))
        self.assertLess(network[4].log.commit, network[4].history.latestIndex)
        network.replicas[1].crash()
        network.heal()
        network.elect(4)
        self.assertEqual(network[4].log.commit, network[4].log.lastIndex)
        self.assertEqual(network[2].configuration.voters(), (1, 2, 3, 4))

    def test_oneChangeAtATime(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].proposeConfiguration(network[1].configuration.without(3))
        with self.assertRaises(ChangeRefused):
            network[1].proposeConfiguration(network[1].configuration.withLearner(40))

    def test_noChangeBeforeAnEntryOfTheOwnTermIsCommitted(self) -> None:
        """The bug of the first one-at-a-time algorithm: two leaders' changes may not overlap (raft-dev, 2015)."""
        network = Network(4)
        network.elect(1)
        network.isolate(2)
        network.lost = lambda message: isinstance(message, Appended) and message.sender == 1
        network[1].leaderSilent()
        network.heal()
        network.lost = lambda message: isinstance(message, Appended)
        network.elect(2)
        with self.assertRaises(ChangeRefused):
            network[2].proposeConfiguration(network[2].configuration.without(4))

    def test_changeOverlappingALeaderChangeIsTakenBack(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(1)
        network[1].proposeConfiguration(network[1].configuration.without(3))
        network.settle()
        self.assertEqual(network[1].configuration.voters(), (1, 2))
        network.elect(2)
        network.propose(2, b"a")
        network.heal()
        network.tick(5)
        self.assertEqual(network[1].configuration.voters(), (1, 2, 3))
        self.assertEqual(network[1].configuration.nextId, 4)
        self.assertEqual(network.state(1), (b"a",))

    def test_changeInThePlaceOfAnotherEntryIsInForce(self) -> None:
        """Where a tail is cut, what takes its place counts, though the log had been so long already."""
        raft = Network(3)[2]
        raft.step(Append(GROUP, 1, 2, 1, 0, 0, 0, [entry(1, 1), entry(2, 1), entry(3, 1)], False))
        grown = raft.configuration.withLearner(40)
        change = Entry(2, 2, CONFIGURATION, encodeConfiguration(grown))
        raft.step(Append(GROUP, 3, 2, 2, 1, 1, 0, [change], False))
        self.assertEqual(raft.configuration, grown)
        self.assertEqual(raft.history.latestIndex, 2)

    def test_removedLeaderCommitsItsRemovalAndStepsDown(self) -> None:
        network = Network(3)
        network.elect(1)
        self.change(network, 1, network[1].configuration.without(1))
        self.assertIs(network[1].role, Role.FOLLOWER)
        self.assertEqual(network[1].log.commit, 2)
        network.tick(20)
        self.assertEqual(len(network.leaders()), 1)
        self.assertNotIn(1, network.leaders())

    def test_removedLeaderDoesNotCountItself(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        self.change(network, 1, network[1].configuration.without(1))
        self.assertEqual(network[1].log.commit, 1)
        self.assertIs(network[1].role, Role.LEADER)

    def test_leaderRemovedByAnUncommittedChangeMayStandAgain(self) -> None:
        network = Network(2)
        network.elect(2)
        network.isolate(1)
        network[2].proposeConfiguration(network[2].configuration.without(2))
        network.settle()
        network.replicas[2].crash()
        network.replicas[2].restart()
        network.heal()
        network.tick(30)
        self.assertEqual(network.leaders(), [1])
        self.assertEqual(network[1].configuration.voters(), (1,))

    def test_removedReplicaThatComesBackLearnsThatItIsATombstone(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        self.change(network, 1, network[1].configuration.without(3))
        network.heal()
        network.tick(30)
        self.assertTrue(network[3].isRemoved)
        self.assertEqual(network.leaders(), [1])
        self.assertEqual(network[1].term, 1)
        network[3].campaign(pre=False)
        self.assertEqual(network[3].term, 1)

    def test_removedReplicaOfALaterTermLearnsThatItIsATombstone(self) -> None:
        """It stood for election alone: nobody else has its term, and yet what was committed in an earlier one is so for ever."""
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network[3].campaign(pre=False)
        network.settle()
        self.change(network, 1, network[1].configuration.without(3))
        network.heal()
        network.tick(30)
        self.assertTrue(network[3].isRemoved)
        self.assertEqual((network.leaders(), network[1].term, network[3].term), ([1], 1, 2))

    def test_removedReplicaGetsNoVotes(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        self.change(network, 1, network[1].configuration.without(3))
        network[1].step(Campaign(GROUP, 3, 1, 5, 99, 5, False, True))
        self.assertEqual(network[1].term, 1)
        self.assertEqual(network[1].outputs().after, [Removed(GROUP, 1, 3, 1)])

    def test_removalThatIsNotCommittedTellsNobody(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(1)
        network[1].proposeConfiguration(network[1].configuration.without(3))
        network[1].step(Campaign(GROUP, 3, 1, 2, 1, 1, False, True))
        answers = network[1].outputs().after
        self.assertEqual([type(answer) for answer in answers], [Ballot])

    def test_sameNodeComesBackUnderANewId(self) -> None:
        network = Network(3)
        network.elect(1)
        self.change(network, 1, network[1].configuration.without(3))
        self.change(network, 1, network[1].configuration.withLearner(30))
        self.assertEqual([member.replicaId for member in network[1].configuration.members], [1, 2, 4])

    def test_fromOneToThreeAndBackToOne(self) -> None:
        network = self.grown()
        self.change(network, 1, network[1].configuration.withLearner(30))
        self.change(network, 1, network[1].configuration.withVoter(2))
        self.change(network, 1, network[1].configuration.withVoter(3))
        network.propose(1, b"c")
        network[1].transfer(3)
        network.settle()
        self.assertEqual(network.leaders(), [3])
        self.change(network, 3, network[3].configuration.without(1))
        self.change(network, 3, network[3].configuration.without(2))
        network.isolate(3)
        network.propose(3, b"d")
        self.assertEqual(network.state(3), (b"a", b"b", b"c", b"d"))

    def test_voterThatOnlyLearnsFromNowOnKeepsItsLogAndIsNotWaitedFor(self) -> None:
        network = Network(3)
        network.elect(1)
        self.change(network, 1, network[1].configuration.withoutVote(3))
        self.change(network, 1, network[1].configuration.withoutVote(2))
        network.propose(1, b"c")
        self.assertEqual(network.state(2), network.state(3))
        network.isolate(1)
        network.propose(1, b"d")
        self.assertEqual(network.state(1)[-1], b"d")
        network.tick(60)
        self.assertEqual(network.leaders(), [1])
        self.assertFalse(network[2].mayCampaign or network[3].mayCampaign)

    def test_configurationSurvivesARestart(self) -> None:
        network = self.grown()
        for replica in network.replicas.values():
            replica.crash()
            replica.restart()
        self.assertEqual(network[2].configuration.nextId, 3)
        self.assertFalse(network[2].mayCampaign)


class Configurations(SynchronousTestCase):
    """Configurations as values."""

    three = Configuration(tuple(Member(each, each, voter=True) for each in (1, 2, 3)), 4)

    def test_idsAreNeverReused(self) -> None:
        configuration = self.three.without(3).withLearner(3).without(4).withLearner(3)
        self.assertEqual([member.replicaId for member in configuration.members], [1, 2, 5])
        self.assertTrue(configuration.isRemoved(3) and configuration.isRemoved(4))
        self.assertFalse(configuration.isRemoved(5) or configuration.isRemoved(6))

    def test_nodeHasOneReplica(self) -> None:
        self.assertRaises(ChangeRefused, self.three.withLearner, 2)

    def test_lastFullVoterStays(self) -> None:
        two = Configuration((Member(1, 1, voter=True), Member(2, 2, voter=True, witness=True)), 3)
        self.assertRaises(ChangeRefused, two.without, 1)
        self.assertRaises(ChangeRefused, two.without(2).without, 1)
        self.assertRaises(ChangeRefused, two.without(2).withoutVote, 1)
        self.assertRaises(ChangeRefused, two.withoutVote(2).withoutVote, 2)

    def test_stepsDifferInOneVoter(self) -> None:
        self.assertTrue(self.three.without(3).isStepFrom(self.three))
        self.assertFalse(self.three.without(3).without(2).isStepFrom(self.three))
        swapped = Configuration((*self.three.without(3).members, Member(4, 4, voter=True)), 5)
        self.assertFalse(swapped.isStepFrom(self.three))

    def test_idMayNotComeBack(self) -> None:
        less = self.three.without(3)
        back = Configuration((*less.members, Member(3, 9, voter=False)), 4)
        self.assertFalse(back.isStepFrom(less))


class Snapshots(SynchronousTestCase):
    """Catching up without the log."""

    def behind(self) -> Network:
        """Replica 3 was away while the others dropped their logs."""
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network.propose(1, *[b"%d" % number for number in range(10)])
        for replicaId in (1, 2):
            network.replicas[replicaId].compact()
        network.heal()
        return network

    def test_replicaBehindTheLogGetsASnapshot(self) -> None:
        network = self.behind()
        network.tick(3)
        self.assertEqual(network.state(3), network.state(1))
        self.assertEqual(network[3].log.baseIndex, 11)
        network.propose(1, b"more")
        self.assertEqual(network.state(3), network.state(1))

    def test_appendsWaitForTheSnapshot(self) -> None:
        network = self.behind()
        network.lost = lambda message: isinstance(message, Install)
        network.tick(3)
        network[1].propose(b"more")
        sent = [message for message in network[1].outputs().now if message.recipient == 3]
        self.assertEqual([message for message in sent if isinstance(message, Append)], [])

    def test_lostSnapshotIsAskedForAgain(self) -> None:
        network = self.behind()
        network.lost = lambda message: isinstance(message, Install)
        network.tick(3)
        network.heal()
        network[1].snapshotFailed(3)
        network.settle()
        self.assertEqual(network.state(3), network.state(1))

    def test_snapshotRacingWithAppendsIsNotInstalledOverThem(self) -> None:
        network = Network(3)
        network.elect(1)
        network.propose(1, b"a", b"b", b"c")
        snapshot = Snapshot(2, 1, 0, network[1].configuration)
        network[3].step(Install(GROUP, 1, 3, 1, snapshot, False))
        outputs = network[3].outputs()
        self.assertIsNone(outputs.install)
        self.assertEqual(outputs.after, [Appended(GROUP, 3, 1, 1, 4)])
        self.assertEqual(network.state(3), (b"a", b"b", b"c"))

    def test_snapshotOfWhatTheLogHoldsOnlyCommitsIt(self) -> None:
        network = Network(3)
        raft = network[3]
        raft.step(Append(GROUP, 1, 3, 1, 0, 0, 0, [entry(1, 1), entry(2, 1), entry(3, 1)], False))
        raft.step(Install(GROUP, 1, 3, 1, Snapshot(2, 1, 0, raft.configuration), False))
        outputs = raft.outputs()
        self.assertIsNone(outputs.install)
        self.assertEqual((raft.log.commit, raft.log.lastIndex), (2, 3))

    def test_membersOfASnapshotAreInForceOnceItIsInstalled(self) -> None:
        raft = Network(3)[3]
        grown = raft.configuration.withLearner(40)
        snapshot = Snapshot(5, 1, 4, grown)
        raft.step(Install(GROUP, 1, 3, 1, snapshot, False))
        self.assertEqual(raft.outputs().install, snapshot)
        raft.installed(snapshot)
        self.assertEqual(raft.configuration, grown)
        self.assertEqual((raft.log.lastIndex, raft.applying), (5, 5))

    def test_nothingIsDoneWhileASnapshotIsInstalled(self) -> None:
        network = Network(3)
        raft = network[3]
        snapshot = Snapshot(9, 1, 0, raft.configuration)
        raft.step(Install(GROUP, 1, 3, 1, snapshot, False))
        self.assertEqual(raft.outputs().install, snapshot)
        self.assertFalse(raft.mayCampaign)
        raft.step(Campaign(GROUP, 2, 3, 9, 99, 9, False, True))
        raft.step(Append(GROUP, 1, 3, 1, 0, 0, 1, [entry(1, 1)], False))
        self.assertEqual((raft.term, raft.log.lastIndex, raft.hasOutputs()), (1, 0, False))
        raft.installed(snapshot)
        self.assertEqual((raft.log.baseIndex, raft.log.commit, raft.applying), (9, 9, 9))
        self.assertEqual(raft.outputs().after, [Appended(GROUP, 3, 1, 1, 9)])

    def test_lateSnapshotOfAnEarlierTermIsIgnored(self) -> None:
        network = Network(3)
        network.elect(1)
        network.elect(2)
        network[3].step(Install(GROUP, 1, 3, 1, Snapshot(99, 1, 0, Configuration()), False))
        self.assertIsNone(network[3].installing)


class Transfers(SynchronousTestCase):
    """Leadership changes hands."""

    def test_transferHandsOverWithoutAnElectionTimeout(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].transfer(3)
        network.settle()
        self.assertEqual(network.leaders(), [3])

    def test_laggingTransfereeIsBroughtUpToDateFirst(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network.propose(1, b"a", b"b")
        network.heal()
        network[1].transfer(3)
        network.tick(3)
        self.assertEqual(network.leaders(), [3])
        self.assertEqual(network.state(3), (b"a", b"b"))

    def test_proposalsAreRefusedDuringATransfer(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network[1].transfer(3)
        network.settle()
        self.assertRaises(NotLeader, network[1].propose, b"a")

    def test_transferIsGivenUpAfterAnElectionTimeout(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(3)
        network[1].transfer(3)
        network.tick(5)
        self.assertEqual(network.leaders(), [1])
        network.propose(1, b"a")
        self.assertEqual(network.state(1), (b"a",))

    def test_learnersAndStrangersCannotLead(self) -> None:
        network = Network(1)
        network.elect(1)
        network[1].proposeConfiguration(network[1].configuration.withLearner(20))
        network.settle()
        self.assertRaises(NotPossible, network[1].transfer, 2)
        self.assertRaises(NotPossible, network[1].transfer, 9)
        network[2].step(TransferNow(GROUP, 1, 2, 1))
        self.assertIs(network[2].role, Role.FOLLOWER)

    def test_transferElectsThroughTheLease(self) -> None:
        network = Network(3)
        network.elect(1)
        network[2].step(TransferNow(GROUP, 1, 2, 1))
        network.settle()
        self.assertEqual(network.leaders(), [2])


class Witnesses(SynchronousTestCase):
    """A witness votes and copies, and leads only to hand over."""

    def test_witnessThatLeadsHandsOver(self) -> None:
        network = Network(3, witnesses=[3])
        network.elect(3)
        self.assertRaises(NotLeader, network[3].propose, b"a")
        network.tick(2)
        self.assertIn(network.leaders(), ([1], [2]))

    def test_witnessBringsAFullReplicaUpToDateFirst(self) -> None:
        network = Network(3, witnesses=[3])
        network.elect(1)
        network.isolate(2)
        network.propose(1, b"a")
        network.replicas[1].crash()
        network.heal()
        network.tick(40)
        self.assertEqual(network.leaders(), [2])
        self.assertEqual(network.state(2), (b"a",))

    def test_witnessCounts(self) -> None:
        network = Network(3, witnesses=[3])
        network.elect(1)
        network.isolate(2)
        network.propose(1, b"a")
        self.assertEqual(network.state(1), (b"a",))


class QuietGroups(SynchronousTestCase):
    """A group that has nothing to do need not be ticked."""

    def test_settledGroupSaysSo(self) -> None:
        network = Network(3)
        network.elect(1)
        network.propose(1, b"a")
        network.settle()
        self.assertTrue(network[1].isSettled())
        self.assertFalse(network[2].isSettled())
        network[1].propose(b"b")
        self.assertFalse(network[1].isSettled())

    def test_silentLeadersFollowersVoteAgain(self) -> None:
        network = Network(3)
        network.elect(1)
        network.replicas[1].crash()
        network[2].campaign()
        network.settle()
        self.assertEqual(network.leaders(), [])
        network[3].leaderSilent()
        network[2].campaign()
        network.settle()
        self.assertEqual(network.leaders(), [2])


class SoleVoters(SynchronousTestCase):
    """A group of one voter."""

    def test_entryIsAppliedInTheBatchThatPersistsIt(self) -> None:
        network = Network(1)
        network.elect(1)
        network[1].propose(b"a")
        outputs = network[1].outputs()
        self.assertEqual(outputs.entries, outputs.apply)
        self.assertEqual(network[1].log.commit, 1)
        network[1].persisted(outputs.mark)
        self.assertEqual(network[1].log.commit, 2)

    def test_batchesArePipelined(self) -> None:
        network = Network(1)
        network.elect(1)
        marks: list[Mark] = []
        for number in range(3):
            network[1].propose(b"%d" % number)
            marks.append(network[1].outputs().mark)
        for mark in marks:
            network[1].persisted(mark)
        self.assertEqual(network[1].log.commit, 4)

    def test_leadsAtOnceWhenItCampaigns(self) -> None:
        network = Network(1)
        network[1].campaign()
        self.assertIs(network[1].role, Role.LEADER)
        self.assertFalse(network[1].isReadable)


class Wire(SynchronousTestCase):
    """Messages as octets."""

    def test_askRead(self) -> None:
        message: Message = AskRead(1, 2, 3, 4, 5)
        self.assertEqual(decodeMessage(encodeMessage(message)), message)
        self.assertRaises(Corrupt, decodeMessage, b"")
        self.assertRaises(Corrupt, decodeMessage, b"\x92\x63\x01")
