"""A client of whole nodes: it talks to any node, which finds whoever has the bucket, and takes no refusal for certain."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from jindimail.errors import Corrupt, JindimailError, OutcomeUnknown, Unavailable
from jindimail.mailbox import queries
from jindimail.model import Body
from tests.simulation.node import Node
from tests.simulation.watch import Violation
from tests.simulation.workload import Client

TRIES = 6


def propose(group: int, entry: Any, octets: bytes | None, node: Node) -> Deferred[Any]:
    """Have a node propose an entry, with its body if it has one."""
    body = None if octets is None else Body.ofOctets(entry.bodyId, octets)
    proposed: Deferred[Any] = node.driver.share.buckets.propose(group - 1, entry, body)
    return proposed


class WholeClient(Client):
    """One client."""

    deadlineSeconds = 12.0

    def anyNode(self) -> Node:
        """A node that serves clients, up or not."""
        array = self.array
        return array.nodes[self.chance.choice([each for each in array.nodes if array.weights[each]])]  # type: ignore[attr-defined]

    def nodeFor(self, group: int) -> Node:
        """Any node will do."""
        return self.anyNode()

    async def propose(self, group: int, entry: Any, octets: bytes | None = None) -> Any:
        """
        An entry's outcome.

        @raise OutcomeUnknown: it may happen, now or later.
        """
        array = self.array
        for _ in range(TRIES if octets is not None else 1):
            node = self.anyNode()
            try:
                outcome = await self.ask(node, partial(propose, group, entry, octets))
            except JindimailError as problem:
                array.trace("client {}: group {} at node {}: {!r}", self.number, group, node.number, problem)
                array.watch.counters["refused or in doubt"] += 1
                await self.sleep(0.05 + 0.3 * self.chance.random())
                if self.isOver:
                    break
                continue
            array.watch.counters["acknowledged writes"] += 1
            if outcome not in array.watch.logs.outcomesOf(group, entry.seconds):  # type: ignore[attr-defined]
                raise Violation("acknowledgedIsApplied", f"group {group}: {entry} answered {outcome}")
            array.trace("client {}: group {} {} -> {}", self.number, group, type(entry).__name__, outcome)
            return outcome
        raise OutcomeUnknown("no answer that is known")

    def again(self, entry: Any) -> Any:
        """A delivery is repeated as it is."""
        return entry

    async def query(self, group: int, node: Node, *asked: Any) -> list[Any]:
        """Fresh answers, one after the other, at a node."""
        return [await self.ask(node, partial(self._query, group, query, True)) for query in asked]

    def _query(self, group: int, query: Any, fresh: bool, node: Node) -> Deferred[Any]:
        answered: Deferred[Any] = node.driver.share.buckets.query(group - 1, query, fresh)
        return answered

    async def readBody(self, group: int, mailbox: Any, row: Any, node: Node) -> None:
        """A message that is there can be read, while its keepers are."""
        wanted = self.model.bodies[row.bodyId]
        query = queries.ReadOctets(bodyId=row.bodyId, prefix=row.prefix, start=0, stop=len(wanted))
        try:
            octets = await self.ask(node, partial(self._query, group, query, False))
        except (Corrupt, Unavailable, OutcomeUnknown):
            self.array.watch.counters["bodies not read"] += 1
            return
        if octets != wanted:
            raise Violation("bodyIsTheOneSent", f"node {node.number}: {row.bodyId.hex()}")
        self.array.watch.counters["bodies read"] += 1
