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

from jindimail.cluster import phrases
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


words = sorted(Banana.outgoingVocabulary)
short = st.lists(st.binary(max_size=300).filter(lambda each: each not in words), max_size=5)
strings = st.one_of(short, st.just([bytes(20_000)]))
numbers = st.one_of(st.integers(1, 300), st.integers(2**28, 2**31 - 1))


class Pair:
    """A broker that speaks in phrases, and one that speaks as Twisted's does."""

    def __init__(self, request: int = 1) -> None:
        self.ours, self.stock = Broker({}, lambda root: None), Broker({}, lambda root: None)
        for broker in (self.ours, self.stock):
            broker.makeConnection(StringTransport())
            broker._selectDialect(b"pb")
            broker.transport.clear()
            broker.currentRequestID = request - 1

    def octets(self) -> bytes:
        """What both have written."""
        ours, stock = self.ours.transport.value(), self.stock.transport.value()
        assert ours == stock != b""
        return bytes(ours)


class Waiting:
    """Waits for an answer."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.callback = self.errback = self.got.append


@given(strings, numbers)
def test_oneWayMessageIsWhatPerspectiveBrokerSends(messages: list[bytes], request: int) -> None:
    pair = Pair(request)
    pair.ours.tell(messages)
    pair.stock.remoteForName(b"root").callRemote("take", messages, pbanswer=False)
    octets = pair.octets()
    assert phrases.read(octets, 0) == ((phrases.TAKE, request, (messages,)), len(octets))


@given(strings, numbers, numbers)
def test_callIsWhatPerspectiveBrokerSends(pieces: list[bytes], request: int, milliseconds: int) -> None:
    pair = Pair(request)
    pair.ours.ask(b"deliver", milliseconds, pieces, Waiting())
    pair.stock.remoteForName(b"root").callRemote("call", b"deliver", milliseconds, pieces)
    octets = pair.octets()
    called = (phrases.CALL, request, (b"deliver", milliseconds, pieces))
    assert phrases.read(octets, 0) == (called, len(octets))


@given(strings, numbers, st.sampled_from([0, 1]))
def test_answerIsWhatPerspectiveBrokerSends(pieces: list[bytes], request: int, outcome: int) -> None:
    pair = Pair()
    pair.ours._answer(request, (outcome, pieces))
    pair.stock._sendAnswer(pair.stock.serialize((outcome, pieces)), request)
    octets = pair.octets()
    assert phrases.read(octets, 0) == ((phrases.ANSWER, request, (outcome, pieces)), len(octets))


@given(short, st.integers(1, 2000))
def test_portionsOfPhrasesDoNotMatter(pieces: list[bytes], size: int) -> None:
    pair = Pair()
    for each in (pieces, [], pieces):
        pair.ours.tell(each)
        pair.ours.ask(b"do", 5, each, Waiting())
    octets = pair.ours.transport.value()
    got: list[Any] = []
    listening = Broker({b"take": got.append, b"call": lambda *words: got.append(words) or (0, [])})
    listening.makeConnection(StringTransport())
    listening._selectDialect(b"pb")
    for start in range(0, len(octets), size):
        listening.dataReceived(octets[start : start + size])
    assert got == [pieces, (b"do", 5, pieces), [], (b"do", 5, []), pieces, (b"do", 5, pieces)]


def test_answersFindWhoWaits() -> None:
    pair, first, second = Pair(), Waiting(), Waiting()
    for waiting in (first, second):
        pair.ours.ask(b"do", 5, [], waiting)
    pair.ours.dataReceived(phrases.answer(2, 0, [b"b"]) + phrases.answer(1, 1, [b"a"]))
    assert (first.got, second.got) == ([(1, [b"a"])], [(0, [b"b"])])
    pair.ours.dataReceived(phrases.answer(2, 0, []))
    assert pair.ours.transport.disconnecting or pair.ours.transport.disconnected


@given(st.binary(max_size=60), st.sampled_from(range(3)))
def test_whatIsNoPhraseIsLeftAlone(octets: bytes, kind: int) -> None:
    whole = (phrases.take(1, [b"x"]), phrases.call(1, b"do", 5, [b"x"]), phrases.answer(1, 0, [b"x"]))[kind]
    assert phrases.read(octets or b"-", 0) is None or octets[0] in (3, 7)
    for end in range(1, len(whole)):
        assert phrases.read(whole[:end], 0) is None
        found = phrases.read(whole[:end] + octets, 0) if octets else None
        assert found is None or found[1] <= end + len(octets)


def test_wordsOfTheVocabularyAreSpeltOutAndReadEitherWay() -> None:
    assert Decoder().feed(phrases.take(1, words))[0][5] == [b"tuple", [b"list", *words]]
    told = Broker({}, lambda root: None)
    got: list[Any] = []
    listening = Broker({b"take": got.append})
    for broker in (told, listening):
        broker.makeConnection(StringTransport())
        broker._selectDialect(b"pb")
        broker.transport.clear()
    told.remoteForName(b"root").callRemote("take", words, pbanswer=False)
    told.tell(words)
    listening.dataReceived(told.transport.value())
    assert got == [words, words]


def test_aListThatHasNotEvenItsKindIsNoPhrase() -> None:
    """For Perspective Broker it is an empty list, and what follows stands beside it."""
    kind = encode(b"list", True)
    for whole in (phrases.take(1, []), phrases.call(1, b"do", 5, []), phrases.answer(1, 0, [])):
        assert whole.count(b"\x01\x80" + kind) == 1
        assert phrases.read(whole, 0) is not None
        assert phrases.read(whole.replace(b"\x01\x80" + kind, b"\x00\x80" + kind), 0) is None


def test_stringsBeyondTheBoundsAreNoPhrase() -> None:
    assert phrases.read(phrases.take(1, [bytes(STRING_OCTETS_MAX)]), 0) is not None
    assert phrases.read(phrases.take(1, [bytes(STRING_OCTETS_MAX + 1)]), 0) is None
    assert phrases.read(phrases.take(1, [b""] * LIST_ITEMS_MAX), 0) is None
