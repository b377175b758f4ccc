"""
Nodes that fall silent or come back, and quiet groups: what is noticed late, or by luck, if a rule is left out.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.conversation import DISPUTES_MAX
from jindimail.replication.frames import Unpacker, packFrames
from jindimail.replication.messages import Append, encodeMessage
from jindimail.replication.neighbours import DIGEST_SECONDS, Neighbour, Neighbours, NoLink
from jindimail.replication.nodemessages import NodeBeat, NoReplica, Quiet, QuietGroup, encodeTraffic
from jindimail.replication.quiet import QuietGroups
from tests.replication.nodes import Array

PLACE = QuietGroup(1, 1, 3, 9)


class Kept(NoLink):
    """A link that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, messages: list[bytes]) -> None:
        """Keep it."""
        unpacker = Unpacker()
        self.sent.extend(each for frame in messages for each in unpacker.unpack(frame))


class OneNeighbour(SynchronousTestCase):
    """Another node, as this one sees it."""

    def setUp(self) -> None:
        self.link = Kept()
        self.neighbours = Neighbours(incarnation=1, link=lambda _: self.link, draw=lambda low, high: low)
        self.neighbour: Neighbour = self.neighbours.at(2, 0.0)

    def test_whoHearsLateDoesNotBlameTheOthers(self) -> None:
        self.assertFalse(self.neighbour.mayBeSilent(0.4, 0.0))
        self.assertTrue(self.neighbour.mayBeSilent(0.5, 0.0))
        self.assertFalse(self.neighbour.mayBeSilent(0.5, 0.2))
        self.assertTrue(self.neighbour.mayBeSilent(1.1, 0.2))

    def test_whoWasLateThisOnceHasNotHeardTheOthersEither(self) -> None:
        self.neighbours.lag.late(0.2, 0.5)
        self.assertEqual(self.neighbours.changes(0.5), ([], []))
        self.neighbours.lag.late(0.0, 0.6)
        self.assertEqual(self.neighbours.changes(0.6), ([self.neighbour], []))

    def test_whoIsSilentDoesNotLiveAgainBecauseThisNodeIsLate(self) -> None:
        self.assertEqual(self.neighbours.changes(0.5), ([self.neighbour], []))
        self.neighbours.lag.late(0.2, 0.6)
        self.assertEqual(self.neighbours.changes(0.6), ([], []))
        self.neighbours.heard(self.neighbour, [], 0.7, bulk=False)
        self.assertEqual(self.neighbours.changes(0.7), ([], [self.neighbour]))

    def test_whoIsSilentDoesNotLiveAgainBecauseTheClockIsSetBack(self) -> None:
        self.assertEqual(self.neighbours.changes(100.0), ([self.neighbour], []))
        self.neighbours.rewind(-5.0)
        self.assertEqual(self.neighbours.changes(-5.0), ([], []))
        self.neighbours.heard(self.neighbour, [], -4.9, bulk=False)
        self.assertEqual(self.neighbours.changes(-4.9), ([], [self.neighbour]))

    def test_whoSleptItselfTakesTheOthersForAliveAtFirst(self) -> None:
        self.assertEqual(self.neighbours.changes(0.5), ([self.neighbour], []))
        self.neighbours.forgive(5.0)
        self.assertEqual(self.neighbours.changes(5.0), ([], [self.neighbour]))

    def test_whoSaysThatItIsLateIsWaitedFor(self) -> None:
        self.neighbours.heardBeat(self.neighbour, NodeBeat(1, 1, 0, 0, 0, bytes(8), 200), 0.0)
        self.assertFalse(self.neighbour.mayBeSilent(0.9, 0.0))
        self.assertTrue(self.neighbour.mayBeSilent(1.1, 0.0))

    def test_beatTellsHowLateItsSenderIs(self) -> None:
        for _ in range(2):
            self.neighbours.lag.late(0.25, 1.0)
        self.neighbours.beat(1.0, 0.0)
        self.neighbour.flush(1.0)
        self.assertEqual([each.lagMilliseconds for each in self.link.sent], [250])

    def test_aDigestLeavesThoughTheLinkIsBusy(self) -> None:
        for moment in range(1, 11):
            now = DIGEST_SECONDS * moment / 5
            self.neighbour.sentAt = now  # something else just left
            self.neighbours.beat(now, 0.0)
        self.neighbour.flush(3.0)
        self.assertEqual(len([each for each in self.link.sent if isinstance(each, NodeBeat)]), 2)

    def test_groupThatWokeBeforeItWasToldIsNotSaidToBeQuiet(self) -> None:
        self.neighbour.quieten(PLACE)
        self.neighbour.quieten(replace(PLACE, group=2))
        self.neighbour.led.discard(1)
        self.neighbour.flush(0.1)
        self.assertEqual(self.link.sent, [Quiet([replace(PLACE, group=2)])])

    def test_frameThatIsDamagedTakesNoOtherAlong(self) -> None:
        good = packFrames([encodeTraffic(Quiet([PLACE]))])
        heard = self.neighbours.heard(self.neighbour, [b"\xff", *good], 0.1, bulk=False)
        self.assertEqual(heard, [Quiet([PLACE])])

    def test_digestsTellAllOfAPlaceApart(self) -> None:
        digests = set()
        for place in (
            PLACE,
            *(replace(PLACE, **{name: 77}) for name in ("group", "leader", "term", "commit")),
        ):
            quiet = QuietGroups()
            quiet.add(place)
            digests.add(quiet.digest)
        self.assertEqual(len(digests), 5)

    def test_digestIsOfThePresentPlacesAlone(self) -> None:
        quiet, other = QuietGroups(), QuietGroups()
        quiet.add(PLACE)
        quiet.add(replace(PLACE, commit=10))
        other.add(replace(PLACE, commit=10))
        self.assertEqual(quiet.digest, other.digest)


class ThreeNodes(SynchronousTestCase):
    """A group at three nodes, quiet, led by the first."""

    def setUp(self) -> None:
        self.array = Array().grown()
        self.array.run(2)

    def replica(self, node: int) -> Any:
        """A node's replica."""
        return self.array.nodes[node]._replicas[1]

    def receive(self, node: int, sender: int, *messages: Any) -> None:
        """A node gets these messages."""
        now = self.array.clock.seconds()
        frames = packFrames([encodeTraffic(each) for each in messages])
        self.array.nodes[node]._conversation.received(sender, frames, now)

    def test_entryOfAQuietGroupThatIsLostIsSentAgain(self) -> None:
        lost: list[Append] = []

        def alter(sender: int, recipient: int, message: Any) -> Any:
            if isinstance(message, Append) and len(lost) < 2:
                return lost.append(message)
            return message

        self.array.alter = alter
        self.array.result(self.array.nodes[1].propose(1, b"a"), 2.0)
        self.assertEqual(len(lost), 2)

    def test_nodeThatWasCutOffGetsWhatItMissedUnasked(self) -> None:
        self.array.isolate(3)
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(3)
        self.assertIsNotNone(self.replica(1).quiet)
        self.assertEqual(self.array.state(3), b"")
        self.array.heal()
        self.array.run(2)
        self.assertEqual(self.array.state(3), b"a;")

    def test_leaderOfAQuietGroupThatIsLeftAloneStepsDown(self) -> None:
        self.array.isolate(1)
        self.array.run(3)
        self.assertEqual(self.array.nodes[1].leadingTerm(1), 0)

    def test_leaderLooksAtWhoBeganAnew(self) -> None:
        """It forgot what was not durable, perhaps what it had acknowledged to a disk that lost it."""
        neighbour = self.array.nodes[1]._neighbours.at(3, self.array.clock.seconds())
        beat = NodeBeat(neighbour.incarnation + 1, 1, 0, 0, 0, neighbour.vouched.digest)
        self.receive(1, 3, beat)
        self.assertIsNone(self.replica(1).quiet)

    def test_whoDoesNotAnswerWhatItVouchesForVouchesForNothing(self) -> None:
        neighbour = self.array.nodes[2]._neighbours.at(1, self.array.clock.seconds())
        beat = NodeBeat(neighbour.incarnation, 1, 0, 0, 0, bytes(8))
        for _ in range(DISPUTES_MAX):
            self.assertIsNotNone(self.replica(2).quiet)
            self.receive(2, 1, beat)
        self.assertIsNone(self.replica(2).quiet)

    def test_followerThatDoesNotKnowTheCommitIsNotQuiet(self) -> None:
        replica = self.replica(2)
        quiet = replica.quiet
        self.assertTrue(replica.agrees(quiet))
        replica.raft.log.commit -= 1
        self.assertFalse(replica.agrees(quiet))

    def test_whoSleptForgivesTheOthers(self) -> None:
        now = self.array.clock.seconds() + 5
        self.array.nodes[1]._conversation.tick(now, 5.0)
        self.assertEqual([each.heardAt for each in self.array.nodes[1]._neighbours], [now, now])

    def test_onlyItsOwnNodeSaysThatAReplicaIsMissing(self) -> None:
        replica = self.replica(1)
        third = next(each.replicaId for each in replica.raft.configuration.members if each.node == 3)
        self.receive(1, 2, NoReplica(1, third))
        self.assertEqual(replica.missing, set())
        self.receive(1, 3, NoReplica(1, third))
        self.assertEqual(replica.missing, {third})
        self.array.nodes[1]._conversation.forgetStrangers(self.array.clock.seconds())
        self.assertEqual(replica.missing, set(), "it is asked again")

    def test_missingReplicaThatSpeaksIsThere(self) -> None:
        replica = self.replica(1)
        third = next(each.replicaId for each in replica.raft.configuration.members if each.node == 3)
        replica.missing.add(third)
        self.array.result(self.array.nodes[1].propose(1, b"a"))
        self.array.run(0.05)
        self.assertEqual(replica.missing, set())

    def test_lateAppendToAnEarlierReplicaBuriesNoLaterOne(self) -> None:
        replica = self.replica(3)
        append = Append(1, 1, replica.raft.replicaId - 1, 1, 0, 0, 0, [], True)
        self.array.nodes[3].received(2, packFrames([encodeMessage(append)]))
        self.assertIs(self.replica(3), replica)

    def test_stuckNodeHandsOverToNobodyWhoIsSilent(self) -> None:
        self.array.isolate(3)
        self.array.run(2)
        self.array.nodes[1]._conversation._handOver(self.array.clock.seconds())
        raft = self.replica(1).raft
        second = next(each.replicaId for each in raft.configuration.members if each.node == 2)
        self.assertEqual(raft.leadership.transferee, second)

    def test_silentReplicaIsNotCaughtUp(self) -> None:
        ids = {each.node: each.replicaId for each in self.replica(1).raft.configuration.members}
        self.assertEqual(self.array.nodes[1].caughtUp(1), frozenset(ids.values()))
        self.array.isolate(3)
        self.array.run(2)
        self.assertEqual(self.array.nodes[1].caughtUp(1), frozenset((ids[1], ids[2])))

    def test_replicaThatIsHalfInstalledHasNoStanding(self) -> None:
        """Whoever chooses among those that are left must not take it for one."""
        self.assertIsNotNone(self.array.nodes[3].standing(1))
        self.replica(3).installing = True
        self.assertIsNone(self.array.nodes[3].standing(1))
