"""Dot-stuffing and TOP's excerpt, cut at every point."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.pop3.stuffing import Excerpt, Stuffer, stuffed

MESSAGES = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r", b"\n", b"\r\n.\r\n", b"\x00\xff"])).map(
    b"".join
)


def unstuffed(response: bytes) -> bytes:
    """A client's way, line by line (RFC 1939 §3), deliberately dumb."""
    lines = response.split(b"\r\n")
    assert lines[-2:] == [b".", b""], response
    assert b"." not in lines[:-2], response
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:-2])


def inPieces(pieces: Iterable[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([stuffer.stuff(piece) for piece in pieces] + [stuffer.end()])


def cuts(message: bytes, points: list[int]) -> list[bytes]:
    edges = sorted({0, len(message), *(point % (len(message) + 1) for point in points)})
    return [message[low:high] for low, high in pairwise(edges)]


def ended(message: bytes) -> bytes:
    return message if message.endswith(b"\r\n") or not message else message + b"\r\n"


@given(MESSAGES.map(lambda message: re.sub(rb"(?<!\r)\n\.+", b"\n", message)))
def test_aClientGetsBackWhatIsStored(message: bytes) -> None:
    assert unstuffed(stuffed(message)) == ended(message)


@given(MESSAGES, st.lists(st.integers(min_value=0)))
def test_piecesGiveWhatTheWholeGives(message: bytes, points: list[int]) -> None:
    assert inPieces(cuts(message, points)) == stuffed(message)


@pytest.mark.parametrize(
    "message", [b".", b"..", b".\r\n", b"a\r\n.\r\nb\r\n", b"\r\n.\r\n.\r\n", b"a\r\n.b", b"\r", b""]
)
def test_piecesOfOneOctetAndEverySingleCut(message: bytes) -> None:
    assert inPieces(message[at : at + 1] for at in range(len(message))) == stuffed(message)
    for at in range(len(message) + 1):
        assert inPieces([message[:at], message[at:]]) == stuffed(message)


@pytest.mark.parametrize("boundary", [16_384, 65_536, 262_144])
def test_dotsAroundABoundary(boundary: int) -> None:
    for shift in range(-4, 5):
        message = b"x" * (boundary + shift) + b"\r\n.\r\n..\r\nend\r\n"
        pieces = [message[:boundary], message[boundary:]]
        assert unstuffed(inPieces(pieces)) == message


def test_anEmptyMessageIsADotAlone() -> None:
    assert stuffed(b"") == inPieces([]) == inPieces([b""]) == b".\r\n"


def excerptOf(pieces: Iterable[bytes], lines: int) -> bytes:
    excerpt = Excerpt(lines)
    found = b""
    for piece in pieces:
        found += excerpt.cut(piece)
        if excerpt.isComplete:
            break
    return found


def dumbExcerpt(message: bytes, lines: int) -> bytes:
    """Line by line, whatever they end in, up to the blank one and so many more."""
    header, body = [], message.split(b"\n")
    while body:
        header.append(body.pop(0) + b"\n")
        if header[-1] in (b"\n", b"\r\n"):
            break
    return b"".join(header) + b"".join(line + b"\n" for line in body[:lines])


BODIES = st.lists(st.sampled_from([b"\r\n", b"\r\n\r\n", b"a", b".", b"\r", b"\n"])).map(b"".join)


@given(BODIES, st.integers(0, 6), st.lists(st.integers(min_value=0)))
def test_anExcerptIsTheHeaderAndSoManyLines(message: bytes, lines: int, points: list[int]) -> None:
    found = excerptOf(cuts(message, points), lines)
    wanted = dumbExcerpt(message, lines)
    assert found == wanted[: len(message)]


@pytest.mark.parametrize("lines", range(5))
def test_anExcerptAtEverySplitPoint(lines: int) -> None:
    message = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\n.three\r\n"
    wanted = b"A: 1\r\nB: 2\r\n\r\n" + b"".join([b"one\r\n", b"\r\n", b".three\r\n"][:lines])
    for at in range(len(message) + 1):
        assert excerptOf([message[:at], message[at:]], lines) == wanted


def test_anExcerptAsksForNoMoreThanItNeeds() -> None:
    excerpt = Excerpt(1)
    excerpt.cut(b"A: 1\r\n\r\none\r\ntw")
    assert excerpt.isComplete


@given(MESSAGES, st.lists(st.integers(min_value=0)))
def test_aClientThatReadsLinesUpToLfFindsTheEndWhereItIs(message: bytes, points: list[int]) -> None:
    lines = inPieces(cuts(message, points)).split(b"\n")
    assert lines[-2:] == [b".\r", b""]
    assert not {b".", b".\r"} & set(lines[:-2])
