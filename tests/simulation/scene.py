"""An array on which a test decides what happens."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jindimail.mailbox import entries, queries
from jindimail.model import digestOf
from jindimail.replication.raft import Raft
from tests.simulation.array import Array
from tests.simulation.node import Node
from tests.simulation.shape import Shape
from tests.simulation.workload import ACCOUNT, SUMMARY, Client

GROUP = 1


class Scene(Array):
    """
    Nodes without random troubles, and one client whose requests a test makes. All checkers watch as ever.
    """

    def __init__(self, shape: Shape | None = None, seed: int = 1, **values: Any) -> None:
        super().__init__(seed, shape=shape or Shape(**values))
        self.client = Client(self, 0, Random(seed))
        self.start()
        self.pass_(2.0)

    # --- time

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        with self.running():
            self.runUntil(self.heap.now + seconds)

    def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        """Let time pass until something is so."""
        end = self.heap.now + seconds
        while not condition():
            if self.heap.now >= end:
                raise AssertionError(f"not within {seconds} s")
            self.pass_(0.01)

    def wait(self, work: Any, seconds: float = 30.0) -> Any:
        """The result of a coroutine or Deferred."""
        results: list[Any] = []
        deferred = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        deferred.addBoth(results.append)
        self.until(lambda: results, seconds)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    # --- who is who

    @property
    def leader(self) -> Node:
        """The node that leads the group."""
        node = self.leaderOf(GROUP)
        assert node is not None
        return node

    def followers(self) -> list[Node]:
        """The other nodes."""
        return [node for node in self.nodes.values() if node is not self.leader]

    def machine(self, node: Node) -> Raft:
        """The group's machine at a node."""
        raft = node.raft(GROUP)
        assert raft is not None
        return raft

    def others(self, node: Node) -> set[int]:
        """The numbers of the nodes but this."""
        return set(self.nodes) - {node.number}

    def isolate(self, node: Node, **how: Any) -> None:
        """Cut a node off."""
        self.network.cut({node.number}, self.others(node), **how)

    # --- mail

    def open(self) -> None:
        """Make the account."""
        self.wait(self.client.open(GROUP))

    @property
    def inbox(self) -> int:
        """The INBOX's id."""
        return self.client.mailboxes[GROUP][0]

    def deliver(self, count: int = 1) -> None:
        """Deliver messages, wherever the leader is, and tell the model."""
        for _ in range(count):
            self.wait(self.client.deliver(GROUP))

    def fill(self, count: int) -> None:
        """Deliver messages without octets, all at once."""
        outcomes = [
            self.leader.driver.propose(GROUP, self.delivery(self.nextDeliveryId())) for _ in range(count)
        ]
        for outcome in outcomes:
            self.wait(outcome)

    def delivery(self, deliveryId: bytes, keepers: tuple[int, ...] = (1, 2)) -> bytes:
        """The octets of an entry that delivers a message without octets."""
        self.model.bodies[deliveryId] = b""
        return entries.encodeEntry(
            entries.Deliver(
                seconds=self.nextSeconds(),
                deliveryId=deliveryId,
                bodyId=deliveryId,
                size=0,
                digest=digestOf(b""),
                keepers=keepers,
                summary=SUMMARY,
                filings=(entries.Filing(accountId=ACCOUNT),),
            )
        )

    def uids(self, node: Node) -> list[int]:
        """The UIDs in the INBOX, as a node has applied it."""
        with node.store.read() as rows:
            found = node.machine.answer(rows, GROUP, queries.ReadRows(mailboxId=self.inbox))
        return [row.uid for row in found]

    def readAt(self, node: Node) -> Deferred[Any]:
        """The UIDs as of a read index, at a node; it may never answer."""
        done: Deferred[Any] = Deferred()

        def begin() -> None:
            node.driver.readIndex(GROUP).addCallback(lambda _: self.uids(node)).addBoth(done.callback)

        node.clock.run(begin)
        return done

    def finish(self) -> None:
        """Calm, and all checks of the end."""
        self.oldSeconds = 1.0
        with self.running():
            self.troubles.calm()
            self.runUntil(self.heap.now + 6.0)
            self.checkEnd()
