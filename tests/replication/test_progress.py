"""What a leader knows of a follower, and how much it may send: `Progress` as a value."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jindimail.replication.progress import Pace, Progress


class Windows(SynchronousTestCase):
    """What is in flight is bounded, and comes free again."""

    def setUp(self) -> None:
        self.progress = Progress(1)
        self.progress.toReplicate()

    def mayGet(self) -> bool:
        """Whether more may leave, with at most three messages and 100 octets in flight."""
        return self.progress.mayGetEntries(3, 100)

    def test_messagesAreBounded(self) -> None:
        for index in (1, 2, 3):
            self.assertTrue(self.mayGet())
            self.progress.sent(index, 1)
        self.assertFalse(self.mayGet())
        self.progress.acknowledged(1)
        self.assertTrue(self.mayGet())

    def test_octetsAreBounded(self) -> None:
        self.progress.sent(1, 99)
        self.assertTrue(self.mayGet())
        self.progress.sent(2, 1)
        self.assertFalse(self.mayGet())

    def test_octetsComeFreeWithTheirMessages(self) -> None:
        for index in range(1, 10):
            self.progress.sent(index, 100)
            self.assertFalse(self.mayGet())
            self.progress.acknowledged(index)
            self.assertTrue(self.mayGet())

    def test_octetsComeFreeWhenTheWindowIsGivenUp(self) -> None:
        self.progress.sent(1, 100)
        self.progress.toProbe()
        self.progress.toReplicate()
        self.assertTrue(self.mayGet())

    def test_answerToABeatFreesThePlaceOfOneThatMayBeLost(self) -> None:
        for index in (1, 2, 3):
            self.progress.sent(index, 40)
        self.progress.answeredBeat()
        self.assertTrue(self.mayGet())
        self.progress.sent(4, 40)
        self.assertFalse(self.mayGet())


class Answers(SynchronousTestCase):
    """What answers say, and late ones do not."""

    def setUp(self) -> None:
        self.progress = Progress(1)
        self.progress.acknowledged(5)

    def test_nothingIsSentThatWasAcknowledged(self) -> None:
        self.progress.toReplicate()
        self.progress.acknowledged(9)
        self.assertEqual((self.progress.match, self.progress.next), (9, 10))

    def test_lateRefusalDoesNotEndReplication(self) -> None:
        self.progress.toReplicate()
        self.assertFalse(self.progress.refused(4, 5))
        self.assertIs(self.progress.pace, Pace.REPLICATE)
        self.assertTrue(self.progress.refused(7, 5))
        self.assertEqual((self.progress.pace, self.progress.next), (Pace.PROBE, 6))

    def test_lateRefusalDoesNotMoveAProbe(self) -> None:
        self.progress.next = 20
        self.assertFalse(self.progress.refused(15, 9))
        self.assertEqual(self.progress.next, 20)
        self.assertTrue(self.progress.refused(19, 9))
        self.assertEqual(self.progress.next, 10)

    def test_probeMovesBackWhateverTheHint(self) -> None:
        self.progress.next = 20
        self.assertTrue(self.progress.refused(19, 99))
        self.assertEqual(self.progress.next, 19)

    def test_whoHasLostWhatItAcknowledgedIsNotCountedForIt(self) -> None:
        for pace in (Pace.PROBE, Pace.REPLICATE):
            self.setUp()
            self.progress.pace = pace
            self.assertTrue(self.progress.refused(8, 2))
            self.assertEqual((self.progress.match, self.progress.next), (0, 3))

    def test_snapshotUnderWayIsNotDisturbedByARefusal(self) -> None:
        self.progress.toSnapshot(7)
        self.assertFalse(self.progress.refused(8, 2))
        self.assertEqual((self.progress.pace, self.progress.match), (Pace.SNAPSHOT, 5))
