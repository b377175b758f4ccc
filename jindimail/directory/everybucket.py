"""
Asking every bucket the same: several at a time, since each answer may take a round trip; answers in the order of the buckets.

Who needs only the first answers shall not have the others made: it begins with one bucket, and asks twice as many each time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList

from jindimail.model import BUCKET_COUNT

AT_ONCE = 32
T = TypeVar("T")


async def everyBucket(
    ask: Callable[[int], Coroutine[Any, Any, T]], first: int = 0
) -> AsyncIterator[tuple[int, T]]:
    """
    What `ask(bucket)` gives, for each bucket from the first on.

    @raise JindimailError: as the first of them did that failed.
    """
    start, atOnce = first, 1
    while start < BUCKET_COUNT:
        window = range(start, min(start + atOnce, BUCKET_COUNT))
        start, atOnce = window.stop, min(AT_ONCE, 2 * atOnce)
        waiting = [Deferred.fromCoroutine(ask(bucket)) for bucket in window]
        answers: list[tuple[bool, Any]] = await DeferredList(waiting, consumeErrors=True)
        for bucket, (hasAnswered, answer) in zip(window, answers, strict=True):
            if not hasAnswered:
                answer.raiseException()
            yield bucket, answer
