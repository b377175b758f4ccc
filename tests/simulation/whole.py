"""
An array of whole nodes, from one seed: shares of the array on real links over the simulated network (design §11).

Everything above the links' sockets and the disks is what a server runs: Perspective Broker over TLS, the group driver, group 0 with its
planner, the router, bodies. It grows as operators make it grow, gets into trouble, and is calm in the end; mail-level checkers look at what
clients were told, and the invariants of the Raft machines at everything else. A seed costs ten times what one of `array.Array` costs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from jindimail.cluster.arrayentries import AddInvite, AdmitNode
from jindimail.cluster.arrayrecords import UP
from jindimail.cluster.authority import Authority, Credentials, Identity, foundAuthority, newRequest
from jindimail.cluster.membership import Admitted
from jindimail.cluster.peer import Peer
from jindimail.errors import JindimailError
from jindimail.model import ARRAY_GROUP
from jindimail.replication.durable import foundGroups
from tests.cluster.wires import ARRAY_ID
from tests.simulation.array import Array
from tests.simulation.node import Node
from tests.simulation.shape import Shape
from tests.simulation.watch import Violation, Watch
from tests.simulation.wholechecks import WholeLogs, checkWhole, isSettled
from tests.simulation.wholeclient import WholeClient
from tests.simulation.wholenetwork import WholeNetwork
from tests.simulation.wholenode import WholeDriver, WholeNode, addressOf
from tests.simulation.wholetroubles import WholeTroubles

GROWTH_SECONDS = 60.0
TROUBLE_SECONDS = 25.0
CALM_SECONDS = 12.0
HEALED_SECONDS = 60.0  # for the planner, which does not hurry


def nameOf(number: int) -> str:
    """A node's name."""
    return f"n{number}"


class WholeArray(Array):
    """
    The array of one seed.

    @ivar numbers: of all groups.
    @ivar peersOf: by node, whom it knew when it went down.
    @ivar weights: by node; 0: a witness.
    """

    def __init__(self, seed: int, *, say: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self._authority = Authority(*foundAuthority(ARRAY_ID, datetime.now(UTC)))
        self._credentials: dict[int, Credentials] = {}
        self.peersOf: dict[int, dict[int, Peer]] = {}
        self.weights: dict[int, int] = {}
        super().__init__(seed, shape=Shape.drawnWhole(Random(seed)), say=say)

    # --- what it is made of

    def _prepare(self) -> None:
        self.numbers = (ARRAY_GROUP, *self.groups)
        self.watch = Watch(self.halt, WholeLogs(self._appliedFirst))
        self.network: Any = WholeNetwork(self.heap, Random(self.chance.random()), self.shape.delaySeconds)
        self.nodes: dict[int, Node] = {}
        self.weights = dict.fromkeys(range(1, self.shape.nodes + 1), 100)
        if self.shape.nodes > 2 and self.shape.hasWitness:
            self.weights[3] = 0

    def _makeTroubles(self, chance: Random) -> Any:
        return WholeTroubles(self, chance, self.shape.troubleMeanSeconds)

    def _makeClient(self, number: int, chance: Random) -> WholeClient:
        return WholeClient(self, number, chance)

    def _found(self, group: int) -> None:
        """Nothing is there before it is founded."""

    def _addNode(self, number: int) -> Node:
        self.peersOf[number] = {
            each: Peer(node=each, name=nameOf(each), addresses=(addressOf(each),)) for each in self.nodes
        }
        node = self.nodes[number] = WholeNode(
            number,
            heap=self.heap,
            network=self.network,
            chance=Random(self.chance.random()),
            watch=self.watch,
            trace=self.trace,
            make=lambda node: WholeDriver(self, node),
            settings=self.shape.settings,
        )
        return node

    def credentials(self, number: int) -> Credentials:
        """A node's certificate."""
        if number not in self._credentials:
            request, key = newRequest(nameOf(number))
            identity = Identity(arrayId=ARRAY_ID, node=number, name=nameOf(number))
            self._credentials[number] = Credentials(
                certificate=self._authority.issue(request, identity, datetime.now(UTC)),
                key=key,
                authority=self._authority.certificate,
            )
        return self._credentials[number]

    # --- running

    def start(self) -> None:
        """Found the array, let it grow; clients come when there is something to talk to."""
        first = self._addNode(1)
        foundGroups(first.disk.rows, self.numbers, 1)
        first.start()
        self._background(self._grow())

    def _run(self) -> None:
        self.runUntil(self.heap.now + 0.5)
        self._waitUntil(lambda: self.isGrown and isSettled(self), GROWTH_SECONDS, "growth")
        self.trace("grown")
        for client in self.clients:
            self._background(client.run())
        self.runUntil(self.heap.now + 1.0)
        self.troubles.begin()
        self.runUntil(self.heap.now + TROUBLE_SECONDS)
        self._calm()
        self.runUntil(self.heap.now + CALM_SECONDS)
        for client in self.clients:
            client.isOver = True
        self._waitUntil(lambda: isSettled(self), HEALED_SECONDS, "livenessAfterCalm")
        self.runUntil(self.heap.now + 2.0)
        self.checkEnd()

    def _waitUntil(self, isSo: Callable[[], bool], seconds: float, name: str) -> None:
        end = self.heap.now + seconds
        while not isSo():
            if self.heap.now >= end:
                raise Violation(name, "the array does not settle")
            self.runUntil(self.heap.now + 0.25)

    @property
    def isGrown(self) -> bool:
        """Whether all nodes are there and up."""
        first = self.nodes[1]
        nodes = first.driver.share.userMap.nodes if first.isUp else {}
        return len(nodes) == self.shape.nodes and all(record.state == UP for record in nodes.values())

    async def _grow(self) -> None:
        await self._admit(b"", 1)
        for number in range(2, self.shape.nodes + 1):
            secretHash = self.chance.randbytes(32)
            invite = AddInvite(seconds=self._wall(), secretHash=secretHash, expiresSeconds=self._wall() + 600)
            await self._proposeToArray(invite)
            self._addNode(number)
            await self._admit(secretHash, number)
            self.nodes[number].start()

    async def _admit(self, secretHash: bytes, number: int) -> None:
        admitted = await self._proposeToArray(
            AdmitNode(
                seconds=self._wall(),
                secretHash=secretHash,
                name=nameOf(number),
                addresses=(addressOf(number),),
                host=nameOf(number),
                weight=self.weights[number],
                level=1,
            )
        )
        if not isinstance(admitted, Admitted) or admitted.node != number:
            raise Violation("outcome", f"{admitted}")

    async def _proposeToArray(self, entry: Any) -> Any:
        while True:
            try:
                return await self.clients[0].ask(
                    self.nodes[1], lambda node: node.driver.share.buckets.propose(None, entry)
                )
            except JindimailError:
                await self.clients[0].sleep(0.2)

    def _wall(self) -> int:
        return int(self.heap.now)

    def _calm(self) -> None:
        self.troubles.calm()
        for group in self.groups:
            self.heap.callLater(6.0, self._background, self._probe(group))

    def checkEnd(self) -> None:
        """Check what must be so after calm. Raises what is found."""
        if self.network.raised:
            raise self.network.raised[0]
        checkWhole(self)
