"""Arrays that have too little of the processor: they go on, and nobody takes lateness for death (docs/adr/0047)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.lag import HALF_SECONDS, LAG_SECONDS_MAX, Lag, patienceSeconds, stretched
from jindimail.replication.messages import Beat, TransferNow
from jindimail.replication.neighbours import COMMIT_AGE_SECONDS_MAX
from jindimail.replication.nodemessages import NodeBeat
from tests.replication.network import Network
from tests.replication.nodes import Array
from tests.replication.scarce import ScarceArray

GROUPS = range(1, 61)
IN_FLIGHT = 24


class Load:
    """So many proposals under way all the time, each wherever its group is led; those that fail are made again."""

    def __init__(self, array: ScarceArray) -> None:
        self.array = array
        self.done = self.failed = 0
        self._made = 0
        self.isOver = False

    def begin(self) -> None:
        """Make the first."""
        for _ in range(IN_FLIGHT):
            self._propose()

    def _propose(self) -> None:
        if self.isOver:
            return
        self._made += 1
        group = self._made % len(GROUPS) + 1
        for groups in self.array.nodes.values():
            if groups.leadingTerm(group):
                groups.propose(group, b"%d" % self._made).addCallbacks(self._told, self._refused)
                return
        self._refused(None)

    def _told(self, _: Any) -> None:
        self.done += 1
        self._propose()

    def _refused(self, _: Any) -> None:
        self.failed += 1
        self.array.clock.callLater(0.2, self._propose)


class Scarce(SynchronousTestCase):
    """Three nodes that lead twenty groups each."""

    def setUp(self) -> None:
        self.array = ScarceArray(groups=GROUPS).grown()
        for group in GROUPS:
            if group % 3:
                self.array.nodes[1].transfer(group, 1 + group % 3)
        self.array.run(2)
        self.terms = self.termsOf()
        self.load = Load(self.array)

    def termsOf(self) -> dict[int, int]:
        """The term of each group."""
        return {
            group: max(groups.status(group).term for groups in self.array.nodes.values())  # type: ignore[union-attr]
            for group in GROUPS
        }

    def during(self, seconds: float) -> int:
        """How many proposals are done within some time."""
        before = self.load.done
        self.array.run(seconds)
        return self.load.done - before

    def test_whereAllNodesAreSlowNothingIsWrongButThat(self) -> None:
        """Each late heartbeat was taken for a death: elections, which cost more than the work, and so on for ever."""
        self.array.slow(0.02)
        self.load.begin()
        first = self.during(10)
        self.assertGreaterEqual(min(self.during(10), self.during(10)), first)
        self.assertEqual((self.termsOf(), self.load.failed), (self.terms, 0))

    def test_leadershipLeavesASlowNodeForQuickOnesAndDoesNotComeAndGo(self) -> None:
        self.array.slow(0.015, 1)
        self.load.begin()
        self.array.run(15)
        led = sum(bool(self.array.nodes[1].leadingTerm(group)) for group in GROUPS)
        self.assertLess(led, 5)
        self.assertLess(sum(self.termsOf().values()) - sum(self.terms.values()), 30)

    def test_deadNodeOfASlowArrayIsMissed(self) -> None:
        self.array.slow(0.005)
        self.load.begin()
        self.array.run(5)
        self.load.isOver = True
        self.array.crash(1)
        self.array.run(10)
        led = [group for groups in self.array.nodes.values() for group in GROUPS if groups.leadingTerm(group)]
        self.assertEqual(sorted(led), list(GROUPS))


class Lags(SynchronousTestCase):
    """How late a node is."""

    def test_worstOfLatelyCountsAndIsForgottenByHalf(self) -> None:
        lag = Lag()
        lag.late(0.4, 9.0)
        lag.late(0.4, 10.0)
        lag.late(0.0, 10.0 + HALF_SECONDS)
        lag.late(0.0, 10.0 + HALF_SECONDS)
        self.assertAlmostEqual(lag.seconds, 0.4)
        lag.late(0.0, 10.0 + 2 * HALF_SECONDS)
        self.assertAlmostEqual(lag.seconds, 0.2)

    def test_whatHappenedOnceIsNoLag(self) -> None:
        """A node that was paused is as soon missed the next time."""
        lag = Lag()
        for seconds in (0.0, 0.0, 0.7):
            lag.late(seconds, 10.0)
        self.assertEqual((lag.seconds, lag.worst), (0.0, 0.7))
        lag.late(0.0, 10.1)
        self.assertEqual((lag.seconds, lag.worst), (0.0, 0.0))
        lag.late(0.5, 10.2)
        self.assertEqual(lag.seconds, 0.5)

    def test_isBoundedSoThatTheDeadAreMissed(self) -> None:
        lag = Lag()
        lag.late(100.0, 200.0)
        lag.late(100.0, 300.0)
        self.assertEqual((lag.seconds, lag.worst), (LAG_SECONDS_MAX, LAG_SECONDS_MAX))

    def test_clockThatIsSetBackMakesNobodyLate(self) -> None:
        lag = Lag()
        lag.late(0.1, 1000.0)
        lag.late(0.1, 1000.0)
        lag.late(0.0, 10.0)
        self.assertLessEqual(lag.seconds, 0.1)

    def test_whoIsInTimeIsWaitedForNoLonger(self) -> None:
        self.assertEqual((patienceSeconds(0.08), stretched(0.08)), (0.0, 1.0))
        self.assertAlmostEqual(patienceSeconds(0.2), 0.6)
        self.assertAlmostEqual(stretched(0.2), 2.5)


class Late(SynchronousTestCase):
    """Three nodes with a group, of which some come late."""

    def setUp(self) -> None:
        self.array = Array().grown()
        self.array.run(2)

    def tickLate(self, node: int, seconds: float) -> None:
        """A node's next tick comes so late."""
        conversation = self.array.nodes[node]._conversation
        conversation.tick(self.array.clock.seconds(), seconds)

    def test_whoIsAlwaysLateDidNotSleep(self) -> None:
        """Each such tick woke all groups, that all had to be settled again."""
        replica = self.array.nodes[1]._replicas[1]
        for late in (0.29, 0.29, 0.5):
            self.tickLate(1, late)
        self.assertIsNotNone(replica.quiet)
        self.tickLate(1, 3.0)
        self.assertIsNone(replica.quiet)

    def test_commitThatTheLoopIsLateToTakeInIsNoStuckDisk(self) -> None:
        turns = self.array.nodes[1]._turns
        turns._begun.append(self.array.clock.seconds() - 0.9)
        said: list[int] = []

        def note(sender: int, recipient: int, message: Any) -> Any:
            if isinstance(message, NodeBeat) and sender == 1:
                said.append(message.commitAgeMilliseconds)
            return None if isinstance(message, TransferNow) else message

        self.array.alter = note
        for late in (0.11, 0.11, 0.0):
            self.tickLate(1, late)
        self.assertFalse(self.isHandingOver())
        turns._begun[0] -= 1.0
        self.tickLate(1, 0.0)
        self.array.nodes[1].flush()
        self.assertTrue(self.isHandingOver())
        self.assertGreater(max(said), 1000 * COMMIT_AGE_SECONDS_MAX)

    def isHandingOver(self) -> bool:
        """Whether the first node lets another lead."""
        leadership = self.array.nodes[1]._replicas[1].raft.leadership
        return leadership is not None and bool(leadership.transferee)

    def test_followersWaitForALeaderThatSaysItIsLate(self) -> None:
        """A group that ticks has an election timeout of its own."""
        groups = self.array.nodes[2]
        replica = groups._replicas[1]
        now = self.array.clock.seconds()
        groups._neighbours.at(1, now).lagSeconds = 0.4
        groups._conversation.wake(replica)
        counted = []
        for tick in range(1, 21):
            before = replica.raft._electionElapsed
            groups._conversation._tickGroups(now + tick / 10)
            counted.append(replica.raft._electionElapsed - before)
        self.assertEqual(sum(counted), 4)  # of 2 s, where 0.1 s are stretched to 0.5

    def test_whoIsLateTicksLessOften(self) -> None:
        groups = self.array.nodes[1]
        groups._conversation.wake(groups._replicas[1])
        self.array.cut |= {(3, 1), (3, 2)}
        for _ in range(2):
            groups._neighbours.lag.late(0.5, self.array.clock.seconds())
        ticks = groups._ticks
        ticks.tick(self.array.clock.seconds())
        self.assertGreater(ticks._expected - self.array.clock.seconds(), 0.2)

    def test_nodeThatIsLateIsNotCalledDownForIt(self) -> None:
        groups = self.array.nodes[1]
        now = self.array.clock.seconds()
        neighbour = groups._neighbours.at(2, now)
        neighbour.heardAt = now - 2.5
        self.assertAlmostEqual(groups.silenceSeconds(2), 2.5)
        neighbour.lagSeconds = 0.4
        self.assertAlmostEqual(groups.silenceSeconds(2), 0.9)
        self.assertAlmostEqual(groups.unheardSeconds(2), 2.5)


class LateLeaders(SynchronousTestCase):
    """The Raft machine's part."""

    def test_quorumIsCheckedByTimeThatCounts(self) -> None:
        network = Network(3)
        network.elect(1)
        network.isolate(1)
        for _ in range(5 * network.settings.electionTicks):
            network[1].tick(counts=False)
        self.assertEqual(network.leaders(), [1])
        for _ in range(2 * network.settings.electionTicks):
            network[1].tick()
        self.assertEqual(network.leaders(), [])

    def test_leaderBeatsThoughTheTimeDoesNotCount(self) -> None:
        network = Network(3)
        network.elect(1)
        network[1].tick(counts=False)
        self.assertEqual([type(each) for each in network[1].outputs().now], [Beat, Beat])
