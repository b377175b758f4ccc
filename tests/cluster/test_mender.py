"""How many bodies are mended at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jindimail.cluster.events import Events
from jindimail.cluster.mender import BODIES_AT_ONCE, LARGE_OCTETS, Mender
from jindimail.errors import Unavailable
from jindimail.replication.repair import Wanted
from jindimail.store.keys import BODYREF, bodyrefKey
from jindimail.store.memory import MemoryStore
from jindimail.store.records import BodyrefRecord, encode

BODIES = [bytes(15) + bytes([number]) for number in range(20)]
WANTED = Wanted(candidates=(), copies=2, isLost=lambda node: False)


class Repairing:
    """Mends bodies when it is told to."""

    def __init__(self) -> None:
        self.underWay: dict[bytes, Deferred[bool]] = {}

    async def mend(self, number: int, bodyId: bytes, wanted: Wanted) -> bool:
        """Wait for `finish`."""
        done = self.underWay[bodyId] = Deferred[bool]()
        return await done

    def finish(self) -> None:
        """All that are under way."""
        for bodyId in list(self.underWay):
            self.underWay.pop(bodyId).callback(True)


class Sparing:
    """Mends all bodies but some, which no keeper has just now."""

    def __init__(self, away: Collection[bytes]) -> None:
        self.away = away
        self.mended: list[bytes] = []

    async def mend(self, number: int, bodyId: bytes, wanted: Wanted) -> bool:
        """At once."""
        if bodyId in self.away:
            raise Unavailable
        self.mended.append(bodyId)
        return True


class Mending:
    """A mender at work on all the bodies, under some load."""

    def __init__(self, load: float = 0.0, octets: int = 10, repair: Any = None) -> None:
        self.load = load
        self.clock = Clock()
        self.repair = repair or Repairing()
        store = MemoryStore()
        record = BodyrefRecord(size=octets, digest=b"", references=1, keepers=(1,))
        for bodyId in BODIES:
            store.rows.put(BODYREF, bodyrefKey(3, bodyId), encode(record))
        events = Events(node=1, seconds=lambda: 0.0)
        self.mender = Mender(
            clock=self.clock, store=store, repair=self.repair, events=events, load=lambda: self.load
        )
        self.begin(BODIES)

    def begin(self, lacking: Sequence[bytes]) -> None:
        """A pass over bodies."""
        self.result = Deferred.fromCoroutine(
            self.mender.mend(3, lacking, WANTED, lambda: True, lambda copies: None)
        )


def test_anIdleNodeMendsSeveralBodiesAtATimeAndAllOfThemOnce() -> None:
    mending = Mending()
    most = 0
    for _ in range(10):
        most = max(most, len(mending.repair.underWay))
        mending.repair.finish()
        mending.clock.advance(0.02)
    assert most == BODIES_AT_ONCE
    assert mending.result.called and mending.mender.moved == len(BODIES)


@pytest.mark.parametrize("load", [0.6, 1.0, 3.0])
def test_aBusyNodeMendsOneBodyAtATimeAndGoesOn(load: float) -> None:
    mending = Mending(load)
    for _ in range(len(BODIES)):
        assert len(mending.repair.underWay) == 1
        mending.repair.finish()
        mending.clock.advance(0.25)
        mending.clock.advance(0.25)
    mending.clock.advance(0.25)
    assert mending.result.called and mending.mender.moved == len(BODIES)


def test_largeBodiesAreMendedOneAfterTheOther() -> None:
    mending = Mending(octets=LARGE_OCTETS + 1)
    for _ in BODIES:
        assert len(mending.repair.underWay) == 1
        mending.repair.finish()
        mending.clock.advance(0.02)
    assert mending.result.called and mending.mender.moved == len(BODIES)


@pytest.mark.parametrize("load", [0.0, 1.0])
def test_bodiesThatNobodyHasJustNowKeepNoOtherWaiting(load: float) -> None:
    repair = Sparing(BODIES[:12])
    mending = Mending(load, repair=repair)
    for _ in range(10):
        for _ in range(40):
            mending.clock.advance(0.3)
        assert mending.result.called
        mending.begin([each for each in BODIES if each not in repair.mended])
    assert sorted(repair.mended) == BODIES[12:]
