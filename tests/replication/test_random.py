"""
Random histories of one group: everything that a network and disks may do, in any order, under the invariants.

The whole nodes are simulated elsewhere; this drives the pure machine alone, and so it is fast.
"""

from __future__ import annotations

import contextlib
import os
import random

from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import JindimailError
from jindimail.replication.outputs import Role, Settings
from tests.replication.network import Network

SEEDS = int(os.environ.get("SEEDS", "60"))
FROM = int(os.environ.get("FROM", "0"))
STEPS = 700


class History:
    """One random history."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        voters = self.chance.choice([1, 2, 3, 3, 3, 4, 5])
        witnesses = [voters] if voters >= 3 and self.chance.random() < 0.2 else []
        settings = Settings(
            appendOctetsMax=self.chance.choice([20, 1000]), memoryOctetsMax=30, promotionLagMax=5
        )
        self.network = Network(voters, seed=seed, settings=settings, witnesses=witnesses)
        self.network.isCutShort = self.isCutShort
        self.calm = self.chance.choice([0.5, 0.8, 0.95])
        self.counters: dict[str, int] = {}
        self.reads: dict[int, int] = {}  # context: what it must cover
        self.context = 0
        self.proposed = 0

    def count(self, name: str) -> None:
        """Something worth counting happened."""
        self.counters[name] = self.counters.get(name, 0) + 1

    def isCutShort(self) -> bool:
        """Whether a crash comes in the middle of an installation."""
        if self.chance.random() < 0.4:
            self.count("blanks")
            return True
        return False

    def run(self, steps: int) -> None:
        """Trouble, then calm."""
        for _ in range(steps):
            self.step()
        self.network.heal()
        self.network.isCutShort = lambda: False
        for replica in self.network.replicas.values():
            if replica.raft is None:
                replica.restart()
        before = max(len(replica.disk.state) for replica in self.network.replicas.values())
        self.calmDown()
        after = max(len(replica.disk.state) for replica in self.network.replicas.values())
        assert after > before, "nothing is committed after calm"

    def calmDown(self) -> None:
        """Without trouble there is a leader soon, and everybody gets everything."""
        network = self.network
        network.settle()
        for turn in range(200):
            network.tick()
            self.checkReads()
            if turn % 10 == 0:
                self.repeatSnapshots()
            leaders = [network[leader] for leader in network.leaders()]
            current = [raft for raft in leaders if raft.isReadable and not raft._isWitness]
            if current:
                try:
                    current[0].propose(b"calm")
                except JindimailError:
                    continue
                network.settle()
                network.tick(3)
                members = {member.replicaId for member in current[0].configuration.members}
                states = {network.state(replicaId) for replicaId in members}
                if len(states) == 1 and network.leaders() == [current[0].replicaId]:
                    return
        raise AssertionError(f"no calm: {[str(r.raft.role) for r in network.replicas.values() if r.raft]}")

    def repeatSnapshots(self) -> None:
        """As a driver does after a deadline."""
        for replica in self.network.replicas.values():
            if replica.raft is not None and replica.raft.leadership is not None:
                for other in list(replica.raft.leadership.progress):
                    replica.raft.snapshotFailed(other)

    def step(self) -> None:
        """One random thing."""
        network, chance = self.network, self.chance
        roll = chance.random()
        replica = chance.choice(list(network.replicas.values()))
        if roll < 0.35 and network.queue:
            self.deliver()
        elif roll < 0.55:
            if replica.take() is not None and chance.random() < 0.7:
                replica.sync()
        elif roll < 0.62:
            replica.sync(1)
        elif roll < 0.72:
            if replica.raft is not None:
                replica.raft.tick()
                replica.observe()
        elif roll < 0.84:
            self.request()
        elif roll < 0.88 + 0.09 * self.calm:
            network.work()
        else:
            self.trouble(replica)
        self.checkReads()

    def deliver(self) -> None:
        """A message arrives, perhaps out of order, twice or never."""
        queue, chance = self.network.queue, self.chance
        at = chance.randrange(len(queue)) if chance.random() < 0.3 else 0
        message = queue[at]
        if chance.random() > 0.05:
            del queue[at]
        if chance.random() > 0.05:
            self.network.deliver(message)
        if len(queue) > 300:
            del queue[:100]

    def request(self) -> None:
        """A proposal, a read, a change of members or a transfer, wherever somebody leads."""
        network, chance = self.network, self.chance
        leaders = network.leaders()
        if not leaders:
            return
        raft = network[chance.choice(leaders)]
        try:
            kind = chance.random()
            if kind < 0.6:
                self.proposed += 1
                raft.propose(b"entry %d" % self.proposed, mayLag=bool(self.proposed & 1))
                self.count("proposals")
            elif kind < 0.8:
                self.context += 1
                self.reads[self.context] = network.invariants._committedLast
                up = [replica.raft for replica in network.replicas.values() if replica.raft is not None]
                chance.choice(up).read(self.context)
            elif kind < 0.95:
                self.change(raft)
            else:
                raft.transfer(chance.choice(raft.configuration.voters()))
                self.count("transfers")
        except JindimailError:
            self.count("refusals")
        network.replicas[raft.replicaId].observe()

    def change(self, raft) -> None:  # type: ignore[no-untyped-def]
        """One step of membership."""
        chance, configuration = self.chance, raft.configuration
        members = configuration.members
        learners = [member.replicaId for member in members if not member.voter]
        if learners and chance.random() < 0.6:
            raft.proposeConfiguration(configuration.withVoter(chance.choice(learners)))
            self.count("promotions")
        elif len(members) < 6 and chance.random() < 0.5:
            raft.proposeConfiguration(configuration.withLearner(configuration.nextId * 10))
            self.count("learners")
        elif len(configuration.voters()) > 1:
            lesser = configuration.withoutVote if chance.random() < 0.3 else configuration.without
            raft.proposeConfiguration(lesser(chance.choice(members).replicaId))
            self.count("removals")

    def trouble(self, replica) -> None:  # type: ignore[no-untyped-def]
        """A crash, a restart, a partition, a compaction."""
        network, chance = self.network, self.chance
        kind = chance.random()
        if kind < 0.12:
            self.diverge()
        elif kind < 0.25:
            if replica.raft is not None:
                replica.crash()
                self.count("crashes")
        elif kind < 0.6:
            down = [each for each in network.replicas.values() if each.raft is None]
            if down:
                chance.choice(down).restart()
        elif kind < 0.7:
            network.isolate(replica.replicaId)
            self.count("partitions")
        elif kind < 0.78:
            other = chance.choice(list(network.replicas))
            network.cut.add((replica.replicaId, other))
            self.count("cuts")
        elif kind < 0.88:
            network.heal()
        elif kind < 0.95:
            if replica.raft is not None and replica.raft.installing is None:
                replica.compact()
                self.count("compactions")
        elif replica.raft is not None and replica.raft.leadership is not None:
            for other in list(replica.raft.leadership.progress):
                replica.raft.snapshotFailed(other)
                replica.raft.unreachable(other)

    def diverge(self) -> None:
        """A leader is cut off (perhaps one way) and goes on writing and reading; the others elect another."""
        network, chance = self.network, self.chance
        leaders = network.leaders()
        if not leaders:
            return
        old = chance.choice(leaders)
        if chance.random() < 0.3:
            network.cut |= {(other, old) for other in network.replicas if other != old}
        else:
            network.isolate(old)
        network.queue = [
            message for message in network.queue if old not in (message.sender, message.recipient)
        ]
        self.count("divergences")
        for _ in range(chance.randrange(1, 4)):
            try:
                self.proposed += 1
                network[old].propose(b"lost %d" % self.proposed, mayLag=bool(self.proposed & 1))
            except JindimailError:
                break
        network.replicas[old].take()
        network.replicas[old].sync()
        others = [
            each for each in network.replicas.values() if each.raft is not None and each.replicaId != old
        ]
        if not others:
            return
        winner = chance.choice(others)
        for each in others:
            each.raft.leaderSilent()  # type: ignore[union-attr]
        assert winner.raft is not None
        winner.raft.campaign(pre=chance.random() < 0.7)
        for _ in range(chance.randrange(1, 12)):
            network.work()
        self.context += 1
        self.reads[self.context] = network.invariants._committedLast
        if network.replicas[old].raft is not None:
            with contextlib.suppress(JindimailError):
                network[old].read(self.context)
        if chance.random() < 0.5:
            network.heal()

    def checkReads(self) -> None:
        """A confirmed read covers all that was committed when it was asked."""
        for replica in self.network.replicas.values():
            reads, replica.reads = replica.reads, []
            for context, index in reads:
                assert index >= self.reads[context], f"stale read: {index} < {self.reads[context]}"
                self.count("reads")
            if replica.raft is not None and replica.raft.role is Role.LEADER:
                self.count("led")


class RandomHistories(SynchronousTestCase):
    """Many histories, each replayable by its seed (`SEEDS`, `FROM`)."""

    def test_invariantsHoldInRandomHistories(self) -> None:
        counters: dict[str, int] = {}
        for seed in range(FROM, FROM + SEEDS):
            history = History(seed)
            try:
                history.run(STEPS)
            except Exception as problem:
                raise AssertionError(f"seed {seed}: {problem!r}") from problem
            history.counters["installs"] = history.network.installs
            for name, count in history.counters.items():
                counters[name] = counters.get(name, 0) + count
        for name in (
            "proposals",
            "reads",
            "transfers",
            "promotions",
            "removals",
            "crashes",
            "partitions",
            "installs",
            "blanks",
        ):
            self.assertGreater(counters.get(name, 0), 0, name)
        print(counters)
