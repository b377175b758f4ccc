"""
How many of something each node has, by name, told to the others: for bounds that hold in the whole array, give or take a second (docs/adr/0042).

A node tells all that it has, soon after it changed and now and then as long as there is any. What another node told counts while there are links to it,
and not for long: nobody waits for it, and what a dead node had is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.hearsay import tellAll
from jindimail.interfaces import ILinks

TELL_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 5.0
KEPT_SECONDS: Final = 3 * AGAIN_SECONDS
NAMES_MAX: Final = 1000  # of one node; the least are not told

_decode = msgspec.msgpack.Decoder(dict[str, int]).decode


class Headcounts:
    """
    One subject.

    @param nodes: the other nodes' numbers, as of now.
    @ivar mine: what this node has, asked when it is told.
    """

    def __init__(
        self,
        *,
        links: ILinks,
        clock: IReactorTime,
        subject: str,
        nodes: Callable[[], Iterable[int]],
    ) -> None:
        self.mine: Callable[[], Mapping[str, int]] = dict
        self._links = links
        self._clock = clock
        self._subject = subject
        self._nodes = nodes
        self._told: dict[int, tuple[float, dict[str, int]]] = {}
        self._next: Any = None
        self._isSoon = False
        links.serve(subject, self._heard)

    def elsewhere(self, name: str) -> int:
        """How many the other nodes have of a name, as far as this one was told."""
        since = self._clock.seconds() - KEPT_SECONDS
        return sum(
            counts.get(name, 0)
            for node, (at, counts) in self._told.items()
            if at > since and self._links.isUp(node)
        )

    def changed(self) -> None:
        """What this node has is no longer what it told."""
        if not self._isSoon:
            self._isSoon = True
            if self._next is not None:
                self._next.cancel()
            self._next = self._clock.callLater(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._isSoon, self._next = False, None
        counts = sorted(self.mine().items(), key=lambda each: -each[1])[:NAMES_MAX]
        payload = msgspec.msgpack.encode(dict(counts))
        tellAll(self._links, self._nodes(), self._subject, payload)
        if counts:
            self._next = self._clock.callLater(AGAIN_SECONDS, self._tell)

    def _heard(self, node: int, payload: bytes, seconds: float) -> bytes:
        try:
            counts = _decode(payload)
        except msgspec.MsgspecError:
            return b""
        if len(counts) <= NAMES_MAX:
            self._told[node] = self._clock.seconds(), counts
        return b""
