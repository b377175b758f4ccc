"""
Nodes whose disks are slow: an election, and a leader's hold, last as long as the commits of those whose votes are needed (docs/adr/0056).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.lag import COMMIT_SECONDS_MAX, HALF_SECONDS, Commits, stretchedByCommits
from jindimail.replication.neighbours import Neighbours, NoLink
from jindimail.replication.nodemessages import NodeBeat
from tests.replication.nodes import Array

GROUPS = range(1, 8)


class SlowDisks(SynchronousTestCase):
    """Groups at several nodes, led by the first and the second, and proposals all the time."""

    def setUp(self) -> None:
        self.done = self.failed = 0

    def begin(self, nodes: tuple[int, ...], slow: tuple[int, ...], seconds: float) -> None:
        """From now on each commit takes so long at the slow ones."""
        self.array = Array(nodes, groups=GROUPS).grown()
        for group in GROUPS:
            if group % 2:
                self.array.nodes[1].transfer(group, 2)
        self.array.run(1)
        for node in slow:
            self.array.slowDisk(node, seconds)
        self.array.run(5)

    def terms(self) -> int:
        """The sum of all groups' terms."""
        found: list[Any] = [
            max(groups.status(group).term for groups in self.array.nodes.values())  # type: ignore[union-attr]
            for group in GROUPS
        ]
        return sum(found)

    def watch(self, seconds: float) -> tuple[float, int]:
        """(the longest time without a leader of any group, elections)."""
        terms, leaderless, longest = self.terms(), dict.fromkeys(GROUPS, 0.0), 0.0
        for step in range(round(seconds * 20)):
            self.array.run(0.05)
            for group in GROUPS:
                leaders = [groups for groups in self.array.nodes.values() if groups.leadingTerm(group)]
                leaderless[group] = 0.0 if leaders else leaderless[group] + 0.05
                if leaders and step % 20 == group:
                    leaders[0].propose(group, b"quiet").addCallbacks(self._done, self._failed)
            longest = max(longest, *leaderless.values())
        return longest, self.terms() - terms

    def _done(self, _: object) -> None:
        self.done += 1

    def _failed(self, _: object) -> None:
        self.failed += 1


class Elections(SlowDisks):
    """Who leads there."""

    def test_whereASlowVoteIsNeededItIsWaitedFor(self) -> None:
        """Elections that ended before the votes were durable followed each other without end."""
        for seconds in (0.5, 1.0):
            self.setUp()
            self.begin((1, 2), (2,), seconds)
            longest, elections = self.watch(30)
            self.assertLess(longest, 4)
            self.assertLess(elections, 2 * len(GROUPS))
            self.assertGreater(self.done, 30 * len(GROUPS) * 0.8)

    def test_leadershipDoesNotGoFromOneSlowNodeToTheOther(self) -> None:
        self.begin((1, 2), (1, 2), 0.3)
        longest, elections = self.watch(30)
        self.assertLess(longest, 2)
        self.assertLess(elections, 2 * len(GROUPS))

    def test_leadershipLeavesASlowNodeWhereOthersAreQuicker(self) -> None:
        self.begin((1, 2, 3), (2,), 1.0)
        self.watch(5)
        self.assertFalse([group for group in GROUPS if self.array.nodes[2].leadingTerm(group)])
        self.assertEqual(self.watch(20), (0.0, 0))

    def test_theDeadAreNotTakenForQuick(self) -> None:
        self.begin((1, 2, 3), (2,), 1.0)
        self.array.crash(3)
        self.watch(10)
        longest, elections = self.watch(20)
        self.assertEqual((longest, elections), (0.0, 0))

    def test_whereQuickOnesAreEnoughNobodyWaitsForASlowOne(self) -> None:
        self.begin((1, 2, 3, 4, 5), (5,), 1.0)
        self.array.crash(1)
        longest, _ = self.watch(10)
        self.assertLess(longest, 2)


class TimesOfCommits(SynchronousTestCase):
    """How long commits take, and what follows."""

    def test_worstOfLatelyCountsWithinABound(self) -> None:
        commits = Commits()
        commits.took(0.8, 10.0)
        commits.took(0.1, 10.0 + HALF_SECONDS)
        self.assertAlmostEqual(commits.seconds(10.0 + HALF_SECONDS), 0.4)
        self.assertAlmostEqual(commits.seconds(10.0 + 2 * HALF_SECONDS), 0.2)
        commits.took(100.0, 20.0)
        self.assertEqual(commits.seconds(20.0), COMMIT_SECONDS_MAX)

    def test_quickCommitsMakeNothingLonger(self) -> None:
        self.assertEqual((stretchedByCommits(0.0), stretchedByCommits(0.1)), (1.0, 1.0))
        self.assertAlmostEqual(stretchedByCommits(0.4), 3.0)

    def test_quickestMajorityOfThoseThatAreHeardCounts(self) -> None:
        neighbours = Neighbours(incarnation=1, link=lambda _: NoLink(), draw=lambda low, high: low)
        for node, milliseconds in ((2, 100), (3, 300), (4, 500), (5, 700)):
            neighbour = neighbours.at(node, 0.0)
            neighbours.heardBeat(neighbour, NodeBeat(1, 1, 0, 0, milliseconds, bytes(8), 0), 0.0)
        self.assertAlmostEqual(neighbours.commitSeconds([2, 3, 4, 5], 0.0), 0.3)
        self.assertAlmostEqual(neighbours.commitSeconds([4], 0.0), 0.5)
        self.assertEqual(neighbours.commitSeconds([], 0.0), 0.0)
        neighbours.commits.took(0.9, 0.0)
        self.assertAlmostEqual(neighbours.commitSeconds([2], 0.0), 0.9)
        neighbours.at(2, 0.0).heardAt = -10.0
        self.assertAlmostEqual(neighbours.commitSeconds([2, 3, 4, 5], 0.0), 0.7)

    def test_onlyMuchQuickerNodesAreNoSlowOnes(self) -> None:
        neighbours = Neighbours(incarnation=1, link=lambda _: NoLink(), draw=lambda low, high: low)
        for node, milliseconds in ((2, 100), (3, 300)):
            neighbour = neighbours.at(node, 0.0)
            neighbours.heardBeat(neighbour, NodeBeat(1, 1, 0, 0, milliseconds, bytes(8), 0), 0.0)
        neighbours.commits.took(0.5, 0.0)
        self.assertEqual(neighbours.slow(0.0), {3})
