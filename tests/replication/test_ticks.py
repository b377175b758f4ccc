"""What nodes say at rest, and how soon they are awake."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.neighbours import BEAT_SECONDS, SILENCE_MILLISECONDS, Neighbours, NoLink
from jindimail.replication.nodemessages import NodeBeat
from jindimail.replication.ticks import REST_SECONDS, Ticks, untilTick
from tests.replication.nodes import Array


class Grid(SynchronousTestCase):
    """When the next tick is."""

    def test_ticksLieOnOneGridWhateverCameLate(self) -> None:
        for now, seconds in ((12.0, 0.2), (12.03, 0.17), (11.96, 0.24), (12.15, 0.25)):
            self.assertAlmostEqual(untilTick(now, REST_SECONDS), seconds)
        self.assertAlmostEqual(untilTick(12.03), 0.07)

    def test_oneLateBeatMakesNoSilence(self) -> None:
        self.assertLess(REST_SECONDS * 1.9, SILENCE_MILLISECONDS[0] / 1000)


class Looks:
    """A conversation that notes when it is to look for silent nodes, and how late the loop is said to be."""

    isAtRest = True

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.late: list[float] = []

    def tick(self, now: float, lateSeconds: float) -> None:
        """Note how late it came."""
        self.late.append(lateSeconds)

    def look(self, now: float) -> None:
        """Note it."""
        self.looks.append(now)


class Late(SynchronousTestCase):
    """A node whose loop lags."""

    def test_endOfASilenceIsLookedForWhenItComes(self) -> None:
        clock, looks = Clock(), Looks()
        neighbours = Neighbours(incarnation=1, link=lambda _: NoLink(), draw=lambda low, high: 500)
        neighbours.at(2, 0.0)
        ticks = Ticks(clock, looks, neighbours, lambda now: None, lambda: None)  # type: ignore[arg-type]
        ticks.start()
        for seconds in (BEAT_SECONDS + 0.35, 0.1):
            clock.advance(seconds)
        [now] = looks.looks
        self.assertGreater(now, 0.5)
        self.assertAlmostEqual(looks.late[0], 0.35)


class AtRest(SynchronousTestCase):
    """Three nodes."""

    def setUp(self) -> None:
        self.array = Array().grown()
        self.beats: list[tuple[float, int, int]] = []
        self.array.alter = self.alter
        self.array.run(3)

    def alter(self, sender: int, recipient: int, message: Any) -> Any:
        """Note the beats."""
        if isinstance(message, NodeBeat):
            self.beats.append((self.array.clock.seconds(), sender, recipient))
        return message

    def during(self, seconds: float) -> int:
        """How many beats of the first node to the second leave within some time."""
        self.beats.clear()
        self.array.run(seconds)
        return sum(sender == 1 and recipient == 2 for _, sender, recipient in self.beats)

    def test_nodesWhoseGroupsAreQuietBeatHalfAsOften(self) -> None:
        self.assertEqual(self.during(10), 10 / REST_SECONDS)
        moments = {round(moment, 2) for moment, _, _ in self.beats}
        self.assertEqual(len(moments), 10 / REST_SECONDS, "all at one moment")

    def test_nodeThatIsBusyBeatsAtFullPace(self) -> None:
        self.array.cut |= {(3, 1), (3, 2)}  # its group never is settled
        self.array.nodes[1].propose(1, b"a")
        self.array.run(0.3)
        self.assertGreaterEqual(self.during(0.5), 0.5 / BEAT_SECONDS - 1)

    def test_groupThatWakesIsTickedWithinABeat(self) -> None:
        ticks = self.array.nodes[1]._ticks
        while ticks._expected - self.array.clock.seconds() < REST_SECONDS - 0.02:
            self.array.run(0.005)
        self.assertTrue(self.array.nodes[1]._conversation.isAtRest)
        self.array.nodes[1].propose(1, b"a")
        self.assertLessEqual(ticks._expected - self.array.clock.seconds(), 1.5 * BEAT_SECONDS)

    def test_deadNodeIsMissedAsSoonAsByBusyOnes(self) -> None:
        last = max(moment for moment, sender, _ in self.beats if sender == 1)
        self.array.crash(1)
        while not any(self.array.nodes[node].status(1).role == "leader" for node in (2, 3)):  # type: ignore[union-attr]
            self.array.run(0.005)
            self.assertLess(self.array.clock.seconds() - last, SILENCE_MILLISECONDS[1] / 1000 + 0.1)
