"""
One whole node of a simulated array: the real share, on real links (TLS, Perspective Broker) over the simulated network.

`node.Node` gives it its disk, its clock and its crashes, and has the same watchers look at it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from jindimail.cluster.ground import layGround
from jindimail.cluster.hello import LEVELS, Hello
from jindimail.cluster.links import Links
from jindimail.cluster.peer import Peer
from jindimail.cluster.share import Share
from jindimail.mailbox import wire
from jindimail.mailbox.bodyentries import BodyEntries
from jindimail.replication.frames import Unpacker
from jindimail.replication.messages import Message
from jindimail.replication.replica import Replica
from tests.cluster.wires import ARRAY_ID
from tests.simulation.node import Node

if TYPE_CHECKING:
    from tests.simulation.whole import WholeArray


def addressOf(number: int) -> str:
    """Where a node listens."""
    return f"{number}:1"


class WatchedLinks(Links):
    """The real links; whoever looks, looks at what leaves, and a crash can come before it and after."""

    def __init__(self, node: Node, **values: Any) -> None:
        super().__init__(**values)
        self._simulated = node
        self._unpackers: dict[int, Unpacker] = defaultdict(Unpacker)

    def send(self, node: int, messages: list[bytes]) -> None:
        """`ILinks`."""
        simulated = self._simulated
        if simulated.driver is None:
            return
        simulated.look()
        unpack = self._unpackers[node].unpack
        found = [each for frame in messages for each in unpack(frame) if isinstance(each, Message)]
        simulated.watch.sent(found)
        simulated.boundary("before send")
        if simulated.isUp:
            super().send(node, messages)
            simulated.boundary("after send")


class WholeDriver:
    """
    What one incarnation of a node runs.

    @ivar replicas: by group.
    """

    def __init__(self, array: WholeArray, node: Node) -> None:
        self._array = array
        self._node = node
        clock, number = node.clock, node.number
        self.links = WatchedLinks(
            node,
            clock=clock,
            mine=Hello(
                arrayId=ARRAY_ID,
                node=number,
                incarnation=node.incarnation,
                life=node.chance.randbytes(8),
                levels=LEVELS,
            ),
            credentials=array.credentials(number),
            endpoint=array.network.endpoint(addressOf(number)),
            draw=node.chance.randint,
        )
        ground = layGround(
            clock=clock,
            store=node.store,
            machine=node.machine,
            links=self.links,
            incarnation=node.incarnation,
            draw=node.chance.randint,
            settings=node.settings,
            numbers=array.numbers,
        )
        self.share = Share(ground, wire=wire, bodyEntries=BodyEntries(clock.seconds))
        self.replicas: dict[int, Replica] = self.share.groups._replicas
        self.share.userMap.listen(self._nodesChanged)

    @property
    def isOver(self) -> bool:
        """Whether it stopped by itself."""
        return self.share.groups.failure is not None

    def start(self) -> None:
        """Begin."""
        network, address = self._array.network, addressOf(self._node.number)
        network.processes[address] = self._node.clock
        network.factories[address] = self.links.factory
        self.share.start().addErrback(lambda _: None)  # a disk may fail at once
        self._nodesChanged()
        self.links.start()

    def propose(self, group: int, entry: bytes) -> Deferred[Any]:
        """`IGroups`."""
        return self.share.groups.propose(group, entry)

    def transfer(self, group: int, node: int) -> None:
        """Hand a leadership over to another node."""
        self.share.groups.transfer(group, node)

    def _nodesChanged(self) -> None:
        """Link up with the nodes that the array has; those that were there before until its rows say otherwise."""
        peers = self._array.peersOf[self._node.number]
        for number, record in self.share.userMap.nodes.items():
            peers[number] = Peer(node=number, name=record.name, addresses=record.addresses)
        self.links.setPeers(peers.values())


class WholeNode(Node):
    """A whole node with its number."""

    def crash(self) -> None:
        """The process is gone, with all that is not durable; its kernel resets its connections."""
        if self.isUp:
            super().crash()
            self.network.died(addressOf(self.number))  # type: ignore[attr-defined]
