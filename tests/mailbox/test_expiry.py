"""Outcomes of deliveries are forgotten in time, and not before, whatever the clocks of proposers say."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from jindimail.mailbox.expiry import CLOCKS, EVERY, KEPT_ENTRIES, KEPT_SECONDS
from jindimail.mailbox.outcomes import Filed
from jindimail.store.check import check
from jindimail.store.keys import DELIVERY
from tests.mailbox.test_machine import NOW, Log
from tests.mailbox.test_machine import log as log

WRONG = 2 * KEPT_SECONDS
WINDOW = CLOCKS * EVERY  # deliveries


class Deliveries:
    """One delivery after the other."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.last = 0

    def add(self, count: int, seconds: int = NOW) -> None:
        for _ in range(count):
            self.last += 1
            self.log.deliver(self.last, seconds=seconds)

    def isRemembered(self, name: int) -> bool:
        outcome = self.log.deliver(name)
        assert isinstance(outcome, Filed)
        return outcome.repeated


@pytest.fixture
def deliveries(log: Log) -> Deliveries:
    return Deliveries(log)


def test_whatIsOldByAllClocksAndManyEntriesIsForgotten(deliveries: Deliveries) -> None:
    deliveries.add(KEPT_ENTRIES)
    deliveries.add(KEPT_ENTRIES + 2 * WINDOW, NOW + WRONG)
    assert deliveries.log.count(DELIVERY) <= KEPT_ENTRIES + 2 * WINDOW + EVERY
    assert not deliveries.isRemembered(1)


def test_whatIsOldByAllClocksIsRememberedForManyEntries(deliveries: Deliveries) -> None:
    deliveries.add(1)
    deliveries.add(2 * WINDOW, NOW + WRONG)
    assert deliveries.isRemembered(1)


def test_aClockThatIsAheadForAMomentForgetsNothing(deliveries: Deliveries) -> None:
    deliveries.add(KEPT_ENTRIES + WINDOW)
    deliveries.add(WINDOW - EVERY, NOW + WRONG)
    assert deliveries.isRemembered(1)


def test_oneRightClockKeepsWhatManyWrongOnesWouldForget(deliveries: Deliveries) -> None:
    deliveries.add(KEPT_ENTRIES)
    for _ in range(3):
        deliveries.add(WINDOW - 2 * EVERY, NOW + WRONG)
        deliveries.add(EVERY)
    assert deliveries.isRemembered(1)


def test_aDeliveryWhoseProposersClockIsBehindIsNotForgottenAtOnce(deliveries: Deliveries) -> None:
    deliveries.add(WINDOW)
    deliveries.add(1, NOW - WRONG)
    behind = deliveries.last
    deliveries.add(WINDOW)
    assert deliveries.isRemembered(behind)


def test_theClocksOfABucketAreSound(deliveries: Deliveries) -> None:
    deliveries.add(WINDOW)
    assert not [found for found in check(lambda: nullcontext(deliveries.log.rows)) if found.table == "user"]
