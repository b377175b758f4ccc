"""Sections of messages: the tree of the RFC, single parts, and ranges in bounds whatever the octets."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.message.sections import Kind, partTable, section
from jindimail.message.structure import parse
from tests.message import samples


def cut(octets: bytes, path: tuple[int, ...], kind: Kind = "") -> bytes | None:
    found = section(partTable(parse(octets)), path, kind)
    return None if found is None else octets[found[0] : found[1]]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((1,), b"one"),
        ((2,), b"two"),
        ((3, 1), b"three one"),
        ((3, 2), b"three two"),
        ((4, 1), b"four one"),
        ((4, 2, 1), b"four two one"),
        ((4, 2, 2, 1), b"four two two one"),
        ((4, 2, 2, 2), b"four two two two"),
        ((5,), None),
        ((0,), None),
        ((-1,), None),
        ((1, 1), None),
        ((3, 3), None),
        ((3, 1, 1), None),
        ((4, 1, 1), None),
        ((4, 2, 2, 3), None),
        ((4, 2, 3), None),
        ((10**9,), None),
    ],
)
def test_bodiesOfTheTreeInRfc3501(path: tuple[int, ...], expected: bytes | None) -> None:
    assert cut(samples.NESTED, path) == expected


@pytest.mark.parametrize(
    ("path", "kind", "start", "end"),
    [
        ((), "HEADER", b"From: outer@", b"boundary=A\r\n\r\n"),
        ((), "TEXT", b"preamble\r\n--A\r\n", b"--A--\r\nepilogue\r\n"),
        ((), "", b"From: outer@", b"epilogue\r\n"),
        ((1,), "MIME", b"Content-Type: text/plain\r\n", b"\r\n\r\n"),
        ((3,), "", b"From: three@", b"--B--"),
        ((3,), "HEADER", b"From: three@", b"boundary=B\r\n\r\n"),
        ((3,), "TEXT", b"--B\r\nContent-Type: text/plain", b"--B--"),
        ((3,), "MIME", b"Content-Type: message/rfc822\r\n", b"\r\n\r\n"),
        ((4,), "", b"--C\r\nContent-Type: image/gif", b"--C--"),
        ((4,), "MIME", b"Content-Type: multipart/mixed; boundary=C", b"\r\n\r\n"),
        ((4, 1), "MIME", b"Content-Type: image/gif\r\n", b"\r\n\r\n"),
        ((4, 2), "HEADER", b"From: fourtwo@", b"boundary=D\r\n\r\n"),
        ((4, 2), "TEXT", b"--D\r\n", b"--D--"),
        ((4, 2, 2), "MIME", b"Content-Type: multipart/alternative", b"\r\n\r\n"),
    ],
)
def test_headersAndTextsOfTheTreeInRfc3501(
    path: tuple[int, ...], kind: Kind, start: bytes, end: bytes
) -> None:
    found = cut(samples.NESTED, path, kind)
    assert found is not None
    assert found.startswith(start) and found.endswith(end)
    if kind in ("HEADER", "MIME"):
        assert found.index(b"\r\n\r\n") == len(found) - 4


@pytest.mark.parametrize(
    ("path", "kind"), [((1,), "HEADER"), ((1,), "TEXT"), ((4,), "HEADER"), ((), "MIME"), ((9,), "MIME")]
)
def test_sectionsThatDoNotExist(path: tuple[int, ...], kind: Kind) -> None:
    assert cut(samples.NESTED, path, kind) is None


def test_messageOfOnePartHasItsBodyAsPartOne() -> None:
    octets = samples.GRAY
    assert cut(octets, (1,)) == cut(octets, (), "TEXT") == octets[342:]
    assert cut(octets, (1,), "MIME") == cut(octets, (), "HEADER") == octets[:342]
    assert cut(octets, (1,), "HEADER") is None
    assert cut(octets, (1, 1)) is cut(octets, (2,)) is None


def test_messageThatIsAMessage() -> None:
    octets = samples.FORWARD
    inner = octets[octets.index(b"From:") :]
    assert cut(octets, (1,)) == cut(octets, (), "TEXT") == inner
    assert cut(octets, (1,), "HEADER") == inner[: inner.index(b"hello")]
    assert cut(octets, (1,), "TEXT") == cut(octets, (1, 1)) == b"hello\r\n"
    assert cut(octets, (1, 2)) is cut(octets, (1, 1, 1)) is None


def test_messageWithoutMime() -> None:
    assert cut(b"Subject: x\r\n", (1,)) == b""
    assert cut(b"", ()) == b""


PREFIX = b"Delivered-To: bob@example.com\r\n"


@pytest.mark.parametrize("octets", samples.ALL.values(), ids=list(samples.ALL))
def test_prefixOnlyGrowsTheOutermostHeader(octets: bytes) -> None:
    """A part table of the octets, told of a prefix, says the same as one of prefix and octets together."""
    alone, together = partTable(parse(octets)), partTable(parse(PREFIX + octets))
    paths: list[tuple[int, ...]] = [(), (1,), (2,), (3,), (3, 1), (4, 2), (4, 2, 2, 1), (1, 1)]
    for path in paths:
        for kind in get_args(Kind):
            assert section(alone, path, kind, len(PREFIX)) == section(together, path, kind)


@given(
    st.one_of(samples.mutatedMessages(), st.binary(max_size=100)),
    st.lists(st.lists(st.integers(-1, 5), max_size=5).map(tuple), max_size=10),
)
@settings(deadline=None)
def test_sectionsLieWithinTheMessage(octets: bytes, paths: list[tuple[int, ...]]) -> None:
    table = partTable(parse(octets))
    for path in [(), *paths]:
        outer = section(table, path)
        for kind in get_args(Kind):
            found = section(table, path, kind)
            if found is not None:
                assert 0 <= found[0] <= found[1] <= len(octets)
        header, text = section(table, path, "HEADER"), section(table, path, "TEXT")
        assert (header is None) == (text is None)
        if header is not None and text is not None and outer is not None:
            assert (header[0], text[1]) == outer and header[1] == text[0]
        below = [section(table, (*path, number)) for number in (1, 2, 3)]
        known = [found for found in below if found is not None]
        assert below[: len(known)] == known
        assert known == sorted(known)


def test_tableIsSmall() -> None:
    assert len(partTable(parse(samples.GRAY))) == 13
