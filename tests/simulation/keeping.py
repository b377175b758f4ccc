"""
What the layers above will do with copies of bodies, in the plainest way: keep before proposing, sweep, repair, read.

The code that is tested is `replication.copies` and `replication.repair`; this only calls it, at the times and with the
candidates that a simulation draws.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from jindimail.errors import JindimailError, Unavailable
from jindimail.mailbox import entries
from jindimail.replication.copies import Copies
from jindimail.replication.driver import Groups
from jindimail.replication.nodemessages import AskBody, AskKept, BodyPut, PutBody, TellBody, TellKept
from jindimail.replication.repair import Repair, bodyref
from jindimail.replication.sweep import Sweep
from jindimail.store.keys import BODYREF, bucketKey
from jindimail.store.records import BodyrefRecord, decode
from tests.simulation.node import Node

if TYPE_CHECKING:
    from tests.simulation.array import Array

COPIES = 2
REPAIRED_AT_ONCE = 20
AWAY_SECONDS = 2.0  # a keeper that is down for so long is replaced


class BodyEntries:
    """`IBodyEntries` of the real state machine."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def void(self, bodyId: bytes) -> bytes:
        """`IBodyEntries`."""
        return entries.encodeEntry(entries.VoidDelivery(seconds=self._array.nextSeconds(), deliveryId=bodyId))

    def setKeepers(self, bodyId: bytes, old: tuple[int, ...], new: tuple[int, ...]) -> bytes:
        """`IBodyEntries`."""
        return entries.encodeEntry(
            entries.SetKeepers(seconds=self._array.nextSeconds(), bodyId=bodyId, old=old, new=new)
        )


class Keeping:
    """Bodies at one incarnation of a node."""

    def __init__(self, array: Array, node: Node, groups: Groups) -> None:
        self._array = array
        self._node = node
        self._groups = groups
        self._places: dict[tuple[str, int], bytes] = {}
        clock, store, number = node.clock, node.store, node.number
        bodyEntries = BodyEntries(array)
        self.copies = Copies(clock=clock, store=store, node=number, send=groups.send)
        self.sweep = Sweep(
            groups=groups,
            store=store,
            copies=self.copies,
            entries=bodyEntries,
            node=number,
            send=groups.send,
        )
        self.repair = Repair(groups=groups, store=store, copies=self.copies, entries=bodyEntries, node=number)
        groups.attend((PutBody, BodyPut, AskBody, TellBody), self.copies.received)
        groups.attend((AskKept, TellKept), self.sweep.received)
        clock.callLater(0.2 + 0.5 * node.chance.random(), self._sweepSome)
        clock.callLater(0.2 + 0.5 * node.chance.random(), self._repairSome)

    # --- at the leader

    async def deliver(self, group: int, entry: entries.Deliver, octets: bytes) -> Any:
        """Keep the body, then propose the entry that names who does."""
        if self._groups.leaderOf(group) != self._node.number:
            raise Unavailable("not the leader")
        candidates = self._candidates(group)
        wanted = min(COPIES, len(candidates))
        kept = await self.copies.put(group - 1, entry.bodyId, octets, candidates, wanted)
        return await self._groups.propose(group, entries.encodeEntry(replace(entry, keepers=kept)))

    def _candidates(self, group: int) -> list[int]:
        """This node, then the group's other nodes, those first that have not been away."""
        replica = self._groups._replicas.get(group)
        if replica is None:
            raise Unavailable("no replica")
        others = [node for node in replica.nodes(self._node.number) if not self._isLost(group, node)]
        return [self._node.number, *others]

    def _isLost(self, group: int, node: int) -> bool:
        return (group, node) in self._array.emptied or self._array.nodes[node].awaySeconds > AWAY_SECONDS

    async def read(self, group: int, bodyId: bytes) -> bytes | None:
        """A body's octets; None: there is none any more."""
        with self._node.store.read() as rows:
            known = bodyref(rows, group - 1, bodyId)
        if known is None:
            return None
        return await self.copies.get(group - 1, bodyId, known.size, known.digest, known.keepers)

    # --- now and then

    def _sweepSome(self) -> None:
        self._node.clock.callLater(0.3 + 0.7 * self._node.chance.random(), self._sweepSome)
        for group in self._array.groups:
            leader = self._groups.leaderOf(group) or self._array.numberOfLeader(group)
            if leader:
                after = self._places.get(("sweep", group), b"")
                self._places["sweep", group] = (
                    self.sweep.ask(group - 1, leader, self._array.isOld, after) or b""
                )

    def _repairSome(self) -> None:
        work = Deferred.fromCoroutine(self._repairOnce())
        work.addErrback(lambda failure: failure.trap(JindimailError) and None)
        work.addErrback(lambda failure: self._array.halt(failure.value))

    async def _repairOnce(self) -> None:
        self._node.clock.callLater(0.2 + 0.5 * self._node.chance.random(), self._repairSome)
        for group in self._array.groups:
            if self._groups.leaderOf(group) != self._node.number:
                continue
            self._forgive(group)
            after: bytes | None = self._places.get(("repair", group), b"")
            self._places["repair", group] = b""
            for _ in range(REPAIRED_AT_ONCE):
                after = await self.repair.step(
                    group - 1, self._candidates(group), COPIES, partial(self._isLost, group), after or b""
                )
                if after is None:
                    break
            self._places["repair", group] = after or b""

    def _forgive(self, group: int) -> None:
        """A node that lost its bodies may have new ones, once no entry says that it has the old."""
        with self._node.store.read() as rows:
            for mine, node in list(self._array.emptied):
                if mine == group and not any(
                    node in decode(value, BodyrefRecord).keepers
                    for _, value in rows.scan(BODYREF, bucketKey(group - 1), bucketKey(group))
                ):
                    self._array.emptied.discard((group, node))
