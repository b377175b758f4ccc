"""Every bucket that was founded anew gets its new UIDVALIDITYs, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from jindimail.cluster.memorylinks import Fabric
from jindimail.cluster.validities import AHEAD_SECONDS, BUCKETS_AT_ONCE, Validities
from jindimail.errors import Unavailable
from jindimail.mailbox.outcomes import Steps
from jindimail.store.memory import MemoryStore


def validitiesBy(clock: Clock, propose: Callable[[int | None, Any], Deferred[Any]]) -> Validities:
    """Those of a node whose entries are their floors."""
    return Validities(
        clock=clock,
        store=MemoryStore(),
        links=Fabric(clock).add(1),
        propose=propose,
        renewal=lambda floor: floor,
        seconds=clock.seconds,
    )


def test_bucketsThatNobodyLeadsKeepNoOtherWaiting() -> None:
    clock = Clock()
    stuck = range(BUCKETS_AT_ONCE)
    renewed: list[int] = []

    def propose(bucket: int | None, entry: Any) -> Deferred[Any]:
        if bucket in stuck:
            return fail(Unavailable())
        assert bucket is not None
        renewed.append(bucket)
        return succeed(Steps(remaining=0))

    validities = validitiesBy(clock, propose)
    for bucket in (*stuck, 200):
        Deferred.fromCoroutine(validities.mark(bucket))
    for _ in range(10):
        clock.advance(1)
    validities.stop()
    assert set(renewed) == {200}


def test_aBucketIsRenewedToItsLastMailboxAboveAllThatMayHaveBeenGivenSince() -> None:
    """What was made in the part of the log that is lost had UIDVALIDITYs of the clock of then."""
    clock = Clock()
    clock.advance(1_800_000_000)
    floors: list[int] = []

    def propose(bucket: int | None, entry: int) -> Deferred[Any]:
        floors.append(entry)
        return succeed(Steps(remaining=max(0, 4 - len(floors))))

    validities = validitiesBy(clock, propose)
    Deferred.fromCoroutine(validities.mark(7))
    clock.advance(1)
    validities.stop()
    assert floors[0] == 0, "it is applied behind all that the log has"
    assert len(floors) == 4 and min(floors[1:]) >= 1_800_000_000 + AHEAD_SECONDS
