"""Mail for a bucket that does not answer waits in another one, and is filed once it answers; on a mail system in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail

from jindimail.delivery.delivery import Delivery
from jindimail.delivery.spool import Spool
from jindimail.errors import Corrupt, NoSuchUser, OutcomeUnknown, OverQuota, StorageFull, Unavailable
from jindimail.mailbox.entries import Deliver, Dequeue, Enqueue, VoidDelivery
from jindimail.mailbox.outcomes import Done, Refused
from jindimail.mailbox.queries import ListQueue, ReadOctets
from jindimail.model import BUCKET_COUNT, Body, Envelope, bucketOf
from jindimail.queue.runner import (
    KEPT_SECONDS,
    LATER_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SURE_SECONDS,
    QueueRunner,
)
from jindimail.store.check import check
from jindimail.store.keys import BODY, BODYREF, CHUNK_OCTETS, QUEUE, SUMMARY, chunkKey
from jindimail.store.records import WaitingRecord
from tests.support.world import World, now

OCTETS = b"Received: from a by b\r\nSubject: hello\r\n\r\nbody\r\n"
LARGE = OCTETS + b"more than one piece\r\n" * 30_000
ALICE, BOB = "alice@example.org", "bob@example.org"
SENDER = "sender@example.net"
WRONG = 2 * KEPT_SECONDS


class Cut:
    """Buckets of which some do not answer; what is proposed to the deaf ones is committed all the same."""

    def __init__(self, buckets: Any) -> None:
        self._buckets = buckets
        self.silent: set[int] = set()
        self.deaf: set[int] = set()
        self.unfiled: set[int] = set()  # these answer, and file nothing
        self.isFull = False  # no bucket lets anything wait
        self.damaged = False  # no body can be read
        self.away: set[bytes] = set()  # bodies none of whose keepers answers
        self.proposed: list[tuple[int, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buckets, name)

    def propose(self, bucket: Any, entry: Any, body: Any = None) -> Deferred[Any]:
        if bucket in self.silent or (bucket in self.unfiled and isinstance(entry, Deliver)):
            return fail(Unavailable())
        if self.isFull and isinstance(entry, Enqueue):
            return fail(StorageFull())
        self.proposed.append((bucket, entry))
        done: Deferred[Any] = self._buckets.propose(bucket, entry, body)
        return done.addCallback(lambda _: fail(OutcomeUnknown())) if bucket in self.deaf else done

    def query(self, bucket: Any, query: Any, fresh: bool = False, mayLag: bool = False) -> Deferred[Any]:
        if bucket in self.silent | self.deaf:
            return fail(Unavailable())
        if self.damaged and isinstance(query, ReadOctets):
            return fail(Corrupt())
        if isinstance(query, ReadOctets) and query.bodyId in self.away:
            return fail(Unavailable())
        return self._buckets.query(bucket, query, fresh)


class Bed:
    """Alice and Bob, whose buckets differ, and a queue that is looked after."""

    def __init__(self, directory: Path) -> None:
        self.world = World()
        self.world.addUser(ALICE)
        self.world.addUser(BOB)
        self.cut = Cut(self.world.buckets)
        self.wrongSeconds = 0

        def seconds() -> float:
            return self.world.clock.seconds() + self.wrongSeconds

        self.delivery = Delivery(
            buckets=self.cut,
            resolver=self.world.resolver,
            seconds=seconds,
            randomOctets=self.world.random.randbytes,
        )
        self._seconds = seconds
        self.spool: Spool
        self.runner = self.newRunner(self.cut, directory)
        self.runner.start()

    def newRunner(self, buckets: Any, directory: Path) -> QueueRunner:
        """One that looks after all these buckets."""
        self.spool = Spool(str(directory))
        return QueueRunner(
            buckets=buckets,
            delivery=self.delivery,
            spool=self.spool,
            clock=self.world.clock,
            seconds=self._seconds,
        )

    def deliver(self, *recipients: str, octets: bytes = OCTETS, sender: str = SENDER) -> list[Any]:
        resolved = tuple(now(self.delivery.resolve(recipient)) for recipient in recipients)
        body = Body.ofOctets(self.delivery.newDeliveryId(), octets)
        return now(
            self.delivery.deliver(Envelope(deliveryId=body.bodyId, sender=sender, recipients=resolved), body)
        )

    def inbox(self, address: str) -> list[bytes]:
        account = self.world.account(now(self.world.directory.user(address)))
        mailbox = now(account.open("INBOX"))
        return [now(mailbox.octets(row)) for row in now(mailbox.rows())]

    def empty(self, address: str) -> None:
        """Expunge what is in somebody's INBOX."""
        mailbox = now(self.world.account(now(self.world.directory.user(address))).open("INBOX"))
        now(mailbox.expunge(onlyDeleted=False))

    def waiting(self) -> list[Any]:
        buckets = self.world.buckets
        return [row for each in range(BUCKET_COUNT) for row in now(buckets.query(each, ListQueue()))]

    def run(self, seconds: float = LONGEST_PAUSE_SECONDS + 2) -> None:
        for _ in range(int(seconds)):
            self.world.clock.advance(1)

    def beSure(self) -> None:
        """Until it is certain that a message waited for too long."""
        for _ in range(SURE_SECONDS // 600 + 1):
            self.run()
            self.world.clock.advance(600)

    def findings(self) -> list[str]:
        return [str(found) for found in check(lambda: nullcontext(self.world.rows)) if found.table != "meta"]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """A bed; at its end the store must be sound, and nothing may be left in the spool."""
    made = Bed(tmp_path)
    yield made
    made.runner.stop()
    assert (made.spool.messages, made.spool.octets, made.spool.memoryOctets) == (0, 0, 0)
    assert not [one for one in made.findings() if "queue" in one or "bodyref" in one or "references" in one]


def test_recipientsOfASilentBucketWaitAndTheClientIsTold250(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    assert bed.deliver(ALICE, BOB) == [None, None]
    assert len(bed.inbox(ALICE)) == 1
    (row,) = bed.waiting()
    assert (row.target, row.record.sender) == (bucketOf(BOB), SENDER)
    assert [each.address for each in row.record.waiting] == [BOB]
    bed.run(60)
    assert bed.waiting() and not bed.inbox(BOB)
    bed.cut.silent.clear()
    bed.run()
    assert len(bed.inbox(ALICE)) == 1
    assert bed.inbox(BOB) == [f"Return-Path: <{SENDER}>\r\nDelivered-To: {BOB}\r\n".encode() + OCTETS]
    assert not bed.waiting()
    bed.cut.silent.add(bucketOf(ALICE))
    assert len(bed.inbox(BOB)) == 1


def test_aBucketWhoseNodesAreHeardAgainGetsItsMailAtOnce(bed: Bed) -> None:
    reachable = [False]
    bed.cut.isReachable = lambda bucket: bucket != bucketOf(BOB) or reachable[0]  # type: ignore[attr-defined]
    bed.cut.silent.add(bucketOf(BOB))
    assert bed.deliver(ALICE, BOB) == [None, None]
    bed.run(60)
    reachable[0] = True
    bed.cut.silent.clear()
    bed.run(2)
    assert len(bed.inbox(BOB)) == 1


def test_aMessageWhoseOnlyBucketIsSilentWaitsInAnother(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    large = OCTETS + b"0123456789abcdef\r\n" * 60_000
    assert bed.deliver(BOB, octets=large) == [None]
    bed.cut.silent.clear()
    bed.run()
    (message,) = bed.inbox(BOB)[0:1]
    assert message.endswith(large[-100:]) or len(message) == 1 << 20
    assert not bed.waiting()
    assert {key[:2] for key in bed.world.rows.snapshot()[BODY]} == {bucketOf(BOB).to_bytes(2, "big")}


def test_whenNoBucketTakesItTheSenderTriesAgain(bed: Bed) -> None:
    recipient = now(bed.delivery.resolve(BOB))
    bed.cut.silent.update(range(BUCKET_COUNT))
    body = Body.ofOctets(bed.delivery.newDeliveryId(), OCTETS)
    envelope = Envelope(deliveryId=body.bodyId, sender=SENDER, recipients=(recipient,))
    (error,) = now(bed.delivery.deliver(envelope, body))
    assert isinstance(error, Unavailable)
    assert not bed.waiting()


def test_whatMayNotWaitOnAFullDiskIsToldAndTheOthersHaveIt(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.cut.isFull = True
    filed, refused = bed.deliver(ALICE, BOB)
    assert filed is None and isinstance(refused, Unavailable)
    assert len(bed.inbox(ALICE)) == 1
    assert not bed.waiting()


@pytest.mark.parametrize("isRefused", [False, True], ids=["filed", "refused"])
def test_anAliasIsToldToTryAgainAsLongAsAnyOfItsAccountsMayTakeIt(bed: Bed, isRefused: bool) -> None:
    """Whatever becomes of the others: a refusal would end the sender's tries, and so would a 250."""
    now(bed.world.directory.aliases.add("both@example.org", [ALICE, BOB]))
    recipient = now(bed.delivery.resolve("both@example.org"))
    if isRefused:
        now(bed.world.directory.setUser(ALICE, enabled=False))
    bed.cut.silent.add(bucketOf(BOB))
    bed.cut.isFull = True
    body = Body.ofOctets(bed.delivery.newDeliveryId(), OCTETS)
    envelope = Envelope(deliveryId=body.bodyId, sender=SENDER, recipients=(recipient,))
    (error,) = now(bed.delivery.deliver(envelope, body))
    assert isinstance(error, Unavailable)
    bed.cut.silent.clear()
    assert now(bed.delivery.deliver(envelope, body)) == [None]
    assert (len(bed.inbox(ALICE)), len(bed.inbox(BOB))) == (not isRefused, 1)


def test_whatWasFiledUnheardIsNotFiledTwice(bed: Bed) -> None:
    bed.cut.deaf.add(bucketOf(BOB))
    assert bed.deliver(BOB, ALICE) == [None, None]
    assert len(bed.waiting()) == 1
    bed.cut.deaf.clear()
    bed.run()
    assert (len(bed.inbox(BOB)), len(bed.inbox(ALICE))) == (1, 1)
    assert not bed.waiting()


def test_whatWasFiledUnheardAndCannotBeReadForAWhileIsNotFiledTwice(bed: Bed) -> None:
    bed.cut.deaf.add(bucketOf(BOB))
    bed.deliver(BOB, ALICE)
    bed.cut.damaged = True
    bed.cut.deaf.clear()
    bed.run()
    (row,) = bed.waiting()
    assert row.record.reason == Corrupt.pop3Text
    bed.cut.damaged = False
    bed.run(LATER_SECONDS + 2)
    assert (len(bed.inbox(BOB)), len(bed.inbox(ALICE))) == (1, 1)
    assert not bed.waiting()


def test_aDeliveryThatWasVoidedBeforeItCameWaitsAndComesUnderAnotherId(bed: Bed) -> None:
    body = Body.ofOctets(bed.delivery.newDeliveryId(), OCTETS)
    now(bed.world.buckets.propose(bucketOf(BOB), VoidDelivery(seconds=1, deliveryId=body.bodyId)))
    envelope = Envelope(deliveryId=body.bodyId, sender=SENDER, recipients=(now(bed.delivery.resolve(BOB)),))
    assert now(bed.delivery.deliver(envelope, body)) == [None]
    bed.run()
    assert len(bed.inbox(BOB)) == 1
    assert not bed.waiting()


@pytest.mark.parametrize("fate", ["filed", "expunged", "refused"])
def test_aBucketThatKeepsABodyForAnotherFilesItForItsOwn(bed: Bed, fate: str) -> None:
    """Its own recipients' prefixes come to it then, and all of it goes with the last who needs it."""
    bed.cut.silent.update({bucketOf(ALICE), bucketOf(BOB)})
    bed.deliver(ALICE)
    (entry,) = (entry for _, entry in bed.cut.proposed if isinstance(entry, Enqueue))
    prefix = f"Return-Path: <>\r\nDelivered-To: {BOB}\r\n".encode()
    bob = WaitingRecord(accountId=now(bed.world.directory.user(BOB)).accountId, prefix=prefix, address=BOB)
    late = replace(entry, target=bucketOf(BOB), waiting=(bob,))
    now(bed.world.buckets.propose(bucketOf(ALICE), late, Body.ofOctets(entry.bodyId, OCTETS)))
    if fate == "refused":
        now(bed.world.directory.setUser(ALICE, quotaMessages=1))
        bed.cut.silent.clear()
        bed.deliver(ALICE)
        bed.cut.silent.add(bucketOf(BOB))
    bed.cut.silent.discard(bucketOf(ALICE))
    bed.run()
    (message,) = bed.inbox(ALICE)
    assert message == f"Return-Path: <{SENDER}>\r\nDelivered-To: {ALICE}\r\n".encode() + OCTETS
    if fate != "filed":
        bed.empty(ALICE)
    bed.cut.silent.clear()
    bed.run()
    assert bed.inbox(BOB) == [prefix + OCTETS]
    if fate == "refused":
        bed.run(LATER_SECONDS + 2)
        assert len(bed.inbox(ALICE)) == 1
    bed.empty(ALICE)
    assert not bed.waiting()
    kept = {key[:2] for table in (BODY, BODYREF, SUMMARY) for key in bed.world.rows.snapshot()[table]}
    assert kept == {bucketOf(BOB).to_bytes(2, "big")}


def test_aRequestToQueueThatIsMadeTwiceQueuesOnce(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(ALICE, BOB)
    bucket, entry = next(each for each in bed.cut.proposed if isinstance(each[1], Enqueue))
    body = Body.ofOctets(entry.bodyId, OCTETS)
    assert now(bed.world.buckets.propose(bucket, entry, body)) == Done()
    assert len(bed.waiting()) == 1
    bed.cut.silent.clear()
    bed.run()
    assert now(bed.world.buckets.propose(bucket, entry, body)) == Done()
    assert not bed.waiting()
    assert len(bed.inbox(BOB)) == 1


def test_aBodyThatWaitsIsNotSweptAndOneThatWasVoidedIsNotQueued(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    bucket, entry = next(each for each in bed.cut.proposed if isinstance(each[1], Enqueue))
    now(bed.world.buckets.propose(bucket, VoidDelivery(seconds=1, deliveryId=entry.bodyId)))
    assert bed.world.rows.snapshot()[BODYREF]
    bed.cut.silent.clear()
    bed.run()
    assert len(bed.inbox(BOB)) == 1
    body = Body.ofOctets(bed.delivery.newDeliveryId(), OCTETS)
    now(bed.world.buckets.propose(7, VoidDelivery(seconds=1, deliveryId=body.bodyId)))
    late = Enqueue(
        seconds=2,
        bodyId=body.bodyId,
        size=body.size,
        digest=body.digest,
        keepers=(1,),
        summary=entry.summary,
        target=9,
        sender="",
        waiting=(WaitingRecord(accountId=1, prefix=b"", address=BOB),),
        dueSeconds=2,
    )
    assert now(bed.world.buckets.propose(7, late, body)) == Refused("void")
    assert not [key for key in bed.world.rows.snapshot()[BODY] if key[:2] == b"\0\7"]


def test_aDeliveryThatTheTargetVoidedComesUnderAnotherId(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    bodyId = bed.waiting()[0].bodyId
    now(bed.world.buckets.propose(bucketOf(BOB), VoidDelivery(seconds=1, deliveryId=bodyId)))
    bed.cut.silent.clear()
    bed.run()
    assert len(bed.inbox(BOB)) == 1
    assert not bed.waiting()


def test_aMessageWhoseIdIsAnotherBodysComesUnderAnotherId(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    other = Body.ofOctets(bed.waiting()[0].bodyId, OCTETS + b"other\r\n")
    bed.cut.silent.clear()
    resolved = (now(bed.delivery.resolve(BOB)),)
    assert now(
        bed.delivery.deliver(Envelope(deliveryId=other.bodyId, sender="", recipients=resolved), other)
    ) == [None]
    bed.run()
    assert not bed.waiting()
    assert sorted(octets.endswith(b"other\r\n") for octets in bed.inbox(BOB)) == [False, True]


@pytest.mark.parametrize("isVoid", [True, False], ids=["void", "full"])
def test_whatTwoBucketsKeepForOneRecipientComesOnceAlsoUnderAnotherId(bed: Bed, isVoid: bool) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.cut.deaf.add(0)
    bed.deliver(BOB)
    first, second = bed.waiting()
    assert first.bodyId == second.bodyId
    if isVoid:
        now(bed.world.buckets.propose(bucketOf(BOB), VoidDelivery(seconds=1, deliveryId=first.bodyId)))
    else:
        bed.world.deliver(OCTETS, BOB)
        now(bed.world.directory.setUser(BOB, quotaMessages=1))
    before = len(bed.inbox(BOB))
    bed.cut.deaf.clear()
    bed.cut.silent.clear()
    bed.run()
    now(bed.world.directory.setUser(BOB, quotaMessages=0))
    bed.run(LATER_SECONDS + 2)
    assert len(bed.inbox(BOB)) == before + 1
    assert not bed.waiting()


def test_aFullRecipientWaitsForRoomAndTheOthersDoNot(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    now(bed.world.directory.setUser(BOB, quotaMessages=1))
    bed.cut.silent.clear()
    assert bed.world.deliver(OCTETS, BOB) == [None]
    bed.run()
    (row,) = bed.waiting()
    assert row.record.reason == OverQuota.smtpText
    assert row.record.deliveryId != row.bodyId
    assert len(bed.inbox(BOB)) == 1
    now(bed.world.directory.setUser(BOB, quotaMessages=0))
    bed.run(LATER_SECONDS + 2)
    assert len(bed.inbox(BOB)) == 2
    assert not bed.waiting()


def test_aRecipientWhoIsGoneIsToldToASenderOfOurs(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB, sender=ALICE)
    bed.cut.silent.clear()
    now(bed.world.directory.removeUser(BOB))
    bed.run()
    (notice,) = bed.inbox(ALICE)
    assert notice.startswith(b"Return-Path: <>\r\n")
    assert f"Final-Recipient: rfc822; {BOB}\r\nAction: failed\r\nStatus: 5.1.1\r\n".encode() in notice
    assert OCTETS in notice
    assert not bed.waiting()
    with pytest.raises(NoSuchUser):
        now(bed.delivery.resolve(BOB))


def test_aMessageWaitsOnUntilItsSenderCanBeTold(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB, sender=ALICE)
    bed.cut.silent.clear()
    now(bed.world.directory.removeUser(BOB))
    bed.cut.unfiled.add(bucketOf(ALICE))
    bed.cut.isFull = True
    bed.run()
    assert len(bed.waiting()) == 1
    bed.cut.unfiled.clear()
    bed.cut.isFull = False
    bed.run()
    assert len(bed.inbox(ALICE)) == 1
    assert not bed.waiting()


def test_aNodeThatStillBelievesToLeadDoesNotTakeForDamagedWhatAnotherIsDoneWith(
    bed: Bed, tmp_path: Path
) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB, sender=ALICE)
    bed.cut.silent.clear()
    now(bed.world.directory.removeUser(BOB))
    leader = bed.newRunner(bed.world.buckets, tmp_path / "leader")
    asIs = bed.cut.propose

    def overtaken(bucket: Any, entry: Any, body: Any = None) -> Deferred[Any]:
        if isinstance(entry, Deliver) and bucket == bucketOf(BOB):
            now(leader.look())
            assert not bed.waiting()
        return asIs(bucket, entry, body)

    bed.cut.propose = overtaken  # type: ignore[method-assign]
    bed.run()
    (notice,) = bed.inbox(ALICE)
    assert OCTETS in notice


@pytest.mark.parametrize("isOverdue", [False, True], ids=["alike", "of another reason"])
def test_noticesOfTwoBucketsAboutOneMessageAreOneOrEachIsWhole(bed: Bed, isOverdue: bool) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.cut.deaf.add(0)
    bed.deliver(BOB, sender=ALICE)
    first, second = bed.waiting()
    assert first.bodyId == second.bodyId
    now(bed.world.directory.removeUser(BOB))
    bed.cut.deaf.clear()
    bed.cut.silent = {0}
    bed.run()
    (notice,) = bed.inbox(ALICE)
    assert len(bed.waiting()) == 1
    if isOverdue:
        bed.cut.silent.add(bucketOf(BOB))
        bed.world.clock.advance(KEPT_SECONDS)
        bed.beSure()
    bed.cut.silent.discard(0)
    bed.run()
    bed.beSure()
    assert not bed.waiting()
    assert bed.inbox(ALICE)[0] == notice
    assert [b"Status: 5.1.1" in each for each in bed.inbox(ALICE)] == ([True, False] if isOverdue else [True])


def test_whatWaitedForTooLongIsToldToThePostmasterWhereTheSenderIsElsewhere(bed: Bed) -> None:
    now(bed.world.directory.setPostmaster(ALICE))
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    bed.run(30)
    bed.world.clock.advance(KEPT_SECONDS)
    bed.beSure()
    (notice,) = bed.inbox(ALICE)
    assert b"Status: 5.4.7\r\n" in notice
    assert not bed.waiting()
    assert not bed.world.rows.snapshot()[QUEUE]


def test_aNoticeWaitsWhileThePostmasterIsFullAndThenComesOnce(bed: Bed) -> None:
    now(bed.world.directory.setPostmaster(ALICE))
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    assert bed.world.deliver(OCTETS + b"x" * 9_000, ALICE) == [None]
    used = now(bed.world.directory.user(ALICE)).octets
    now(bed.world.directory.setUser(ALICE, quotaOctets=used + 100))  # no more than a small message
    bed.world.clock.advance(KEPT_SECONDS)
    bed.beSure()
    assert len(bed.waiting()) == 1 and len(bed.inbox(ALICE)) == 1
    now(bed.world.directory.setUser(ALICE, quotaOctets=10 * used))
    bed.run(LATER_SECONDS + 2)
    assert [b"Status: 5.4.7\r\n" in each for each in bed.inbox(ALICE)] == [False, True]
    assert not bed.waiting()


def test_aRecipientWhoIsGoneIsToldToThePostmasterWhenThatHasRoom(bed: Bed) -> None:
    now(bed.world.directory.setPostmaster(ALICE))
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    now(bed.world.directory.removeUser(BOB))
    assert bed.world.deliver(OCTETS, ALICE) == [None]
    now(bed.world.directory.setUser(ALICE, quotaMessages=1))
    bed.cut.silent.clear()
    bed.run()
    assert len(bed.waiting()) == 1
    now(bed.world.directory.setUser(ALICE, quotaMessages=0))
    bed.run(LATER_SECONDS + 2)
    assert [b"Status: 5.1.1\r\n" in each for each in bed.inbox(ALICE)] == [False, True]
    assert not bed.waiting()


def test_nobodyWaitsForARoomThatNeverComes(bed: Bed) -> None:
    now(bed.world.directory.setPostmaster(ALICE))
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    assert bed.world.deliver(OCTETS, ALICE) == [None]
    now(bed.world.directory.setUser(ALICE, quotaMessages=1))
    bed.world.clock.advance(2 * KEPT_SECONDS)
    for _ in range(3):
        bed.beSure()
    assert not bed.waiting() and len(bed.inbox(ALICE)) == 1


def test_aNoticeThatThePostmasterDoesNotGetMakesNoOther(bed: Bed) -> None:
    now(bed.world.directory.setPostmaster(ALICE))
    bed.cut.silent |= {bucketOf(BOB), bucketOf(ALICE)}
    bed.deliver(BOB)
    for _ in range(2):
        bed.world.clock.advance(KEPT_SECONDS)
        bed.beSure()
    assert not bed.waiting()
    assert sum(isinstance(entry, Enqueue) for _, entry in bed.cut.proposed) == 2, (
        "the message, and its notice"
    )


def test_aNoticeThatItsReaderDoesNotGetGoesToThePostmasterOnce(bed: Bed) -> None:
    now(bed.world.directory.setPostmaster(ALICE))
    bed.world.addUser("carol@example.org")
    bed.cut.silent |= {bucketOf(BOB), bucketOf("carol@example.org")}
    bed.deliver(BOB, sender="carol@example.org")
    for _ in range(3):
        bed.world.clock.advance(KEPT_SECONDS)
        bed.beSure()
    assert not bed.waiting() and len(bed.inbox(ALICE)) == 1


@pytest.mark.parametrize(
    "queuedBy, lookedAtBy", [(0, WRONG), (0, -WRONG), (-WRONG, 0), (WRONG, 0), (WRONG, WRONG)]
)
def test_clocksThatAreWrongForAMomentGiveNothingUpAndLetNothingWait(
    bed: Bed, queuedBy: int, lookedAtBy: int
) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    bed.wrongSeconds = queuedBy
    bed.deliver(BOB)
    bed.wrongSeconds = lookedAtBy
    bed.run(60)
    bed.wrongSeconds = 0
    bed.run(60)
    assert len(bed.waiting()) == 1
    bed.cut.silent.clear()
    bed.run()
    assert len(bed.inbox(BOB)) == 1


@pytest.mark.parametrize(
    ("octets", "rot"), [(OCTETS, b"rot"), (LARGE, bytes(CHUNK_OCTETS))], ids=["short", "large"]
)
def test_aDamagedMessageKeepsNoOtherWaitingAndIsToldOfInTheEnd(bed: Bed, octets: bytes, rot: bytes) -> None:
    now(bed.world.directory.setPostmaster(ALICE))
    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB, octets=octets)
    bed.deliver(BOB, octets=OCTETS + b"sound\r\n")
    (first,) = (row for row in bed.waiting() if row.size == len(octets))
    bucket = int.from_bytes(first.key[:2], "big")
    bed.world.rows.put(BODY, chunkKey(bucket, first.bodyId, 0), rot)
    bed.cut.silent.clear()
    bed.run()
    assert [message[-7:] for message in bed.inbox(BOB)] == [b"sound\r\n"]
    assert [row.bodyId for row in bed.waiting()] == [first.bodyId]
    bed.world.clock.advance(KEPT_SECONDS)
    bed.beSure()
    assert not bed.waiting()
    (notice,) = bed.inbox(ALICE)
    assert b"The message itself is damaged." in notice


def test_aMessageWhoseKeepersAreAwayKeepsNoOtherWaiting(bed: Bed) -> None:
    bed.cut.silent.add(bucketOf(BOB))
    for octets in (OCTETS, OCTETS + b"next\r\n"):
        assert bed.deliver(BOB, octets=octets) == [None]
        bed.run(1)
    first, _ = sorted(bed.waiting(), key=lambda row: row.key)
    bed.cut.away.add(first.bodyId)
    bed.cut.silent.clear()
    bed.run()
    assert len(bed.inbox(BOB)) == 1
    bed.cut.away.clear()
    bed.run()
    assert len(bed.inbox(BOB)) == 2
    assert not bed.waiting()


def test_whereNobodyCanBeToldOfAMessageTheOthersDoNotWait(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(address: str, octets: int = 0) -> Any:
        raise Unavailable

    bed.cut.silent.add(bucketOf(BOB))
    bed.deliver(BOB)
    bed.world.clock.advance(KEPT_SECONDS)
    bed.deliver(BOB, octets=OCTETS + b"next\r\n")
    monkeypatch.setattr(bed.delivery, "resolve", away)
    bed.beSure()
    assert len(bed.waiting()) == 2
    bed.cut.silent.clear()
    bed.run()
    assert [octets[-6:] for octets in bed.inbox(BOB)] == [b"next\r\n"]
    assert len(bed.waiting()) == 1
    monkeypatch.undo()
    bed.run()
    assert not bed.waiting()


def test_rowsOfADeadBucketDoNotHideThoseOfOthers(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jindimail.queue.runner.ROWS_AT_ONCE", 3)
    monkeypatch.setattr(type(bed.world.buckets), "led", lambda self: iter((5,)))
    bed.cut.silent.update({bucketOf(BOB), bucketOf(ALICE)})
    for _ in range(10):
        bed.deliver(BOB)
        bed.world.clock.advance(1)
    bed.deliver(ALICE)
    bed.cut.silent.discard(bucketOf(ALICE))
    bed.run(30)
    assert len(bed.inbox(ALICE)) == 1
    assert len(bed.waiting()) == 10
    for row in bed.waiting():
        dequeue = Dequeue(seconds=1, bodyId=row.bodyId, target=row.target, dueSeconds=row.dueSeconds)
        assert now(bed.world.buckets.propose(5, dequeue)) == Done()
        assert now(bed.world.buckets.propose(5, dequeue)) == Refused("gone")
