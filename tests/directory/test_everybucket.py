"""Every bucket is asked, in order, and no more of them than are needed."""

from __future__ import annotations

import pytest

from jindimail.directory.everybucket import AT_ONCE, everyBucket
from jindimail.errors import Unavailable
from jindimail.model import BUCKET_COUNT
from tests.support.world import now


def taken(first: int, count: int) -> tuple[list[int], list[int]]:
    """The buckets whose answers were taken, and those that were asked."""
    asked: list[int] = []

    async def ask(bucket: int) -> int:
        asked.append(bucket)
        return bucket

    async def take() -> list[int]:
        found = []
        async for bucket, answer in everyBucket(ask, first):
            assert bucket == answer
            found.append(bucket)
            if len(found) == count:
                break
        return found

    return now(take()), asked


@pytest.mark.parametrize("first", [0, 1, 7, BUCKET_COUNT - 1])
def test_everyBucketIsAskedOnceInOrder(first: int) -> None:
    found, asked = taken(first, BUCKET_COUNT)
    assert found == asked == list(range(first, BUCKET_COUNT))


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_whoNeedsFewAnswersHasFewMade(count: int) -> None:
    found, asked = taken(3, count)
    assert found == list(range(3, 3 + count))
    assert len(asked) <= min(2 * count, count + AT_ONCE)


def test_anErrorOfOneIsRaisedWhenItIsItsTurn() -> None:
    async def ask(bucket: int) -> int:
        if bucket == 9:
            raise Unavailable
        return bucket

    async def take() -> list[int]:
        found = []
        with pytest.raises(Unavailable):
            async for bucket, _ in everyBucket(ask):
                found.append(bucket)
        return found

    assert now(take()) == list(range(9))
