"""
One simulated array: nodes, clients, troubles, wishes about members, and all who check; everything drawn from one seed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from jindimail.errors import JindimailError
from jindimail.mailbox import entries
from jindimail.mailbox.outcomes import Filed
from jindimail.replication.configuration import Configuration, Member
from jindimail.replication.durable import HardRecord, encodeHard
from jindimail.store.keys import BODYREF, HARD, bucketKey, groupKey
from jindimail.store.records import BodyrefRecord, decode
from tests.simulation.checkers import checkEnd, checkKept
from tests.simulation.clock import HeapClock
from tests.simulation.driver import Driver
from tests.simulation.keeping import Keeping
from tests.simulation.model import Model
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.shape import Shape
from tests.simulation.troubles import Troubles, isLeader
from tests.simulation.watch import AppliedLogs, Violation, Watch
from tests.simulation.workload import Client

TROUBLE_SECONDS = 22.0
CALM_SECONDS = 9.0
SETTLE_SECONDS = 20.0
CALM_THINKS = 5  # clients take so much longer between requests once it is calm, where requests find little
STILL_SECONDS = 3.0  # nothing was proposed for so long: the sweeps are over
SWEEP_SECONDS = 4.0  # after the last delivery
PLAN_SECONDS = 0.3


class Array:
    """
    The array of one seed.

    @ivar wishes: group: the nodes that shall have a replica.
    @ivar lost: (group, replica id) whose disk is gone.
    @ivar emptied: (group, node) that may be named as a keeper of what went with its disk; `emptiedAt`: when.
    """

    def __init__(
        self,
        seed: int,
        *,
        shape: Shape | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.chance = chance = Random(seed)
        self.shape = shape = Shape.drawn(chance) if shape is None else shape
        self.oldSeconds = shape.oldSeconds
        self.thinkSeconds = shape.thinkSeconds
        self._say = say
        self.heap = HeapClock()
        self.violation: Exception | None = None
        self.model = Model()
        self.groups = list(range(1, 1 + shape.groups))
        self._prepare()
        self.wishes: dict[int, set[int]] = {}
        self.lost: set[tuple[int, int]] = set()
        self.emptied: set[tuple[int, int]] = set()
        self.emptiedAt: dict[int, float] = {}
        self.keepings: list[Keeping] = []
        self.troubles = self._makeTroubles(Random(chance.random()))
        self.clients = [
            self._makeClient(number, Random(chance.random())) for number in range(1, shape.clients + 1)
        ]
        self._seconds = 1000
        self._deliveries = 0
        for group in self.groups:
            self._found(group)

    def _prepare(self) -> None:
        """Who looks, the network, the nodes."""
        self.watch = Watch(self.halt, AppliedLogs(self._appliedFirst))
        self.network = Network(self.heap, Random(self.chance.random()))
        self.network.delaySeconds = self.shape.delaySeconds
        self.nodes = {number: self._node(number) for number in range(1, self.shape.nodes + 1)}

    def _makeTroubles(self, chance: Random) -> Troubles:
        return Troubles(self, chance, self.shape.troubleMeanSeconds)

    def _makeClient(self, number: int, chance: Random) -> Client:
        return Client(self, number, chance)

    def _node(self, number: int) -> Node:
        return Node(
            number,
            heap=self.heap,
            network=self.network,
            chance=Random(self.chance.random()),
            watch=self.watch,
            trace=self.trace,
            make=self._driver,
            settings=self.shape.settings,
        )

    def _driver(self, node: Node) -> Driver:
        driver = Driver(self, node)
        self.keepings.append(driver.keeping)
        return driver

    # --- running

    def run(self) -> None:
        """Trouble, calm, and the checks at the end. Raises what was found."""
        with self.running():
            self.start()
            self._run()
            gc.collect()  # a failure that nobody took is logged when its Deferred goes
            self.runUntil(self.heap.now)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have the shape's bounds, and hear of failures that are only logged."""
        globalLogPublisher.addObserver(self._logged)
        try:
            with self.shape.imposed():
                yield
        finally:
            globalLogPublisher.removeObserver(self._logged)

    def start(self) -> None:
        """Start all nodes, clients and the planner."""
        for node in self.nodes.values():
            node.start()
        for client in self.clients:
            self._background(client.run())
        self.heap.callLater(PLAN_SECONDS, self._plan)

    def _run(self) -> None:
        self.heap.callLater(1.0, self.troubles.begin)
        self.heap.callLater(TROUBLE_SECONDS, self._calm)
        self.runUntil(TROUBLE_SECONDS + CALM_SECONDS)
        for client in self.clients:
            client.isOver = True
        self.oldSeconds = min(self.oldSeconds, 1.0)
        self.runUntil(TROUBLE_SECONDS + CALM_SECONDS + SWEEP_SECONDS)
        self._settle()
        self.checkEnd()

    def _settle(self) -> None:
        """A sweep of much goes on proposing: let it end, within a bound, so that what never ends is found."""
        end, since, before = self.heap.now + SETTLE_SECONDS, self.heap.now, self._places()
        while self.heap.now < end and self.heap.now - since < STILL_SECONDS:
            self.runUntil(self.heap.now + 0.5)
            places = self._places()
            if places != before:
                since, before = self.heap.now, places

    def _places(self) -> list[tuple[int, int]]:
        """Where all logs end, and how far they are committed."""
        rafts = [node.raft(group) for group in self.groups for node in self.nodes.values()]
        return [(raft.log.lastIndex, raft.log.commit) for raft in rafts if raft is not None]

    def runUntil(self, end: float) -> None:
        """Go on until a time, or until something is found."""
        while self.heap.now < end and self.violation is None:
            self.heap.runUntil(min(end, self.heap.now + 0.25))
        if self.violation is not None:
            raise self.violation

    def _calm(self) -> None:
        self.troubles.calm()
        self.thinkSeconds *= CALM_THINKS
        for group in self.groups:
            self.heap.callLater(4.0, self._background, self._probe(group))

    def checkEnd(self) -> None:
        """Check what must be so after calm. Raises what is found."""
        self.count()
        checkEnd(self)

    def count(self) -> None:
        """Add up what the nodes counted."""
        for keeping in self.keepings:
            self.watch.counters["keepers replaced"] += keeping.repair.repaired
            self.watch.counters["slow keepers passed over"] += keeping.copies.replaced
            self.watch.counters["bodies swept"] += keeping.sweep.swept

    async def _probe(self, group: int) -> None:
        """After calm a write is taken soon (liveness)."""
        began = self.heap.now
        try:
            await self.clients[0].propose(group, entries.Noop(seconds=self.nextSeconds()))
        except JindimailError as problem:
            raise Violation("livenessAfterCalm", f"group {group}: {problem!r}") from problem
        if self.heap.now > began + 2.0:
            raise Violation("livenessAfterCalm", f"group {group}: a write took {self.heap.now - began} s")

    def _background(self, work: Any) -> None:
        Deferred.fromCoroutine(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.halt(failure.value)

    def halt(self, problem: BaseException) -> None:
        """Something was found: go no further."""
        if self.violation is None:
            self.trace("VIOLATION {}", problem)
            self.violation = (
                problem if isinstance(problem, Exception) else Violation("stopped", repr(problem))
            )
            self.heap.isHalted = True

    def _logged(self, event: Any) -> None:
        failure = event.get("log_failure")
        if failure is not None and not failure.check(JindimailError):
            self.halt(failure.value)

    def trace(self, text: str, *values: object) -> None:
        """Say what happens, if somebody listens."""
        if self._say is not None:
            self._say(f"{self.heap.now:9.4f}  {text.format(*values)}")

    # --- what clients draw

    def nextSeconds(self) -> int:
        """A time that no other entry has, so that entries can be told apart."""
        self._seconds += 1
        return self._seconds

    def nextDeliveryId(self) -> bytes:
        """An id never given before, time first."""
        self._deliveries += 1
        return int(self.heap.now * 1000).to_bytes(8, "big") + self._deliveries.to_bytes(8, "big")

    def sentAt(self, deliveryId: bytes) -> float:
        """When a delivery id was given."""
        return int.from_bytes(deliveryId[:8], "big") / 1000

    def isOld(self, bodyId: bytes) -> bool:
        """Whether a body's entry should have come by now."""
        return self.heap.now - self.sentAt(bodyId) > self.oldSeconds

    def _appliedFirst(self, group: int, entry: entries.AnyEntry, outcome: object) -> None:
        """An entry is applied for the first time anywhere: whoever it names as a keeper must be one (body first)."""
        if not isinstance(entry, entries.Deliver) or not isinstance(outcome, Filed) or outcome.repeated:
            return
        if any(not filed.refused for filed in outcome.filings):
            checkKept(self, group, entry.bodyId, entry.keepers, "bodyFirst")

    # --- members

    def _found(self, group: int) -> None:
        """A group begins with one voter, or with those that it shall have."""
        numbers = list(self.nodes)
        self.wishes[group] = set(self.chance.sample(numbers, min(3, len(numbers))))
        first = sorted(self.wishes[group])
        first = first[: self.shape.founders]
        members = tuple(Member(at, node, voter=True) for at, node in enumerate(first, 1))
        configuration = Configuration(members, len(members) + 1)
        for member in members:
            record = HardRecord(
                replicaId=member.replicaId,
                term=0,
                vote=0,
                applied=0,
                baseIndex=0,
                baseTerm=0,
                configurationIndex=0,
                configuration=configuration,
            )
            self.nodes[member.node].disk.rows.put(HARD, groupKey(group), encodeHard(record))

    def leaderOf(self, group: int) -> Node | None:
        """The node of the latest leader, if it still leads."""
        found = [node for node in self.nodes.values() if isLeader(node, group)]
        return max(found, key=lambda node: node.raft(group).term) if found else None  # type: ignore[union-attr]

    def numberOfLeader(self, group: int) -> int:
        """The number of that node; 0: nobody leads."""
        node = self.leaderOf(group)
        return 0 if node is None else node.number

    @property
    def isRepairing(self) -> bool:
        """Whether a replica's disk is gone and not replaced yet."""
        if self.lost or self.emptied:
            return True
        for group in self.groups:
            node = self.leaderOf(group)
            raft = node.raft(group) if node is not None else None
            if raft is None or any(not member.voter for member in raft.configuration.members):
                return True
        return False

    def isExpendable(self, node: Node, group: int) -> bool:
        """Whether a group does without what a node's disk holds of it."""
        leader = self.leaderOf(group)
        raft = leader.raft(group) if leader is not None else None
        if raft is None:
            return False
        configuration = raft.configuration
        held = raft.history.at(raft.log.commit)[1]
        mine = [member for member in configuration.members if member.node == node.number and member.voter]
        return (
            leader is not node
            and raft.term
            == self._latestTerm(group)  # or another one may have begun a change of which it knows nothing
            and configuration == held
            and (not mine or len(configuration.voters()) >= 3)
            and not self._keepsAlone(node, group, leader)
        )

    def _latestTerm(self, group: int) -> int:
        """The latest term that any disk has seen."""
        rows = [node.disk.rows.get(HARD, groupKey(group)) for node in self.nodes.values()]
        return max(decode(row, HardRecord).term for row in rows if row is not None)

    def _keepsAlone(self, node: Node, group: int, leader: Node) -> bool:
        """Whether a body has no copy but at a node: it was filed when the group had no other, and none could be made since."""
        with leader.store.read() as rows:
            return any(
                not set(decode(value, BodyrefRecord).keepers) - {node.number}
                for _, value in rows.scan(BODYREF, bucketKey(group - 1), bucketKey(group))
            )

    def loseDisk(self, node: Node) -> None:
        """A node's disk is gone, and all its replica ids with it."""
        for group in self.groups:
            leader = self.leaderOf(group)
            raft = leader.raft(group) if leader is not None else None
            assert raft is not None
            self.lost |= {
                (group, member.replicaId)
                for member in raft.configuration.members
                if member.node == node.number
            }
        node.setAside()
        self.emptiedAt[node.number] = self.heap.now
        self.emptied |= {(group, node.number) for group in self.groups}
        self.watch.counters["disks set aside"] += 1

    def _plan(self) -> None:
        """What the array's planner does: one step of one group at a time towards the wish."""
        self.heap.callLater(PLAN_SECONDS, self._plan)
        for group in self.groups:
            node = self.leaderOf(group)
            if node is not None:
                node.clock.run(self._planAt, node, group)

    def _planAt(self, node: Node, group: int) -> None:
        raft = node.raft(group)
        if raft is None or not isLeader(node, group):
            return
        committed = raft.history.at(raft.log.commit)[1]
        if raft.isReadable:
            self.lost = {
                (mine, replicaId)
                for mine, replicaId in self.lost
                if mine != group or committed.member(replicaId) is not None
            }
        change = self._step(group, raft.configuration)
        if change is None:
            return
        node.driver.configure(group, change).addCallbacks(self._changed, lambda _: None, (group,))

    def _changed(self, configuration: Configuration, group: int) -> None:
        self.watch.counters["membership changes"] += 1
        self.trace("group {}: members {}", group, configuration.members)

    def _step(
        self, group: int, configuration: Configuration
    ) -> Callable[[Configuration], Configuration] | None:
        wish, members = self.wishes[group], configuration.members
        present = {member.node for member in members}
        for member in members:
            if (group, member.replicaId) in self.lost:
                return lambda each: each.without(member.replicaId)
        for number in sorted(wish - present):
            return lambda each: each.withLearner(number)
        for member in members:
            if not member.voter and member.node in wish:
                return lambda each: each.withVoter(member.replicaId)
        for member in members:
            if member.node not in wish:
                return lambda each: each.without(member.replicaId)
        return None
