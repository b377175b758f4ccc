"""The harness itself: the messages are what they promise, and a difference is seen."""

from __future__ import annotations

import pytest

from tests.clients import corpus
from tests.clients.corpus import differences

ONE, TWO = b"X-Corpus: one\r\n\r\nbody\r\n", b"X-Corpus: two\r\n\r\nbody\r\n"


@pytest.mark.parametrize("boundary", [16_384, 65_536])
def test_everyOffsetAroundABoundaryIsADotOfALine(boundary: int) -> None:
    # What the server puts in front moves a message by some hundred octets.
    for offset in range(boundary - 600, boundary + 600):
        assert any(each.octets[offset - 2 : offset + 1] == b"\r\n." for each in corpus.DOTTY), offset


def test_theMessagesAreWellFormedAndOfDifferentNames() -> None:
    assert len({corpus.nameOf(each.octets) for each in corpus.ALL}) == len(corpus.ALL)
    for each in corpus.ALL:
        assert corpus.nameOf(each.octets) == each.name
        assert each.octets.endswith(b"\r\n")
        assert b"\0" not in each.octets
        assert each.octets.count(b"\r") == each.octets.count(b"\n") == each.octets.count(b"\r\n")
    assert 24_900_000 < len(corpus.LARGE.octets) < 25_100_000


def test_differencesAreSeen() -> None:
    assert differences([ONE, TWO], [TWO, ONE]) == []
    assert len(differences([ONE, TWO], [ONE])) == 1
    assert len(differences([ONE], [ONE, TWO])) == 1
    assert len(differences([ONE], [ONE, ONE])) == 1
    assert len(differences([ONE], [ONE + b"\r\n"])) == 1
    assert len(differences([ONE], [ONE[:-1]])) == 1
    assert len(differences([ONE], [ONE.replace(b"body", b"bodx")])) == 1
    assert differences([ONE], [ONE + b"x"], {"one"}) == []
    assert len(differences([ONE], [], {"one"})) == 1
