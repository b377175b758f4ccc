"""The line reader at every split point."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jindimail.pop3.lines import OVERLONG, LineReader

OCTETS = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"NOOP", b"x" * 9, b"\xff"])).map(b"".join)


def linesOf(pieces: list[bytes], lineOctetsMax: int) -> list[bytes]:
    reader = LineReader(lineOctetsMax)
    lines = []
    for piece in pieces:
        reader.feed(piece)
        while (line := reader.next()) is not None:
            lines.append(line)
        assert reader.waitingOctets <= lineOctetsMax
    return lines


@given(OCTETS, st.lists(st.integers(min_value=0)))
def test_theSplitPointsDoNotMatter(octets: bytes, points: list[int]) -> None:
    edges = sorted({0, len(octets), *(point % (len(octets) + 1) for point in points)})
    pieces = [octets[low:high] for low, high in pairwise(edges)]
    wanted = [
        OVERLONG if len(line) + 1 > 20 else line.removesuffix(b"\r") for line in octets.split(b"\n")[:-1]
    ]
    assert linesOf(pieces, 20) == wanted


@given(OCTETS)
def test_linesWaitInTheReaderUntilTaken(octets: bytes) -> None:
    reader = LineReader(1000)
    for at in range(len(octets)):
        reader.feed(octets[at : at + 1])
    assert reader.waitingOctets == len(octets)
    lines = iter(reader.next, None)
    assert list(lines) == [line.removesuffix(b"\r") for line in octets.split(b"\n")[:-1]]


def test_clearForgetsAllThatWaits() -> None:
    reader = LineReader(10)
    reader.feed(b"a\r\nb\r\nc")
    reader.clear()
    assert reader.next() is None
    reader.feed(b"d\r\n")
    assert reader.next() == b"d"
