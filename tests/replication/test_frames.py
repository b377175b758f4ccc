"""Frames: messages in byte strings of bounded length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Corrupt
from jindimail.replication.frames import ARRAY_OCTETS_MAX, FRAME_OCTETS_MAX, Unpacker, packFrames
from jindimail.replication.nodemessages import AnyTraffic, PutBody, QuietGroup, encodeTraffic
from jindimail.replication.quiet import QuietGroups


def message(size: int, number: int = 0) -> PutBody:
    """A message of about this size."""
    return PutBody(1, bytes(16), number, bytes(size))


def unpacked(frames: list[bytes]) -> list[AnyTraffic]:
    """All messages of some frames."""
    unpacker = Unpacker()
    return [each for frame in frames for each in unpacker.unpack(frame)]


class Frames(SynchronousTestCase):
    """Packing and unpacking."""

    @given(
        st.lists(st.sampled_from([0, 1, 100, 20_000, 65_480, 65_500, 65_520, 65_536, 200_000]), max_size=12)
    )
    def test_everyMessageArrivesInOrder(self, sizes: list[int]) -> None:
        messages = [message(size, number) for number, size in enumerate(sizes)]
        frames = packFrames(map(encodeTraffic, messages))
        self.assertTrue(all(len(frame) <= FRAME_OCTETS_MAX for frame in frames))
        self.assertEqual(unpacked(frames), messages)

    def test_smallMessagesShareAFrame(self) -> None:
        self.assertEqual(len(packFrames([encodeTraffic(message(100))] * 400)), 1)

    def test_lostSliceLosesItsMessageOnly(self) -> None:
        frames = packFrames(map(encodeTraffic, [message(200_000, 1), message(1, 2), message(200_000, 3)]))
        for lost in range(4):
            rest = frames[:lost] + frames[lost + 1 :]
            try:
                arrived = unpacked(rest)
            except Corrupt:  # a slice is missing in the middle: what is left does not decode
                self.assertIn(lost, (1, 2))
                continue
            self.assertEqual([each.number for each in arrived if isinstance(each, PutBody)], [2, 3], lost)

    def test_slicesAreBounded(self) -> None:
        unpacker = Unpacker()
        unpacker.unpack(b"\x01")
        for _ in range(ARRAY_OCTETS_MAX // 60_000 + 2):
            unpacker.unpack(b"\x02" + bytes(60_000))
        self.assertEqual(unpacker.unpack(b"\x03"), [])

    def test_whatIsNoFrameIsCorrupt(self) -> None:
        for frame in (b"", b"\x04", b"\x00", b"\x00\x91\xc0", b"\xff"):
            self.assertRaises(Corrupt, Unpacker().unpack, frame)


class Digests(SynchronousTestCase):
    """Digests of quiet groups."""

    @given(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(1, 2), st.integers(1, 2), st.booleans()), max_size=20
        )
    )
    def test_digestDependsOnTheSetAlone(self, changes: list[tuple[int, int, int, bool]]) -> None:
        groups = QuietGroups()
        for group, leader, commit, added in changes:
            if added:
                groups.add(QuietGroup(group, leader, 1, commit))
            else:
                groups.discard(group)
        again = QuietGroups()
        for quiet in reversed(list(groups)):
            again.add(quiet)
        self.assertEqual(groups.digest, again.digest)
        self.assertEqual(len(groups), len(again))
        again.add(QuietGroup(9, 1, 1, 1))
        self.assertNotEqual(groups.digest, again.digest)
