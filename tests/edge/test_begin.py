"""A coroutine that is begun ends as one that a Deferred runs, only sooner."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from jindimail.edge.begin import begin


class Seen:
    """What became of a coroutine."""

    def __init__(self, coroutine: Any) -> None:
        self.results: list[Any] = []
        self.errors: list[type[BaseException]] = []
        begin(coroutine, self.results.append, lambda failure: self.errors.append(failure.type))


def test_whatNeedNotWaitIsDoneAtOnce() -> None:
    async def work() -> int:
        return 1 + int(await succeed(2))

    assert Seen(work()).results == [3]


def test_whatRaisesAtOnceHasFailedAtOnce() -> None:
    async def work() -> None:
        await fail(ZeroDivisionError())

    assert Seen(work()).errors == [ZeroDivisionError]


def test_whatWaitsGoesOnWhenItsDeferredsFire() -> None:
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()

    async def work() -> int:
        return await first + await second

    seen = Seen(work())
    first.callback(1)
    assert seen.results == []
    second.callback(2)
    assert (seen.results, seen.errors) == ([3], [])


def test_whatIsRaisedLaterCanBeCaughtInside() -> None:
    waiting: Deferred[None] = Deferred()

    async def work() -> str:
        try:
            await waiting
        except KeyError:
            return "caught"
        return "missed"

    seen = Seen(work())
    waiting.errback(KeyError())
    assert seen.results == ["caught"]


def test_whatIsRaisedLaterAndNotCaughtIsAFailure() -> None:
    waiting: Deferred[None] = Deferred()

    async def work() -> None:
        await waiting

    seen = Seen(work())
    waiting.errback(KeyError())
    assert (seen.results, seen.errors) == ([], [KeyError])
