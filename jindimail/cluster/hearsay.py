"""
Small things that nodes tell each other once a second, for what they are worth: nobody waits for them, and what is lost is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from jindimail.errors import JindimailError
from jindimail.interfaces import ILinks

TELL_SECONDS: Final = 1.0
DEADLINE_SECONDS: Final = 5.0
ITEMS_MAX: Final = 1000  # a second; what is beyond them is not told

Item = tuple[str, ...]


def tellAll(links: ILinks, nodes: Iterable[int], subject: str, payload: bytes) -> None:
    """Tell those of these nodes that there are links to; nobody waits for them to hear it."""
    for node in nodes:
        if node != links.node and links.isUp(node):
            told = links.call(node, subject, payload, DEADLINE_SECONDS)
            told.addErrback(lambda failure: failure.trap(JindimailError))


class Hearsay:
    """
    One subject of talk.

    @param nodes: the other nodes' numbers, as of now.
    @param hear: is called with what another node tells.
    """

    def __init__(
        self,
        *,
        links: ILinks,
        clock: IReactorTime,
        subject: str,
        nodes: Callable[[], Iterable[int]],
        hear: Callable[[Item], None],
    ) -> None:
        self._links = links
        self._clock = clock
        self._subject = subject
        self._nodes = nodes
        self._hear = hear
        self._items: list[Item] = []
        links.serve(subject, self._heard)

    def tell(self, item: Item) -> None:
        """Tell all others, soon."""
        if not self._items:
            self._clock.callLater(TELL_SECONDS, self._tellAll)
        if len(self._items) < ITEMS_MAX:
            self._items.append(item)

    def _tellAll(self) -> None:
        items, self._items = self._items, []
        payload = msgspec.msgpack.encode(items)
        tellAll(self._links, self._nodes(), self._subject, payload)

    def _heard(self, node: int, payload: bytes, seconds: float) -> bytes:
        try:
            items: Any = msgspec.msgpack.decode(payload, type=list[Item])
        except msgspec.MsgspecError:
            return b""
        for item in items[:ITEMS_MAX]:
            self._hear(item)
        return b""
