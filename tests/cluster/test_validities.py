"""Every bucket that was founded anew gets its new UIDVALIDITYs, whatever becomes of the others."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from jindimail.cluster.memorylinks import Fabric
from jindimail.cluster.validities import BUCKETS_AT_ONCE, Validities
from jindimail.errors import Unavailable
from jindimail.mailbox.outcomes import Steps
from jindimail.store.memory import MemoryStore


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

    validities = Validities(
        clock=clock,
        store=MemoryStore(),
        links=Fabric(clock).add(1),
        propose=propose,
        renewal=lambda floor: floor,
        seconds=clock.seconds,
    )
    for bucket in (*stuck, 200):
        Deferred.fromCoroutine(validities.mark(bucket))
    for _ in range(10):
        clock.advance(1)
    validities.stop()
    assert set(renewed) == {200}
