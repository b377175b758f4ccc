"""
Which lives of the other nodes this node has met, and which it does not believe any more (design §4; docs/adr/0039). Pure.

A store that was put back from a copy of the past has forgotten what its node has told the others since. Its incarnation gives it away if it is lower than
one that was met; but each start counts on, so what counts is that it does not remember the life that was met. What was met is kept durably, since the others
may be restarted while an old copy comes back.

A copy that was made while its node ran remembers that life, too. It gives itself away by how many commits its store has seen: each node tells its own once a second, and a later life that
remembers fewer of the one that was met has forgotten some. What was told last is kept when the node goes away.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from jindimail.cluster.hello import Hello, Reason, Unwelcome
from jindimail.interfaces import IReadRows, IRows
from jindimail.store.keys import MET_TAG, META, after, metKey
from jindimail.store.records import LIFE_OCTETS

_MET = Struct(f">Q{LIFE_OCTETS}sQ")
_BEFORE = Struct(f">Q{LIFE_OCTETS}s")  # versions that knew of no commits
Met = dict[int, tuple[int, bytes, int]]  # by node: incarnation, life, commits
_NOBODY = (-1, b"", 0)


def readMet(rows: IReadRows) -> Met:
    """The last life of each node that was met."""
    found = rows.scan(META, MET_TAG, after(MET_TAG))
    return {int.from_bytes(key[len(MET_TAG) :], "big"): _unpacked(value) for key, value in found}


def _unpacked(value: bytes) -> tuple[int, bytes, int]:
    incarnation, life, commits = (
        _MET.unpack(value) if len(value) == _MET.size else (*_BEFORE.unpack(value), 0)
    )
    return incarnation, life, commits


def writeMet(node: int, incarnation: int, life: bytes, commits: int, rows: IRows) -> None:
    """Remember the life of a node that was met."""
    rows.put(META, metKey(node), _MET.pack(incarnation, life, commits))


class Acquaintance:
    """What this node has seen of the others."""

    def __init__(
        self, met: Met | None = None, remember: Callable[[int, int, bytes, int], object] = lambda *met: None
    ) -> None:
        """
        @param met: what it has met before it was started.
        @param remember: is told the node, incarnation, life and commits of what is met from now on.
        """
        self._seen: Met = dict(met or {})
        self._kept: Met = dict(self._seen)
        self._remember = remember

    def incarnation(self, node: int) -> int:
        """The highest that was seen; -1 for none."""
        return self._seen.get(node, _NOBODY)[0]

    def isNew(self, hello: Hello) -> bool:
        """Whether this is another life of a node than the one that was met."""
        return self._seen.get(hello.node, _NOBODY)[1] not in (b"", hello.life)

    def meet(self, hello: Hello) -> None:
        """
        Believe a peer, and remember it.

        @raise Unwelcome: it is older than what was seen, or does not know of it, or not of all that it did in that life.
        """
        incarnation, life, commits = self._seen.get(hello.node, _NOBODY)
        if hello.incarnation < incarnation:
            raise Unwelcome(Reason.OLD_INCARNATION)
        if life and hello.lifeOf(incarnation) not in (b"", life):
            raise Unwelcome(Reason.TWO_LIVES)
        if (hello.incarnation, hello.life) != (incarnation, life):
            if 0 < hello.endOf(incarnation) < commits:
                raise Unwelcome(Reason.OLD_COPY)
            self._seen[hello.node] = hello.incarnation, hello.life, 0
            self._keep(hello.node)

    def told(self, node: int, incarnation: int, commits: int) -> None:
        """A node said how many commits its store has seen."""
        known, life, before = self._seen.get(node, _NOBODY)
        if incarnation == known and commits > before:
            self._seen[node] = known, life, commits

    def parted(self, node: int) -> None:
        """A node is away: what it said last is kept, since it may come back as a copy of what it was."""
        if self._seen.get(node) != self._kept.get(node):
            self._keep(node)

    def _keep(self, node: int) -> None:
        self._kept[node] = self._seen[node]
        self._remember(node, *self._seen[node])
