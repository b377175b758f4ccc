"""Our reading and writing of Banana and jelly beside Twisted's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.spread import jelly as stock
from twisted.spread.banana import Banana

from jindimail.cluster.banana import (
    DEPTH_MAX,
    EXPRESSION_OCTETS_MAX,
    LIST_ITEMS_MAX,
    NOT_BASIC,
    STRING_OCTETS_MAX,
    Decoder,
    Violation,
    encode,
    jelly,
    prefix,
    unjelly,
)
from jindimail.cluster.broker import Broker

atoms = st.one_of(
    st.integers(-(2**66), 2**66), st.binary(max_size=300), st.sampled_from(sorted(Banana.outgoingVocabulary))
)
expressions = st.recursive(atoms, lambda inner: st.lists(inner, max_size=6), max_leaves=40)
basics = st.recursive(
    st.one_of(st.integers(-(2**66), 2**66), st.binary(max_size=40)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=20,
)


def stockBanana(dialect: bytes) -> Any:
    banana = Banana()
    banana.makeConnection(StringTransport())
    banana._selectDialect(dialect)
    banana.transport.clear()
    return banana


def stockEncoded(value: Any, dialect: bytes) -> bytes:
    banana = stockBanana(dialect)
    banana.sendEncoded(value)
    octets: bytes = banana.transport.value()
    return octets


@given(expressions, st.sampled_from([b"pb", b"none"]))
def test_writesWhatTwistedWrites(value: Any, dialect: bytes) -> None:
    assert encode(value, dialect == b"pb") == stockEncoded(value, dialect)


@given(st.lists(expressions, max_size=3))
def test_readsWhatTwistedWrote(values: list[Any]) -> None:
    octets = b"".join(stockEncoded(value, b"pb") for value in values)
    assert Decoder().feed(octets) == values


@given(expressions, st.integers(1, 7))
def test_portionsDoNotMatter(value: Any, size: int) -> None:
    octets = encode([value, b"x" * 300, -1, 2**40], True)
    decoder, got = Decoder(), []
    for start in range(0, len(octets), size):
        got += decoder.feed(octets[start : start + size])
    assert got == [[value, b"x" * 300, -1, 2**40]]


@given(st.binary(max_size=200))
def test_anyOctetsAreReadOrRefused(octets: bytes) -> None:
    decoder = Decoder()
    with suppress(Violation):
        assert isinstance(decoder.feed(octets), list)


@pytest.mark.parametrize(
    "octets",
    [
        prefix(STRING_OCTETS_MAX + 1) + b"\x82",
        prefix(LIST_ITEMS_MAX + 1) + b"\x80",
        b"\x01\x80" * (DEPTH_MAX + 1),
        b"\x01" * 11,
        b"\x7f\x87",
        b"\x01\x01\x87",
        b"\x01\x88",
        b"\xff",
        stockEncoded(1.5, b"pb"),
    ],
)
def test_whatIsBeyondTheBoundsIsRefusedAtOnce(octets: bytes) -> None:
    with pytest.raises(Violation):
        Decoder().feed(octets)


def test_largeExpressionIsRefusedBeforeItIsComplete() -> None:
    decoder = Decoder()
    decoder.feed(prefix(4000) + b"\x80")
    with pytest.raises(Violation):
        for _ in range(EXPRESSION_OCTETS_MAX // STRING_OCTETS_MAX + 1):
            decoder.feed(encode(bytes(STRING_OCTETS_MAX), True))


def test_manySmallExpressionsAreNoLargeOne() -> None:
    decoder = Decoder()
    for _ in range(EXPRESSION_OCTETS_MAX // STRING_OCTETS_MAX + 10):
        assert len(decoder.feed(encode([bytes(STRING_OCTETS_MAX)], True))) == 1


def test_whatIsAtTheBoundsIsRead() -> None:
    whole = bytes(STRING_OCTETS_MAX)
    assert Decoder().feed(encode(whole, True)) == [whole]
    assert Decoder().feed(encode([0] * LIST_ITEMS_MAX, True)) == [[0] * LIST_ITEMS_MAX]


@given(basics)
def test_jelliesWhatTwistedJellies(value: Any) -> None:
    assert unjelly(jelly(value)) == value
    assert stock.unjelly(jelly(value)) == value
    plain = stock.jelly(value)
    assert unjelly(plain) in (
        value,
        NOT_BASIC,
    )  # Twisted writes references to empty tuples that it sees twice


@pytest.mark.parametrize(
    "value", ["text", 1.5, None, True, {1: 2}, {b"a": b"b"}, set(), object(), [None], ("a",)]
)
def test_otherValuesAreNotJellied(value: Any) -> None:
    assert jelly(value) is NOT_BASIC


@pytest.mark.parametrize(
    "value",
    [[], [b"None"], [b"unicode", b"x"], [b"remote", 1], [[b"tuple"]], 1.5, [b"tuple", [b"copy"]], None],
)
def test_otherJellyIsNotRead(value: Any) -> None:
    assert unjelly(value) is NOT_BASIC


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_oneWayMessageIsWhatPerspectiveBrokerSends(strings: list[bytes]) -> None:
    told, called = Broker({}, lambda root: None), Broker({}, lambda root: None)
    for broker in (told, called):
        broker.makeConnection(StringTransport())
        broker._selectDialect(b"pb")
        broker.transport.clear()
    told.tell(b"take", strings)
    called.remoteForName(b"root").callRemote("take", strings, pbanswer=False)
    assert told.transport.value() == called.transport.value() != b""
