"""What a crash left half done is finished, and nothing else is touched."""

from __future__ import annotations

import pytest
from twisted.internet.defer import fail

from jindimail.errors import Corrupt
from jindimail.mailbox.entries import DeleteMailbox, Deliver, Filing, RemoveAccount
from jindimail.mailbox.upkeep import Upkeep
from jindimail.model import Body, digestOf
from jindimail.store.keys import ADDRESS, MAILBOX, MESSAGE, USER, uidValidityFloorKey
from tests.support.world import World, now


def upkeep(world: World) -> Upkeep:
    """Finish everything."""
    made = Upkeep(buckets=world.buckets, leads=lambda _: True, seconds=world.clock.seconds)
    now(made.finish())
    return made


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


def test_aBucketThatCannotBeFinishedKeepsNoOtherWaiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    user = world.addUser()
    now(world.buckets.propose(user.bucket, RemoveAccount(seconds=0, accountId=user.accountId)))
    query = world.buckets.query
    monkeypatch.setattr(
        world.buckets,
        "query",
        lambda bucket, *given: fail(Corrupt()) if bucket == 0 else query(bucket, *given),
    )
    upkeep(world)
    assert not world.rows.snapshot()[ADDRESS]


def test_theAddressOfAnAccountThatWasHalfRemovedIsFreeAgain() -> None:
    world = World()
    user = world.addUser()
    fill(world, user, 0, 2500)
    now(world.buckets.propose(user.bucket, RemoveAccount(seconds=0, accountId=user.accountId)))
    upkeep(world)
    assert not world.rows.snapshot()[ADDRESS]
    assert world.addUser().accountId != user.accountId
