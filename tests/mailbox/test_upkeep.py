"""What a crash left half done is finished, and nothing else is touched."""

from __future__ import annotations

from jindimail.mailbox.entries import DeleteMailbox, Deliver, Filing, RemoveAccount
from jindimail.mailbox.outcomes import Refused
from jindimail.mailbox.upkeep import GRACE_SECONDS, Upkeep
from jindimail.model import Body, digestOf
from jindimail.store.bodies import putBody
from jindimail.store.keys import ADDRESS, BODY, MAILBOX, MESSAGE, USER, uidValidityFloorKey
from tests.support.world import World, now


def upkeep(world: World) -> Upkeep:
    """Sweep everything."""
    made = Upkeep(buckets=world.buckets, seconds=world.clock.seconds)
    now(made.sweep(0))
    return made


def test_anOrphanIsSweptAndItsLateDeliveryIsRefused() -> None:
    world = World()
    user = world.addUser()
    orphan, octets = world.delivery.newDeliveryId(), b"o" * 200_000
    putBody(world.rows, user.bucket, orphan, octets)
    assert upkeep(world).swept == 0
    world.clock.advance(GRACE_SECONDS + 1)
    assert upkeep(world).swept == 1
    assert not world.rows.snapshot()[BODY]
    late = Deliver(
        seconds=int(world.clock.seconds()),
        deliveryId=orphan,
        bodyId=orphan,
        size=len(octets),
        digest=digestOf(octets),
        keepers=(1,),
        summary=b"",
        filings=(Filing(accountId=user.accountId),),
    )
    assert now(world.buckets.propose(user.bucket, late)) == Refused("void")


def test_bodiesInUseStay() -> None:
    world = World()
    world.addUser()
    assert world.deliver(b"s: t\r\n\r\nx\r\n", "alice@example.org") == [None]
    before = world.rows.snapshot()
    world.clock.advance(GRACE_SECONDS + 1)
    assert upkeep(world).swept == 0
    assert world.rows.snapshot() == before


def fill(world: World, user, mailboxId: int, messages: int) -> None:
    """File one body many times."""
    octets = b"s: t\r\n\r\nx\r\n"
    bodyId = world.delivery.newDeliveryId()
    entry = Deliver(
        seconds=0,
        deliveryId=bodyId,
        bodyId=bodyId,
        size=len(octets),
        digest=digestOf(octets),
        keepers=(1,),
        summary=b"",
        filings=(Filing(accountId=user.accountId, mailboxId=mailboxId),) * messages,
    )
    now(world.buckets.propose(user.bucket, entry, Body.ofOctets(bodyId, octets)))


def test_aMailboxHalfRemovedIsFinished() -> None:
    world = World()
    user = world.addUser()
    made = now(world.account(user).create("big"))
    fill(world, user, made.mailboxId, 2500)
    delete = DeleteMailbox(seconds=0, accountId=user.accountId, mailboxId=made.mailboxId)
    assert now(world.buckets.propose(user.bucket, delete)).remaining == 1500
    upkeep(world)
    assert not world.rows.snapshot()[MESSAGE]


def test_anAccountHalfRemovedIsFinished() -> None:
    world = World()
    user = world.addUser()
    fill(world, user, 0, 2500)
    now(world.buckets.propose(user.bucket, RemoveAccount(seconds=0, accountId=user.accountId)))
    upkeep(world)
    rows = world.rows.snapshot()
    assert not rows[MESSAGE] and not rows[MAILBOX]
    assert list(rows[USER]) == [uidValidityFloorKey(user.bucket)]


def test_theAddressOfAnAccountThatWasHalfRemovedIsFreeAgain() -> None:
    world = World()
    user = world.addUser()
    fill(world, user, 0, 2500)
    now(world.buckets.propose(user.bucket, RemoveAccount(seconds=0, accountId=user.accountId)))
    upkeep(world)
    assert not world.rows.snapshot()[ADDRESS]
    assert world.addUser().accountId != user.accountId
