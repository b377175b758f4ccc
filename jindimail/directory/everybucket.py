"""Asking every bucket the same: several at a time, since each answer may take a round trip; answers in the order of the buckets."""

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
    for start in range(first, BUCKET_COUNT, AT_ONCE):
        window = range(start, min(start + AT_ONCE, BUCKET_COUNT))
        waiting = [Deferred.fromCoroutine(ask(bucket)) for bucket in window]
        answers: list[tuple[bool, Any]] = await DeferredList(waiting, consumeErrors=True)
        for bucket, (hasAnswered, answer) in zip(window, answers, strict=True):
            if not hasAnswered:
                answer.raiseException()
            yield bucket, answer
