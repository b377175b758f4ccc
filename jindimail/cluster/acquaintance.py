"""
Which lives of the other nodes this node has met, and which it does not believe any more (design §4; docs/adr/0039). Pure.

A store that was put back from a copy of the past has forgotten what its node has told the others since. Its incarnation gives it away if it is lower than
one that was met; but each start counts on, so what counts is that it does not remember the life that was met. What was met is kept durably, since the others
may be restarted while an old copy comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from jindimail.cluster.hello import Hello, Reason, Unwelcome
from jindimail.interfaces import IReadRows, IRows
from jindimail.store.keys import MET_TAG, META, after, metKey
from jindimail.store.records import LIFE_OCTETS

_MET = Struct(f">Q{LIFE_OCTETS}s")
Met = dict[int, tuple[int, bytes]]  # incarnation and life by node


def readMet(rows: IReadRows) -> Met:
    """The last life of each node that was met."""
    found = rows.scan(META, MET_TAG, after(MET_TAG))
    return {int.from_bytes(key[len(MET_TAG) :], "big"): _MET.unpack(value) for key, value in found}


def writeMet(node: int, incarnation: int, life: bytes, rows: IRows) -> None:
    """Remember the life of a node that was met."""
    rows.put(META, metKey(node), _MET.pack(incarnation, life))


class Acquaintance:
    """What this node has seen of the others."""

    def __init__(
        self, met: Met | None = None, remember: Callable[[int, int, bytes], object] = lambda *met: None
    ) -> None:
        """
        @param met: what it has met before it was started.
        @param remember: is told the node, incarnation and life that is met from now on.
        """
        self._seen: Met = dict(met or {})
        self._remember = remember

    def incarnation(self, node: int) -> int:
        """The highest that was seen; -1 for none."""
        return self._seen.get(node, (-1, b""))[0]

    def isNew(self, hello: Hello) -> bool:
        """Whether this is another life of a node than the one that was met."""
        return self._seen.get(hello.node, (-1, b""))[1] not in (b"", hello.life)

    def meet(self, hello: Hello) -> None:
        """
        Believe a peer, and remember it.

        @raise Unwelcome: it is older than what was seen, or does not know of it.
        """
        incarnation, life = self._seen.get(hello.node, (-1, b""))
        if hello.incarnation < incarnation:
            raise Unwelcome(Reason.OLD_INCARNATION)
        if life and hello.lifeOf(incarnation) not in (b"", life):
            raise Unwelcome(Reason.TWO_LIVES)
        if (hello.incarnation, hello.life) != (incarnation, life):
            self._seen[hello.node] = hello.incarnation, hello.life
            self._remember(hello.node, hello.incarnation, hello.life)
