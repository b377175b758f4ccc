"""
Whether a thing of another node's process is still there, by name: that node is asked. For what a record says somebody has who may be gone without
having given it back (docs/adr/0025).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jindimail.errors import JindimailError
from jindimail.interfaces import ILinks

ASK_SECONDS: Final = 2.0
_HERE, _GONE = b"here", b"gone"


class Presence:
    """
    One subject.

    @ivar isHere: whether this node has a thing of that name; until it is given, it has all.
    """

    def __init__(self, *, links: ILinks, subject: str) -> None:
        self.isHere: Callable[[str], bool] = lambda name: True
        self._links = links
        self._subject = subject
        links.serve(subject, self._asked)

    async def isGone(self, node: int, name: str) -> bool:
        """Whether a node (this one, too) says that it has no thing of that name; not, where it says nothing."""
        try:
            answer: bytes = await self._links.call(node, self._subject, name.encode(), ASK_SECONDS)
        except JindimailError:
            return False
        return answer == _GONE

    def _asked(self, node: int, payload: bytes, seconds: float) -> bytes:
        return _HERE if self.isHere(payload.decode("utf-8", "replace")) else _GONE
