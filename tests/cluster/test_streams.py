"""Streams of pieces, over links in memory and over real ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jindimail.cluster.memorylinks import Fabric
from jindimail.cluster.streams import INCOMING_MAX, PATIENCE_SECONDS, PIECE_OCTETS, PIECES_AHEAD, Streams
from jindimail.errors import OutcomeUnknown, OverQuota, ProtocolError, Unavailable
from tests.cluster.wires import Array


class Receiver:
    """Takes pieces at once, or when it is told to."""

    def __init__(self, *, isSlow: bool = False) -> None:
        self.isSlow = isSlow
        self.pieces: list[bytes] = []
        self.waiting: list[Deferred[None]] = []
        self.isLost = self.isEnded = False
        self.error: Exception | None = None
        self.answer: Any = b"done"

    def take(self, octets: bytes) -> Deferred[None] | None:
        assert not self.isLost and not any(not each.called for each in self.waiting)
        if self.error is not None:
            raise self.error
        self.pieces.append(octets)
        if not self.isSlow:
            return None
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def end(self) -> Any:
        self.isEnded = True
        return self.answer

    def lost(self) -> None:
        self.isLost = True


class StreamsInMemory(SynchronousTestCase):
    """From node 1 to node 2."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fabric = Fabric(self.clock)
        self.streams = {node: Streams(clock=self.clock, links=self.fabric.add(node)) for node in (1, 2)}
        self.receivers: list[Receiver] = []
        self.heads: list[tuple[int, bytes]] = []
        self.options: dict[str, bool] = {}
        self.streams[2].serve("body", self.begin)
        self.read = 0

    def begin(self, node: int, head: bytes) -> Receiver:
        self.heads.append((node, head))
        self.receivers.append(Receiver(**self.options))
        return self.receivers[-1]

    def pieces(self, count: int, size: int = PIECE_OCTETS) -> Iterator[bytes]:
        for number in range(count):
            self.read += 1
            yield bytes((number % 256,)) * size

    def send(self, count: int, size: int = PIECE_OCTETS, method: str = "body") -> Deferred[bytes]:
        coroutine = self.streams[1].send(2, method, b"head", self.pieces(count, size), 5.0)
        return Deferred.fromCoroutine(coroutine)

    def run_(self, seconds: float = 1.0) -> None:
        self.clock.pump([0.002] * round(seconds / 0.002))

    def test_streamArrivesInOrder(self) -> None:
        done = self.send(100)
        self.run_()
        self.assertEqual(self.successResultOf(done), b"done")
        self.assertEqual(self.heads, [(1, b"head")])
        self.assertEqual(b"".join(self.receivers[0].pieces), b"".join(self.pieces(100)))
        self.assertEqual(
            (self.streams[1].sent, self.streams[2].received, self.streams[2].incoming), (1, 1, 0)
        )

    def test_emptyStreamHasAnEnd(self) -> None:
        done = self.send(0)
        self.run_()
        self.assertEqual(self.successResultOf(done), b"done")
        self.assertEqual(self.receivers[0].pieces, [])

    def test_largePiecesAreCut(self) -> None:
        done = self.send(2, 150_000)
        self.run_()
        self.successResultOf(done)
        self.assertEqual([len(each) for each in self.receivers[0].pieces], [65536, 65536, 18928] * 2)

    def test_slowReceiverSetsThePace(self) -> None:
        self.options = {"isSlow": True}
        done = self.send(100)
        self.run_()
        receiver = self.receivers[0]
        self.assertEqual((len(receiver.pieces), self.read), (1, PIECES_AHEAD + 1))
        for number in range(100):
            receiver.waiting[number].callback(None)
            self.run_(0.01)
        self.assertEqual(self.successResultOf(done), b"done")
        self.assertEqual(b"".join(receiver.pieces), b"".join(self.pieces(100)))

    def test_receiversErrorReachesTheSenderAndEndsTheStream(self) -> None:
        self.options = {"isSlow": True}
        done = self.send(100)
        self.run_(0.1)
        self.receivers[0].error = OverQuota()
        self.receivers[0].waiting[0].callback(None)
        self.run_()
        self.failureResultOf(done, OverQuota)
        self.assertTrue(self.receivers[0].isLost)
        self.assertEqual(self.streams[2].incoming, 0)

    def test_refusedBeginningReachesTheSender(self) -> None:
        def begin(node: int, head: bytes) -> Receiver:
            raise OverQuota

        self.streams[2].serve("refused", begin)
        for method, error in (("refused", OverQuota), ("unknown", Unavailable)):
            done = self.send(5, method=method)
            self.run_()
            self.failureResultOf(done, error)

    def test_endThatIsNotAnsweredIsUnknown(self) -> None:
        done = self.send(1)
        self.run_(0.001)
        never: Deferred[bytes] = Deferred()
        self.clock.advance(0.002)
        self.receivers[0].answer = never
        self.run_(6)
        self.failureResultOf(done, OutcomeUnknown)

    def test_streamThatBreaksIsGoneOnBothSides(self) -> None:
        self.options = {"isSlow": True}
        done = self.send(100)
        self.run_(0.1)
        self.fabric.cut(1, 2)
        self.run_(0.1)
        self.failureResultOf(done, Unavailable)
        self.receivers[0].isSlow = False
        self.receivers[0].waiting[0].callback(None)
        self.run_(PATIENCE_SECONDS + 1)
        self.assertTrue(self.receivers[0].isLost)
        self.assertFalse(self.receivers[0].isEnded)

    def test_senderThatFailsInBetweenBreaksTheStreamAtOnce(self) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"a"
            raise ZeroDivisionError

        done = Deferred.fromCoroutine(self.streams[1].send(2, "body", b"", pieces(), 5.0))
        self.run_(0.5)
        self.failureResultOf(done, ZeroDivisionError)
        self.assertTrue(self.receivers[0].isLost)
        self.assertEqual(self.streams[2].incoming, 0)

    def test_senderBegunAnewMayReuseItsNumbers(self) -> None:
        self.options = {"isSlow": True}
        self.send(5).addErrback(lambda _: None)
        self.run_(0.1)
        self.streams[1] = Streams(clock=self.clock, links=self.fabric.add(1))
        self.options = {}
        done = self.send(5)
        self.run_(0.5)
        self.assertEqual(self.successResultOf(done), b"done")
        self.assertTrue(self.receivers[0].isLost)

    def test_streamsOfOneNodeAreBounded(self) -> None:
        self.options = {"isSlow": True}
        calls = [self.send(1) for _ in range(INCOMING_MAX + 3)]
        self.run_()
        for call in calls[INCOMING_MAX:]:
            self.failureResultOf(call, Unavailable)
        self.assertEqual(self.streams[2].incoming, INCOMING_MAX)
        self.streams[2].stop()
        self.assertTrue(all(receiver.isLost for receiver in self.receivers))
        for call in calls:
            call.addErrback(lambda _: None)

    def test_gapEndsTheStream(self) -> None:
        links = self.fabric.add(3)
        for number, last in enumerate([("piece", b"\0\0\0\x02third"), ("end", b"\0\0\0\x02")]):
            for step, payload in (("begin", b"\0\x04body"), ("piece", bytes(4) + b"first"), last):
                done = links.call(2, f"stream.{step}", number.to_bytes(8, "big") + payload, 5.0)
                self.run_(0.1)
            self.failureResultOf(done, Unavailable)
            self.assertEqual(self.receivers[number].pieces, [b"first"])
            self.assertTrue(self.receivers[number].isLost)

    def test_whatIsNoStreamIsRefused(self) -> None:
        links = self.fabric.add(3)
        for step in ("begin", "piece", "end", "break"):
            done = links.call(2, f"stream.{step}", b"short", 5.0)
            self.run_(0.1)
            self.failureResultOf(done, ProtocolError)

    def test_streamsOverRealLinks(self) -> None:
        array = Array()
        array.run(1)
        streams = {node: Streams(clock=array.clock, links=array.nodes[node]) for node in (1, 2)}
        streams[2].serve("body", self.begin)
        done = Deferred.fromCoroutine(streams[1].send(2, "body", b"head", self.pieces(160), 5.0))
        self.assertEqual(array.result(done), b"done")
        self.assertEqual(b"".join(self.receivers[0].pieces), b"".join(self.pieces(160)))
