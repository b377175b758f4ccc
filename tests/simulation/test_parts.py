"""The simulated clock, disk and network do what a simulation relies on."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import OutcomeUnknown, StorageFull, Unavailable
from jindimail.store.keys import META
from tests.simulation.clock import HeapClock, NodeClock
from tests.simulation.disk import Disk, DiskStore
from tests.simulation.network import Network


class Clocks(SynchronousTestCase):
    """One heap, and each node's view of it."""

    def setUp(self) -> None:
        self.heap = HeapClock()
        self.clock = NodeClock(self.heap)
        self.said: list[Any] = []

    def test_callsAreMadeInOrderAndNotBeforeTheirTime(self) -> None:
        for delay in (0.3, 0.1, 0.2, 0.1):
            self.clock.callLater(delay, self.said.append, delay)
        self.heap.runUntil(0.25)
        self.assertEqual(self.said, [0.1, 0.1, 0.2])

    def test_cancelledAndMovedCalls(self) -> None:
        gone, moved = (self.clock.callLater(0.1, self.said.append, name) for name in ("gone", "moved"))
        gone.cancel()
        moved.reset(0.5)
        self.heap.runUntil(0.4)
        self.assertEqual(self.said, [])
        self.heap.runUntil(0.6)
        self.assertEqual(self.said, ["moved"])

    def test_pausedNodeDoesEverythingWhenItWakes(self) -> None:
        self.clock.callLater(0.1, self.said.append, 1)
        self.clock.callLater(0.2, self.said.append, 2)
        self.clock.pause()
        self.heap.runUntil(1.0)
        self.assertEqual(self.said, [])
        self.clock.resume()
        self.assertEqual(self.said, [1, 2])

    def test_nothingHappensAfterTheEnd(self) -> None:
        self.clock.callLater(0.1, self.said.append, 1)
        self.clock.end()
        self.clock.run(self.said.append, 2)
        self.heap.runUntil(1.0)
        self.assertEqual(self.said, [])

    def test_timersBelieveAClockThatIsSet(self) -> None:
        self.clock.callLater(5.0, self.said.append, 1)
        self.clock.jump(4.5)
        self.heap.runUntil(0.4)
        self.assertEqual(self.said, [])
        self.heap.runUntil(0.6)
        self.assertEqual(self.said, [1])


class Disks(SynchronousTestCase):
    """What is not synced is lost."""

    def setUp(self) -> None:
        self.heap = HeapClock()
        self.disk = Disk(Random(1))
        self.said: list[Any] = []
        self.start()

    def start(self) -> None:
        self.clock = NodeClock(self.heap)
        self.store = DiskStore(self.disk, self.clock, boundary=self.boundary)
        self.endAt = ""

    def boundary(self, name: str) -> None:
        if name == self.endAt:
            self.clock.end()

    def write(self, value: bytes) -> None:
        self.store.write(lambda rows: rows.put(META, b"key", value)).addBoth(self.said.append)

    @property
    def value(self) -> bytes | None:
        return self.disk.rows.get(META, b"key")

    def test_writeIsDurableBeforeItIsAnsweredAndNotAtOnce(self) -> None:
        self.write(b"1")
        self.assertIsNone(self.value)
        self.heap.runUntil(1.0)
        self.assertEqual((self.value, self.said), (b"1", [None]))

    def test_crashBeforeTheCommitLosesTheWrite(self) -> None:
        self.write(b"1")
        self.endAt = "before commit"
        self.heap.runUntil(1.0)
        self.assertEqual((self.value, self.said), (None, []))

    def test_crashAfterTheCommitKeepsTheWriteAndTellsNobody(self) -> None:
        self.write(b"1")
        self.endAt = "after commit"
        self.heap.runUntil(1.0)
        self.assertEqual((self.value, self.said), (b"1", []))

    def test_stuckDiskAnswersWhenItIsFreed(self) -> None:
        self.disk.isStuck = True
        self.write(b"1")
        self.heap.runUntil(5.0)
        self.assertEqual(self.said, [])
        self.disk.isStuck = False
        self.heap.runUntil(6.0)
        self.assertEqual((self.value, self.said), (b"1", [None]))

    def test_fullDiskRefusesAndGoesOn(self) -> None:
        self.disk.isFull = True
        self.write(b"1")
        self.heap.runUntil(1.0)
        self.disk.isFull = False
        self.write(b"2")
        self.heap.runUntil(2.0)
        self.assertIsInstance(self.said[0].value, StorageFull)
        self.assertEqual(self.value, b"2")

    def test_failedCommitIsTheLast(self) -> None:
        self.store.failed().addCallback(self.said.append)
        self.disk.mustFail = True
        self.write(b"1")
        self.heap.runUntil(1.0)
        self.write(b"2")
        kinds = [each.type if isinstance(each, Failure) else type(each) for each in self.said]
        self.assertEqual(kinds, [OutcomeUnknown, OutcomeUnknown, Unavailable])


class Networks(SynchronousTestCase):
    """What becomes of messages."""

    def setUp(self) -> None:
        self.heap = HeapClock()
        self.network = Network(self.heap, Random(1))
        self.got: list[tuple[int, bytes]] = []
        for number in (1, 2):
            self.network.receivers[number] = lambda source, batch: self.got.append((source, batch[0]))

    def test_orderIsKeptInAConnection(self) -> None:
        for number in range(20):
            self.network.send(1, 2, [b"%d" % number])
        self.heap.runUntil(1.0)
        self.assertEqual(self.got, [(1, b"%d" % number) for number in range(20)])

    def test_oneWayCutLosesOneWay(self) -> None:
        self.network.cut({1}, {2}, bothWays=False)
        self.network.send(1, 2, [b"lost"])
        self.network.send(2, 1, [b"heard"])
        self.heap.runUntil(1.0)
        self.network.heal()
        self.heap.runUntil(2.0)
        self.assertEqual(self.got, [(2, b"heard")])

    def test_stallKeepsBack(self) -> None:
        self.network.cut({1}, {2}, stall=True)
        self.network.send(1, 2, [b"late"])
        self.heap.runUntil(1.0)
        self.assertEqual(self.got, [])
        self.network.heal()
        self.heap.runUntil(2.0)
        self.assertEqual(self.got, [(1, b"late")])

    def test_brokenConnectionsReorderAndRepeat(self) -> None:
        self.network.breakShare = 0.3
        for number in range(100):
            self.network.send(1, 2, [b"%03d" % number])
        self.heap.runUntil(5.0)
        self.assertNotEqual(self.got, sorted(self.got))
        self.assertGreater(len(self.got), len(set(self.got)))
