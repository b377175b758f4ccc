"""The reader: commands and literals out of octets, never out of step."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.imap4.limits import Limits
from jindimail.imap4.reader import (
    NO_TAG,
    NOT_CRLF,
    NUL,
    TOO_LONG,
    Absurd,
    Broken,
    Command,
    Event,
    Line,
    Offer,
    Reader,
)

SMALL = Limits(
    lineOctetsMax=60, literalOctetsMax=20, commandOctetsMax=90, discardOctetsMax=200, lineDiscardOctetsMax=300
)


class Session:
    """Answers offers as a server might, and collects all events."""

    def __init__(self, limits: Limits = SMALL) -> None:
        self.reader = Reader(limits)
        self.events: list[Event | bytes] = []
        self._streamed: list[bytes] = []

    def feed(self, octets: bytes) -> None:
        self.reader.feed(octets)
        while (event := self.reader.next()) is not None:
            if self._streamed and not isinstance(event, Offer):
                self.events.append(b"".join(self._streamed))
                self._streamed = []
            self.events.append(event)
            if isinstance(event, Offer):
                self._answer(event)
            if isinstance(event, Command) and event.name == b"IDLE":
                self.reader.readLine()

    def _answer(self, offer: Offer) -> None:
        if offer.name == b"APPEND" and offer.size > 40:
            self.reader.refuse()
        elif offer.name == b"APPEND":
            self.reader.stream(self._streamed.append)
        else:
            self.reader.keep()


def eventsOf(pieces: Iterable[bytes], limits: Limits = SMALL) -> list[Event | bytes]:
    session = Session(limits)
    for piece in pieces:
        session.feed(piece)
    return session.events


CASES: list[tuple[bytes, list[Event | bytes]]] = [
    (b"a NOOP\r\n", [Command(b"a", b"NOOP", (b"",))]),
    (b"a1 login x y\r\n", [Command(b"a1", b"LOGIN", (b"x y",))]),
    (b"a  NOOP\r\n", [Command(b"a", b"NOOP", (b"",))]),
    (b"a UID FETCH 1 FLAGS\r\n", [Command(b"a", b"UID", (b"FETCH 1 FLAGS",))]),
    (b"\r\n", [Broken(b"", NO_TAG)]),
    (b"a\r\n", [Broken(b"a", NO_TAG)]),
    (b"+ NOOP\r\n", [Broken(b"", NO_TAG)]),
    (b"a (x\r\n", [Broken(b"a", NO_TAG)]),
    (b"\xff\xfe NOOP\r\n", [Broken(b"", NO_TAG)]),
    (b"a NOOP\nb NOOP\r\n", [Broken(b"a", NOT_CRLF), Command(b"b", b"NOOP", (b"",))]),
    (b"a NOOP\0\r\n", [Broken(b"a", NO_TAG)]),
    (b"a LOGIN \0 b\r\n", [Broken(b"a", NUL)]),
    (
        b"a LOGIN {3}\r\nx\r\n {2+}\r\nyz\r\nb NOOP\r\n",
        [
            Offer(b"a", b"LOGIN", (b"{3}",), 3, True),
            Command(b"a", b"LOGIN", (b"{3}", b"x\r\n", b" {2+}", b"yz", b"")),
            Command(b"b", b"NOOP", (b"",)),
        ],
    ),
    (b"a LOGIN {0+}\r\n\r\n", [Command(b"a", b"LOGIN", (b"{0+}", b"", b""))]),
    # a literal too large for memory: refused at once if the client waits, read over if it does not
    (b"a LOGIN {21}\r\nb NOOP\r\n", [Broken(b"a", TOO_LONG), Command(b"b", b"NOOP", (b"",))]),
    (
        b"a LOGIN {21+}\r\n" + b"x NOOP\r\n" * 2 + b"abcde more {8+}\r\nx NOOP\r\n\r\nb NOOP\r\n",
        [Broken(b"a", TOO_LONG), Command(b"b", b"NOOP", (b"",))],
    ),
    (b"a LOGIN {201+}\r\nb NOOP\r\n", [Absurd()]),
    (b"a APPEND x {99000000000+}\r\nb NOOP\r\n", [Absurd()]),
    (
        b"a APPEND x {99999999999999999999}\r\n",
        [Offer(b"a", b"APPEND", (b"x {99999999999999999999}",), 10**20 - 1, True)],
    ),
    (
        b"a APPEND x {30+}\r\n" + b"m" * 30 + b"\r\nb NOOP\r\n",
        [
            Offer(b"a", b"APPEND", (b"x {30+}",), 30, False),
            b"m" * 30,
            Command(b"a", b"APPEND", (b"x {30+}", b"", b"")),
            Command(b"b", b"NOOP", (b"",)),
        ],
    ),
    # refused by the session: nothing more is said of it, whatever comes
    (
        b"a APPEND x {41+}\r\n" + b"m" * 41 + b" {5+}\r\n12345\r\nb NOOP\r\n",
        [Offer(b"a", b"APPEND", (b"x {41+}",), 41, False), Command(b"b", b"NOOP", (b"",))],
    ),
    (
        b"a APPEND x {41}\r\nb NOOP\r\n",
        [Offer(b"a", b"APPEND", (b"x {41}",), 41, True), Command(b"b", b"NOOP", (b"",))],
    ),
    # a line too long, even one with a literal at its end
    (b"a " + b"X" * 100 + b"\r\nb NOOP\r\n", [Broken(b"a", TOO_LONG), Command(b"b", b"NOOP", (b"",))]),
    (
        b"a SEARCH " + b"X" * 100 + b" {8+}\r\nx NOOP\r\n\r\nb NOOP\r\n",
        [Broken(b"a", TOO_LONG), Command(b"b", b"NOOP", (b"",))],
    ),
    (
        b"a SEARCH " + b"X" * 100 + b" {8}\r\nb NOOP\r\n",
        [Broken(b"a", TOO_LONG), Command(b"b", b"NOOP", (b"",))],
    ),
    (b"a SEARCH " + b"X" * 400 + b"\r\nb NOOP\r\n", [Absurd()]),
    # many small literals make a large command
    (
        b"a SEARCH " + b"{9+}\r\n123456789" * 20 + b"\r\nb NOOP\r\n",
        [Broken(b"a", TOO_LONG), Command(b"b", b"NOOP", (b"",))],
    ),
    (
        b"a SEARCH x {3+}\nabc y\r\nb NOOP\r\n",
        [Broken(b"a", NOT_CRLF), Command(b"b", b"NOOP", (b"",))],
    ),
    (
        b"a IDLE\r\nDONE\r\nb NOOP\r\n",
        [Command(b"a", b"IDLE", (b"",)), Line(b"DONE"), Command(b"b", b"NOOP", (b"",))],
    ),
    (
        b"a IDLE\r\nDONE\nb NOOP\r\n",
        [Command(b"a", b"IDLE", (b"",)), Broken(b"", NOT_CRLF), Command(b"b", b"NOOP", (b"",))],
    ),
    (b"a IDLE\r\n" + b"x" * 100 + b"\r\nb NOOP\r\n", [Command(b"a", b"IDLE", (b"",)), Absurd()]),
]


@pytest.mark.parametrize(("octets", "events"), CASES)
def test_readsCommandsLiteralsAndWhatIsNone(octets: bytes, events: list[Event | bytes]) -> None:
    assert eventsOf([octets]) == events


@pytest.mark.parametrize(("octets", "events"), CASES)
def test_readsTheSameAtEverySplitPoint(octets: bytes, events: list[Event | bytes]) -> None:
    for at in range(len(octets) + 1):
        assert eventsOf([octets[:at], octets[at:]]) == events
    assert eventsOf(octets[at : at + 1] for at in range(len(octets))) == events


_PIECES = st.sampled_from(
    [b"a", b"b1", b" ", b" ", b"NOOP", b"APPEND x ", b"IDLE", b"LOGIN ", b"\r\n", b"\r\n", b"\n", b"\r", b"\0", b"{3}", b"{3+}",
     b"{0+}", b"{45+}", b"{25+}\r\n", b"{45}\r\n", b"{500+}", b"{", b"}", b'"', b"\\", b"xyz", b"X" * 61, b"y" * 301, b"\xff", b"DONE"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(_PIECES, st.binary(max_size=6)), max_size=25).map(b"".join), st.data())
def test_whateverComesIsReadTheSameInAnyPieces(octets: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    pieces = [octets[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert eventsOf(pieces) == eventsOf([octets])


def test_holdsLittleOfALineWithoutEnd() -> None:
    session = Session(Limits())
    for _ in range(64):
        session.feed(b"x" * 65_536)
        assert session.reader.waitingOctets <= 2 * 65_536
    assert session.events == [Absurd()]


def test_holdsNothingOfALiteralThatIsDropped() -> None:
    session = Session(Limits())
    session.feed(b"a LOGIN {200000000+}\r\n")
    for _ in range(100):
        session.feed(b"x" * 65_536)
        assert session.reader.waitingOctets == 0
    assert session.events == []


def test_nextWaitsForTheAnswerToAnOffer() -> None:
    reader = Reader(SMALL)
    reader.feed(b"a APPEND x {3+}\r\nabc\r\n")
    assert isinstance(reader.next(), Offer)
    assert reader.next() is None
    taken: list[bytes] = []
    reader.stream(taken.append)
    assert reader.next() == Command(b"a", b"APPEND", (b"x {3+}", b"", b""))
    assert taken == [b"abc"]


def test_clearForgetsWhatWasNotRead() -> None:
    reader = Reader(SMALL)
    reader.feed(b"a STARTTLS\r\nb LOGIN x y\r\nc NO")
    assert reader.next() == Command(b"a", b"STARTTLS", (b"",))
    reader.clear()
    reader.feed(b"d NOOP\r\n")
    assert reader.next() == Command(b"d", b"NOOP", (b"",))
    assert reader.next() is None
