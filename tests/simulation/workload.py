"""
Clients: each does one thing after another, at whatever node, and tells the model what it was answered.

An answer that does not come within the deadline leaves the client in doubt; a delivery is then repeated under its own id.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jindimail.errors import Corrupt, JindimailError, OutcomeUnknown, Unavailable
from jindimail.mailbox import entries, queries
from jindimail.mailbox.outcomes import Copied, Done, Expunged, Filed, FlagsStored, Refused
from jindimail.model import DELETED, FLAGGED, SEEN, UidSet, digestOf
from jindimail.replication.raft import NotLeader
from jindimail.store.records import SummaryRecord, encode
from tests.simulation.node import Node
from tests.simulation.watch import Violation

if TYPE_CHECKING:
    from tests.simulation.array import Array

ACCOUNT = 7
TRANSIT_SECONDS = 0.0005
_FLAGS = (("\\Seen", SEEN), ("\\Flagged", FLAGGED))


SUMMARY = encode(
    SummaryRecord(
        envelope=b"", bodyStructure=b"", headerOctets=0, messageId=b"", sentSeconds=None, preview=""
    )
)


def propose(group: int, entry: Any, node: Node) -> Deferred[Any]:
    """Have a node propose an entry."""
    proposed: Deferred[Any] = node.driver.propose(group, entries.encodeEntry(entry))
    return proposed


def deliver(group: int, entry: entries.Deliver, octets: bytes, node: Node) -> Deferred[Any]:
    """Have a node keep a body and propose its entry."""
    return Deferred.fromCoroutine(node.driver.keeping.deliver(group, entry, octets))


def read(group: int, bodyId: bytes, node: Node) -> Deferred[Any]:
    """Have a node read a body."""
    return Deferred.fromCoroutine(node.driver.keeping.read(group, bodyId))


class Client:
    """
    One client, of all groups.

    @ivar deadlineSeconds: for so long it waits for an answer.
    """

    deadlineSeconds = 2.5

    def __init__(self, array: Array, number: int, chance: Random) -> None:
        self.array = array
        self.model = array.model
        self.number = number
        self.chance = chance
        self.mailboxes: dict[int, list[int]] = {}
        self.leaders: dict[int, int] = {}
        self.isOver = False

    # --- asking nodes

    def sleep(self, seconds: float) -> Deferred[None]:
        """Wait."""
        done: Deferred[None] = Deferred()
        self.array.heap.callLater(seconds, done.callback, None)
        return done

    def ask(self, node: Node, verb: Callable[[Node], Deferred[Any]]) -> Deferred[Any]:
        """Have a node do something; its answer, its refusal, or doubt."""
        done: Deferred[Any] = Deferred()
        heap = self.array.heap

        def finish(result: Any) -> None:
            if not done.called:
                done.callback(result)

        def answer(result: Any) -> None:
            heap.callLater(TRANSIT_SECONDS, finish, result)

        def begin(isFirst: bool = True) -> None:
            if node.driver is None:
                answer(Failure(Unavailable("down")))
            else:
                node.clock.run(lambda: verb(node).addBoth(answer) and None)

        heap.callLater(TRANSIT_SECONDS, begin)
        deadline = heap.callLater(self.deadlineSeconds, finish, Failure(OutcomeUnknown("no answer")))
        done.addBoth(lambda result: (deadline.active() and deadline.cancel(), result)[1])
        return done

    def nodeFor(self, group: int) -> Node:
        """Where to try first."""
        number = self.leaders.get(group)
        if number is None or self.chance.random() < 0.02:
            number = self.chance.choice(list(self.array.nodes))
        return self.array.nodes[number]

    async def propose(self, group: int, entry: Any, octets: bytes | None = None) -> Any:
        """
        An entry's outcome; with the octets of a body, the entry that delivers it.

        @raise OutcomeUnknown: it may happen, now or later.
        @raise Unavailable: it did not and will not happen.
        """
        array = self.array
        for _ in range(12):
            node = self.nodeFor(group)
            verb = (
                partial(propose, group, entry) if octets is None else partial(deliver, group, entry, octets)
            )
            try:
                outcome = await self.ask(node, verb)
            except OutcomeUnknown:
                self.leaders.pop(group, None)
                raise
            except JindimailError as problem:
                self.model.refused.append((group, entry.seconds))
                self.leaders.pop(group, None)
                if isinstance(problem, NotLeader) and problem.leader:
                    self.follow(node, group, problem.leader)
                await self.sleep(0.02 + 0.2 * self.chance.random())
                if self.isOver:
                    raise
                entry = self.again(entry)  # what was refused must not happen, so the next try is another
                continue
            self.leaders[group] = node.number
            array.watch.counters["acknowledged writes"] += 1
            if array.watch.logs.outcomeOf(group, entry.seconds) != outcome:
                raise Violation("acknowledgedIsApplied", f"group {group}: {entry} answered {outcome}")
            array.trace("client {}: group {} {} -> {}", self.number, group, type(entry).__name__, outcome)
            return outcome
        raise Unavailable("no leader")

    def again(self, entry: Any) -> Any:
        """The same entry with other octets."""
        return msgspec.structs.replace(entry, seconds=self.array.nextSeconds())

    def follow(self, node: Node, group: int, replicaId: int) -> None:
        """A replica named the leader."""
        raft = node.raft(group)
        member = raft.configuration.member(replicaId) if raft is not None else None
        if member is not None and member.node in self.array.nodes:
            self.leaders[group] = member.node

    async def query(self, group: int, node: Node, *asked: Any) -> list[Any]:
        """Answers as of a read index, at a node."""

        def read(node: Node) -> Deferred[Any]:
            driver = node.driver

            def answers(index: int) -> list[Any]:
                with node.store.read() as rows:
                    return [node.machine.answer(rows, group, each) for each in asked]

            confirmed: Deferred[Any] = driver.readIndex(group)
            return confirmed.addCallback(answers)

        answers: list[Any] = await self.ask(node, read)
        return answers

    # --- what clients do

    async def run(self) -> None:
        """Do things until it is over."""
        while not self.isOver:
            group = self.chance.choice(self.array.groups)
            try:
                await self.step(group)
            except JindimailError as problem:
                self.array.watch.counters["refused or in doubt"] += 1
                self.array.trace("client {}: group {}: {!r}", self.number, group, problem)
                await self.sleep(0.05 + 0.2 * self.chance.random())
            await self.sleep(self.array.thinkSeconds * (0.2 + self.chance.random()))

    async def step(self, group: int) -> None:
        """One thing."""
        if group not in self.mailboxes:
            await self.open(group)
            return
        roll = self.chance.random()
        if roll < 0.45:
            await self.deliver(group)
        elif roll < 0.58:
            await self.flag(group)
        elif roll < 0.68:
            await self.expunge(group)
        elif roll < 0.76:
            await self.copy(group)
        else:
            await self.read(group)

    async def open(self, group: int) -> None:
        """Make the account, if nobody has yet, and learn its mailboxes."""
        entry = entries.CreateAccount(
            seconds=self.array.nextSeconds(),
            accountId=ACCOUNT,
            addresses=(),
            credential="",
            quotaOctets=0,
            quotaMessages=0,
            mailboxes=(("Archive", ""),),
            uidValidity=1,
        )
        outcome = await self.propose(group, entry)
        if outcome not in (Done(), Refused("exists")):
            raise Violation("outcome", f"{outcome}")
        (listed,) = await self.query(group, self.nodeFor(group), queries.ListMailboxes(accountId=ACCOUNT))
        found = {each.name: each.mailboxId for each in listed.mailboxes}
        if "INBOX" not in found:
            raise Violation("readSeesAcknowledged", f"group {group}: the account has no INBOX")
        self.mailboxes[group] = [found["INBOX"], found["Archive"]]

    async def deliver(self, group: int) -> None:
        """A message comes, once, however often it is repeated."""
        array = self.array
        deliveryId = array.nextDeliveryId()
        size = self.chance.randrange(10, 3000) if self.chance.random() < 0.97 else 150_000
        octets = (b"%d " % array.nextSeconds()) * (size // 8 + 1)
        self.model.bodies[deliveryId] = octets
        boxes = self.mailboxes[group][: 1 if self.chance.random() < 0.8 else 2]
        entry = entries.Deliver(
            seconds=array.nextSeconds(),
            deliveryId=deliveryId,
            bodyId=deliveryId,
            size=len(octets),
            digest=digestOf(octets),
            keepers=(),
            summary=SUMMARY,
            filings=tuple(entries.Filing(accountId=ACCOUNT, mailboxId=box) for box in boxes),
        )
        for _ in range(4):
            try:
                outcome = await self.propose(group, entry, octets)
                break
            except OutcomeUnknown:
                array.watch.counters["deliveries repeated"] += 1
                entry = self.again(entry)
        else:
            return
        if outcome == Refused("void"):
            array.watch.counters["deliveries void"] += 1
            return
        if not isinstance(outcome, Filed):
            raise Violation("outcome", f"{outcome}")
        for filed in outcome.filings:
            self.model.mailbox(group, filed.mailboxId).filed(filed.uid, deliveryId)

    def some(self, mailbox: Any) -> tuple[tuple[int, int], ...]:
        """A few UIDs that are there, as far as is known."""
        there = sorted(mailbox.acknowledged - mailbox.gone)
        if not there:
            return ()
        return UidSet.of(self.chance.sample(there, min(len(there), self.chance.randrange(1, 4)))).ranges

    async def flag(self, group: int) -> None:
        """Flags are set."""
        mailboxId = self.mailboxes[group][0]
        mailbox = self.model.mailbox(group, mailboxId)
        ranges = self.some(mailbox)
        if not ranges:
            return
        name, bit = self.chance.choice(_FLAGS)
        if self.chance.random() < 0.2:
            name, bit = "\\Deleted", DELETED
        outcome = await self.propose(
            group,
            entries.StoreFlags(
                seconds=self.array.nextSeconds(),
                mailboxId=mailboxId,
                ranges=ranges,
                action=entries.ADD,
                flags=(name,),
            ),
        )
        if not isinstance(outcome, FlagsStored):
            raise Violation("outcome", f"{outcome}")
        mailbox.flagged(outcome.changed, bit, outcome.modSeq)

    async def expunge(self, group: int) -> None:
        """Messages go."""
        mailboxId = self.chance.choice(self.mailboxes[group])
        mailbox = self.model.mailbox(group, mailboxId)
        ranges = self.some(mailbox)
        if not ranges:
            return
        mailbox.removing(UidSet(ranges))
        outcome = await self.propose(
            group,
            entries.Expunge(
                seconds=self.array.nextSeconds(), mailboxId=mailboxId, ranges=ranges, onlyDeleted=False
            ),
        )
        if not isinstance(outcome, Expunged):
            raise Violation("outcome", f"{outcome}")
        mailbox.removed(UidSet(ranges), outcome.modSeq)

    async def copy(self, group: int) -> None:
        """Messages are copied or moved from INBOX to Archive."""
        inbox, archive = self.mailboxes[group]
        source, target = self.model.mailbox(group, inbox), self.model.mailbox(group, archive)
        ranges = self.some(source)
        if not ranges:
            return
        move = self.chance.random() < 0.5
        if move:
            source.removing(UidSet(ranges))
        outcome = await self.propose(
            group,
            entries.CopyMessages(
                seconds=self.array.nextSeconds(), sourceId=inbox, ranges=ranges, targetId=archive, move=move
            ),
        )
        if not isinstance(outcome, Copied):
            raise Violation("outcome", f"{outcome}")
        for uid, copied in zip(outcome.sources, outcome.targets, strict=True):
            target.filed(copied, source.bodies[uid])
        if move:
            source.removed(UidSet(ranges), outcome.modSeq)

    def anyNode(self) -> Node:
        """A node to read at."""
        return self.array.nodes[self.chance.choice(list(self.array.nodes))]

    async def read(self, group: int) -> None:
        """A mailbox is read, at any node: its rows, then its counts, which are not older."""
        mailboxId = self.chance.choice(self.mailboxes[group])
        mailbox = self.model.mailbox(group, mailboxId)
        node = self.anyNode()
        before = mailbox.known()
        rows, summary = await self.query(
            group,
            node,
            queries.ReadRows(mailboxId=mailboxId),
            queries.ReadMailbox(mailboxId=mailboxId),
        )
        if summary is None:
            raise Violation("readSeesAcknowledged", f"node {node.number}: no mailbox {mailboxId}")
        mailbox.read(before, summary, rows, f"node {node.number}")
        self.array.watch.counters["reads checked"] += 1
        if rows:
            await self.readBody(group, mailbox, self.chance.choice(rows), node)

    async def readBody(self, group: int, mailbox: Any, row: Any, node: Node) -> None:
        """A message that is there can be read."""
        bodyId = row.bodyId
        for _ in range(4):
            try:
                octets = await self.ask(node, partial(read, group, bodyId))
            except Corrupt:
                await self.sleep(0.3)  # its keepers may just have changed
                await self.query(group, node)
                continue
            if octets is not None and octets != self.model.bodies[bodyId]:
                raise Violation("bodyIsTheOneSent", f"node {node.number}: {bodyId.hex()}")
            self.array.watch.counters["bodies read"] += 1
            return
        if row.uid not in mailbox.maybeGone and not self.array.emptied:
            raise Violation("bodyIsReadable", f"node {node.number}: {bodyId.hex()}")
