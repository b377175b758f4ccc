"""Whom a node still believes: lives that were met, and those that a node remembers itself."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from jindimail.cluster.acquaintance import Acquaintance, Met, readMet, writeMet
from jindimail.cluster.hello import INCARNATION_MAX, Hello, Reason, Unwelcome, decodeHello
from jindimail.cluster.token import ADDRESSES_MAX
from jindimail.errors import ProtocolError
from jindimail.store.keys import META, metKey
from jindimail.store.memory import MemoryRows

NODE = 7


def life(number: int) -> bytes:
    return b"life%04d" % number


def hello(incarnation: int, *lives: int, ends: tuple[int, ...] = ()) -> Hello:
    """A node's, with the numbers of the lives that it remembers, the present one last."""
    *before, now = map(life, lives)
    return Hello(
        arrayId=b"a" * 16,
        node=NODE,
        incarnation=incarnation,
        life=now,
        lives=b"".join(before),
        ends=b"".join(each.to_bytes(8, "big") for each in ends),
    )


def refused(seen: Acquaintance, met: Hello) -> Reason:
    with pytest.raises(Unwelcome) as caught:
        seen.meet(met)
    return caught.value.reason


def test_aNodeRemembersTheLivesThatItHad() -> None:
    one = hello(9, 5, 6, 7)
    assert [one.lifeOf(each) for each in (9, 8, 7, 6, 0)] == [life(7), life(6), life(5), b"", b""]
    assert hello(9, 7).lifeOf(8) == b""


def test_anIncarnationThatTheStoreCannotKeepIsNoHello() -> None:
    rows = MemoryRows()
    highest = decodeHello(hello(INCARNATION_MAX, 1).encode())
    writeMet(NODE, highest.incarnation, highest.life, 7, rows)
    assert readMet(rows)[NODE] == (INCARNATION_MAX, life(1), 7)
    with pytest.raises(ProtocolError):
        decodeHello(hello(INCARNATION_MAX + 1, 1).encode())


def test_aHelloSaysWhereItsNodeIsReached() -> None:
    one = replace(hello(3, 3), addresses=("node1.example.org:7400", "[2001:db8::1]:7400"))
    assert decodeHello(one.encode()) == one
    assert decodeHello(one.encode()[:-1]).addresses == (), "versions before did not say"
    for wrong in ((b"node1",), (b"node1:0",), (7,), (b"\xff:7400",), (b"a:1",) * (ADDRESSES_MAX + 1), b"a:1"):
        with pytest.raises(ProtocolError):
            decodeHello((*one.encode()[:-1], wrong))


def test_theHighestIncarnationIsKept() -> None:
    seen = Acquaintance()
    assert seen.incarnation(NODE) == -1
    for each in (hello(3, 3), hello(3, 3), hello(4, 3, 4)):
        seen.meet(each)
    assert seen.incarnation(NODE) == 4
    assert refused(seen, hello(3, 3)) is Reason.OLD_INCARNATION


def test_anotherLifeOfTheSameIncarnationIsRefused() -> None:
    seen = Acquaintance()
    seen.meet(hello(4, 3, 4))
    assert refused(seen, hello(4, 3, 94)) is Reason.TWO_LIVES
    seen.meet(hello(5, 3, 4, 5))


def test_aCopyOfThePastIsRefusedHoweverOftenItIsStarted() -> None:
    seen = Acquaintance()
    seen.meet(hello(4, 3, 4))
    lives = [3]
    for incarnation in range(4, 40):
        lives.append(90 + incarnation)
        assert refused(seen, hello(incarnation, *lives)) is Reason.TWO_LIVES
    assert seen.incarnation(NODE) == 4


@pytest.mark.parametrize("lives", [(9,), (8, 9)])
def test_whoDoesNotRememberSoLongAgoIsBelievedByItsNumber(lives: tuple[int, ...]) -> None:
    """A version without lives was met, or so many lives have passed."""
    seen = Acquaintance()
    seen.meet(hello(4, 4))
    seen.meet(hello(9, *lives))
    assert seen.incarnation(NODE) == 9


def test_whatWasMetOutlivesTheNodeThatMetIt() -> None:
    store = MemoryRows()
    told: list[tuple[int, int, bytes, int]] = []

    def remember(*met: int | bytes) -> None:
        told.append(met)  # type: ignore[arg-type]
        with store.transaction() as rows:
            partial(writeMet, *met)(rows)  # type: ignore[arg-type]

    seen = Acquaintance(readMet(store), remember)
    for each in (hello(4, 4), hello(4, 4), hello(5, 4, 5)):
        seen.meet(each)
    assert told == [(NODE, 4, life(4), 0), (NODE, 5, life(5), 0)], "a life that is known is not written again"
    met: Met = {NODE: (5, life(5), 0)}
    assert readMet(store) == met
    again = Acquaintance(readMet(store))
    assert refused(again, hello(5, 4, 95)) is Reason.TWO_LIVES
    assert refused(again, hello(4, 4)) is Reason.OLD_INCARNATION
    again.meet(hello(5, 4, 5))


def test_aCopyOfARunningNodeIsRefusedOnceItsNodeHasDoneMoreHoweverOftenItIsStarted() -> None:
    seen = Acquaintance()
    seen.meet(hello(4, 4))
    seen.told(NODE, 4, 20)
    seen.told(NODE, 3, 99)  # a report of its former life that comes late
    seen.meet(hello(4, 4))  # the same life, on another connection
    assert refused(seen, hello(5, 4, 95, ends=(19,))) is Reason.OLD_COPY
    assert refused(seen, hello(6, 4, 95, 96, ends=(19, 500))) is Reason.OLD_COPY
    seen.meet(hello(6, 4, 5, 6, ends=(20, 21)))
    seen.told(NODE, 4, 99)
    seen.meet(hello(7, 4, 5, 6, 7, ends=(20, 21, 22)))


def test_aNewStoreInAnOldOnesPlaceHasSeenFewCommitsAndIsBelieved() -> None:
    seen = Acquaintance()
    seen.meet(hello(4, 4))
    seen.told(NODE, 4, 100)
    seen.meet(hello(5, 4, 5, ends=(0,)))
    seen.told(NODE, 5, 7)
    seen.meet(hello(6, 4, 5, 6, ends=(0, 8)))


def test_whatWasToldLastIsKeptWhenTheNodeGoesAway() -> None:
    kept: Met = {}
    seen = Acquaintance(kept, lambda node, *met: kept.update({node: met}))
    seen.meet(hello(4, 4))
    seen.told(NODE, 4, 20)
    assert kept[NODE] == (4, life(4), 0)
    seen.parted(NODE)
    seen.parted(NODE + 1)
    assert refused(Acquaintance(kept), hello(5, 4, 5, ends=(19,))) is Reason.OLD_COPY


def test_whatAVersionWithoutCommitsHasMetIsRead() -> None:
    rows = MemoryRows()
    rows.put(META, metKey(NODE), (4).to_bytes(8, "big") + life(4))
    assert readMet(rows) == {NODE: (4, life(4), 0)}
    one = hello(5, 4, 5, ends=(9,))
    assert decodeHello(one.encode()) == one
    assert decodeHello(one.encode()[:-2]).endOf(4) == 0
    assert decodeHello(one.encode()[:-3]).lives == b""
    assert [one.endOf(each) for each in (5, 4, 3)] == [0, 9, 0]
