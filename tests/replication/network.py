"""
Replicas of one group without a node around them: disks that lose what was not synced, and a network that does as it is told.

Everything is explicit: outputs are taken, batches become durable, messages are delivered only when a test says so.
`settle` does all of that until nothing is left. The invariants watch every step.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable

from jindimail.replication.configuration import Configuration, Member
from jindimail.replication.entries import CONFIGURATION, NORMAL, Entry, Snapshot
from jindimail.replication.history import ConfigurationHistory
from jindimail.replication.invariants import Invariants
from jindimail.replication.log import Log
from jindimail.replication.messages import Append, Install, Message, decodeMessage, encodeMessage
from jindimail.replication.outputs import HardState, Outputs, Role, Settings
from jindimail.replication.raft import Raft

GROUP = 5


class Disk:
    """What one replica has made durable."""

    def __init__(self, configuration: Configuration) -> None:
        self.hard = HardState()
        self.applied = 0
        self.baseIndex = 0
        self.baseTerm = 0
        self.entries: dict[int, Entry] = {}
        self.configurationIndex = 0
        self.configuration = configuration
        self.state: tuple[bytes, ...] = ()
        self.removed = False

    def term(self, index: int) -> int | None:
        """The term of a durable place."""
        if index == self.baseIndex:
            return self.baseTerm
        entry = self.entries.get(index)
        return entry.term if entry else None

    def read(self, low: int, high: int, octetsMax: int) -> list[Entry]:
        """`IEntries`."""
        entries, octets = [], 0
        for index in range(low, high):
            octets += len(self.entries[index].data)
            if entries and octets > octetsMax:
                break
            entries.append(self.entries[index])
        return entries

    def write(self, outputs: Outputs, apply: Callable[[Entry], None]) -> None:
        """One transaction: hard state, log rows, applied rows."""
        if outputs.hard is not None:
            self.hard = outputs.hard
        if outputs.truncateFrom:
            self.entries = {
                index: entry for index, entry in self.entries.items() if index < outputs.truncateFrom
            }
        for entry in outputs.entries:
            self.entries[entry.index] = entry
        for entry in outputs.apply:
            apply(entry)
            self.applied = entry.index
            if entry.kind == NORMAL:
                self.state += (entry.data,)
            elif entry.kind == CONFIGURATION:
                self.configurationIndex = entry.index

    def compact(self, index: int) -> None:
        """Drop log rows up to an applied index."""
        self.baseTerm = self.term(index) or 0
        self.baseIndex = index
        self.entries = {each: entry for each, entry in self.entries.items() if each > index}

    def blank(self) -> None:
        """An installation was cut short: nothing is left but term and vote."""
        self.entries.clear()
        self.baseIndex = self.baseTerm = self.applied = self.configurationIndex = 0
        self.configuration = Configuration()
        self.state = ()

    def install(self, snapshot: Snapshot, state: tuple[bytes, ...]) -> None:
        """A snapshot takes the place of everything but the hard state."""
        self.entries.clear()
        self.baseIndex = self.applied = snapshot.index
        self.baseTerm = snapshot.term
        self.configurationIndex = snapshot.configurationIndex
        self.configuration = snapshot.configuration
        self.state = state


class Replica:
    """One replica and its disk; `raft` is None while it is down."""

    def __init__(self, network: Network, replicaId: int, configuration: Configuration) -> None:
        self.network = network
        self.replicaId = replicaId
        self.disk = Disk(configuration)
        self.pending: deque[Outputs] = deque()
        self.raft: Raft | None = None
        self.reads: list[tuple[int, int]] = []
        self.restart()

    def restart(self) -> None:
        """Come up from what is durable."""
        disk = self.disk
        self.pending.clear()
        history = ConfigurationHistory(disk.configurationIndex, disk.configuration)
        entries = [disk.entries[index] for index in sorted(disk.entries)]
        from jindimail.replication.configuration import decodeConfiguration

        for entry in entries:
            if entry.kind == CONFIGURATION and entry.index > disk.applied:
                history.add(entry.index, decodeConfiguration(entry.data))
        log = Log(
            baseIndex=disk.baseIndex,
            baseTerm=disk.baseTerm,
            commit=disk.applied,
            places=[(entry.index, entry.term) for entry in entries],
            tail=[entry for entry in entries if entry.index > disk.applied],
            reader=disk,
        )
        self.raft = Raft(
            group=GROUP,
            replicaId=self.replicaId,
            hard=disk.hard,
            log=log,
            history=history,
            draw=self.network.chance.randint,
            settings=self.network.settings,
        )
        self.network.invariants.persisted(self.replicaId, disk)
        self.network.invariants.installed(self.replicaId, disk.applied)
        self.observe()

    def crash(self) -> None:
        """Lose everything that is not durable."""
        self.raft = None
        self.pending.clear()

    def observe(self) -> None:
        """Have the invariants look."""
        if self.raft is not None:
            self.network.invariants.observe(self.raft, self.disk)

    def take(self) -> Outputs | None:
        """Take a batch of outputs, if there is any; what may leave at once leaves."""
        if self.raft is None or not self.raft.hasOutputs():
            return None
        outputs = self.raft.outputs()
        self.observe()
        self.pending.append(outputs)
        self.network.send(outputs.now)
        self.reads.extend(outputs.reads)
        for replicaId in outputs.snapshots:
            self.network.send([self._snapshotFor(replicaId)])
        return outputs

    def sync(self, batches: int = 1 << 30) -> None:
        """Make batches durable, oldest first, then send what waited for that."""
        while self.raft is not None and self.pending and batches:
            batches -= 1
            outputs = self.pending.popleft()
            self.disk.write(outputs, self._apply)
            self.network.invariants.persisted(self.replicaId, self.disk)
            if outputs.install is not None and self.network.isCutShort():
                self.disk.blank()
                self.crash()
                return
            if outputs.install is not None:
                state = self.network.states[outputs.install.index]
                self.disk.install(outputs.install, state)
                self.network.invariants.installed(self.replicaId, self.disk.applied)
                self.raft.installed(outputs.install)
                self.network.installs += 1
            self.raft.persisted(outputs.mark)
            self.observe()
            self.network.send(outputs.after)

    def compact(self) -> None:
        """Drop the log rows that are applied."""
        assert self.raft is not None
        index = self.disk.applied
        if index > self.raft.log.baseIndex:
            self.disk.compact(index)
            self.raft.compacted(index)

    def _apply(self, entry: Entry) -> None:
        self.network.invariants.applied(self.replicaId, entry)
        if entry.kind == CONFIGURATION:
            from jindimail.replication.configuration import decodeConfiguration

            self.disk.configuration = decodeConfiguration(entry.data)

    def _snapshotFor(self, replicaId: int) -> Message:
        assert self.raft is not None
        disk = self.disk
        term = disk.term(disk.applied)
        assert term is not None
        self.network.states[disk.applied] = disk.state
        snapshot = Snapshot(disk.applied, term, disk.configurationIndex, disk.configuration)
        return Install(
            GROUP,
            self.replicaId,
            replicaId,
            self.raft.term,
            snapshot,
            replicaId not in self.raft.configuration.voters(),
        )


class Network:
    """The replicas of one group, and the messages between them."""

    def __init__(
        self,
        voters: int = 3,
        *,
        seed: int = 1,
        settings: Settings | None = None,
        witnesses: Iterable[int] = (),
    ) -> None:
        self.chance = random.Random(seed)
        self.settings = settings or Settings()
        self.invariants = Invariants()
        self.states: dict[int, tuple[bytes, ...]] = {}
        self.queue: list[Message] = []
        self.cut: set[tuple[int, int]] = set()
        self.lost: Callable[[Message], bool] = lambda message: False
        self.isCutShort: Callable[[], bool] = lambda: False
        self.installs = 0
        members = tuple(
            Member(replicaId, replicaId * 10, voter=True, witness=replicaId in set(witnesses))
            for replicaId in range(1, voters + 1)
        )
        configuration = Configuration(members, voters + 1)
        self.replicas = {
            member.replicaId: Replica(self, member.replicaId, configuration) for member in members
        }

    def __getitem__(self, replicaId: int) -> Raft:
        raft = self.replicas[replicaId].raft
        assert raft is not None
        return raft

    # --- messages

    def send(self, messages: Iterable[Message]) -> None:
        """Messages leave; those over a cut, or that `lost` picks, are lost."""
        for message in messages:
            self.invariants.sent(message)
            if (message.sender, message.recipient) not in self.cut and not self.lost(message):
                self.queue.append(decodeMessage(encodeMessage(message)))

    def deliver(self, message: Message) -> None:
        """One message arrives, if there is somebody; a learner's first append makes the replica."""
        replica = self.replicas.get(message.recipient)
        if replica is None:
            if not (isinstance(message, Append | Install) and message.learner):
                return
            replica = self.replicas[message.recipient] = Replica(self, message.recipient, Configuration())
        if replica.raft is not None:
            replica.raft.step(message)
            replica.observe()

    def deliverAll(self) -> None:
        """Deliver what is under way, and nothing that follows from it."""
        queue, self.queue = self.queue, []
        for message in queue:
            self.deliver(message)

    def isolate(self, *replicaIds: int) -> None:
        """Cut these off from all others, both ways."""
        for mine in replicaIds:
            for other in range(1, 20):
                if other not in replicaIds:
                    self.cut |= {(mine, other), (other, mine)}

    def heal(self) -> None:
        """All links work again."""
        self.cut.clear()
        self.lost = lambda message: False

    # --- everything at once

    def work(self) -> bool:
        """Take, sync and deliver once; whether anything was done."""
        did = bool(self.queue)
        for replica in list(self.replicas.values()):
            did = (replica.take() is not None) or did
            replica.sync()
        self.deliverAll()
        return did

    def settle(self) -> None:
        """Work until nothing is left to do."""
        for _ in range(10_000):
            if not self.work():
                return
        raise AssertionError("it never settles")

    def tick(self, count: int = 1, *only: int) -> None:
        """Ticks for all (or only these) replicas, settling after each."""
        for _ in range(count):
            for replica in list(self.replicas.values()):
                if replica.raft is not None and (not only or replica.replicaId in only):
                    replica.raft.tick()
                    replica.observe()
            self.settle()

    def elect(self, replicaId: int) -> Raft:
        """Have a replica win an election."""
        for replica in self.replicas.values():
            if replica.raft is not None:
                replica.raft.leaderSilent()
        self[replicaId].campaign()
        self.settle()
        assert self[replicaId].role is Role.LEADER, f"{replicaId} is {self[replicaId].role}"
        return self[replicaId]

    def propose(self, replicaId: int, *data: bytes) -> list[int]:
        """Propose entries at a leader, and settle."""
        indexes = [self[replicaId].propose(each) for each in data]
        self.settle()
        return indexes

    def leaders(self) -> list[int]:
        """Who leads, by its own account."""
        return [
            replica.replicaId
            for replica in self.replicas.values()
            if replica.raft is not None and replica.raft.role is Role.LEADER
        ]

    def state(self, replicaId: int) -> tuple[bytes, ...]:
        """What a replica has applied, durably."""
        return self.replicas[replicaId].disk.state
