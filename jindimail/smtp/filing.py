"""Having a transaction's message filed."""

from __future__ import annotations

from collections.abc import Sequence

from jindimail.errors import JindimailError
from jindimail.model import Body, Recipient
from jindimail.smtp.outcome import Outcome, failures
from jindimail.smtp.partial import Key
from jindimail.smtp.surroundings import Surroundings
from jindimail.smtp.transaction import Transaction


async def fileMessage(around: Surroundings, transaction: Transaction, body: Body) -> list[Outcome]:
    """File a message for those recipients that have not got it already; an outcome for each recipient, in order."""
    key = transaction.key
    filed = around.partlyFiled.recipientsOf(key, around.seconds()) if key else frozenset()
    envelope = transaction.envelope(without=filed)
    outcomes: list[Outcome] = []
    if envelope.recipients:
        try:
            outcomes = await around.delivery.deliver(envelope, body)
        except JindimailError as error:
            outcomes = [error] * len(envelope.recipients)
    if key is None:
        return outcomes
    found = iter(outcomes)
    outcomes = [None if each.address in filed else next(found) for each in transaction.recipients]
    _rememberPart(around, key, transaction.recipients, outcomes)
    return outcomes


def _rememberPart(
    around: Surroundings, key: Key, recipients: Sequence[Recipient], outcomes: Sequence[Outcome]
) -> None:
    """Who has the message, for as long as its sender is told that it is not filed."""
    memory = around.partlyFiled
    if not failures(outcomes):
        memory.forget(key, (each.address for each in recipients))
        return
    pairs = zip(recipients, outcomes, strict=True)
    filed = [recipient.address for recipient, outcome in pairs if outcome is None]
    memory.remember(key, filed, around.seconds())
