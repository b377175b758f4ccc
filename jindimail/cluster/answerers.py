"""What this node answers to calls of other nodes (and to its own): a table of methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed

from jindimail.errors import ProtocolError, Unavailable

Answerer = Callable[[int, bytes, float], "Awaitable[bytes] | bytes"]


class Answerers:
    """The methods by name."""

    def __init__(self) -> None:
        self._answerers: dict[str, Answerer] = {}

    def serve(self, method: str, answerer: Answerer) -> None:
        """See `ILinks.serve`."""
        if not method.isascii() or method in self._answerers:
            raise ValueError(f"{method} cannot be served, or is already")
        self._answerers[method] = answerer

    def answer(self, node: int, method: str, payload: bytes, seconds: float) -> Deferred[bytes]:
        """Answer a call; what is not served here may be served by a later version: `Unavailable`."""
        answerer = self._answerers.get(method)
        if answerer is None:
            return fail(Unavailable("no such method"))
        try:
            answer: Any = answerer(node, payload, seconds)
        except Exception as problem:  # whatever it is, the caller gets an answer, and the log gets the rest
            return fail(problem)
        if isinstance(answer, bytes):
            return succeed(answer)
        if isinstance(answer, Deferred):
            return answer
        try:
            return ensureDeferred(answer)
        except Exception:
            return fail(ProtocolError("no answer"))
