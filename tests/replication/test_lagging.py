"""What may lag goes to a majority at once and to the others some time later (docs/adr/0051)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.holding import HOLD_SECONDS
from jindimail.replication.leadership import Leadership
from jindimail.replication.messages import Append, Beat
from jindimail.replication.neighbours import BEAT_SECONDS
from jindimail.replication.nodemessages import AskQuiet
from jindimail.replication.outputs import Role, Settings
from tests.replication.network import Network
from tests.replication.nodes import Array

Sent = tuple[int, list[int], int]  # recipient, indexes of the entries, commit index


class Lagging(SynchronousTestCase):
    """One replica that leads, two that follow."""

    def setUp(self) -> None:
        self.network = Network(3)
        self.network.elect(1)
        self.network.propose(1, b"a")
        self.commit = self.network[1].log.commit

    def appends(self, leader: int = 1) -> list[Sent]:
        """The appends that the leader sends now."""
        outputs = self.network.replicas[leader].take()
        found = [message for message in outputs.now if isinstance(message, Append)] if outputs else []
        return [(each.recipient, [entry.index for entry in each.entries], each.commit) for each in found]

    def commitByFirst(self) -> tuple[int, int, int]:
        """An entry that may lag is committed; its index, who has it, and who has not."""
        network = self.network
        index = network[1].propose(b"b", mayLag=True)
        ((first, _, _),) = self.appends()
        network.replicas[1].sync()
        network.deliverAll()
        network.replicas[first].take()
        network.replicas[first].sync()
        network.deliverAll()
        self.assertEqual(network[1].log.commit, index)
        return index, first, 5 - first

    def test_itGoesToOneOfTwoAndNobodyIsToldOfItsCommitBeforeItIsSpread(self) -> None:
        index = self.network[1].propose(b"b", mayLag=True)
        ((first, indexes, commit),) = self.appends()
        self.assertEqual((indexes, commit), ([index], self.commit))
        self.network = Network(3)
        self.network.elect(1)
        self.network.propose(1, b"a")
        index, first, second = self.commitByFirst()
        self.assertEqual(self.appends(), [])
        leadership = self.network[1].leadership
        assert leadership is not None
        self.assertTrue(leadership.isHolding())
        leadership.spread()
        self.assertEqual(sorted(self.appends()), sorted([(first, [], index), (second, [index], index)]))
        self.network.settle()
        self.assertFalse(leadership.isHolding())

    def test_whatMayNotLagTakesAllBeforeItAlong(self) -> None:
        index, first, second = self.commitByFirst()
        self.network[1].propose(b"c")
        self.assertEqual(
            sorted(self.appends()), sorted([(first, [index + 1], index), (second, [index, index + 1], index)])
        )
        self.network.settle()
        self.assertEqual([self.network[each].log.commit for each in (1, 2, 3)], [index + 1] * 3)

    def test_whatIsNotCommittedIsSpreadToo(self) -> None:
        index = self.network[1].propose(b"b", mayLag=True)
        ((first, _, _),) = self.appends()
        self.network[1].tick()
        self.assertIn((5 - first, [index], self.commit), self.appends())

    def test_whoDoesNotAnswerIsNotAmongTheFirstForLong(self) -> None:
        network = self.network
        network[1].propose(b"b", mayLag=True)
        ((first, _, _),) = self.appends()
        network.isolate(first)
        for _ in range(2):
            network[1].propose(b"c", mayLag=True)
            network.tick(1, 1)
        self.assertEqual(network[1].log.commit, network[1].log.lastIndex)
        index = network[1].propose(b"d", mayLag=True)
        self.assertEqual([each[:2] for each in self.appends()], [(5 - first, [index])])

    def test_whoWasSlowAndHasCaughtUpIsNotWaitedForAgain(self) -> None:
        network = self.network
        network[1].propose(b"b", mayLag=True)
        ((slow, _, _),) = self.appends()
        network.isolate(slow)
        network.tick(2, 1)
        network.heal()
        network.tick(3, 1)
        self.assertEqual({network[each].log.commit for each in (1, 2, 3)}, {network[1].log.lastIndex})
        network[1].propose(b"c", mayLag=True)
        self.assertEqual([each[0] for each in self.appends()], [5 - slow])

    def test_whileTheFirstAreLookedForNothingIsHeldBack(self) -> None:
        network = self.network
        network[1].propose(b"b", mayLag=True)
        ((first, _, _),) = self.appends()
        network.settle()
        network[1].unreachable(first)
        index = network[1].propose(b"c", mayLag=True)
        self.assertIn((5 - first, index), [(each[0], each[1][-1]) for each in self.appends() if each[1]])

    def test_whoeverLeadsTheOthersAreFirstInTurn(self) -> None:
        for leader in (1, 2, 3):
            raft = self.network.elect(leader)
            self.network.settle()
            first = []
            for group in range(20):
                leadership = Leadership(
                    group=group,
                    replicaId=leader,
                    term=raft.term,
                    log=raft.log,
                    settings=Settings(),
                    history=raft.history,
                )
                first += leadership._first
            self.assertEqual(sorted(Counter(first).values()), [10, 10])

    def test_ofFiveNobodyStandsForAnotherSoon(self) -> None:
        network = self.network = Network(5)
        network.elect(1)
        network.propose(1, b"a")
        network[1].propose(b"b", mayLag=True)
        first = [each[0] for each in self.appends()]
        network.replicas[1].sync()
        network.deliverAll()
        network.isolate(1)
        network.settle()
        (second, *_) = {2, 3, 4, 5} - set(first)
        for each in first:
            network[each].leaderSilent()
        network[second].campaign()
        network.settle()
        self.assertEqual({network[each].role for each in first}, {Role.FOLLOWER})

    def test_twoOthersOfFiveGetItAtOnce(self) -> None:
        network = self.network = Network(5)
        network.elect(1)
        network.propose(1, b"a")
        network[1].propose(b"b", mayLag=True)
        self.assertEqual(len(self.appends()), 2)

    def test_aWitnessIsNotAmongTheFirstWhileAnotherKeepsUp(self) -> None:
        for witness in (2, 3):
            network = self.network = Network(3, witnesses=[witness])
            network.elect(1)
            network.propose(1, b"a")
            for _ in range(3):
                network[1].propose(b"b", mayLag=True)
                self.assertEqual([each[0] for each in self.appends()], [5 - witness])
                network.settle()
            network.isolate(5 - witness)
            network[1].propose(b"b", mayLag=True)
            network.settle()
            network.tick(2, 1)
            network[1].propose(b"b", mayLag=True)
            self.assertIn(witness, [each[0] for each in self.appends()])

    def test_whoReadsIsToldAtOnce(self) -> None:
        index, _, second = self.commitByFirst()
        self.network[second].read(1)
        self.network.settle()
        self.assertEqual(self.network.replicas[second].reads, [(1, index)])
        self.assertEqual(self.network[second].log.commit, index)

    def test_whoShallLeadGetsWhatItLacks(self) -> None:
        _, _, second = self.commitByFirst()
        self.network[1].transfer(second)
        self.network.settle()
        self.assertIs(self.network[second].role, Role.LEADER)

    def test_whoLacksTheLastEntriesHasTheOtherStandAtOnce(self) -> None:
        _, first, second = self.commitByFirst()
        network = self.network
        network.isolate(1)
        network.tick(network.settings.electionTicks, first)
        self.assertIs(network[first].role, Role.FOLLOWER)  # it might look later that nobody leads
        network[second].campaign()
        network.settle()
        self.assertIs(network[first].role, Role.LEADER)

    def test_whoHearsALeaderStandsForNobody(self) -> None:
        _, first, second = self.commitByFirst()
        network = self.network
        network.isolate(1)
        network.tick(network.settings.electionTicks - 1, first)
        network[second].campaign()
        network.settle()
        self.assertIs(network[first].role, Role.FOLLOWER)


class LaggingNodes(SynchronousTestCase):
    """Three nodes, of which the first leads."""

    def setUp(self) -> None:
        self.array = Array().grown()
        self.array.run(2)

    def propose(self) -> None:
        self.array.result(self.array.nodes[1].propose(1, b"a", mayLag=True))

    def states(self) -> set[bytes]:
        return {self.array.state(node) for node in (1, 2, 3)}

    def test_allHaveItSomeTimeLater(self) -> None:
        for _ in range(5):
            self.propose()
        self.assertEqual(self.array.state(1), b"a;" * 5)
        self.assertNotEqual(self.states(), {b"a;" * 5})
        self.array.run(HOLD_SECONDS + 0.02)
        self.assertEqual(self.states(), {b"a;" * 5})

    def test_itTakesFewerCalls(self) -> None:
        calls = []
        for mayLag in (False, True):
            before = self.array.calls
            for _ in range(40):
                self.array.result(self.array.nodes[1].propose(1, b"a", mayLag=mayLag))
                self.array.run(0.005)
            calls.append(self.array.calls - before)
        self.assertLess(calls[1], 0.7 * calls[0])

    def test_whoReadsElsewhereSeesIt(self) -> None:
        for node in (2, 3):
            self.propose()
            index = self.array.result(self.array.nodes[node].readIndex(1), HOLD_SECONDS / 2)
            self.assertGreaterEqual(index, self.array.nodes[1].appliedIndex(1))

    def test_followerThatDiesDelaysFewAndNotForLong(self) -> None:
        for dead in (2, 3):
            self.array.isolate(dead)
            for _ in range(6):
                done = self.array.nodes[1].propose(1, b"a", mayLag=True)
                self.array.run(2 * HOLD_SECONDS)
                self.successResultOf(done)
            self.array.heal()
            self.array.run(2)

    def test_theGroupGoesQuiet(self) -> None:
        for _ in range(20):
            self.propose()
        self.array.run(1)
        for node in (1, 2, 3):
            status = self.array.nodes[node].status(1)
            assert status is not None
            self.assertTrue(status.quiet)
        self.assertEqual(self.states(), {b"a;" * 20})

    def test_aLeaderThatDiesTakesNothingAlongThatWasCommitted(self) -> None:
        for _ in range(5):
            self.propose()
        self.array.crash(1)
        self.array.run(3)
        survivors = {self.array.state(node) for node in (2, 3)}
        self.assertEqual(survivors, {b"a;" * 5})

    def _count(self, kind: type) -> list[Any]:
        """All messages of a kind that nodes send each other from now on."""
        found: list[Any] = []

        def note(sender: int, recipient: int, message: Any) -> Any:
            if isinstance(message, kind):
                found.append(message)
            return message

        self.array.alter = note
        return found

    def test_deliveriesNowAndThenAreNoReasonToDisputeWhatIsQuiet(self) -> None:
        asked = self._count(AskQuiet)
        for _ in range(60):
            self.propose()
            self.array.run(1.3 * BEAT_SECONDS)
        self.assertLess(len(asked), 4)

    def test_whatIsSpreadAtATickNeedsNoBeat(self) -> None:
        beats = self._count(Beat)
        for _ in range(30):
            self.propose()
            self.array.run(BEAT_SECONDS)
        self.assertLess(len(beats), 30)

    def test_aReplicaThatIsForgottenSpreadsNothing(self) -> None:
        self.propose()
        node = self.array.nodes[1]
        sent = self._count(Append)
        node.forget(node._replicas[1])
        self.array.run(2 * HOLD_SECONDS)
        self.assertEqual([each for each in sent if each.sender == 1], [])
