"""A service's deliveries, counted."""

from __future__ import annotations

from typing import Any

import pytest

from jindimail.delivery.counted import FILED, CountedDelivery
from jindimail.errors import NoSuchUser, Refusal
from jindimail.model import Envelope
from tests.support.world import World, now


@pytest.fixture
def world() -> World:
    return World()


def deliver(world: World, counted: CountedDelivery, *addresses: str) -> Any:
    recipients = tuple(now(counted.resolve(address)) for address in addresses)
    body = world.body(b"Subject: x\r\n\r\nx\r\n")
    return now(counted.deliver(Envelope(deliveryId=body.bodyId, sender="", recipients=recipients), body))


def test_whatIsFiledIsCountedByRecipientMessageAndOctet(world: World) -> None:
    world.addUser("ada@example.org")
    world.addUser("bob@example.org")
    counted = CountedDelivery(world.delivery, world.clock.seconds)
    assert deliver(world, counted, "ada@example.org", "bob@example.org") == [None, None]
    assert counted.outcomes == {FILED: 2}
    assert (counted.messages, counted.octets, counted.seconds.total) == (1, 17, 1)


def test_refusalsAreCountedByTheirReason(world: World) -> None:
    world.addUser("ada@example.org", quotaOctets=30)
    counted = CountedDelivery(world.delivery, world.clock.seconds)
    with pytest.raises(NoSuchUser):
        now(counted.resolve("nobody@example.org"))
    refusal = deliver(world, counted, "ada@example.org")[0]
    assert isinstance(refusal, Refusal)
    assert counted.outcomes == {"NoSuchUser": 1, type(refusal).__name__: 1}
    assert counted.messages == 0
