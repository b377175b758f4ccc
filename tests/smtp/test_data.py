"""The receivers of DATA and BDAT, against a twin that goes line by line, at every split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.errors import StorageFull, TooLarge
from jindimail.smtp.data import BareLineEnd, ChunkReceiver, Content, DataReceiver, NulOctet

LIMIT = 1 << 20
Taken = tuple[bytes | None, type | None, bytes | None]


def twin(stream: bytes) -> Taken:
    """The content, its fault, and what follows: as the RFC reads, a line at a time."""
    lines = []
    rest = stream
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            return None, None, None
        if line == b".":
            break
        lines.append(line[1:] if line.startswith(b".") else line)
    content = b"".join(line + b"\r\n" for line in lines)
    bare = content.replace(b"\r\n", b"")
    if b"\r" in bare or b"\n" in bare:
        return None, BareLineEnd, rest
    return (None, NulOctet, rest) if b"\0" in content else (content, None, rest)


def feed(blocks: list[bytes], octetsMax: int = LIMIT) -> tuple[Taken, int]:
    """What the receiver makes of blocks, and how many octets it held back at most."""
    written: list[bytes] = []
    receiver = DataReceiver(Content(written.append, octetsMax))
    held = 0
    for number, block in enumerate(blocks):
        rest = receiver.feed(block)
        held = max(held, len(receiver._held))
        if rest is not None:
            rest += b"".join(blocks[number + 1 :])
            fault = receiver.content.fault
            return (None if fault else b"".join(written), fault, rest), held
    return (None, None, None), held


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[low:high] for low, high in pairwise(places)]


CASES = {
    b".\r\n": b"",
    b"\r\n.\r\n": b"\r\n",
    b"..\r\n.\r\n": b".\r\n",
    b".x\r\n.\r\n": b"x\r\n",
    b"a\r\n..\r\n...\r\n.\r\n": b"a\r\n.\r\n..\r\n",
    b"a\r\n.b\r\n.\r\nMAIL": b"a\r\nb\r\n",
    b"a.\r\n.\r\n": b"a.\r\n",
    b"\r\n\r\n.\r\n.\r\n": b"\r\n\r\n",
    b"\xff\x80\r\n.\r\n": b"\xff\x80\r\n",
    b"x" * 100_000 + b"\r\n.\r\n": b"x" * 100_000 + b"\r\n",
}


@pytest.mark.parametrize("stream", CASES)
def test_dotsAreTakenOutAndTheEndIsFound(stream: bytes) -> None:
    (content, fault, rest), _ = feed([stream])
    assert (content, fault) == (CASES[stream], None)
    assert stream.endswith(b".\r\n" + rest) if rest else rest == b""


@pytest.mark.parametrize("stream", [stream for stream in CASES if len(stream) < 100])
def test_itIsTheSameAtEverySplit(stream: bytes) -> None:
    whole, _ = feed([stream])
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert feed(split(stream, [first, second]))[0] == whole
    assert feed([stream[at : at + 1] for at in range(len(stream))])[0] == whole


@pytest.mark.parametrize(
    "ending",
    [
        b"\n.\n",
        b"\r.\r",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\n",
        b"\r\n.\n\r\n",
    ],
)
def test_nothingElseEndsTheMessageAndAllOfItIsRefused(ending: bytes) -> None:
    stream = b"a: b\r\n\r\nx" + ending + b"MAIL FROM:<evil@b.c>\r\n.\r\nQUIT\r\n"
    for at in range(len(stream)):
        assert feed([stream[:at], stream[at:]])[0] == (None, BareLineEnd, b"QUIT\r\n")


def test_nulIsRefused() -> None:
    assert feed([b"a\0b\r\n.\r\n"])[0] == (None, NulOctet, b"")


_pieces = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b"\r\n..", b"a", b"\0", b"\xff", b"Subject: x"]
)
_streams = st.lists(_pieces, max_size=25).map(b"".join)
_cuts = st.lists(st.integers(0, 120), max_size=8)


@given(_streams, _cuts)
@settings(max_examples=1500, deadline=None)
def test_itAgreesWithItsTwin(stream: bytes, cuts: list[int]) -> None:
    taken, held = feed(split(stream, cuts))
    assert taken == twin(stream)
    assert held <= 4


def test_aMessageTooLargeIsReadToItsEnd() -> None:
    assert feed([b"x" * 90, b"x" * 90, b"\r\n.\r\nNOOP"], octetsMax=100)[0] == (None, TooLarge, b"NOOP")
    assert feed([b"x" * 98 + b"\r\n.\r\n"], octetsMax=100)[0] == (b"x" * 98 + b"\r\n", None, b"")
    assert feed([b"x" * 99 + b"\r\n.\r\n"], octetsMax=100)[0] == (None, TooLarge, b"")


def test_afterAFaultNothingIsWrittenAndNothingKept() -> None:
    written: list[bytes] = []
    receiver = DataReceiver(Content(written.append, 1000))
    for _ in range(200):
        assert receiver.feed(b"x" * 65536) is None
    assert sum(map(len, written)) <= 65536
    assert receiver.content.octets == 200 * 65536


def test_aFullSpoolIsAFaultLikeAnother() -> None:
    def refuse(octets: bytes) -> None:
        raise StorageFull

    receiver = DataReceiver(Content(refuse, LIMIT))
    assert receiver.feed(b"a\r\n.\r\nrest") == b"rest"
    assert receiver.content.fault is StorageFull


def chunks(octets: bytes, sizes: list[int], cuts: list[int]) -> tuple[bytes, type | None]:
    """What BDAT makes of octets in chunks of these sizes and a last one, each chunk cut in blocks."""
    written: list[bytes] = []
    content = Content(written.append, LIMIT)
    held, at = b"", 0
    for number, size in enumerate([*sizes, len(octets)]):
        isLast = number == len(sizes)
        chunk = octets[at : at + size]
        at += len(chunk)
        receiver = ChunkReceiver(content, len(chunk), isLast, held)
        rest = None
        for block in split(chunk + b"NEXT", cuts):
            rest = receiver.feed(block) if rest is None else rest + block
        assert rest == b"NEXT"
        held = receiver.held
    assert held == b""
    return b"".join(written), content.fault


@given(_streams, st.lists(st.integers(0, 30), max_size=5), _cuts)
@settings(max_examples=600, deadline=None)
def test_chunksComeOutOctetForOctet(octets: bytes, sizes: list[int], cuts: list[int]) -> None:
    written, fault = chunks(octets, sizes, cuts)
    bare = octets.replace(b"\r\n", b"")
    if b"\r" in bare or b"\n" in bare:
        assert fault in (BareLineEnd, NulOctet)
    elif b"\0" in octets:
        assert fault is NulOctet
    else:
        assert (written, fault) == (octets, None)
