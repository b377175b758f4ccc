"""A service's deliveries, counted: what it filed, what it refused and why, and how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from jindimail.counts import Histogram
from jindimail.errors import JindimailError
from jindimail.interfaces import IDelivery
from jindimail.model import Body, Envelope, Recipient

FILED = "filed"


@implementer(IDelivery)
class CountedDelivery:
    """
    See `IDelivery`.

    @ivar outcomes: recipients by what became of them: `filed`, or the name of the error they were refused with.
    @ivar octets: of the messages that were filed for anybody.
    @ivar seconds: how long filing a message took, from its last octet to the answer.
    """

    def __init__(self, delivery: IDelivery, seconds: Callable[[], float]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.messages = 0
        self.octets = 0
        self.seconds = Histogram()
        self.newDeliveryId = delivery.newDeliveryId
        self.maySpool = delivery.maySpool
        self._delivery = delivery
        self._now = seconds

    async def resolve(self, address: str, octets: int = 0) -> Recipient:
        """See `IDelivery`."""
        try:
            found: Recipient = await self._delivery.resolve(address, octets)
        except JindimailError as error:
            self.outcomes[type(error).__name__] += 1
            raise
        return found

    async def deliver(self, envelope: Envelope, body: Body) -> list[Any]:
        """See `IDelivery`."""
        began = self._now()
        try:
            answers: list[Any] = await self._delivery.deliver(envelope, body)
        except JindimailError as error:
            self.outcomes[type(error).__name__] += len(envelope.recipients)
            raise
        self.seconds.observe(self._now() - began)
        filed = 0
        for answer in answers:
            filed += answer is None
            self.outcomes[FILED if answer is None else type(answer).__name__] += 1
        if filed:
            self.messages += 1
            self.octets += body.size
        return answers
