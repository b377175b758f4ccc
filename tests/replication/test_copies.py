"""Copies of bodies on several nodes: putting, getting, sweeping, repairing."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jindimail.errors import Corrupt, JindimailError, OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IStateMachine
from jindimail.model import digestOf
from jindimail.replication.copies import ARRIVAL, Copies
from jindimail.replication.messages import Append
from jindimail.replication.nodemessages import AskBody, AskKept, BodyPut, PutBody, TellBody, TellKept
from jindimail.replication.putting import SLOW_SECONDS, NoKeepers
from jindimail.replication.repair import Repair, bodyref
from jindimail.replication.sweep import Sweep
from jindimail.store.bodies import deleteBody, readOctets
from jindimail.store.keys import BODY, BODYREF, CHUNK_OCTETS, DELIVERY, bodyrefKey, chunkKey, deliveryKey
from jindimail.store.records import BodyrefRecord, encode
from tests.replication import nodes
from tests.replication.nodes import Array

BUCKET = 0  # of group 1


def name(number: int) -> bytes:
    """A body id."""
    return number.to_bytes(16, "big")


@implementer(IStateMachine)
class Bodies:
    """A state machine of bodies alone: deliveries, void, keepers."""

    def apply(self, rows: Any, group: int, index: int, entry: bytes) -> tuple[Any, Any]:
        """`d`eliver id size digest keepers; `v`oid id; `k`eepers id old / new; `x` remove id."""
        kind, bodyId, rest = entry[:1], entry[1:17], entry[17:]
        key, delivery = bodyrefKey(group - 1, bodyId), deliveryKey(group - 1, bodyId)
        if kind == b"d":
            if rows.get(DELIVERY, delivery) is not None:
                return "refused", ()
            size, digest, keepers = int.from_bytes(rest[:4], "big"), rest[4:36], tuple(rest[36:])
            rows.put(DELIVERY, delivery, b"done")
            rows.put(
                BODYREF, key, encode(BodyrefRecord(size=size, digest=digest, references=1, keepers=keepers))
            )
        elif kind == b"v":
            if rows.get(DELIVERY, delivery) is None:
                rows.put(DELIVERY, delivery, b"void")
        elif kind == b"k":
            old, new = (tuple(each) for each in rest.split(b"/"))
            known = bodyref(rows, group - 1, bodyId)
            if known is not None and known.keepers == old:
                changed = BodyrefRecord(size=known.size, digest=known.digest, references=1, keepers=new)
                rows.put(BODYREF, key, encode(changed))
        elif kind == b"x":
            rows.delete(BODYREF, key)
            deleteBody(rows, group - 1, bodyId)
        return "done", ()


class Entries:
    """`IBodyEntries` of `Bodies`."""

    def void(self, bodyId: bytes) -> bytes:
        """Void."""
        return b"v" + bodyId

    def setKeepers(self, bodyId: bytes, old: tuple[int, ...], new: tuple[int, ...]) -> bytes:
        """Keepers."""
        return b"k" + bodyId + bytes(old) + b"/" + bytes(new)


class CopiesTests(SynchronousTestCase):
    """Three nodes with a replica of the bucket each, and a fourth without."""

    def setUp(self) -> None:
        self.patch(nodes, "Sums", Bodies)
        self.array = Array((1, 2, 3)).grown()
        self.array.rows[4] = type(self.array.rows[1])()
        self.array.start(4)
        self.copies: dict[int, Copies] = {}
        self.sweeps: dict[int, Sweep] = {}
        for node in (1, 2, 3, 4):
            self.attach(node)

    def attach(self, node: int) -> None:
        """Bodies at a node."""
        groups, store, clock = self.array.nodes[node], self.array.stores[node], self.array.clock
        copies = self.copies[node] = Copies(clock=clock, store=store, node=node, send=groups.send)
        sweep = self.sweeps[node] = Sweep(
            groups=groups, store=store, copies=copies, entries=Entries(), node=node, send=groups.send
        )
        groups.attend((PutBody, BodyPut, AskBody, TellBody), copies.received)
        groups.attend((AskKept, TellKept), sweep.received)

    def wait(self, work: Any, seconds: float = 8.0) -> Any:
        """The result of a coroutine."""
        return self.array.result(Deferred.fromCoroutine(work), seconds)

    def kept(self, node: int, bodyId: bytes, size: int) -> bytes | None:
        """A node's copy."""
        try:
            return readOctets(self.array.rows[node], BUCKET, bodyId, 0, size)
        except Corrupt:
            return None

    def deliver(self, number: int, octets: bytes, keepers: tuple[int, ...]) -> bytes:
        """A body at these keepers, and its entry."""
        bodyId = name(number)
        self.assertEqual(
            self.wait(self.copies[1].put(BUCKET, bodyId, octets, keepers, len(keepers))), keepers
        )
        entry = b"d" + bodyId + len(octets).to_bytes(4, "big") + digestOf(octets) + bytes(keepers)
        self.assertEqual(self.array.result(self.array.nodes[1].propose(1, entry)), "done")
        self.array.run(0.1)
        return bodyId

    # --- putting and getting

    def test_bodyIsDurableAtItsKeepersBeforeTheyAreNamed(self) -> None:
        octets = bytes(range(256)) * 1000
        keepers = self.wait(self.copies[1].put(BUCKET, name(1), octets, (1, 2, 3), 2))
        self.assertEqual(keepers, (1, 2))
        self.assertEqual([self.kept(node, name(1), len(octets)) for node in (1, 2)], [octets, octets])

    def test_keeperThatLacksOneChunkIsNone(self) -> None:
        """Whichever it is: the last is durable, and one before it was lost."""
        octets = bytes(range(256)) * 1000
        self.array.alter = lambda sender, recipient, message: (
            None if recipient == 2 and isinstance(message, PutBody) and message.number == 1 else message
        )
        keepers = self.wait(self.copies[1].put(BUCKET, name(1), octets, (1, 2, 3), 2))
        self.assertEqual(keepers, (1, 3))

    def test_refusalThatCameAheadOfItsQuestionIsOne(self) -> None:
        self.copies[1].received(2, BodyPut(BUCKET, name(1), ARRIVAL, True, 7))
        self.failureResultOf(self.copies[1].arrival(2, BUCKET, name(1), 7), Unavailable)
        self.copies[1].received(2, BodyPut(BUCKET, name(1), ARRIVAL, False, 8))
        self.successResultOf(self.copies[1].arrival(2, BUCKET, name(1), 8))

    def test_keeperDoesNotAcknowledgeBeforeItsCommit(self) -> None:
        sent: list[Any] = []
        copies = Copies(
            clock=self.array.clock, store=self.array.stores[2], node=2, send=lambda _, m: sent.append(m)
        )
        copies.received(1, PutBody(BUCKET, name(1), 0, b"octets"))
        self.assertEqual(sent, [])
        self.array.clock.advance(0)
        self.assertEqual(sent, [BodyPut(BUCKET, name(1), 0)])

    def test_slowKeeperIsReplaced(self) -> None:
        self.array.cut.add((2, 1))
        before = self.array.clock.seconds()
        self.assertEqual(self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (1, 2, 3), 2)), (1, 3))
        self.assertLess(self.array.clock.seconds() - before, 0.3)

    def test_keeperWithoutRoomIsReplacedAtOnce(self) -> None:
        self.patch(self.array.stores[2], "write", lambda job, octets=0: fail(StorageFull()))
        before = self.array.clock.seconds()
        self.assertEqual(self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (2, 3), 1)), (3,))
        self.assertLess(self.array.clock.seconds() - before, 0.1)

    def test_keeperWhoseConnectionsAreGoneIsReplacedAtOnce(self) -> None:
        self.array.cut = {(1, 2), (2, 1)}
        began = self.array.clock.seconds()
        placed = Deferred.fromCoroutine(self.copies[1].put(BUCKET, name(1), b"body", [1, 2, 3], 2))
        asked = self.copies[1].chunk(2, BUCKET, name(2), 0)
        self.copies[1].lost(3)
        self.assertNoResult(placed)
        self.copies[1].lost(2)
        self.failureResultOf(asked, OutcomeUnknown)
        self.assertEqual(self.array.result(placed), (1, 3))
        self.assertLess(self.array.clock.seconds() - began, SLOW_SECONDS)

    def test_tooFewKeepersIsUnavailable(self) -> None:
        self.array.isolate(1)
        with self.assertRaises(NoKeepers):
            self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (1, 2, 3), 2))
        self.assertEqual(self.copies[1]._waiting, {})

    def test_emptyBodyNeedsNoChunks(self) -> None:
        self.assertEqual(self.wait(self.copies[1].put(BUCKET, name(1), b"", (1, 2), 2)), (1, 2))
        self.assertEqual(self.wait(self.copies[3].get(BUCKET, name(1), 0, digestOf(b""), (1,))), b"")

    def test_bodyIsReadFromTheNextKeeperIfOneIsGoneOrDamaged(self) -> None:
        octets = bytes(200_000)
        self.wait(self.copies[1].put(BUCKET, name(1), octets, (1, 2, 3), 3))
        self.array.rows[1].delete(BODY, chunkKey(BUCKET, name(1), 1))
        self.array.rows[2].put(BODY, chunkKey(BUCKET, name(1), 1), bytes(CHUNK_OCTETS - 1) + b"x")
        get = self.copies[4].get(BUCKET, name(1), len(octets), digestOf(octets), (1, 2, 3))
        self.assertEqual(self.wait(get), octets)

    def test_bodyThatNobodyHasSoundIsCorrupt(self) -> None:
        with self.assertRaises(Corrupt):
            self.wait(self.copies[4].get(BUCKET, name(1), 5, digestOf(b"octet"), (1, 2)))

    def test_bodyWhoseKeepersAreAwayIsUnavailable(self) -> None:
        self.array.isolate(4)
        with self.assertRaises(Unavailable):
            self.wait(self.copies[4].get(BUCKET, name(1), 5, digestOf(b"octet"), (1, 2)))

    def test_keepersAreAskedWhetherTheyStillHoldTheBody(self) -> None:
        self.deliver(1, b"octets", (1, 2))
        self.assertTrue(self.wait(self.copies[1].holds(2, BUCKET, name(1), 6)))
        self.assertFalse(self.wait(self.copies[1].holds(3, BUCKET, name(1), 6)))

    # --- sweeping

    def ask(self, node: int) -> None:
        """A keeper asks the leader, and deletes what it may."""
        self.sweeps[node].ask(BUCKET, 1, lambda _: True)
        self.array.run(0.3)

    def test_bodyWithoutAnEntryIsSweptAfterItsDeliveryIsVoid(self) -> None:
        self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (2, 4), 2))
        self.ask(4)
        self.assertIsNone(self.kept(4, name(1), 6))
        self.assertEqual(self.array.rows[3].get(DELIVERY, deliveryKey(BUCKET, name(1))), b"void")
        entry = b"d" + name(1) + bytes(4) + bytes(16) + bytes((2, 4))
        self.assertEqual(self.array.result(self.array.nodes[1].propose(1, entry)), "refused")

    def test_namedKeeperSweepsNothing(self) -> None:
        self.deliver(1, b"octets", (1, 4))
        self.ask(4)
        self.ask(1)
        self.assertEqual([self.kept(node, name(1), 6) for node in (1, 4)], [b"octets"] * 2)

    def test_keeperThatIsNotNamedDeletes(self) -> None:
        self.deliver(1, b"octets", (1, 2))
        self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (4,), 1))
        self.ask(4)
        self.assertIsNone(self.kept(4, name(1), 6))
        self.assertEqual(self.kept(2, name(1), 6), b"octets")

    def test_youngBodiesAreLeftAlone(self) -> None:
        self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (4,), 1))
        self.sweeps[4].ask(BUCKET, 1, lambda _: False)
        self.array.run(0.3)
        self.assertEqual(self.kept(4, name(1), 6), b"octets")

    def test_bodyPutAgainMeanwhileIsNotDeleted(self) -> None:
        self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (4,), 1))
        self.sweeps[4].ask(BUCKET, 1, lambda _: True)
        self.copies[4].received(2, PutBody(BUCKET, name(1), 0, b"octets"))
        self.array.run(0.3)
        self.assertEqual(self.kept(4, name(1), 6), b"octets")

    def test_onlyALeaderWithAMajorityFrees(self) -> None:
        self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (4,), 1))
        self.array.cut |= {(2, 1), (3, 1), (1, 2), (1, 3)}
        self.sweeps[4].ask(BUCKET, 1, lambda _: True)
        self.array.run(3)
        self.assertEqual(self.kept(4, name(1), 6), b"octets")

    def test_leaderOfThePastFreesNothing(self) -> None:
        """It does not know that the asker was named meanwhile; only a read round tells it that it leads no more."""
        bodyId = self.deliver(1, b"octets", (1, 2))
        self.array.run(1)
        self.array.cut |= {(2, 1), (3, 1), (1, 2), (1, 3)}
        self.wait(self.copies[2].put(BUCKET, bodyId, b"octets", (4,), 1))
        second = self.array.nodes[2]._replicas[1]
        second.raft.campaign(pre=False, transfer=True)
        self.array.nodes[2]._conversation.stepped(second)
        self.array.run(0.2)
        self.assertEqual(
            [self.array.nodes[node].status(1).role for node in (1, 2)],  # type: ignore[union-attr]
            ["leader", "leader"],
        )
        entry = Entries().setKeepers(bodyId, (1, 2), (2, 4))
        self.array.result(self.array.nodes[2].propose(1, entry))
        self.sweeps[4].ask(BUCKET, 1, lambda _: True)
        self.array.run(0.1)
        self.assertTrue(self.array.nodes[1].leadingTerm(1))
        self.assertEqual(self.kept(4, bodyId, 6), b"octets")

    def test_bodyThatIsBeingPlacedIsNotFreed(self) -> None:
        self.deliver(1, b"octets", (1, 2))
        self.wait(self.copies[1].put(BUCKET, name(1), b"octets", (4,), 1))
        self.copies[1].placing[BUCKET, name(1)] = self.array.nodes[1].leadingTerm(1)
        self.ask(4)
        self.assertEqual(self.kept(4, name(1), 6), b"octets")

    def test_keeperThatWasNamedMeanwhileDeletesNothing(self) -> None:
        """The leader's word is of a moment before the entry that names it was applied."""
        octets = b"octets"
        bodyId = self.deliver(1, octets, (1, 2))
        self.copies[2].suspect(BUCKET, bodyId, 7)
        self.sweeps[2].received(1, TellKept(BUCKET, [bodyId], 7))
        self.array.run(0.1)
        self.assertEqual(self.kept(2, bodyId, len(octets)), octets)

    def test_theAnswerToAnEarlierQuestionFreesNothing(self) -> None:
        """The body was put between the two, and an entry that is not applied here yet may name this node."""
        bodyId = self.deliver(1, b"octets", (1, 4))
        self.copies[4].suspect(BUCKET, bodyId, 7)
        self.copies[4].suspect(BUCKET, bodyId, 8)
        self.sweeps[4].received(1, TellKept(BUCKET, [bodyId], 7))
        self.array.run(0.1)
        self.assertEqual(self.kept(4, bodyId, 6), b"octets")
        self.sweeps[4].received(1, TellKept(BUCKET, [bodyId], 8))
        self.array.run(0.1)
        self.assertEqual(self.sweeps[4].swept, 1)

    def test_unaskedPermissionIsIgnored(self) -> None:
        self.deliver(1, b"octets", (1, 4))
        self.sweeps[4].received(1, TellKept(BUCKET, [name(1)]))
        self.array.run(0.1)
        self.assertEqual(self.kept(4, name(1), 6), b"octets")

    def test_sweepGoesOnWhereItStopped(self) -> None:
        for number in range(1, 400):
            self.array.rows[4].put(BODY, chunkKey(BUCKET, name(number), 0), b"octets")
        after: bytes | None = b""
        steps = 0
        while after is not None:
            after = self.sweeps[4].ask(BUCKET, 1, lambda _: True, after)
            self.array.run(2)
            steps += 1
        self.assertEqual(steps, 2)
        self.assertEqual(self.sweeps[4].swept, 399)

    # --- repair

    def repair(self, isLost: Any, candidates: tuple[int, ...] = (1, 2, 3, 4), copies: int = 2) -> Repair:
        """One pass over the bucket at its leader."""
        repair = Repair(
            groups=self.array.nodes[1],
            store=self.array.stores[1],
            copies=self.copies[1],
            entries=Entries(),
            node=1,
        )
        after: bytes | None = b""
        while after is not None:
            after = self.wait(repair.step(BUCKET, candidates, copies, isLost, after), 12)
        self.array.run(0.2)
        return repair

    def keepers(self, bodyId: bytes) -> tuple[int, ...]:
        """Whom the records name."""
        known = bodyref(self.array.rows[1], BUCKET, bodyId)
        assert known is not None
        return known.keepers

    def test_lostCopyIsRestoredElsewhere(self) -> None:
        octets = bytes(100_000)
        bodyId = self.deliver(1, octets, (1, 2))
        repair = self.repair(lambda node: node == 2, (1, 2, 3))
        self.assertEqual(repair.repaired, 1)
        self.assertEqual(self.keepers(bodyId), (1, 3))
        self.assertEqual(self.kept(3, bodyId, len(octets)), octets)

    def test_copyWhoseEntryMayStillBeCommittedIsNotSwept(self) -> None:
        """The leader could not commit for so long that it gave up waiting; the new keeper asks meanwhile."""
        octets = b"octets"
        bodyId = self.deliver(1, octets, (1,))
        self.array.alter = lambda sender, recipient, message: (
            replace(message, entries=[]) if isinstance(message, Append) else message
        )
        with self.assertRaises(OutcomeUnknown):
            self.repair(lambda node: False, (1, 3))
        self.assertEqual(self.kept(3, bodyId, len(octets)), octets)
        self.ask(3)
        self.assertEqual(self.kept(3, bodyId, len(octets)), octets)
        self.array.alter = None
        self.array.run(1)
        self.assertEqual(self.keepers(bodyId), (1, 3))
        self.assertEqual(self.kept(3, bodyId, len(octets)), octets)
        self.assertEqual(self.copies[1].placing, {})

    def test_leaderThatLeadsNoMoreWhenItHasReadFreesNothing(self) -> None:
        """The entry that it proposed for the new keeper may be committed by the next leader."""
        octets, groups = b"octets", self.array.nodes[1]
        bodyId = self.deliver(1, octets, (1,))
        self.wait(self.copies[1].put(BUCKET, bodyId, octets, (3,), 1))
        reading: Deferred[int] = Deferred()
        self.patch(groups, "readIndex", lambda group: reading)
        self.ask(3)
        groups.transfer(1, 2)
        self.array.run(0.5)
        self.assertEqual(self.array.leader(), 2)
        reading.callback(groups.appliedIndex(1))
        self.array.run(0.3)
        self.assertEqual(self.kept(3, bodyId, len(octets)), octets)

    def test_soundBodiesAreLeftAlone(self) -> None:
        self.deliver(1, b"octets", (1, 2))
        self.assertEqual(self.repair(lambda node: False).repaired, 0)

    def test_keeperIsDroppedOnlyByTheEntryThatNamesItsReplacement(self) -> None:
        bodyId = self.deliver(1, b"octets", (1, 2))
        self.array.isolate(3)
        self.array.isolate(4)
        with self.assertRaises(JindimailError):
            self.repair(lambda node: node == 2, (3, 4))
        self.assertEqual(self.keepers(bodyId), (1, 2))

    def test_nobodyIsForgottenBeforeThereAreEnoughOthers(self) -> None:
        bodyId = self.deliver(1, b"octets", (1, 4))
        self.repair(lambda node: node in (1, 4), (3,))
        self.assertEqual(self.keepers(bodyId), (3, 1))

    def test_aDamagedCopyIsPutAgainFromAnother(self) -> None:
        bodyId = self.deliver(1, b"octets", (1, 2))
        repair = self.repair(lambda node: False)
        self.assertFalse(self.wait(repair.replace(BUCKET, bodyId, 2)))
        self.assertFalse(self.wait(repair.replace(BUCKET, bodyId, 3)), "it is no keeper")
        self.array.rows[2].put(BODY, chunkKey(BUCKET, bodyId, 0), b"rotten")
        self.assertTrue(self.wait(repair.replace(BUCKET, bodyId, 2)))
        self.assertEqual(self.kept(2, bodyId, 6), b"octets")
        self.assertEqual(self.keepers(bodyId), (1, 2))

    def test_drainedKeeperServesAsTheSource(self) -> None:
        bodyId = self.deliver(1, b"octets", (4,))
        self.repair(lambda node: node == 4, (3,), 1)
        self.assertEqual(self.keepers(bodyId), (3,))
        self.assertEqual(self.kept(3, bodyId, 6), b"octets")

    def test_changeOfKeepersThatComesLateDoesNothing(self) -> None:
        bodyId = self.deliver(1, b"octets", (1, 2))
        self.array.result(self.array.nodes[1].propose(1, Entries().setKeepers(bodyId, (1, 2), (1, 3))))
        self.array.result(self.array.nodes[1].propose(1, Entries().setKeepers(bodyId, (1, 2), (2, 4))))
        self.assertEqual(self.keepers(bodyId), (1, 3))

    def test_bodyThatIsGoneStaysGone(self) -> None:
        bodyId = self.deliver(1, b"octets", (1, 2))
        self.array.result(self.array.nodes[1].propose(1, b"x" + bodyId))
        self.array.result(self.array.nodes[1].propose(1, Entries().setKeepers(bodyId, (1, 2), (1, 3))))
        self.assertIsNone(bodyref(self.array.rows[1], BUCKET, bodyId))
