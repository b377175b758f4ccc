"""Running a command's coroutine, which often has nothing to wait for: then no Deferred is made, and the answer is there at once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def begin(
    coroutine: Coroutine[Any, Any, T], done: Callable[[T], object], failed: Callable[[Failure], object]
) -> None:
    """Run a coroutine, then call `done` with its result or `failed` with what it raised; before this returns, where that can be."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
    except Exception:
        failed(Failure())
        return
    else:
        Deferred.fromCoroutine(_resumed(coroutine, awaited)).addCallbacks(done, failed)
        return
    done(result)


def _resumed(coroutine: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """A coroutine that has begun, and waits for `awaited`, as one that has not."""
    while True:
        try:
            result = yield awaited
        except BaseException as error:
            give: Callable[[Any], Any] = coroutine.throw
            result = error
        else:
            give = coroutine.send
        try:
            awaited = give(result)
        except StopIteration as end:
            value: T = end.value
            return value
