"""The real driver of a simulated node's groups, and what a simulation has to see and reach of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jindimail.interfaces import INodeLink
from jindimail.replication.configuration import Configuration
from jindimail.replication.driver import Groups
from jindimail.replication.frames import Unpacker
from jindimail.replication.messages import Message
from jindimail.replication.replica import Replica
from tests.simulation.keeping import Keeping
from tests.simulation.node import Node

if TYPE_CHECKING:
    from tests.simulation.array import Array


@implementer(INodeLink)
class Link:
    """A node's link to one other."""

    def __init__(self, node: Node, target: int) -> None:
        self._node = node
        self._target = target
        self._clock = node.clock

    def send(self, messages: list[bytes]) -> None:
        """`INodeLink`."""
        if not self._clock.isOver:
            self._node.send(self._target, messages)

    sendBulk = send  # whole batches arrive, so that both ways may be one


class Driver:
    """
    `Groups` of one incarnation of a node.

    @ivar replicas: by group.
    """

    def __init__(self, array: Array, node: Node) -> None:
        self._unpackers: dict[int, Unpacker] = defaultdict(Unpacker)
        self.groups = Groups(
            clock=node.clock,
            store=node.store,
            machine=node.machine,
            draw=node.chance.randint,
            settings=node.settings,
            node=node.number,
            incarnation=node.incarnation,
            link=lambda target: Link(node, target),
        )
        self.replicas: dict[int, Replica] = self.groups._replicas
        self.keeping = Keeping(array, node, self.groups)

    @property
    def isOver(self) -> bool:
        """Whether it stopped by itself."""
        return self.groups.failure is not None

    def start(self) -> None:
        """Begin."""
        self.groups.start().addErrback(lambda _: None)  # a disk may fail at once

    def propose(self, group: int, entry: bytes, before: Any = None) -> Deferred[Any]:
        """`IGroups`; every other entry may lag."""
        return self.groups.propose(group, entry, before, mayLag=bool(len(entry) & 1))

    def readIndex(self, group: int) -> Deferred[int]:
        """`IGroups`."""
        return self.groups.readIndex(group)

    def configure(self, group: int, change: Callable[[Configuration], Configuration]) -> Deferred[Any]:
        """Begin a change of members; fires when it is done."""
        return self.groups.change(group, change)

    def transfer(self, group: int, node: int) -> None:
        """Hand a leadership over to another node."""
        self.groups.transfer(group, node)

    def receive(self, source: int, batch: list[bytes]) -> None:
        """Frames came in."""
        self.groups.received(source, batch)

    def peek(self, target: int, batch: list[bytes]) -> list[Message]:
        """The groups' own messages in a batch that leaves, for those who look."""
        unpack = self._unpackers[target].unpack
        return [message for frame in batch for message in unpack(frame) if isinstance(message, Message)]
