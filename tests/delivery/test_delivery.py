"""Filing mail on a mail system in memory."""

from __future__ import annotations

import pytest

from jindimail.delivery.delivery import HOPS_MAX
from jindimail.errors import MailLoop, OverQuota, StorageFull, Unavailable
from jindimail.mailbox.queries import ListQueue
from jindimail.model import Body, Envelope
from jindimail.store.keys import BODY, MESSAGE
from jindimail.store.space import Level
from tests.support.world import World, now

MESSAGE_OCTETS = b"Received: from a by b\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def world() -> World:
    """A mail system with alice and bob."""
    made = World()
    made.addUser("alice@example.org")
    made.addUser("bob@example.org")
    return made


def inbox(world: World, address: str) -> list[bytes]:
    """The messages in an INBOX as clients see them."""
    account = world.account(now(world.directory.user(address)))
    mailbox = now(account.open("INBOX"))
    return [now(mailbox.octets(row)) for row in now(mailbox.rows())]


def test_eachRecipientSeesItsOwnPrefix(world: World) -> None:
    assert world.deliver(MESSAGE_OCTETS, "alice@example.org", "bob+x@example.org") == [None, None]
    assert inbox(world, "alice@example.org") == [
        b"Return-Path: <sender@example.net>\r\nDelivered-To: alice@example.org\r\n" + MESSAGE_OCTETS
    ]
    assert inbox(world, "bob@example.org") == [
        b"Return-Path: <sender@example.net>\r\nDelivered-To: bob+x@example.org\r\n" + MESSAGE_OCTETS
    ]


def test_theNullSenderStandsInReturnPath(world: World) -> None:
    world.deliver(MESSAGE_OCTETS, "alice@example.org", sender="")
    assert inbox(world, "alice@example.org")[0].startswith(b"Return-Path: <>\r\n")


def test_oneDeliveryIdFilesOnce(world: World) -> None:
    recipient = now(world.delivery.resolve("alice@example.org"))
    body = world.body(MESSAGE_OCTETS)
    envelope = Envelope(deliveryId=body.bodyId, sender="", recipients=(recipient,))
    for _ in range(3):
        assert now(world.delivery.deliver(envelope, body)) == [None]
    assert len(inbox(world, "alice@example.org")) == 1


def test_aLargeBodyComesOutAsItWentIn(world: World) -> None:
    octets = MESSAGE_OCTETS + b"0123456789abcdef\r\n" * 200_000
    assert world.deliver(octets, "alice@example.org") == [None]
    account = world.account(now(world.directory.user("alice@example.org")))
    mailbox = now(account.open("INBOX"))
    row = now(mailbox.rows())[0]
    read, start = b"", 0
    while start < row.size:
        piece = now(mailbox.octets(row, start))
        read, start = read + piece, start + len(piece)
    assert read.endswith(octets)
    assert len(read) == row.size


def test_whatOneRecipientIsRefusedIsNotTheOthers(world: World) -> None:
    resolved = tuple(now(world.delivery.resolve(a)) for a in ("alice@example.org", "bob@example.org"))
    now(world.directory.setUser("bob@example.org", quotaOctets=10))
    body = world.body(MESSAGE_OCTETS)
    answers = now(
        world.delivery.deliver(Envelope(deliveryId=body.bodyId, sender="", recipients=resolved), body)
    )
    assert answers[0] is None
    assert isinstance(answers[1], OverQuota)


def test_tooManyHopsAreALoop(world: World) -> None:
    octets = b"Received: from a by b\r\n" * (HOPS_MAX + 1) + b"\r\nReceived: in the body counts not\r\n"
    assert isinstance(world.deliver(octets, "alice@example.org")[0], MailLoop)
    octets = b"RECEIVED: from a\r\n by b\r\n" * 100 + b"\r\nReceived: in the body counts not\r\n"
    assert world.deliver(octets, "alice@example.org") == [None]


def test_whatWasDeliveredHereBeforeIsALoopForThatRecipientOnly(world: World) -> None:
    octets = b"Delivered-To: Alice@example.org\r\n" + MESSAGE_OCTETS
    answers = world.deliver(octets, "alice@example.org", "bob@example.org")
    assert isinstance(answers[0], MailLoop)
    assert answers[1] is None


def test_aFullDiskTakesNoBodies(world: World) -> None:
    world.store.freeLevel = Level.NO_BODIES
    assert isinstance(world.deliver(MESSAGE_OCTETS, "alice@example.org")[0], StorageFull)
    assert not world.rows.snapshot()[BODY]


def test_aBrokenStoreIsUnavailable(world: World) -> None:
    recipient = now(world.delivery.resolve("alice@example.org"))
    world.store.breakDown(Unavailable())
    body = world.body(MESSAGE_OCTETS)
    answers = now(
        world.delivery.deliver(Envelope(deliveryId=body.bodyId, sender="", recipients=(recipient,)), body)
    )
    assert isinstance(answers[0], Unavailable)
    assert not world.rows.snapshot()[MESSAGE]


def test_deliveryIdsRiseWithTimeAndAreNeverTwice(world: World) -> None:
    ids = [world.delivery.newDeliveryId() for _ in range(100)]
    world.clock.advance(1)
    assert len(set(ids)) == 100
    assert all(len(one) == 16 and one < world.delivery.newDeliveryId() for one in ids)


def test_aBodyIsNamedByItsDelivery(world: World) -> None:
    envelope = Envelope(deliveryId=b"a" * 16, sender="", recipients=())
    with pytest.raises(ValueError, match="named"):
        now(world.delivery.deliver(envelope, Body.ofOctets(b"b" * 16, b"")))


def test_aTargetThatCannotBeReachedNowWaits(world: World) -> None:
    now(world.directory.aliases.add("both@example.org", ["alice@example.org", "bob@example.org"]))
    bob = now(world.directory.user("bob@example.org"))
    real = world.buckets.propose

    async def propose(bucket, entry, body=None):
        if bucket == bob.bucket:
            raise Unavailable
        return await real(bucket, entry, body)

    world.buckets.propose = propose
    assert bob.bucket != now(world.directory.user("alice@example.org")).bucket
    assert world.deliver(MESSAGE_OCTETS, "both@example.org") == [None]
    waiting = [row for each in range(256) for row in now(world.buckets.query(each, ListQueue()))]
    assert [row.target for row in waiting] == [bob.bucket]
