"""
Whether the array can do without what a node had, before the node gives it up (docs/adr/0043).

A store that was set aside after a failed commit may be sound, and all nodes' commits may have failed at once. So the node first asks everybody it knows which of its groups they lead,
confirmed by their majorities, to which this node's empty store adds nothing. Only when that is so of all of them it renounces (`rejoining`); when it has not been so for a while, its store is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from jindimail.errors import Corrupt, JindimailError
from jindimail.interfaces import ILinks, IReadRows, IStore
from jindimail.replication.driver import Groups
from jindimail.store.keys import META, UNSPARED_KEY

SPARE = "replica.spare"
ASK_SECONDS = 3.0
PATIENCE_SECONDS = (
    20.0  # others may be starting, too; afterwards nothing is lost but the certainty of a new store
)


def markUnspared(groups: Collection[int]) -> bytes:
    """The mark of a store that took the place of one with replicas of these groups."""
    return msgspec.msgpack.encode(sorted(groups))


def readUnspared(rows: IReadRows) -> tuple[int, ...]:
    """The groups of which a node has yet to hear that they can do without it."""
    octets = rows.get(META, UNSPARED_KEY)
    return () if octets is None else msgspec.msgpack.decode(octets, type=tuple[int, ...])


class Sparing:
    """
    Both sides of it at one node.

    @ivar needed: fires when the array cannot do without what this node had.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        links: ILinks,
        groups: Groups,
        peers: Callable[[], Iterable[int]],
    ) -> None:
        """@param peers: the other nodes, as far as they are known."""
        self._clock = clock
        self._store = store
        self._links = links
        self._groups = groups
        self._peers = peers
        self._unspared: frozenset[int] = frozenset()
        self._until = 0.0
        self.needed: Deferred[None] = Deferred()
        links.serve(SPARE, self._answer)

    def start(self) -> None:
        """Begin, if there is anything to ask."""
        with self._store.read() as rows:
            self._unspared = frozenset(readUnspared(rows))
        self._until = self._clock.seconds() + PATIENCE_SECONDS

    async def isSpared(self) -> bool:
        """Whether the array can do without this node's replicas, all of them at one time; asks once, if that is not known yet."""
        if not self._unspared:
            return True
        answers = await DeferredList(
            [Deferred.fromCoroutine(self._ask(node)) for node in self._peers()], consumeErrors=True
        )
        led = frozenset[int]().union(*(answer for isDone, answer in answers if isDone))
        if self._unspared <= led:
            await self._store.write(lambda rows: rows.delete(META, UNSPARED_KEY))
            self._unspared = frozenset()
            return True
        if self._clock.seconds() >= self._until and not self.needed.called:
            self.needed.callback(None)
        return False

    async def _ask(self, node: int) -> Collection[int]:
        payload = msgspec.msgpack.encode(sorted(self._unspared))
        try:
            octets: bytes = await self._links.call(node, SPARE, payload, ASK_SECONDS)
            return msgspec.msgpack.decode(octets, type=frozenset[int])
        except (JindimailError, msgspec.MsgspecError):
            return ()

    async def _answer(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        """The groups, of those asked for, that this node leads without the asker."""
        try:
            asked = msgspec.msgpack.decode(payload, type=frozenset[int])
        except msgspec.MsgspecError as problem:
            raise Corrupt("no groups") from problem
        led = [group for group in sorted(asked) if self._groups.leadingTerm(group)]
        confirmed = await DeferredList(list(map(self._groups.readIndex, led)), consumeErrors=True)
        return msgspec.msgpack.encode(
            [group for group, (isConfirmed, _) in zip(led, confirmed, strict=True) if isConfirmed]
        )
