"""The manhole's interpreter: Python with top-level `await`, where coroutines and Deferreds are awaited and shown."""

from __future__ import annotations

import ast
import signal
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from inspect import CO_COROUTINE, iscoroutine
from pprint import pformat
from types import CodeType
from typing import Any

from twisted.conch.manhole import ManholeInterpreter
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

SHOWN_CHARACTERS_MAX = 200_000
HELD_SECONDS_MAX = 5.0


class HeldTooLong(BaseException):
    """What an operator typed kept the node from everything else. Not an Exception: a loop that forgives those would never end."""


class AwaitingInterpreter(ManholeInterpreter):
    """Twisted's interpreter, with waiting."""

    def __init__(self, shell: Any, namespace: dict[str, Any]) -> None:
        ManholeInterpreter.__init__(self, shell, namespace)
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def runcode(self, code: CodeType) -> None:
        """Run what was typed; what awaits is finished later, and its output appears then. `exit()` ends the shell, not the node."""
        if not code.co_flags & CO_COROUTINE:
            try:
                with _inTime():
                    ManholeInterpreter.runcode(self, code)
            except SystemExit:
                self.handler.handle_QUIT()
            return
        coroutine = eval(code, self.locals)  # noqa: S307  a shell is for that
        waiting = ensureDeferred(_Stepping(coroutine, self.monkeyPatcher).run())
        waiting.addErrback(self._failed)

    def displayhook(self, value: Any) -> None:
        """Show a value; await one that has to be awaited."""
        self.locals["_"] = value
        if iscoroutine(value):
            value = ensureDeferred(value)
        if isinstance(value, Deferred):
            value.addCallback(self._came).addErrback(self._failed)
        elif value is not None:
            self._show(_shown(value) + "\r\n", False)

    def _came(self, value: Any) -> Any:
        self.locals["_"] = value
        if value is not None:
            with _inTime():
                text = _shown(value)
            self._show(text, True)
        return value

    def _failed(self, failure: Failure) -> None:
        if failure.check(SystemExit):
            self.handler.handle_QUIT()
            return
        self._show(f"{type(failure.value).__name__}: {failure.getErrorMessage()}", True)

    def _show(self, text: str, isLater: bool) -> None:
        self.handler.addOutput(text, isLater)


@contextmanager
def _inTime() -> Iterator[None]:
    """
    Break off what takes too long: it runs where the reactor does, so the node would serve nobody until it was killed.

    @raise HeldTooLong: in the midst of it; again and again if it goes on.
    """

    def breakOff(number: int, frame: object) -> None:
        raise HeldTooLong(f"broken off: it held the node for {HELD_SECONDS_MAX:g} s")

    handler = signal.signal(signal.SIGALRM, breakOff)
    timer = signal.setitimer(signal.ITIMER_REAL, HELD_SECONDS_MAX, HELD_SECONDS_MAX)
    try:
        try:
            yield
        finally:  # which may itself be broken off, once: left on, the timer would break off the reactor
            signal.setitimer(signal.ITIMER_REAL, *timer)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def _shown(value: object) -> str:
    text = pformat(value, width=100)
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = text[:SHOWN_CHARACTERS_MAX] + " … (cut off)"
    return text.replace("\n", "\r\n")


class _Stepping:
    """Runs each step of a coroutine with the interpreter's output in place, which must not stay so between the steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], patcher: Any) -> None:
        self._coroutine = coroutine
        self._patcher = patcher

    async def run(self) -> Any:
        """The coroutine's result."""
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        argument: Any = None
        while True:
            try:
                with self._patcher, _inTime():
                    awaited = step(argument)
            except StopIteration as end:
                return end.value
            try:
                argument, step = (yield awaited), self._coroutine.send
            except BaseException as error:
                argument, step = error, self._coroutine.throw
