"""Whom a node still believes: lives that were met, and those that a node remembers itself."""

from __future__ import annotations

from functools import partial

import pytest

from jindimail.cluster.acquaintance import Acquaintance, Met, readMet, writeMet
from jindimail.cluster.hello import INCARNATION_MAX, Hello, Reason, Unwelcome, decodeHello
from jindimail.errors import ProtocolError
from jindimail.store.memory import MemoryRows

NODE = 7


def life(number: int) -> bytes:
    return b"life%04d" % number


def hello(incarnation: int, *lives: int) -> Hello:
    """A node's, with the numbers of the lives that it remembers, the present one last."""
    *before, now = map(life, lives)
    return Hello(arrayId=b"a" * 16, node=NODE, incarnation=incarnation, life=now, lives=b"".join(before))


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
    writeMet(NODE, highest.incarnation, highest.life, rows)
    assert readMet(rows)[NODE] == (INCARNATION_MAX, life(1))
    with pytest.raises(ProtocolError):
        decodeHello(hello(INCARNATION_MAX + 1, 1).encode())


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
    told: list[tuple[int, int, bytes]] = []

    def remember(*met: int | bytes) -> None:
        told.append(met)  # type: ignore[arg-type]
        with store.transaction() as rows:
            partial(writeMet, *met)(rows)  # type: ignore[arg-type]

    seen = Acquaintance(readMet(store), remember)
    for each in (hello(4, 4), hello(4, 4), hello(5, 4, 5)):
        seen.meet(each)
    assert told == [(NODE, 4, life(4)), (NODE, 5, life(5))], "a life that is known is not written again"
    met: Met = {NODE: (5, life(5))}
    assert readMet(store) == met
    again = Acquaintance(readMet(store))
    assert refused(again, hello(5, 4, 95)) is Reason.TWO_LIVES
    assert refused(again, hello(4, 4)) is Reason.OLD_INCARNATION
    again.meet(hello(5, 4, 5))
